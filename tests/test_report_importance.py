"""Importance: a planted setting comes out first, too little says so, and lines across the axes lie
where they should.
"""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from test_report_response import SPACE, searched_run

from syndet_ray.analysis import anova, importance
from syndet_ray.analysis.coordinates import ABSENT, MOST_AXES, coordinates
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.parameter import Choice, Float, Int, Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.report.figures import importance as figures
from syndet_ray.report.figures import plot
from syndet_ray.runs.results import Rung, Trial

NOTHING = importance.Importances(settings=(), trials=0, reason="")


def test_the_setting_that_was_planted_is_the_most_important():
    run = searched_run(30)
    found = importance.importances(run.sweep, run.trials(), resamples=5)
    assert found.trials == 25
    assert found.settings[0].path == "scene.blur"
    assert found.settings[0].low > 0.6 > found.settings[1].high
    assert all(0 <= each.low <= each.share <= each.high <= 1 for each in found.settings)
    assert sum(each.share for each in found.settings) <= 1 + 1e-9
    assert "scene.object_scale" not in {each.path for each in found.settings}, (
        "which only some trials had"
    )
    assert found == importance.importances(run.sweep, run.trials(), resamples=5)
    assert found.rank("scene.blur") == 0
    assert found.rank("scene.object_scale") == 4


NUMBERS = (
    Float(low=-1, high=3),
    Float(low=0.001, high=0.1, log=True),
    Int(low=1, high=4),
    Float(low=0, high=1, step=0.25),
)


def test_of_numbers_the_shares_are_those_of_optunas_evaluator():
    rng = np.random.default_rng(0)
    draws = rng.random((60, 4)) * (4, 1, 4, 5)
    points = [(a - 1, 0.001 * 100**b, 1 + int(c), int(d) / 4) for a, b, c, d in draws]
    scores = np.array(
        [np.sin(a) + 3 * b + 0.1 * c * d for a, b, c, d in points]
    ) + 0.05 * rng.standard_normal(60)
    ours = anova.shares(NUMBERS, anova.table(NUMBERS, points), scores, trees=8)
    assert ours == pytest.approx(optunas(points, scores, trees=8), abs=1e-6)


def optunas(points, scores, trees):
    distributions = {
        "a": FloatDistribution(-1, 3),
        "b": FloatDistribution(0.001, 0.1, log=True),
        "c": IntDistribution(1, 4),
        "d": FloatDistribution(0, 1, step=0.25),
    }
    study = optuna.create_study(direction="maximize")
    for point, score in zip(points, scores, strict=True):
        params = dict(zip(distributions, point, strict=True))
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=score)
        )
    found = FanovaImportanceEvaluator(n_trees=trees, seed=0).evaluate(
        study, params=list(distributions)
    )
    return [found[name] for name in distributions]


def test_every_value_of_a_choice_weighs_the_same():
    """Scores are sums of what a choice and a number add, at every pair of them: the share of either
    is known.
    """
    axes = (Choice(values=("low", "middle", "high")), Float(low=0, high=1))
    heights = {"low": 0.0, "middle": 1.0, "high": 5.0}
    points = [(name, place) for name in heights for place in (0.0, 1.0)] * 20
    scores = np.array([heights[name] + 2 * place for name, place in points])
    of_choice, of_number = np.var([0.0, 1.0, 5.0]), np.var([0.0, 2.0])
    shares = anova.shares(axes, anova.table(axes, points), scores, trees=8)
    assert shares == pytest.approx(
        [of_choice / (of_choice + of_number), of_number / (of_choice + of_number)]
    )


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (8, "8 completed trials of the search are needed, and there are 7"),
        (0, "and there are 0"),
        (10, ""),
    ],
)
def test_importance_takes_eight_completed_trials(count, reason):
    run = searched_run(count)
    found = importance.importances(run.sweep, run.trials(), resamples=0)
    assert reason in found.reason
    assert bool(found.settings) == (not reason)


def alike(space, changes, values):
    """Completed trials of a space, each with its changes of the recipe and its score."""
    sweep = LoadedSweep(question="?", space=(SearchSpace(space),), recipe=Recipe().replace(BASE))
    pairs = enumerate(zip(changes, values, strict=True))
    return sweep, [
        Trial(
            number=k,
            role="search",
            params=change,
            recipe=sweep.recipe.replace(change),
            state="COMPLETE",
            reason="",
            rungs=(Rung(1, {"val/mAP": v}),),
        )
        for k, (change, v) in pairs
    ]


BASE = {"mix.sources": {"few": Scenes(), "many": Scenes()}}
UNIT = Float(low=0, high=1)


def test_one_setting_or_one_score_say_nothing():
    one = alike(
        {"scene.blur": UNIT}, [{"scene.blur": k / 9} for k in range(9)], [k / 9 for k in range(9)]
    )
    assert (
        importance.importances(*one, resamples=2).reason
        == "fewer than two settings are part of all trials"
    )
    both = [{"scene.blur": k / 9, "scene.noise": k / 9} for k in range(9)]
    flat = alike({"scene.blur": UNIT, "scene.noise": UNIT}, both, [0.2] * 9)
    assert importance.importances(*flat, resamples=2).reason == "all trials reached the same score"
    same = [{"scene.blur": 0.5, "scene.noise": 0.5}] * 9
    seeds = alike({"scene.blur": UNIT, "scene.noise": UNIT}, same, [k / 9 for k in range(9)])
    assert (
        importance.importances(*seeds, resamples=2).reason
        == "no setting separates better trials from worse ones"
    )


def test_resamples_that_tell_nothing_are_left_out():
    changes = [{"scene.blur": 0.5, "scene.noise": 0.5}] * 8 + [
        {"scene.blur": 0.9, "scene.noise": 0.1}
    ]
    few = alike(
        {"scene.blur": UNIT, "scene.noise": UNIT}, changes, [0.1 + k / 90 for k in range(8)] + [0.9]
    )
    assert len(importance.importances(*few, resamples=20).settings) == 2


def test_sources_that_share_the_images_have_an_axis_each_but_the_last():
    changes = [
        {
            "mix.synthetic": 0.1 * k,
            "mix.parts": {"few": (k * 7 % 10) / 10, "many": 1 - (k * 7 % 10) / 10},
        }
        for k in range(1, 10)
    ]
    sweep, trials = alike(
        {"mix.shares": Simplex(sources=("real", "few", "many"))},
        changes,
        [0.05 * k for k in range(1, 10)],
    )
    found = importance.importances(sweep, trials, resamples=2)
    assert [each.name for each in found.settings] == ["share of real", "share of few"]


def test_lines_cross_each_axis_at_their_value():
    run = searched_run()
    trials = run.trials()
    found = coordinates(run.sweep, trials, NOTHING)
    assert [axis.name for axis in found.axes] == [
        "lamps",
        "blur",
        "background scale",
        "arrangement",
        "object scale",
        "validation mAP",
    ]
    assert [mark.text for mark in found.axes[2].marks] == ["0.5 to 1", "0.9 to 1.5"]
    assert [mark.text for mark in found.axes[4].marks] == ["0", "1", "not set"]
    assert len(found.lines) == 14
    for line in found.lines:
        params = trials[line.trial].params
        assert line.positions[0] == pytest.approx((params["scene.lamps"] - 1) / 3)
        assert line.positions[1] == pytest.approx(params["scene.blur"])
        assert line.positions[4] == params.get("scene.object_scale", ABSENT)
    assert (found.lines[0].positions[-1], found.lines[-1].positions[-1]) == (0, 1), (
        "the best is drawn last"
    )


def test_what_diverged_is_the_worst_line_whatever_it_reported_before():
    sweep, trials = alike(
        {"scene.blur": UNIT},
        [{"scene.blur": 0.1}, {"scene.blur": 0.2}, {"scene.blur": 0.3}],
        [0.1, 0.9, 0.3],
    )
    diverged = replace(trials[1], state="FAILED", cause="diverged")
    found = coordinates(sweep, [trials[0], diverged, trials[2]], NOTHING)
    assert [(line.trial, line.value) for line in found.lines] == [
        (diverged.number, 0.0),
        (trials[0].number, 0.1),
        (trials[2].number, 0.3),
    ]
    assert found.lines[0].positions[-1] == 0


def test_of_many_settings_the_most_important_have_axes():
    names = (
        "blur",
        "noise",
        "jpeg",
        "hue",
        "gloss",
        "exposure",
        "floor_color",
        "object_color",
        "light_color",
        "white_balance",
    )
    paths = [f"scene.{name}" for name in names]
    sweep, trials = alike(dict.fromkeys(paths, UNIT), [dict.fromkeys(paths, 0.5)] * 2, [0.1, 0.2])
    last = importance.Importance(path=paths[-1], name="white balance", share=0.5, low=0.4, high=0.6)
    found = coordinates(sweep, trials, importance.Importances(settings=(last,), trials=8))
    assert [axis.name for axis in found.axes][-2:] == ["white balance", "validation mAP"]
    assert (len(found.axes), found.left_out) == (MOST_AXES + 1, 2)
    assert coordinates(sweep, [], NOTHING) is None


def test_both_figures_can_be_drawn(tmp_path):
    run = searched_run()
    drawn = figures.importance(run.read())
    assert next(row[0] for row in drawn.rows) == "scene.blur"
    lines = figures.parallel_coordinates(run.read())
    assert len(lines.rows) == 14
    assert len(lines.header) == 3 + len(SPACE)
    for name, each in {"importance": drawn, "lines": lines}.items():
        plot.save(each, tmp_path / name)
    few = searched_run(3)
    assert figures.importance(few.read()) is None
    assert figures.parallel_coordinates(few.read()) is not None
    assert figures.parallel_coordinates(searched_run(0).read()) is None
