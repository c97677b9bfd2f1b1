"""How well does fasterrcnn_tiny do on real photos alone? One CPU core, 16 000 training images, all training photos.

    python benchmarks/real_only.py ../shared/data/d6_dice

Trains on every training photo (nothing is held out: nothing is chosen here) and scores the test photos once, at the end.
With --val it trains on 160 photos, scores the 40 held out from them, and leaves the test photos alone: for comparing
designs.
"""

import argparse
import time
from pathlib import Path

import cv2
import torch

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import read
from syndet_ray.data.split import with_validation
from syndet_ray.detection.bootstrap import intervals
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.detection.train import Trainer
from syndet_ray.recipe import Detector, Mix, Recipe, Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--val", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    train, held_out = pools(given.data, given.val)
    training = Training(images=given.images, crop_px=given.crop)
    recipe = Recipe(mix=Mix(synthetic=0), detector=Detector(name="fasterrcnn_tiny"), training=training)
    trainer = Trainer(recipe, {"real": train}, device=torch.device("cpu"), seed=given.seed)
    began = time.perf_counter()
    for quarter in (1, 2, 3, 4):
        stats = trainer.train_until(given.images * quarter // 4)
        print(f"{trainer.images_seen} images, loss {stats.metrics['train/loss']:.3f}", flush=True)
    taken = time.perf_counter() - began
    predictions = predict(trainer.model, held_out, device=torch.device("cpu"))
    metrics = score(held_out, predictions).metrics
    spread = intervals(held_out, predictions, seed=given.seed)
    print(f"seed {given.seed}, {len(train)} photos, {given.images / taken:.1f} images/s, {taken:.0f} s")
    for name in ("mAP", "AP50", "AP75", "mAR"):
        print(f"{name} {metrics[name]:.3f} [{spread[name][0]:.3f}, {spread[name][1]:.3f}]")
    print(f"AP50 of any class {metrics['AP50_any_class']:.3f}")


def pools(path: Path, validate: bool) -> tuple[Pool, Pool]:
    """What to train on and what to score: all of train and test, or train without val and val."""
    dataset = read(path)
    if validate:
        splits = with_validation(dataset, seed=0).splits
        return decode(splits["train"]), decode(splits["val"])
    return decode(dataset.splits["train"]), decode(dataset.splits["test"])


if __name__ == "__main__":
    main()
