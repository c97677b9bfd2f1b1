"""How accurate is a recipe on photos? Trained on real images, synthetic images or both; any number
of photos and seeds, on one core.

    python benchmarks/accuracy.py ../shared/data/d6_dice --images 2400 --seeds 0 1 2
    python benchmarks/accuracy.py ../shared/data/d6_dice --images 1500 --photos 4 --synthetic 0.8
    --scenes @dice
    python benchmarks/accuracy.py ../shared/data/chess --photos 20 --synthetic 0.5
    --scenes arrangement=paste objects=6 image_px=288

Scores photos held out from the training set, or those of the val split. With --test it trains on
all of train and scores the test photos, once, at the end. `--sweep` takes the recipe of a sweep,
such as `init` writes; without it photos are of dice from above, and may be turned. `--set` changes
settings of the recipe. `--scenes` changes settings of the scenes, or takes a named set.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from syndet_ray.data.class_map import read_class_map
from syndet_ray.data.decode import decode
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.data.read import Dataset, read
from syndet_ray.data.scale import WorkingScale, anchors, training_boxes_wh, working_scale
from syndet_ray.data.splits.split import with_validation
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.assignments import settings_of
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.detection.bootstrap import intervals
from syndet_ray.detection.models import save_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.detection.settle import settled_recipe
from syndet_ray.detection.train import Trainer
from syndet_ray.metrics import AP50, AP50_ANY_CLASS, AP75, IMAGES_PER_SECOND, MAP
from syndet_ray.scenes.generate import generate
from syndet_ray.scenes.stock import write_stock

METRICS = (MAP, AP50, AP75, AP50_ANY_CLASS)
# Named settings of scenes. dice: those of d6_dice, chosen on its training photos (docs/results.md,
# "Synthetic only"), with sizes as they are where its photos are brought to 800 px.
SCENES: dict[str, dict[str, Any]] = {
    "@dice": {
        "objects": 8, "distractors": 6, "image_px": 384, "size_px": (30.0, 55.0),
        "noise": 0.15, "jpeg": 0.5, "floor_color": 0.35, "white_balance": 0.3,
        "box_padding": 0.186, "box_padding_spread": 0.106, "box_jitter": 0.029, "box_square": True,
    },
}  # fmt: skip


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    names = {} if given.classes is None else read_class_map(given.classes)
    dataset = read(given.data, LabelOptions(classes=names))
    if not given.test:
        dataset = with_validation(dataset, seed=0)
    recipe, scale = recipe_for(dataset, given)
    device = torch.device(given.device)
    anchors_px, ratios = recipe.detector.anchor_px, recipe.detector.aspect_ratios
    print(f"{scale.words}; anchors {anchors_px}, ratios {ratios}", flush=True)
    train = decode(dataset.splits["train"], scale.longest_px)
    held_out = decode(dataset.splits["test" if given.test else "val"], scale.longest_px)
    scores = []
    for seed in given.seeds:
        pools = pools_for(recipe, train, given, seed)
        metrics = train_and_score(recipe, pools, held_out, seed=seed, device=device, given=given)
        scores.append(metrics)
    if len(scores) > 1:
        for name in METRICS:
            values = [metrics[name] for metrics in scores]
            mean, deviation = statistics.mean(values), statistics.stdev(values)
            print(f"{name}: mean {mean:.3f}, sd {deviation:.3f} of {len(values)} seeds")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=2400)
    parser.add_argument("--photos", type=int, help="number of training photos; default: all")
    parser.add_argument(
        "--synthetic", type=float, default=0.0, help="share of the images that is synthetic"
    )
    parser.add_argument(
        "--scenes",
        nargs="*",
        default=[],
        metavar="SETTING=VALUE",
        help="a named set, or settings as JSON",
    )
    parser.add_argument("--count", type=int, default=400, help="distinct scenes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--evaluations", type=int, default=1, help="how often a training is scored")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="PATH=VALUE", help="settings of the recipe, as JSON"
    )
    parser.add_argument("--sweep", help="its recipe is trained")
    parser.add_argument("--classes", type=Path, help="YAML of new names of the photos' classes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--keep", type=Path, help="folder for the last model")
    parser.add_argument("--test", action="store_true")
    return parser.parse_args()


def recipe_for(dataset: Dataset, given: argparse.Namespace) -> tuple[Recipe, WorkingScale]:
    """The recipe, settled as a sweep settles it; photos of dice from above may be rotated."""
    dice = Recipe(training=Training(flip_vertical=0.5, transpose=0.5))
    recipe = dice if given.sweep is None else load(given.sweep).recipe
    budget = {"mix.synthetic": given.synthetic, "mix.synthetic_images": given.count}
    recipe = recipe.replace(budget | {"training.images": given.images})
    recipe = recipe.replace(settings_of(given.set, Path.cwd()))
    records = dataset.splits["train"].records
    scale = working_scale(records, recipe.detector.working_px, recipe.training.crop_px, given.data)
    recipe, note = settled_recipe(
        recipe,
        scale,
        training_boxes_wh(records),
        anchor_px=anchors(scale.object_px[0], scale.object_px[2]),
        transposed=recipe.training.transpose > 0,
        gpu=given.device == "cuda",
    )
    if note:
        print(note)
    return recipe.replace(scene_changes(given.scenes)), scale


def scene_changes(words: Sequence[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for word in words:
        if word in SCENES:
            changes |= {f"scene.{name}": value for name, value in SCENES[word].items()}
        else:
            changes |= settings_of([f"scene.{word}"], Path.cwd())
    return changes


def pools_for(recipe: Recipe, train: Pool, given: argparse.Namespace, seed: int) -> dict[str, Pool]:
    """The sources of the training: with few photos, other ones for each seed. Cut-outs are of these
    photos, and are pasted on them.
    """
    pools = {"real": train if given.photos is None else nested_subset(train, given.photos, seed)}
    for name, (parameters, count) in recipe.scenes().items():
        if parameters.pastes:
            is_cut = not parameters.cutouts
            folder = write_stock(pools["real"], given.cache, given.data, cuts=is_cut)
            parameters = parameters.model_copy(update={"photos": str(folder)})
        pools[name] = align_labels(generate(parameters, count, 0, given.cache), train.classes)
    return pools


def train_and_score(
    recipe: Recipe,
    pools: dict[str, Pool],
    held_out: Pool,
    *,
    seed: int,
    device: torch.device,
    given: argparse.Namespace,
) -> dict[str, float]:
    trainer = Trainer(recipe, pools, device=device, seed=seed)
    began = time.process_time()
    for part in range(1, given.evaluations + 1):
        stats = trainer.train_until(given.images * part // given.evaluations)
        predictions = predict(trainer.model, held_out, device=device)
        metrics = score(held_out, predictions).metrics
        scores = ", ".join(f"{name} {metrics[name]:.3f}" for name in METRICS)
        speed = stats.metrics[IMAGES_PER_SECOND]
        print(
            f"seed {seed}, {trainer.images_seen} images: {scores}; {speed:.1f} images/s", flush=True
        )
    print(f"seed {seed}: {time.process_time() - began:.0f} s of CPU")
    if given.test:
        bounds = intervals(held_out, predictions, seed=seed).items()
        print("  " + ", ".join(f"{name} [{low:.3f}, {high:.3f}]" for name, (low, high) in bounds))
    if given.keep:
        save_model(given.keep, trainer.model, recipe.detector, held_out.classes)
    return metrics


if __name__ == "__main__":
    main()
