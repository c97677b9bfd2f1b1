"""Distance: how far two sources differ in one statistic, with its interval and its chance level."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from syndet_ray.seeds import generator

_ROUNDS = 200  # resamples, and divisions: enough for the 2.5 % ends of an interval, and fast
_INTERVAL = (2.5, 97.5)  # percentiles of the 95 % interval
_FLOOR = 95  # percentile: chance alone stays below it 19 times in 20
_ROUNDING = 1e-9  # relative, by which sums over the same values differ in another order


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """k values of a statistic, and the image (k,) of each, 0 to images - 1.

    Resamples choose images, not objects.
    """

    values: np.ndarray
    image_of: np.ndarray
    images: int

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """(k,) how often each value occurs when images are sampled with replacement."""
        return _resample_counts(self.images, rng)[self.image_of]


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The distance of a source from the reference in one statistic.

    value  1-Wasserstein distance: what a value must move on average to make one distribution the
           other, in standard deviations of the reference. 0 when both distributions are the same, 1
           when all of one is shifted by one deviation. Infinite when the reference does not vary
           and the source differs; None when there is nothing to compare. For classes it is the
           total variation distance, 0 to 1: the share of objects whose class would have to change.
    low, high  95 % interval over the images of both; None when the distance is not finite, or a
               source has one image
    floor  the chance level: of 100 random divisions of all images, into two parts of the sources'
           sizes, 95 are less far apart. A value that is not greater may be chance. When the
           reference does not vary, the floor is 0 if such divisions are less far apart than the
           sources, and infinite otherwise. None when a source has one image
    ks     two-sample Kolmogorov-Smirnov statistic, 0 to 1: the largest difference of the cumulative
           distributions
    means  of the reference and of the source, in the statistic's unit; None for classes
    """

    source: str
    statistic: str
    value: float | None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    ks: float | None = None
    means: tuple[float, float] | None = None

    @property
    def beyond_chance(self) -> bool:
        """True when two samples of one source are as far apart in fewer than 5 of 100 cases.

        False when that is not known. A permutation test of images (Fisher 1935, "The Design of
        Experiments"), which is exact for any distribution: for a rare event it is Fisher's exact
        test. Resamples of the reference alone cannot tell: they lack rare events that the reference
        happens not to have.
        """
        if self.value is None or self.floor is None:
            return False
        return self.value > self.floor * (1 + _ROUNDING)


def distance(
    source: str, statistic: str, reference: Sample, other: Sample, seed: int, fine: float = 0.0
) -> Distance:
    """Compares two samples of a numeric statistic.

    fine  a standard deviation up to which the statistic counts as constant
    """
    if not len(reference.values) or not len(other.values):
        return Distance(source=source, statistic=statistic, value=None)
    samples = SortedSamples.of(reference.values, other.values)
    moved, ks = samples.apart(np.ones(len(reference.values)), np.ones(len(other.values)))
    means = float(reference.values.mean()), float(other.values.mean())
    measured = partial(Distance, source=source, statistic=statistic, means=means)
    if moved <= fine:
        return measured(value=0.0, floor=0.0, ks=0.0)
    if len(reference.values) < 2:  # one value does not tell how the statistic varies
        return measured(value=None, ks=ks)
    deviation = float(np.std(reference.values))
    varies = deviation > max(fine, 1e-9 * abs(means[0]))
    value = moved / deviation if varies else np.inf
    if min(reference.images, other.images) < 2:
        return measured(value=value, ks=ks)
    rng = generator(seed, f"distance {statistic}")
    moved_by_chance = _numeric_floor(reference, other, rng)
    if not varies:
        is_chance = moved <= moved_by_chance * (1 + _ROUNDING)
        return measured(value=value, floor=np.inf if is_chance else 0.0, ks=ks)

    def resample() -> float:
        return samples.apart(reference.weights(rng), other.weights(rng))[0] / deviation

    low, high = _interval(value, _repeat(resample))
    return measured(value=value, low=low, high=high, floor=moved_by_chance / deviation, ks=ks)


def class_distance(source: str, reference: np.ndarray, other: np.ndarray, seed: int) -> Distance:
    """Compares the class balance of two sources.

    reference, other  (images, classes) counts, with the classes in the same order
    """
    if not reference.sum() or not other.sum():
        return Distance(source=source, statistic="classes", value=None)
    value = total_variation(reference.sum(axis=0), other.sum(axis=0))
    if min(len(reference), len(other)) < 2:
        return Distance(source=source, statistic="classes", value=value)
    rng = generator(seed, "distance of classes")
    counts = np.concatenate([reference, other])

    def resample() -> float:
        one = _resample_counts(len(reference), rng) @ reference
        two = _resample_counts(len(other), rng) @ other
        return total_variation(one, two) if one.sum() and two.sum() else np.nan

    def divide(is_first: np.ndarray) -> float:
        one, two = counts[is_first].sum(axis=0), counts[~is_first].sum(axis=0)
        return total_variation(one, two) if one.sum() and two.sum() else np.nan

    floor = _floor(len(reference), len(other), divide, rng)
    low, high = _interval(value, _repeat(resample))
    return Distance(
        source=source, statistic="classes", value=value, low=low, high=high, floor=floor
    )


def total_variation(first: np.ndarray, second: np.ndarray) -> float:
    """Half the sum of absolute differences of two distributions.

    They are given as counts (c,) that are not all 0.
    """
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class SortedSamples:
    """The values of two samples in one ascending order, so that weighted distances need no sorting.

    order  (a + b,) positions in the two samples, the second after the first
    gaps   (a + b - 1,) from each value to the next
    """

    order: np.ndarray
    gaps: np.ndarray

    @staticmethod
    def of(first: np.ndarray, second: np.ndarray) -> "SortedSamples":
        both = np.concatenate([first, second])
        order = np.argsort(both, kind="stable")
        return SortedSamples(order=order, gaps=np.diff(both[order]))

    def apart(self, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
        """1-Wasserstein distance and Kolmogorov-Smirnov statistic of the weighted samples.

        first, second  the weights (a,) and (b,) of the two samples

        The distance is the area between the two cumulative distributions, the statistic is their
        largest difference. NaN when all weights of a sample are 0.
        """
        if not first.any() or not second.any():
            return np.nan, np.nan
        weights = np.concatenate([first / first.sum(), -second / second.sum()])
        between = np.minimum(np.abs(np.cumsum(weights[self.order])[:-1]), 1.0)
        between[between < 1e-12] = 0.0  # rounding of sums: a source is at 0 from itself
        area = float(between @ self.gaps)
        largest = float(between[self.gaps > 0].max(initial=0.0))
        return area, largest


def _numeric_floor(reference: Sample, other: Sample, rng: np.random.Generator) -> float:
    """The chance level of a distance, in the statistic's unit."""
    values = np.concatenate([reference.values, other.values])
    image_of = np.concatenate([reference.image_of, reference.images + other.image_of])
    samples = SortedSamples.of(values, values)

    def divide(is_first: np.ndarray) -> float:
        in_first = is_first[image_of].astype(np.float64)
        return samples.apart(in_first, 1 - in_first)[0]

    return _floor(reference.images, other.images, divide, rng)


def _floor(
    first: int, second: int, apart: Callable[[np.ndarray], float], rng: np.random.Generator
) -> float:
    """The distance that 95 of 100 random divisions of first + second images stay below.

    apart  gives the distance of a division: (images,) True for each image of the first part, which
           has as many images as the first source
    """
    images = first + second
    distances = np.array([apart(rng.permutation(images) < first) for _ in range(_ROUNDS)])
    # no object on one side: no distance, but nothing that speaks against chance either
    distances[np.isnan(distances)] = np.inf
    return float(np.percentile(distances, _FLOOR, method="higher"))


def _resample_counts(images: int, rng: np.random.Generator) -> np.ndarray:
    """(images,) how often each image is chosen, when all are sampled with replacement."""
    return np.bincount(rng.integers(0, images, images), minlength=images)


def _repeat(resample: Callable[[], float]) -> np.ndarray:
    """The finite values of many resamples: those without any object have no distance."""
    values = np.array([resample() for _ in range(_ROUNDS)])
    finite = values[np.isfinite(values)]
    return finite if len(finite) else np.zeros(1)


def _interval(value: float, resamples: np.ndarray) -> tuple[float, float]:
    """The basic bootstrap interval, not less than 0, and widened to contain the value.

    Basic, because a distance of samples is greater than the distance of their sources, and a
    distance of resamples is greater again: plain quantiles would exclude 0 even when both sources
    are the same. Close to 0 it is still too narrow (of two samples of one normal distribution 83 in
    100 contain 0): use the floor to decide if there is a difference.
    """
    below, above = (float(q) for q in np.percentile(resamples, _INTERVAL))
    low = max(0.0, 2 * value - above)
    high = 2 * value - below
    return min(value, low), max(value, high)
