"""Occupancy: the nodes that a run had and the trials that trained on them over time, from its
ledger.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from syndet_ray.metrics import FIRST_STEP


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Nodes with the same resources. cores and gpus are those of one of them."""

    cores: float
    gpus: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The cluster from a moment on, until the next that a period has.

    since        seconds since 1970
    trials       how many trials can train at once on the nodes that are up
    cores, gpus  of each trial
    """

    since: float
    nodes: tuple[Nodes, ...]
    trials: int
    cores: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class TrainingTime:
    """A time without interruption in which a trial trained and was scored on the validation set.

    start, end  seconds since 1970
    """

    trial: int
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Period:
    """One attempt at a run, as far as its ledger has it.

    start, end  seconds since 1970
    clusters    by time, at least one; the first from the start on
    """

    start: float
    end: float
    clusters: tuple[Cluster, ...]
    trainings: tuple[TrainingTime, ...]


def periods(events: Iterable[Mapping[str, Any]], finished: float | None) -> tuple[Period, ...]:
    """Returns the attempts at a run whose ledger has the cluster; those of earlier versions have
    none.

    finished  when the last attempt ended, which is later than its last event; None if unknown
    """
    attempts: list[_Attempt] = []
    for event in events:
        if event["event"] == "attempt":
            attempts.append(_Attempt(event["time"]))
        elif attempts:
            attempts[-1].add(event)
    if attempts and finished is not None:
        attempts[-1].end = max(attempts[-1].end, finished)
    return tuple(attempt.period() for attempt in attempts if attempt.clusters)


class _Attempt:
    """An attempt while its events are read."""

    def __init__(self, start: float) -> None:
        self.start = self.end = self._last_event = start
        self.clusters: list[Cluster] = []
        self._trainings: list[TrainingTime] = []
        self._begun: dict[int, float] = {}  # by trial that trains, since when
        self._stopped: dict[int, float] = {}  # by trial, when its last training stopped

    def add(self, event: Mapping[str, Any]) -> None:
        kind, number, time = event["event"], event["trial"], event["time"]
        self.end = self._last_event = time
        if kind == "cluster":
            # it was there before it was first looked at
            since = time if self.clusters else self.start
            self.clusters.append(_cluster(event, since))
        elif kind == "report":
            self._begin_training(number, time, event["effective"].get(FIRST_STEP))
        elif kind == "training":
            self._begin_training(number, time, event[FIRST_STEP])
        elif kind in ("retry", "ended") and number in self._begun:
            self._end_training(number, time)

    def period(self) -> Period:
        for number in list(self._begun):
            self._end_training(number, self._last_event)
        return Period(
            start=self.start,
            end=self.end,
            clusters=tuple(self.clusters),
            trainings=tuple(sorted(self._trainings, key=lambda training: training.start)),
        )

    def _begin_training(self, number: int, time: float, first_step: float | None) -> None:
        """Notes since when a trial trains, unless it is known.

        time  of the event that says so
        """
        if number in self._begun:
            return
        begun = time if first_step is None else first_step
        # the clock of the worker may be another than ours
        earliest = self._stopped.get(number, self.start)
        self._begun[number] = min(max(begun, earliest), time)

    def _end_training(self, number: int, end: float) -> None:
        start = self._begun.pop(number)
        self._trainings.append(TrainingTime(trial=number, start=start, end=end))
        self._stopped[number] = end


def _cluster(event: Mapping[str, Any], since: float) -> Cluster:
    nodes = [Nodes(cores=cores, gpus=gpus, count=count) for cores, gpus, count in event["nodes"]]
    return Cluster(
        since=since,
        nodes=tuple(nodes),
        trials=event["trials"],
        cores=event["cores"],
        gpus=event["gpus"],
    )
