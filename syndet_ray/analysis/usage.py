"""Usage: how many hours of nodes, cores and GPUs a run held, and in how many of them trials
trained.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from syndet_ray.metrics import GPU_PERCENT, SCENES_WAIT
from syndet_ray.runs.occupancy import Cluster, Period
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Hours:
    """GPU hours and core hours: one hour of one GPU, and of one core."""

    gpus: float = 0.0
    cores: float = 0.0

    def __add__(self, other: "Hours") -> "Hours":
        return Hours(gpus=self.gpus + other.gpus, cores=self.cores + other.cores)


@dataclass(frozen=True, kw_only=True)
class NodeHours:
    """The hours of all nodes that have the same resources."""

    cores: float
    gpus: float
    hours: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """A time in which nothing changed.

    start_h, end_h  hours since the run began, without the pauses between its attempts
    slots           trials that could train at once on the nodes that were up
    training        trials that trained
    """

    start_h: float
    end_h: float
    slots: int
    training: int


@dataclass(frozen=True, kw_only=True)
class _Span:
    """A time in which nothing changed. start_s and end_s are seconds since 1970; see Step."""

    start_s: float
    end_s: float
    slots: int
    training: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The hours that a run held and used of its nodes.

    resource       what counts most: GPUs if its trials train on them, else cores
    nodes          hours of nodes by their resources
    total          of all nodes, from the start of an attempt to its end
    by_trial       of each trial while it trained, interruptions left out
    for_trials     what trials could have taken: of the nodes that were up, as many as fit. The rest
                   of `total`, such as the driver's core and those of a head, is not for trials
    idle_at_start  the part of `for_trials` that no trial took before the first one trained
    idle_between   the same from then until the last one began to train
    idle_at_end    the same from then on
    gpu_percent    mean share of the time in which GPUs computed while trials had them; None if it
                   was not measured
    waited_s       seconds that trials waited for scenes, all together
    steps          the trials that trained, and could have, over time
    """

    resource: Literal["GPU", "core"]
    nodes: tuple[NodeHours, ...]
    total: Hours
    by_trial: dict[int, Hours]
    for_trials: Hours
    idle_at_start: Hours
    idle_between: Hours
    idle_at_end: Hours
    gpu_percent: float | None
    waited_s: float
    steps: tuple[Step, ...]

    @property
    def trained(self) -> Hours:
        """Hours in which trials trained."""
        return sum(self.by_trial.values(), Hours())

    @property
    def idle(self) -> Hours:
        """Hours that trials could have taken and did not."""
        return self.idle_at_start + self.idle_between + self.idle_at_end

    def count(self, hours: Hours) -> float:
        """Returns the GPU hours if trials train on GPUs, else the core hours."""
        return hours.gpus if self.resource == "GPU" else hours.cores


def usage(run: Run) -> Usage | None:
    """Computes the usage of a run; None if its ledger does not have its nodes."""
    if not run.periods:
        return None
    idle = [_idle(period) for period in run.periods]
    at_start, between, at_end = (sum(part, Hours()) for part in zip(*idle, strict=True))
    on_gpus = any(period.clusters[0].gpus for period in run.periods)
    return Usage(
        resource="GPU" if on_gpus else "core",
        nodes=_node_hours(run.periods),
        total=total_hours(run.periods),
        by_trial=_hours_of_trials(run.periods),
        for_trials=sum((_for_trials(period) for period in run.periods), Hours()),
        idle_at_start=at_start,
        idle_between=between,
        idle_at_end=at_end,
        gpu_percent=_gpu_percent(run.trials),
        waited_s=sum(trial.effective.get(SCENES_WAIT) or 0.0 for trial in run.trials),
        steps=_steps(run.periods),
    )


def total_hours(periods: Iterable[Period], until: float | None = None) -> Hours:
    """Computes the hours of all nodes; until a time in seconds since 1970, if one is given."""
    total = Hours()
    for kind in _node_hours(periods, until):
        total += Hours(gpus=kind.gpus * kind.hours, cores=kind.cores * kind.hours)
    return total


def _cluster_spans(period: Period) -> list[tuple[float, float, Cluster]]:
    """The times in which a period had the same nodes: start, end and the cluster."""
    times = [*(cluster.since for cluster in period.clusters), period.end]
    clusters = zip(pairwise(times), period.clusters, strict=True)
    return [(start, end, cluster) for (start, end), cluster in clusters]


def _node_hours(periods: Iterable[Period], until: float | None = None) -> tuple[NodeHours, ...]:
    """The hours of nodes by their resources, those with GPUs first; until a time, if one is given,
    in seconds since 1970.
    """
    hours: dict[tuple[float, float], float] = defaultdict(float)
    for period in periods:
        for start, end, cluster in _cluster_spans(period):
            stop = end if until is None else min(end, until)
            span_h = max(0.0, stop - start) / 3600
            for nodes in cluster.nodes:
                hours[nodes.gpus, nodes.cores] += nodes.count * span_h
    kinds = sorted(hours.items(), reverse=True)
    return tuple(NodeHours(cores=cores, gpus=gpus, hours=value) for (gpus, cores), value in kinds)


def _hours_of_trials(periods: Iterable[Period]) -> dict[int, Hours]:
    by_trial: dict[int, Hours] = {}
    for period in periods:
        of_trial = period.clusters[0]  # what a trial takes stays the same in an attempt
        for training in period.trainings:
            hours = (training.end - training.start) / 3600
            taken = Hours(gpus=of_trial.gpus * hours, cores=of_trial.cores * hours)
            by_trial[training.trial] = by_trial.get(training.trial, Hours()) + taken
    return by_trial


def _for_trials(period: Period) -> Hours:
    return _hours(period, period.start, period.end, lambda span: span.slots)


def _idle(period: Period) -> tuple[Hours, ...]:
    """The hours that no trial took: before the first one trained, then, and from the start of the
    last one on.
    """
    starts = [training.start for training in period.trainings] or [period.end]
    times = [period.start, min(starts), max(starts), period.end]
    return tuple(_hours(period, start, end, _free) for start, end in pairwise(times))


def _free(span: _Span) -> int:
    # a lost node goes before the trials on it are known to be lost
    return max(0, span.slots - span.training)


def _hours(period: Period, start: float, end: float, count: Callable[[_Span], int]) -> Hours:
    """Computes what so many trials take from start to end, in seconds since 1970."""
    of_trial = period.clusters[0]
    total_s = 0.0
    for span in _spans_of(period):
        total_s += count(span) * max(0.0, min(span.end_s, end) - max(span.start_s, start))
    return Hours(gpus=of_trial.gpus * total_s / 3600, cores=of_trial.cores * total_s / 3600)


def _steps(periods: Sequence[Period]) -> tuple[Step, ...]:
    """The steps of all periods, one after another, in hours."""
    steps = []
    before_s = 0.0
    for period in periods:
        for span in _spans_of(period):
            start_h = (before_s + span.start_s - period.start) / 3600
            end_h = (before_s + span.end_s - period.start) / 3600
            steps.append(
                Step(start_h=start_h, end_h=end_h, slots=span.slots, training=span.training)
            )
        before_s += period.end - period.start
    return tuple(steps)


def _spans_of(period: Period) -> list[_Span]:
    """The times of a period in which nothing changed."""
    changes: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    slots = 0
    for cluster in period.clusters:
        changes[cluster.since][0] += cluster.trials - slots
        slots = cluster.trials
    for training in period.trainings:
        changes[training.start][1] += 1
        changes[training.end][1] -= 1
    spans, slots, training_count = [], 0, 0
    for start, end in pairwise(sorted({*changes, period.end})):
        slots += changes[start][0]
        training_count += changes[start][1]
        spans.append(_Span(start_s=start, end_s=end, slots=slots, training=training_count))
    return spans


def _gpu_percent(trials: Iterable[Trial]) -> float | None:
    """The mean over the rungs of all trials."""
    values = []
    for trial in trials:
        for rung in trial.rungs:
            if GPU_PERCENT in rung.metrics:
                values.append(rung.metrics[GPU_PERCENT])
    return fmean(values) if values else None
