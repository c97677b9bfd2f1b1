"""Obstruction: AP and recall of objects by how much of them can be seen, and what hiding costs.

COCO's metrics are taken once for each bin of visibility, with all other objects neutral: not to be
found, and not false when found. What finds nothing at all is a false alarm in every bin, since it
belongs to none; so AP in a bin is lower than AP of all objects at equal skill, and compares with
the same bin of another model only. Nor do bins hold the same classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from syndet_ray.data.pool import Pool
from syndet_ray.data.visibility import Bin, bins_of, visibility
from syndet_ray.detection.bootstrap import Accuracy, Matches, known_mean
from syndet_ray.detection.score import Predictions, coco

# Recall of fewer objects moves by more than .2 with each, and would be read as a fact about the
# class.
_LEAST_OBJECTS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """The objects of one bin.

    name     "0.25-0.50" of a bin of fixed width, "q1" to "q4" of a quantile
    fixed    whether the bin is of fixed width
    neutral  (boxes,) bool: every other box of the pool
    objects  (classes,) how many of each class the bin holds
    hidden   (classes,) mean obstruction, 1 - visibility, of these; 0 where there are none
    """

    name: str
    fixed: bool
    neutral: np.ndarray
    objects: np.ndarray
    hidden: np.ndarray


def views(pool: Pool, minimum: int = 20) -> tuple[View, ...]:
    """Of the bins that hold at least `minimum` objects (and one, in any case): those of fixed
    width, then quantiles.
    """
    known, (values, _) = bins_of(pool, minimum), visibility(pool)
    named = [(one.name, one, True) for one in known.bins]
    named += [(f"q{k}", one, False) for k, one in enumerate(known.quantiles, start=1)]
    return tuple(_view(pool, values, *each) for each in named if each[1].objects >= max(minimum, 1))


def _view(pool: Pool, values: np.ndarray, name: str, one: Bin, fixed: bool) -> View:
    inside = one.holds(values)
    labels, classes = pool.labels[inside], len(pool.classes)
    objects = np.bincount(labels, minlength=classes)
    hidden = np.bincount(labels, weights=1 - values[inside], minlength=classes) / np.maximum(
        objects, 1
    )
    return View(name=name, fixed=fixed, neutral=~inside, objects=objects, hidden=hidden)


def evaluations(
    pool: Pool, predictions: Sequence[Predictions], seen: Sequence[View], most: int = 100
) -> list[COCOeval]:
    """pycocotools' evaluation of all objects, then of each view. most: detections counted of a
    class in an image.
    """
    return [
        coco(pool, predictions, most),
        *(coco(pool, predictions, most, one.neutral) for one in seen),
    ]


def bin_metrics(found: Accuracy, seen: Sequence[View]) -> dict[str, float]:
    """By name "AP_visible/<bin>" and "recall_visible/<bin>", means over classes with objects in the
    bin and IoU .50 to .95.

    And "slope/AP" and "slope/recall" (see `slope`), where a class has objects in two bins of fixed
    width. Bins may hold other
    classes: their AP and recall differ by that too, their slopes do not. found: all objects in the
    first view, then each of `seen`. NaN where the images of `found` do not show enough.
    """
    tables = {"AP": found.ap[:, 1:], "recall": found.recall[:, 1:]}
    metrics = {
        f"{kind}_visible/{one.name}": known_mean(table[:, at])
        for kind, table in tables.items()
        for at, one in enumerate(seen)
    }
    fixed = [at for at, one in enumerate(seen) if one.fixed]
    objects, hidden = (
        np.array([seen[at].objects for at in fixed]).T,
        np.array([seen[at].hidden for at in fixed]).T,
    )
    if len(fixed) > 1 and _several(objects).any():
        for kind, table in tables.items():
            metrics[f"slope/{kind}"] = slope(table[:, fixed].mean(axis=2), hidden, objects)
    return metrics


def in_images(found: Sequence[Matches], seen: Sequence[View], least: int) -> set[str]:
    """The names of `bin_metrics` that rest on at least `least` images: the pool decides, not the
    predictions.

    A bin on images with an object in it, slopes on images of both of two bins of one class.
    """
    per_bin = np.count_nonzero(sum(one.objects[1:] for one in found), axis=1)
    names = {one.name for one, images in zip(seen, per_bin, strict=True) if images >= least}
    fixed = [at for at, one in enumerate(seen, start=1) if one.fixed]
    per_class = np.array([np.count_nonzero(one.objects[fixed], axis=1) for one in found])
    slopes = {"slope/AP", "slope/recall"} if _several(per_class >= least).any() else set()
    return {f"{kind}_visible/{name}" for kind in ("AP", "recall") for name in names} | slopes


def class_recalls(
    found: Accuracy, seen: Sequence[View], classes: Sequence[str]
) -> dict[str, float]:
    """By name "recall_visible/<bin>/<class>", of the bins of fixed width, for classes with five
    objects or more in the bin.

    found: that of the whole pool.
    """
    table = found.recall[:, 1:].mean(axis=2)
    return {
        f"recall_visible/{one.name}/{name}": float(table[k, at])
        for at, one in enumerate(seen)
        for k, name in enumerate(classes)
        if one.fixed and one.objects[k] >= _LEAST_OBJECTS
    }


def slope(scores: np.ndarray, hidden: np.ndarray, objects: np.ndarray) -> float:
    """What a score changes by per unit of obstruction within a class; all (classes, bins), scores
    NaN where unknown.

    Weighted least squares with an effect of each class: score = effect of the class + slope *
    hidden, cells weighing as their objects. It is the within estimator (Wooldridge 2010,
    Econometric Analysis, 10.5): that some classes are hidden more often and are hard besides
    changes nothing. A class known in one bin alone tells nothing; NaN where there is no other.
    Usually
    negative: what is hidden is harder to find. Of AP it also holds that false alarms weigh most
    where a bin has few objects.
    """
    known = ~np.isnan(scores)
    weights = np.where(known & _several(known), objects, 0)
    center = (weights * hidden).sum(axis=1, keepdims=True) / np.maximum(
        weights.sum(axis=1, keepdims=True), 1
    )
    away = hidden - center
    spread = (weights * away**2).sum()
    return (
        float((weights * away * np.where(known, scores, 0)).sum() / spread)
        if spread > 0
        else float("nan")
    )


def _several(cells: np.ndarray) -> np.ndarray:
    """(classes, 1) bool: at least two of a class's cells (classes, bins) are not 0 or False."""
    return np.count_nonzero(cells, axis=1, keepdims=True) > 1
