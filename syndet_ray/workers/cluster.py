"""Cluster: a connection to Ray, on this machine or elsewhere."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import ray

from syndet_ray.cores import usable_cores
from syndet_ray.errors import MachineError
from syndet_ray.files import check_writable, make_folder
from syndet_ray.workers.auth_token import ensure_token
from syndet_ray.workers.head import check_head, joining_error
from syndet_ray.workers.nodes.own_files import runtime_environment
from syndet_ray.workers.stop import restore_handlers

# Bytes of a folder in which Ray can start: a socket's path has at most 107, of which up to 68 go to
# "/ray/session_<time>_<process>/sockets/plasma_store".
_LONGEST_TMPDIR = 38
_DO_RAY_TMPDIR = "Set RAY_TMPDIR to a folder that you may write to."
_TMPDIR_VARIABLES = ("RAY_TMPDIR", "TMPDIR")  # the first that is set names Ray's folder
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # that Linux machines have for temporary files


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Connects to the Ray cluster at `address`, or to a new one on this machine.

    The connection is closed when the block ends. A new cluster asks for a token, which ray.init()
    makes and keeps in the home folder. For `address`, RAY_AUTH_MODE must be the one that the
    cluster asks for; `auto` needs no variable.
    """
    with ExitStack() as stack:
        folder = None
        if address is None:
            folder = stack.enter_context(_folder_for_sockets())
            ensure_token()
        stack.enter_context(_connection(address, folder))
        yield


@contextmanager
def _folder_for_sockets() -> Iterator[str | None]:
    """The folder in which a new Ray keeps its files.

    It is None for Ray's choice, or a short link to that folder if its path is too long. The files
    stay in the temporary folder, which may be the only one with room. Raises MachineError if that
    folder cannot be written, or no link can be made.
    """
    variables = (name for name in _TMPDIR_VARIABLES if os.environ.get(name))
    variable = next(variables, None)
    temporary = "/tmp" if variable is None else os.environ[variable]
    check_writable(make_folder(Path(temporary), _DO_RAY_TMPDIR), _DO_RAY_TMPDIR)
    if variable is None or len(os.fsencode(temporary)) <= _LONGEST_TMPDIR:
        yield None
        return
    link = Path(_new_short_folder(variable)) / "r"
    link.symlink_to(os.path.abspath(temporary))
    try:
        yield str(link)
    finally:
        with suppress(OSError):
            link.unlink()
            link.parent.rmdir()


def _new_short_folder(variable: str) -> str:
    """Makes a folder with a short path, instead of the one that a variable names."""
    for short in _SHORT_FOLDERS:
        with suppress(OSError):
            return tempfile.mkdtemp(prefix="syndet-", dir=short)
    folders = ", ".join(_SHORT_FOLDERS)
    rule = f"is too long for the sockets of Ray, and {folders} cannot be written"
    do = f"Set RAY_TMPDIR to a folder of at most {_LONGEST_TMPDIR} characters."
    raise MachineError(f"${variable}", rule, got=os.environ[variable], do=do)


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
