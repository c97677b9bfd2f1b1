"""Score: COCO's metrics of predictions on a pool, by pycocotools.

The traps of COCO's evaluation are handled only here: ids from 1, empty results, ties, classes
without objects, more detections of a class in an image than the usual hundred.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError
from syndet_ray.metrics import AP50, AP50_ANY_CLASS, AP75, CLASS_AP, MAP, MAP_ANY_CLASS, MAR

IOU_50, IOU_75 = 0, 5  # indices into COCO's ten thresholds, .50 to .95 in steps of .05
_ANY_CLASS = "any"  # the one class that all are taken for
_SAME_OBJECT_IOU = 0.5  # as within a class: torchvision's box_nms_thresh


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """Detections of a model in one image.

    xyxy    (n, 4) pixels
    labels  (n,) 0-based
    scores  (n,) 0 to 1
    """

    xyxy: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def select(self, index: np.ndarray) -> "Predictions":
        """The predictions at `index` (integers or a boolean mask), in that order."""
        return Predictions(
            xyxy=self.xyxy[index], labels=self.labels[index], scores=self.scores[index]
        )


NOTHING_FOUND = Predictions(
    xyxy=np.zeros((0, 4)),
    labels=np.zeros(0, np.int64),
    scores=np.zeros(0),
)


@dataclass(frozen=True)
class Scores:
    """metrics  "mAP" (over IoU .50 to .95), "AP50", "AP75", "mAR", "AP/<class>", and class-agnostic
             "mAP_any_class", "AP50_any_class", for which an object found as several classes is
             found once
    absent   classes without an object in the ground truth: no AP, and not in any mean
    """

    metrics: dict[str, float]
    absent: tuple[str, ...]


def in_order(image: Predictions) -> Predictions:
    """The detections, best first; tied ones by class and box.

    COCO's matching depends on the order of tied scores.
    """
    x1, y1, x2, y2 = image.xyxy.T
    best_first = np.lexsort((y2, x2, y1, x1, image.labels, -image.scores))
    return image.select(best_first)


def join_predictions(predictions: Sequence[Predictions]) -> Predictions:
    """The detections of all images as one, image after image."""
    images = [NOTHING_FOUND, *predictions]  # NumPy cannot join none
    return Predictions(
        xyxy=np.concatenate([image.xyxy for image in images]),
        labels=np.concatenate([image.labels for image in images]),
        scores=np.concatenate([image.scores for image in images]),
    )


def score(pool: Pool, predictions: Sequence[Predictions], max_detections: int = 100) -> Scores:
    """COCO metrics of `predictions`, one for each image of the pool, in its order.

    Tied scores count in the order given. Raises DataError for a score or box that is not finite, a
    box of negative size, and a label that no class has. No predictions at all score 0.
    """
    labels = set(pool.labels[~pool.crowd].tolist())
    present: list[str] = []
    absent: list[str] = []
    for label, name in enumerate(pool.classes):
        names = present if label in labels else absent
        names.append(name)
    metrics = _metrics(coco(pool, predictions, max_detections), present)
    collapsed = [_collapse(image) for image in predictions]
    agnostic = means(coco(_collapse_classes(pool), collapsed, max_detections))
    metrics |= {MAP_ANY_CLASS: agnostic[MAP], AP50_ANY_CLASS: agnostic[AP50]}
    return Scores(metrics, tuple(absent))


def coco(
    pool: Pool,
    predictions: Sequence[Predictions],
    max_detections: int,
    neutral: np.ndarray | None = None,
) -> COCOeval:
    """pycocotools' evaluation: evaluated, not yet accumulated.

    Images, annotations, results and categories have the ids 1, 2, ... in the order of the pool and
    of the predictions.

    max_detections  counted of each class in each image, as COCO does
    neutral         (boxes,) bool, objects that are neither to be found nor false when found; crowds
                    always are
    """
    assert len(predictions) == len(pool), (len(predictions), len(pool))
    _check(pool, predictions)
    if neutral is None:
        neutral = np.zeros(len(pool.labels), bool)
    truth = COCO()
    truth.dataset = _truth(pool)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth.createIndex()
        rows = coco_results(predictions)
        results = truth.loadRes(rows) if rows else _no_results(truth)
        evaluation = _NeutralEvaluation(truth, results, neutral)
        evaluation.params.maxDets = [max_detections]
        # one range of areas, COCO's own for all sizes, instead of its four
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
    return evaluation


class _NeutralEvaluation(COCOeval):
    """COCOeval with neutral objects besides crowds.

    Their overlap is that of objects, and each can be found once.
    """

    def __init__(self, truth: COCO, results: COCO, neutral: np.ndarray) -> None:
        super().__init__(truth, results, "bbox")
        self._neutral = neutral

    def _prepare(self) -> None:
        super()._prepare()
        for objects in self._gts.values():
            # only now: pycocotools has just set "ignore" to 1 for crowds and 0 for all others
            for annotation in objects:
                is_neutral = annotation["iscrowd"] or self._neutral[annotation["id"] - 1]
                annotation["ignore"] = int(is_neutral)


def _truth(pool: Pool) -> dict[str, Any]:
    return {
        "images": [{"id": i + 1} for i in range(len(pool))],
        "annotations": annotations(pool),
        "categories": [{"id": k + 1} for k in range(len(pool.classes))],
    }


def annotations(pool: Pool) -> list[dict[str, Any]]:
    """The boxes of the pool as COCO's annotations.

    Ids begin at 1: a match with an annotation of id 0 would count as none.
    """
    rows: list[dict[str, Any]] = []
    for i in range(len(pool)):
        boxes = pool.boxes(i)
        columns = (
            xywh(boxes.xyxy).tolist(),
            boxes.labels.tolist(),
            boxes.areas.tolist(),
            boxes.crowd.tolist(),
        )
        for box, label, area, crowd in zip(*columns, strict=True):
            ids = {"id": len(rows) + 1, "image_id": i + 1, "category_id": label + 1}
            rows.append(ids | {"bbox": box, "area": area, "iscrowd": int(crowd)})
    return rows


def coco_results(predictions: Sequence[Predictions]) -> list[dict[str, Any]]:
    """COCO's results of all images, with the ids that `coco` gives them.

    Values are not rounded: that would make ties, which change scores.
    """
    rows = []
    for i, image in enumerate(predictions, start=1):
        columns = (xywh(image.xyxy), image.labels, image.scores)
        for box, label, score in zip(*(column.tolist() for column in columns), strict=True):
            rows.append({"image_id": i, "category_id": label + 1, "bbox": box, "score": score})
    return rows


def _check(pool: Pool, predictions: Sequence[Predictions]) -> None:
    """Raises DataError for the first prediction that cannot be scored.

    pycocotools scores invalid values without an error: to it, a box that is not a number overlaps
    every object completely.
    """
    counts = [len(image.scores) for image in predictions]
    for rule, values, is_valid in _rules(join_predictions(predictions), len(pool.classes)):
        if not is_valid.all():
            wrong = int(np.argmin(is_valid))
            image = np.repeat(np.arange(len(pool)), counts)[wrong]
            place = f"predictions of image {pool.image_ids[image]}"
            raise DataError(place, rule, got=values[wrong].tolist())


def _rules(detections: Predictions, classes: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields each rule for n detections, the values (n, ...) it is about, and those (n,) valid."""
    boxes, labels, scores = detections.xyxy, detections.labels, detections.scores
    yield "scores must be finite", scores, np.isfinite(scores)
    yield "boxes must be finite (x1, y1, x2, y2)", boxes, np.isfinite(boxes).all(axis=1)
    # a box that was clipped to its image may have no area
    top_left, bottom_right = np.split(boxes, 2, axis=1)
    is_ordered = np.all(top_left <= bottom_right, axis=1)
    yield "boxes must not end before they begin (x1, y1, x2, y2)", boxes, is_ordered
    is_class = np.isin(labels, np.arange(classes))
    yield f"labels must be whole numbers from 0 to {classes - 1}", labels, is_class


def _no_results(truth: COCO) -> COCO:
    """Results without a detection; pycocotools' own loader fails on an empty list."""
    results = COCO()
    results.dataset = {**truth.dataset, "annotations": []}
    results.createIndex()
    return results


def xywh(xyxy: np.ndarray) -> np.ndarray:
    """(n, 4) float64 left, top, width and height, as COCO writes boxes, from their edges (n, 4)."""
    edges = xyxy.astype(np.float64)
    top_left, bottom_right = np.split(edges, 2, axis=1)
    return np.concatenate([top_left, bottom_right - top_left], axis=1)


def means(evaluation: COCOeval) -> dict[str, float]:
    """The four means "mAP", "AP50", "AP75" and "mAR" of an evaluation; 0 without any object."""
    precision, recall = _accumulate(evaluation)
    return {
        MAP: _mean(precision),
        AP50: _mean(precision[IOU_50]),
        AP75: _mean(precision[IOU_75]),
        MAR: _mean(recall),
    }


def _metrics(evaluation: COCOeval, present: list[str]) -> dict[str, float]:
    """The four means, and "AP/<class>" of the classes that are present, in their order."""
    precision, _ = _accumulate(evaluation)
    measured = (precision > -1).any(axis=(0, 1))
    class_precisions = np.moveaxis(precision[:, :, measured], 2, 0)
    metrics = means(evaluation)
    for name, class_precision in zip(present, class_precisions, strict=True):
        metrics[CLASS_AP + name] = _mean(class_precision)
    return metrics


def _accumulate(evaluation: COCOeval) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 IoUs, 101 recalls, classes), recall (10 IoUs, classes); -1 without objects."""
    if not evaluation.eval:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]
    recall = evaluation.eval["recall"][:, :, 0, 0]
    return precision, recall


def _mean(values: np.ndarray) -> float:
    """The mean of the values that were measured: -1 marks the others."""
    measured = values[values > -1]
    return float(measured.mean()) if len(measured) else 0.0


def _collapse_classes(pool: Pool) -> Pool:
    """The pool with all classes as one."""
    boxes = []
    for i in range(len(pool)):
        image_boxes = pool.boxes(i)
        boxes.append(replace(image_boxes, labels=np.zeros_like(image_boxes.labels)))
    without_pixels = [np.zeros((0, 0, 3), np.uint8)] * len(pool)
    names = [str(name) for name in pool.image_ids]
    return Pool.of(pool.name, (_ANY_CLASS,), without_pixels, boxes, names)


def _collapse(image: Predictions) -> Predictions:
    """The detections as of one class: of those that overlap the most confident."""
    import torch
    from torchvision.ops import nms

    boxes = torch.from_numpy(image.xyxy)
    scores = torch.from_numpy(image.scores)
    kept = nms(boxes, scores, _SAME_OBJECT_IOU)
    best = image.select(kept.numpy())
    return replace(best, labels=np.zeros_like(best.labels))
