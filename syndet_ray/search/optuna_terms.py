"""Optuna terms: our axes, points and trial states in the terms of Optuna."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from syndet_ray.definitions.parameter import Axis, Choice, Float
from syndet_ray.runs.results import Cause, State

# Hyperband assigns trials to brackets by a hash of it: another name would prune other trials.
_STUDY_NAME = "syndet_ray"
Direction = Literal["maximize", "minimize"]
_STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


def new_study(
    directions: Sequence[Direction], pruner: BasePruner, sampler: BaseSampler | None = None
) -> optuna.Study:
    """Returns a study in memory; from now on Optuna logs warnings alone."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=_STUDY_NAME, directions=list(directions), pruner=pruner, sampler=sampler
    )


def trial_state(state: State, cause: Cause | None) -> TrialState:
    """Returns Optuna's state of a trial that is over.

    One that diverged is complete, with the worst value: a sampler learns nothing from failed
    trials.
    """
    return TrialState.COMPLETE if cause == "diverged" else _STATES[state]


def distribution(axis: Axis) -> BaseDistribution:
    """Returns the values that a sampler may choose from along an axis."""
    if isinstance(axis, Choice):
        return CategoricalDistribution(_categories(axis))
    if isinstance(axis, Float):
        return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
    return IntDistribution(axis.low, axis.high, log=axis.log, step=axis.step or 1)


def parameters(point: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a point of the search space as the parameters of an Optuna trial, by axis."""
    return {name: _category(value) for name, value in point.items()}


def suggest(trial: optuna.Trial, name: str, axis: Axis) -> Any:
    """Returns the value along an axis that the sampler, or an enqueued point, gives a trial."""
    if isinstance(axis, Choice):
        # By repr: 1, 1.0 and True are equal, but different choices.
        values = {repr(_category(value)): value for value in axis.values}
        return values[repr(trial.suggest_categorical(name, _categories(axis)))]
    if isinstance(axis, Float):
        return trial.suggest_float(name, axis.low, axis.high, log=axis.log, step=axis.step)
    return trial.suggest_int(name, axis.low, axis.high, log=axis.log, step=axis.step or 1)


def _categories(axis: Choice) -> list[Any]:
    return [_category(value) for value in axis.values]


def _category(value: Any) -> Any:
    """Returns a value as Optuna takes it; it takes no pairs, so a pair is a text."""
    return str(tuple(value)) if isinstance(value, (tuple, list)) else value
