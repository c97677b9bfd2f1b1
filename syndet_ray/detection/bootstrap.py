"""Bootstrap: what COCO's metrics would have been on other images, from matches that are made once.

Each image is matched once; a resample only counts the matches of its images, as pycocotools would
count them for that list of images. The arithmetic is that of pycocotools' accumulate. A resample is
a half sample: half of the images, sampled without replacement (see `resampled_images`). The usual
bootstrap samples as many images as there are, with replacement.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.detection.score import IOU_50, IOU_75, Predictions, coco
from syndet_ray.metrics import AP50, AP75, MAP, MAR
from syndet_ray.progress import Progress
from syndet_ray.spread import LEAST_IMAGES, interval

_RECALLS = np.linspace(0, 1, 101)  # pycocotools' own, to the bit
_IOUS = 10  # COCO's thresholds, .50 to .95


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """Matches by pycocotools of one class in n images: d detections, image after image, best first.

    There are v views, which differ in what objects are neutral: hits and misses have a row for each
    view and each of COCO's ten IoU thresholds.

    scores   (d,)
    hits     (v * 10, d) bool: the detection found an object
    misses   (v * 10, d) bool: it found nothing; neither a hit nor a miss if it lies on a neutral
             object
    starts, counts   (n,) index of the first detection of each image, and their number
    objects  (v, n) objects of each image to be found
    """

    scores: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    objects: np.ndarray

    def detections_in(self, images: np.ndarray) -> np.ndarray:
        """Indices of the detections in `images`, which may repeat; best first.

        Tied ones stand in the order of the images.
        """
        counts = self.counts[images]
        offsets = np.cumsum(counts) - counts  # of each image among all that are returned
        shifts = np.repeat(self.starts[images] - offsets, counts)
        indices = shifts + np.arange(counts.sum())
        best_first = np.argsort(-self.scores[indices], kind="stable")
        return indices[best_first]


@dataclass(frozen=True, eq=False)
class Accuracy:
    """ap and recall (classes, v, 10), for every view and COCO's ten IoU thresholds.

    NaN for a class without an object.
    """

    ap: np.ndarray
    recall: np.ndarray


def matches(evaluations: Sequence[COCOeval], images: int) -> list[Matches]:
    """The matches of each class.

    evaluations  the views, of the same pool and predictions (`score.coco`)
    images       number of images of the pool
    """
    views = []
    for evaluation in evaluations:
        # pycocotools has None for an image without objects and detections of a class
        views.append([cell or _EMPTY_CELL for cell in evaluation.evalImgs])
    by_class = []
    for start in range(0, len(views[0]), images):
        class_views = [cells[start : start + images] for cells in views]
        by_class.append(_class_matches(class_views))
    return by_class


_EMPTY_CELL: dict[str, Any] = {
    "dtMatches": np.zeros((_IOUS, 0), bool),
    "dtIgnore": np.zeros((_IOUS, 0), bool),
    "dtScores": np.zeros(0),
    "gtIgnore": np.zeros(0, bool),
}


def _class_matches(views: Sequence[Sequence[dict[str, Any]]]) -> Matches:
    """The matches of one class; of each view the cells of its images."""
    matched = np.concatenate([_side_by_side(cells, "dtMatches") for cells in views]) != 0
    neutral = np.concatenate([_side_by_side(cells, "dtIgnore") for cells in views]).astype(bool)
    scores = [cell["dtScores"] for cell in views[0]]
    counts = np.array([len(image_scores) for image_scores in scores])
    return Matches(
        scores=np.concatenate(scores),
        hits=matched & ~neutral,
        misses=~matched & ~neutral,
        starts=np.cumsum(counts) - counts,
        counts=counts,
        objects=np.array([_object_counts(cells) for cells in views]),
    )


def _side_by_side(cells: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    return np.concatenate([cell[key] for cell in cells], axis=1)


def _object_counts(cells: Sequence[dict[str, Any]]) -> list[int]:
    return [int(np.count_nonzero(cell["gtIgnore"] == 0)) for cell in cells]


def accuracy(by_class: Sequence[Matches], images: np.ndarray) -> Accuracy:
    """AP and recall over `images`, an (m,) array of indices that may repeat."""
    tables = np.array([_class_accuracy(matches, images) for matches in by_class])
    return Accuracy(tables[:, 0], tables[:, 1])


def _class_accuracy(matches: Matches, images: np.ndarray) -> np.ndarray:
    """(2, v, 10): AP and greatest recall."""
    detections = matches.detections_in(images)
    hits = matches.hits[:, detections]
    misses = matches.misses[:, detections]
    objects = matches.objects[:, images].sum(axis=1)
    views = np.split(best_precision(hits, misses), len(objects))
    pairs = zip(views, objects.tolist(), strict=True)
    ap = [average_precision(best, count) for best, count in pairs]
    hit_counts = hits.sum(axis=1).reshape(-1, _IOUS)
    possible_hits = np.where(objects > 0, objects, np.nan)
    recall = hit_counts / possible_hits[:, None]
    return np.array([ap, recall])


def best_precision(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """(r, w): the best precision at the first, second, ... hit or any later one; 0 after the last.

    Only a hit raises precision: the hits are enough, with the number of misses before each.

    hits, misses  (r, d) bool, best detection first; w is the largest number of hits in a row
    """
    rows, columns = np.nonzero(hits)
    counts = np.bincount(rows, minlength=len(hits))
    first_of_row = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.arange(len(rows)) - first_of_row
    right = rank + 1
    wrong = misses.cumsum(axis=1, dtype=np.int32)[rows, columns]
    precision = np.zeros((len(hits), counts.max(initial=0)))
    detections = wrong + right + np.spacing(1)  # as pycocotools avoids 0
    precision[rows, rank] = right / detections
    from_the_end = precision[:, ::-1]
    return np.maximum.accumulate(from_the_end, axis=1)[:, ::-1]


def average_precision(best: np.ndarray, objects: int) -> np.ndarray:
    """(r,) COCO's AP from `best_precision`: its mean at 101 recalls, 0 at those not reached.

    NaN if objects is 0.
    """
    if objects == 0:
        return np.full(len(best), np.nan)
    shares = _recall_shares(objects)
    most = min(len(shares), best.shape[1])
    return best[:, :most] @ shares[:most]


@lru_cache(maxsize=4096)
def _recall_shares(objects: int) -> np.ndarray:
    """(objects,) the share of COCO's recalls that the first, second, ... hit is needed for."""
    recall_after = np.arange(objects + 1) / objects  # no hit, one hit, two hits, ...
    hits_needed = np.maximum(np.searchsorted(recall_after, _RECALLS), 1)
    return np.bincount(hits_needed - 1, minlength=objects) / len(_RECALLS)


def main_metrics(accuracy: Accuracy) -> dict[str, float]:
    """The four means "mAP", "AP50", "AP75" and "mAR" in the first view; 0 without any object."""
    ap = accuracy.ap[:, 0]
    tables = {
        MAP: ap,
        AP50: ap[:, IOU_50],
        AP75: ap[:, IOU_75],
        MAR: accuracy.recall[:, 0],
    }
    means = {name: finite_mean(values) for name, values in tables.items()}
    return {name: float(np.nan_to_num(mean)) for name, mean in means.items()}


def finite_mean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if all are."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def resampled_images(images: int, *, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Yields `resamples` times half of the images, sampled without replacement, as indices.

    A single image is its own half. Means over halves vary as much as means over as many other
    images would (McCarthy 1969, Pseudoreplication: half samples); for an odd number n of images by
    (n + 1) / (n - 1) more, a fifth with 11. Samples of all n images with replacement do so too, but
    hold some images twice. COCO's precision, a maximum, then varies less: with 50 images 8 % less
    than between other test sets (benchmarks/interval_coverage.py).
    """
    rng = seeds.generator(seed, "bootstrap")
    half = max(1, images // 2)
    for _ in range(resamples):
        yield rng.permutation(images)[:half]


def draws(
    by_class: Sequence[Matches],
    metrics: Callable[[Accuracy], dict[str, float]],
    *,
    seed: int,
    resamples: int,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """(resamples,) by name: metrics of other images, shifted to the mean of the images themselves.

    A single image is its own resample, so all draws are its score: they say nothing of other
    images, and make no interval.

    metrics  returns the same names for every Accuracy, only those that rest on objects in enough
             images: a draw that is NaN, because it has no object, becomes the mean, and many of
             these would make a metric look certain
    """
    images = by_class[0].objects.shape[1]
    scores = metrics(accuracy(by_class, np.arange(images)))
    # a handful of images has few halves, and each comes many times
    cache: dict[bytes, dict[str, float]] = {}
    resampled = []
    for done, half in enumerate(resampled_images(images, seed=seed, resamples=resamples), start=1):
        key = half.tobytes()
        if key not in cache:
            cache[key] = metrics(accuracy(by_class, half))
        resampled.append(cache[key])
        if progress is not None:
            progress(done, resamples)
    centred = {}
    for name, score in scores.items():
        values = np.array([metrics_of_half[name] for metrics_of_half in resampled])
        centred[name] = _centre(values, score)
    return centred


def bootstrap(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    seed: int,
    resamples: int = 300,
    max_detections: int = 100,
) -> dict[str, np.ndarray]:
    """(resamples,) draws of "mAP", "AP50", "AP75" and "mAR", from half samples of the images.

    The images of resample r depend on the seed and the number of images alone. That pairs models:
    two that are scored on the same pool with the same seed meet the same images in every resample,
    and their draws may be subtracted. A resample without an object scores 0.

    The draws are shifted so that their mean is the score of the pool itself, so they may leave 0 to
    1 a little. Unshifted they lie too high: precision at a recall is a maximum, which the noise of
    fewer images only raises. For a pool of one image all draws are the score.
    """
    by_class = matches([coco(pool, predictions, max_detections)], len(pool))
    return draws(by_class, main_metrics, seed=seed, resamples=resamples)


def intervals(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    seed: int,
    resamples: int = 300,
    max_detections: int = 100,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of `bootstrap`: scores of this one model on as many other images.

    Of 50 to 200 simulated images they hold the mAP of all images in 88 to 93 % of cases, a little
    too narrow and too high, and paired differences in 91 to 94 % (docs/results.md). Empty for a
    pool of fewer than `LEAST_IMAGES` that hold an object: too few to show how images differ.
    """
    if pool.images_with_objects < LEAST_IMAGES:
        return {}
    metric_draws = bootstrap(
        pool, predictions, seed=seed, resamples=resamples, max_detections=max_detections
    )
    return {name: interval(np.clip(values, 0, 1)) for name, values in metric_draws.items()}


def _centre(values: np.ndarray, score: float) -> np.ndarray:
    """The values, shifted so that their mean is the score; NaN becomes the score."""
    is_number = ~np.isnan(values)
    shifted = np.full(len(values), score)
    if is_number.any():
        numbers = values[is_number]
        shifted[is_number] += numbers - numbers.mean()
    return shifted
