"""Pruners: each stops what it should stop, at rungs, and nothing within the grace."""

from typing import get_args

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray import Pruning
from syndet_ray.search.pruning import _PRUNERS, make_pruner

RUNGS = 4
NAMES = get_args(Pruning.model_fields["name"].annotation)
PRUNERS = {name: Pruning(name=name, patience=int(name == "patient")) for name in NAMES}


def study_of(pruning, rungs=RUNGS):
    return optuna.create_study(
        study_name="syndet_ray", direction="maximize", pruner=make_pruner(pruning, rungs)
    )


def run(study, curve, rungs=RUNGS):
    """Runs one trial, as Study does; returns how many rungs it was trained for."""
    trial = study.ask()
    assert len(curve) == rungs
    for rung, value in enumerate(curve, start=1):
        trial.report(value, rung)
        if rung < rungs and trial.should_prune():
            study.tell(trial, None, optuna.trial.TrialState.PRUNED)
            return rung
    study.tell(trial, curve[-1])
    return rungs


def run_all(pruning, curves, rungs=RUNGS):
    study = study_of(pruning, rungs)
    return [run(study, curve, rungs) for curve in curves]


def rising(end):
    """A curve that nears its end as learning curves do."""
    return [end * share for share in (0.4, 0.7, 0.9, 1.0)]


CROWD = [rising(0.4 + 0.01 * k) for k in range(8)]


def test_every_name_of_a_sweep_has_a_pruner():
    assert set(_PRUNERS) == set(NAMES)
    for pruning in PRUNERS.values():
        assert isinstance(make_pruner(pruning, RUNGS), optuna.pruners.BasePruner)
        assert isinstance(make_pruner(pruning, 1), optuna.pruners.BasePruner), "a sweep of one rung"


@pytest.mark.parametrize(
    ("name", "rungs"),
    {
        "median": 2,
        "percentile": 2,
        "successive_halving": 2,
        "hyperband": 2,
        "threshold": 2,
        "patient": 3,
    }.items(),
)
def test_a_hopeless_trial_is_pruned_and_the_best_is_kept(name, rungs):
    hopeless = [0.008, 0.004, 0.002, 0.001]
    assert run_all(PRUNERS[name], [*CROWD, hopeless, rising(0.9)])[-2:] == [rungs, 4]


def test_none_prunes_nothing():
    assert run_all(PRUNERS["none"], [*CROWD, [0.0] * 4]) == [4] * 9


@pytest.mark.parametrize(
    "name", ["median", "percentile", "successive_halving", "hyperband", "threshold"]
)
@pytest.mark.parametrize("grace", range(6))
def test_the_first_rung_after_the_grace_prunes(name, grace):
    stops = run_all(
        Pruning(name=name, grace_rungs=grace, reduction_factor=3), [*CROWD, *[[0.0] * 4] * 6]
    )[-6:]
    assert min(stops) == min(grace + 1, 4)


@given(
    name=st.sampled_from(NAMES),
    grace=st.integers(0, 6),
    patience=st.integers(0, 3),
    factor=st.integers(2, 4),
    curves=st.lists(st.lists(st.floats(0, 1), min_size=8, max_size=8), min_size=1, max_size=12),
)
def test_no_trial_is_pruned_within_its_grace_or_its_patience(name, grace, patience, factor, curves):
    patience = max(patience, int(name == "patient"))
    pruning = Pruning(
        name=name,
        grace_rungs=grace,
        patience=patience,
        reduction_factor=factor,
        startup_trials=0,
        least=0.5,
    )
    earliest = max(grace + 1, patience + 2 if patience else 1)
    assert all(stop >= min(earliest, 8) for stop in run_all(pruning, curves, 8))


@pytest.mark.parametrize(
    ("grace", "factor", "decisions"),
    [(0, 2, {1, 2, 4, 8}), (0, 3, {1, 3, 9}), (1, 2, {2, 4, 8}), (1, 3, {2, 6}), (2, 4, {3})],
)
def test_successive_halving_decides_at_powers_of_its_factor(grace, factor, decisions):
    """Trials are made to fall behind at each rung in turn."""
    pruning = Pruning(name="successive_halving", grace_rungs=grace, reduction_factor=factor)
    good = [[0.9] * 10] * 4
    falling = [[0.9] * k + [0.0] * (10 - k) for k in range(9)]
    stops = run_all(pruning, good + falling, 10)[4:]
    assert stops == [min((d for d in decisions if d > k), default=10) for k in range(9)]


def test_what_successive_halving_keeps_depends_on_the_order():
    """A trial competes with those that came before it: the best first prunes all others, the best
    last prunes none.
    """
    curves = [rising(0.9 - 0.01 * k) for k in range(12)]
    assert run_all(Pruning(name="successive_halving"), curves) == [4] + [2] * 11
    assert run_all(Pruning(name="successive_halving"), curves[::-1]) == [4] * 12


@pytest.mark.parametrize(("factor", "beaten"), [(2, 0.6), (3, 0.8), (4, 0.9)])
def test_successive_halving_keeps_one_in_so_many_of_those_so_far(factor, beaten):
    """The eleventh trial goes on as one of the best 11 // factor."""
    pruning = Pruning(name="successive_halving", reduction_factor=factor)
    ten = [rising(0.1 * k) for k in range(1, 11)]
    assert run_all(pruning, [*ten, rising(beaten + 0.01)]) == [4] * 11
    assert run_all(pruning, [*ten, rising(beaten - 0.01)]) == [4] * 10 + [2]


def test_brackets_of_hyperband_begin_one_after_another():
    falling = [[0.9] * 4, [0.9] * 4, *[[0.01 * (60 - k)] * 4 for k in range(60)]]
    assert set(
        run_all(Pruning(name="hyperband", grace_rungs=0, reduction_factor=3), falling)[20:]
    ) == {1, 3}
    assert set(
        run_all(Pruning(name="hyperband", grace_rungs=0, reduction_factor=2), falling)[20:]
    ) == {1, 2, 4}


def test_hyperband_after_a_rung_of_grace_is_successive_halving():
    curves = [rising((7 * k % 12) / 12) for k in range(12)]
    hyperband, halving = (
        run_all(Pruning(name=name, grace_rungs=1), curves)
        for name in ("hyperband", "successive_halving")
    )
    assert hyperband == halving


def test_hyperband_does_not_tell_the_sampler_of_its_brackets():
    """Else TPE would learn from the trials of one bracket only."""
    assert not isinstance(make_pruner(PRUNERS["hyperband"], RUNGS), optuna.pruners.HyperbandPruner)


def test_a_percentile_is_that_of_the_trials_that_go_on():
    curves = [rising(0.1 * k) for k in (2, 3, 4, 5, 6)]
    for percentile, kept in ((25, 0.5), (75, 0.3)):
        pruning = Pruning(name="percentile", percentile=percentile, startup_trials=5)
        assert run_all(pruning, [*curves, rising(kept + 0.01)])[-1] == 4
        assert run_all(pruning, [*curves, rising(kept - 0.01)])[-1] == 2


def test_startup_trials_are_finished_ones():
    assert run_all(Pruning(startup_trials=3), [rising(0.9 - 0.1 * k) for k in range(5)]) == [
        4,
        4,
        4,
        2,
        2,
    ]


def test_patience_makes_the_median_wait_for_a_trial_that_still_gets_better():
    slow, stalled = [0.01, 0.02, 0.03, 0.04], [0.02, 0.01, 0.01, 0.01]
    assert run_all(Pruning(patience=1), [*CROWD, slow, stalled])[-2:] == [4, 3]
    assert run_all(Pruning(), [*CROWD, slow, stalled])[-2:] == [2, 2]


def test_the_patient_pruner_stops_what_has_got_worse():
    stops = run_all(PRUNERS["patient"], [[0.1, 0.3, 0.2, 0.2], [0.3, 0.2, 0.2, 0.2], [0.0] * 4])
    assert stops == [4, 3, 4], (
        "one rung was granted; two were enough; and what never moved never got worse"
    )
