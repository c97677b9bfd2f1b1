"""Error kinds: the effect of each kind of mistake on AP, after TIDE, and the confusion of classes.

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
from syndet_ray.detection.score import IOU_50, Predictions, coco, join_predictions, xywh
from syndet_ray.metrics import ERROR

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
_RIGHT = "right"  # the kind of a detection that is no error
_FOREGROUND, _BACKGROUND = 0.5, 0.1  # IoU, the paper's t_f and t_b
_MOST = 100  # detections of a class in an image that count, as for COCO's AP50


@dataclass(frozen=True, eq=False, kw_only=True)
class Errors:
    """d detections that COCO counts and o objects of a pool, boxes of crowds among them.

    labels, scores   (d,)
    kinds            (d,) str, one of KINDS but "missed", or "right"
    targets          (d,) index of the object that a detection finds, or would find if its error
                     were fixed; -1 for none
    objects          (o,) labels; -1 for crowds
    missed           (o,) bool, no detection finds it, not even one of wrong class or place
    """

    labels: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    targets: np.ndarray
    objects: np.ndarray
    missed: np.ndarray


def error_kinds(pool: Pool, predictions: Sequence[Predictions]) -> dict[str, float]:
    """The gain of AP50 if all errors of one kind, and no others, were fixed; by "error/<kind>"."""
    all_errors = errors(pool, predictions)
    ap50 = fixed_ap50(all_errors, ())
    return {ERROR + kind: fixed_ap50(all_errors, (kind,)) - ap50 for kind in KINDS}


def errors(pool: Pool, predictions: Sequence[Predictions]) -> Errors:
    """The kind of every detection and object.

    If several kinds fit a detection, it is the first of them, as in the authors' program:

    localisation    IoU .1 to .5 with an object of its class
    classification  IoU .5 or more with an object of another class
    duplicate       IoU .5 or more with an object of its class that another detection has found
    background      IoU below .1 with every object
    both            IoU .1 to .5 with an object of another class

    An object is missed if it is unmatched and no error of localisation or classification is about
    it. Detections that lie in a crowd are left out. Matches are those of COCO's AP50.
    """
    order, matched = _match(coco(pool, predictions, _MOST))
    detections = join_predictions(predictions).select(order)
    counts = [len(image.scores) for image in predictions]
    images = np.repeat(np.arange(len(pool)), counts)[order]
    first_object = np.concatenate([[0], np.cumsum(pool.box_counts)])  # of each image
    kinds = np.full(len(order), _RIGHT, dtype="U14")  # the longest name has 14 letters
    targets = matched.copy()
    for i in range(len(pool)):
        unmatched = np.flatnonzero((images == i) & (matched < 0))
        false_alarms = detections.select(unmatched)
        kinds[unmatched], in_image = _false_alarms(false_alarms, pool.boxes(i))
        in_pool = in_image + first_object[i]
        targets[unmatched] = np.where(in_image >= 0, in_pool, -1)
    objects = np.where(pool.crowd, -1, pool.labels)
    is_target = np.isin(np.arange(len(objects)), targets)
    missed = ~pool.crowd & ~is_target
    return Errors(
        labels=detections.labels,
        scores=detections.scores,
        kinds=kinds,
        targets=targets,
        objects=objects,
        missed=missed,
    )


def fixed_ap50(errors: Errors, kinds: Iterable[str]) -> float:
    """AP50 of the same model without errors of these kinds; 0 if there are no objects.

    Wrong classes and places are corrected; if an object is then found more than once, only its best
    detection stays. Detections of the other kinds are removed, and missed objects no longer count.
    A class that is then without objects scores 1 if it is also without detections, and 0 otherwise.
    """
    fixed = set(kinds)
    corrected = _among(errors.kinds, fixed & {"localisation", "classification"})
    candidates = (errors.kinds == _RIGHT) | corrected
    misses = ~candidates & ~_among(errors.kinds, fixed)
    hits = _best_of_each_object(errors, candidates)
    labels = errors.labels.copy()
    labels[hits] = errors.objects[errors.targets[hits]]
    sought = errors.objects[~errors.missed] if "missed" in fixed else errors.objects
    order = np.flatnonzero(hits | misses)
    order = order[np.argsort(-errors.scores[order], kind="stable")]
    class_aps = []
    for label in np.unique(errors.objects[errors.objects >= 0]):
        of_class = order[labels[order] == label]
        objects = int((sought == label).sum())
        class_aps.append(_class_ap(hits[of_class], objects))
    return float(np.mean(class_aps)) if class_aps else 0.0


def confusion(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    score_from: float = 0.5,
    iou_from: float = 0.5,
) -> np.ndarray:
    """(k + 1, k + 1) int64: the number of objects of class [row] that were found as class [column].

    The last row has detections of no object (false alarms), the last column objects that were not
    found (missed). Of detections of at least `score_from`, the best chooses first, and takes the
    object of any class that it overlaps most, by `iou_from` at least. Crowds are neutral: not to be
    found, and a detection within one that hits nothing else is not counted.
    """
    nothing = len(pool.classes)  # the last row and column
    table = np.zeros((nothing + 1, nothing + 1), np.int64)
    for i, image in enumerate(predictions):
        confident = image.select(image.scores >= score_from)
        best_first = confident.select(np.argsort(-confident.scores, kind="stable"))
        rows, columns = _cells(pool.boxes(i), best_first, iou_from, nothing)
        np.add.at(table, (rows, columns), 1)
    return table


def _match(evaluation: COCOeval) -> tuple[np.ndarray, np.ndarray]:
    """(d,) indices of the detections that count for AP50, and (d,) of the objects they find, or -1.

    Class by class, in pycocotools' order.
    """
    columns = [np.zeros((3, 0))]
    for cell in evaluation.evalImgs:
        if cell:
            objects = cell["dtMatches"][IOU_50]
            is_neutral = cell["dtIgnore"][IOU_50]
            columns.append(np.array([cell["dtIds"], objects, is_neutral]))
    table = np.concatenate(columns, axis=1)
    counted = table[2] == 0
    # ids begin at 1, and pycocotools writes 0 for no match
    detections, objects = table[:2, counted].astype(np.int64) - 1
    return detections, objects


def _false_alarms(false_alarms: Predictions, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """(w,) kind of each false alarm of an image, and (w,) the object it would find if fixed, or -1.

    The objects are indices into the boxes of the image.
    """
    no_crowd = np.zeros(len(boxes), bool)
    ious = _ious(false_alarms.xyxy, boxes.xyxy, no_crowd)
    same_class = false_alarms.labels[:, None] == boxes.labels
    iou_same = ious * (same_class & ~boxes.crowd)
    iou_other = ious * (~same_class & ~boxes.crowd)
    kinds = _kinds(iou_same.max(axis=1, initial=0), iou_other.max(axis=1, initial=0))
    targets = np.full(len(kinds), -1)
    for kind, overlaps in (("localisation", iou_same), ("classification", iou_other)):
        of_kind = kinds == kind
        if of_kind.any():
            targets[of_kind] = overlaps[of_kind].argmax(axis=1)
    return kinds, targets


def _kinds(same_class: np.ndarray, other_class: np.ndarray) -> np.ndarray:
    """(w,) kinds by the greatest IoU (w,) with an object of the same class and of another."""
    rules = {
        "localisation": (same_class >= _BACKGROUND) & (same_class < _FOREGROUND),
        "classification": other_class >= _FOREGROUND,
        "duplicate": same_class >= _FOREGROUND,
        "background": np.maximum(same_class, other_class) < _BACKGROUND,
    }
    return np.select(list(rules.values()), list(rules), "both")


def _ious(xyxy: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(d, o) overlap of d boxes with o objects; with a crowd, the share of the box that lies in it.

    By pycocotools, so that a box at a threshold is on the same side of it as in COCO's matching:
    its digits differ from those of `boxes.iou`.
    """
    if len(xyxy) == 0 or len(objects) == 0:
        return np.zeros((len(xyxy), len(objects)))
    is_crowd = crowd.astype(np.uint8).tolist()
    return np.asarray(mask.iou(xywh(xyxy), xywh(objects), is_crowd))


def _among(values: np.ndarray, names: set[str]) -> np.ndarray:
    return np.isin(values, sorted(names))


def _best_of_each_object(errors: Errors, hits: np.ndarray) -> np.ndarray:
    """(d,) bool: the most confident hit on each object; of tied ones that without a correction."""
    order = np.lexsort((errors.kinds != _RIGHT, -errors.scores))
    order = order[hits[order]]
    _, first = np.unique(errors.targets[order], return_index=True)
    is_best = np.zeros(len(hits), bool)
    is_best[order[first]] = True
    return is_best


def _class_ap(hits: np.ndarray, objects: int) -> float:
    if objects == 0:
        return float(len(hits) == 0)
    best = best_precision(hits[None], ~hits[None])
    return float(average_precision(best, objects)[0])


def _cells(
    boxes: Boxes, detections: Predictions, iou_from: float, nothing: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the confusion table to which one image adds 1 each.

    detections  best first
    nothing     the row of false alarms, and the column of missed objects
    """
    ious = _ious(detections.xyxy, boxes.xyxy, boxes.crowd)
    targets = _greedy(ious * ~boxes.crowd, iou_from)
    in_crowd = (ious * boxes.crowd).max(axis=1, initial=0) >= iou_from
    counted = (targets >= 0) | ~in_crowd
    labels_and_nothing = np.append(boxes.labels, nothing)  # the target -1 is its last entry
    true_labels = labels_and_nothing[targets]
    is_target = np.isin(np.arange(len(boxes)), targets)
    missed = boxes.labels[~boxes.crowd & ~is_target]
    rows = np.append(true_labels[counted], missed)
    found_as_nothing = np.full(len(missed), nothing)
    columns = np.append(detections.labels[counted], found_as_nothing)
    return rows, columns


def _greedy(ious: np.ndarray, iou_from: float) -> np.ndarray:
    """(d,) index of the object that each detection takes, or -1. ious (d, o), best first."""
    free = np.ones(ious.shape[1], bool)
    targets = np.full(len(ious), -1)
    for number, row in enumerate(ious):
        overlaps = np.where(free, row, 0.0)
        if overlaps.max(initial=0) >= iou_from:
            target = overlaps.argmax()
            targets[number] = target
            free[target] = False
    return targets
