"""The numbers of the report, and what they are called, without a run folder or a figure."""

from dataclasses import replace

import pytest
from made_runs import confirmed_run, of_kind, run_of_zeros

from syndet_ray.analysis import response, tables, varied
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Choice
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.runs.results import Rung, TestRow, TestScores, Trial


def trial(number, value=0.2, objects=40, share=0.5, state="COMPLETE", kind="search", **params):
    params = {"scene.objects": objects, "mix.synthetic": share, **params}
    recipe = Recipe().replace(CONTROL_CHANGES.get(kind, params))
    reports = ((100, (value or 0) / 2), (200, value))
    rungs = (
        ()
        if value is None
        else tuple(Rung(n, {"val/mAP": mean, "val/AP50": 0.5}) for n, mean in reports)
    )
    ended = None if state == "RUNNING" else 75.5
    params = params if kind == "search" else {}
    return Trial(
        number=number,
        **of_kind(kind),
        params=params,
        recipe=recipe,
        state=state,
        reason="why",
        rungs=rungs,
        started=10.0,
        ended=ended,
    )


TRIALS = (
    trial(0, 0.25, kind="real_only"),
    trial(1, 0.05, kind="synthetic_only"),
    trial(2, 0.30, 40),
    trial(3, 0.20, 40),
    trial(4, 0.10, 70, state="PRUNED"),
    trial(5, None, 70, state="FAILED"),
    trial(6, 0.22, 10),
    trial(7, 0.24, 10, share=0.0),
)


def test_the_trial_table_has_a_column_for_all_that_varied_the_data_first():
    table = tables.trial_table([*TRIALS, trial(8, **{"training.learning_rate": 0.002})], 2)
    assert table.settings == ("scene.objects", "mix.synthetic", "training.learning_rate")
    assert table.lines[1].settings == (40, 1.0, 0.001)
    assert [line.number for line in table.lines if line.best] == [2]
    line = table.lines[2]
    assert (line.images, line.value, line.ap50, line.seconds, line.reason) == (
        200,
        0.30,
        0.5,
        65.5,
        "why",
    )
    failed = table.lines[5]
    assert (failed.state, failed.images, failed.value, failed.ap50) == ("FAILED", 0, None, None)


def test_a_setting_that_was_not_recorded_is_empty():
    trials = [*TRIALS, replace(trial(8), unrecorded=frozenset({"scene.objects"}))]
    table = tables.trial_table(trials, 2)
    at = table.settings.index("scene.objects")
    assert table.lines[-1].settings[at] is None
    assert table.lines[2].settings[at] is not None


def test_a_running_trial_has_no_time_yet():
    assert tables.trial_table([trial(0, state="RUNNING")], None).lines[0].seconds is None


def test_curves_leave_out_trials_that_never_reported():
    curves = response.curves(TRIALS, 2)
    assert [curve.trial for curve in curves] == [0, 1, 2, 3, 4, 6, 7]
    assert (curves[2].images, curves[2].values, curves[2].best) == ((100, 200), (0.15, 0.30), True)


def confirmation(number, of, value):
    return Trial(
        number=number,
        role="confirmation",
        params=of.params,
        recipe=of.recipe,
        state="COMPLETE",
        reason="why",
        rungs=(Rung(200, {"val/mAP": value}),),
        of=of.number,
    )


AGAIN = (
    confirmation(8, TRIALS[2], 0.26),
    confirmation(9, TRIALS[2], 0.28),
    confirmation(10, TRIALS[0], 0.24),
)


def test_confirmations_are_neither_searched_nor_controls():
    objects = varied.Setting(path="scene.objects", axis=Choice(values=(10, 40, 70)))
    assert response.response(objects, [*TRIALS, *AGAIN]) == response.response(objects, TRIALS)
    table = tables.trial_table([*TRIALS, *AGAIN], 2)
    assert [line.number for line in table.lines] == list(range(8))
    assert [(line.number, line.of, line.best) for line in table.confirmations] == [
        *((8, 2, False), (9, 2, False), (10, 0, False)),
    ]
    assert table.settings == tables.trial_table(TRIALS, 2).settings
    curves = response.curves([*TRIALS, *AGAIN], 2)
    assert [(curve.kind, curve.of) for curve in curves[-3:]] == [
        ("confirm", 2),
        ("confirm", 2),
        ("confirm", 0),
    ]


def test_the_best_is_what_the_test_set_was_opened_for_and_before_that_the_best_training():
    test = TestScores(
        source="t",
        stand_in=False,
        hash="",
        images=9,
        opened=0.0,
        rows=(TestRow(key="best", trial=3, metrics={"mAP": 0.3}, intervals={}),),
    )
    assert tables.best_number(TRIALS, None) == 2
    assert tables.best_number([*TRIALS, confirmation(8, TRIALS[3], 0.9)], None) == 2
    assert tables.best_number(TRIALS, test) == 3
    assert tables.best_number([], None) is None


def test_no_recipe_wins_where_all_scores_are_0():
    run = run_of_zeros()
    trials, test = run.trials(), run.test()
    assert tables.best_number(trials, test) is None
    assert tables.best_number(trials, None) is None
    lines = tables.test_lines(test, trials)
    assert {line.p_best for line in lines} == {None}
    assert lines[0].name == "recipe of trial 3"
    confirmed = confirmed_run()
    assert not tables.has_winner(trials, None) and tables.has_winner(confirmed.trials(), test)
    assert tables.has_winner(trials, confirmed.test()), "scores on either set are enough"


def test_a_recipe_on_the_test_set_has_the_mean_of_its_models_and_its_error():
    rows = (
        TestRow(
            key="best",
            trial=2,
            metrics={"mAP": 0.3},
            intervals={"mAP": (-0.02, 1.3)},
            models=(8, 9),
            seeds=(0.28, 0.32),
            p_best=0.8,
        ),
        TestRow(
            key="real_only",
            trial=0,
            metrics={"mAP": 0.2},
            intervals={},
            models=(10,),
            seeds=(0.2,),
        ),
        TestRow(key="finalist 3", trial=3, metrics={"mAP": 0.2}, intervals={}),
    )
    best, real, other = tables.test_lines(
        TestScores(
            source="t", stand_in=False, hash="", images=9, opened=0.0, rows=rows, simplest=0
        ),
        [*TRIALS, *AGAIN],
    )
    assert (best.validation, best.error) == (pytest.approx(0.27), pytest.approx(0.01))
    assert (best.name, best.best, best.simplest, best.confirmed, best.p_best) == (
        "best recipe",
        True,
        False,
        True,
        0.8,
    )
    assert (best.scores["mAP"].low, best.scores["mAP"].high) == (0.0, 1.0), "no score lies beyond"
    assert (real.validation, real.confirmed, real.simplest) == (0.24, False, True)
    assert real.error == pytest.approx(0.01 * 2**0.5), (
        "the spread between single trainings of the best"
    )
    assert (other.name, other.validation) == ("recipe of trial 3", 0.20)


def test_only_sweeps_with_several_goals_have_a_front():
    sweep = LoadedSweep(question="?", trials=0, variants={"a": {}}, objective=("val/mAP", "images"))
    assert response.front(TRIALS, sweep.model_copy(update={"objective": ("val/mAP",)})) is None
    assert response.front(TRIALS[4:6], sweep) is None, "nothing finished"
    found = response.front([*TRIALS, *AGAIN], sweep)
    assert [(offer.trial, offer.costs) for offer in found.efficient] == [(2, (200.0,))]
    assert {offer.trial: offer.mean for offer in found.offers}[2] == pytest.approx(0.27)
    assert {offer.trial: offer.mean for offer in found.offers}[0] is None, (
        "a single seed has no error"
    )


def test_failures_are_told_once_for_each_reason():
    failed = [
        Trial(number=n, role="search", params={}, recipe=Recipe(), state="FAILED", reason=reason)
        for n, reason in enumerate(("a", "b", "b"))
    ]
    assert tables.failures([*failed, *TRIALS[:5]]) == [("b", (1, 2)), ("a", (0,))]


def test_classes_have_intervals_where_there_are_some_and_no_number_where_a_model_has_none():
    best = TestRow(
        key="best",
        trial=2,
        metrics={"mAP": 0.3, "AP/a": 0.4, "AP/b": 0.2},
        intervals={"AP/a": (0.3, 0.5)},
    )
    real = TestRow(key="real_only", trial=0, metrics={"mAP": 0.2, "AP/a": 0.1}, intervals={})
    table = tables.class_table(
        TestScores(source="t", stand_in=False, hash="", images=9, opened=0.0, rows=(best, real)),
        TRIALS,
    )
    assert table.models == ("best recipe", "real only")
    assert table.rows[0] == (
        "a",
        (tables.Score(value=0.4, low=0.3, high=0.5), tables.Score(value=0.1)),
    )
    assert table.rows[1][1][1].text() == "n/a"


def test_scores_are_told_with_their_interval_where_there_is_one():
    assert tables.Score(value=0.31, low=0.272, high=0.349).text() == "0.310 [0.272, 0.349]"
    assert tables.Score(value=0.31, low=0.272, high=0.349).text(2) == "0.31 [0.27, 0.35]"
    assert tables.Score(value=0.31).text() == "0.310"
