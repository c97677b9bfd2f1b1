"""Task: what a worker is told of a trial, and what it may occupy, as plain values. Light: no torch,
no Ray, no MLflow.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DefinitionError, MachineError, NonFiniteLoss, SyndetError
from syndet_ray.progress import Progress, quiet
from syndet_ray.runs.results import Cause

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
        raise DefinitionError("--gpus-per-trial", rule, got=gpus_per_trial, do=do)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies, and how many run at once."""

    cpus: int
    gpus: float
    parallel: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker needs to know to run a trial.

    seed        of the sweep; scenes and the choice of fewer real images draw from it alone, so that
                trials with the same scene parameters share one rendered set
    seed_number training draws from (seed, seed_number): different recipes meet the same chance, so
    that only what they
                differ in tells them apart, and a setting without any effect is found out
    cache       folder of rendered sets on the worker's node
    threads     CPU cores the trial may use
    checkpoint  where an earlier attempt left off: a path or s3:// address
    node        where the scenes were rendered ahead; None where the trial renders them itself
    searched    the settings, by dotted path, that the search has chosen: the trial must report each
                of them back
    """

    number: int
    recipe: Recipe
    rungs: int
    seed: int
    cache: str
    threads: int
    seed_number: int = 0
    checkpoint: str | None = None
    node: str | None = None
    searched: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What every trial of a run has in common: reports a trial, the sweep's seed, the folder of
    rendered sets.
    """

    rungs: int
    seed: int
    cache: str


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
