"""Training throughput compared with torchvision: one core or one GPU, the same photos, one run.

    python benchmarks/train_speed.py
    python benchmarks/train_speed.py --device cuda --backbone resnet50_fpn_v2 --weights none
    --crop 640 --batch 16

The first line compares the default with torchvision's lightest detector at 384 px. On a CPU the
other detector is fasterrcnn_mobilenet_v3_large_320_fpn, on a GPU fasterrcnn_resnet50_fpn_v2 as
torchvision's own reference loop trains it: whole-model autocast, its own transforms, worker
processes that decode and augment. Both train in turn, so that a machine that slows down slows both.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn_v2,
)

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import Mix
from syndet_ray.definitions.recipe import Detector, Recipe, Training
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.detection.augment import Augmenter, Example
from syndet_ray.detection.settle import settled_detector
from syndet_ray.detection.train import Trainer
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, render

ROUNDS, IMAGES = 5, 32


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    pool = scenes(given.crop)
    ours, theirs = ours_on(pool, given), theirs_on(pool, given)
    ours(2)  # warm up
    theirs(1)
    # On a CPU a step of theirs takes as long as ten of ours.
    our_steps, their_steps = (10, 1) if given.device == "cpu" else (40, 40)
    rates = [(ours(our_steps), theirs(their_steps)) for _ in range(ROUNDS)]
    our_rates, their_rates = zip(*rates, strict=True)
    ratio = statistics.median(our_rate / their_rate for our_rate, their_rate in rates)
    print_row(
        f"ours, {given.backbone}",
        statistics.median(our_rates),
        f"images/s (best {max(our_rates):.1f})",
    )
    print_row(
        "torchvision's", statistics.median(their_rates), f"images/s (best {max(their_rates):.2f})"
    )
    print_row(f"ratio, median of {ROUNDS} pairs", ratio, "")


def print_row(name: str, value: float, rest: str) -> None:
    print(f"{name:46s} {value:7.2f} {rest}".rstrip())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backbone", default="auto")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--frozen", default="auto")
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of torch, and of our augmentation")
    parser.add_argument(
        "--workers", type=int, default=4, help="processes of torchvision's loader, on a GPU"
    )
    return parser.parse_args()


def scenes(side: int) -> Pool:
    """Scenes as large as twice the crop, so that a crop has somewhere to move."""
    parameters = SceneParameters(objects=12, image_px=min(2048, 2 * side))
    rendered = [render(draw_scene(parameters, 0, i)) for i in range(IMAGES)]
    images = [image for image, _ in rendered]
    boxes = [image_boxes for _, image_boxes in rendered]
    return Pool.of("real", CLASSES, images, boxes, [str(i) for i in range(IMAGES)])


def ours_on(pool: Pool, given: argparse.Namespace) -> Callable[[int], float]:
    """Steps of our trainer, as images a second."""
    frozen = int(given.frozen) if given.frozen.isdigit() else given.frozen
    named = Detector(
        backbone=given.backbone,
        weights=given.weights,
        frozen_stages=frozen,
        working_px=2 * given.crop,
    )
    detector, note = settled_detector(named, gpu=given.device == "cuda")
    print(note or detector.backbone)
    sizes = {"anchor_px": (24.0, 34.0, 48.0), "aspect_ratios": (1.0,)}
    open_sizes = {name: value for name, value in sizes.items() if getattr(detector, name) == "auto"}
    training = Training(images=10**6, batch_size=given.batch, crop_px=given.crop)
    recipe = Recipe(
        mix=Mix(synthetic=0), detector=detector.model_copy(update=open_sizes), training=training
    )
    trainer = Trainer(recipe, {"real": pool}, device=torch.device(given.device), seed=0)

    def run(batches: int) -> float:
        began = time.perf_counter()
        trainer.train_until(trainer.images_seen + batches * given.batch)
        return batches * given.batch / (time.perf_counter() - began)

    return run


class Crops(torch.utils.data.Dataset[Any]):
    """The pool's images, augmented as ours are, one by one in a worker process of torchvision's
    loader.
    """

    def __init__(self, pool: Pool, training: Training) -> None:
        self.pool, self.augmenter = pool, Augmenter.of(training)

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, number: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        index = number % len(self.pool)
        rng = np.random.default_rng(number)
        example: Example = self.augmenter(self.pool.image(index), self.pool.boxes(index), rng)
        image = torch.from_numpy(np.ascontiguousarray(example.image)).permute(2, 0, 1).float() / 255
        return image, target(example.boxes)


def theirs_on(pool: Pool, given: argparse.Namespace) -> Callable[[int], float]:
    """The loop of torchvision's references/detection around its model, at the crop's own size."""
    device, classes = torch.device(given.device), len(CLASSES) + 1
    is_cpu = device.type == "cpu"
    make = fasterrcnn_mobilenet_v3_large_320_fpn if is_cpu else fasterrcnn_resnet50_fpn_v2
    size = {"min_size": given.crop, "max_size": given.crop}
    model: nn.Module = make(weights=None, weights_backbone=None, num_classes=classes, **size)
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    batches = loader(pool, given)

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            images, targets = next(batches)
            images = [image.to(device) for image in images]
            targets = [on_device(target, device) for target in targets]
            with torch.autocast(device.type, enabled=device.type == "cuda"):
                losses = model(images, targets)
                total = torch.stack(list(losses.values())).sum()
            float(total.detach())  # the reference loop looks at every loss
            optimizer.zero_grad()
            scaler.scale(total).backward()
            scaler.step(optimizer)
            scaler.update()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return count * given.batch / (time.perf_counter() - began)

    return run


def loader(pool: Pool, given: argparse.Namespace) -> Iterator[Any]:
    workers = given.workers if given.device == "cuda" else 0
    crops = Crops(pool, Training(crop_px=given.crop))
    return iter(
        torch.utils.data.DataLoader(
            crops, given.batch, num_workers=workers, collate_fn=images_and_targets
        )
    )


def images_and_targets(examples: Sequence[tuple[Any, Any]]) -> tuple[Any, ...]:
    return tuple(zip(*examples, strict=True))


def on_device(tensors: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}


def target(boxes: Boxes) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.from_numpy(boxes.xyxy.astype(np.float32)),
        "labels": torch.from_numpy(boxes.labels + 1),
    }


if __name__ == "__main__":
    main()
