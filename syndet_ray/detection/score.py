"""Score: COCO's metrics of predictions on a pool, by pycocotools.

The traps of COCO's evaluation are handled here, once: ids from 1, empty results, ties, classes
without objects, more detections of a class in an image than the usual hundred.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError

IOU_50, IOU_75 = 0, 5  # indices into COCO's ten thresholds, .50 to .95 in steps of .05
_ANY_CLASS = "any"
_SAME_OBJECT_IOU = 0.5  # as within a class: torchvision's box_nms_thresh


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What a model found in one image. xyxy (n, 4) pixels; labels (n,) 0-based; scores (n,) 0 to 1."""

    xyxy: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def select(self, index: np.ndarray) -> "Predictions":
        """The predictions at `index` (integers or a boolean mask), in that order."""
        return Predictions(
            xyxy=self.xyxy[index], labels=self.labels[index], scores=self.scores[index]
        )


NOTHING_FOUND = Predictions(xyxy=np.zeros((0, 4)), labels=np.zeros(0, np.int64), scores=np.zeros(0))


@dataclass(frozen=True)
class Scores:
    """metrics  "mAP" (over IoU .50 to .95), "AP50", "AP75", "mAR", "AP/<class>", and class-agnostic
             "mAP_any_class", "AP50_any_class", for which an object found under several names is
             found once
    absent   classes without an object in the ground truth: no AP, and not in any mean
    """

    metrics: dict[str, float]
    absent: tuple[str, ...]


def in_order(image: Predictions) -> Predictions:
    """Best first; ties by class and box, because COCO's matching depends on the order in which tied
    scores come.
    """
    return image.select(np.lexsort((*image.xyxy.T[::-1], image.labels, -image.scores)))


def joined(predictions: Sequence[Predictions]) -> Predictions:
    """Those of all images as one, image after image."""
    return Predictions(
        xyxy=np.concatenate([np.zeros((0, 4)), *(image.xyxy for image in predictions)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(image.labels for image in predictions)]),
        scores=np.concatenate([np.zeros(0), *(image.scores for image in predictions)]),
    )


def score(pool: Pool, predictions: Sequence[Predictions], max_detections: int = 100) -> Scores:
    """COCO metrics of `predictions`, one for each image of the pool, in its order. Tied scores
    count in the order given.

    Raises DataError for a score or box that is not finite, a box of negative size, and a label that
    no class has. No predictions at all score 0.
    """
    present = sorted({int(label) for label in pool.labels[~pool.crowd]})
    metrics = _metrics(
        coco(pool, predictions, max_detections), [pool.classes[label] for label in present]
    )
    agnostic = means(coco(_collapsed(pool), [_collapse(p) for p in predictions], max_detections))
    metrics |= {"mAP_any_class": agnostic["mAP"], "AP50_any_class": agnostic["AP50"]}
    absent = tuple(name for label, name in enumerate(pool.classes) if label not in present)
    return Scores(metrics, absent)


def coco(
    pool: Pool,
    predictions: Sequence[Predictions],
    max_detections: int,
    neutral: np.ndarray | None = None,
) -> COCOeval:
    """pycocotools' evaluation: evaluated, not yet accumulated.

    Images, annotations, results and categories have the ids 1, 2, ... in the order of the pool and
    of the predictions.
    neutral  (boxes,) bool, objects that are neither to be found nor false when found; crowds always
             are
    max_detections  counted of each class in each image, as COCO does
    """
    assert len(predictions) == len(pool), (len(predictions), len(pool))
    _check(pool, predictions)
    truth = COCO()
    truth.dataset = _truth(pool)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth.createIndex()
        results = coco_results(predictions)
        found = truth.loadRes(results) if results else _nothing(truth)
        evaluation = _Evaluation(
            truth, found, np.zeros(len(pool.labels), bool) if neutral is None else neutral
        )
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    return evaluation


class _Evaluation(COCOeval):
    """COCOeval that knows of neutral objects besides crowds.

    Their overlap is that of objects, and each can be found once.
    """

    def __init__(self, truth: COCO, found: COCO, neutral: np.ndarray) -> None:
        super().__init__(truth, found, "bbox")
        self._neutral = neutral

    def _prepare(self) -> None:
        super()._prepare()
        for objects in self._gts.values():
            # only now: pycocotools has just set "ignore" to whether it is a crowd
            for each in objects:
                each["ignore"] = int(each["iscrowd"] or self._neutral[each["id"] - 1])


def _truth(pool: Pool) -> dict[str, Any]:
    return {
        "images": [{"id": i + 1} for i in range(len(pool))],
        "annotations": annotations(pool),
        "categories": [{"id": k + 1} for k in range(len(pool.classes))],
    }


def annotations(pool: Pool) -> list[dict[str, Any]]:
    """The boxes of the pool as COCO's; an id of 0 would make an annotation's match count as
    unmatched.
    """
    found: list[dict[str, Any]] = []
    for i in range(len(pool)):
        boxes = pool.boxes(i)
        columns = (
            xywh(boxes.xyxy).tolist(),
            boxes.labels.tolist(),
            boxes.areas.tolist(),
            boxes.crowd.tolist(),
        )
        for box, label, area, crowd in zip(*columns, strict=True):
            place = {"id": len(found) + 1, "image_id": i + 1, "category_id": label + 1}
            found.append(place | {"bbox": box, "area": area, "iscrowd": int(crowd)})
    return found


def coco_results(predictions: Sequence[Predictions]) -> list[dict[str, Any]]:
    """COCO's results of all images, with the ids that `coco` gives them; values are not rounded:
    ties would change scores.
    """
    return [
        {"image_id": i, "category_id": label + 1, "bbox": box, "score": score}
        for i, image in enumerate(predictions, start=1)
        for box, label, score in zip(
            xywh(image.xyxy).tolist(), image.labels.tolist(), image.scores.tolist(), strict=True
        )
    ]


def _check(pool: Pool, predictions: Sequence[Predictions]) -> None:
    """Raises DataError for the first prediction that cannot be scored.

    pycocotools scores whatever it is given: to it, a box that is not a number overlaps every object
    completely.
    """
    everything = joined(predictions)
    for rule, values, is_valid in _rules(everything, len(pool.classes)):
        if not is_valid.all():
            wrong = int(np.argmin(is_valid))
            image_of = np.repeat(np.arange(len(pool)), [len(image.scores) for image in predictions])
            place = f"predictions of image {pool.image_ids[image_of[wrong]]}"
            raise DataError(place, rule, got=values[wrong].tolist())


def _rules(found: Predictions, classes: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each rule that n predictions must obey, the values (n, ...) that it is about, and which (n,)
    obey it.
    """
    boxes, labels = found.xyxy, found.labels
    yield "scores must be finite", found.scores, np.isfinite(found.scores)
    yield "boxes must be finite (x1, y1, x2, y2)", boxes, np.isfinite(boxes).all(axis=1)
    # without area where it was clipped to its image
    is_ordered = np.all(boxes[:, :2] <= boxes[:, 2:], axis=1)
    yield "boxes must not end before they begin (x1, y1, x2, y2)", boxes, is_ordered
    yield (
        f"labels must be whole numbers from 0 to {classes - 1}",
        labels,
        np.isin(labels, np.arange(classes)),
    )


def _nothing(truth: COCO) -> COCO:
    """Results without a detection; pycocotools' own loader fails on an empty list."""
    found = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found


def xywh(xyxy: np.ndarray) -> np.ndarray:
    """(n, 4) float64 left, top, width and height, as COCO writes boxes, from their edges (n, 4)."""
    edges = xyxy.astype(np.float64)
    return np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1)


def means(evaluation: COCOeval) -> dict[str, float]:
    """The four means "mAP", "AP50", "AP75" and "mAR" of what `coco` gives; 0 where there is no
    object at all.
    """
    precision, recall = _accumulated(evaluation)
    return {
        "mAP": _mean(precision),
        "AP50": _mean(precision[IOU_50]),
        "AP75": _mean(precision[IOU_75]),
        "mAR": _mean(recall),
    }


def _metrics(evaluation: COCOeval, present: list[str]) -> dict[str, float]:
    precision, _ = _accumulated(evaluation)
    held = [k for k in range(precision.shape[2]) if (precision[:, :, k] > -1).any()]
    assert len(held) == len(present)
    return means(evaluation) | {
        f"AP/{name}": _mean(precision[:, :, k]) for k, name in zip(held, present, strict=True)
    }


def _accumulated(evaluation: COCOeval) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 IoUs, 101 recalls, classes) and recall (10 IoUs, classes); -1 where a class has
    no object.
    """
    if not evaluation.eval:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0], evaluation.eval["recall"][:, :, 0, 0]


def _mean(values: np.ndarray) -> float:
    """The mean of what was measured: -1 marks what could not be."""
    measured = values[values > -1]
    return float(measured.mean()) if len(measured) else 0.0


def _collapsed(pool: Pool) -> Pool:
    """The pool with all classes as one."""
    boxes = [pool.boxes(i) for i in range(len(pool))]
    one = [
        Boxes(xyxy=b.xyxy, labels=np.zeros_like(b.labels), visibility=b.visibility, crowd=b.crowd)
        for b in boxes
    ]
    empty = [np.zeros((0, 0, 3), np.uint8)] * len(pool)
    return Pool.of(pool.name, (_ANY_CLASS,), empty, one, [str(name) for name in pool.image_ids])


def _collapse(image: Predictions) -> Predictions:
    """One prediction of what was found under several names: the most confident of those that
    overlap.
    """
    import torch
    from torchvision.ops import nms

    kept = nms(
        torch.from_numpy(image.xyxy), torch.from_numpy(image.scores), _SAME_OBJECT_IOU
    ).numpy()
    return Predictions(
        xyxy=image.xyxy[kept], labels=np.zeros_like(image.labels[kept]), scores=image.scores[kept]
    )
