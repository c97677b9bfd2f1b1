"""Spread: intervals that hold the truth as often as they say, and comparisons that cancel what all
models share.
"""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from syndet_ray.spread import (
    combine_seeds,
    difference,
    interval,
    joint_draws,
    pooled_deviation,
    probability_best,
    score_difference,
    score_interval,
    seed_spread,
    standard_error,
    within_one_error,
)

unhurried = settings(deadline=None)  # a busy machine is no bug


def rng(seed=0):
    return np.random.default_rng(seed)


def models(seed, count=3, resamples=200, mean=0.0):
    """Draws of a recipe whose models differ by deviates of sd 1, as do the draws of each."""
    own = rng(seed)
    return list(mean + own.standard_normal((count, 1)) + own.standard_normal((count, resamples)))


def by_seed(draws, prefix="", first=0):
    """The models of a recipe by seed, numbered from `first`; recipes of different prefixes have no
    seed in common.
    """
    return {f"{prefix}{k}": model for k, model in enumerate(draws, first)}


def test_standard_error_by_hand():
    assert standard_error([1.0, 2.0, 3.0]) == pytest.approx(1 / np.sqrt(3))
    assert standard_error([5.0, 5.0]) == 0
    assert standard_error([5.0]) is None
    assert standard_error([]) is None


def test_within_one_error_counts_the_error_of_the_best():
    means = {"far": 0.10, "near": 0.29, "best": 0.30, "at the bound": 0.28125}
    errors = {"far": 1.0, "near": 0.0, "best": 0.01875, "at the bound": None}
    assert within_one_error(means, errors) == ["best", "near", "at the bound"]


def test_within_one_error_of_a_best_without_an_error_are_its_ties():
    assert within_one_error({"c": 0.2, "a": 0.3, "b": 0.3}, {"a": None, "b": 0.1, "c": None}) == [
        "a",
        "b",
    ]


def test_interval_is_the_middle_95_percent():
    assert interval(np.arange(1001)[::-1]) == (25, 975)


def test_combined_draws_of_one_model_are_its_own():
    (only,) = models(1, count=1)
    assert np.array_equal(combine_seeds([only], rng()), only)


def test_equal_models_add_nothing():
    draws = models(1, count=1)[0]
    assert combine_seeds([draws, draws, draws], rng()) == pytest.approx(draws, abs=1e-12)
    assert combine_seeds([np.full(5, 0.1)] * 3, rng()) == pytest.approx(np.full(5, 0.1), abs=1e-12)


def test_combined_draws_depend_on_the_generator_alone_and_keep_the_mean():
    found = combine_seeds(models(1), rng(2))
    assert np.array_equal(found, combine_seeds(models(1), rng(2)))
    assert not np.array_equal(found, combine_seeds(models(1), rng(3)))


def test_combined_draws_vary_as_images_and_seeds_do_together():
    """Images alike for all models give variance 4; 100 seeds of sd 10 give 1, and of the models'
    own deviates 0.01.
    """
    own, count, resamples = rng(4), 100, 20_000
    seeds = 10 * own.standard_normal(count)
    table = (
        2 * own.standard_normal(resamples)
        + seeds[:, None]
        + own.standard_normal((count, resamples))
    )
    assert combine_seeds(list(table), own).var() == pytest.approx(
        4 + seeds.var(ddof=1) / count, rel=0.05
    )


def test_the_interaction_of_seeds_and_images_counts_once():
    """Models that differ only by the images that they find hard: their mean varies as their draws
    say, and no more.
    """
    own, resamples = rng(5), 2000
    wide, tight = [], []
    for _ in range(200):
        # sd 1 between the models, and sd 1 between resamples of each
        luck = own.standard_normal((20, 1))
        table = luck + own.standard_normal((20, resamples))
        wide.append(combine_seeds(list(table), own).var())
        tight.append(table.mean(axis=0).var())
    assert np.mean(tight) == pytest.approx(1 / 20, rel=0.05)
    assert np.mean(wide) == pytest.approx(1 / 20, rel=0.35)
    assert np.mean(wide) < 1.5 / 20


def test_what_all_models_share_cancels_in_a_difference():
    shared = rng().standard_normal(300)
    found = difference({0: shared + 0.01}, {0: shared}, rng())
    assert (found.mean, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))
    assert found.probability == 1


def test_a_recipe_with_one_training_left_has_the_spread_between_seeds_of_the_others():
    """Five recipes of three trainings, and one of a single training that is no better: its interval
    must be as wide.
    """
    draws = np.random.default_rng(1)
    images = 0.1 * draws.standard_normal(1000)
    seeds_sd = 3.0
    others = [[images + seeds_sd * draws.standard_normal() for _ in range(3)] for _ in range(20)]
    found = seed_spread(others)
    assert found.freedom == 40
    assert found.between == pytest.approx(seeds_sd**2, rel=0.4)
    single = combine_seeds([images], rng(), times=20, spread=found)
    assert single.std() == pytest.approx(np.sqrt(found.between), rel=0.1)
    assert combine_seeds([images], rng()) == pytest.approx(images), "unknown where nothing is known"
    three, unpaired = others[0], difference({"a": images}, by_seed(others[0]), rng(), found)
    known = found.between + np.var([model.mean() for model in three], ddof=1) / 3
    assert (unpaired.high - unpaired.low) / (2 * 1.96) == pytest.approx(np.sqrt(known), rel=0.5)


def test_spreads_between_seeds_are_weighted_by_what_each_recipe_tells():
    recipes = [[0.1, 0.3], [0.2, 0.2, 0.2, 0.2], [0.9]]
    assert pooled_deviation(recipes) == pytest.approx(np.sqrt(0.02 / 4))
    assert pooled_deviation([[0.9], [0.1]]) is None
    constant = [[np.full(10, value) for value in recipe] for recipe in recipes]
    found = seed_spread(constant)
    assert (found.between, found.interaction, found.freedom) == (
        pytest.approx(0.02 / 4),
        pytest.approx(0),
        4,
    )
    assert seed_spread([[np.zeros(10)]]) is None


@unhurried
@given(st.integers(0, 2**31), st.integers(3, 5))
def test_no_recipe_is_the_best_more_probably_than_it_beats_any_other(seed, count):
    """What rises and falls together in two of several recipes is noise to the joint draws, and not
    to a comparison of two.
    """
    draws = np.random.default_rng(seed)
    images, luck = 0.02 * draws.standard_normal(200), 0.1 * draws.standard_normal(3)
    shared = draws.integers(0, 2, count)
    recipes = {
        str(k): {
            s: 0.05 * k + images + shared[k] * luck[s] + 0.01 * draws.standard_normal(200)
            for s in range(3)
        }
        for k in range(count)
    }
    best = probability_best(recipes, rng(seed))
    assert sum(best.values()) == pytest.approx(1)
    for one, other in permutations(recipes, 2):
        beats = difference(recipes[one], recipes[other], rng(seed)).probability
        assert best[one] <= beats + 0.02


def test_equal_recipes_are_as_likely_better_as_worse():
    found = difference(by_seed([np.full(10, 0.5)] * 2), by_seed([np.full(10, 0.5)]), rng())
    assert (found.mean, found.low, found.high, found.probability) == (0, 0, 0, 0.5)


@unhurried
@given(
    st.integers(0, 2**31),
    st.integers(1, 4),
    st.integers(1, 4),
    st.floats(-3, 3),
    st.sampled_from(["", "other "]),
)
def test_a_difference_is_the_mirror_of_its_reverse(seed, a, b, mean, prefix):
    one, two = by_seed(models(seed, a, mean=mean)), by_seed(models(seed + 1, b), prefix)
    there, back = difference(one, two, rng(seed)), difference(two, one, rng(seed))
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.probability + back.probability == pytest.approx(1)
    assert there.low <= there.mean <= there.high


def test_a_difference_of_scores_is_within_what_two_scores_can_be_apart():
    """Two seeds that differ much tell so little that Student's t reaches beyond any score; slopes
    have no bounds.
    """
    one, two = (
        by_seed([np.full(50, 0.05), np.full(50, 0.35)]),
        by_seed([np.full(50, 0.1), np.full(50, 0.6)]),
    )
    free = difference(one, two, rng())
    assert free.low < -1 < 1 < free.high
    bounded = score_difference("mAP", one, two, rng())
    assert (bounded.mean, bounded.low, bounded.high) == (pytest.approx(-0.15), -1, 1)
    assert bounded.probability == free.probability
    assert score_difference("slope/AP", one, two, rng()) == free


def test_a_difference_of_scores_that_can_be_is_left_as_it_is():
    one, two = by_seed([np.linspace(0.3, 0.4, 50)] * 3), by_seed([np.full(50, 0.3)] * 3)
    assert score_difference("mAP", one, two, rng()) == difference(one, two, rng())


def test_a_mirrored_difference_is_the_other_way_round_to_the_last_digit():
    gap = difference(by_seed(models(1, mean=0.3)), by_seed(models(2)), rng())
    back = gap.mirrored
    assert (back.mean, back.low, back.high) == (-gap.mean, -gap.high, -gap.low)
    assert back.probability == 1 - gap.probability


@pytest.mark.parametrize("seeds", ["012", "0123", "01234", "0128", "0189", "89"])
def test_a_difference_is_of_the_means_over_all_models_whatever_seeds_are_common(seeds):
    one, two = by_seed(models(1, mean=1.0)), dict(zip(seeds, models(2, len(seeds)), strict=True))
    expected = np.mean(list(one.values())) - np.mean(list(two.values()))
    assert difference(one, two, rng()).mean == pytest.approx(expected)


def test_recipes_are_compared_seed_by_seed_only_where_they_have_three_seeds_or_more_in_common():
    luck = np.array([[0.3], [0.1], [-0.2], [-0.3]])
    one = by_seed(luck + models(1, count=1)[0] * 0.01)
    two = {seed: draws - 0.05 for seed, draws in reversed(one.items())}
    for count in (4, 3, 2):
        paired = difference(one, two, rng())
        assert paired.mean == pytest.approx(0.05)
        assert (paired.high - paired.low < 1e-9) == (count >= 3)
        for models_of in (one, two):
            del models_of[str(count - 1)]


def half_width(variances, freedom):
    """Of the 95 % interval of a sum of parts: Student's t with the degrees of freedom of Welch and
    Satterthwaite.
    """
    total = sum(variances)
    parts = sum(variance**2 / own for variance, own in zip(variances, freedom, strict=True))
    return stats.t.ppf(0.975, total**2 / parts) * np.sqrt(total)


def variance(values):
    return np.var(values, ddof=1)


@pytest.mark.parametrize(
    ("seeds", "weights"),
    [
        ("0123", (0, 1 / 5, 4 / 5)),
        ("01238", (1 / 5, 1 / 5, 16 / 25)),
        ("01289", (2 / 5, 2 / 5, 9 / 25)),
    ],
    ids=["one lacks a seed", "another in its place", "two others"],
)
def test_seeds_that_only_one_of_two_recipes_has_do_not_unpair_the_others(seeds, weights):
    """By hand: A / n, B / m and D / c, the variances of either recipe and of the pairs, weighted as
    their shares ask for.
    """
    flat, luck = (
        np.zeros(2000),
        dict(zip("0123489", (0.0, 0.1, 0.4, 0.2, 0.3, 0.15, 0.05), strict=True)),
    )
    ours = {
        seed: luck[seed] + gap
        for seed, gap in zip("01234", (0.01, 0.02, 0.03, 0.02, 0.01), strict=True)
    }
    theirs = {seed: luck[seed] for seed in seeds}
    pairs = [ours[seed] - theirs[seed] for seed in seeds if seed in ours]
    alone = variance(list(ours.values())) / 5, variance(list(theirs.values())) / len(theirs)
    parts = [*alone, variance(pairs) / len(pairs)]
    known = half_width(np.multiply(parts, weights), (4, len(theirs) - 1, len(pairs) - 1))
    one, two = ({seed: flat + score for seed, score in recipe.items()} for recipe in (ours, theirs))
    found = difference(one, two, rng())
    assert (found.high - found.low) / 2 == pytest.approx(known, rel=0.06)
    assert known < 0.75 * half_width(alone, (4, len(theirs) - 1)), "than unpaired"


def test_what_seeds_share_cancels_in_a_difference():
    """Three seeds that lift both recipes by up to 0.4, which differ by 0.01 to 0.03: by hand, t(2)
    = 4.30.
    """
    luck, gaps = np.array([0.0, 0.1, 0.4]), np.array([0.01, 0.02, 0.03])
    flat = np.zeros(2000)
    one = by_seed([flat + shared + gap for shared, gap in zip(luck, gaps, strict=True)])
    two = by_seed([flat + shared for shared in luck])
    paired = difference(one, two, rng())
    known = 4.303 * 0.01 / np.sqrt(3)
    assert paired.mean == pytest.approx(0.02)
    assert (paired.high - paired.low) / 2 == pytest.approx(known, rel=0.06)
    unpaired = difference(one, by_seed(two.values(), "other "), rng())
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


def test_what_seeds_share_decides_nothing_about_the_best():
    luck = np.array([[0.0], [0.1], [0.4]])
    flat = np.zeros(2000)
    recipes = {
        name: by_seed(luck + gap + flat) for name, gap in (("a", 0.02), ("b", 0.0), ("c", -0.01))
    }
    assert probability_best(recipes, rng()) == {"a": 1, "b": 0, "c": 0}
    recipes["c"] = by_seed(recipes["c"].values(), "other ")
    unpaired = probability_best(recipes, rng())
    assert max(unpaired.values()) < 0.6


def test_a_seed_that_one_recipe_lacks_does_not_make_the_others_luck():
    """Unpaired, the best of these three was so with .63, and the second with .29."""
    luck = np.array([[0.0], [0.1], [0.4], [0.2], [0.3]])
    flat = np.zeros(2000)
    recipes = {
        name: by_seed(luck + gap + flat) for name, gap in (("a", 0.05), ("b", 0.0), ("c", -0.1))
    }
    del recipes["c"]["4"]
    assert probability_best(recipes, rng())["a"] > 0.98


def test_joint_draws_differ_as_two_recipes_do_where_one_has_many_seeds_more():
    """Ten seeds and the first three of them: what these add to both weighs less in the mean of ten."""
    luck = 0.1 * rng(3).standard_normal((10, 1))
    own = 0.02 * rng(4).standard_normal((3, 10, 1)) + 0.001 * rng(5).standard_normal((3, 1, 20_000))
    many, few, other = (by_seed(luck + gaps) for gaps in own)
    few, other = ({seed: recipe[seed] for seed in "012"} for recipe in (few, other))
    joint = joint_draws([many, few, other], rng())
    for a, b, one, two in ((many, few, *joint[:2]), (few, other, *joint[1:])):
        gap = difference(a, b, rng())
        low, high = interval(one - two)
        assert (one - two).mean() == pytest.approx(gap.mean, abs=0.003)
        assert high - low == pytest.approx(gap.high - gap.low, rel=0.25)


@unhurried
@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), min_size=1, max_size=5))
@example(seed=97696538, counts=[3, 3, 3, 4, 1])
def test_probabilities_to_be_the_best_add_up_to_1(seed, counts):
    recipes = {str(k): by_seed(models(seed + k, count)) for k, count in enumerate(counts)}
    found = probability_best(recipes, rng(seed))
    assert sum(found.values()) == pytest.approx(1)
    assert all(0 <= value <= 1 for value in found.values())


def test_a_tie_for_the_best_is_shared():
    same = np.array([0.4, 0.5])
    recipes = {"a": {0: same}, "b": {0: same}, "c": {0: same - 0.1}}
    assert probability_best(recipes, rng()) == {"a": 0.5, "b": 0.5, "c": 0}


@pytest.mark.parametrize("prefix", ["", "other "])
def test_of_two_recipes_the_better_is_the_best(prefix):
    a, b = (
        by_seed(models(8, mean=1.0, resamples=20_000)),
        by_seed(models(9, resamples=20_000), prefix),
    )
    expected = difference(a, b, rng()).probability
    assert 0.5 < expected < 0.95
    assert probability_best({"a": a, "b": b}, rng())["a"] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("count", "lacking", "shared"), [(3, 0, 0.0), (3, 0, 0.9), (5, 1, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(count, lacking, shared):
    """benchmarks/coverage.py in small: 50 images, seeds and models' own images each half as wide as
    the images.

    lacking: how many of the seeds one of the recipes lacks
    shared: how the luck of two recipes that were trained with the same seed correlates
    """
    own, images, trials, resamples = rng(count), 50, 800, 400
    held = np.zeros(2)
    for _ in range(trials):
        chosen = own.multinomial(images, np.full(images, 1 / images), size=resamples) / images
        everybody, of_the_seed = own.standard_normal((images, 1)), own.standard_normal(count)
        recipes = []
        for _ in "ab":
            luck = np.sqrt(shared) * of_the_seed + np.sqrt(1 - shared) * own.standard_normal(count)
            scores = everybody + _effects(own, images, count) + 0.5 / np.sqrt(images) * luck
            recipes.append(list((chosen @ scores).T))
        a, b = recipes
        low, high = interval(combine_seeds(a, own))
        apart = difference(by_seed(a), by_seed(b[lacking:], first=lacking), own)
        held += low <= 0 <= high, apart.low <= 0 <= apart.high
    assert ((held / trials > 0.92) & (held / trials < 0.97)).all(), held / trials


def _effects(own, images, count):
    return 0.5 * own.standard_normal((images, 1)) + 0.5 * own.standard_normal((images, count))


def test_an_interval_goes_no_further_than_a_score_can_be_but_a_slope_may():
    draws = np.linspace(-1, 2, 1001)
    assert score_interval("mAP", draws) == (0, 1)
    assert score_interval("slope/AP", draws) == interval(draws) == pytest.approx((-0.925, 1.925))
