"""Response: how accuracy answers to what a search varied, as plain values. The numbers behind its figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.report.words import recipe_words
from syndet_ray.results import OBJECTIVE, Trial
from syndet_ray.sweep import Sweep
from syndet_ray.verdict import candidates, pareto_front, unconfirmed

_MOST_GROUPS = 8


@dataclass(frozen=True)
class Point:
    """One searched trial in accuracy against objects per scene. share: of synthetic images; value: validation mAP."""

    trial: int
    objects: int
    share: float
    value: float
    images: int
    state: str


@dataclass(frozen=True)
class Group:
    """The completed trials at one number of objects. deviation is the sample's, None for a single trial."""

    objects: int
    count: int
    mean: float
    low: float
    high: float
    deviation: float | None


@dataclass(frozen=True)
class ObjectsResponse:
    """Validation mAP against objects per scene. controls: validation mAP of each control that reported."""

    points: tuple[Point, ...]
    groups: tuple[Group, ...]
    controls: dict[str, float]

    @property
    def grouped(self) -> bool:
        """Whether so few values were tried that their means say more than the points."""
        return len({point.objects for point in self.points}) <= _MOST_GROUPS


@dataclass(frozen=True)
class Curve:
    """One trial's validation mAP by training images seen. of: the trial whose recipe a confirmation trains anew."""

    trial: int
    kind: str
    state: str
    images: tuple[int, ...]
    values: tuple[float, ...]
    best: bool
    of: int | None


@dataclass(frozen=True)
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
    """Accuracy against what it costs. costs: names, as a sweep's objective has them; offers: the cheapest first."""

    costs: tuple[str, ...]
    offers: tuple[Offer, ...]

    @property
    def confirmed(self) -> bool:
        return any(offer.mean is not None for offer in self.offers)

    @property
    def efficient(self) -> tuple[Offer, ...]:
        """The Pareto front; of several trials at one place, the first."""
        places = {(offer.costs, offer.value): offer for offer in reversed(self.offers) if offer.efficient}
        return tuple(reversed(places.values()))


def objects_response(trials: Sequence[Trial]) -> ObjectsResponse:
    """Every searched trial that reported and that saw synthetic images; only completed ones count for the groups.

    Empty where the search did not vary the number of objects.
    """
    varied = any("scene.objects" in trial.params for trial in trials)
    points = [
        Point(t.number, t.recipe["scene.objects"], t.recipe["mix.synthetic"], t.value, t.images, t.state)
        for t in trials
        if varied and t.kind == "search" and t.value is not None and t.recipe["mix.synthetic"] > 0
    ]
    complete: dict[int, list[float]] = {}
    for point in points:
        if point.state == "COMPLETE":
            complete.setdefault(point.objects, []).append(point.value)
    groups = tuple(_group(objects, values) for objects, values in sorted(complete.items()))
    controls = {t.kind: t.value for t in trials if t.kind not in ("search", "confirm") and t.value is not None}
    return ObjectsResponse(tuple(points), groups, controls)


def curves(trials: Sequence[Trial], best: int | None) -> tuple[Curve, ...]:
    """Learning curves of all trials that reported."""
    return tuple(
        Curve(
            trial.number,
            trial.kind,
            trial.state,
            tuple(rung.images for rung in trial.rungs),
            tuple(rung.metrics[OBJECTIVE] for rung in trial.rungs),
            trial.number == best,
            trial.of,
        )
        for trial in trials
        if trial.rungs
    )


def front(trials: Sequence[Trial], sweep: Sweep) -> Front | None:
    """What every recipe offers, by its first training; None for a sweep with one goal, or before a trial has finished."""
    costs = sweep.objective[1:]
    efficient = {trial.number for trial in pareto_front(trials, sweep.objective, sweep.goals)}
    if not costs or not efficient:
        return None
    confirmed = {found.trial.number: found for found in candidates(trials) if found.error is not None}
    offers = []
    for trial in [candidate.trial for candidate in unconfirmed(trials)]:
        again = confirmed.get(trial.number)
        mean, error = (None, None) if again is None else (again.mean, again.error)
        reached = trial.goals(sweep.objective)
        offer = Offer(
            trial.number, trial.kind, reached[0], tuple(reached[1:]), trial.number in efficient,
            recipe_words(trial), mean, error,
        )  # fmt: skip
        offers.append(offer)
    return Front(costs, tuple(sorted(offers, key=lambda offer: (offer.costs, -offer.value, offer.trial))))


def _group(objects: int, values: Sequence[float]) -> Group:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Group(objects, len(values), float(np.mean(values)), min(values), max(values), deviation)
