"""Error kinds: what AP50 loses to each kind of mistake, after TIDE, and which class is taken for
which.

Bolya, Foley, Hays & Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV
2020, sections 2.2 (the kinds) and 2.3 (how each is fixed).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import average_precision, best_precision
from syndet_ray.detection.score import IOU_50, Predictions, coco, joined, xywh

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
_RIGHT = "right"
_FOREGROUND, _BACKGROUND = 0.5, 0.1  # IoU, the paper's t_f and t_b


@dataclass(frozen=True, eq=False, kw_only=True)
class Errors:
    """d detections that COCO counts and o objects of a pool, boxes of crowds among them.

    labels, scores   (d,)
    kinds            (d,) str, one of KINDS but "missed", or "right"
    targets          (d,) index of the object that was found, or would be if the error were fixed;
                     -1 for none
    objects          (o,) labels; -1 for crowds
    missed           (o,) bool, found by nothing, not even by a detection of wrong class or place
    """

    labels: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    targets: np.ndarray
    objects: np.ndarray
    missed: np.ndarray


def error_kinds(pool: Pool, predictions: Sequence[Predictions]) -> dict[str, float]:
    """By name "error/<kind>": what AP50 would gain if all errors of that kind, and no others, were
    fixed.
    """
    found = errors(pool, predictions)
    now = fixed_ap50(found, ())
    return {f"error/{kind}": fixed_ap50(found, (kind,)) - now for kind in KINDS}


def errors(pool: Pool, predictions: Sequence[Predictions]) -> Errors:
    """The kind of every detection and object. Where several fit a detection the first holds, as in
    the authors' program:

    localisation    IoU .1 to .5 with an object of its class
    classification  IoU .5 or more with an object of another class
    duplicate       IoU .5 or more with an object of its class, which another detection has found
    background      IoU below .1 with every object
    both            IoU .1 to .5 with an object of another class

    An object is missed if it is unmatched and no error of localisation or classification is about
    it. Detections that lie in a crowd are left out. Matches are those of COCO's AP50.
    """
    order, matched = _matched(coco(pool, predictions, 100))
    found = joined(predictions).select(order)
    kinds = np.full(len(order), _RIGHT, dtype="U14")
    targets = matched.copy()
    images = np.repeat(np.arange(len(pool)), [len(image.scores) for image in predictions])[order]
    starts = np.concatenate([[0], np.cumsum(pool.box_counts)])
    for i in range(len(pool)):
        wrong = np.flatnonzero((images == i) & (matched < 0))
        kinds[wrong], at = _false_alarms(found, wrong, pool.boxes(i))
        targets[wrong] = np.where(at >= 0, at + starts[i], -1)
    objects = np.where(pool.crowd, -1, pool.labels)
    missed = (objects >= 0) & ~np.isin(np.arange(len(objects)), targets)
    return Errors(
        labels=found.labels,
        scores=found.scores,
        kinds=kinds,
        targets=targets,
        objects=objects,
        missed=missed,
    )


def fixed_ap50(found: Errors, kinds: Iterable[str]) -> float:
    """AP50 had the model made no errors of these kinds; 0 where there are no objects.

    Wrong classes and places are put right; where an object is then found more than once, only its
    best detection stays. Detections of the other kinds are taken away, and missed objects are no
    longer looked for. A class that is then left without objects scores 1 if it is also without
    detections, and 0 otherwise.
    """
    kinds = set(kinds)
    hits = (found.kinds == _RIGHT) | _among(found.kinds, kinds & {"localisation", "classification"})
    misses = ~hits & ~_among(found.kinds, kinds)
    hits = _first_of_each(found, hits)
    labels = np.where(
        hits, found.objects[found.targets] if len(found.objects) else -1, found.labels
    )
    sought = found.objects[~found.missed] if "missed" in kinds else found.objects
    order = np.flatnonzero(hits | misses)
    order = order[np.argsort(-found.scores[order], kind="stable")]
    present = sorted(set(found.objects[found.objects >= 0].tolist()))
    per_class = [
        _class_ap(hits[order[labels[order] == k]], int((sought == k).sum())) for k in present
    ]
    return float(np.mean(per_class)) if per_class else 0.0


def confusion(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    score_from: float = 0.5,
    iou_from: float = 0.5,
) -> np.ndarray:
    """(k + 1, k + 1) int64: how many objects of class [row] were found as class [column].

    The last row is what was no object (false alarms), the last column what was not found (missed).
    Of detections of at least `score_from`, the best chooses first, and takes the object of any
    class that it overlaps most, by `iou_from` at least. Crowds are neutral: not to be found, and a
    detection that otherwise hits nothing is not counted within one.
    """
    last = len(pool.classes)
    table = np.zeros((last + 1, last + 1), np.int64)
    for i, image in enumerate(predictions):
        kept = np.flatnonzero(image.scores >= score_from)
        kept = kept[np.argsort(-image.scores[kept], kind="stable")]
        rows, columns = _pairs(pool.boxes(i), image.xyxy[kept], image.labels[kept], iou_from, last)
        np.add.at(table, (rows, columns), 1)
    return table


def _matched(evaluation: COCOeval) -> tuple[np.ndarray, np.ndarray]:
    """(d,) indices of the detections that count for AP50, class by class, and (d,) of the objects
    they found, or -1.
    """
    cells = [cell for cell in evaluation.evalImgs if cell]
    found = [np.zeros((3, 0))] + [
        np.array([cell["dtIds"], cell["dtMatches"][IOU_50], cell["dtIgnore"][IOU_50]])
        for cell in cells
    ]
    ids, objects, neutral = np.concatenate(found, axis=1)
    return ids[neutral == 0].astype(np.int64) - 1, objects[neutral == 0].astype(np.int64) - 1


def _false_alarms(
    found: Predictions, wrong: np.ndarray, boxes: Boxes
) -> tuple[np.ndarray, np.ndarray]:
    """(w,) kind of each false alarm of an image, and (w,) index of the object that fixing it would
    find, or -1.
    """
    iou = _ious(found.xyxy[wrong], boxes.xyxy, np.zeros(len(boxes), bool))
    own = (found.labels[wrong][:, None] == boxes.labels) & ~boxes.crowd
    other = ~own & ~boxes.crowd
    right, wide = (iou * own).max(axis=1, initial=0), (iou * other).max(axis=1, initial=0)
    kinds = _kinds(right, wide)
    at = np.full(len(wrong), -1)
    for kind, which in (("localisation", own), ("classification", other)):
        chosen = kinds == kind
        if chosen.any():
            at[chosen] = (iou * which)[chosen].argmax(axis=1)
    return kinds, at


def _kinds(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(w,) by the greatest IoU (w,) with an object of its own class and of another."""
    rules = {
        "localisation": (own >= _BACKGROUND) & (own < _FOREGROUND),
        "classification": other >= _FOREGROUND,
        "duplicate": own >= _FOREGROUND,
        "background": np.maximum(own, other) < _BACKGROUND,
    }
    return np.select(list(rules.values()), list(rules), "both")


def _ious(xyxy: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(d, o) COCO's overlap of d boxes with o objects: with a crowd, the share of the box that lies
    in it.
    """
    if len(xyxy) == 0 or len(objects) == 0:
        return np.zeros((len(xyxy), len(objects)))
    return np.asarray(mask.iou(xywh(xyxy), xywh(objects), crowd.astype(np.uint8).tolist()))


def _among(values: np.ndarray, names: set[str]) -> np.ndarray:
    return np.isin(values, sorted(names))


def _first_of_each(found: Errors, hits: np.ndarray) -> np.ndarray:
    """(d,) bool: of the hits on each object the most confident; of tied ones that which was right
    from the start.
    """
    order = np.lexsort((found.kinds != _RIGHT, -found.scores))
    order = order[hits[order]]
    _, first = np.unique(found.targets[order], return_index=True)
    kept = np.zeros(len(hits), bool)
    kept[order[first]] = True
    return kept


def _class_ap(hits: np.ndarray, objects: int) -> float:
    if objects == 0:
        return float(len(hits) == 0)
    return float(average_precision(best_precision(hits[None], ~hits[None]), objects)[0])


def _pairs(
    boxes: Boxes, xyxy: np.ndarray, labels: np.ndarray, iou_from: float, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the confusion table that one image adds to, row and column of each."""
    iou = _ious(xyxy, boxes.xyxy, boxes.crowd)
    found = _greedy(iou * ~boxes.crowd, iou_from)
    in_crowd = (iou * boxes.crowd).max(axis=1, initial=0) >= iou_from
    counted = (found >= 0) | ~in_crowd
    true = np.array([boxes.labels[at] if at >= 0 else last for at in found], np.int64)
    missed = boxes.labels[~boxes.crowd & ~np.isin(np.arange(len(boxes)), found)]
    return np.concatenate([true[counted], missed]), np.concatenate(
        [labels[counted], np.full(len(missed), last)]
    )


def _greedy(iou: np.ndarray, iou_from: float) -> np.ndarray:
    """(d,) index of the object that each detection takes, best detection first, or -1. iou (d, o)."""
    free, found = np.ones(iou.shape[1], bool), np.full(len(iou), -1)
    for d, row in enumerate(iou):
        row = np.where(free, row, 0.0)
        if row.max(initial=0) >= iou_from:
            found[d] = row.argmax()
            free[found[d]] = False
    return found
