"""How long do a bootstrap and a whole evaluation take on one core? The detections are made up;
nothing is trained or rendered.

    python benchmarks/bootstrap_speed.py

There are as many images, classes and objects as in the test set of SynthDet: 254 images of 63
classes, with about 17 objects each. All visibilities are known.
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
    rng = np.random.default_rng(given.seed)
    pool, predictions = made_up(given.images, given.classes, given.objects, rng)
    detections = sum(len(image.scores) for image in predictions)
    objects = f"{len(pool.labels)} objects, {detections} detections"
    print(f"{given.images} images, {given.classes} classes, {objects}")
    measure(pool, predictions, given.resamples)


def measure(pool: Pool, predictions: list[Predictions], resamples: int) -> None:
    began = time.perf_counter()
    draws = bootstrap(pool, predictions, seed=0, resamples=resamples)
    bootstrap_s = time.perf_counter() - began
    counts = f"{resamples} resamples, {len(draws)} metrics"
    print(f"bootstrap {bootstrap_s:.1f} s for {counts}", flush=True)
    began = time.perf_counter()
    evaluation = evaluate(pool, predictions, seed=0, resamples=0)
    once_s = time.perf_counter() - began
    metrics = len(evaluation.metrics)
    print(f"evaluate  {once_s:.1f} s without resamples, {metrics} metrics", flush=True)
    began = time.perf_counter()
    evaluation = evaluate(pool, predictions, seed=0, resamples=resamples)
    whole_s = time.perf_counter() - began
    counts = f"{resamples} resamples, draws of {len(evaluation.draws)} metrics"
    print(f"evaluate  {whole_s:.1f} s for {counts}")


def made_up(
    images: int, classes: int, objects: int, rng: np.random.Generator
) -> tuple[Pool, list[Predictions]]:
    """Images with about `objects` objects each and twice as many detections, half of them about
    right. All visibilities are known.
    """
    boxes = [_boxes(int(rng.poisson(objects)), classes, rng) for _ in range(images)]
    blank = [np.zeros((1, 1, 3), np.uint8)] * images
    pool = Pool.of(
        "made up", tuple(map(str, range(classes))), blank, boxes, list(map(str, range(images)))
    )
    return pool, [_detections(labels, classes, rng) for labels in boxes]


def _boxes(count: int, classes: int, rng: np.random.Generator) -> Boxes:
    corners, sizes = rng.uniform(0, 400, (count, 2)), rng.uniform(30, 100, (count, 2))
    labels = rng.integers(0, classes, count)
    return Boxes.of(
        np.concatenate([corners, corners + sizes], axis=1), labels, rng.random(count) ** 0.5
    )


def _detections(boxes: Boxes, classes: int, rng: np.random.Generator) -> Predictions:
    moved = boxes.xyxy + rng.normal(0, 5, boxes.xyxy.shape)
    labels = np.where(
        rng.random(len(boxes)) < 0.8, boxes.labels, rng.integers(0, classes, len(boxes))
    )
    false = _boxes(len(boxes), classes, rng)
    all_xyxy = np.concatenate([moved, false.xyxy])
    all_labels = np.concatenate([labels, false.labels])
    scores = rng.random(2 * len(boxes))
    return in_order(Predictions(xyxy=all_xyxy, labels=all_labels, scores=scores))


if __name__ == "__main__":
    main()
