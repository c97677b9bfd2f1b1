"""Task: what a worker is told of a trial, and what it may occupy, as plain values. Light: no torch,
no Ray, no MLflow.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from syndet_ray.errors import DefinitionError, MachineError, NonFiniteLoss, SyndetError
from syndet_ray.progress import Progress, quiet
from syndet_ray.runs.results import Cause, Trial

# Work that lost its worker or node is done again this many times; a trial goes on from its
# checkpoint, and the count begins anew whenever it has come further.
RETRIES = 3
# Of each trial: the newest may not have reached the ledger when a kill comes.
KEPT_CHECKPOINTS = 2

Returned = TypeVar("Returned")


def worth_another_try(error: Exception, begun: bool) -> bool:
    """Whether what ended an attempt at a trial may not end the next.

    A store that did not answer may answer then; a mistake in the recipe stays one. Of all else
    nobody knows: it is tried again where the trial had begun, that is reported, and not where it
    never got so far.
    """
    return isinstance(error, MachineError) if isinstance(error, SyndetError) else begun


def retried(call: Callable[[], Returned]) -> Returned:
    """What a call returns, which is made up to RETRIES times more where it raises MachineError."""
    for _ in range(RETRIES):
        with suppress(MachineError):
            return call()
    return call()


def cause_of(error: Exception, begun: bool) -> Cause:
    """What kind of failure ended the last attempt at a trial."""
    if isinstance(error, NonFiniteLoss):
        return "diverged"
    return "lost" if worth_another_try(error, begun) else "mistake"


def check_gpus(gpus_per_trial: float | None) -> None:
    """Raises DefinitionError for more GPUs, or fewer, than a trial can use."""
    if gpus_per_trial is not None and not 0 <= gpus_per_trial <= 1:
        rule = "must be 0 to 1: a trial trains on one GPU, or on a share of one"
        do = "More GPUs train more trials at once: leave it out, or set it to 1."
        raise DefinitionError("`gpus_per_trial`", rule, got=gpus_per_trial, do=do)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies, and how many run at once."""

    cpus: int
    gpus: float
    parallel: int


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What all trials of a run share.

    rungs  reports of each trial
    seed   of the sweep. Scenes and the choice of fewer real images draw from it alone, so that
           trials with the same scene parameters share one rendered set. Training draws from it and
           the trial's seed_number: different recipes meet the same chance, so that only their
           differences tell them apart, and a setting without any effect is found
    cache  folder of rendered sets on the worker's node
    """

    rungs: int
    seed: int
    cache: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a worker needs to run a trial, as one plain value.

    trial    as it stood when the attempt began: it goes on from its checkpoint. It must report
             back each setting that the search has chosen, which are those of trial.params
    run      what it shares with all trials of the run
    threads  CPU cores that it may use
    node     where its scenes were rendered before; None where the trial renders them itself
    """

    trial: Trial
    run: RunSettings
    threads: int
    node: str | None = None


class Runner(Protocol):
    """Whoever trains trials, and calls a function once with each of several arguments, wherever
    there is room.

    progress is told (calls done, calls in all) after each.
    """

    @property
    def use(self) -> Resources: ...
    def tasks(
        self,
        function: Any,
        shared: Any,
        every: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]: ...
