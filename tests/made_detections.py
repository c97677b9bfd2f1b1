"""Made detections: pools and predictions small enough to be known by heart, and a detector that
trains in seconds.
"""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.score import Predictions, in_order

# The smallest network that timm has, made for tests of its own, for pictures of 96 px.
TINY = Detector(
    backbone="test_efficientnet",
    weights="none",
    frozen_stages=0,
    working_px=96,
    anchor_px=(24.0, 34.0),
    aspect_ratios=(1.0,),
)


def pool_of(*images, classes=("a", "b"), ids=None, visibility=None):
    """A pool without pixels; each image a list of (box, label) or (box, label, crowd). visibility:
    a list for each image.
    """
    boxes = [
        Boxes.of(
            [o[0] for o in objects],
            [o[1] for o in objects],
            crowd=[len(o) > 2 and o[2] for o in objects],
            visibility=None if visibility is None else visibility[i],
        )
        for i, objects in enumerate(images)
    ]
    names = [str(i) for i in range(len(images))] if ids is None else list(ids)
    return Pool.of("real", classes, [np.zeros((1, 1, 3), np.uint8)] * len(images), boxes, names)


def found(*detections):
    """(box, label, score) of one image."""
    return Predictions(
        xyxy=np.array([d[0] for d in detections], np.float64).reshape(-1, 4),
        labels=np.array([d[1] for d in detections], np.int64),
        scores=np.array([d[2] for d in detections], np.float64),
    )


A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 70]


def random_case(seed, images=12):
    """A pool with crowds, an empty image, a class without objects and one only of crowds;
    predictions full of ties.
    """
    rng = np.random.default_rng(seed)
    truth, predictions = [[]], [found((A, 0, 0.5), (A, 2, 0.5))]
    for _ in range(1, images):
        corners = rng.integers(0, 60, (rng.integers(0, 7), 2))
        boxes = [
            [x, y, x + w, y + h]
            for (x, y), (w, h) in zip(corners, rng.integers(8, 40, corners.shape), strict=True)
        ]
        labels = rng.choice([0, 1, 3], len(boxes))
        truth.append(
            [(box, k, k == 3 or rng.random() < 0.2) for box, k in zip(boxes, labels, strict=True)]
        )
        seen = [
            (
                boxes[k] + np.tile(rng.integers(-2, 3, 2), 2),
                labels[k] if rng.random() < 0.7 else rng.integers(0, 4),
            )
            for k in rng.integers(0, len(boxes), 2 * len(boxes))
        ]
        image = found(*[(box, label, rng.integers(1, 5) / 4) for box, label in [*seen, (C, 0)]])
        predictions.append(image if rng.random() < 0.5 else in_order(image))
    return pool_of(*truth, classes=("a", "b", "absent", "crowded")), predictions


def plain_accuracy(pool, predictions, low=0.0, high=1.0):
    """AP and recall (classes, 10 IoUs), NaN without objects, by pycocotools as it comes and none of
    our code.

    Of objects whose visibility is within low to high: it is given as their area, for which
    pycocotools knows ranges; so crowds need one too. Every detection is given an area that is in
    range.
    """
    truth, found = COCO(), []
    truth.dataset = {"images": [{"id": i} for i in range(len(pool))], "annotations": []}
    truth.dataset["categories"] = [{"id": k} for k in range(len(pool.classes))]
    for i in range(len(pool)):
        boxes, seen = pool.boxes(i), predictions[i]
        for (x1, y1, x2, y2), k, visible, crowd in zip(
            boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd, strict=True
        ):
            one = {
                "image_id": i,
                "category_id": k,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": visible,
            }
            number = len(truth.dataset["annotations"]) + 1
            truth.dataset["annotations"].append(one | {"id": number, "iscrowd": int(crowd)})
        for (x1, y1, x2, y2), k, score in zip(seen.xyxy, seen.labels, seen.scores, strict=True):
            found.append(
                {
                    "image_id": i,
                    "category_id": k,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results = truth.loadRes(found)
        for one in results.anns.values():
            one["area"] = (low + high) / 2
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[low, high]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = (
        evaluation.eval["precision"][:, :, :, 0, 0],
        evaluation.eval["recall"][:, :, 0, 0],
    )
    known = np.where(recall > -1, 1.0, np.nan).T
    return known * precision.mean(axis=1).T, known * recall.T


def cocoapi_sample(folder):
    """cocoapi's 100 images of val2014 and its made-up detections, as a pool and predictions."""
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    categories = sorted(category["id"] for category in truth["categories"])
    images = sorted(image["id"] for image in truth["images"])
    objects, predictions = [], []
    for image in images:
        own = [a for a in truth["annotations"] if a["image_id"] == image]
        seen = [r for r in results if r["image_id"] == image]
        objects.append(
            [(_xyxy(a["bbox"]), categories.index(a["category_id"]), a["iscrowd"]) for a in own]
        )
        predictions.append(
            found(
                *[(_xyxy(r["bbox"]), categories.index(r["category_id"]), r["score"]) for r in seen]
            )
        )
    return pool_of(*objects, classes=tuple(map(str, categories)), ids=map(str, images)), predictions


def _xyxy(xywh):
    x, y, w, h = xywh
    return [x, y, x + w, y + h]
