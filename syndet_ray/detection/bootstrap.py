"""Bootstrap: what COCO's metrics would have been on other images, from matches that are made once.

Each image is matched once; a resample only counts the matches of its images, as pycocotools would
count them had it been given that list of images. The arithmetic is that of pycocotools' accumulate.
A resample is a half sample, half of the images drawn without return (see `resampled_images`), and
not, as usual in a bootstrap, as many drawn with return.
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
from syndet_ray.spread import LEAST_IMAGES, interval

_RECALLS = np.linspace(0, 1, 101)  # pycocotools' own, to the bit
_IOUS = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """What pycocotools matched of one class in n images: d detections, image after image, best
    first in each.

    Seen in v ways, which differ in what objects are neutral: hits and misses have a row for each
    view and each of COCO's ten IoU thresholds.

    scores   (d,)
    hits     (v * 10, d) bool: the detection found an object
    misses   (v * 10, d) bool: it found nothing; neither a hit nor a miss where it lies on what is
             neutral
    starts, counts   (n,) where the detections of each image begin, and how many they are
    objects  (v, n) objects of each image to be found
    """

    scores: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    objects: np.ndarray

    def of(self, images: np.ndarray) -> np.ndarray:
        """Indices of the detections in `images`, which may repeat; best first, tied ones in the
        order of the images.
        """
        counts = self.counts[images]
        first = self.starts[images] - np.cumsum(counts) + counts
        found = np.repeat(first, counts) + np.arange(counts.sum())
        return found[np.argsort(-self.scores[found], kind="stable")]


@dataclass(frozen=True, eq=False)
class Accuracy:
    """ap and recall (classes, v, 10), for every view and COCO's ten IoU thresholds; NaN where a
    class has no object.
    """

    ap: np.ndarray
    recall: np.ndarray


def matches(evaluations: Sequence[COCOeval], images: int) -> list[Matches]:
    """One for each class. evaluations: the views, of the same pool and predictions (`score.coco`)."""
    empty: dict[str, np.ndarray] = {
        key: np.zeros((_IOUS, 0), bool) for key in ("dtMatches", "dtIgnore")
    }
    empty |= {"dtScores": np.zeros(0), "gtIgnore": np.zeros(0, bool)}
    views = [[cell or empty for cell in evaluation.evalImgs] for evaluation in evaluations]
    return [
        _joined([cells[at : at + images] for cells in views])
        for at in range(0, len(views[0]), images)
    ]


def _joined(views: Sequence[Sequence[dict[str, Any]]]) -> Matches:
    matched = np.concatenate([_side_by_side(cells, "dtMatches") for cells in views]) != 0
    neutral = np.concatenate([_side_by_side(cells, "dtIgnore") for cells in views]).astype(bool)
    counts = np.array([len(cell["dtScores"]) for cell in views[0]])
    return Matches(
        scores=np.concatenate([cell["dtScores"] for cell in views[0]]),
        hits=matched & ~neutral,
        misses=~matched & ~neutral,
        starts=np.cumsum(counts) - counts,
        counts=counts,
        objects=np.array(
            [[np.count_nonzero(cell["gtIgnore"] == 0) for cell in cells] for cells in views]
        ),
    )


def _side_by_side(cells: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    return np.concatenate([cell[key] for cell in cells], axis=1)


def accuracy(found: Sequence[Matches], images: np.ndarray) -> Accuracy:
    """AP and recall over `images`, an (m,) array of indices that may repeat."""
    tables = np.array([_of_class(one, images) for one in found])
    return Accuracy(tables[:, 0], tables[:, 1])


def _of_class(one: Matches, images: np.ndarray) -> np.ndarray:
    """(2, v, 10): AP and greatest recall."""
    found = one.of(images)
    hits = one.hits[:, found]
    best = best_precision(hits, one.misses[:, found])
    objects = one.objects[:, images].sum(axis=1)
    per_view = zip(np.split(best, len(objects)), objects.tolist(), strict=True)
    ap = np.array([average_precision(rows, count) for rows, count in per_view])
    count = np.where(objects > 0, objects, np.nan)[:, None]
    return np.array([ap, hits.sum(axis=1).reshape(-1, _IOUS) / count])


def best_precision(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """(r, w): the best precision at the first, second, ... hit or any later one; 0 after the last.
    w: the most hits.

    hits and misses (r, d) bool, best detection first. Only a hit raises precision: it is enough to
    look at the hits, and at how many misses came before each.
    """
    row, at = np.nonzero(hits)
    counts = np.bincount(row, minlength=len(hits))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    wrong, right = misses.cumsum(axis=1, dtype=np.int32)[row, at], rank + 1
    precision = np.zeros((len(hits), counts.max(initial=0)))
    precision[row, rank] = right / (wrong + right + np.spacing(1))
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def average_precision(best: np.ndarray, objects: int) -> np.ndarray:
    """(r,) COCO's AP from `best_precision`: its mean at 101 recalls, 0 at those not reached. NaN
    where objects is 0.
    """
    if objects == 0:
        return np.full(len(best), np.nan)
    shares = _recall_shares(objects)
    most = min(len(shares), best.shape[1])
    return best[:, :most] @ shares[:most]


@lru_cache(maxsize=4096)
def _recall_shares(objects: int) -> np.ndarray:
    """(objects,) at how many of COCO's recalls, as a share, the first, second, ...

    hit is the one that reaches it.
    """
    needed = np.maximum(np.searchsorted(np.arange(objects + 1) / objects, _RECALLS), 1)
    return np.bincount(needed - 1, minlength=objects) / len(_RECALLS)


def whole(seen: Accuracy) -> dict[str, float]:
    """The four means "mAP", "AP50", "AP75" and "mAR" in the first view; 0 where there is no object."""
    ap, recall = seen.ap[:, 0], seen.recall[:, 0]
    parts = {"mAP": ap, "AP50": ap[:, IOU_50], "AP75": ap[:, IOU_75], "mAR": recall}
    return {name: float(np.nan_to_num(known_mean(values))) for name, values in parts.items()}


def known_mean(values: np.ndarray) -> float:
    """The mean of what is not NaN; NaN where all is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def resampled_images(images: int, *, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Indices of half of the images, drawn without return, `resamples` times; of a single image,
    that one.

    Means over halves vary as much as means over other images, as many as there are, would (McCarthy
    1969, Pseudoreplication: half samples); of an odd number n of images by (n + 1) / (n - 1) more,
    a fifth with 11. As many images drawn with return do so too, but hold images twice, which COCO's
    precision, a maximum, answers with less spread: with 50 images 8 % less than other test sets
    show (benchmarks/interval_coverage.py).
    """
    rng = seeds.generator(seed, "bootstrap")
    for _ in range(resamples):
        yield rng.permutation(images)[: max(1, images // 2)]


def draws(
    found: Sequence[Matches],
    metrics: Callable[[Accuracy], dict[str, float]],
    *,
    seed: int,
    resamples: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """(resamples,) by name: the metrics of other images, shifted so that their mean is that of the
    images themselves.

    metrics: the same names for every Accuracy, only of what objects in enough images tell: a draw
    that is NaN, for want of objects, becomes the mean, and many of these would make a metric look
    sure. A single image has itself for every draw, so all draws are its score: they say nothing of
    other images, and make no interval.
    """
    images = found[0].objects.shape[1]
    own, drawn = metrics(accuracy(found, np.arange(images))), []
    # a handful of images has few halves, and each comes many times
    scored: dict[bytes, dict[str, float]] = {}
    for done, chosen in enumerate(
        resampled_images(images, seed=seed, resamples=resamples), start=1
    ):
        half = chosen.tobytes()
        if half not in scored:
            scored[half] = metrics(accuracy(found, chosen))
        drawn.append(scored[half])
        if progress is not None:
            progress(done, resamples)
    return {
        name: _centred(np.array([one[name] for one in drawn]), value) for name, value in own.items()
    }


def bootstrap(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    seed: int,
    resamples: int = 300,
    max_detections: int = 100,
) -> dict[str, np.ndarray]:
    """From half samples of the images: "mAP", "AP50", "AP75" and "mAR", each (resamples,), as
    others might have shown them.

    Which images resample r holds depends on the seed and the number of images alone. That pairs
    models: two that are scored on the same pool with the same seed meet the same images in every
    resample, and their draws may be subtracted. A resample without an object scores 0.

    The draws are shifted so that their mean is the score of the pool itself, and may so leave 0 to
    1 a little. Unshifted they lie too high: precision at a recall is a maximum, which the noise of
    fewer images only raises. Of a pool of one image all draws are the score.
    """
    found = matches([coco(pool, predictions, max_detections)], len(pool))
    return draws(found, whole, seed=seed, resamples=resamples)


def intervals(
    pool: Pool,
    predictions: Sequence[Predictions],
    *,
    seed: int,
    resamples: int = 300,
    max_detections: int = 100,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of `bootstrap`: what other images, as many, would have shown of
    this one model.

    Of 50 to 200 simulated images they hold the mAP of all images in 88 to 93 % of cases, a little
    too narrow and too high, and paired differences in 91 to 94 % (docs/results.md).
    Empty for a pool of fewer than `LEAST_IMAGES` that hold an object, which does not tell how
    images differ.
    """
    if pool.images_with_objects < LEAST_IMAGES:
        return {}
    drawn = bootstrap(
        pool, predictions, seed=seed, resamples=resamples, max_detections=max_detections
    )
    return {name: interval(np.clip(values, 0, 1)) for name, values in drawn.items()}


def _centred(drawn: np.ndarray, value: float) -> np.ndarray:
    known = ~np.isnan(drawn)
    shifted = np.full(len(drawn), value)
    if known.any():
        shifted[known] += drawn[known] - drawn[known].mean()
    return shifted
