"""Cluster: a connection to Ray, here or elsewhere, and the resources of its nodes for trials."""

import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import ray

from syndet_ray.cores import usable_cores
from syndet_ray.errors import MachineError
from syndet_ray.files import check_writable, make_folder
from syndet_ray.progress import Note, silent
from syndet_ray.search.task import Resources
from syndet_ray.wording import counted
from syndet_ray.workers.autoscaler import NO_GROWTH, Growth, Node, trials_on
from syndet_ray.workers.head import check_head, joining_error
from syndet_ray.workers.own_files import runtime_environment
from syndet_ray.workers.stop import restore_handlers
from syndet_ray.workers.unfit import unfit_nodes

_HEAD = "node:__internal_head__"  # a resource that Ray gives to the head alone
_MOST_CORES = 8  # for a trial with a GPU: more do not feed it faster
# Bytes of a folder in which Ray can start: a socket's path has at most 107, of which up to 68 go to
# "/ray/session_<time>_<process>/sockets/plasma_store".
_LONGEST_TMPDIR = 38
_DO_RAY_TMPDIR = "Set RAY_TMPDIR to a folder that you may write to."
# where Ray looks for the token of a cluster, first to last
_TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_TOKEN_FILE = Path(".ray") / "auth_token"  # in the home folder
_TOKEN_BYTES = 32  # 256 bits cannot be guessed
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # that Linux machines have for temporary files
_RECOUNT_S = 5.0  # nodes take minutes to join, and asking Ray for them takes a millisecond


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Connects to the Ray cluster at `address`, or to a new one on this machine.

    The connection is closed when the block ends. A new cluster asks for a token, which ray.init()
    makes and keeps in the home folder. For `address`, RAY_AUTH_MODE must be the one that the
    cluster asks for.
    """
    with ExitStack() as stack:
        folder = None
        if address is None:
            folder = stack.enter_context(_folder_for_sockets())
            _ensure_token()
        stack.enter_context(_connection(address, folder))
        yield


def _ensure_token() -> None:
    """Makes a token for new clusters of this process if Ray could not keep one in the home folder.

    It stays in the environment: Ray reads it once, and its processes inherit it.
    """
    if any(os.environ.get(name) for name in _TOKEN_VARIABLES):
        return
    try:
        token = Path.home() / _TOKEN_FILE
        if not token.is_file():
            check_writable(token)
    except (OSError, RuntimeError, MachineError):  # RuntimeError: this user has no home folder
        os.environ[_TOKEN_VARIABLES[0]] = secrets.token_hex(_TOKEN_BYTES)


@contextmanager
def _folder_for_sockets() -> Iterator[str | None]:
    """The folder in which a new Ray keeps its files.

    It is None for Ray's choice, or a short link to that folder if its path is too long. The files
    stay in the temporary folder, which may be the only one with room. Raises MachineError if that
    folder cannot be written, or no link can be made.
    """
    temporary = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    check_writable(make_folder(Path(temporary), _DO_RAY_TMPDIR), _DO_RAY_TMPDIR)
    if len(os.fsencode(temporary)) <= _LONGEST_TMPDIR:
        yield None
        return
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
    folders = ", ".join(_SHORT_FOLDERS)
    rule = f"is too long for the sockets of Ray, and {folders} cannot be written"
    do = f"Set RAY_TMPDIR to a folder of at most {_LONGEST_TMPDIR} characters."
    raise MachineError("$TMPDIR", rule, got=temporary, do=do)


@contextmanager
def _connection(address: str | None, folder: str | None) -> Iterator[None]:
    our_handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(address, folder)
    # by SIGTERM: Ray's handler, which replaces ours meanwhile, exits without a message
    except SystemExit:
        ray.shutdown()
        if callable(our_handler):
            restore_handlers({signal.SIGTERM: our_handler})
            our_handler(signal.SIGTERM, None)
        raise
    try:
        # Ray has replaced it by its own, which exits without a message
        if callable(our_handler):
            restore_handlers({signal.SIGTERM: our_handler})
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None, folder: str | None) -> None:
    if address is not None:
        check_head(address)
    _silence_ray()
    try:
        with _hangup_blocked(), without_dashboard() if address is None else nullcontext():
            ray.init(
                # "local", not None: that would join any cluster that once ran here, and wait for it
                # if it is gone.
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=True,
                # Ray would count the cores of the machine, of which this process may have a part
                **({"num_cpus": usable_cores()} if address is None else {}),
                **({} if folder is None else {"_temp_dir": folder}),
                **({} if address is None else runtime_environment()),
            )
    except Exception as error:
        # OSError: from files of Ray in the home or temporary folder; and every ConnectionError.
        # Where a node starts too slowly, Ray raises a plain Exception.
        is_of_ray = isinstance(error, OSError | RuntimeError | ValueError)
        if not is_of_ray and type(error) is not Exception:
            raise
        raise joining_error(address, error) from None


def _silence_ray() -> None:
    """Keeps Ray from printing the log of a lost node, 40 lines, into the display of the run.

    `log_to_driver` does not concern these messages. What they mean for a run, its notes say.
    """
    ray._private.worker.print_to_stdstream = lambda data, ignore_prefix: None


@contextmanager
def without_dashboard() -> Iterator[None]:
    """Keeps Ray from starting the server of its dashboard with a new cluster.

    `include_dashboard=False` leaves only the pages out: the server still starts, and ray.init()
    waits for it. A Ray that starts it by a function of another name starts it as before.
    """
    services = ray._private.services
    start_server = getattr(services, "start_api_server", None)
    services.start_api_server = lambda *_, **__: (None, None)
    try:
        yield
    finally:
        services.start_api_server = start_server


@contextmanager
def _hangup_blocked() -> Iterator[None]:
    """Blocks SIGHUP in this thread and in the processes that it starts; they keep it blocked.

    When a terminal is closed, it sends SIGHUP to them too. They must live until our process has
    ended the run: Ray does the same with SIGINT.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def resources(
    parallel: int | None,
    gpus_per_trial: float | None,
    growth: Growth = NO_GROWTH,
    note: Note = silent,
) -> Resources:
    """Returns the resources of each trial and the number of trials at once.

    If the cluster has GPUs or may get some, a trial gets one GPU and its share of the cores; else
    one core, or as many as `parallel` trials can have. parallel is the number of trials at once;
    None takes as many as will fit once the cluster has grown. Raises MachineError if a trial asks
    for a GPU that no node will ever have.
    """
    nodes = alive_nodes()
    gpus = gpus_per_trial
    if gpus is None:
        gpus = 1.0 if _with_gpus([*nodes, *growth.nodes]) else 0.0
    least = max(1, int(gpus))  # GPUs of a node on which a trial fits
    if gpus > 0 and not growth.is_known and not _with_gpus(nodes, least):
        note(f"waiting for the first node with {_gpu_words(least)}")
        nodes = nodes_once_there_is_a_gpu(gpus)
    processes, share = (least, 1.0) if gpus > 1 else (1, gpus)
    if gpus > 0:
        cpus = _cores_per_gpu_share(share, _with_gpus([*nodes, *growth.nodes], least), least)
    else:
        cpus = _cores_of(parallel, nodes, growth)
    at_once = parallel or trials_at_once(cpus, share, nodes, growth, processes)
    return Resources(cpus=cpus, gpus=share, parallel=at_once, processes=processes)


def trials_at_once(
    cpus: int, gpus: float, nodes: Sequence[Node], growth: Growth, processes: int = 1
) -> int:
    """Returns the number of trials that fit at once, at least 1. `nodes` are up.

    cpus and gpus are the cores and the share of a GPU that each process of a trial takes.
    Trials that wait for a node count too: because they wait, an autoscaler starts it. If it is
    unknown whether there is an autoscaler, a single trial waits.
    """
    fitting = _fitting(cpus, gpus, nodes, growth, processes)
    return max(1, fitting) if growth.is_known else fitting + 1


def _fitting(
    cpus: int, gpus: float, nodes: Sequence[Node], growth: Growth, processes: int = 1
) -> int:
    """Returns the number of trials that fit at once on the nodes that are up or may be up."""
    now = trials_on(nodes, cpus, gpus, processes)
    on_heads = trials_on([node for node in nodes if node.is_head], cpus, gpus, processes)
    return max(now, on_heads + growth.trials(cpus, gpus, processes))


class Capacity:
    """The number of trials that may run at once.

    It is counted again as nodes join and leave, unless the user has fixed it.
    """

    def __init__(self, use: Resources, growth: Growth, *, fixed: bool) -> None:
        self._use, self._growth, self._fixed = use, growth, fixed
        self._trials, self._counted_at = use.parallel, time.monotonic()

    def trials(self) -> int:
        if not self._fixed and time.monotonic() - self._counted_at >= _RECOUNT_S:
            use = self._use
            self._trials = trials_at_once(
                use.cpus, use.gpus, alive_nodes(), self._growth, use.processes
            )
            self._counted_at = time.monotonic()
        return self._trials


def has_spare_cores(use: Resources, growth: Growth = NO_GROWTH) -> bool:
    """True if trials leave cores free, now or on nodes that may join for other work."""
    nodes = alive_nodes()
    trials = min(use.parallel, trials_on(nodes, use.cpus, use.gpus, use.processes))
    spare_cores = sum(node.cpus for node in nodes) - trials * use.cpus * use.processes
    if spare_cores >= 1:
        return True
    without_trials = [
        node for node in growth.nodes if not node.fits(use.cpus, use.gpus, use.processes)
    ]
    return any(node.cpus >= 1 for node in without_trials)


def resource_words(use: Resources, growth: Growth = NO_GROWTH) -> list[str]:
    """Messages on how trials are spread over the cluster, if a user may not expect it."""
    nodes = alive_nodes()
    now = trials_on(nodes, use.cpus, use.gpus, use.processes)
    messages = []
    if not use.gpus and _with_gpus([*nodes, *growth.nodes]):
        messages.append(
            "trials train on CPUs, but the cluster has GPUs: set `gpus_per_trial` 1 to use them"
        )
    elif not use.gpus and not growth.is_known:
        messages.append(
            "trials train on CPUs, because no node has a GPU: "
            "if nodes with GPUs will join, set `gpus_per_trial` 1"
        )
    if growth.nodes and now < use.parallel:
        trials = counted(use.parallel, "trial")
        messages.append(
            f"{trials} may run at once: {now} on the nodes that are up, the rest as nodes join"
        )
    return messages


def alive_nodes() -> list[Node]:
    """Returns the nodes that are up, without those that lack what trials need."""
    unfit = unfit_nodes()
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in unfit]
    return [node_of(node) for node in nodes]


def node_of(description: Mapping[str, Any]) -> Node:
    """Returns a node from Ray's description of it."""
    amounts = description["Resources"]
    return Node(cpus=amounts.get("CPU", 0), gpus=amounts.get("GPU", 0), is_head=_HEAD in amounts)


def _with_gpus(nodes: Sequence[Node], least: int = 1) -> list[Node]:
    return [node for node in nodes if node.gpus >= least]


def _gpu_words(count: int) -> str:
    return "a GPU" if count == 1 else f"{count} GPUs"


def _cores_per_gpu_share(gpus: float, nodes: Sequence[Node], least: int) -> int:
    """Returns the cores of a process, on the node that has the fewest for one process.

    `nodes` have as many GPUs as a trial needs at least, `least`.
    """
    if not nodes:
        words = _gpu_words(least)
        rule = f"no node has {words}, and no node with {words} may join"
        do = "Leave it out, or join nodes with GPUs first."
        if least > 1:
            rule += ": a trial trains on one node"
            do = "Set it to 1: more GPUs train more trials at once."
        raise MachineError("`gpus_per_trial`", rule, got=least if least > 1 else gpus, do=do)
    cores = min(int(node.cpus / node.gpu_shares(gpus)) for node in nodes)
    return max(1, min(_MOST_CORES, cores))


def _cores_of(parallel: int | None, nodes: Sequence[Node], growth: Growth) -> int:
    """Returns the most cores that each of `parallel` trials without GPUs can have; else one.

    A trial runs on one node.
    """
    if parallel is None:
        return 1
    most = max((int(node.cpus) for node in [*nodes, *growth.nodes]), default=1)
    for cores in range(most, 1, -1):
        if _fitting(cores, 0, nodes, growth) >= parallel:
            return cores
    return 1


def nodes_once_there_is_a_gpu(gpus: float) -> list[Node]:
    """Waits for a node with a GPU and returns the nodes that are up.

    Only then is it known how many cores a trial can have.
    """
    ray.get(_nothing.options(num_cpus=0, num_gpus=gpus).remote())
    return alive_nodes()


@ray.remote
def _nothing() -> None:
    """Waits for the resources it occupies, so that an autoscaler starts a node that has them."""
