"""UI: MLflow's own web pages, served on this machine, and the addresses in them that show a run's
trials.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from syndet_ray.errors import DataError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking.server import kept_address, mask
from syndet_ray.tracking.view import VIEW_TAG, experiments_link, links

_HOST = "127.0.0.1"
# Without its job runners the server is 2 processes instead of 10.
_FEW_PROCESSES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
_ASK_EVERY_S, _ANSWER_S = 0.1, 5


def newest_run(runs: Path) -> RunFolder | None:
    """The run under a folder that was begun last; None where there is none. What cannot be read is
    passed over.
    """
    begun: list[tuple[float, RunFolder]] = []
    for path in runs.glob("*/sweep.json"):
        folder = RunFolder(path.parent)
        with suppress(OSError, DataError):
            begun.append((folder.about.get("started", 0.0), folder))
    return max(begun, key=lambda run: run[0])[1] if begun else None


def kept_tracking(folder: RunFolder) -> str | None:
    """Where a run's trials are; None for the store that lies beside the run."""
    tracking = folder.about["options"]["tracking"]
    return None if tracking is None else kept_address(tracking)


def addresses(uri: str, server: str, folder: RunFolder | None) -> dict[str, str]:
    """Addresses by what a browser shows there: the trials of a run and their charts, or all
    experiments.

    uri     MLflow's store
    server  whose pages show what is in it

    Raises DataError where the run has no trial yet, and MachineError where the store has nothing of
    it.
    """
    if folder is None:
        return {"trials": experiments_link(server)}
    parent = folder.about.get("mlflow_run")
    if parent is None:
        raise DataError(
            folder.path,
            "has no trial yet",
            do=f"Continue it: python -m syndet_ray resume {folder.path}",
        )
    client = MlflowClient(uri)
    try:
        experiment = client.get_experiment(client.get_run(parent).info.experiment_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise MachineError(
                f"MLflow's store {mask(uri)}", f"cannot be read ({mask(str(error))})"
            ) from None
        rule = f"has nothing of {folder.path}"
        do = f"Name another with `tracking`, or have it written there: python -m syndet_ray resume {folder.path}"
        raise MachineError(f"MLflow's store {mask(uri)}", rule, do=do) from None
    return links(
        server, experiment.experiment_id, parent, has_view=VIEW_TAG + parent in experiment.tags
    )


def local_address(port: int) -> str:
    """Where this machine serves its own pages."""
    return f"http://{_HOST}:{port}"


@contextmanager
def server(
    store: str, artifacts: Path, port: int, say: Callable[[str], object]
) -> Iterator["subprocess.Popen[bytes]"]:
    """MLflow's server on 127.0.0.1, from when it answers until the end of the block.

    Its output before it answers is not shown, unless it ends without an answer. Later output is
    shown at once.

    say  called with each line that is shown

    Raises MachineError where the port is in use, or the server ends before it answers.
    """
    _check_free(port)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        _HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        store,
        "--artifacts-destination",
        artifacts.resolve().as_uri(),
    ]
    # a line for each request would bury the addresses
    command += ["--uvicorn-opts", "--log-level warning"]
    environment = os.environ | _FEW_PROCESSES
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,  # its own: it would answer Ctrl-C with a traceback, and is ended by us
    ) as process:
        words = _Words(process, say)
        try:
            _wait_until_it_answers(process, local_address(port), words)
            words.pass_on()
            yield process
        finally:
            words.drop()
            process.terminate()


class _Words:
    """The output of a program: kept at first, passed on to `say` once it runs, and dropped when it
    is ended.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", say: Callable[[str], object]) -> None:
        assert process.stdout is not None
        self._stream, self._say, self._kept = process.stdout, say, list[str]()
        self._take: Callable[[str], object] = self._kept.append
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def pass_on(self) -> None:
        self._take = self._say

    def drop(self) -> None:
        self._take = lambda line: None

    def say_kept(self) -> None:
        """Says all that was kept of a program that has ended."""
        self._reader.join()
        for line in self._kept:
            self._say(line)

    def _read(self) -> None:
        for line in self._stream:
            self._take(line.decode(errors="replace"))


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # or a server that has just ended still holds it
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            rule = "is in use by another program"
            raise MachineError(
                f"port {port}", rule, do="End that, or choose another with `port`."
            ) from None


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", address: str, words: _Words) -> None:
    while not _answers(address):
        if process.poll() is not None:
            words.say_kept()
            raise MachineError(
                "MLflow's server",
                "ended before it answered; it says why above",
                got=process.returncode,
            )
        time.sleep(_ASK_EVERY_S)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=_ANSWER_S).ok
    except requests.RequestException:
        return False
