"""Cluster: a connection to Ray, on this machine or elsewhere, what trials may occupy there, and
work spread over it.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from syndet_ray.errors import MachineError, SyndetError
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.search.task import RETRIES, Resources
from syndet_ray.wording import counted
from syndet_ray.workers.autoscaler import NO_GROWTH, Growth, Node, trials_on
from syndet_ray.workers.stop import restore_handlers

_HEAD = "node:__internal_head__"  # a resource that Ray gives to the head alone
_MOST_CORES = 8  # for a trial with a GPU: more do not feed it faster
# Bytes of a folder in which Ray can begin: a socket's path has at most 107, of which up to 68 go to
# "/ray/session_<time>_<process>/sockets/plasma_store".
_LONGEST_TMPDIR = 38
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_RECOUNT_S = 5.0  # nodes take minutes to come, and asking Ray for them takes a millisecond


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """A connection to the Ray cluster at `address`, or to a new one on this machine, closed at the
    end.

    A new one asks for a token, which ray.init() makes. For `address`, RAY_AUTH_MODE must say what
    that cluster wants.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(_folder_for_sockets()) if address is None else None
        stack.enter_context(_connection(address, folder))
        yield


@contextmanager
def _folder_for_sockets() -> Iterator[str | None]:
    """The folder in which a new Ray keeps its files: None for its own choice; where that is too
    long, a short link to it.

    The files stay in the temporary folder, which may be the one with room. Raises MachineError
    where no link can be made.
    """
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(temporary)) <= _LONGEST_TMPDIR:
        yield None
        return
    try:
        os.makedirs(temporary, exist_ok=True)
    except OSError as error:
        raise MachineError("$TMPDIR", f"cannot be made ({error.strerror})", got=temporary) from None
    link = Path(_new_short_folder(temporary)) / "r"
    link.symlink_to(os.path.abspath(temporary))
    try:
        yield str(link)
    finally:
        with suppress(OSError):
            link.unlink()
            link.parent.rmdir()


def _new_short_folder(temporary: str) -> str:
    for short in _SHORT_FOLDERS:
        with suppress(OSError):
            return tempfile.mkdtemp(prefix="syndet-", dir=short)
    rule = f"is too long for the sockets of Ray, and {', '.join(_SHORT_FOLDERS)} cannot be written"
    do = f"Set RAY_TMPDIR to a folder of at most {_LONGEST_TMPDIR} characters."
    raise MachineError("$TMPDIR", rule, got=temporary, do=do)


@contextmanager
def _connection(address: str | None, folder: str | None) -> Iterator[None]:
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            # "local", not None: that would join whatever cluster once ran here, and wait for it if
            # it is gone.
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
            **({} if folder is None else {"_temp_dir": folder}),
        )
    # SIGTERM, of which Ray's handler, in place of ours meanwhile, leaves without a word
    except SystemExit:
        ray.shutdown()
        if callable(on_termination):
            restore_handlers({signal.SIGTERM: on_termination})
            on_termination(signal.SIGTERM, None)
        raise
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MachineError(
            f"Ray cluster {address or 'on this machine'}",
            f"cannot be reached ({str(error).splitlines()[0]})",
            do="See `ray status` on the head node; RAY_AUTH_MODE must be the same on both sides."
            if address
            else "",
        ) from None
    try:
        # Ray has put its own in its place, which leaves without a word
        if callable(on_termination):
            restore_handlers({signal.SIGTERM: on_termination})
        yield
    finally:
        ray.shutdown()


def resources(
    parallel: int | None,
    gpus_per_trial: float | None,
    growth: Growth = NO_GROWTH,
    note: Note = silent,
) -> Resources:
    """One core a trial, or one GPU and its share of the cores where the cluster has GPUs, or may
    get some.

    parallel is how many run at once; None takes as many as will fit once the cluster has grown.
    Raises MachineError where a trial asks for a GPU that no node will ever have.
    """
    there = alive_nodes()
    gpus = gpus_per_trial
    if gpus is None:
        gpus = 1.0 if _with_gpus([*there, *growth.nodes]) else 0.0
    if gpus > 0 and not growth.is_known and not _with_gpus(there):
        note("waiting for the first node with a GPU")
        there = nodes_once_there_is_a_gpu(gpus)
    carriers = _with_gpus([*there, *growth.nodes])
    cpus = _cores_beside_gpus(gpus, carriers) if gpus > 0 else _cores_of(parallel, there, growth)
    return Resources(
        cpus=cpus, gpus=gpus, parallel=parallel or trials_at_once(cpus, gpus, there, growth)
    )


def trials_at_once(cpus: int, gpus: float, there: Sequence[Node], growth: Growth) -> int:
    """How many trials fit at once, of so many cores and such a share of a GPU each; at least 1.

    Those that wait for a node count too: their waiting is what makes an autoscaler start it. Where
    it is not known whether there is one, a single trial waits.
    """
    fitting = _fitting(cpus, gpus, there, growth)
    return max(1, fitting) if growth.is_known else fitting + 1


def _fitting(cpus: int, gpus: float, there: Sequence[Node], growth: Growth) -> int:
    """How many trials fit at once on the nodes that are up, or on all that may be."""
    now = trials_on(there, cpus, gpus)
    on_heads = trials_on([node for node in there if node.is_head], cpus, gpus)
    return max(now, on_heads + growth.trials(cpus, gpus))


class Capacity:
    """How many trials may run at once, counted again as nodes come and go, unless the user has said
    how many.
    """

    def __init__(self, use: Resources, growth: Growth, *, fixed: bool) -> None:
        self._use, self._growth, self._fixed = use, growth, fixed
        self._trials, self._counted = use.parallel, time.monotonic()

    def trials(self) -> int:
        if not self._fixed and time.monotonic() - self._counted >= _RECOUNT_S:
            self._trials = trials_at_once(
                self._use.cpus, self._use.gpus, alive_nodes(), self._growth
            )
            self._counted = time.monotonic()
        return self._trials


def has_spare_cores(use: Resources, growth: Growth = NO_GROWTH) -> bool:
    """Whether trials leave cores of the cluster free, now or on nodes that may join for other work."""
    there = alive_nodes()
    trials = min(use.parallel, trials_on(there, use.cpus, use.gpus))
    now = sum(node.cpus for node in there) - trials * use.cpus
    return now >= 1 or any(
        node.cpus >= 1 and not node.fits(use.cpus, use.gpus) for node in growth.nodes
    )


def resource_words(use: Resources, growth: Growth = NO_GROWTH) -> list[str]:
    """What a user may not expect of how trials are spread over the cluster, in sentences without
    full stops.
    """
    there = alive_nodes()
    now = trials_on(there, use.cpus, use.gpus)
    words = []
    if not use.gpus and _with_gpus([*there, *growth.nodes]):
        words.append("trials train on CPUs, and the cluster has GPUs: `gpus_per_trial` 1 uses them")
    elif not use.gpus and not growth.is_known:
        words.append(
            "trials train on CPUs, for no node has a GPU: if nodes with GPUs will join, set `gpus_per_trial` 1"
        )
    if growth.nodes and now < use.parallel:
        trials = counted(use.parallel, "trial")
        words.append(
            f"{trials} may run at once: {now} on the nodes that are up, the rest as nodes join"
        )
    return words


def alive_nodes() -> list[Node]:
    """The nodes that are up."""
    return [node_of(node) for node in ray.nodes() if node["Alive"]]


def node_of(described: Mapping[str, Any]) -> Node:
    """A node as Ray describes it."""
    has = described["Resources"]
    return Node(cpus=has.get("CPU", 0), gpus=has.get("GPU", 0), is_head=_HEAD in has)


def _with_gpus(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.gpus >= 1]


def _cores_beside_gpus(gpus: float, nodes: Sequence[Node]) -> int:
    """A trial's share of the cores, of the node that has the fewest for one. `nodes` have GPUs."""
    if not nodes:
        do = "Leave it out, or join nodes with GPUs first."
        raise MachineError(
            "`gpus_per_trial`", "no node has a GPU, and none with one may join", got=gpus, do=do
        )
    cores = min(int(node.cpus / node.gpu_shares(gpus)) for node in nodes)
    return max(1, min(_MOST_CORES, cores))


def _cores_of(parallel: int | None, there: Sequence[Node], growth: Growth) -> int:
    """The most cores that each of `parallel` trials without GPUs can have: a trial lies on one
    node. Else one.
    """
    most = max((int(node.cpus) for node in [*there, *growth.nodes]), default=1)
    if parallel is None:
        return 1
    return next(
        (cores for cores in range(most, 1, -1) if _fitting(cores, 0, there, growth) >= parallel), 1
    )


def nodes_once_there_is_a_gpu(gpus: float) -> list[Node]:
    """The nodes that are up, when one with a GPU is among them: how many cores a trial can have is
    not known before.
    """
    ray.get(_nothing.options(num_cpus=0, num_gpus=gpus).remote())
    return alive_nodes()


@ray.remote
def _nothing() -> None:
    """Waits for what it occupies, so that an autoscaler starts a node that has it."""


@ray.remote
def _call(
    function: Callable[..., Any], shared: Any, threads: int, arguments: dict[str, Any]
) -> Any:
    return function(shared, device(), threads, **arguments)


def run_tasks(
    function: Callable[..., Any],
    shared: Any,
    every: Sequence[dict[str, Any]],
    use: Resources,
    progress: Progress = quiet,
    note: Note = silent,
) -> list[Any]:
    """`function(shared, device, threads, **arguments)` for each of `every`, as many at once as
    trials would run.

    Returns what they return, in their order; `progress` is told as they end, in whichever. `shared`
    goes through the object
    store: all processes of a node read one copy. What raises MachineError or loses its worker is
    done again, up to RETRIES times, of which `note` is told; then it raises MachineError, and
    nothing else of them goes on.
    """
    # No retries of Ray's own: a worker that was lost and a store that did not answer are counted
    # together.
    task = _call.options(num_cpus=use.cpus, num_gpus=use.gpus, max_retries=0)
    held = ray.put(shared)
    running = {
        task.remote(function, held, use.cpus, arguments): k for k, arguments in enumerate(every)
    }
    results: dict[int, Any] = {}
    attempts = [1] * len(every)
    progress(0, len(every))
    try:
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            k = running.pop(done)
            try:
                results[k] = result(done, "a task on the cluster", attempts[k])
            except MachineError as error:
                if attempts[k] > RETRIES:
                    raise
                attempts[k] += 1
                running[task.remote(function, held, use.cpus, every[k])] = k
                note(f"tried once more: {error}")
            progress(len(results), len(every))
    finally:
        for left in running:
            ray.cancel(left, force=True)
    return [results[k] for k in range(len(every))]


def result(reference: Any, place: str, attempts: int = RETRIES + 1) -> Any:
    """What a task returned. Raises its SyndetError as it was raised there, and MachineError where
    its worker was lost.

    place     names the task in that error
    attempts  at it, this one included
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SyndetError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        rule = f"lost its worker {counted(attempts, 'time')} ({str(error).splitlines()[0].rstrip('.')})"
        raise MachineError(
            place, rule, do="See `ray status` and the memory of the nodes."
        ) from None


def device() -> str:
    """The device that Ray assigned to the task or trial that asks: "cuda" or "cpu".

    Not torch.cuda.is_available(): Ray does not hide a machine's GPUs from trials that asked for
    none.
    """
    return "cuda" if ray.get_gpu_ids() else "cpu"
