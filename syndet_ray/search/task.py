"""Task: what a worker must know to run a trial, and what the trial may occupy, as plain values.

This module is light: no torch, no Ray, no MLflow.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from syndet_ray.errors import DefinitionError, MachineError, NonFiniteLoss, SyndetError
from syndet_ray.progress import Progress, quiet
from syndet_ray.runs.results import Cause, Trial

# Work that lost its worker or node is repeated this many times. A trial continues from its
# checkpoint, and its count starts again at every rung that it reaches.
RETRIES = 3
# For each trial: a kill may come before the newest is in the ledger, so the one before it stays.
KEPT_CHECKPOINTS = 2

Returned = TypeVar("Returned")


def worth_another_try(error: Exception, begun: bool) -> bool:
    """True when the next attempt at a trial may not fail with the same error.

    A store that did not answer may answer later; a mistake in the recipe stays. All other errors
    are unknown: they are worth another try if the trial had begun, that is, had reported.
    """
    if isinstance(error, SyndetError):
        return isinstance(error, MachineError)
    return begun


def retry(call: Callable[[], Returned]) -> Returned:
    """Returns the result of a call, which is repeated up to RETRIES times on a MachineError."""
    for _ in range(RETRIES):
        with suppress(MachineError):
            return call()
    return call()


def cause_of(error: Exception, begun: bool) -> Cause:
    """Returns why the last attempt at a trial failed."""
    if isinstance(error, NonFiniteLoss):
        return "diverged"
    return "lost" if worth_another_try(error, begun) else "mistake"


def check_gpus(gpus_per_trial: float | None) -> None:
    """Raises DefinitionError for more or fewer GPUs than a trial can use."""
    if gpus_per_trial is None or 0 <= gpus_per_trial <= 1:
        return
    is_whole = gpus_per_trial > 0 and float(gpus_per_trial).is_integer()
    if not is_whole:
        rule = "must be a share of a GPU, 0 to 1, or a whole number of GPUs of one node"
        do = "More GPUs train more trials at once: leave it out, or set it to 1."
        raise DefinitionError("`gpus_per_trial`", rule, got=gpus_per_trial, do=do)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources that one trial occupies, and how many trials run at once.

    cpus, gpus  cores and GPUs of each process of a trial; gpus is at most 1
    processes   that train a trial together, all on one node
    """

    cpus: int
    gpus: float
    parallel: int
    processes: int = 1

    @classmethod
    def of_one_trial(cls, gpus_per_trial: float) -> Self:
        """Returns the resources of one trial at a time, with one core for each process.

        There is one process for each of several GPUs, else one process with the share.
        """
        if gpus_per_trial > 1:
            return cls(cpus=1, gpus=1.0, parallel=1, processes=int(gpus_per_trial))
        return cls(cpus=1, gpus=gpus_per_trial, parallel=1)

    @property
    def cpus_per_trial(self) -> int:
        """The cores of all processes of a trial."""
        return self.cpus * self.processes

    @property
    def gpus_per_trial(self) -> float:
        """The GPUs of all processes of a trial."""
        return self.gpus * self.processes


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings that all trials of a run share.

    rungs    reports of each trial
    seed     of the sweep. Scenes and the choice of fewer real images depend on it alone, so that
             trials with the same scene parameters share one rendered set. Training depends on it
             and on the trial's seed_number: different recipes get the same random numbers, so that
             only their differences matter, and a setting without effect is noticed
    cache    folder of rendered sets on the worker's node
    classes  new names of the classes of synthetic data, as in a Sweep
    """

    rungs: int
    seed: int
    cache: str
    classes: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a worker needs to run a trial, as one plain value.

    trial      as it stood when the attempt began; it continues from its checkpoint. It must report
               the effective value of every setting in trial.params, which the search has chosen
    run        settings that it shares with all trials of the run
    threads    CPU cores that each of its processes may use
    gpus       share of a GPU, and of its memory, that each of its processes may use
    processes  number of processes that train it together
    parts      least number of parts in which a process computes its share of a batch
    node       the node that rendered its scenes; None if the trial renders them itself
    waited_s   seconds for which it could not start because its scenes were not rendered
    """

    trial: Trial
    run: RunSettings
    threads: int
    gpus: float = 1.0
    processes: int = 1
    parts: int = 1
    node: str | None = None
    waited_s: float = 0.0

    def __str__(self) -> str:
        """The trial in short: Tune keeps the text of each task, and all settings take 2 KB."""
        return f"trial {self.trial.number}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Task":
        """Itself: no code changes a task, and Tune would keep two copies of it, 9 KB each."""
        return self


class Runner(Protocol):
    """Trains trials, and calls functions, on Ray or in this process.

    use            what each trial and each call occupies
    projected_use  the same, with no more trials at once than the nodes will have room for
    tasks          calls function(shared, device, threads, **arguments) for the arguments of each of
                   `calls` where there is room, and returns the results in order; progress gets
                   (calls done, calls in all) after each call
    """

    @property
    def use(self) -> Resources: ...
    @property
    def projected_use(self) -> Resources: ...
    def tasks(
        self,
        function: Any,
        shared: Any,
        calls: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]: ...
