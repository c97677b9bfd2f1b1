"""Obstruction: AP and recall of objects by their visibility, and how much obstruction costs.

COCO's metrics are computed once for each bin of visibility, with all other objects neutral: not to
be found, and not false when found. A detection that finds no object is a false alarm in every bin,
since it belongs to none. So AP in a bin is lower than AP of all objects at equal skill, and
compares with the same bin of another model only. Bins do not hold the same classes either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from syndet_ray.data.pool import Pool
from syndet_ray.data.visibility import Bin, bins_of, visibility
from syndet_ray.detection.bootstrap import Accuracy, Matches, finite_mean
from syndet_ray.detection.score import Predictions, coco
from syndet_ray.metrics import AP_VISIBLE, RECALL_VISIBLE, SLOPE

# Recall of fewer objects moves by more than .2 with each, and would be read as a fact about the
# class.
_LEAST_OBJECTS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class BinView:
    """A pool of which only the objects of one bin count.

    name     "0.25-0.50" of a bin of fixed width, "q1" to "q4" of a quantile
    fixed    True for a bin of fixed width
    neutral  (boxes,) bool: every other box of the pool
    objects  (classes,) number of objects of each class in the bin
    hidden   (classes,) mean obstruction, 1 - visibility, of these; 0 without objects
    """

    name: str
    fixed: bool
    neutral: np.ndarray
    objects: np.ndarray
    hidden: np.ndarray


def views(pool: Pool, minimum: int = 20) -> tuple[BinView, ...]:
    """The views of the bins that hold at least `minimum` objects, and one in any case.

    First the bins of fixed width, then the quantiles.
    """
    bins = bins_of(pool, minimum)
    values, _ = visibility(pool)
    least = max(minimum, 1)
    chosen = []
    for part in bins.bins:
        if part.objects >= least:
            chosen.append(_view(pool, values, part, part.name, fixed=True))
    for number, part in enumerate(bins.quantiles, start=1):
        if part.objects >= least:
            chosen.append(_view(pool, values, part, f"q{number}", fixed=False))
    return tuple(chosen)


def _view(pool: Pool, values: np.ndarray, part: Bin, name: str, *, fixed: bool) -> BinView:
    inside = part.holds(values)
    labels, classes = pool.labels[inside], len(pool.classes)
    objects = np.bincount(labels, minlength=classes)
    total = np.bincount(labels, weights=1 - values[inside], minlength=classes)
    hidden = total / np.maximum(objects, 1)
    return BinView(name=name, fixed=fixed, neutral=~inside, objects=objects, hidden=hidden)


def evaluations(
    pool: Pool, predictions: Sequence[Predictions], views: Sequence[BinView], most: int = 100
) -> list[COCOeval]:
    """pycocotools' evaluation of all objects, then of each view.

    most  detections of a class in an image that count
    """
    of_bins = [coco(pool, predictions, most, view.neutral) for view in views]
    return [coco(pool, predictions, most), *of_bins]


def bin_metrics(accuracy: Accuracy, views: Sequence[BinView]) -> dict[str, float]:
    """Metrics "AP_visible/<bin>", "recall_visible/<bin>", "slope/AP" and "slope/recall", by name.

    AP and recall are means over classes with objects in the bin and IoU .50 to .95. There are
    slopes (see `slope`) if a class has objects in two bins of fixed width. Bins may hold different
    classes: their AP and recall differ by that too, their slopes do not. NaN if the images of
    `accuracy` do not show enough.

    accuracy  of all objects in its first view, then of each of `views`
    """
    tables = {"AP": accuracy.ap[:, 1:], "recall": accuracy.recall[:, 1:]}
    metrics = {}
    for kind, table in tables.items():
        for column, view in enumerate(views):
            metrics[f"{kind}_visible/{view.name}"] = finite_mean(table[:, column])
    fixed = [column for column, view in enumerate(views) if view.fixed]
    objects = np.array([views[column].objects for column in fixed]).T
    hidden = np.array([views[column].hidden for column in fixed]).T
    if len(fixed) > 1 and _in_two_bins(objects).any():
        for kind, table in tables.items():
            scores = table[:, fixed].mean(axis=2)
            metrics[SLOPE + kind] = slope(scores, hidden, objects)
    return metrics


def names_in_images(by_class: Sequence[Matches], views: Sequence[BinView], least: int) -> set[str]:
    """The names of `bin_metrics` that rest on at least `least` images.

    The pool decides, not the predictions: a bin rests on images with an object in it, slopes on
    images of both of two bins of one class.
    """
    bin_objects = sum(matches.objects[1:] for matches in by_class)  # (bins, images)
    bin_images = np.count_nonzero(bin_objects, axis=1)
    names = set()
    for view, images in zip(views, bin_images, strict=True):
        if images >= least:
            names |= {f"{AP_VISIBLE}/{view.name}", f"{RECALL_VISIBLE}/{view.name}"}
    fixed = [row for row, view in enumerate(views, start=1) if view.fixed]
    class_images = [np.count_nonzero(matches.objects[fixed], axis=1) for matches in by_class]
    if _in_two_bins(np.array(class_images) >= least).any():
        names |= {f"{SLOPE}AP", f"{SLOPE}recall"}
    return names


def class_recalls(
    accuracy: Accuracy, views: Sequence[BinView], classes: Sequence[str]
) -> dict[str, float]:
    """Recalls "recall_visible/<bin>/<class>" by name, in the bins of fixed width.

    Only of classes with five objects or more in the bin.

    accuracy  of the whole pool
    """
    table = accuracy.recall[:, 1:].mean(axis=2)
    recalls = {}
    for column, view in enumerate(views):
        if not view.fixed:
            continue
        for row, name in enumerate(classes):
            if view.objects[row] >= _LEAST_OBJECTS:
                recalls[f"{RECALL_VISIBLE}/{view.name}/{name}"] = float(table[row, column])
    return recalls


def slope(scores: np.ndarray, hidden: np.ndarray, objects: np.ndarray) -> float:
    """The change of a score per unit of obstruction within a class; usually negative.

    Weighted least squares with an effect of each class: score = effect of the class + slope *
    hidden, each cell with the weight of its objects. It is the within estimator (Wooldridge 2010,
    Econometric Analysis, 10.5): it makes no difference that some classes are both hidden more often
    and harder. A class with a score in one bin only says nothing; NaN if there is no other class.
    For AP, false alarms also weigh most in bins with few objects.

    All arguments are (classes, bins); scores are NaN where unknown.
    """
    is_known = ~np.isnan(scores)
    weights = np.where(is_known & _in_two_bins(is_known), objects, 0)
    class_weights = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    center = (weights * hidden).sum(axis=1, keepdims=True) / class_weights
    deviation = hidden - center
    variation = (weights * deviation**2).sum()
    if variation <= 0:
        return float("nan")
    covariation = (weights * deviation * np.where(is_known, scores, 0)).sum()
    return float(covariation / variation)


def _in_two_bins(cells: np.ndarray) -> np.ndarray:
    """(classes, 1) bool: at least two of a class's cells (classes, bins) are not 0 or False."""
    return np.count_nonzero(cells, axis=1, keepdims=True) > 1
