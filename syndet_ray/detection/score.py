"""Score: predictions of a model on a pool, and COCO's metrics of them, by pycocotools.

The traps of COCO's evaluation are handled here, once: ids from 1, empty results, ties, classes without objects, more
detections an image than the usual hundred.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import nms

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError
from syndet_ray.spread import interval

IOU_50, IOU_75 = 0, 5  # indices into COCO's ten thresholds, .50 to .95 in steps of .05
_RECALLS = np.linspace(0, 1, 101)  # pycocotools' own, to the bit
_CURVE = 10, len(_RECALLS)
_ANY_CLASS = "any"
_SAME_OBJECT_IOU = 0.5  # as within a class: torchvision's box_nms_thresh


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model found in one image. xyxy (n, 4) pixels; labels (n,) 0-based; scores (n,) 0 to 1."""

    xyxy: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Scores:
    """metrics  "mAP" (over IoU .50 to .95), "AP50", "AP75", "mAR", "AP/<class>", and class-agnostic "mAP_any_class",
             "AP50_any_class", for which an object found under several names is found once
    absent   classes without an object in the ground truth: no AP, and not in any mean
    capped   share of images with more predictions than counted
    """

    metrics: dict[str, float]
    absent: tuple[str, ...]
    capped: float


def predict(
    model: torch.nn.Module,
    pool: Pool,
    *,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> list[Predictions]:
    """The model's detections in every image of the pool, each at its own resolution."""
    model = model.to(device).eval()
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        for i in range(len(pool)):
            image = torch.from_numpy(pool.image(i).copy()).to(device).permute(2, 0, 1).float() / 255
            (output,) = model([image])
            arrays = {name: value.float().cpu().numpy() for name, value in output.items()}
            found.append(
                in_order(Predictions(arrays["boxes"], arrays["labels"].astype(np.int64) - 1, arrays["scores"]))
            )
            if progress is not None:
                progress(i + 1, len(pool))
    return found


def in_order(image: Predictions) -> Predictions:
    """Best first; ties by class and box, because COCO's matching depends on the order in which tied scores come."""
    order = np.lexsort((*image.xyxy.T[::-1], image.labels, -image.scores))
    return Predictions(image.xyxy[order], image.labels[order], image.scores[order])


def score(pool: Pool, predictions: Sequence[Predictions], max_detections: int = 100) -> Scores:
    """COCO metrics of `predictions`, one for each image of the pool, in its order. Tied scores count in the order given.

    Raises DataError for a score that is not a number. No predictions at all score 0.
    """
    evaluation = _evaluate(pool, predictions, max_detections)
    present = sorted({int(label) for label in pool.labels[~pool.crowd]})
    metrics = _metrics(evaluation, [pool.classes[label] for label in present])
    agnostic = _means(_evaluate(_collapsed(pool), [_collapse(p) for p in predictions], max_detections))
    metrics |= {"mAP_any_class": agnostic["mAP"], "AP50_any_class": agnostic["AP50"]}
    absent = tuple(name for label, name in enumerate(pool.classes) if label not in present)
    capped = float(np.mean([len(p.scores) > max_detections for p in predictions]))
    return Scores(metrics, absent, capped)


def bootstrap(
    pool: Pool, predictions: Sequence[Predictions], *, seed: int, resamples: int = 300, max_detections: int = 100
) -> dict[str, np.ndarray]:
    """Bootstrap over images: "mAP", "AP50", "AP75" and "mAR", each (resamples,), of as many images drawn with return.

    Which images resample r holds depends on the seed and the number of images alone. That pairs models: two that are
    scored on the same pool with the same seed meet the same images in every resample, and their draws may be subtracted.
    Each image is matched once; a resample only counts the matches of its images (Efron & Tibshirani 1993, ch. 13), as
    pycocotools would count them had it been given that list of images. A resample without an object scores 0.

    The draws are shifted so that their mean is the score of the pool itself, and may so leave 0 to 1 a little.
    Unshifted they lie too high: images that come twice bring two hits of equal confidence, and precision at a recall is a
    maximum, which noise only raises. With 63 classes in 254 images that was as much as their standard deviation.
    """
    evaluation = _evaluate(pool, predictions, max_detections)
    matches = _matches(evaluation, len(pool))
    rng = seeds.generator(seed, "bootstrap")
    draws = [_resampled(matches, rng.integers(len(pool), size=len(pool))) for _ in range(resamples)]
    return {name: value + _centred([means[name] for means in draws]) for name, value in _means(evaluation).items()}


def intervals(
    pool: Pool, predictions: Sequence[Predictions], *, seed: int, resamples: int = 300, max_detections: int = 100
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of `bootstrap`: what other images, as many, would have shown of this one model."""
    draws = bootstrap(pool, predictions, seed=seed, resamples=resamples, max_detections=max_detections)
    return {name: interval(np.clip(values, 0, 1)) for name, values in draws.items()}


@dataclass(frozen=True, eq=False)
class _Matches:
    """What pycocotools matched of one class in n images: d detections, image after image, best first in each.

    scores   (d,)
    hits     (10, d) bool for COCO's ten IoU thresholds: the detection found an object
    misses   (10, d) bool: it found nothing; neither a hit nor a miss where it lies in a crowd
    starts, counts   (n,) where the detections of each image begin, and how many they are
    objects  (n,) objects of each image, without crowds
    """

    scores: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    objects: np.ndarray

    def of(self, images: np.ndarray) -> np.ndarray:
        """Indices of the detections in `images`, which may repeat; best first, tied ones in the order of the images."""
        counts = self.counts[images]
        first = self.starts[images] - np.cumsum(counts) + counts
        found = np.repeat(first, counts) + np.arange(counts.sum())
        return found[np.argsort(-self.scores[found], kind="stable")]


def _matches(evaluation: COCOeval, images: int) -> list[_Matches]:
    """One for each class, from pycocotools' table of classes and images, which holds None where there is nothing."""
    nothing: dict[str, np.ndarray] = {
        key: np.zeros((len(evaluation.params.iouThrs), 0), bool) for key in ("dtMatches", "dtIgnore")
    }
    nothing |= {"dtScores": np.zeros(0), "gtIgnore": np.zeros(0, bool)}
    cells = [cell or nothing for cell in evaluation.evalImgs]
    return [_joined(cells[at : at + images]) for at in range(0, len(cells), images)]


def _joined(cells: Sequence[dict[str, Any]]) -> _Matches:
    matched = np.concatenate([cell["dtMatches"] for cell in cells], axis=1) != 0
    neutral = np.concatenate([cell["dtIgnore"] for cell in cells], axis=1).astype(bool)
    counts = np.array([len(cell["dtScores"]) for cell in cells])
    return _Matches(
        np.concatenate([cell["dtScores"] for cell in cells]),
        matched & ~neutral,
        ~matched & ~neutral,
        np.cumsum(counts) - counts,
        counts,
        np.array([np.count_nonzero(cell["gtIgnore"] == 0) for cell in cells]),
    )


def _resampled(matches: Sequence[_Matches], images: np.ndarray) -> dict[str, float]:
    """The four means over `images`, an (m,) array of indices that may repeat."""
    curves = [curve for one in matches if (curve := _curve(one, images)) is not None]
    precision = np.array([curve[0] for curve in curves]).reshape(-1, *_CURVE)
    recall = np.array([curve[1] for curve in curves])
    return {
        "mAP": _mean(precision),
        "AP50": _mean(precision[:, IOU_50]),
        "AP75": _mean(precision[:, IOU_75]),
        "mAR": _mean(recall),
    }


def _curve(one: _Matches, images: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision (10, 101) at COCO's recalls and greatest recall (10,) of a class; None where `images` show none of it.

    The precision at a recall is the best at that recall or a greater one, and only a hit raises either: it is enough to
    look at the hits, and at how many misses came before each. The arithmetic is that of pycocotools' accumulate, number
    by number.
    """
    objects = int(one.objects[images].sum())
    if objects == 0:
        return None
    found = one.of(images)
    precision, recall = np.zeros(_CURVE), np.zeros(_CURVE[0])
    needed = np.maximum(np.searchsorted(np.arange(objects + 1) / objects, _RECALLS), 1)  # hits for each recall
    for t, (hits, misses) in enumerate(zip(one.hits[:, found], one.misses[:, found].cumsum(axis=1), strict=True)):
        right, wrong = np.arange(1, hits.sum() + 1), misses[hits]
        best = np.maximum.accumulate((right / (wrong + right + np.spacing(1)))[::-1])[::-1]
        reached = needed <= len(right)
        precision[t, reached] = best[needed[reached] - 1]
        recall[t] = len(right) / objects
    return precision, recall


def _evaluate(pool: Pool, predictions: Sequence[Predictions], max_detections: int) -> COCOeval:
    assert len(predictions) == len(pool), (len(predictions), len(pool))
    truth = COCO()
    truth.dataset = _truth(pool)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth.createIndex()
        results = _results(predictions)
        found = truth.loadRes(results) if results else _nothing(truth)
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    _accumulate(evaluation)
    return evaluation


def _accumulate(evaluation: COCOeval) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()


def _truth(pool: Pool) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for i in range(len(pool)):
        boxes = pool.boxes(i)
        for box, label, area, crowd in zip(boxes.xyxy.tolist(), boxes.labels, boxes.areas, boxes.crowd, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # an id of 0 would make its match count as unmatched
                    "image_id": i + 1,
                    "category_id": int(label) + 1,
                    "bbox": _xywh(box),
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
    images = [{"id": i + 1} for i in range(len(pool))]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k + 1} for k in range(len(pool.classes))],
    }


def _results(predictions: Sequence[Predictions]) -> list[dict[str, Any]]:
    found = []
    for i, image in enumerate(predictions):
        if not np.isfinite(image.scores).all():
            raise DataError(
                f"predictions of image {i}", "scores must be finite", got=image.scores[~np.isfinite(image.scores)][0]
            )
        for k in range(len(image.scores)):
            entry = {"image_id": i + 1, "category_id": int(image.labels[k]) + 1, "score": float(image.scores[k])}
            found.append(entry | {"bbox": _xywh(image.xyxy[k].tolist())})
    return found


def _nothing(truth: COCO) -> COCO:
    """Results without a detection; pycocotools' own loader fails on an empty list."""
    found = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found


def _xywh(xyxy: list[float]) -> list[float]:
    x1, y1, x2, y2 = xyxy
    return [x1, y1, x2 - x1, y2 - y1]


def _means(evaluation: COCOeval) -> dict[str, float]:
    precision = evaluation.eval["precision"][
        :, :, :, 0, 0
    ]  # (10 IoUs, 101 recalls, classes); -1: no object of the class
    recall = evaluation.eval["recall"][:, :, 0, 0]
    return {
        "mAP": _mean(precision),
        "AP50": _mean(precision[IOU_50]),
        "AP75": _mean(precision[IOU_75]),
        "mAR": _mean(recall),
    }


def _metrics(evaluation: COCOeval, present: list[str]) -> dict[str, float]:
    precision = evaluation.eval["precision"][:, :, :, 0, 0]
    held = [k for k in range(precision.shape[2]) if (precision[:, :, k] > -1).any()]
    assert len(held) == len(present)
    return _means(evaluation) | {f"AP/{name}": _mean(precision[:, :, k]) for k, name in zip(held, present, strict=True)}


def _centred(values: Sequence[float]) -> np.ndarray:
    return np.array(values) - np.mean(values)


def _mean(values: np.ndarray) -> float:
    """The mean of what was measured: -1 marks what could not be."""
    measured = values[values > -1]
    return float(measured.mean()) if len(measured) else 0.0


def _collapsed(pool: Pool) -> Pool:
    """The pool with all classes as one."""
    boxes = [pool.boxes(i) for i in range(len(pool))]
    one = [Boxes(b.xyxy, np.zeros_like(b.labels), b.visibility, b.crowd) for b in boxes]
    empty = [np.zeros((0, 0, 3), np.uint8)] * len(pool)
    return Pool.of(pool.name, (_ANY_CLASS,), empty, one, [str(name) for name in pool.image_ids])


def _collapse(image: Predictions) -> Predictions:
    """One prediction of what was found under several names: the most confident of those that overlap."""
    kept = nms(torch.from_numpy(image.xyxy), torch.from_numpy(image.scores), _SAME_OBJECT_IOU).numpy()
    return Predictions(image.xyxy[kept], np.zeros_like(image.labels[kept]), image.scores[kept])
