"""The numbers of the report, and what they are called, without a run folder or a figure."""

from math import nan

import pytest

from syndet_ray.recipe import Recipe
from syndet_ray.report import tables, words
from syndet_ray.results import Rung, TestRow, TestScores, Trial
from syndet_ray.sweep import CONTROL_CHANGES


def trial(number, value=0.2, objects=40, share=0.5, state="COMPLETE", kind="search", **params):
    params = {"scene.objects": objects, "mix.synthetic": share, **params}
    recipe = Recipe().replace(CONTROL_CHANGES.get(kind, params)).flat()
    reports = ((100, (value or 0) / 2), (200, value))
    rungs = () if value is None else tuple(Rung(n, {"val/mAP": mean, "val/AP50": 0.5}) for n, mean in reports)
    ended = None if state == "RUNNING" else 75.5
    params = params if kind == "search" else {}
    return Trial(number, kind, params, recipe, state, "why", rungs, started=10.0, ended=ended)


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


def test_groups_hold_completed_trials_that_saw_synthetic_images():
    response = tables.objects_response(TRIALS)
    assert [(point.trial, point.state) for point in response.points] == [
        (2, "COMPLETE"),
        (3, "COMPLETE"),
        (4, "PRUNED"),
        (6, "COMPLETE"),
    ]
    assert [(group.objects, group.count, group.low, group.high) for group in response.groups] == [
        (10, 1, 0.22, 0.22),
        (40, 2, 0.20, 0.30),
    ]
    assert response.groups[0].deviation is None
    assert response.groups[1].mean == pytest.approx(0.25)
    assert response.groups[1].deviation == pytest.approx(0.1 / 2**0.5)
    assert response.controls == {"real_only": 0.25, "synthetic_only": 0.05}


def test_many_values_make_no_groups():
    assert tables.objects_response([trial(n, objects=n + 1) for n in range(8)]).grouped
    assert not tables.objects_response([trial(n, objects=n + 1) for n in range(9)]).grouped


def test_the_trial_table_has_a_column_for_all_that_varied_the_data_first():
    table = tables.trial_table([*TRIALS, trial(8, **{"training.learning_rate": 0.002})])
    assert table.settings == ("scene.objects", "mix.synthetic", "training.learning_rate")
    assert table.lines[1].settings == (40, 1.0, 0.001)
    assert [line.number for line in table.lines if line.best] == [2]
    line = table.lines[2]
    assert (line.images, line.value, line.ap50, line.seconds, line.reason) == (200, 0.30, 0.5, 65.5, "why")
    failed = table.lines[5]
    assert (failed.state, failed.images, failed.value, failed.ap50) == ("FAILED", 0, None, None)


def test_a_running_trial_has_no_time_yet():
    assert tables.trial_table([trial(0, state="RUNNING")]).lines[0].seconds is None


def test_curves_leave_out_trials_that_never_reported():
    curves = tables.curves(TRIALS)
    assert [curve.trial for curve in curves] == [0, 1, 2, 3, 4, 6, 7]
    assert (curves[2].images, curves[2].values, curves[2].best) == ((100, 200), (0.15, 0.30), True)


def test_failures_are_told_once_for_each_reason():
    failed = [Trial(n, "search", {}, {}, "FAILED", reason) for n, reason in enumerate(("a", "b", "b"))]
    assert tables.failures([*failed, *TRIALS[:5]]) == [("b", (1, 2)), ("a", (0,))]


def test_classes_that_a_model_was_not_scored_on_have_no_number():
    best = TestRow("best", 2, {"mAP": 0.3, "AP/a": 0.4, "AP/b": 0.2}, {})
    real = TestRow("real_only", 0, {"mAP": 0.2, "AP/a": 0.1}, {})
    table = tables.class_table(TestScores("t", False, "", 9, 0.0, (best, real)), TRIALS)
    assert table.models == ("best recipe", "real only")
    assert table.rows[0] == ("a", (0.4, 0.1))
    assert words.number(table.rows[1][1][1]) == "n/a"


def test_scores_are_told_with_their_interval_where_there_is_one():
    assert tables.Score(0.31, 0.272, 0.349).text() == "0.310 [0.272, 0.349]"
    assert tables.Score(0.31, 0.272, 0.349).text(2) == "0.31 [0.27, 0.35]"
    assert tables.Score(0.31).text() == "0.310"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (trial(0, share=0.4), "40 % synthetic at 40 objects per scene"),
        (trial(0, share=0.0), "real images only"),
        (trial(0, 0.1, 10, 1.0), "synthetic images only at 10 objects per scene"),
        (trial(0, share=0.001), "< 1 % synthetic at 40 objects per scene"),
        (trial(0, **{"training.learning_rate": 0.0021234, "scene.blur": 0.5}), ", learning rate 0.00212, blur 0.5"),
        (trial(0, kind="synthetic_only"), "synthetic images only at 40 objects per scene"),
    ],
)
def test_recipes_in_words(made, said):
    assert words.recipe_words(made).endswith(said)


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0 %"), (0.004, "< 1 %"), (0.4, "40 %"), (0.996, "> 99 %"), (1.0, "100 %")]
)
def test_shares_never_round_to_nothing_or_all(value, said):
    assert words.percent(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0.000"), (0.3456, "0.346"), (None, "n/a"), (nan, "n/a"), (-1.0, "n/a")]
)
def test_numbers_that_are_none(value, said):
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (86_520, "24 h 2 min")]
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


def test_one_photo_is_not_photos():
    assert words.where(TestScores("t", False, "", 1, 0.0, ())) == "1 real test photo"
    assert words.where(TestScores("t", True, "", 2, 0.0, ())) == "2 stand-in test images"
