"""Spread: how sure a comparison of recipes is, each trained with several seeds and scored on the
same few images.

A recipe's score varies for two reasons. Other test images would have been another test: that is
what the bootstrap draws of each model tell (`detection.bootstrap.bootstrap`), and because every
model meets the same images in the same draw, what is hard for all of them cancels where two are
compared. And another seed would have trained another model: that is what the difference between the
s models of a recipe tells. The k-th trainings of all recipes have the same seed and see the same
photos in the same order, so that their scores rise and fall together: what they share cancels as
well. Of two recipes that have only some seeds in common it cancels as far as these go.

Throughout, models are the draws of one recipe: s arrays (B,), one for each seed, paired by resample
with those of all other recipes, the mean of each array being the model's own score. Higher is
better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

# Every bootstrap over a test set has as many draws of the same images: models of different sweeps
# are paired by them too.
RESAMPLES, PAIRED_SEED, TIMES = 1000, 0, 20
# Fewer scored images make no interval: of ten, 95 % intervals held the truth in 84 to 93 % of
# simulated test sets, nearly as often as of fifty, but of six in 80 to 86 % and of four in 66 to 73
# % (benchmarks/interval_coverage.py). Of one all draws are the same.
LEAST_IMAGES = 10
# Two pairs say too little about how much a difference varies between seeds: their intervals held
# the truth in 88 % (benchmarks/coverage.py), unpaired ones in 94 % or more.
_LEAST_PAIRS = 3

# The models of one recipe by seed. Models of two recipes with equal keys were trained with the same
# seed.
BySeed = Mapping[Any, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """How much trainings of one recipe differ, pooled over several recipes.

    between      variance between the scores of single trainings
    interaction  how much of it the draws over images of a single training already vary by
    freedom      degrees of freedom: trainings less recipes
    """

    between: float
    interaction: float
    freedom: int


_NO_SPREAD = SeedSpread(between=0.0, interaction=0.0, freedom=1)  # of what nobody knows: left out


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a minus b. low and high bound 95 %; probability that a is better than b, a tie counting half."""

    mean: float
    low: float
    high: float
    probability: float

    @property
    def mirrored(self) -> "Difference":
        """b minus a."""
        return Difference(
            mean=-self.mean, low=-self.high, high=-self.low, probability=1 - self.probability
        )


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean: sample standard deviation / sqrt(n). None where fewer than two
    values tell nothing.
    """
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def pooled_deviation(recipes: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation between trainings of one recipe, as far as all recipes tell; None
    where none was trained twice.

    Each recipe's variance is weighted by its degrees of freedom: (sum of squares) / (trainings less
    recipes).
    """
    repeated = [np.asarray(scores) for scores in recipes if len(scores) > 1]
    freedom = sum(len(scores) - 1 for scores in repeated)
    squares = sum(float(((scores - scores.mean()) ** 2).sum()) for scores in repeated)
    return float(np.sqrt(squares / freedom)) if freedom else None


def within_one_error(means: Mapping[str, float], errors: Mapping[str, float | None]) -> list[str]:
    """The recipes whose mean is at most one standard error of the best below it, best first, ties
    in the order given.

    The simplest of them is the choice of the one-standard-error rule (Breiman et al. 1984, 3.4.3;
    Hastie et al., Elements of Statistical Learning, 7.10). Where the error of the best is None,
    only what ties with it is within.
    """
    ranked = sorted(means, key=lambda name: -means[name])
    error = errors[ranked[0]]
    least = means[ranked[0]] - (0.0 if error is None else error)
    return [name for name in ranked if means[name] >= least]


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws (B,): percentiles 2.5 and 97.5 (Efron & Tibshirani 1993, ch. 13)."""
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


def score_interval(metric: str, draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws (B,), no further than a score can be, 0 to 1; a slope ("slope/...")
    may be anything.

    Needed because what is known of seeds from a few may reach beyond.
    """
    return interval(bounded(metric, draws))


def bounded(metric: str, values: np.ndarray) -> np.ndarray:
    """Values no further than a score can be, 0 to 1; of a slope ("slope/...") as they are."""
    return values if _is_slope(metric) else np.clip(values, 0.0, 1.0)


def _is_slope(metric: str) -> bool:
    return metric.startswith("slope/")


def seed_spread(recipes: Iterable[Sequence[np.ndarray]]) -> SeedSpread | None:
    """What recipes with two models or more tell of the spread between seeds; None where there is
    none of them.

    It is that of any recipe whose other trainings were lost, as far as anybody knows.
    """
    apart = [_apart(models) for models in recipes if len(models) > 1]
    freedom = sum(parts.freedom for parts in apart)
    if not freedom:
        return None
    between = sum(parts.freedom * (parts.freedom + 1) * parts.between for parts in apart) / freedom
    interaction = (
        sum(parts.freedom * (parts.freedom + 1) * parts.interaction for parts in apart) / freedom
    )
    return SeedSpread(between=between, interaction=interaction, freedom=freedom)


def combined(
    models: Sequence[np.ndarray],
    rng: np.random.Generator,
    times: int = 1,
    spread: SeedSpread | None = None,
) -> np.ndarray:
    """(times * B,) draws of a recipe's mean over seeds, had there been other images and other
    seeds.

    Of a single model the spread between seeds is that of other recipes; without `spread` it is
    unknown, and the draws are the model's own, over images alone. Draws may leave the range of the
    score. Give every recipe the same rng, one after
    another: the noise of each is its own.

    times: how often every draw over images is met by other seeds. Bounds of an interval need many,
    for few seeds have long
    tails: with 1000 draws in all those of three seeds were off by a tenth.
    """
    parts = _apart(models, spread)
    image = np.tile(parts.image, times)
    return image + _seed_noise(image, [parts], rng)


def difference(
    a: BySeed, b: BySeed, rng: np.random.Generator, spread: SeedSpread | None = None
) -> Difference:
    """The models of recipe a against those of b, paired over images. `difference(b, a)` is its
    mirror image.

    It is that of the means over all models. They are compared seed by seed where they have three
    seeds or more in common, see `_parts_of_a_difference`. Of a recipe with a single model the
    spread between seeds is `spread`.
    """
    one, other = (_apart(list(models.values()), spread) for models in (a, b))
    image = np.tile(one.image - other.image, TIMES)
    noise = _seed_noise(image, _parts_of_a_difference(a, b, one, other), rng)
    # both signs: noise then shifts neither mean nor probability
    draws = np.concatenate([image + noise, image - noise])
    low, high = interval(draws)
    probability = float((np.sign(draws).mean() + 1) / 2)
    return Difference(mean=float(image.mean()), low=low, high=high, probability=probability)


def score_difference(
    metric: str, a: BySeed, b: BySeed, rng: np.random.Generator, spread: SeedSpread | None = None
) -> Difference:
    """`difference` of two recipes in a metric, its interval no wider than two scores can be apart,
    -1 to 1.

    A difference of slopes ("slope/...") may be anything, see `score_interval`.
    """
    gap = difference(a, b, rng, spread)
    if _is_slope(metric):
        return gap
    low, high = np.clip((gap.low, gap.high), -1.0, 1.0).tolist()
    return replace(gap, low=low, high=high)


def _parts_of_a_difference(a: BySeed, b: BySeed, one: "_Parts", other: "_Parts") -> list["_Parts"]:
    """What the variance between seeds of mean(a) - mean(b) is made of; one and other are the parts
    of a and b alone.

    With variances A and B between the n models of a and the m of b, of which c pairs have a common
    seed and a covariance C, it is A/n + B/m - 2Cc/(nm) (Derrick et al. 2017, Test statistics for
    the comparison of means for two samples that include both paired and independent observations).
    A pair differs by the variance D = A + B - 2C, which the pairs tell; with it, that is (1 - c/m)
    A/n + (1 - c/n) B/m + (c/n)(c/m) D/c. Where all is shared D alone is left, without pairs A and B
    are.
    """
    seeds = _common_seeds([a, b])
    shared_of_a, shared_of_b = len(seeds) / len(a), len(seeds) / len(b)
    parts = [one.weighted(1 - shared_of_b), other.weighted(1 - shared_of_a)]
    if seeds:
        gaps = _apart([a[seed] - b[seed] for seed in seeds])
        parts.append(gaps.weighted(shared_of_a * shared_of_b))
    return parts


def probability_best(
    recipes: Mapping[str, BySeed], rng: np.random.Generator, spread: SeedSpread | None = None
) -> dict[str, float]:
    """The share of draws in which each recipe is the best of all; a tie is shared. Adds up to 1.

    Of two recipes it is what `difference` says. Of more, the noise of each recipe follows its own
    seeds, see `joint_draws`, which knows less than a comparison seed by seed: no recipe is the best
    with a higher probability than it is better than any other one by `difference`.
    """
    if len(recipes) == 2:
        (one, a), (other, b) = recipes.items()
        probability = difference(a, b, rng, spread).probability
        return {one: probability, other: 1 - probability}
    scores = joint_draws(list(recipes.values()), rng, spread)
    best = scores == scores.max(axis=0)
    shares = (best / best.sum(axis=0)).mean(axis=1)
    limits = _probabilities_above_all(list(recipes.values()), rng, spread)
    return dict(zip(recipes, _within(shares, limits).tolist(), strict=True))


def _probabilities_above_all(
    recipes: Sequence[BySeed], rng: np.random.Generator, spread: SeedSpread | None
) -> np.ndarray:
    """(R,) of each recipe the least of its probabilities to be better than one other recipe."""
    # what is drawn from `rng` later does not depend on how many recipes there are
    apart = rng.spawn(1)[0]
    limits = np.ones(len(recipes))
    for (i, one), (j, other) in combinations(enumerate(recipes), 2):
        probability = difference(one, other, apart, spread).probability
        limits[i] = min(limits[i], probability)
        limits[j] = min(limits[j], 1 - probability)
    return limits


def _within(shares: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Shares (R,) that add up to 1, none above its limit where that can be; what is cut goes to
    those with room left.
    """
    cut = np.minimum(shares, limits)
    room = limits - cut
    missing = 1 - cut.sum()
    filled = cut + room * min(1.0, missing / room.sum()) if room.sum() > 0 else cut
    return filled / filled.sum()


def joint_draws(
    recipes: Sequence[BySeed], rng: np.random.Generator, spread: SeedSpread | None = None
) -> np.ndarray:
    """(R, B) draws of the scores of R recipes, to be compared with one another within each draw.

    Other images and other seeds make them vary. Where all recipes have three seeds or more in
    common, what these add to all of them alike is left out: the draws of a single recipe then vary
    less than those of `combined`.
    """
    seeds = _common_seeds(recipes)
    if seeds:
        return _draws_by_seed(recipes, seeds, rng)
    tables = [np.array(list(models.values())) for models in recipes]
    # images easy or hard for all
    common = np.mean([table.mean(axis=0) for table in tables], axis=0)
    return common + np.array([combined(table - common, rng, spread=spread) for table in tables])


def _common_seeds(recipes: Sequence[BySeed]) -> list[Any]:
    """The seeds that all recipes have; none where these are fewer than three."""
    first, *others = recipes
    common = [seed for seed in first if all(seed in other for other in others)]
    return common if len(common) >= _LEAST_PAIRS else []


def _draws_by_seed(
    recipes: Sequence[BySeed], seeds: Sequence[Any], rng: np.random.Generator
) -> np.ndarray:
    """`joint_draws` of recipes that have these seeds in common, each perhaps others beside them.

    Subtracting the mean of all R recipes, seed by seed, leaves (R - 1) / R of the variance that is
    a recipe's own. The factor makes up for it, so that the noise has the full variance. Seeds that
    not all recipes have count as a recipe's own.
    """
    means = np.array([np.mean(list(models.values()), axis=0) for models in recipes])  # (R, B)
    common = np.mean([[models[seed] for seed in seeds] for models in recipes], axis=0)  # (s, B)
    rests = means - means.mean(axis=0)
    factor = np.sqrt(len(recipes) / max(len(recipes) - 1, 1))
    noise = []
    for models, rest in zip(recipes, rests, strict=True):
        share = len(seeds) / len(models)
        own = _apart(list(models.values())).weighted(1 - share)
        paired = _apart(
            [factor * (models[seed] - alike) for seed, alike in zip(seeds, common, strict=True)]
        )
        noise.append(_seed_noise(factor * rest, [own, paired.weighted(share**2)], rng))
    return means + np.array(noise) + _luck_of_all(recipes, common, rng)


def _luck_of_all(
    recipes: Sequence[BySeed], common: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(R, B) what common seeds add to all recipes alike, less what they add to the recipe of the
    fewest models.

    common: (s, B) the mean over the recipes of each seed. The more other seeds a recipe has, the
    less these lift its mean; where all have as many, (R, 1) zeros.
    """
    shares = np.array([len(common) / len(models) for models in recipes])
    if shares.min() == shares.max():
        return np.zeros((len(recipes), 1))
    luck = _seed_noise(common.mean(axis=0), [_apart(common)], rng)
    return (shares - shares.max())[:, None] * luck


@dataclass(frozen=True, eq=False, kw_only=True)
class _Parts:
    """The draws of a recipe as a two-way table, resamples by models, taken apart.

    image        (B,) the mean over the models
    between      the variance of a mean over seeds: that between the models / s, which estimates
                 (seed + interaction) / s
    interaction  how much of it `image` already varies by, because each model finds other images
                 hard
    freedom      s - 1
    """

    image: np.ndarray
    between: float
    interaction: float
    freedom: int

    def weighted(self, weight: float) -> "_Parts":
        """The same as a part of a sum in which its variance has this weight."""
        return replace(self, between=weight * self.between, interaction=weight * self.interaction)


def _apart(models: Sequence[np.ndarray] | np.ndarray, spread: SeedSpread | None = None) -> _Parts:
    """Two-way analysis of variance, one draw a cell (Searle, Casella & McCulloch 1992, ch. 4).

    spread: what a single model, which says nothing of it, is taken to differ by from others of its
    recipe.
    """
    table = np.asarray(models, np.float64)
    s, resamples = table.shape
    assert s > 0 and resamples > 1, table.shape
    image, own = table.mean(axis=0), table.mean(axis=1)
    if s == 1:
        pooled = spread or _NO_SPREAD
        return _Parts(
            image=image,
            between=pooled.between,
            interaction=pooled.interaction,
            freedom=pooled.freedom,
        )
    rest = table - image - own[:, None] + image.mean()
    interaction = (rest**2).sum() / ((s - 1) * (resamples - 1))
    return _Parts(
        image=image,
        between=float(own.var(ddof=1) / s),
        interaction=float(interaction / s),
        freedom=s - 1,
    )


def _seed_noise(image: np.ndarray, parts: Sequence[_Parts], rng: np.random.Generator) -> np.ndarray:
    """(B,) what to add to the draws over images, so that they vary as much as other seeds would
    have made them.

    Drawing s of s seeds with replacement would not do: it shows (s - 1) / s of their variance,
    counts the interaction three times (Owen 2007, The pigeonhole bootstrap) and ignores that three
    values say little about a variance. Instead the sum is made to follow Student's t with the total
    variance and the degrees of freedom of Welch (1947) and Satterthwaite (1946), total² /
    sum(between² / (s - 1)): a normal deviate whose variance is drawn anew each time as total *
    freedom / chi²(freedom). Of that, the draws over images supply theirs, and the noise what is
    missing. benchmarks/coverage.py measures how often intervals hold the truth.
    """
    between = sum(part.between for part in parts)
    if between == 0:
        return np.zeros(len(image))
    supplied = float(image.var(ddof=1))
    total = max(supplied - sum(part.interaction for part in parts), 0) + between
    freedom = 1 / sum((part.between / total) ** 2 / part.freedom for part in parts)
    drawn = total * freedom / rng.chisquare(freedom, len(image))
    return rng.standard_normal(len(image)) * np.sqrt(np.maximum(drawn - supplied, 0))
