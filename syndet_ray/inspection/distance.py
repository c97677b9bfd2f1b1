"""Distance: how far apart two sources are in one statistic, how sure that is, and what chance alone
would make of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from syndet_ray.seeds import generator

_ROUNDS = 200
_INTERVAL = (2.5, 97.5)
_FLOOR = 95  # percentile: chance alone stays below it 19 times in 20
_ROUNDING = 1e-9  # relative, by which sums over the same values differ in another order


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """k values of a statistic, and the image (k,) that each is of, 0 to images - 1: images are
    drawn, not objects.
    """

    values: np.ndarray
    image_of: np.ndarray
    images: int

    def weights(self, rng: np.random.Generator) -> np.ndarray:
        """(k,) how often each value is there when as many images are drawn anew, with replacement."""
        return _drawn(self.images, rng)[self.image_of]


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far a source is from the reference in one statistic.

    value  0 where both are distributed alike. 1-Wasserstein distance, what a value must move on
           average to make one distribution the other, in standard deviations of the reference: 1 if
           all of it is shifted by one. Infinite where the reference does not vary and the other
           differs; None where there is nothing to compare. Of classes the total variation distance,
           0 to 1: the share of objects whose class would have to change.
    low, high  95 % interval over the images of both; None where the distance is not finite, or a
               source has one image
    floor  what chance makes of it: in 95 of 100 divisions of all their images at random, in two of
           as many as the sources have, these are less far apart. A value that is no greater may be
           chance. Where the reference does not vary it is 0 if such divisions are less far apart
           than the sources, and else infinite. None where a source has one image
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
        """Whether two samples of one source would be as far apart in less than 5 of 100 cases;
        False where not known.

        A permutation test of images (Fisher 1935, "The Design of Experiments"), which is exact for
        whatever distribution: of an event that is rare it is Fisher's exact test. Resamples of the
        reference alone know nothing of rare events that it happens not to hold.
        """
        if self.value is None or self.floor is None:
            return False
        return self.value > self.floor * (1 + _ROUNDING)


def distance(
    source: str, statistic: str, reference: Sample, other: Sample, seed: int, fine: float = 0.0
) -> Distance:
    """Of two samples of a numeric statistic; fine: a standard deviation up to which it does not
    vary to speak of.
    """
    if not len(reference.values) or not len(other.values):
        return Distance(source=source, statistic=statistic, value=None)
    line, deviation = Line.of(reference.values, other.values), float(np.std(reference.values))
    moved, ks = line.apart(np.ones(len(reference.values)), np.ones(len(other.values)))
    means = float(reference.values.mean()), float(other.values.mean())
    if moved <= fine:
        return Distance(
            source=source,
            statistic=statistic,
            value=0.0,
            low=None,
            high=None,
            floor=0.0,
            ks=0.0,
            means=means,
        )
    if len(reference.values) < 2:  # which tells nothing of how the statistic varies
        return Distance(source=source, statistic=statistic, value=None, ks=ks, means=means)
    varies = deviation > max(fine, 1e-9 * abs(means[0]))
    value = moved / deviation if varies else np.inf
    if min(reference.images, other.images) < 2:
        return Distance(source=source, statistic=statistic, value=value, ks=ks, means=means)
    rng = generator(seed, f"distance {statistic}")
    moved_by_chance = _numeric_floor(reference, other, rng)
    if not varies:
        is_chance = moved <= moved_by_chance * (1 + _ROUNDING)
        return Distance(
            source=source,
            statistic=statistic,
            value=value,
            low=None,
            high=None,
            floor=np.inf if is_chance else 0.0,
            ks=ks,
            means=means,
        )
    again = _repeated(lambda: line.apart(reference.weights(rng), other.weights(rng))[0] / deviation)
    floor = moved_by_chance / deviation
    low, high = _interval(value, again)
    return Distance(
        source=source,
        statistic=statistic,
        value=value,
        low=low,
        high=high,
        floor=floor,
        ks=ks,
        means=means,
    )


def class_distance(source: str, reference: np.ndarray, other: np.ndarray, seed: int) -> Distance:
    """Of the class balance of two sources, from (images, classes) counts in one order of classes."""
    if not reference.sum() or not other.sum():
        return Distance(source=source, statistic="classes", value=None)
    value = total_variation(reference.sum(axis=0), other.sum(axis=0))
    if min(len(reference), len(other)) < 2:
        return Distance(source=source, statistic="classes", value=value)
    rng = generator(seed, "distance of classes")

    def resampled() -> float:
        one = _drawn(len(reference), rng) @ reference
        two = _drawn(len(other), rng) @ other
        return total_variation(one, two) if one.sum() and two.sum() else np.nan

    counts = np.concatenate([reference, other])

    def divided(is_first: np.ndarray) -> float:
        one, two = counts[is_first].sum(axis=0), counts[~is_first].sum(axis=0)
        return total_variation(one, two) if one.sum() and two.sum() else np.nan

    floor = _floor(len(reference), len(other), divided, rng)
    low, high = _interval(value, _repeated(resampled))
    return Distance(
        source=source, statistic="classes", value=value, low=low, high=high, floor=floor
    )


def total_variation(first: np.ndarray, second: np.ndarray) -> float:
    """Half the sum of absolute differences of two distributions, given as counts (c,) that are not
    all 0.
    """
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)


@dataclass(frozen=True, eq=False)
class Line:
    """The values of two samples in one ascending order, so that weighted distances need no sorting.

    order  (a + b,) positions in the two samples laid end to end
    gaps   (a + b - 1,) from each value to the next
    """

    order: np.ndarray
    gaps: np.ndarray

    @staticmethod
    def of(first: np.ndarray, second: np.ndarray) -> "Line":
        both = np.concatenate([first, second])
        order = np.argsort(both, kind="stable")
        return Line(order, np.diff(both[order]))

    def apart(self, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
        """1-Wasserstein distance and Kolmogorov-Smirnov statistic of the samples weighted (a,) and
        (b,).

        The area between, and the largest difference of, the two cumulative distributions. NaN where
        weights are all 0.
        """
        if not first.any() or not second.any():
            return np.nan, np.nan
        weights = np.concatenate([first / first.sum(), -second / second.sum()])
        between = np.minimum(np.abs(np.cumsum(weights[self.order])[:-1]), 1.0)
        between[between < 1e-12] = 0.0  # rounding of sums: a source is at 0 from itself
        return float(between @ self.gaps), float(between[self.gaps > 0].max(initial=0.0))


def _numeric_floor(reference: Sample, other: Sample, rng: np.random.Generator) -> float:
    """What chance makes of a distance, in the statistic's unit."""
    values = np.concatenate([reference.values, other.values])
    image_of = np.concatenate([reference.image_of, reference.images + other.image_of])
    line = Line.of(values, values)

    def divided(is_first: np.ndarray) -> float:
        in_first = is_first[image_of].astype(np.float64)
        return line.apart(in_first, 1 - in_first)[0]

    return _floor(reference.images, other.images, divided, rng)


def _floor(
    first: int, second: int, apart: Callable[[np.ndarray], float], rng: np.random.Generator
) -> float:
    """The distance that 95 of 100 divisions of first + second images at random stay below, in two
    of as many.

    apart  of a division: (images,) whether each is of the first
    """
    found = np.array([apart(rng.permutation(first + second) < first) for _ in range(_ROUNDS)])
    # no object on one side: no distance, but nothing that speaks against chance either
    found[np.isnan(found)] = np.inf
    return float(np.percentile(found, _FLOOR, method="higher"))


def _drawn(images: int, rng: np.random.Generator) -> np.ndarray:
    """(images,) how often each was drawn, in as many draws with replacement."""
    return np.bincount(rng.integers(0, images, images), minlength=images)


def _repeated(draw: Callable[[], float]) -> np.ndarray:
    """Draws that could be made: those without any object say nothing."""
    found = np.array([draw() for _ in range(_ROUNDS)])
    found = found[np.isfinite(found)]
    return found if len(found) else np.zeros(1)


def _interval(value: float, again: np.ndarray) -> tuple[float, float]:
    """The basic bootstrap interval, no less than 0, and widened to hold the value.

    Basic, for a distance of samples is greater than that of what they were drawn from, and one of
    samples of samples greater again: quantiles by themselves would shut out 0 even where both
    sources are one. Close to 0 it still is too narrow (of two samples of one normal distribution 83
    in 100 hold 0): whether there is a difference the floor tells.
    """
    below, above = (float(q) for q in np.percentile(again, _INTERVAL))
    return min(value, max(0.0, 2 * value - above)), max(value, 2 * value - below)
