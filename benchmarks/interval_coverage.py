"""How often do 95 % intervals of the bootstrap over images contain the mAP of the whole population?
The detectors are made up.

    python benchmarks/interval_coverage.py [--images 4 6 10 20 --population 4000]

Two made-up models predict a population of images; their mAP on it is the truth. Test sets are drawn
from it, and the intervals of each are compared with the truth: those of one model's mAP and of the
difference of both models on the same images. An image is hard for both models and, independently,
for each. Objects are hit with noise, missed or labelled wrongly, and there are false alarms.

    ours       `detection.bootstrap`: percentiles of resamples of half the images, without
               replacement, shifted so that their mean is the score
    unbiased   the same, but their mean is the score minus the bias that the resamples show
    replaced   as ours, with resamples of as many images, with replacement
    plain      percentiles of such resamples as they are
    corrected  as unbiased, with such resamples
    basic      the plain interval mirrored about the score (Davison & Hinkley 1997, 5.2.1)

Width is that of ours. Bias is the mean score of test sets minus the truth. It, the standard
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
from syndet_ray.metrics import MAP
from syndet_ray.spread import interval

SHARES = (0.4, 0.25, 0.15, 0.12, 0.08)  # of the classes among objects
KINDS = ("ours", "unbiased", "replaced", "plain", "corrected", "basic")
_SIDE, _CELL, _CELLS = 60, 100, 9  # objects of 60 px, each in a cell of its own


@dataclass(frozen=True)
class Skill:
    """The skill of a made-up model.

    find    log odds that it finds an object on an image of average difficulty
    off_px  by how much its boxes are off
    """

    find: float
    off_px: float


MODELS = Skill(1.5, 3.0), Skill(1.2, 3.5)


def population(images: int, rng: np.random.Generator) -> list[list[Matches]]:
    """The matches of each model's detections on the same images."""
    boxes = [_objects(rng) for _ in range(images)]
    blank = [np.zeros((1, 1, 3), np.uint8)] * images
    classes, ids = tuple(map(str, range(len(SHARES)))), list(map(str, range(images)))
    pool = Pool.of("population", classes, blank, boxes, ids)
    hard = rng.standard_normal(images)
    of_models = []
    for skill in MODELS:
        evaluation = coco(pool, _detected(boxes, hard, skill, rng), 100)
        of_models.append(matches([evaluation], images))
    return of_models


def _objects(rng: np.random.Generator) -> Boxes:
    cells = rng.permutation(_CELLS)[: min(int(rng.poisson(4)), _CELLS)]
    places = rng.uniform(0, _CELL - _SIDE, (len(cells), 2))
    corners = np.stack([cells % 3, cells // 3], axis=1) * _CELL + places
    labels = rng.choice(len(SHARES), len(cells), p=SHARES)
    return Boxes.of(np.concatenate([corners, corners + _SIDE], axis=1), labels)


def _detected(
    boxes: Sequence[Boxes], hard: np.ndarray, skill: Skill, rng: np.random.Generator
) -> list[Predictions]:
    difficulties = hard + 0.5 * rng.standard_normal(len(hard))
    predictions = []
    for labels, difficulty in zip(boxes, difficulties.tolist(), strict=True):
        predictions.append(in_order(_predictions(labels, difficulty, skill, rng)))
    return predictions


def _predictions(boxes: Boxes, hard: float, skill: Skill, rng: np.random.Generator) -> Predictions:
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
    """(3, 1 + 2 * resamples) mAP of a test set, of its resamples and of halves of it, for two
    models and their difference.
    """
    population_images = models[0][0].objects.shape[1]
    chosen = rng.choice(population_images, images, replace=False)
    sets = [chosen]
    sets += [chosen[rng.integers(images, size=images)] for _ in range(resamples)]
    sets += [chosen[rng.permutation(images)[: images // 2]] for _ in range(resamples)]
    first, second = models
    values = np.array([_maps(first, sets), _maps(second, sets)])
    return np.concatenate([values, values[:1] - values[1:]])


def _maps(model: Sequence[Matches], sets: Sequence[np.ndarray]) -> list[float]:
    return [_map(model, images) for images in sets]


def _map(model: Sequence[Matches], images: np.ndarray) -> float:
    return main_metrics(accuracy(model, images))[MAP]


def bounds(score: float, whole: np.ndarray, halves: np.ndarray) -> dict[str, tuple[float, float]]:
    """An interval of each kind, from the mAP of whole and of half resamples, (resamples,) each."""
    low, high = interval(whole)
    bias, bias_of_halves = float(whole.mean()) - score, float(halves.mean()) - score
    return {
        "ours": interval(halves - bias_of_halves),
        "unbiased": interval(halves - 2 * bias_of_halves),
        "replaced": (low - bias, high - bias),
        "plain": (low, high),
        "corrected": (low - 2 * bias, high - 2 * bias),
        "basic": (2 * score - high, 2 * score - low),
    }


def row(name: str, values: np.ndarray, truth: float) -> str:
    """One line of the table, from values (trials, 1 + 2 * resamples)."""
    intervals = [bounds(float(line[0]), *np.split(line[1:], 2)) for line in values]
    scores = values[:, 0]
    width = np.mean([kinds["ours"][1] - kinds["ours"][0] for kinds in intervals])
    facts = (100 * (scores.mean() - truth), 100 * scores.std(ddof=1), 100 * width)
    text = f"{name:22}{100 * truth:8.2f}" + "".join(f"{fact:8.2f}" for fact in facts)
    for kind in KINDS:
        contains_truth = [kinds[kind][0] <= truth <= kinds[kind][1] for kinds in intervals]
        text += f"{np.mean(contains_truth):11.3f}"
    return text


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
    trials = f"{given.trials} trials of {given.resamples} resamples"
    print(f"seed {given.seed}, population of {given.population}, {trials}")
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
