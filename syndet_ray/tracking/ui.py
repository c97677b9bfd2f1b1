"""UI: serves MLflow's own web pages on this machine, and finds the pages of a run's trials."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from syndet_ray.errors import DataError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.run import resume_command
from syndet_ray.tracking.address import kept_address, mask
from syndet_ray.tracking.server import ServerAway, bypass_proxy, check_server
from syndet_ray.tracking.store import has_tables, named_failures, store_client
from syndet_ray.tracking.view import VIEW_TAG, experiments_link, links

_HOST = "127.0.0.1"
# Without its job runners the server is 2 processes instead of 10.
_FEW_PROCESSES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
# The server is asked so often while it starts, and each answer may take so long: a person waits.
_ASK_EVERY_S, _ANSWER_S = 0.1, 5


def kept_tracking(folder: RunFolder) -> str | None:
    """Returns the address of a run's MLflow store; None for the store in the folder of the runs."""
    tracking = folder.about["options"]["tracking"]
    return None if tracking is None else kept_address(tracking)


def check_kept_server(uri: str, folder: RunFolder | None) -> None:
    """Raises MachineError unless the tracking server of a run answers; says where its report is."""
    try:
        check_server(uri)
    except ServerAway as error:
        if folder is None or not folder.report.exists():
            raise
        do = f"The run was recorded there. Start it, or see the run's own report: {folder.report}"
        raise MachineError(error.place, error.rule, do=do) from None


def addresses(uri: str, server: str, folder: RunFolder | None) -> dict[str, str]:
    """Returns the addresses "trials" and "charts" of a run.

    Without a run there is only "trials", the page of all experiments.

    uri     of MLflow's store
    server  the address of the server whose pages show that store

    Raises DataError if the run has not begun in MLflow, and MachineError if the store does not
    have it.
    """
    if folder is None:
        return {"trials": experiments_link(server)}
    parent = folder.about.get("mlflow_run")
    if parent is None:
        do = f"Continue it: {resume_command(folder.path, folder.about)}"
        raise DataError(folder.path, "is not in MLflow yet", do=do)
    client = store_client(uri)
    try:
        run = client.get_run(parent)
        experiment = client.get_experiment(run.info.experiment_id)
    except MlflowException as error:
        raise _read_error(uri, error, folder) from None
    if LifecycleStage.DELETED in (run.info.lifecycle_stage, experiment.lifecycle_stage):
        rule = f"shows nothing of {folder.path}: its runs there are deleted"
        do = f"This restores them: {resume_command(folder.path, folder.about)}"
        raise MachineError(f"MLflow's store {mask(uri)}", rule, do=do)
    has_view = VIEW_TAG + parent in experiment.tags
    return links(server, experiment.experiment_id, parent, has_view=has_view)


def has_run(uri: str, folder: RunFolder) -> bool:
    """True if a store has something of a run. Makes no store; raises MachineError."""
    parent = folder.about.get("mlflow_run")
    with named_failures(uri):
        if parent is None or not has_tables(uri):
            return False
        try:
            store_client(uri).get_run(parent)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
    return True


def _read_error(uri: str, error: MlflowException, folder: RunFolder) -> MachineError:
    place = f"MLflow's store {mask(uri)}"
    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
        return MachineError(place, f"cannot be read ({mask(str(error))})")
    do = (
        "Name another with `tracking`, or have it written there: "
        f"{resume_command(folder.path, folder.about)}"
    )
    return MachineError(place, f"has nothing of {folder.path}", do=do)


def local_address(port: int) -> str:
    """Returns the address of the server on this machine."""
    return f"http://{_HOST}:{port}"


@contextmanager
def server(
    store: str, artifacts: Path, port: int, say: Callable[[str], object]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs MLflow's server on 127.0.0.1, from its first answer until the end of the block.

    Its output before the first answer is shown only if it ends without one. Later output is shown
    at once.

    say  called with each line to show

    Raises MachineError if the port is in use, or the server ends before it answers.
    """
    _check_free(port)
    bypass_proxy(local_address(port))
    options = {
        "--host": _HOST,
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": store,
        "--artifacts-destination": artifacts.resolve().as_uri(),
        "--uvicorn-opts": "--log-level warning",  # a line for each request would hide the addresses
    }
    command = [sys.executable, "-m", "mlflow", "server"]
    for option, value in options.items():
        command += [option, value]
    with subprocess.Popen(
        command,
        env=os.environ | _FEW_PROCESSES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,  # its own, so that Ctrl-C, which it answers with a traceback, misses it
    ) as process:
        output = _Output(process, say)
        try:
            _wait_until_it_answers(process, local_address(port), output)
            output.pass_on()
            yield process
        finally:
            output.drop()
            process.terminate()


class _Output:
    """The output of a program: first kept, then passed on to `say`, at the end dropped."""

    def __init__(self, process: "subprocess.Popen[bytes]", say: Callable[[str], object]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._say = say
        self._kept: list[str] = []
        self._take: Callable[[str], object] = self._kept.append
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def pass_on(self) -> None:
        self._take = self._say

    def drop(self) -> None:
        self._take = lambda line: None

    def say_kept(self) -> None:
        """Passes on the kept lines of a program that has ended."""
        self._reader.join()
        for line in self._kept:
            self._say(line)

    def _read(self) -> None:
        for line in self._stream:
            self._take(line.decode(errors="replace"))


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # otherwise the port of a server that has just ended counts as in use
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            rule = "is in use by another program"
            do = "End that program, or give another `port`."
            raise MachineError(f"port {port}", rule, do=do) from None


def _wait_until_it_answers(
    process: "subprocess.Popen[bytes]", address: str, output: _Output
) -> None:
    while not _answers(address):
        if process.poll() is not None:
            output.say_kept()
            rule = "ended before it answered; its output above says why"
            raise MachineError("MLflow's server", rule, got=process.returncode)
        time.sleep(_ASK_EVERY_S)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=_ANSWER_S).ok
    except requests.RequestException:
        return False
