"""Class sizes: tests whether the size of an object tells its class, in a source and in another.

A detector that may learn classes from sizes does, and fails where sizes are others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from syndet_ray.inspection.distance import Sample
from syndet_ray.inspection.statistics import Measurements
from syndet_ray.seeds import generator
from syndet_ray.spread import LEAST_IMAGES

# Of a class: fewer tell nothing about sizes, shapes or looks, and any two classes look different.
LEAST_BOXES = 5
TELLS = 0.65  # from here on: two normal distributions, their means half a deviation apart
_DIFFERENT = 0.1  # a smaller difference changes little, however sure it is
_ROUNDS = 200  # resamples, and permutations: as for distances
_INTERVAL = (2.5, 97.5)  # percentiles of the 95 % interval
_FLOOR = 95  # percentile: chance alone stays below it 19 times in 20
_MOST_BINS = 1000  # of sizes; between sources of fewer values nothing is lost


@dataclass(frozen=True, kw_only=True)
class SizeDifference:
    """The value of a source less that of the reference, with its 95 % interval over the images of
    both.
    """

    value: float
    low: float
    high: float

    @property
    def matters(self) -> bool:
        """True when the difference is large enough to matter, and beyond chance."""
        return abs(self.value) >= _DIFFERENT and not self.low <= 0 <= self.high


@dataclass(frozen=True, eq=False, kw_only=True)
class SizeTest:
    """A test of how well the sizes of boxes tell the classes of a source apart.

    value  mean over all pairs of classes of the probability that the size tells which of two
           objects, one of each, has which class: 0.5 when it tells nothing, 1 when it always does
           (Hand & Till 2001, their M, each pair in its better direction). None when there are less
           than two classes to compare
    low, high  95 % interval over images; None with fewer than LEAST_IMAGES
    floor  the chance level: of 100 permutations of classes between images, 95 have at most this
           value. Above 0.5, because each pair takes its better direction
    classes  that are compared: all with LEAST_BOXES boxes in every source
    difference  to the reference; None for the reference itself, and without intervals
    """

    source: str
    classes: tuple[str, ...]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    difference: SizeDifference | None = None

    @property
    def tells(self) -> bool:
        """True when size tells the classes apart better than chance, and well enough to matter."""
        if self.value is None or self.floor is None:
            return False
        return self.value >= TELLS and self.value > self.floor


def size_tests(
    names: Sequence[str], sources: Sequence[Measurements], seed: int
) -> tuple[SizeTest, ...]:
    """The test of each source, the first of which is the reference."""
    classes = _comparable(sources)
    if len(classes) < 2:
        return tuple(SizeTest(source=name, classes=classes) for name in names)
    tests: list[SizeTest] = []
    draws: list[np.ndarray] = []
    for name, measurements in zip(names, sources, strict=True):
        boxes = _Boxes.of(measurements, classes)
        rng = generator(seed, f"sizes of classes of {name}")
        by_chance = [boxes.separation_by_chance(rng) for _ in range(_ROUNDS)]
        value = boxes.separation(np.ones(len(boxes.labels)))
        test = SizeTest(
            source=name,
            classes=classes,
            value=value,
            floor=float(np.percentile(by_chance, _FLOOR)),
        )
        draws.append(boxes.resamples(rng))
        if len(draws[-1]):
            low, high = _interval(value, draws[-1])
            test = replace(test, low=max(0.5, low), high=min(1.0, high))
        tests.append(replace(test, difference=_difference([*tests, test], draws)))
    return tuple(tests)


def _difference(tests: Sequence[SizeTest], draws: Sequence[np.ndarray]) -> SizeDifference | None:
    """The difference of the last test to the first, by the resamples of both.

    None where there is only one, or a source has too few images.
    """
    value, reference = tests[-1].value, tests[0].value
    has_draws = len(draws[0]) > 0 and len(draws[-1]) > 0
    if len(tests) < 2 or value is None or reference is None or not has_draws:
        return None
    low, high = _interval(value - reference, draws[-1] - draws[0])
    return SizeDifference(value=value - reference, low=low, high=high)


def _comparable(sources: Sequence[Measurements]) -> tuple[str, ...]:
    """The classes that have enough boxes in every source, in the order of the first."""
    names = list(sources[0].classes)
    for measurements in sources:
        counts = np.bincount(measurements.labels, minlength=len(measurements.classes))
        frequent = {
            name
            for name, count in zip(measurements.classes, counts, strict=True)
            if count >= LEAST_BOXES
        }
        names = [name for name in names if name in frequent]
    return tuple(names)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Boxes:
    """The boxes of c classes.

    sizes   as the positions (k,) int64 of their bins, with the image of each
    labels  (k,) int64, 0 to c - 1
    """

    sizes: Sample
    labels: np.ndarray
    classes: int

    @staticmethod
    def of(measurements: Measurements, classes: tuple[str, ...]) -> "_Boxes":
        """The boxes of these classes. At one working scale a box is as large as its share of the
        image's longest side.
        """
        values = measurements.values
        longest = np.maximum(values["image_width"], values["image_height"])
        sizes = values["box_size"] / longest[measurements.image_of]
        positions = {name: i for i, name in enumerate(classes)}
        of_label = np.array([positions.get(name, -1) for name in measurements.classes])
        labels = of_label[measurements.labels]
        chosen = labels >= 0
        sample = Sample(
            values=_bins(sizes[chosen]),
            image_of=measurements.image_of[chosen],
            images=measurements.images,
        )
        return _Boxes(sizes=sample, labels=labels[chosen], classes=len(classes))

    def separation(self, weights: np.ndarray) -> float:
        """The value of a test in which each box counts as often as its weight (k,)."""
        return _separation(self.sizes.values, self.labels, weights, self.classes)

    def resamples(self, rng: np.random.Generator) -> np.ndarray:
        """The values of resampled images; none where there are too few to resample."""
        if self.sizes.images < LEAST_IMAGES:
            return np.zeros(0)
        return np.array([self.separation(self.sizes.weights(rng)) for _ in range(_ROUNDS)])

    def separation_by_chance(self, rng: np.random.Generator) -> float:
        """The same for classes that are permuted between images.

        Boxes of one image stay together, in classes and in sizes, because both are alike in one
        image: as independent boxes they would show less by chance than they do.
        """
        sizes = self.sizes.values[self._shuffle(rng)]
        labels = self.labels[self._shuffle(rng)]
        return _separation(sizes, labels, np.ones(len(labels)), self.classes)

    def _shuffle(self, rng: np.random.Generator) -> np.ndarray:
        """(k,) the positions of all boxes, images in any order, and so the boxes of each."""
        places = rng.permutation(self.sizes.images)[self.sizes.image_of]
        return np.argsort(places + rng.random(len(places)))


def _bins(sizes: np.ndarray) -> np.ndarray:
    """(k,) int64 the position of each size among all different ones, or among quantiles."""
    values = np.unique(sizes)
    if len(values) > _MOST_BINS:
        values = np.unique(np.quantile(sizes, np.linspace(0, 1, _MOST_BINS)))
    return np.minimum(np.searchsorted(values, sizes), len(values) - 1)


def _separation(sizes: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int) -> float:
    """The mean over all pairs of classes of the probability that the greater, or the smaller, of
    two sizes belongs to the class that has more of these. NaN when no pair has weight.
    """
    bins = int(sizes.max()) + 1
    cells = np.bincount(labels * bins + sizes, weights, minlength=classes * bins)
    histograms = cells.reshape(classes, bins)
    # of two objects of one size each is the greater one in half of the cases
    smaller = np.cumsum(histograms, axis=1) - histograms / 2
    wins = histograms @ smaller.T
    totals = histograms.sum(axis=1)
    one, other = np.triu_indices(classes, k=1)
    pairs = totals[one] * totals[other]
    shares = wins[one, other][pairs > 0] / pairs[pairs > 0]
    return float(np.maximum(shares, 1 - shares).mean()) if len(shares) else np.nan


def _interval(value: float, draws: np.ndarray) -> tuple[float, float]:
    """The basic bootstrap interval, widened to contain the value.

    Basic, because by chance sizes in a resample tell classes apart better than in the sample. Near
    0.5 it is too narrow, because each pair takes its better direction.
    """
    below, above = np.nanpercentile(draws, _INTERVAL)
    return float(min(value, 2 * value - above)), float(max(value, 2 * value - below))
