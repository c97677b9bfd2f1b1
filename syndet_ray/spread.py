"""Spread: intervals of scores and of differences between recipes, over images and seeds.

Recipes are trained with several seeds and scored on the same few images. A recipe's score varies
for two reasons. Other test images would have been another test: the bootstrap draws of each model
show how much that matters (`detection.bootstrap.bootstrap`). Every model meets the same images in
the same draw, so what is hard for all of them cancels when two are compared. And another seed would
have trained another model: the differences between the s models of a recipe show how much that
matters. The k-th trainings of all recipes have the same seed and see the same photos in the same
order, so their scores rise and fall together: what they share cancels as well. If two recipes have
only some seeds in common, it cancels as far as these go.

Throughout, models are the draws of one recipe: s arrays (B,), one for each seed, paired by resample
with those of all other recipes. The mean of each array is the model's own score. Higher is better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from syndet_ray.metrics import SLOPE

# Number and seed of the draws of every bootstrap over a test set: they are of the same images, so
# that models of different sweeps are paired too.
RESAMPLES, PAIRED_SEED = 1000, 0
# Draws over seeds for each draw over images: see `combine_seeds`.
SEED_DRAWS = 20
# Fewer scored images make no interval: of ten, 95 % intervals contained the true value in 84 to
# 93 % of simulated test sets, nearly as often as of fifty, but of six in 80 to 86 % and of four in
# 66 to 73 % (benchmarks/interval_coverage.py). Of one all draws are the same.
LEAST_IMAGES = 10
# Standard deviations in a median absolute deviation, under a normal distribution.
TO_DEVIATION = 1.4826
# Two pairs say too little about how much a difference varies between seeds: their intervals
# contained the true value in 88 % (benchmarks/coverage.py), unpaired ones in 94 % or more.
_LEAST_PAIRS = 3

# The models of one recipe by seed. Models of two recipes with equal keys were trained with the same
# seed.
BySeed = Mapping[Any, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """Variance between trainings of one recipe, pooled over several recipes.

    between      variance between the scores of single trainings
    interaction  how much of it the draws over images of a single training already vary by
    freedom      degrees of freedom: trainings less recipes
    """

    between: float
    interaction: float
    freedom: int


# used where no recipe has two trainings: the spread between seeds is unknown and left out
_NO_SPREAD = SeedSpread(between=0.0, interaction=0.0, freedom=1)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a minus b. low and high bound 95 %; probability that a is better than b, a tie is half."""

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
    """Standard error of the mean: sample standard deviation / sqrt(n). None for n below 2."""
    if len(values) < 2:
        return None
    deviation = np.std(values, ddof=1)
    return float(deviation / np.sqrt(len(values)))


def pooled_deviation(recipes: Iterable[Sequence[float]]) -> float | None:
    """Standard deviation between trainings of one recipe, pooled; None if none was trained twice.

    Each recipe's variance is weighted by its degrees of freedom: (sum of squares) / (trainings less
    recipes).
    """
    repeated = [np.asarray(scores) for scores in recipes if len(scores) > 1]
    if not repeated:
        return None
    freedom = sum(len(scores) - 1 for scores in repeated)
    squares = []
    for scores in repeated:
        deviations = scores - scores.mean()
        squares.append(float((deviations**2).sum()))
    return float(np.sqrt(sum(squares) / freedom))


def within_one_error(means: Mapping[str, float], errors: Mapping[str, float | None]) -> list[str]:
    """Recipes at most one standard error below the best mean; best first, ties in the order given.

    The simplest of them is the choice of the one-standard-error rule (Breiman et al. 1984, 3.4.3;
    Hastie et al., Elements of Statistical Learning, 7.10). If the error of the best is None, only
    recipes that tie with it are returned.
    """
    ranked = sorted(means, key=lambda name: -means[name])
    best = ranked[0]
    error = errors[best]
    least = means[best] if error is None else means[best] - error
    return [name for name in ranked if means[name] >= least]


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws (B,): percentiles 2.5 and 97.5 (Efron & Tibshirani 1993, ch. 13)."""
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


def score_interval(metric: str, draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws (B,), limited to the range of a score, see `limit_scores`.

    Noise that a few seeds add may reach beyond that range.
    """
    return interval(limit_scores(metric, draws))


def limit_scores(metric: str, values: np.ndarray) -> np.ndarray:
    """Values limited to the range of a score, 0 to 1; a slope ("slope/...") has no limits."""
    return values if _is_slope(metric) else np.clip(values, 0.0, 1.0)


def _is_slope(metric: str) -> bool:
    return metric.startswith(SLOPE)


def seed_spread(recipes: Iterable[Sequence[np.ndarray]]) -> SeedSpread | None:
    """The spread between seeds of recipes with two models or more; None if there are none of them.

    It is the best estimate for a recipe whose other trainings were lost.
    """
    tables = [_components(models) for models in recipes if len(models) > 1]
    if not tables:
        return None
    freedom = sum(table.freedom for table in tables)
    # a table has the variance of a mean over s = freedom + 1 trainings: s times that is the
    # variance of a single training, which weighs as its degrees of freedom
    weights = [table.freedom * (table.freedom + 1) for table in tables]
    pairs = list(zip(weights, tables, strict=True))
    between = sum(weight * table.between for weight, table in pairs)
    interaction = sum(weight * table.interaction for weight, table in pairs)
    return SeedSpread(between=between / freedom, interaction=interaction / freedom, freedom=freedom)


def combine_seeds(
    models: Sequence[np.ndarray],
    rng: np.random.Generator,
    times: int = 1,
    spread: SeedSpread | None = None,
) -> np.ndarray:
    """(times * B,) draws of a recipe's mean over seeds: other images, and other seeds.

    A single model takes its spread between seeds from `spread`. Without it that spread is unknown,
    and the draws are the model's own, over images alone. Draws may leave the range of the score.
    Give every recipe the same rng, one after another: the noise of each is its own.

    times  draws over seeds for each draw over images. Bounds of an interval need many,
           for few seeds have long tails: with 1000 draws in all, those of three seeds were off by a
           tenth
    """
    components = _components(models, spread)
    image = np.tile(components.image, times)
    return image + _seed_noise(image, [components], rng)


def difference(
    a: BySeed, b: BySeed, rng: np.random.Generator, spread: SeedSpread | None = None
) -> Difference:
    """The mean of all models of recipe a minus that of b, paired over images.

    `difference(b, a)` is its mirror image. Recipes with three seeds or more in common are compared
    seed by seed, see `_components_of_difference`. For a recipe with a single model the spread
    between seeds is `spread`.
    """
    of_a = _components(list(a.values()), spread)
    of_b = _components(list(b.values()), spread)
    image = np.tile(of_a.image - of_b.image, SEED_DRAWS)
    noise = _seed_noise(image, _components_of_difference(a, b, of_a, of_b), rng)
    # both signs: noise then shifts neither mean nor probability
    draws = np.concatenate([image + noise, image - noise])
    low, high = interval(draws)
    probability = float((np.sign(draws).mean() + 1) / 2)
    return Difference(mean=float(image.mean()), low=low, high=high, probability=probability)


def score_difference(
    metric: str, a: BySeed, b: BySeed, rng: np.random.Generator, spread: SeedSpread | None = None
) -> Difference:
    """`difference` of two recipes in a metric, its interval limited to -1 to 1.

    Two scores are never further apart; a difference of slopes ("slope/...") has no limits.
    """
    gap = difference(a, b, rng, spread)
    if _is_slope(metric):
        return gap
    low, high = np.clip((gap.low, gap.high), -1.0, 1.0)
    return replace(gap, low=float(low), high=float(high))


def _components_of_difference(
    a: BySeed, b: BySeed, of_a: "_Components", of_b: "_Components"
) -> list["_Components"]:
    """The parts of the variance between seeds of mean(a) - mean(b).

    With variances A and B between the n models of a and the m of b, of which c pairs have a common
    seed and a covariance C, it is A/n + B/m - 2Cc/(nm) (Derrick et al. 2017, Test statistics for
    the comparison of means for two samples that include both paired and independent observations).
    The pairs show the variance of their differences, D = A + B - 2C. With it, the variance is
    (1 - c/m) A/n + (1 - c/n) B/m + (c/n)(c/m) D/c. If all seeds are shared only D is left; without
    pairs only A and B are.

    of_a, of_b  the components of a and b alone
    """
    seeds = _common_seeds([a, b])
    shared_of_a = len(seeds) / len(a)
    shared_of_b = len(seeds) / len(b)
    parts = [of_a.with_weight(1 - shared_of_b), of_b.with_weight(1 - shared_of_a)]
    if seeds:
        gaps = _components([a[seed] - b[seed] for seed in seeds])
        parts.append(gaps.with_weight(shared_of_a * shared_of_b))
    return parts


def probability_best(
    recipes: Mapping[str, BySeed], rng: np.random.Generator, spread: SeedSpread | None = None
) -> dict[str, float]:
    """The share of draws in which each recipe is the best of all; a tie is shared. Adds up to 1.

    For two recipes it is the probability of `difference`. For more, the noise of each recipe
    follows its own seeds, see `joint_draws`, which knows less than a comparison seed by seed: no
    recipe is the best with a higher probability than it is better than any other by `difference`.
    """
    if len(recipes) == 2:
        (first, a), (second, b) = recipes.items()
        probability = difference(a, b, rng, spread).probability
        return {first: probability, second: 1 - probability}
    models = list(recipes.values())
    scores = joint_draws(models, rng, spread)
    is_best = scores == scores.max(axis=0)
    parts = is_best / is_best.sum(axis=0)  # of a draw; several recipes may tie
    shares = parts.mean(axis=1)
    limits = _probabilities_above_all(models, rng, spread)
    return dict(zip(recipes, _within(shares, limits).tolist(), strict=True))


def _probabilities_above_all(
    recipes: Sequence[BySeed], rng: np.random.Generator, spread: SeedSpread | None
) -> np.ndarray:
    """(R,) for each recipe the least of its probabilities to be better than one other recipe."""
    # a generator of its own: later values of `rng` do not depend on the number of recipes
    comparisons_rng = rng.spawn(1)[0]
    limits = np.ones(len(recipes))
    for i, j in combinations(range(len(recipes)), 2):
        gap = difference(recipes[i], recipes[j], comparisons_rng, spread)
        limits[i] = min(limits[i], gap.probability)
        limits[j] = min(limits[j], 1 - gap.probability)
    return limits


def _within(shares: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Shares (R,) that add up to 1, none above its limit if that is possible.

    What is cut goes to recipes with room below their limit, in proportion to that room.
    """
    cut = np.minimum(shares, limits)
    room = limits - cut
    if room.sum() > 0:
        missing = max(0.0, 1 - cut.sum())  # rounding may make the sum larger than 1
        cut = cut + room * min(1.0, missing / room.sum())
    return cut / cut.sum()


def joint_draws(
    recipes: Sequence[BySeed], rng: np.random.Generator, spread: SeedSpread | None = None
) -> np.ndarray:
    """(R, B) draws of the scores of R recipes, to be compared with one another within each draw.

    They vary as other images and other seeds would make them vary. If all recipes have three seeds
    or more in common, what these add to all recipes alike is left out: the draws of a single recipe
    then vary less than those of `combine_seeds`.
    """
    seeds = _common_seeds(recipes)
    if seeds:
        return _draws_by_seed(recipes, seeds, rng)
    tables = [np.array(list(models.values())) for models in recipes]
    means = [table.mean(axis=0) for table in tables]
    common = np.mean(means, axis=0)  # images easy or hard for all
    rests = [combine_seeds(table - common, rng, spread=spread) for table in tables]
    return common + np.array(rests)


def _common_seeds(recipes: Sequence[BySeed]) -> list[Any]:
    """The seeds that all recipes have; none if there are fewer than three."""
    first, *others = recipes
    shared = set(first).intersection(*others)
    common = [seed for seed in first if seed in shared]
    return common if len(common) >= _LEAST_PAIRS else []


def _draws_by_seed(
    recipes: Sequence[BySeed], seeds: Sequence[Any], rng: np.random.Generator
) -> np.ndarray:
    """`joint_draws` of recipes that have these s seeds in common, and perhaps others each.

    Subtracting the mean of all R recipes, seed by seed, leaves (R - 1) / R of the variance that
    belongs to one recipe. A factor makes up for it, so that the noise has the full variance. Seeds
    that not all recipes have count as the recipe's own.
    """
    count = len(recipes)
    means = np.array([_mean_over_seeds(recipe) for recipe in recipes])  # (R, B)
    tables = np.array([_models_of(recipe, seeds) for recipe in recipes])  # (R, s, B)
    common = np.mean(tables, axis=0)  # (s, B)
    factor = np.sqrt(count / max(count - 1, 1))
    images = factor * (means - means.mean(axis=0))
    noise = []
    for recipe, table, image in zip(recipes, tables, images, strict=True):
        share = len(seeds) / len(recipe)
        alone = _components(list(recipe.values())).with_weight(1 - share)
        paired = _components(factor * (table - common)).with_weight(share**2)
        noise.append(_seed_noise(image, [alone, paired], rng))
    return means + np.array(noise) + _luck_of_all(recipes, common, rng)


def _mean_over_seeds(recipe: BySeed) -> np.ndarray:
    return np.mean(list(recipe.values()), axis=0)


def _models_of(recipe: BySeed, seeds: Sequence[Any]) -> list[np.ndarray]:
    return [recipe[seed] for seed in seeds]


def _luck_of_all(
    recipes: Sequence[BySeed], common: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(R, B) what common seeds add to each recipe, less what they add to that of the fewest models.

    The more other seeds a recipe has, the less the common ones lift its mean; (R, 1) zeros if all
    have equally many.

    common  (s, B) the mean over the recipes of each seed
    """
    counts = np.array([len(models) for models in recipes])
    shares = len(common) / counts
    if shares.min() == shares.max():
        return np.zeros((len(recipes), 1))
    luck = _seed_noise(common.mean(axis=0), [_components(common)], rng)
    return (shares - shares.max())[:, None] * luck


@dataclass(frozen=True, eq=False, kw_only=True)
class _Components:
    """Variance components of a recipe's draws, a two-way table of resamples by models.

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

    def with_weight(self, weight: float) -> "_Components":
        """The same as a part of a sum in which its variance has this weight."""
        return replace(self, between=weight * self.between, interaction=weight * self.interaction)


def _components(
    models: Sequence[np.ndarray] | np.ndarray, spread: SeedSpread | None = None
) -> _Components:
    """Two-way analysis of variance, one draw a cell (Searle, Casella & McCulloch 1992, ch. 4).

    spread  of a single model, which alone does not show how trainings of its recipe differ
    """
    table = np.asarray(models, np.float64)
    s, resamples = table.shape
    assert s > 0 and resamples > 1, table.shape
    image = table.mean(axis=0)
    if s == 1:
        pooled = spread or _NO_SPREAD
        return _Components(
            image=image,
            between=pooled.between,
            interaction=pooled.interaction,
            freedom=pooled.freedom,
        )
    scores = table.mean(axis=1)
    residuals = table - image - scores[:, None] + image.mean()
    squares = (residuals**2).sum()
    interaction = squares / ((s - 1) * (resamples - 1))
    return _Components(
        image=image,
        between=float(scores.var(ddof=1) / s),
        interaction=float(interaction / s),
        freedom=s - 1,
    )


def _seed_noise(
    image: np.ndarray, components: Sequence[_Components], rng: np.random.Generator
) -> np.ndarray:
    """(B,) noise to add to the draws over images, so that they vary as other seeds would make them.

    Sampling s of s seeds with replacement would not do: it shows (s - 1) / s of their variance,
    counts the interaction three times (Owen 2007, The pigeonhole bootstrap) and ignores that three
    values say little about a variance. Instead the sum follows Student's t with the total variance
    and the degrees of freedom of Welch (1947) and Satterthwaite (1946), total² / sum(between² /
    (s - 1)): a normal deviate whose variance is drawn again each time as total * freedom /
    chi²(freedom). The draws over images supply their part of it, and the noise what is missing.
    benchmarks/coverage.py measures how often intervals hold the truth.
    """
    between = sum(part.between for part in components)
    if between == 0:
        return np.zeros(len(image))
    interaction = sum(part.interaction for part in components)
    supplied = float(image.var(ddof=1))
    total = max(supplied - interaction, 0) + between
    terms = []  # of Welch and Satterthwaite
    for part in components:
        share = part.between / total
        terms.append(share**2 / part.freedom)
    freedom = 1 / sum(terms)
    chi_squares = rng.chisquare(freedom, len(image))
    variances = total * freedom / chi_squares
    missing = np.maximum(variances - supplied, 0)
    deviates = rng.standard_normal(len(image))
    return deviates * np.sqrt(missing)
