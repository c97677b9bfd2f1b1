"""Replay: made-up learning curves, of which it is known what each pruner must do to them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import SWEEP, TRIALS, VARIANTS, made_run, of_kind, variant_run

from syndet_ray import Choice, Float, Mix, Pruning, Recipe, SearchSpace, Training, seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.results import Rung, Trial
from syndet_ray.search import replay as module
from syndet_ray.search.replay import (
    advice_on_curves,
    compared_pruners,
    full_curves,
    idle_pruners,
    missing_trials,
    replay,
    stopped_at,
)
from syndet_ray.search.study import Study

HALF = (0.5, 0.8, 0.9, 1.0)  # shares of its end that a curve has reached at each rung


def curve(number, *values, images=(10, 20, 30, 40), state="COMPLETE", kind="search"):
    """A trial that reported these values of val/mAP after these numbers of images."""
    rungs = tuple(Rung(i, {OBJECTIVE: value}) for i, value in zip(images, values, strict=True))
    return Trial(
        number=number,
        **of_kind(kind),
        params={},
        recipe=Recipe(mix=Mix(schedule="mixed", synthetic=0.5)),
        state=state,
        rungs=rungs,
    )


def family(*ends):
    """Curves of one shape, which never cross."""
    return [curve(k, *(end * share for share in HALF)) for k, end in enumerate(ends)]


# the last is behind all others until it overtakes
LATE = [*family(0.2, 0.4, 0.6, 0.7), curve(4, 0.05, 0.05, 0.7, 0.9)]
PRUNINGS = list(compared_pruners().values())


def first_in(orders, seed, curves):
    """The index of the curve that is started first, in each order."""
    return np.array(
        [seeds.generator(seed, "replay", k).permutation(curves)[0] for k in range(orders)]
    )


def test_a_case_by_hand():
    """Median after one trial, one at a time: the 2nd and 4th are below the median of those finished
    before them.
    """
    curves = [
        curve(k, v, v + 0.1, images=(10, 20)) for k, v in enumerate((0.5, 0.4, 0.6, 0.54, 0.55))
    ]
    median = Pruning(startup_trials=1, grace_rungs=0)
    assert stopped_at(curves, median, 1) == [20, 10, 20, 10, 20]
    assert stopped_at(curves, median, 5) == [20] * 5, "none has finished when the others are judged"
    assert stopped_at(curves, median, 2) == [20] * 5, (
        "all but the first two are above their median, 0.45"
    )


def test_what_is_saved_and_lost_is_exact():
    """Two of five are below 0.1 at the second rung, in any order; one of them ends
    best.
    """
    curves = [*family(0.3, 0.5, 0.4), curve(3, 0.0, 0.05, 0.4, 0.9), curve(4, 0.0, 0.0, 0.0, 0.0)]
    result = replay(curves, Pruning(name="threshold", least=0.1), orders=7, parallel=2, seed=0)
    assert result.saved == pytest.approx(40 / 200)
    assert (result.best_pruned, result.top3_pruned, result.orders) == (1.0, 1.0, 7)
    assert (result.regret, result.worst_regret) == pytest.approx((0.9 - 0.5, 0.9 - 0.5))


def test_the_third_best_counts_among_the_three():
    curves = [*family(0.8, 0.9, 0.5), curve(3, 0.0, 0.0, 0.3, 0.6), curve(4, 0.0, 0.0, 0.0, 0.0)]
    result = replay(curves, Pruning(name="threshold", least=0.1), orders=3, parallel=1, seed=0)
    assert (result.best_pruned, result.top3_pruned, result.regret) == (0.0, 1.0, 0.0)


def test_a_late_bloomer_is_lost_to_the_median_unless_it_comes_first():
    result = replay(LATE, Pruning(startup_trials=1), orders=40, parallel=1, seed=5)
    is_first = first_in(40, 5, 5) == 4
    assert 0 < is_first.sum() < 40
    assert result.best_pruned == pytest.approx(1 - is_first.mean())
    assert result.regret == pytest.approx((1 - is_first.mean()) * (0.9 - 0.7))
    assert result.worst_regret == pytest.approx(0.9 - 0.7)


@pytest.mark.parametrize(
    ("pruning", "lost"),
    [
        (Pruning(name="threshold", least=0.06), 1.0),
        (Pruning(startup_trials=1, grace_rungs=2), 0.0),
        (Pruning(startup_trials=1, patience=1), 0.0),
        (Pruning(name="patient", patience=1), 0.0),
        (Pruning(name="none"), 0.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_late_bloomer_is_saved_by_grace_and_by_patience(pruning, lost):
    assert replay(LATE, pruning, orders=20, parallel=1, seed=0).best_pruned == lost


def test_no_trial_is_judged_while_all_are_running():
    result = replay(LATE, Pruning(startup_trials=1), orders=10, parallel=5, seed=0)
    assert (result.saved, result.best_pruned, result.regret) == (0.0, 0.0, 0.0)


@given(
    ends=st.lists(st.floats(0.1, 1), min_size=4, max_size=10, unique=True),
    pruning=st.sampled_from(PRUNINGS),
    parallel=st.integers(1, 4),
)
def test_the_best_of_curves_that_never_cross_is_kept(ends, pruning, parallel):
    result = replay(family(*ends), pruning, orders=3, parallel=parallel, seed=1)
    assert (result.best_pruned, result.regret, result.worst_regret) == (0.0, 0.0, 0.0)
    assert 0 <= result.saved < 0.75


@st.composite
def uneven(draw):
    """Curves that cross, of different lengths, with rungs at different numbers of images."""
    images = draw(
        st.lists(
            st.sampled_from([(10, 20, 30, 40), (5, 10), (7, 15, 30), (20, 40, 60, 80), (40,)]),
            min_size=4,
        )
    )
    return [
        curve(k, *draw(st.lists(st.floats(0, 1), min_size=len(at), max_size=len(at))), images=at)
        for k, at in enumerate(images)
    ]


@given(curves=uneven(), pruning=st.sampled_from(PRUNINGS), parallel=st.integers(1, 6))
def test_curves_stop_at_rungs_of_their_own_after_the_grace(curves, pruning, parallel):
    stops = stopped_at(curves, pruning, parallel)
    for trial, stop in zip(curves, stops, strict=True):
        images = [rung.images for rung in trial.rungs]
        assert stop in images[min(pruning.grace_rungs, len(images) - 1) :]
    assert stops == stopped_at(curves, pruning, parallel), "nothing is left to chance"


def test_a_place_that_becomes_free_takes_the_next_and_all_train_equally_fast(monkeypatch):
    reported, report = [], module._report

    def listening(trial, of, rung):
        reported.append((of.number, of.rungs[rung].images))
        return report(trial, of, rung)

    monkeypatch.setattr(module, "_report", listening)
    curves = [
        curve(0, 0, 0, 0, 0),
        *(curve(k, 1, 1, 1, 1) for k in (1, 2)),
        curve(3, 1, 1, images=(5, 10)),
    ]
    assert stopped_at(curves, Pruning(name="threshold", grace_rungs=0), 2) == [10, 40, 40, 10]
    clock = [
        (0, 10),
        (1, 10),
        (1, 20),
        (2, 10),
        (1, 30),
        (2, 20),
        (1, 40),
        (2, 30),
        (3, 5),
        (2, 40),
        (3, 10),
    ]
    assert reported == clock


@pytest.mark.parametrize("pruning", PRUNINGS, ids=list(compared_pruners()))
def test_a_replay_decides_as_a_sweep_does(pruning):
    """The same curves through the Study of a sweep, one after another."""
    rng = np.random.default_rng(0)
    curves = [
        curve(k, *np.sort(rng.random(4)) * rng.random(), images=(25, 50, 75, 100))
        for k in range(12)
    ]
    space = (SearchSpace({"mix.synthetic": Float(low=0.1, high=0.9)}),)
    recipe = Recipe(training=Training(images=100))
    study = Study(
        LoadedSweep(
            question="?",
            recipe=recipe,
            space=space,
            trials=12,
            controls=(),
            rungs=4,
            pruning=pruning,
        )
    )
    stops = [0] * 12
    for number in range(12):
        assert study.ask(number) is not None
        for rung in curves[number].rungs:
            stops[number] = rung.images
            if stop := study.report(number, rung.images, rung.metrics[OBJECTIVE]):
                break
        study.tell(number, "PRUNED" if stop else "COMPLETE", [curves[number].value])
    assert stops == stopped_at(curves, pruning, 1)


def test_the_lowest_number_is_the_best_of_equals():
    """In reverse, so that a later one stands first."""
    curves = [curve(7, 0.0, 0.0, 0.9, 0.9), curve(2, 0.9, 0.9, 0.9, 0.9), *family(0.1, 0.2)]
    result = replay(curves, Pruning(name="threshold", least=0.05), orders=2, parallel=1, seed=0)
    assert (result.best_pruned, result.top3_pruned, result.regret) == (0.0, 1.0, 0.0)


def test_where_nothing_survives_all_is_lost():
    result = replay(
        family(0.1, 0.2, 0.3, 0.4), Pruning(name="threshold", least=1), orders=2, parallel=1, seed=0
    )
    assert (result.saved, result.regret) == (0.5, 0.4)


def test_the_same_seed_gives_the_same_replay_and_the_caller_keeps_its_order():
    curves = tuple(LATE)
    first, again, other = (
        replay(curves, Pruning(startup_trials=1), orders=9, parallel=1, seed=s) for s in (1, 1, 2)
    )
    assert first == again != other
    assert curves == tuple(LATE)


def test_only_whole_curves_of_proposed_trials_are_replayed():
    whole = family(0.1, 0.2, 0.3, 0.4)
    pruned = curve(8, 0.1, images=(10,), state="PRUNED")
    others = [
        curve(9, 0.5, 0.5, 0.5, 0.5, kind="real_only"),
        replace(whole[0], number=10, state="FAILED"),
        pruned,
    ]
    assert full_curves([*others, *whole]) == whole
    assert (missing_trials([*others, *whole]), missing_trials(whole)) == (1, 0)
    median = Pruning(startup_trials=1)
    assert replay([*others, *whole], median, orders=4, parallel=1, seed=0) == replay(
        whole, median, orders=4, parallel=1, seed=0
    )


def test_too_few_whole_curves_are_named():
    pruned = curve(8, 0.1, images=(10,), state="PRUNED")
    text = r"replay: .* at least 4 search trials .* \(1 more were pruned\), got 3"
    with pytest.raises(DataError, match=text):
        replay([*family(0.1, 0.2, 0.3), pruned], Pruning(), orders=4, parallel=1, seed=0)
    with pytest.raises(DataError, match=r"^runs/x: .* to their end, got 0\. Do this"):
        full_curves([], "runs/x", "Do this.")


def test_a_run_with_too_few_curves_is_advised_how_to_get_more(tmp_path):
    """Advice that can be followed: of eight proposed trials three are whole, one was pruned and one
    failed.
    """
    folder = made_run(sweep=SWEEP.replace({"trials": 8})).write(tmp_path / "run")
    resume = f"python -m syndet_ray resume {folder.path}"
    assert (
        advice_on_curves(folder)
        == f"Extend the run: {resume} --trials 9, or run the sweep again with pruning=Pruning(name='none')."
    )
    folder.describe(folder.about | {"status": "spent"})
    assert (
        advice_on_curves(folder)
        == f"Finish the run first, with a larger budget: {resume} --hours TOTAL, or --images."
    )


def test_a_run_that_is_not_over_or_has_nothing_more_to_propose_gets_that_as_its_advice(tmp_path):
    running = ("search", 40, 0.7, 0.001, (0.1,), "RUNNING", "")
    begun = made_run(trials=(*TRIALS, running)).write(tmp_path / "begun")
    assert (
        advice_on_curves(begun) == f"Finish the run first: python -m syndet_ray resume {begun.path}"
    )
    two = SearchSpace({"scene.objects": Choice(values=(10, 40))})
    grid = made_run(
        trials=TRIALS[:4],
        sweep=SWEEP.replace({"space": (two,), "sampler": "grid"}),
    ).write(tmp_path / "grid")
    assert (
        advice_on_curves(grid)
        == "Replay a run of a sweep with more recipes: the grid of this one has only 2."
    )
    assert advice_on_curves(variant_run(VARIANTS).write(tmp_path / "variants")).endswith(
        "this one compares variants."
    )


def test_pruners_that_so_few_rungs_never_let_prune_are_named():
    pruners = compared_pruners()
    idle = idle_pruners(pruners, 2)
    assert "median" in idle and "hyperband 3, grace 0" not in idle and "none" not in idle
    assert idle_pruners(pruners, 8) == []
    for title in idle:
        few = [
            curve(k, end / 2, end, images=(10, 20))
            for k, end in enumerate((0.001, 0.002, 0.6, 0.7, 0.8))
        ]
        assert replay(few, pruners[title], orders=5, parallel=1, seed=0).saved == 0


def test_the_command_names_a_wrong_pruner_before_it_counts_curves_and_pruners_that_are_idle(
    tmp_path, syndet_here
):
    runs = {
        rungs: made_run((*TRIALS, *TRIALS[2:4]), sweep=SWEEP.replace({"rungs": rungs})).write(
            tmp_path / str(rungs)
        )
        for rungs in (2, 8)
    }
    few = made_run(TRIALS[:3]).write(tmp_path / "few")
    assert (
        "pruner: names no pruner, got 'medain'"
        in syndet_here("replay", few.path, "--pruner", "medain").stderr
    )
    told = "because 2 rungs are too few for their grace and patience: median;"
    shown = {
        rungs: syndet_here("replay", run.path, "--pruner", "median", "--orders", "1").stdout
        for rungs, run in runs.items()
    }
    assert told in shown[2] and "prune no trial" not in shown[8]


def test_candidates_differ():
    assert len({pruning.model_dump_json() for pruning in PRUNINGS}) == len(PRUNINGS)
    assert {
        "none",
        "median",
        "percentile",
        "successive_halving",
        "hyperband",
        "threshold",
        "patient",
    } == {pruning.name for pruning in PRUNINGS}
