"""Response: how accuracy answers to what a search varied, as plain values. The numbers behind its
figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from syndet_ray.analysis.selection import candidates, pareto_front, unconfirmed
from syndet_ray.analysis.varied import Setting, searched
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.runs.names import recipe_words
from syndet_ray.runs.results import State, Trial

_LEAST_TRIALS, _LEAST_VALUES = 6, 4  # that a curve is fitted to
_STEPS = 61  # of a curve
# Of the kernels that a curve is averaged over: variance of the curve and of the noise, where that
# of the scores is 1, and its length, where the range that was tried is 1.
_STRENGTHS, _LENGTHS, _NOISES = (0.1, 0.4, 1.5, 5.0), (0.2, 0.4, 0.8, 1.6), (0.03, 0.1, 0.3, 0.9)
_NOTHING = 1e-10  # of the greatest eigenvalue: what is smaller is rounding
_95 = 1.96  # standard deviations of a normal distribution on either side
_LEAST_OF_A_LEVEL = 3  # trials; the t interval of two reaches 13 standard errors, beyond any score


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One searched trial in a response. x: of the setting, its text where that is a choice; value:
    validation mAP.

    diverged: whether its training did; its value is then 0, whatever it reported before.
    """

    trial: int
    x: Any
    value: float
    state: State
    images: int
    diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class Level:
    """The completed trials at one value of a setting. low, high: Student's 95 % interval of the
    mean; None for one trial.
    """

    x: Any
    count: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Band:
    """A fitted curve at x, and the bounds of 95 % for the curve: not for single trials, which
    scatter more.
    """

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Response:
    """Validation mAP against one setting. controls: validation mAP of each control that was trained
    to the end.

    It is a marginal response: the trials differ in all other settings too, which a sampler that
    learns moves together with this one. What the curve shows is not what changing this setting
    alone would do.
    """

    setting: Setting
    points: tuple[Tried, ...]
    controls: dict[str, float]

    @property
    def complete(self) -> tuple[Tried, ...]:
        """The trials that a curve and means count.

        One that diverged counts as 0. A pruned one has no final score to count, yet it was pruned
        for a low one: of bad values only the luckier trials are here, so curves and means lie too
        high there, and flatter than what the setting does.
        """
        return tuple(point for point in self.points if point.state == "COMPLETE" or point.diverged)

    @property
    def pruned(self) -> int:
        return sum(point.state == "PRUNED" for point in self.points)

    @property
    def values(self) -> list[Any]:
        """The distinct values of the completed trials."""
        found = {point.x for point in self.complete}
        return (
            [x for x in self.setting.choices if x in found]
            if self.setting.is_choice
            else sorted(found)
        )

    @property
    def fitted(self) -> bool:
        """Whether there is enough for a curve."""
        enough = len(self.complete) >= _LEAST_TRIALS and len(self.values) >= _LEAST_VALUES
        return (
            enough
            and not self.setting.is_choice
            and len({point.value for point in self.complete}) > 1
        )

    @property
    def levelled(self) -> bool:
        """Whether so few values were tried that their means say more than a curve would."""
        return bool(self.complete) and (self.setting.is_choice or len(self.values) < _LEAST_VALUES)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One trial's validation mAP by training images seen. of: the trial whose recipe a confirmation
    trains anew.
    """

    trial: int
    kind: str
    state: State
    images: tuple[int, ...]
    values: tuple[float, ...]
    best: bool
    of: int | None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a finished trial reached on validation, trained once, and at which costs.

    efficient    whether no other trial reaches more without costing more
    mean, error  of its confirmations, where there are several
    """

    trial: int
    kind: str
    value: float
    costs: tuple[float, ...]
    efficient: bool
    recipe: str
    mean: float | None
    error: float | None


@dataclass(frozen=True)
class Front:
    """Accuracy against what it costs. costs: names, as a sweep's objective has them; offers: the
    cheapest first.
    """

    costs: tuple[str, ...]
    offers: tuple[Offer, ...]

    @property
    def confirmed(self) -> bool:
        return any(offer.mean is not None for offer in self.offers)

    @property
    def efficient(self) -> tuple[Offer, ...]:
        """The Pareto front; of several trials at one place, the first."""
        places = {
            (offer.costs, offer.value): offer for offer in reversed(self.offers) if offer.efficient
        }
        return tuple(reversed(places.values()))


def response(setting: Setting, trials: Sequence[Trial]) -> Response:
    """Every searched trial that reported and for which the setting existed."""
    found = [(trial, setting.of(trial)) for trial in searched(trials)]
    points = [
        _tried(trial, setting.text(x) if setting.is_choice else x)
        for trial, x in found
        if x is not None
    ]
    ended = [trial for trial in trials if trial.role == "control" and trial.state == "COMPLETE"]
    return Response(
        setting=setting,
        points=tuple(points),
        controls={t.name: t.value for t in ended if t.value is not None},
    )


def _tried(trial: Trial, x: Any) -> Tried:
    value = trial.score
    assert value is not None, "a searched trial has reported, or diverged"
    return Tried(
        trial=trial.number,
        x=x,
        value=value,
        state=trial.state,
        images=trial.images,
        diverged=trial.diverged,
    )


def levels(found: Response) -> tuple[Level, ...]:
    """The mean at each value, where there are few values or choices; else none."""
    if not found.levelled:
        return ()
    by_value = {x: [point.value for point in found.complete if point.x == x] for x in found.values}
    return tuple(_level(x, values) for x, values in by_value.items())


def band(found: Response) -> Band | None:
    """The fitted curve; None where there is too little for one."""
    if not found.fitted:
        return None
    scaled = np.log if found.setting.log else np.asarray
    x = np.array([point.x for point in found.complete], float)
    at = np.linspace(scaled(x.min()), scaled(x.max()), _STEPS)
    mean, error = _gaussian_process(
        scaled(x), np.array([point.value for point in found.complete]), at
    )
    shown = np.exp(at) if found.setting.log else at
    low, high = mean - _95 * error, mean + _95 * error
    shown_x, mean_y, low_y, high_y = (tuple(values.tolist()) for values in (shown, mean, low, high))
    return Band(x=shown_x, mean=mean_y, low=low_y, high=high_y)


def curves(trials: Sequence[Trial], best: int | None) -> tuple[Curve, ...]:
    """Learning curves of all trials that reported."""
    return tuple(
        Curve(
            trial=trial.number,
            kind=trial.kind,
            state=trial.state,
            images=tuple(rung.images for rung in trial.rungs),
            values=tuple(rung.metrics[OBJECTIVE] for rung in trial.rungs),
            best=trial.number == best,
            of=trial.of,
        )
        for trial in trials
        if trial.rungs
    )


def front(trials: Sequence[Trial], sweep: LoadedSweep) -> Front | None:
    """What every recipe offers, by its first training; None for a sweep with one goal, or before a
    trial has finished.
    """
    costs = sweep.objective[1:]
    efficient = {trial.number for trial in pareto_front(trials, sweep.objective, sweep.goals)}
    if not costs or not efficient:
        return None
    confirmed = {
        found.trial.number: found for found in candidates(trials) if len(found.trainings) > 1
    }
    offers = []
    for trial in [candidate.trial for candidate in unconfirmed(trials)]:
        again = confirmed.get(trial.number)
        mean, error = (None, None) if again is None else (again.mean, again.error)
        reached = trial.goals(sweep.objective)
        offer = Offer(
            trial=trial.number, kind=trial.kind, value=reached[0], costs=tuple(reached[1:]), efficient=trial.number in efficient,
            recipe=recipe_words(trial), mean=mean, error=error,
        )  # fmt: skip
        offers.append(offer)
    return Front(
        costs, tuple(sorted(offers, key=lambda offer: (offer.costs, -offer.value, offer.trial)))
    )


def _level(x: Any, values: Sequence[float]) -> Level:
    from scipy import stats  # type: ignore[import-untyped]

    mean = float(np.mean(values))
    if len(values) < _LEAST_OF_A_LEVEL:
        return Level(x=x, count=len(values), mean=mean, low=None, high=None)
    reach = float(
        stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    )
    return Level(
        x=x, count=len(values), mean=mean, low=max(0.0, mean - reach), high=min(1.0, mean + reach)
    )


def _gaussian_process(
    x: np.ndarray, y: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the curve at `at`, by Gaussian process regression (Rasmussen &
    Williams 2006, ch. 2).

    x, y: (n,) of the trials; x is brought to 0..1 and y to variance 1. Not one kernel but many,
    weighted by their likelihood (5.2 there): of a dozen trials the likeliest alone gives bands that
    hold the truth in 60 to 80 of 100 cases. The error leaves the noise out, which is what the other
    settings and the seeds did to each trial.
    """
    low, span, middle, scale = x.min(), np.ptp(x), y.mean(), y.std()
    places, wanted = ((v - low) / span for v in (x, at))
    regressions = [_regression(places, (y - middle) / scale, wanted, length) for length in _LENGTHS]
    kernels = product(regressions, _STRENGTHS, _NOISES)
    fits = [_fit(regression, strength, noise) for regression, strength, noise in kernels]
    likelihoods, means, variances = (np.array(part) for part in zip(*fits, strict=True))
    weights = (
        np.exp(likelihoods - likelihoods.max())[:, None]
        / np.exp(likelihoods - likelihoods.max()).sum()
    )
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + (means - mean) ** 2)).sum(axis=0)
    return middle + scale * mean, scale * np.sqrt(variance)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Regression:
    """Trials in p columns, as far as a linear regression of their scores on them has to know. The
    first column is 1.

    products  (p, p) of the columns with one another; with_scores (p,) with the scores; squares: of
              the scores, summed
    wanted    (steps, p) the columns where the curve is wanted
    """

    trials: int
    products: np.ndarray
    with_scores: np.ndarray
    squares: float
    wanted: np.ndarray


def _regression(x: np.ndarray, y: np.ndarray, at: np.ndarray, length: float) -> _Regression:
    """The trials once for all kernels of one length: what comes after takes as long for 10 000
    trials as for ten.
    """
    columns, wanted = (np.column_stack([np.ones(len(v)), _columns(v, length)]) for v in (x, at))
    return _Regression(
        trials=len(x),
        products=columns.T @ columns,
        with_scores=columns.T @ y,
        squares=float(y @ y),
        wanted=wanted,
    )


def _columns(x: np.ndarray, length: float) -> np.ndarray:
    """Columns (n, p) whose products row by row are the kernel: smooth curves on 0..1 have few
    degrees of freedom.

    By the Nyström method on even places (Rasmussen & Williams 2006, ch. 8.1), which lie so close
    for these lengths that the kernel is met to nine digits.
    """
    even = np.linspace(0, 1, _STEPS)
    values, vectors = np.linalg.eigh(_kernel(even, even, length))
    kept = values > _NOTHING * values[-1]
    return _kernel(x, even, length) @ (vectors[:, kept] / np.sqrt(values[kept]))


def _kernel(x: np.ndarray, other: np.ndarray, length: float) -> np.ndarray:
    """The squared exponential kernel, (n, m)."""
    return np.exp(-0.5 * ((x[:, None] - other) / length) ** 2)


def _fit(data: _Regression, strength: float, noise: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Log likelihood, mean and variance of the curve under one kernel: an unknown level, a smooth
    curve about it, noise.

    It is Bayesian linear regression on the columns, the same as the Gaussian process (Rasmussen &
    Williams 2006, ch. 2.1).
    """
    deviations = np.full(len(data.with_scores), np.sqrt(strength))
    deviations[0] = 1.0  # of the level
    precision = np.eye(len(deviations)) + deviations[:, None] * data.products * deviations / noise
    root = np.linalg.cholesky(precision)
    explained = np.linalg.solve(root, deviations * data.with_scores) / noise
    basis = np.linalg.solve(root, (data.wanted * deviations).T)
    misfit = data.squares / noise - explained @ explained
    volume = 2 * np.log(np.diag(root)).sum() + data.trials * np.log(2 * np.pi * noise)
    return -0.5 * float(misfit + volume), basis.T @ explained, (basis**2).sum(axis=0)
