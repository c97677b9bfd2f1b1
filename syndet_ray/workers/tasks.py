"""Tasks: functions that Ray runs anywhere in the cluster, and the errors with which they end."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import ray

from syndet_ray.errors import MachineError, SyndetError, first_line
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.search.task import RETRIES, Resources
from syndet_ray.wording import times
from syndet_ray.workers.nodes.here import device
from syndet_ray.workers.nodes.unfit import fit_only

DO_AFTER_LOSS = "See `ray status` and the memory of the nodes."  # of a worker

Key = TypeVar("Key")


def run_tasks(
    function: Callable[..., Any],
    shared: Any,
    calls: Sequence[dict[str, Any]],
    use: Resources,
    progress: Progress = quiet,
    note: Note = silent,
) -> list[Any]:
    """Calls `function(shared, device, threads, **arguments)` for each of `calls`.

    As many run at once as trials would. Returns the results in the order of `calls`; `progress` is
    called as tasks end, in any order. `shared` goes through the object store: all processes of a
    node read one copy. A task that raises MachineError or loses its worker is repeated, up to
    RETRIES times, each with a note. After that, the MachineError is raised and the other tasks are
    cancelled.
    """
    # Ray does not retry: lost workers and stores that did not answer are counted together.
    task = _call.options(num_cpus=use.cpus, num_gpus=use.gpus, max_retries=0, **fit_only())
    stored = ray.put(shared)

    def start(index: int) -> Any:
        return task.remote(function, stored, use, calls[index])

    waiting = deque(range(len(calls)))
    attempts = Counter[int]()
    results: dict[int, Any] = {}
    progress(0, len(calls))
    with closing(ended_tasks(start, waiting, at_once=len(calls))) as ended:
        for index, reference in ended:
            attempts[index] += 1
            try:
                results[index] = result(reference, "a task on the cluster", attempts[index])
            except MachineError as error:
                if attempts[index] > RETRIES:
                    raise
                waiting.append(index)
                note(f"tried once more: {error}")
            progress(len(results), len(calls))
    return [results[index] for index in range(len(calls))]


def ended_tasks(
    start: Callable[[Key], Any], waiting: deque[Key], at_once: int
) -> Generator[tuple[Key, Any]]:
    """Yields each key of `waiting` and the reference of its task, as the tasks end.

    The caller decides about retries: a key that it appends to `waiting` is started again. When the
    generator is closed, the tasks that still run are cancelled.

    start    starts the task of a key and returns its reference
    at_once  the number of tasks that may run at a time
    """
    running: dict[Any, Key] = {}  # by the reference of the task
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                key = waiting.popleft()
                running[start(key)] = key
            (reference,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(reference), reference
    finally:
        for unfinished in running:
            ray.cancel(unfinished, force=True)


def result(reference: Any, place: str, attempts: int = RETRIES + 1) -> Any:
    """Returns the result of a task.

    Raises the SyndetError that the task raised, and MachineError if its worker was lost.

    place     names the task in that error
    attempts  the number of attempts, including this one
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SyndetError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        reason = first_line(error)
        rule = f"lost its worker {times(attempts)} ({reason})"
        raise MachineError(place, rule, do=DO_AFTER_LOSS) from None


@ray.remote
def _call(
    function: Callable[..., Any], shared: Any, use: Resources, arguments: dict[str, Any]
) -> Any:
    kind = device()
    if kind == "cuda":
        from syndet_ray.detection.memory import limit_memory

        limit_memory(kind, use.gpus)
    return function(shared, kind, use.cpus, **arguments)
