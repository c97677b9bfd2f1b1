"""Importance: the share of the variance of trials' scores that each setting explains, by functional
ANOVA, as plain values.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from syndet_ray.analysis import anova
from syndet_ray.analysis.varied import Setting, searched_trials
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Axis
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import Run

LEAST_TRIALS = 8  # a forest on fewer explains mostly noise
RESAMPLES = 20  # enough for the middle 90 %, and a second or two of computing
_TREES = 64  # as many as Optuna's evaluator has
_TREES_OF_A_RESAMPLE = 16  # enough for a bound
_LOW, _HIGH = 5, 95  # percentiles: the ends of the middle 90 %


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The share of the variance that a setting explains by itself, 0 to 1, and the middle 90 % of
    that share over bootstrap resamples.

    Of sources that share the images, the axis of a source is its part of the share that the sources
    before it leave.
    """

    path: str
    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The most important setting first.

    trials  number of trials from which they are computed
    reason  the reason why there are none; "" if there are some
    pruned  number of pruned trials, which cannot be used
    """

    settings: tuple[Importance, ...]
    trials: int
    reason: str = ""
    pruned: int = 0

    def rank(self, path: str) -> int:
        """The rank of a setting, from 0; a setting without an importance comes last."""
        paths = [importance.path for importance in self.settings]
        return paths.index(path) if path in paths else len(paths)


@lru_cache(maxsize=1)
def importances_of(run: Run) -> Importances:
    """The importances of a run, computed once: a page asks several times, and forests are slow."""
    return importances(run.sweep, run.trials)


def importances(
    sweep: LoadedSweep, trials: Sequence[Trial], resamples: int = RESAMPLES
) -> Importances:
    """Computes the importance of the settings by fANOVA (Hutter, Hoos & Leyton-Brown 2014).

    A random forest is fitted to the completed trials, and its variance over the whole space is
    divided among the settings. Interactions of settings belong to none of them.

    The spread is over bootstrap resamples of the trials; it estimates how much other trials would
    change the result. Conditional settings are left out: a forest needs every setting in all
    trials. Without resamples the bounds are the share itself.
    """
    space = sweep.parameters
    points, scores = _completed_points(space, searched_trials(trials))
    axes = {}
    for name, axis in space.axes().items():
        if all(name in point for point in points):
            axes[name] = axis
    reason = _too_little(axes, scores)
    if reason:
        return Importances(settings=(), trials=len(points), reason=reason)
    axis_list = list(axes.values())
    names = list(axes)
    common = []
    for point in points:
        common.append([point[name] for name in names])
    table = anova.table(axis_list, common)
    shares = anova.shares(axis_list, table, scores, _TREES)
    if shares is None:
        reason = "no setting separates better trials from worse ones"
        return Importances(settings=(), trials=len(points), reason=reason)
    several = np.array([shares, *_resampled_shares(axis_list, table, scores, resamples)])
    settings = _with_bounds(axes, shares, several)
    return Importances(
        settings=tuple(sorted(settings, key=lambda setting: -setting.share)),
        trials=len(points),
        pruned=sum(trial.state == "PRUNED" for trial in searched_trials(trials)),
    )


def _with_bounds(
    axes: dict[str, Axis], shares: np.ndarray, several: np.ndarray
) -> list[Importance]:
    """shares: (axes,) of all trials; several: (1 + resamples, axes) of all trials and of resamples.

    A resample contains some trials twice. If all its shares are on one side of the share of all
    trials, the bound on the other side is that share.
    """
    low, high = np.percentile(several, (_LOW, _HIGH), axis=0)
    settings = []
    for k, (name, axis) in enumerate(axes.items()):
        importance = Importance(
            path=name,
            name=Setting(path=name, axis=axis).name,
            share=float(shares[k]),
            low=float(min(low[k], shares[k])),
            high=float(max(high[k], shares[k])),
        )
        settings.append(importance)
    return settings


def _completed_points(
    space: SearchSpace, trials: Sequence[Trial]
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The points of the completed trials and their scores, without recipes outside the space.

    A trial that diverged is among them, with score 0.
    """
    points, scores = list[dict[str, Any]](), list[float]()
    for trial in trials:
        point = None if trial.final is None else space.point(trial.recipe)
        if point is not None and trial.final is not None:
            points.append(point)
            scores.append(trial.final)
    return points, np.array(scores)


def _too_little(axes: Collection[str], scores: np.ndarray) -> str:
    """The reason why importance cannot be computed; "" if it can."""
    if len(scores) < LEAST_TRIALS:
        needed = f"{LEAST_TRIALS} completed trials of the search are needed"
        return f"{needed}, and there are {len(scores)}"
    if len(axes) < 2:
        return "fewer than two settings are part of all trials"
    return "" if len(set(scores)) > 1 else "all trials reached the same score"


def _resampled_shares(
    axes: Sequence[Axis], table: np.ndarray, scores: np.ndarray, resamples: int
) -> list[np.ndarray]:
    """The shares of bootstrap resamples, without those in which no tree finds a split."""
    rng = np.random.default_rng(0)
    several = []
    for rows in rng.integers(len(scores), size=(resamples, len(scores))):
        shares = anova.shares(axes, table[rows], scores[rows], _TREES_OF_A_RESAMPLE)
        if shares is not None:
            several.append(shares)
    return several
