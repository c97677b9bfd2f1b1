"""How high can a detector score on photos whose labels scatter? The score of the labels themselves,
after they are scattered a second time.

    python benchmarks/label_scatter.py ../shared/data/d6_dice --model MODEL

Nothing is missed, no class is wrong, confidences are random: only the boxes are off, as far as
people's boxes are. With a model (saved by accuracy.py --keep), it also prints how far its boxes are
off on the photos that it was trained on, and on others. A model that fits its training photos no
better than others has nothing left to learn there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from syndet_ray.data.decode import decode
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.data.splits.split import with_validation
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import Predictions, score
from syndet_ray.metrics import AP50, AP50_ANY_CLASS, AP75, MAP

# Standard deviations of a label's size (log) and place (shares of its width). The first is that of
# d6_dice, measured on its training photos against the outlines of dice (docs/results.md); the
# others are those of a detector's residuals.
SCATTERS = ((0.09, 0.029), (0.10, 0.030), (0.112, 0.035))
METRICS = (MAP, AP50, AP75)
REPEATS = 5  # random scatters whose scores are averaged
SURE = 0.3  # confidence of detections that are compared: most below it are not objects


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    splits = with_validation(read(given.data), seed=0).splits
    labels = decode(splits["val"], working_px=800)
    for size_scatter, place_scatter in SCATTERS:
        scores = []
        for seed in range(REPEATS):
            predictions = scattered(labels, size_scatter, place_scatter, seed)
            scores.append(score(labels, predictions).metrics)
        parts = []
        for name in METRICS:
            parts.append(f"{name} {np.mean([metrics[name] for metrics in scores]):.3f}")
        scatter = f"size scatters by {size_scatter} and place by {place_scatter}"
        print(f"labels whose {scatter}: {', '.join(parts)}")
    if given.model:
        saved = load_model(given.model)
        for name in ("train", "val"):
            pool = decode(splits[name], working_px=int(saved.detector.working_px))
            predictions = predict(saved.model, pool, device=torch.device("cpu"))
            print(f"{name}: {residual_words(pool, predictions)}", flush=True)


def scattered(
    labels: Pool, size_scatter: float, place_scatter: float, seed: int
) -> list[Predictions]:
    """The labels of every image as predictions, with random errors of the boxes and random
    confidences.
    """
    rng = np.random.default_rng(seed)
    predictions = []
    for i in range(len(labels)):
        boxes = labels.boxes(i)
        centres, sizes = centres_and_sizes(boxes.xyxy)
        count = len(sizes)
        off_sizes = sizes * np.exp(rng.normal(0, size_scatter, (count, 1)))
        off_centres = centres + sizes * rng.normal(0, place_scatter, (count, 2))
        xyxy = np.concatenate([off_centres - off_sizes / 2, off_centres + off_sizes / 2], axis=1)
        predictions.append(
            Predictions(
                xyxy=xyxy.astype(np.float32),
                labels=boxes.labels,
                scores=rng.random(count).astype(np.float32),
            )
        )
    return predictions


def residual_words(pool: Pool, predictions: Sequence[Predictions]) -> str:
    """The scores, and the differences in size and place between labels and the boxes nearest to
    them: standard deviations and means.

    Size is the logarithm of predicted / labelled, place is in widths and heights of the label.
    """
    metrics = score(pool, predictions).metrics
    sizes_off, places_off = [], []
    for i, image in enumerate(predictions):
        sure = image.select(image.scores > SURE)
        if not len(sure.scores):
            continue
        sure_centres, sure_sizes = centres_and_sizes(sure.xyxy)
        for centre, size in zip(*centres_and_sizes(pool.boxes(i).xyxy), strict=True):
            distances = np.abs(sure_centres - centre).max(axis=1)
            nearest = int(distances.argmin())
            if distances[nearest] < size.min() / 4:  # a box of this object, of any class
                sizes_off.append(np.log(sure_sizes[nearest] / size).mean())
                places_off.append((sure_centres[nearest] - centre) / size)
    words = ", ".join(f"{name} {metrics[name]:.3f}" for name in (*METRICS, AP50_ANY_CLASS))
    place_scatter = np.std(places_off, axis=0).mean()
    scatter = f"sizes scatter by {np.std(sizes_off):.3f}, places by {place_scatter:.3f}"
    right, down = np.mean(places_off, axis=0)
    bias = (
        f"on average {np.mean(sizes_off):+.3f} in size (log), {right:+.3f} right, {down:+.3f} down"
    )
    return f"{words}; {scatter}; {bias}"


def centres_and_sizes(xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) middle and (n, 2) width and height of boxes (n, 4)."""
    return (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]


if __name__ == "__main__":
    main()
