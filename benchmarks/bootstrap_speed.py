"""How long do a bootstrap and a whole evaluation take on one core? On made-up detections; nothing
is trained or drawn.

    python benchmarks/bootstrap_speed.py

As many images, classes and objects as the test set of SynthDet: 254 images of 63 classes, about 17
objects each, of which every visibility is known.
"""

import argparse
import os
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import bootstrap
from syndet_ray.detection.evaluation import evaluate
from syndet_ray.detection.score import Predictions, in_order


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=254)
    parser.add_argument("--classes", type=int, default=63)
    parser.add_argument("--objects", type=int, default=17)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pool, predictions = made_up(
        given.images, given.classes, given.objects, np.random.default_rng(given.seed)
    )
    detections = sum(len(image.scores) for image in predictions)
    print(
        f"{given.images} images, {given.classes} classes, {len(pool.labels)} objects, {detections} detections"
    )
    began = time.perf_counter()
    drawn = bootstrap(pool, predictions, seed=0, resamples=given.resamples)
    print(
        f"bootstrap {time.perf_counter() - began:.1f} s for {given.resamples} resamples, {len(drawn)} metrics",
        flush=True,
    )
    began = time.perf_counter()
    found = evaluate(pool, predictions, seed=0, resamples=0)
    once = time.perf_counter() - began
    print(f"evaluate  {once:.1f} s without resamples, {len(found.metrics)} metrics", flush=True)
    began = time.perf_counter()
    found = evaluate(pool, predictions, seed=0, resamples=given.resamples)
    whole = time.perf_counter() - began
    print(
        f"evaluate  {whole:.1f} s for {given.resamples} resamples, draws of {len(found.draws)} metrics"
    )


def made_up(
    images: int, classes: int, objects: int, rng: np.random.Generator
) -> tuple[Pool, list[Predictions]]:
    """About `objects` in each image, all visibilities known, and twice as many detections, half of
    them about right.
    """
    boxes = [_boxes(int(rng.poisson(objects)), classes, rng) for _ in range(images)]
    blank = [np.zeros((1, 1, 3), np.uint8)] * images
    pool = Pool.of(
        "made up", tuple(map(str, range(classes))), blank, boxes, list(map(str, range(images)))
    )
    return pool, [_seen(each, classes, rng) for each in boxes]


def _boxes(count: int, classes: int, rng: np.random.Generator) -> Boxes:
    corners, sizes = rng.uniform(0, 400, (count, 2)), rng.uniform(30, 100, (count, 2))
    labels = rng.integers(0, classes, count)
    return Boxes.of(
        np.concatenate([corners, corners + sizes], axis=1), labels, rng.random(count) ** 0.5
    )


def _seen(boxes: Boxes, classes: int, rng: np.random.Generator) -> Predictions:
    moved = boxes.xyxy + rng.normal(0, 5, boxes.xyxy.shape)
    labels = np.where(
        rng.random(len(boxes)) < 0.8, boxes.labels, rng.integers(0, classes, len(boxes))
    )
    false = _boxes(len(boxes), classes, rng)
    every_xyxy, every_label = (
        np.concatenate([moved, false.xyxy]),
        np.concatenate([labels, false.labels]),
    )
    return in_order(
        Predictions(xyxy=every_xyxy, labels=every_label, scores=rng.random(2 * len(boxes)))
    )


if __name__ == "__main__":
    main()
