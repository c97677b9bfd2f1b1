"""Evaluation: all metrics of a model on a test set, with bootstrap draws over its images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import Accuracy, Matches, accuracy, draws, main_metrics, matches
from syndet_ray.detection.error_kinds import confusion, error_kinds
from syndet_ray.detection.obstruction import (
    BinView,
    bin_metrics,
    class_recalls,
    evaluations,
    names_in_images,
    views,
)
from syndet_ray.detection.score import Predictions, coco, means, score
from syndet_ray.metrics import (
    CAPPED_AT_100,
    CAPPED_AT_300,
    CLASS_AP,
    MAP,
    MAP_AT_300,
    VALIDATION,
)
from syndet_ray.progress import Progress
from syndet_ray.spread import LEAST_IMAGES, RESAMPLES

_MOST = 100  # detections that COCO counts of a class in an image
# a crowded tray may need this number; our models keep no more of an image
# (architectures._DETECTIONS_PER_IMAGE)
_MANY = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """metrics    by name: those of `score`, `bin_metrics`, `class_recalls` and `error_kinds`, and

               mAP@300     as mAP, but counts 300 detections of each class in an image instead of
                           100
               capped@100  share of images with more than 100 detections of one class: COCO, and
                           mAP, leave out the rest
               capped@300  share of images with 300 or more detections of all classes together: our
                           models keep no more of an image, so they may have dropped others
    draws      by name, each (resamples,), with the metric itself as mean. Always mAP, AP50, AP75
               and mAR; AP/<class>, AP_visible/<bin>, recall_visible/<bin>, slope/AP and
               slope/recall if they rest on objects in ten images or more. The names depend on the
               pool alone, and the draws are paired with those of other models. For a pool of one
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
    progress: Progress | None = None,
) -> Evaluation:
    """Computes all metrics of a model's predictions, one for each image of the pool, in its order.

    Draws are those of `bootstrap` with the same seed. Raises DataError as `score` does.

    progress  called with (resamples done, all resamples) after each resample
    """
    scores = score(pool, predictions)
    bins = views(pool)
    by_class = matches(evaluations(pool, predictions, bins), len(pool))
    of_pool = accuracy(by_class, np.arange(len(pool)))
    metrics = {
        **scores.metrics,
        **_limit_metrics(pool, predictions, scores.metrics[MAP]),
        **bin_metrics(of_pool, bins),
        **class_recalls(of_pool, bins, pool.classes),
        **error_kinds(pool, predictions),
    }
    resampled = _ResampledMetrics(
        classes=pool.classes, views=bins, names=_well_founded(by_class, pool.classes, bins)
    )
    return Evaluation(
        metrics=metrics,
        draws=draws(by_class, resampled, seed=seed, resamples=resamples, progress=progress),
        confusion=confusion(pool, predictions),
        absent=scores.absent,
    )


def rung_metrics(
    val: Pool, predictions: Sequence[Predictions], *, errors: bool = False
) -> dict[str, float]:
    """COCO scores of predictions on the real validation set, named val/...

    With `errors` it adds the cost of each kind of error. Raises DataError as `score` does.
    """
    metrics = dict(score(val, predictions).metrics)
    if errors:
        metrics |= error_kinds(val, predictions)
    return {f"{VALIDATION}{name}": value for name, value in metrics.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class _ResampledMetrics:
    """Computes the metrics that have draws, for any images of the pool.

    names  of those besides the four means
    """

    classes: tuple[str, ...]
    views: tuple[BinView, ...]
    names: frozenset[str]

    def __call__(self, accuracy: Accuracy) -> dict[str, float]:
        class_ap = accuracy.ap[:, 0].mean(axis=1).tolist()
        names = [CLASS_AP + name for name in self.classes]
        parts = dict(zip(names, class_ap, strict=True))
        parts |= bin_metrics(accuracy, self.views)
        metrics = main_metrics(accuracy)
        for name, value in parts.items():
            if name in self.names:
                metrics[name] = value
        return metrics


def _well_founded(
    by_class: Sequence[Matches], classes: Sequence[str], views: Sequence[BinView]
) -> frozenset[str]:
    """The names of the metrics that rest on enough images; the same for all models on a pool."""
    names = names_in_images(by_class, views, LEAST_IMAGES)
    for name, class_matches in zip(classes, by_class, strict=True):
        if np.count_nonzero(class_matches.objects[0]) >= LEAST_IMAGES:
            names.add(CLASS_AP + name)
    return frozenset(names)


def _limit_metrics(
    pool: Pool, predictions: Sequence[Predictions], map_100: float
) -> dict[str, float]:
    """mAP@300, capped@100 and capped@300, see Evaluation. map_100 is mAP at 100 detections."""
    class_counts = [np.bincount(image.labels).max(initial=0) for image in predictions]
    counts = [len(image.labels) for image in predictions]
    cut = np.array(class_counts) > _MOST
    full = np.array(counts) >= _MANY
    map_300 = map_100
    if cut.any():
        map_300 = means(coco(pool, predictions, _MANY))[MAP]
    return {
        MAP_AT_300: map_300,
        CAPPED_AT_100: float(cut.sum() / max(len(pool), 1)),
        CAPPED_AT_300: float(full.sum() / max(len(pool), 1)),
    }
