"""Evaluation: everything that is measured of a model on a test set, with the draws of a bootstrap
over its images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import Accuracy, Matches, accuracy, draws, matches, whole
from syndet_ray.detection.error_kinds import confusion, error_kinds
from syndet_ray.detection.obstruction import (
    View,
    bin_metrics,
    class_recalls,
    evaluations,
    in_images,
    views,
)
from syndet_ray.detection.score import Predictions, coco, means, score
from syndet_ray.spread import LEAST_IMAGES, RESAMPLES

_MOST = 100  # detections that COCO counts of a class in an image
# what a crowded tray may need, and what our models keep of an image
# (architectures._DETECTIONS_PER_IMAGE)
_MANY = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """metrics    by name: those of `score`, `bin_metrics`, `class_recalls` and `error_kinds`, and

               mAP@300     as mAP, but counts 300 detections of each class in an image instead of
                           100
               capped@100  share of images in which more than 100 of some class were found: COCO,
                           and mAP, leave out the rest
               capped@300  share of images in which 300 or more were found of all classes together:
                           as many as our models keep of an image, so that they may have dropped
                           others
    draws      by name, each (resamples,), with the metric itself as mean. Always mAP, AP50, AP75
               and mAR; AP/<class>, AP_visible/<bin>, recall_visible/<bin>, slope/AP and
               slope/recall where objects in ten images or more tell them. What has draws depends on
               the pool alone, and they are paired with those of other models. Of a pool of one
               image all draws are the score, and no interval may be made of them
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
    resamples: int = RESAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """All there is to know of one model's predictions, one for each image of the pool, in its
    order.

    Draws are those of `bootstrap` with the same seed. progress is told (resamples done, resamples
    in all) after each. Raises DataError as `score` does.
    """
    scores, seen = score(pool, predictions), views(pool)
    found = matches(evaluations(pool, predictions, seen), len(pool))
    own = accuracy(found, np.arange(len(pool)))
    named = _Named(
        classes=pool.classes, seen=seen, drawn=frozenset(_drawn(found, pool.classes, seen))
    )
    metrics = scores.metrics | _many(pool, predictions, scores.metrics["mAP"])
    metrics |= (
        bin_metrics(own, seen)
        | class_recalls(own, seen, pool.classes)
        | error_kinds(pool, predictions)
    )
    drawn = draws(found, named, seed=seed, resamples=resamples, progress=progress)
    return Evaluation(
        metrics=metrics, draws=drawn, confusion=confusion(pool, predictions), absent=scores.absent
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Named:
    """The metrics that have draws, of any images of the pool. drawn: the names of those besides the
    four means.
    """

    classes: tuple[str, ...]
    seen: tuple[View, ...]
    drawn: frozenset[str]

    def __call__(self, found: Accuracy) -> dict[str, float]:
        per_class = found.ap[:, 0].mean(axis=1)
        parts = dict(zip((f"AP/{name}" for name in self.classes), per_class.tolist(), strict=True))
        parts |= bin_metrics(found, self.seen)
        return whole(found) | {name: value for name, value in parts.items() if name in self.drawn}


def _drawn(found: Sequence[Matches], classes: Sequence[str], seen: Sequence[View]) -> set[str]:
    """The names of what rests on enough images; the same for all models on a pool."""
    images = [np.count_nonzero(one.objects[0]) for one in found]
    per_class = {
        f"AP/{name}" for name, count in zip(classes, images, strict=True) if count >= LEAST_IMAGES
    }
    return per_class | in_images(found, seen, LEAST_IMAGES)


def _many(pool: Pool, predictions: Sequence[Predictions], at_most_100: float) -> dict[str, float]:
    fullest = np.array([np.bincount(image.labels).max(initial=0) for image in predictions])
    found = np.array([len(image.labels) for image in predictions])
    cut, full = fullest > _MOST, found >= _MANY
    return {
        f"mAP@{_MANY}": means(coco(pool, predictions, _MANY))["mAP"] if cut.any() else at_most_100,
        f"capped@{_MOST}": float(cut.sum() / max(len(pool), 1)),
        f"capped@{_MANY}": float(full.sum() / max(len(pool), 1)),
    }
