"""Members: further processes of a trial, each on a GPU of its own, that train it together.

The first process of a trial is that of Tune: it reports, and stops when Tune stops it. The others
are actors in the other bundles of the trial's placement group, so that Ray ends them with it.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from syndet_ray.detection.team import ALONE, Team, connection, interrupt_exchange
from syndet_ray.errors import MachineError, SyndetError, first_line
from syndet_ray.files import temporary_folder
from syndet_ray.search.task import Task
from syndet_ray.workers.ahead import scenes_from
from syndet_ray.workers.nodes.here import device
from syndet_ray.workers.tasks import DO_AFTER_LOSS
from syndet_ray.workers.trial import Rendered, run_trial, training_data

# How long the errors of members may take after one of them has ended the work of the first process:
# an error is with Ray at once, the loss of a process after a second or two.
_ERRORS_S = 5.0
# How long this process may need to notice a lost member by itself. It notices at once on a CPU; on
# a GPU it may wait for an exchange that never ends.
_GRACE_S = 30.0
_POLL_S = 1.0


@contextmanager
def team_of(task: Task, stored: Any, restore: Path | None, scenes: Rendered) -> Iterator[Team]:
    """Yields this process's place in the team that trains a trial; see `run_trial`.

    Raises the error of a member if it ended the work of this process. A trial of one process has
    no members.

    stored   a reference to the pools (train, val, others)
    restore  as in `run_trial`: a folder of this node, where the members run too
    scenes   as in `run_trial`
    """
    if task.processes == 1:
        yield ALONE
        return
    train, _, others = ray.get(stored)
    training_data(task, train, others, scenes)  # rendered once, and not by all at the same time
    with temporary_folder() as folder:
        meeting = folder / "meeting"
        first, *seats = [Team(rank=rank, size=task.processes) for rank in range(task.processes)]
        members = [_start(seat, task) for seat in seats]
        endings = {}
        for seat, member in zip(seats, members, strict=True):
            endings[member.train.remote(task, stored, seat, meeting, restore)] = member
        try:
            with _watch(endings), connection(meeting, first, torch.device(device())):
                yield first
            ray.get(list(endings))
        except Exception as error:
            raise _cause(error, list(endings)) from error
        finally:
            for member in members:
                ray.kill(member)


def _start(seat: Team, task: Task) -> Any:
    """Starts a member in the bundle of its rank."""
    bundle = PlacementGroupSchedulingStrategy(get_current_placement_group(), seat.rank)
    gpus = task.gpus if device() == "cuda" else 0
    options = {"num_cpus": task.threads, "num_gpus": gpus, "scheduling_strategy": bundle}
    kind: Any = _Member  # Ray has replaced the class by its own, which mypy does not see
    return kind.options(**options).remote()


@ray.remote(max_restarts=0)
class _Member:
    """One of the further processes of a trial."""

    def train(
        self,
        task: Task,
        pools: tuple[Any, ...],
        seat: Team,
        meeting: Path,
        restore: Path | None,
    ) -> None:
        """Trains what the first process trains, and reports nothing."""
        train, val, others = pools
        place = torch.device(device())
        with connection(meeting, seat, place) as team:
            run_trial(
                task,
                train,
                val,
                others=others,
                scenes=scenes_from(task.node),
                device=place,
                restore=restore,
                report=_no_report,
                team=team,
            )


def _no_report(*_: Any) -> None:
    """Takes the report of a process that makes none."""


def _cause(error: Exception, endings: Sequence[Any]) -> Exception:
    """Returns the error that ended the work of a team: this process's, or that of a member.

    If one process fails, all others fail too, because they wait for it.
    """
    if isinstance(error, SyndetError):
        return error
    ended, _ = ray.wait(endings, num_returns=len(endings), timeout=_ERRORS_S)
    for ending in ended:
        member_error = _error_of(ending)
        if isinstance(member_error, SyndetError):
            return member_error
    return error


def _error_of(ending: Any) -> Exception | None:
    """Returns the error of a member that has ended; a MachineError if its process was lost."""
    try:
        ray.get(ending)
    except ray.exceptions.RayTaskError as error:
        return error.cause if isinstance(error.cause, Exception) else error
    except ray.exceptions.RayError as error:
        rule = f"a process of the trial was lost ({first_line(error)})"
        return MachineError("training", rule, do=DO_AFTER_LOSS)
    return None


@contextmanager
def _watch(members: Mapping[Any, Any]) -> Iterator[None]:
    """Makes a block fail soon after a member has failed, instead of waiting for it.

    If it does not, this process ends, and Ray tries the trial again from its checkpoint, as after
    any lost worker.

    members  by the reference of what they run
    """
    is_over = threading.Event()

    def watch() -> None:
        running = list(members)
        while running and not is_over.is_set():
            ended, running = ray.wait(running, timeout=_POLL_S)
            for ending in ended:
                if _error_of(ending) is not None:
                    ray.kill(members[ending])  # which closes its connections
                    interrupt_exchange()
                    if not is_over.wait(_GRACE_S):
                        os._exit(1)
                    return

    threading.Thread(target=watch, name="members", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
