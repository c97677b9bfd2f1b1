"""Optuna's pruners by the names that sweeps use, on rungs.

Trials are compared at equal rungs, not at equal numbers of images: where a search varies how long a
trial trains, those numbers meet nowhere, and the learning rate follows the share of its own
training that a trial has behind it.
"""

import warnings
from collections.abc import Callable

import optuna
from optuna import pruners

from syndet_ray.definitions.sweep import Pruning


def make_pruner(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """The pruner a sweep asks for, of trials that report `rungs` times, each under the number of
    its rung, from 1.

    Which rung is a trial's last, where it has nothing left to save, is for the caller to know.
    """
    pruner = _PRUNERS[pruning.name](pruning, rungs)
    if pruning.patience:
        pruner = _patient(pruner, pruning.patience)
    assert pruner is not None, "the patient pruner has patience"
    return _Grace(pruner, pruning.grace_rungs)


class _Grace(pruners.BasePruner):
    """Asks another pruner about trials that have reported more than `rungs` times, and about no
    others.

    Not all of Optuna's pruners have n_warmup_steps. A pruner inside another one is also hidden from
    the sampler: faced with a HyperbandPruner, Optuna lets TPE learn from the trials of one bracket
    only, too few in sweeps as short as ours.
    """

    def __init__(self, inner: pruners.BasePruner, rungs: int) -> None:
        self._inner, self._rungs = inner, rungs

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return len(trial.intermediate_values) > self._rungs and self._inner.prune(study, trial)


def _patient(inner: pruners.BasePruner | None, patience: int) -> pruners.BasePruner:
    """Asks `inner`, or where it is None prunes, while the last `patience` + 1 reports are worse
    than the best before.

    The earliest is report `patience` + 2. Successive halving and Hyperband then know only of trials
    they were asked
    about: what stalls is compared with what has stalled.
    """
    with warnings.catch_warnings():
        # it has been one since Optuna 2.8
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return pruners.PatientPruner(inner, patience)


def _median(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    return pruners.MedianPruner(n_startup_trials=pruning.startup_trials)


def _percentile(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    return pruners.PercentilePruner(pruning.percentile, n_startup_trials=pruning.startup_trials)


def _successive_halving(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """Decides at the first rung after the grace, and at `reduction_factor` times the rung of the
    last decision.

    Those are the 2nd, 6th, ... at a factor of 3 and one rung of grace; all other rungs decide
    nothing. The grace must be in min_resource, too: a first report far above it is halved once for
    every power of the factor that it has passed.
    """
    return pruners.SuccessiveHalvingPruner(
        _first_decision(pruning, rungs), pruning.reduction_factor
    )


def _hyperband(pruning: Pruning, rungs: int) -> pruners.BasePruner:
    """Spreads trials over brackets, by their number: successive halving from the first rung after
    the grace, from `reduction_factor` times that rung, and so on up to the last. Where the second
    of these lies beyond the last rung, there is one bracket, and this is successive halving.
    """
    return pruners.HyperbandPruner(_first_decision(pruning, rungs), rungs, pruning.reduction_factor)


def _first_decision(pruning: Pruning, rungs: int) -> int:
    """The first rung after the grace; the last rung, where nothing is pruned, if the grace is
    longer.
    """
    return min(pruning.grace_rungs + 1, rungs)


_PRUNERS: dict[str, Callable[[Pruning, int], pruners.BasePruner | None]] = {
    "none": lambda pruning, rungs: pruners.NopPruner(),
    "median": _median,
    "percentile": _percentile,
    "successive_halving": _successive_halving,
    "hyperband": _hyperband,
    "threshold": lambda pruning, rungs: pruners.ThresholdPruner(lower=pruning.least),
    "patient": lambda pruning, rungs: None,  # its patience says all
}
