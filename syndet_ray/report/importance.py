"""Importance: how much of what trials reached each setting explains, by functional ANOVA. Plain values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial

from syndet_ray.parameter import Axis, Choice, Float
from syndet_ray.recipe import Recipe
from syndet_ray.report.varied import Setting, searched
from syndet_ray.results import Trial
from syndet_ray.run_folder import RunFolder
from syndet_ray.space import SearchSpace
from syndet_ray.sweep import Sweep

LEAST_TRIALS = 8
RESAMPLES = 20
_TREES, _TREES_OF_A_RESAMPLE = 64, 16  # Optuna's own number, and enough for a bound


@dataclass(frozen=True)
class Importance:
    """The share of the variance that a setting explains alone, 0 to 1, and the middle 90 % over bootstrap resamples.

    Of sources that share the images, the axis of one is its part of what the sources before it leave over.
    """

    path: str
    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importances:
    """The most important setting first; none where `reason` says why.

    trials  how many of them it was reckoned from; pruned: how many were pruned, and so could not be
    """

    settings: tuple[Importance, ...]
    trials: int
    reason: str = ""
    pruned: int = 0

    def rank(self, path: str) -> int:
        """Where a setting stands, from 0; what has no importance comes last."""
        paths = [found.path for found in self.settings]
        return paths.index(path) if path in paths else len(paths)


def importances_of(folder: RunFolder) -> Importances:
    """Those of a run, computed once for the ledger as it stands: a page asks for them several times, and forests are slow."""
    return _computed(folder.path, folder.stamp)


@lru_cache(maxsize=1)
def _computed(path: Path, stamp: tuple[int, int]) -> Importances:
    folder = RunFolder.open(path)
    return importances(folder.sweep, folder.trials())


def importances(sweep: Sweep, trials: Sequence[Trial], resamples: int = RESAMPLES) -> Importances:
    """fANOVA (Hutter, Hoos & Leyton-Brown 2014): a random forest is fitted to the completed trials, and its variance over
    the whole space divided among the settings. What settings do only together belongs to none of them.

    The spread is that over bootstrap resamples of the trials, which had other trials been drawn is what would have come
    out. Settings that exist only under conditions are left out: a forest needs all trials to have them. Without
    resamples the bounds are the share itself.
    """
    space = _space(sweep)
    frozen = _frozen(space, searched(trials))
    axes = [name for name in space.axes() if all(name in trial.params for trial in frozen)]
    reason = _too_little(axes, frozen)
    if reason:
        return Importances((), len(frozen), reason)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study
    shares = _shares(frozen, axes, _TREES)
    if shares is None:
        return Importances((), len(frozen), "no setting tells better trials from worse ones")
    draws = np.array([shares, *_resampled(frozen, axes, resamples)] if resamples else [shares])
    # A resample holds some trials twice: its shares may all lie beside that of all trials, which a bound then reaches.
    low, high = np.percentile(draws, (5, 95), axis=0)
    found = [
        Importance(name, Setting(name, space.axes()[name]).name, *map(float, values))
        for name, *values in zip(axes, shares, np.minimum(low, shares), np.maximum(high, shares), strict=True)
    ]
    pruned = sum(trial.state == "PRUNED" for trial in searched(trials))
    return Importances(tuple(sorted(found, key=lambda each: -each.share)), len(frozen), pruned=pruned)


def _space(sweep: Sweep) -> SearchSpace:
    """What the sweep varies; nothing where its spaces were never looked up."""
    known = all(isinstance(space, SearchSpace) for space in sweep.space)
    return sweep.parameters if known else SearchSpace({})


def _frozen(space: SearchSpace, trials: Sequence[Trial]) -> list[FrozenTrial]:
    """The completed trials as Optuna holds them, but for those whose recipe lies outside the space."""
    distributions = {name: _distribution(axis) for name, axis in space.axes().items()}
    found = []
    for trial in trials:
        point = space.point(Recipe().replace(trial.recipe)) if trial.state == "COMPLETE" else None
        if point is not None:
            params = {name: _told(value) for name, value in point.items()}
            own = {name: distributions[name] for name in params}
            found.append(optuna.trial.create_trial(params=params, distributions=own, value=trial.value))
    return found


def _too_little(axes: Sequence[str], frozen: Sequence[FrozenTrial]) -> str:
    """Why importance cannot be told; "" where it can."""
    if len(frozen) < LEAST_TRIALS:
        return f"it takes {LEAST_TRIALS} completed trials of the search, and there are {len(frozen)}"
    if len(axes) < 2:
        return "there are not two settings that all trials had"
    return "" if _differ(frozen) else "all trials reached the same score"


def _resampled(frozen: Sequence[FrozenTrial], axes: Sequence[str], resamples: int) -> list[list[float]]:
    rng = np.random.default_rng(0)
    drawn = [[frozen[i] for i in rng.integers(len(frozen), size=len(frozen))] for _ in range(resamples)]
    found = [_shares(trials, axes, _TREES_OF_A_RESAMPLE) for trials in drawn if _differ(trials)]
    return [shares for shares in found if shares is not None]


def _shares(frozen: Sequence[FrozenTrial], axes: Sequence[str], trees: int) -> list[float] | None:
    """The importance of each axis, from a study in memory; None where no tree of the forest finds anything to divide.

    So it is where all trials had the same settings, as those of a small resample may.
    """
    study = optuna.create_study(study_name="importance", direction="maximize")
    study.add_trials(frozen)
    try:
        found = FanovaImportanceEvaluator(n_trees=trees, seed=0).evaluate(study, params=list(axes))
    except RuntimeError as error:
        if "zero total variance" not in str(error):
            raise
        return None
    return [float(found[name]) if math.isfinite(found[name]) else 0.0 for name in axes]


def _differ(frozen: Sequence[FrozenTrial]) -> bool:
    return len({trial.value for trial in frozen}) > 1


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Choice):
        return CategoricalDistribution([_told(value) for value in axis.values])
    if isinstance(axis, Float):
        return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
    return IntDistribution(axis.low, axis.high, log=axis.log, step=axis.step or 1)


def _told(value: Any) -> Any:
    """A value of a choice as Optuna takes it, which knows no pairs."""
    return str(tuple(value)) if isinstance(value, (tuple, list)) else value
