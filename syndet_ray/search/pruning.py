"""Optuna's pruners by the names that sweeps use, on rungs.

Trials are compared at equal rungs, not at equal numbers of images. If a search varies how long a
trial trains, trials report at different numbers of images, and the learning rate depends on the
share of its training that a trial has completed.
"""

import warnings
from collections.abc import Callable

import optuna
from optuna import pruners

from syndet_ray.definitions.sweep import Pruning


def make_pruner(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """Returns the pruner that a sweep asks for; trials report `rungs` times, each time under the
    number of the rung, from 1.

    The caller must not ask it at a trial's last rung, where there is nothing left to save.
    """
    pruner = _PRUNERS[pruning.name](pruning, rungs)
    if pruning.patience:
        pruner = _patient(pruner, pruning.patience)
    assert pruner is not None, "the patient pruner has patience"
    return _Grace(pruner, pruning.grace_rungs)


class _Grace(pruners.BasePruner):
    """A pruner that asks another one, but only about trials that have reported more than `rungs`
    times.

    Not all of Optuna's pruners have n_warmup_steps. It also hides the other pruner from the
    sampler: if Optuna sees a HyperbandPruner, TPE learns from the trials of one bracket only, which
    are too few in sweeps as short as ours.
    """

    def __init__(self, inner: pruners.BasePruner, rungs: int) -> None:
        self._inner, self._rungs = inner, rungs

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return len(trial.intermediate_values) > self._rungs and self._inner.prune(study, trial)


def _patient(inner: pruners.BasePruner | None, patience: int) -> pruners.BasePruner:
    """Returns a pruner that asks `inner`, or with None prunes, while the last `patience` + 1
    reports are worse than the best before; the earliest is report `patience` + 2.

    Successive halving and Hyperband know only the trials that they were asked about, so they
    compare a trial that stalls with others that have stalled.
    """
    with warnings.catch_warnings():
        # PatientPruner has been experimental since Optuna 2.8.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return pruners.PatientPruner(inner, patience)


def _median(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    return pruners.MedianPruner(n_startup_trials=pruning.startup_trials)


def _percentile(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    return pruners.PercentilePruner(pruning.percentile, n_startup_trials=pruning.startup_trials)


def _successive_halving(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """Returns a pruner that decides at the first rung after the grace, and then at
    `reduction_factor` times the rung of the last decision, but not at other rungs.

    Those are the 2nd, 6th, ... rung at a factor of 3 and one rung of grace. The grace must be in
    min_resource too: a first report far above min_resource is halved once for every power of the
    factor in between.
    """
    first_rung = _first_decision(pruning, rungs)
    return pruners.SuccessiveHalvingPruner(first_rung, pruning.reduction_factor)


def _hyperband(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """Returns a pruner that spreads trials over brackets, by their number.

    The first bracket is successive halving from the first rung after the grace, the second from
    `reduction_factor` times that rung, and so on up to the last rung. If the second start is beyond
    the last rung, there is one bracket, and this is successive halving.
    """
    return pruners.HyperbandPruner(_first_decision(pruning, rungs), rungs, pruning.reduction_factor)


def _first_decision(pruning: Pruning, rungs: int) -> int:
    """Returns the first rung after the grace; if the grace is longer than a training, the last
    rung, at which nothing is pruned.
    """
    return min(pruning.grace_rungs + 1, rungs)


_PRUNERS: dict[str, Callable[[Pruning, int], pruners.BasePruner | None]] = {
    "none": lambda pruning, rungs: pruners.NopPruner(),
    "median": _median,
    "percentile": _percentile,
    "successive_halving": _successive_halving,
    "hyperband": _hyperband,
    "threshold": lambda pruning, rungs: pruners.ThresholdPruner(lower=pruning.least),
    "patient": lambda pruning, rungs: None,  # `patience` adds all of it
}
