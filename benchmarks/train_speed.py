"""Training throughput of fasterrcnn_tiny beside torchvision's lightest Faster R-CNN: one core, 256 px, one run.

    python benchmarks/train_speed.py

The two train in turn on the same crops, so that a machine that slows down slows both.
"""

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection.augment import augment
from syndet_ray.detection.train import Trainer
from syndet_ray.recipe import Detector, Mix, Recipe, SceneParameters, Training
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, render

BATCH, ROUNDS = 8, 5


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pool = scenes(32)
    ours, theirs = tiny(pool), mobilenet(pool)
    ours(2), theirs(1)  # warm up
    rates = [(ours(10), theirs(1)) for _ in range(ROUNDS)]
    fast, slow = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"fasterrcnn_tiny                        {fast:6.1f} images/s (best {max(r[0] for r in rates):.1f})")
    print(f"fasterrcnn_mobilenet_v3_large_320_fpn  {slow:6.2f} images/s")
    print(f"ratio, median of {ROUNDS} pairs              {statistics.median(a / b for a, b in rates):6.1f}")


def scenes(count: int) -> Pool:
    drawn = [render(draw_scene(SceneParameters(objects=6), 0, i)) for i in range(count)]
    return Pool.of("real", CLASSES, [d[0] for d in drawn], [d[1] for d in drawn], [str(i) for i in range(count)])


def tiny(pool: Pool) -> Callable[[int], float]:
    training = Training(images=10**6, batch_size=BATCH)
    recipe = Recipe(mix=Mix(synthetic=0), detector=Detector(name="fasterrcnn_tiny"), training=training)
    trainer = Trainer(recipe, {"real": pool}, device=torch.device("cpu"), seed=0)

    def run(batches: int) -> float:
        began = time.perf_counter()
        trainer.train_until(trainer.images_seen + batches * BATCH)
        return batches * BATCH / (time.perf_counter() - began)

    return run


def mobilenet(pool: Pool) -> Callable[[int], float]:
    """The same loop around torchvision's model, with its own settings and the crop's own size (it would take 320)."""
    model: nn.Module = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=len(CLASSES) + 1, min_size=256, max_size=256
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = np.random.default_rng(0)

    def run(batches: int) -> float:
        began = time.perf_counter()
        for _ in range(batches):
            made = [augment(pool.image(i), pool.boxes(i), Training(), rng) for i in rng.integers(len(pool), size=BATCH)]
            losses = model([tensor(image) for image, _ in made], [target(boxes) for _, boxes in made])
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
        return batches * BATCH / (time.perf_counter() - began)

    return run


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


def target(boxes: Boxes) -> dict[str, torch.Tensor]:
    return {"boxes": torch.from_numpy(boxes.xyxy.astype(np.float32)), "labels": torch.from_numpy(boxes.labels + 1)}


if __name__ == "__main__":
    main()
