"""Optuna's pruners by the names that sweeps use, on images seen."""

from collections.abc import Callable, Sequence

from optuna import pruners

from syndet_ray.sweep import Pruning


def make_pruner(pruning: Pruning, rungs: Sequence[int]) -> pruners.BasePruner:
    """The pruner a sweep asks for. `rungs` are the numbers of images seen at which trials report."""
    first = rungs[min(pruning.grace_rungs, len(rungs) - 1)]
    return _PRUNERS[pruning.name](pruning, first)


def _median(pruning: Pruning, first: int) -> pruners.BasePruner:
    return pruners.MedianPruner(n_startup_trials=pruning.startup_trials, n_warmup_steps=first)


def _successive_halving(pruning: Pruning, first: int) -> pruners.BasePruner:
    return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=pruning.reduction_factor)


_PRUNERS: dict[str, Callable[[Pruning, int], pruners.BasePruner]] = {
    "none": lambda pruning, first: pruners.NopPruner(),
    "median": _median,
    "successive_halving": _successive_halving,
}
