"""Importance: how much of what trials reached each setting explains, by functional ANOVA. Plain
values.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from syndet_ray.analysis import anova
from syndet_ray.analysis.varied import Setting, searched
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Axis
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import Run

LEAST_TRIALS = 8
RESAMPLES = 20
_TREES, _TREES_OF_A_RESAMPLE = 64, 16  # as many as Optuna's evaluator takes, and enough for a bound


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The share of the variance that a setting explains alone, 0 to 1, and the middle 90 % over
    bootstrap resamples.

    Of sources that share the images, the axis of one is its part of what the sources before it
    leave over.
    """

    path: str
    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
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


@lru_cache(maxsize=1)
def importances_of(run: Run) -> Importances:
    """Those of a run, computed once: a page asks for them several times, and forests are slow."""
    return importances(run.sweep, run.trials)


def importances(
    sweep: LoadedSweep, trials: Sequence[Trial], resamples: int = RESAMPLES
) -> Importances:
    """fANOVA (Hutter, Hoos & Leyton-Brown 2014): a random forest is fitted to the completed trials,
    and its variance over the whole space divided among the settings. What settings do only together
    belongs to none of them.

    The spread is that over bootstrap resamples of the trials, which had other trials been drawn is
    what would have come out. Settings that exist only under conditions are left out: a forest needs
    all trials to have them. Without resamples the bounds are the share itself.
    """
    space = _space(sweep)
    points, scores = _completed(space, searched(trials))
    axes = {
        name: axis for name, axis in space.axes().items() if all(name in point for point in points)
    }
    reason = _too_little(axes, scores)
    if reason:
        return Importances(settings=(), trials=len(points), reason=reason)
    table = anova.table(list(axes.values()), [[point[name] for name in axes] for point in points])
    shares = anova.shares(list(axes.values()), table, scores, _TREES)
    if shares is None:
        return Importances(
            settings=(), trials=len(points), reason="no setting tells better trials from worse ones"
        )
    draws = np.array([shares, *_resampled(list(axes.values()), table, scores, resamples)])
    # A resample holds some trials twice: its shares may all lie beside that of all trials, which a
    # bound then reaches.
    low, high = np.percentile(draws, (5, 95), axis=0)
    found = [
        Importance(
            path=name,
            name=Setting(path=name, axis=axes[name]).name,
            share=float(share),
            low=float(least),
            high=float(most),
        )
        for name, share, least, most in zip(
            axes, shares, np.minimum(low, shares), np.maximum(high, shares), strict=True
        )
    ]
    pruned = sum(trial.state == "PRUNED" for trial in searched(trials))
    return Importances(
        settings=tuple(sorted(found, key=lambda each: -each.share)),
        trials=len(points),
        pruned=pruned,
    )


def _space(sweep: LoadedSweep) -> SearchSpace:
    """What the sweep varies; nothing where its spaces were never looked up."""
    known = all(isinstance(space, SearchSpace) for space in sweep.space)
    return sweep.parameters if known else SearchSpace({})


def _completed(
    space: SearchSpace, trials: Sequence[Trial]
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Where the completed trials lie, and what they reached, but for those whose recipe lies
    outside the space.

    One that diverged is among them, and reached 0.
    """
    points, scores = list[dict[str, Any]](), list[float]()
    for trial in trials:
        point = None if trial.final is None else space.point(trial.recipe)
        if point is not None and trial.final is not None:
            points.append(point)
            scores.append(trial.final)
    return points, np.array(scores)


def _too_little(axes: Collection[str], scores: np.ndarray) -> str:
    """Why importance cannot be told; "" where it can."""
    if len(scores) < LEAST_TRIALS:
        return (
            f"it takes {LEAST_TRIALS} completed trials of the search, and there are {len(scores)}"
        )
    if len(axes) < 2:
        return "there are not two settings that all trials had"
    return "" if len(set(scores)) > 1 else "all trials reached the same score"


def _resampled(
    axes: Sequence[Axis], table: np.ndarray, scores: np.ndarray, resamples: int
) -> list[np.ndarray]:
    """The shares of bootstrap resamples; none of those that tell nothing."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(scores), size=len(scores)) for _ in range(resamples)]
    found = [anova.shares(axes, table[draw], scores[draw], _TREES_OF_A_RESAMPLE) for draw in draws]
    return [shares for shares in found if shares is not None]
