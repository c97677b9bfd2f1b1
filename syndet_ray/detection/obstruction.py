"""Obstruction: AP and recall of objects by how much of them can be seen, and what hiding costs.

COCO's metrics are taken once for each bin of visibility, with all other objects neutral: not to be found, and not false when
found. What finds nothing at all is a false alarm in every bin, since it belongs to none; so AP in a bin is lower than AP of
all objects at equal skill, and compares with the same bin of another model only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from syndet_ray.data.pool import Pool
from syndet_ray.data.visibility import Bin, bins_of, visibility
from syndet_ray.detection.bootstrap import Accuracy, accuracy, known_mean, matches
from syndet_ray.detection.score import Predictions, coco


@dataclass(frozen=True, eq=False)
class View:
    """The objects of one bin.

    name     "0.25-0.50" of a bin of fixed width, "q1" to "q4" of a quantile
    fixed    whether the bin is of fixed width
    neutral  (boxes,) bool: every other box of the pool
    """

    name: str
    bin: Bin
    fixed: bool
    neutral: np.ndarray


def views(pool: Pool, minimum: int = 20) -> tuple[View, ...]:
    """Of the bins that hold at least `minimum` objects (and one, in any case): those of fixed width, then quantiles."""
    known, (values, _) = bins_of(pool, minimum), visibility(pool)
    named = [(one.name, one, True) for one in known.bins]
    named += [(f"q{k}", one, False) for k, one in enumerate(known.quantiles, start=1)]
    return tuple(
        View(name, one, fixed, ~one.holds(values)) for name, one, fixed in named if one.objects >= max(minimum, 1)
    )


def evaluations(
    pool: Pool, predictions: Sequence[Predictions], seen: Sequence[View], most: int = 100
) -> list[COCOeval]:
    """pycocotools' evaluation of all objects, then of each view. most: detections counted of a class in an image."""
    return [coco(pool, predictions, most), *(coco(pool, predictions, most, one.neutral) for one in seen)]


def obstruction(pool: Pool, predictions: Sequence[Predictions], minimum: int = 20) -> dict[str, float]:
    """`bin_metrics` and `class_recalls` of a model on a pool; empty where no bin has enough objects."""
    seen = views(pool, minimum)
    found = accuracy(matches(evaluations(pool, predictions, seen), len(pool)), np.arange(len(pool)))
    return bin_metrics(found, seen) | class_recalls(found, seen, pool.classes)


def bin_metrics(found: Accuracy, seen: Sequence[View]) -> dict[str, float]:
    """By name "AP_visible/<bin>" and "recall_visible/<bin>", means over classes with objects in the bin and IoU .50 to .95.

    And "slope/AP" and "slope/recall", where two bins of fixed width have enough objects. found: all objects in the first
    view, then each of `seen`. NaN where the images of `found` show no object of the bin.
    """
    ap = {one.name: known_mean(found.ap[:, at]) for at, one in enumerate(seen, start=1)}
    recall = {one.name: known_mean(found.recall[:, at]) for at, one in enumerate(seen, start=1)}
    metrics = {f"AP_visible/{name}": value for name, value in ap.items()}
    metrics |= {f"recall_visible/{name}": value for name, value in recall.items()}
    fixed = [one for one in seen if one.fixed]
    if len(fixed) > 1:
        metrics["slope/AP"] = slope([one.bin for one in fixed], [ap[one.name] for one in fixed])
        metrics["slope/recall"] = slope([one.bin for one in fixed], [recall[one.name] for one in fixed])
    return metrics


def class_recalls(found: Accuracy, seen: Sequence[View], classes: Sequence[str]) -> dict[str, float]:
    """By name "recall_visible/<bin>/<class>", of the bins of fixed width, for the classes that have an object in the bin."""
    table = found.recall[:, 1:].mean(axis=2)
    return {
        f"recall_visible/{one.name}/{name}": float(table[k, at])
        for at, one in enumerate(seen)
        for k, name in enumerate(classes)
        if one.fixed and not np.isnan(table[k, at])
    }


def slope(bins: Sequence[Bin], scores: Sequence[float]) -> float:
    """Score per unit of obstruction (1 - visibility): the line of least squares through the bins' mean obstruction.

    Bins weigh as their objects. Usually negative: what is hidden is harder to find. At least two bins, none empty.
    """
    hidden = np.array([1 - one.mean for one in bins if one.mean is not None])
    weights = np.array([one.objects for one in bins], np.float64)
    away = hidden - np.average(hidden, weights=weights)
    return float((weights * away * np.array(scores)).sum() / (weights * away**2).sum())
