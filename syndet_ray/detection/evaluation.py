"""Evaluation: everything that is measured of a model on a test set, with the draws of a bootstrap over its images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import Accuracy, accuracy, draws, matches, whole
from syndet_ray.detection.error_kinds import confusion, error_kinds
from syndet_ray.detection.obstruction import View, bin_metrics, class_recalls, evaluations, views
from syndet_ray.detection.score import Predictions, coco, means, score

_MOST, _MANY = 100, 300  # detections of a class in an image: what COCO counts, and what a crowded tray may need


@dataclass(frozen=True, eq=False)
class Evaluation:
    """metrics    by name: those of `score`; "mAP@300", which counts 300 detections instead of 100; "capped@100" and
               "capped@300", the share of images with as many predictions or more, which may so be too few; those of
               `obstruction` and of `error_kinds`
    draws      by name, each (resamples,), with the metric itself as mean: mAP, AP50, AP75, mAR, AP/<class>,
               AP_visible/<bin>, recall_visible/<bin>, slope/AP and slope/recall. Paired with those of other models
    confusion  (k + 1, k + 1) int64, see `error_kinds.confusion`
    absent     classes without an object in the pool: no AP, and not in any mean
    """

    metrics: dict[str, float]
    draws: dict[str, np.ndarray]
    confusion: np.ndarray
    absent: tuple[str, ...]


def evaluate(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    seed: int,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """All there is to know of one model's predictions, one for each image of the pool, in its order.

    Draws are those of `bootstrap` with the same seed. progress is told (resamples done, resamples in all) after each.
    Raises DataError for a score that is not a number.
    """
    scores, seen = score(pool, predictions), views(pool)
    found = matches(evaluations(pool, predictions, seen), len(pool))
    own = accuracy(found, np.arange(len(pool)))
    named = _Named(pool.classes, scores.absent, seen)
    metrics = scores.metrics | _many(pool, predictions, scores.metrics["mAP"])
    metrics |= bin_metrics(own, seen) | class_recalls(own, seen, pool.classes) | error_kinds(pool, predictions)
    drawn = draws(found, named, seed=seed, resamples=resamples, progress=progress)
    return Evaluation(metrics, drawn, confusion(pool, predictions), scores.absent)


@dataclass(frozen=True, eq=False)
class _Named:
    """The metrics that have draws, of any images of the pool."""

    classes: tuple[str, ...]
    absent: tuple[str, ...]
    seen: tuple[View, ...]

    def __call__(self, found: Accuracy) -> dict[str, float]:
        per_class = found.ap[:, 0].mean(axis=1)
        by_name = dict(zip((f"AP/{name}" for name in self.classes), per_class.tolist(), strict=True))
        for name in self.absent:
            del by_name[f"AP/{name}"]
        return whole(found) | by_name | bin_metrics(found, self.seen)


def _many(pool: Pool, predictions: Sequence[Predictions], at_most_100: float) -> dict[str, float]:
    counts = np.array([len(image.scores) for image in predictions])
    crowded = counts.max(initial=0) > _MOST
    return {
        f"mAP@{_MANY}": means(coco(pool, predictions, _MANY))["mAP"] if crowded else at_most_100,
        f"capped@{_MOST}": float((counts >= _MOST).sum() / max(len(counts), 1)),
        f"capped@{_MANY}": float((counts >= _MANY).sum() / max(len(counts), 1)),
    }
