"""How often do 95 % intervals of the bootstrap over images hold the mAP of all images there are? A
made-up detector.

    python benchmarks/interval_coverage.py [--images 4 6 10 20 --population 4000]

A population of images is detected by two made-up models; its mAP is the truth. Test sets are drawn
from it, and the intervals of each are compared with the truth: of one model's mAP and of the
difference of both on the same images. An image is hard for both and, independently, for each;
objects are hit with noise, missed, named wrongly, and things are seen that are not there.

    ours       `detection.bootstrap`: percentiles of draws of half the images without return,
               shifted so that their mean is the score
    unbiased   the same, but the mean is the score less the bias that the draws show
    return     as ours, of draws of as many images with return
    plain      percentiles of such draws as they are
    corrected  as unbiased, of such draws
    basic      the plain interval mirrored about the score (Davison & Hinkley 1997, 5.2.1)

Width is that of ours. Bias is the mean score of test sets minus the truth; it, the standard
deviation of scores and widths are in points of mAP.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import Matches, accuracy, main_metrics, matches
from syndet_ray.detection.score import Predictions, coco, in_order
from syndet_ray.spread import interval

SHARES = (0.4, 0.25, 0.15, 0.12, 0.08)  # of the classes among objects
KINDS = ("ours", "unbiased", "return", "plain", "corrected", "basic")
_SIDE, _CELL, _CELLS = 60, 100, 9  # objects of 60 px, each in a cell of its own


@dataclass(frozen=True)
class Skill:
    """Of a made-up model: log odds of finding an object of an image of middling difficulty, and px
    its boxes are off by.
    """

    find: float
    off_px: float


MODELS = Skill(1.5, 3.0), Skill(1.2, 3.5)


def population(images: int, rng: np.random.Generator) -> list[list[Matches]]:
    """What each model's detections match in the same images."""
    boxes = [_objects(rng) for _ in range(images)]
    blank = [np.zeros((1, 1, 3), np.uint8)] * images
    pool = Pool.of(
        "population",
        tuple(map(str, range(len(SHARES)))),
        blank,
        boxes,
        list(map(str, range(images))),
    )
    hard = rng.standard_normal(images)
    return [
        matches([coco(pool, _detected(boxes, hard, skill, rng), 100)], images) for skill in MODELS
    ]


def _objects(rng: np.random.Generator) -> Boxes:
    cells = rng.permutation(_CELLS)[: min(int(rng.poisson(4)), _CELLS)]
    corners = np.stack([cells % 3, cells // 3], axis=1) * _CELL + rng.uniform(
        0, _CELL - _SIDE, (len(cells), 2)
    )
    return Boxes.of(
        np.concatenate([corners, corners + _SIDE], axis=1),
        rng.choice(len(SHARES), len(cells), p=SHARES),
    )


def _detected(
    boxes: Sequence[Boxes], hard: np.ndarray, skill: Skill, rng: np.random.Generator
) -> list[Predictions]:
    own = hard + 0.5 * rng.standard_normal(len(hard))
    return [in_order(_seen(each, float(h), skill, rng)) for each, h in zip(boxes, own, strict=True)]


def _seen(boxes: Boxes, hard: float, skill: Skill, rng: np.random.Generator) -> Predictions:
    hit = boxes.select(rng.random(len(boxes)) < _share(skill.find - hard))
    noise = rng.normal(0, skill.off_px * np.exp(0.3 * hard), hit.xyxy.shape)
    labels = np.where(
        rng.random(len(hit)) < 0.9, hit.labels, rng.integers(0, len(SHARES), len(hit))
    )
    false = _objects(rng) if rng.random() < 0.4 else Boxes.none()
    scores = np.concatenate(
        [1 - 0.7 * hard + rng.standard_normal(len(hit)), -1 + rng.standard_normal(len(false))]
    )
    return Predictions(
        xyxy=np.concatenate([hit.xyxy + noise, false.xyxy]),
        labels=np.concatenate([labels, false.labels]),
        scores=_share(scores),
    )


def _share(log_odds: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(log_odds)))


def trial(
    models: Sequence[Sequence[Matches]], images: int, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(3, 1 + 2 * resamples) mAP of a test set, of its resamples and of halves of it: two models,
    and their difference.
    """
    every = models[0][0].objects.shape[1]
    chosen = rng.choice(every, images, replace=False)
    sets = [chosen, *(chosen[rng.integers(images, size=images)] for _ in range(resamples))]
    sets += [chosen[rng.permutation(images)[: images // 2]] for _ in range(resamples)]
    values = np.array([[_map(model, one) for one in sets] for model in models])
    return np.concatenate([values, values[:1] - values[1:]])


def _map(model: Sequence[Matches], images: np.ndarray) -> float:
    return main_metrics(accuracy(model, images))["mAP"]


def bounds(score: float, drawn: np.ndarray, halves: np.ndarray) -> dict[str, tuple[float, float]]:
    """An interval of each kind. drawn and halves (resamples,), as they come."""
    low, high = interval(drawn)
    bias, bias_of_halves = float(drawn.mean()) - score, float(halves.mean()) - score
    return {
        "ours": interval(halves - bias_of_halves),
        "unbiased": interval(halves - 2 * bias_of_halves),
        "return": (low - bias, high - bias),
        "plain": (low, high),
        "corrected": (low - 2 * bias, high - 2 * bias),
        "basic": (2 * score - high, 2 * score - low),
    }


def row(name: str, drawn: np.ndarray, truth: float) -> str:
    """One line of the table. drawn (trials, 1 + 2 * resamples)."""
    found = [bounds(float(one[0]), *np.split(one[1:], 2)) for one in drawn]
    held = [np.mean([one[kind][0] <= truth <= one[kind][1] for one in found]) for kind in KINDS]
    width = np.mean([one["ours"][1] - one["ours"][0] for one in found])
    facts = (100 * (drawn[:, 0].mean() - truth), 100 * drawn[:, 0].std(ddof=1), 100 * width)
    return (
        f"{name:22}{100 * truth:8.2f}"
        + "".join(f"{fact:8.2f}" for fact in facts)
        + "".join(f"{h:11.3f}" for h in held)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--population", type=int, default=20_000)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200])
    given = parser.parse_args()
    models = population(given.population, np.random.default_rng(given.seed))
    truths = [_map(model, np.arange(given.population)) for model in models]
    truths.append(truths[0] - truths[1])
    print(
        f"seed {given.seed}, population of {given.population}, {given.trials} trials of {given.resamples} resamples"
    )
    print(
        f"{'images':22}{'truth':>8}{'bias':>8}{'sd':>8}{'width':>8}"
        + "".join(f"{kind:>11}" for kind in KINDS)
    )
    for images in given.images:
        rng = np.random.default_rng([given.seed + 1, images])
        table = np.array([trial(models, images, given.resamples, rng) for _ in range(given.trials)])
        for k, name in enumerate(("first model", "second model", "difference")):
            print(row(f"{images:4} {name}", table[:, k], truths[k]), flush=True)


if __name__ == "__main__":
    main()
