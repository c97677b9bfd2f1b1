"""Exchange: on a known curve synthetic images are worth a known number of photos, and what cannot
be told is not.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import ABOUT, OPENED, MadeRun, gap, train

from syndet_ray.analysis.exchange import (
    ExchangePoint,
    ExchangeScore,
    PhotoValue,
    exchange,
    exchange_points,
    photos,
)
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix, Photos, Scenes, Synthetic
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.report.figures import exchange as figure
from syndet_ray.report.figures import plot
from syndet_ray.report.findings import exchange_sentence, exchange_sentences
from syndet_ray.runs.results import TestRow, TestScores

RNG = np.random.default_rng(0)
HARD = 0.02 * RNG.standard_normal(500)  # images that are hard for every model alike
HARD -= HARD.mean()


def known(count):
    """What real images alone reach: linear in the logarithm."""
    return 0.1 * np.log(count)


def point(name, count, synthetic, score, noise=0.0):
    own = noise * np.random.default_rng(len(name)).standard_normal(len(HARD))
    return ExchangePoint(
        name=name, photos=count, synthetic=synthetic, models={0: score + HARD + own - own.mean()}
    )


RECIPE = ExchangeScore(name="mixed", photos=120, synthetic=400, score=0.08, low=0.06, high=0.09)
REAL = [point(f"real {n}", n, 0, known(n)) for n in (10, 20, 40, 160)]


def worth(count, score, noise=0.0, real=REAL):
    return exchange([*real, point("mix", count, 400, score, noise)]).photo_values[0]


def test_on_a_known_curve_the_worth_is_known():
    found = worth(20, known(50), noise=0.02)
    assert found.value == pytest.approx(30)
    assert found.low < 30 < found.high
    assert found.low == pytest.approx(50 * np.exp(-0.4) - 20, abs=3), (
        "0.1 log n is 0.04 lower at n exp(-0.4)"
    )


def test_what_is_hard_for_all_models_alike_cancels():
    found = worth(20, known(50))
    assert (found.low, found.high) == pytest.approx((30, 30))
    assert (
        exchange_sentence(found)
        == "With 20 photos, 400 synthetic images are worth 30 more photos [30, 30]."
    )


LUCK = {1: 0.03, 2: -0.01, 3: -0.02}


def lucky(name, count, synthetic, score):
    """A recipe whose trainings are lifted by what their seeds lift all recipes by."""
    return ExchangePoint(
        name=name,
        photos=count,
        synthetic=synthetic,
        models={seed: score + HARD + luck for seed, luck in LUCK.items()},
    )


def test_a_training_that_diverged_says_nothing_of_the_seeds_of_other_recipes():
    """A mix of three trainings, one of which found nothing, beside recipes that were trained once."""
    whole = {seed: known(60) + luck / 100 + HARD for seed, luck in LUCK.items()}
    mixed = point("mix", 20, 400, known(50))
    alone = exchange(
        [*REAL, mixed, ExchangePoint(name="other", photos=20, synthetic=400, models=whole)]
    ).photo_values[0]
    lost = ExchangePoint(
        name="other",
        photos=20,
        synthetic=400,
        models=whole | {4: 0 * HARD},
        diverged=frozenset({4}),
    )
    beside = exchange([*REAL, mixed, lost]).photo_values[0]
    assert beside.value == pytest.approx(alone.value)
    assert beside.high - beside.low < 2 * (alone.high - alone.low), (
        "0 beside .41 would leave nothing to be told"
    )


def test_what_seeds_do_to_all_recipes_alike_cancels():
    real = [lucky(f"real {n}", n, 0, known(n)) for n in (10, 20, 40, 160)]
    found = exchange([*real, lucky("mix", 20, 400, known(50))]).photo_values[0]
    assert (found.value, found.low, found.high) == pytest.approx((30, 30, 30))


def test_a_recipe_that_stands_there_twice_says_no_more_than_once():
    once = [lucky(f"real {n}", n, 0, known(n)) for n in (10, 20, 40, 160)]
    twice = [*once, lucky("the same again", 40, 0, known(40))]
    mix = lucky("mix", 20, 400, known(50))
    curves = [exchange([*real, mix]).curve for real in (once, twice)]
    bounds = [[(point.score, point.low, point.high) for point in curve] for curve in curves]
    assert bounds[0] == bounds[1]


def test_beyond_the_curve_bounds_are_open():
    above = worth(20, known(500))
    assert (above.value, above.low, above.high) == (None, 140, None)
    told = "With 20 photos, 400 synthetic images are worth at least 140 more photos (real only never reaches its score)."
    assert exchange_sentence(above) == told
    below = worth(0, known(5))
    assert (below.value, below.low, below.high) == (None, None, 10)
    told = (
        "400 synthetic images alone are worth at most 10 photos (real only starts above its score)."
    )
    assert exchange_sentence(below) == told
    edge = worth(20, known(150), noise=0.02)
    assert edge.value == pytest.approx(130)
    assert edge.high is None
    assert 60 < edge.low < 130
    assert "(130 by the scores themselves)" in exchange_sentence(edge, "stand-in image")


def test_an_interval_that_is_open_at_both_ends_tells_nothing():
    found = worth(20, known(40), noise=0.5)
    assert not found.is_bounded
    assert exchange_sentence(found).endswith(
        "the value is unknown, because the interval is open at both ends."
    )


@pytest.mark.parametrize(
    ("worth", "said"),
    [
        (
            PhotoValue(recipe=RECIPE, value=-57, low=-92, high=-41),
            "less than none: they lower the score as much as 57 photos fewer would [41, 92].",
        ),
        (
            PhotoValue(recipe=RECIPE, value=-100, low=None, high=-30),
            "less than none: they lower the score at least as much as 30 photos fewer would.",
        ),
        (PhotoValue(recipe=RECIPE, value=-5, low=-20, high=8), "-5 photos [-20, 8]."),
    ],
)
def test_images_that_do_harm_are_told_as_a_cost(worth, said):
    assert exchange_sentence(worth) == f"With 120 photos, 400 synthetic images are worth {said}"


def test_too_few_sizes_or_no_mix_say_why():
    few = exchange([*REAL[:2], point("also 20", 20, 0, 0.3), point("mix", 20, 400, 0.3)])
    assert few.photo_values == ()
    assert few.reason.endswith("only those with 10 and 20 photos were given")
    assert [(scored.photos, scored.name) for scored in few.curve] == [
        (10, "real 10"),
        (20, "real 20 and also 20"),
    ]
    assert exchange(REAL).reason == "no recipe with synthetic images was scored on the test set"
    assert exchange([]).reason.endswith("none was given")


def test_a_curve_that_falls_is_read_as_one_that_does_not():
    dip = [
        point(f"real {n}", n, 0, score) for n, score in ((10, 0.2), (20, 0.4), (40, 0.3), (80, 0.5))
    ]
    assert worth(10, 0.35, real=dip).value == pytest.approx(10), (
        "20 and 40 photos both reach 0.35, as the mean of the two"
    )


@given(st.lists(st.floats(0, 1), min_size=3, max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_takes_no_fewer_photos(scores, one, other):
    sizes = 10.0 * 2 ** np.arange(len(scores))
    low, high = photos(sizes, np.array([scores, scores]), np.array(sorted((one, other))))
    assert low <= high
    for found in (low, high):
        assert np.isinf(found) or sizes[0] <= found <= sizes[-1] * (1 + 1e-9)


BUDGET = {
    "real only": ({"mix.schedule": "real_only"}, 0.50),
    "synthetic only": ({"mix.schedule": "synthetic_only"}, 0.10),
    "mixed, 10 %": ({"mix.real_images": 0.1}, 0.35),
    "mixed, 8 images": ({"mix.real_images": 8}, 0.42),
    "mixed, all": ({}, 0.52),
    "10 %": ({"mix.real_images": 0.1, "mix.schedule": "real_only"}, 0.20),
    "25 %": ({"mix.real_images": 0.25, "mix.schedule": "real_only"}, 0.30),
}


def budget_run(names=None, draws=True, stand_in=False, recipes=BUDGET, about=ABOUT):
    """A tested run of variants with 80 real images; each trained once."""
    names = tuple(recipes) if names is None else names
    sweep = LoadedSweep(
        question="How many?",
        recipe=Recipe(mix=Mix(synthetic_images=400)),
        trials=0,
        controls=(),
        variants={name: recipes[name][0] for name in names},
    )
    run, rows = MadeRun(sweep, about | {"stand_in": stand_in}), []
    for number, (name, recipe) in enumerate(sweep.fixed.items()):
        score, used = recipes[name][1], recipe.mix.real_count(80) if recipe.mix.synthetic < 1 else 0
        run.ledger.append("asked", number, kind=name, params={}, recipe=recipe.flat())
        train(
            run,
            number,
            (score / 2, score),
            effective={"real_images": used, "real_images_there": 80},
        )
        metrics = {"mAP": score, "AP50": min(1, 1.5 * score), "AP75": score / 2, "mAR": score}
        against = {} if number == 0 else {names[0]: gap(score - recipes[names[0]][1])}
        rows.append(
            TestRow(
                key=name,
                trial=number,
                metrics=metrics,
                intervals={"mAP": (score - 0.03, score + 0.03)},
                models=(number,),
                seeds=(score,),
                p_best=0.1,
                differences=against,
            )
        )
        if draws:
            run.write_draws(number, {"mAP": score + HARD})
    best = max(rows, key=lambda row: row.metrics["mAP"])
    run.write_test(
        TestScores(
            source="real",
            stand_in=stand_in,
            hash="hash",
            images=50,
            opened=OPENED,
            rows=(replace(best, key="best"), *rows),
        )
    )
    return run


def test_points_know_their_photos_and_scenes():
    found = {p.name: (p.photos, p.synthetic) for p in exchange_points(budget_run().read())}
    assert found == {
        "real only": (80, 0),
        "synthetic only": (0, 400),
        "mixed, 10 %": (8, 400),
        "mixed, 8 images": (8, 400),
        "mixed, all": (80, 400),
        "10 %": (8, 0),
        "25 %": (20, 0),
    }


def test_a_recipe_with_photos_of_others_says_nothing_of_synthetic_images():
    """Its score is theirs too. One that leaves them out counts its scenes."""
    sources = {"web": Photos(folder="web"), "synthetic": Scenes()}
    changes = {"mix.sources": sources, "mix.parts": {"web": 0.0, "synthetic": 1.0}}
    with_photos = BUDGET | {
        "web too": ({"mix.sources": sources}, 0.45),
        "web left out": (changes, 0.45),
    }
    found = {
        point.name: point.synthetic
        for point in exchange_points(budget_run(recipes=with_photos).read())
    }
    assert "web too" not in found
    assert found["web left out"] == 400
    said = exchange_sentences(budget_run(recipes=with_photos).read())
    assert said[-1] == "Left out, because they were also trained on photos of others: web too."
    assert "photos of others" not in " ".join(exchange_sentences(budget_run().read()))


def test_images_of_a_synthetic_dataset_are_counted():
    sources = {"ours": Scenes(), "renders": Synthetic(folder="/renders")}
    recipes = BUDGET | {"both": ({"mix.sources": sources}, 0.45)}
    about = ABOUT | {"real": ABOUT["real"] | {"others": {"counts": {"/renders": 70}}}}
    points = exchange_points(budget_run(recipes=recipes, about=about).read())
    assert {point.name: point.synthetic for point in points}["both"] == 470


def test_a_run_tells_what_its_synthetic_images_are_worth():
    said = exchange_sentences(budget_run().read())
    assert said[0].startswith(
        "synthetic only: 400 synthetic images alone are worth at most 8 photos"
    )
    assert said[1].startswith(
        "mixed, 10 %: With 8 photos, 400 synthetic images are worth 20 more photos ["
    )
    assert said[3].startswith(
        "mixed, all: With 80 photos, 400 synthetic images are worth at least 0 more photos"
    )
    assert "With 8 stand-in images" in exchange_sentences(budget_run(stand_in=True).read())[1]


def test_a_run_without_draws_or_sizes_says_so():
    assert "none was given" in exchange_sentences(budget_run(draws=False).read())[0]


def test_of_a_handful_of_photos_no_worth_is_told():
    run = budget_run()
    run.write_test(replace(run.test(), images=9))
    assert exchange_sentences(run.read()) == [
        "Not measured: at least 10 test images are needed; there are 9."
    ]
    short = budget_run(("real only", "mixed, all"))
    assert exchange_sentences(short.read()) == [
        "Not measured: real-only recipes with 3 different numbers of photos are needed on the test set, and only those with 80 photos were given."
    ]
    assert figure.exchange(short.read()) is None
    shut = MadeRun(short.sweep)
    assert "not been opened" in exchange_sentences(shut.read())[0]


def test_the_figure_holds_the_curve_and_what_each_mix_is_worth(tmp_path):
    drawn = figure.exchange(budget_run().read())
    rows = [dict(zip(drawn.header, row, strict=True)) for row in drawn.rows]
    assert [row["photos"] for row in rows if row["what"] == "real only"] == [8, 20, 80]
    assert next(row["worth"] for row in rows if row["recipe"] == "mixed, 10 %") == pytest.approx(
        20 * 2**0.5 - 8
    )
    plot.save(drawn, tmp_path / "figure")
