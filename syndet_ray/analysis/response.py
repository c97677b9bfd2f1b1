"""Response: accuracy against each setting that a search varied, as the plain values of figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from syndet_ray.analysis.selection import candidates, pareto_front, search_ranking
from syndet_ray.analysis.varied import Setting, searched_trials
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.names import recipe_words
from syndet_ray.runs.results import State, Trial

# A curve is fitted to at least so many trials and distinct values: means say more of fewer.
_LEAST_TRIALS, _LEAST_VALUES = 6, 4
_STEPS = 61  # points of a curve: enough to look smooth
# A curve is averaged over kernels with these variances of the curve and of the noise, in units of
# the variance of the scores, and these lengths, in units of the range that was tried.
_STRENGTHS, _LENGTHS, _NOISES = (0.1, 0.4, 1.5, 5.0), (0.2, 0.4, 0.8, 1.6), (0.03, 0.1, 0.3, 0.9)
_NOTHING = 1e-10  # of the greatest eigenvalue: a smaller one is a rounding error
_95 = 1.96  # standard deviations of a normal distribution on either side
_LEAST_OF_A_LEVEL = 3  # trials; the t interval of two reaches 13 standard errors, beyond any score


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One searched trial in a response.

    x         value of the setting, as text if the setting is a choice
    value     validation mAP; 0 if the training diverged, for any earlier report
    diverged  True if its training diverged
    """

    trial: int
    x: Any
    value: float
    state: State
    images: int
    diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class Level:
    """The completed trials at one value of a setting.

    low, high: Student's 95 % interval of the mean; None for one or two trials.
    """

    x: Any
    count: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Band:
    """A fitted curve at x, with the 95 % bounds of the curve. Single trials scatter more."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Response:
    """Validation mAP against one setting.

    controls: validation mAP of each control that was trained to the end.

    It is a marginal response: the trials differ in all other settings too, and a sampler that
    learns changes them together with this one. The curve does not show the effect of changing this
    setting alone.
    """

    setting: Setting
    points: tuple[Tried, ...]
    controls: dict[str, float]

    @property
    def complete(self) -> tuple[Tried, ...]:
        """The trials that a curve and means use.

        A trial that diverged counts as 0. A pruned trial has no final score, but it was pruned for
        a low one. At bad values only the luckier trials are here: curves and means are too high
        there, and flatter than the true effect of the setting.
        """
        return tuple(point for point in self.points if point.state == "COMPLETE" or point.diverged)

    @property
    def pruned(self) -> int:
        return sum(point.state == "PRUNED" for point in self.points)

    @property
    def values(self) -> list[Any]:
        """The distinct values of the completed trials."""
        tried = {point.x for point in self.complete}
        if self.setting.is_choice:
            return [x for x in self.setting.choices if x in tried]
        return sorted(tried)

    @property
    def fitted(self) -> bool:
        """True if there are enough trials and values for a curve."""
        if self.setting.is_choice:
            return False
        enough = len(self.complete) >= _LEAST_TRIALS and len(self.values) >= _LEAST_VALUES
        return enough and len({point.value for point in self.complete}) > 1

    @property
    def levelled(self) -> bool:
        """True if so few values were tried that their means say more than a curve would."""
        return bool(self.complete) and (self.setting.is_choice or len(self.values) < _LEAST_VALUES)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One trial's validation mAP by training images seen.

    of: the trial whose recipe a confirmation trains again.
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
    """The score of a finished trial on validation, trained once, and its costs.

    efficient    True if no other trial reaches more without costing more
    mean, error  of its confirmations, if there are several
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
    """Accuracy against its costs. costs: names, as in a sweep's objective; offers: the cheapest
    first.
    """

    costs: tuple[str, ...]
    offers: tuple[Offer, ...]

    @property
    def confirmed(self) -> bool:
        return any(offer.mean is not None for offer in self.offers)

    @property
    def efficient(self) -> tuple[Offer, ...]:
        """The Pareto front; of several trials at one place, the first."""
        places: dict[tuple[tuple[float, ...], float], Offer] = {}
        for offer in self.offers:
            if offer.efficient:
                places.setdefault((offer.costs, offer.value), offer)
        return tuple(places.values())


def response(setting: Setting, trials: Sequence[Trial]) -> Response:
    """All searched trials that reported and had the setting."""
    points = []
    for trial in searched_trials(trials):
        x = setting.of(trial)
        if x is not None:
            points.append(_tried_recipe(trial, setting.text(x) if setting.is_choice else x))
    ended = [trial for trial in trials if trial.role == "control" and trial.state == "COMPLETE"]
    return Response(
        setting=setting,
        points=tuple(points),
        controls={t.name: t.value for t in ended if t.value is not None},
    )


def _tried_recipe(trial: Trial, x: Any) -> Tried:
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


def levels(response: Response) -> tuple[Level, ...]:
    """The mean at each value of a choice, or if there are few values; else ()."""
    if not response.levelled:
        return ()
    means = []
    for x in response.values:
        scores = [point.value for point in response.complete if point.x == x]
        means.append(_level(x, scores))
    return tuple(means)


def band(response: Response) -> Band | None:
    """The fitted curve; None if there are too few trials for one."""
    if not response.fitted:
        return None
    is_log = response.setting.log
    scaled = np.log if is_log else np.asarray
    x = np.array([point.x for point in response.complete], float)
    scores = np.array([point.value for point in response.complete])
    at = np.linspace(scaled(x.min()), scaled(x.max()), _STEPS)
    mean, error = _gaussian_process(scaled(x), scores, at)
    shown_x = np.exp(at) if is_log else at
    low = mean - _95 * error
    high = mean + _95 * error
    return Band(
        x=tuple(shown_x.tolist()),
        mean=tuple(mean.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def curves(trials: Sequence[Trial], best: int | None) -> tuple[Curve, ...]:
    """Learning curves of all trials that reported."""
    reported = [trial for trial in trials if trial.rungs]
    return tuple(_curve(trial, is_best=trial.number == best) for trial in reported)


def _curve(trial: Trial, *, is_best: bool) -> Curve:
    return Curve(
        trial=trial.number,
        kind=trial.kind,
        state=trial.state,
        images=tuple(rung.images for rung in trial.rungs),
        values=tuple(rung.metrics[OBJECTIVE] for rung in trial.rungs),
        best=is_best,
        of=trial.of,
    )


def front(trials: Sequence[Trial], sweep: LoadedSweep) -> Front | None:
    """The accuracy and the costs of all recipes, by their first training.

    None for a sweep with one goal, or before a trial has finished.
    """
    costs = sweep.objective[1:]
    efficient = {trial.number for trial in pareto_front(trials, sweep.objective, sweep.goals)}
    if not costs or not efficient:
        return None
    confirmed = {}
    for candidate in candidates(trials):
        if len(candidate.trainings) > 1:
            confirmed[candidate.trial.number] = candidate
    offers = []
    for candidate in search_ranking(trials):
        trial = candidate.trial
        confirmation = confirmed.get(trial.number)
        value, *costs_of_trial = trial.goals(sweep.objective)
        offer = Offer(
            trial=trial.number,
            kind=trial.kind,
            value=value,
            costs=tuple(costs_of_trial),
            efficient=trial.number in efficient,
            recipe=recipe_words(trial),
            mean=None if confirmation is None else confirmation.mean,
            error=None if confirmation is None else confirmation.error,
        )
        offers.append(offer)
    offers.sort(key=lambda offer: (offer.costs, -offer.value, offer.trial))
    return Front(costs, tuple(offers))


def _level(x: Any, values: Sequence[float]) -> Level:
    from scipy import stats  # type: ignore[import-untyped]

    count = len(values)
    mean = float(np.mean(values))
    if count < _LEAST_OF_A_LEVEL:
        return Level(x=x, count=count, mean=mean, low=None, high=None)
    deviation = np.std(values, ddof=1)
    reach = float(stats.t.ppf(0.975, count - 1) * deviation / np.sqrt(count))
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    return Level(x=x, count=count, mean=mean, low=low, high=high)


def _gaussian_process(
    x: np.ndarray, y: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the curve at `at`, by Gaussian process regression (Rasmussen &
    Williams 2006, ch. 2).

    x, y: (n,) of the trials; x is scaled to 0..1 and y to variance 1. Many kernels are weighted by
    their likelihood (5.2 there): for a dozen trials the likeliest kernel alone gives bands that
    contain the truth in 60 to 80 of 100 cases. The error leaves out the noise, which is the effect
    of the other settings and of the seeds on each trial.
    """
    low, span = x.min(), np.ptp(x)
    middle, scale = y.mean(), y.std()
    scores = (y - middle) / scale
    places, wanted = (x - low) / span, (at - low) / span
    regressions = [_regression(places, scores, wanted, length) for length in _LENGTHS]
    kernels = product(regressions, _STRENGTHS, _NOISES)
    fits = [_fit(regression, strength, noise) for regression, strength, noise in kernels]
    likelihoods, means, variances = (np.array(part) for part in zip(*fits, strict=True))
    relative = np.exp(likelihoods - likelihoods.max())
    weights = relative[:, None] / relative.sum()
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + (means - mean) ** 2)).sum(axis=0)
    return middle + scale * mean, scale * np.sqrt(variance)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Regression:
    """The sums over trials that a linear regression of their scores on p columns needs.

    The first column is 1.

    trials       number of trials
    products     (p, p) of the columns with one another
    with_scores  (p,) of the columns with the scores
    squares      sum of the squared scores
    wanted       (steps, p) columns at the points of the curve
    """

    trials: int
    products: np.ndarray
    with_scores: np.ndarray
    squares: float
    wanted: np.ndarray


def _regression(x: np.ndarray, y: np.ndarray, at: np.ndarray, length: float) -> _Regression:
    """Sums over the trials once for all kernels of one length: later steps take as long for 10 000
    trials as for ten.
    """
    columns = np.column_stack([np.ones(len(x)), _columns(x, length)])
    wanted = np.column_stack([np.ones(len(at)), _columns(at, length)])
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

    By the Nyström method on even places (Rasmussen & Williams 2006, ch. 8.1). For these lengths the
    places are so close that the products equal the kernel to nine digits.
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
    curve around it, noise.

    It is Bayesian linear regression on the columns, which equals the Gaussian process (Rasmussen &
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
