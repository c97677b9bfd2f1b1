"""How well does fasterrcnn_tiny do on real photos when it has never seen one? One CPU core, 16 000 training images.

    python benchmarks/synthetic_only.py ../shared/data/d6_dice --set blur=0.3 box_padding=0.13

Trains on rendered dice alone. Scores the real *training* photos, which nothing was trained on, for comparing generators;
with --test also, once and at the end, the test photos.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import torch

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import read
from syndet_ray.detection.bootstrap import intervals
from syndet_ray.detection.models import save_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.detection.train import Trainer
from syndet_ray.recipe import Detector, Mix, Recipe, Training
from syndet_ray.scenes.generate import generate

METRICS = ("mAP", "AP50", "AP75", "AP50_any_class", "mAP_any_class")
# Sizes of d6_dice's dice, measured on its training photos, at crops as large as those of real_only.py.
BASE = {"objects": 15, "image_px": 384, "size_px": (26.0, 46.0)}
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=VALUE", help="scene parameters, as JSON")
    parser.add_argument("--keep", type=Path, help="folder for the trained model")
    parser.add_argument("--test", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    changes = {f"scene.{name}": json.loads(value) for name, _, value in (item.partition("=") for item in given.set)}
    training = Training(images=given.images, crop_px=384)
    recipe = Recipe(mix=Mix(synthetic=1), detector=Detector(name="fasterrcnn_tiny"), training=training)
    recipe = recipe.replace({f"scene.{name}": value for name, value in BASE.items()} | changes)
    began = time.perf_counter()
    scenes = generate(recipe.scene, given.scenes, given.seed, given.cache)
    print(f"{len(scenes)} scenes in {time.perf_counter() - began:.0f} s", flush=True)
    dataset = read(given.data)
    trainer = Trainer(recipe, {"synthetic": scenes}, device=CPU, seed=given.seed)
    for quarter in (1, 2, 3, 4):
        trainer.train_until(given.images * quarter // 4)
        show(f"{trainer.images_seen} images, training photos", trainer, decode(dataset.splits["train"]))
    if given.keep:
        save_model(given.keep, trainer.model, recipe.detector, scenes.classes)
    if given.test:
        test = decode(dataset.splits["test"])
        show("test photos", trainer, test)
        for name, (low, high) in intervals(test, predict(trainer.model, test, device=CPU), seed=given.seed).items():
            print(f"  {name} [{low:.3f}, {high:.3f}]")


def show(what: str, trainer: Trainer, photos: Pool) -> None:
    metrics = score(photos, predict(trainer.model, photos, device=CPU)).metrics
    print(f"{what}: " + ", ".join(f"{name} {metrics[name]:.3f}" for name in METRICS), flush=True)


if __name__ == "__main__":
    main()
