"""How often do 95 % intervals over images and seeds contain the truth? Scores of a Gaussian toy,
whose truth is 0.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --lacking --images 50 --trials 500

An image's score under a model is the sum of normal deviates: how easy the image is for all recipes
(sd 1) and for this recipe (sd 0.5), how lucky the model's seed was, and how easy the image is for
this one model. The seed's deviate is given in units of 1 / sqrt(images), which is about the
standard error over images; `shared` is the correlation of the deviates of two recipes trained with
the same seed.

Columns, each a share of the trials unless it is a width:

    recipe       the interval of one recipe contains 0; plain: that of the usual bootstrap, images
                 and seeds both sampled with replacement
    difference   the interval of a difference contains 0: paired by seed as `syndet_ray.spread`
                 does, unpaired as it does if recipes have no seeds in common, and by the usual
                 bootstrap. With two models paired is unpaired too: `spread` pairs three seeds or
                 more. Set its _LEAST_PAIRS to 2 to see pairs of two.
    one left     the interval of a recipe with only one training left contains 0, and that of its
                 difference from a recipe with all trainings: with the spread between seeds of the
                 other recipes, and (alone) without any
    width        mean width, divided by that of an interval with known sd; for `by unpaired`,
                 divided by that of the unpaired one
    apart        one of three equal recipes is called the best, with a probability above .975:
                 it should be .05 or less

With --lacking the second of the three recipes does not have the same five seeds as the others: one
is missing, or one or two are replaced. The columns are then: the interval of its difference from
the first contains 0, as `syndet_ray.spread` computes it, as if they had no seed in common, and of
the models with common seeds only; the widths of the first and the last divided by that of the
second; and apart.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from syndet_ray import spread

RESAMPLES = 1000  # as many as `syndet_ray.spread` uses
RECIPE_SD = 0.5  # how easy an image is for one recipe
RECIPES = 3  # the fewest of which one can be called the best while two others are compared
# Seeds of the second recipe, by the number of common ones and of others; the other recipes have 0
# to 4.
LACKING = {"4 + 0": (0, 1, 2, 3), "4 + 1": (0, 1, 2, 3, 5), "3 + 2": (0, 1, 2, 5, 6)}
SURELY_BEST = 0.975  # the probability that a difference is positive if its interval begins at 0
COLUMNS = {
    "recipe": "recipe",
    "plain": "plain",
    "width": "width",
    "difference": "paired",
    "difference, unpaired": "unpaired",
    "difference, plain": "plain",
    "difference, width": "width",
    "difference, by unpaired": "by unpaired",
    "apart": "apart",
    "one left": "one left",
    "one left, alone": "alone",
    "one left, difference": "one left, by",
    "one left, difference alone": "alone",
}
LACKING_COLUMNS = {
    "difference": "paired",
    "unpaired": "unpaired",
    "common alone": "common alone",
    "width": "by unpaired",
    "width, common alone": "by unpaired",
    "apart": "apart",
}


@dataclass(frozen=True, kw_only=True)
class Toy:
    """The spreads of the scores: seed_sd in standard errors over images; image_sd of an image under
    one model.
    """

    images: int
    models: int
    seed_sd: float
    image_sd: float
    shared: float

    def draws(self, rng: np.random.Generator) -> list[list[np.ndarray]]:
        """Bootstrap draws, (RESAMPLES,) for each model, of three recipes whose true scores are all
        0.
        """
        shape = self.images, self.models
        equal = np.full(self.images, 1 / self.images)
        weights = rng.multinomial(self.images, equal, size=RESAMPLES) / self.images
        common = rng.standard_normal((self.images, 1))
        lucky_for_all = rng.standard_normal(self.models)
        recipes = []
        for _ in range(RECIPES):
            image = (
                common
                + RECIPE_SD * rng.standard_normal((self.images, 1))
                + self.image_sd * rng.standard_normal(shape)
            )
            own_luck = rng.standard_normal(self.models)
            luck = np.sqrt(self.shared) * lucky_for_all + np.sqrt(1 - self.shared) * own_luck
            scores = image + self.seed_sd / np.sqrt(self.images) * luck
            draws = weights @ scores
            centred = draws - draws.mean(axis=0) + scores.mean(axis=0)
            recipes.append(list(centred.T))
        return recipes

    def widths(self) -> tuple[float, float]:
        """The widths of 95 % intervals of one recipe's score and of the difference of two, if all
        sd were known.
        """
        one_seed = (self.seed_sd**2 + self.image_sd**2) / self.models
        own_seed = ((1 - self.shared) * self.seed_sd**2 + self.image_sd**2) / self.models
        variances = (
            np.array([1 + RECIPE_SD**2 + one_seed, 2 * (RECIPE_SD**2 + own_seed)]) / self.images
        )
        return tuple(2 * 1.96 * np.sqrt(variances))


def coverage(toy: Toy, trials: int, rng: np.random.Generator) -> dict[str, float]:
    """The columns of one toy, see above, by their names in COLUMNS."""
    means = _means([_measure(toy.draws(rng), rng) for _ in range(trials)])
    ideal, ideal_difference = toy.widths()
    means["difference, by unpaired"] = means["difference, width"] / means.pop("unpaired width")
    means["width"] /= ideal
    means["difference, width"] /= ideal_difference
    return means


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    means = {}
    for name in rows[0]:
        means[name] = float(np.mean([row[name] for row in rows]))
    return means


def _measure(recipes: Sequence[Sequence[np.ndarray]], rng: np.random.Generator) -> dict[str, float]:
    """One trial: 1 if an interval contains 0, else 0; and widths."""
    a, b, *_ = recipes
    by_seed = [dict(enumerate(models)) for models in recipes]
    one = spread.interval(spread.combine_seeds(a, rng))
    paired = spread.difference(by_seed[0], by_seed[1], rng)
    unpaired = spread.difference(by_seed[0], _renamed(by_seed[1]), rng)
    best = spread.probability_best({str(k): models for k, models in enumerate(by_seed)}, rng)
    left = a[:1]
    others = spread.seed_spread(recipes[1:])
    pooled = spread.interval(spread.combine_seeds(left, rng, spread=others))
    alone = spread.interval(spread.combine_seeds(left, rng, spread=None))
    gap = spread.difference({0: left[0]}, by_seed[1], rng, others)
    gap_alone = spread.difference({0: left[0]}, by_seed[1], rng, None)
    return {
        "one left": _contains_0(*pooled),
        "one left, alone": _contains_0(*alone),
        "one left, difference": _contains_0(gap.low, gap.high),
        "one left, difference alone": _contains_0(gap_alone.low, gap_alone.high),
        "recipe": _contains_0(*one),
        "plain": _contains_0(*spread.interval(_plain(a, rng))),
        "width": one[1] - one[0],
        "difference": _contains_0(paired.low, paired.high),
        "difference, unpaired": _contains_0(unpaired.low, unpaired.high),
        "difference, plain": _contains_0(*spread.interval(_plain(a, rng) - _plain(b, rng))),
        "difference, width": paired.high - paired.low,
        "unpaired width": unpaired.high - unpaired.low,
        "apart": max(best.values()) > SURELY_BEST,
    }


def _contains_0(low: float, high: float) -> bool:
    return low <= 0 <= high


def _renamed(by_seed: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """The same draws, with no seed in common with another recipe."""
    return {f"other {seed}": draws for seed, draws in by_seed.items()}


def _plain(models: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(RESAMPLES,) the mean over as many models, sampled with replacement for each resample."""
    table = np.stack(models, axis=1)
    chosen = rng.integers(len(models), size=table.shape)
    return np.take_along_axis(table, chosen, axis=1).mean(axis=1)


def lacking_coverage(
    toy: Toy, seeds: Sequence[int], trials: int, rng: np.random.Generator
) -> dict[str, float]:
    """The columns of one toy with --lacking, by their names in LACKING_COLUMNS. seeds: of the
    second recipe.
    """
    means = _means([_measure_lacking(toy.draws(rng), seeds, rng) for _ in range(trials)])
    unpaired = means.pop("width, unpaired")
    for name in ("width", "width, common alone"):
        means[name] /= unpaired
    return means


def _measure_lacking(
    recipes: Sequence[Sequence[np.ndarray]], seeds: Sequence[int], rng: np.random.Generator
) -> dict[str, float]:
    a, b, c = (dict(enumerate(models)) for models in recipes)
    a, b, c = _of_seeds(a, range(5)), _of_seeds(b, seeds), _of_seeds(c, range(5))
    common = [seed for seed in seeds if seed in a]
    gap = spread.difference(a, b, rng)
    unpaired = spread.difference(a, _renamed(b), rng)
    alone = spread.difference(_of_seeds(a, common), _of_seeds(b, common), rng)
    best = spread.probability_best({"a": a, "b": b, "c": c}, rng)
    return {
        "difference": _contains_0(gap.low, gap.high),
        "unpaired": _contains_0(unpaired.low, unpaired.high),
        "common alone": _contains_0(alone.low, alone.high),
        "width": gap.high - gap.low,
        "width, unpaired": unpaired.high - unpaired.low,
        "width, common alone": alone.high - alone.low,
        "apart": max(best.values()) > SURELY_BEST,
    }


def _of_seeds(by_seed: dict[int, np.ndarray], seeds: Sequence[int]) -> dict[int, np.ndarray]:
    return {seed: by_seed[seed] for seed in seeds}


def settings(sizes: Sequence[int], counts: Sequence[int]) -> Iterator[Toy]:
    """All toys of these numbers of images and of models."""
    spreads = ((0.25, 0), (0.5, 0.5), (1, 0), (1, 1), (3, 0))
    for shared, images, models, (seed_sd, image_sd) in product((0.0, 0.9), sizes, counts, spreads):
        yield Toy(images=images, models=models, seed_sd=seed_sd, image_sd=image_sd, shared=shared)


def show_equal(sizes: Sequence[int], trials: int, seed: int) -> None:
    print(
        f"{'shared images models seed sd image sd':38}"
        + "".join(f"{title:>12}" for title in COLUMNS.values())
    )
    for k, toy in enumerate(settings(sizes, (2, 3, 5))):
        means = coverage(toy, trials, np.random.default_rng([seed, k]))
        facts = f"{toy.shared:6}{toy.images:7}{toy.models:7}{toy.seed_sd:8}{toy.image_sd:9}"
        print(f"{facts:38}" + "".join(f"{means[name]:12.3f}" for name in COLUMNS), flush=True)


def show_lacking(sizes: Sequence[int], trials: int, seed: int) -> None:
    titles = "".join(f"{title:>14}" for title in LACKING_COLUMNS.values())
    print(f"{'shared images  seeds seed sd image sd':38}{titles}")
    models = 1 + max(max(seeds) for seeds in LACKING.values())
    for k, (toy, (name, seeds)) in enumerate(product(settings(sizes, (models,)), LACKING.items())):
        means = lacking_coverage(toy, seeds, trials, np.random.default_rng([seed, k]))
        facts = f"{toy.shared:6}{toy.images:7}{name:>7}{toy.seed_sd:8}{toy.image_sd:9}"
        print(
            f"{facts:38}" + "".join(f"{means[column]:14.3f}" for column in LACKING_COLUMNS),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--images", type=int, nargs="+", default=(50, 254))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lacking", action="store_true", help="one of three recipes has other seeds"
    )
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.trials} trials of {RESAMPLES} resamples")
    show = show_lacking if given.lacking else show_equal
    show(given.images, given.trials, given.seed)


if __name__ == "__main__":
    main()
