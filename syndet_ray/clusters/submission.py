"""Submission: a run that was sent to a cluster, as it lies on the head.

~/syndet_projects/<project>/
    runs/            as on any machine; runs of a project share their cache and MLflow's store
    submitted/<id>/
        files/       what every node gets: code and sweeps; the run's working folder
            given/   assets, weights and whatever else the sweep names
            origins.json  where each path in given/ and data/ comes from
        data/        photos and whatever else the driver alone reads
        output.txt   what the process has printed
        process.json its id, and the run that it continues, "" for a new one
        lock         held by whatever starts it
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from syndet_ray.definitions.program import SENT_FOLDER
from syndet_ray.errors import DataError
from syndet_ray.files import write_whole
from syndet_ray.locks import hold_lock
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.newest import newest_run

# The layout above. cli/head_facts.py repeats it, because the head runs that without this package.
PROJECTS = "syndet_projects"
RUNS, SUBMITTED = "runs", "submitted"
FILES, GIVEN, DATA, ORIGINS = "files", "given", "data", "origins.json"
_ERROR = "syndet_ray: "  # begins the line of an error


def origins_here() -> dict[str, str] | None:
    """Returns the origins of the submission that this process carries out; None if it is none."""
    files = os.environ.get(SENT_FOLDER)
    return None if files is None else Submission(Path(files).parent).origins


class Submission:
    """A submission, on the head itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / FILES
        self.runs = folder.parents[1] / RUNS
        self._output = folder / "output.txt"
        self._process = folder / "process.json"

    def start(self, words: Sequence[str], run: str = "") -> int | None:
        """Starts a command of this program that outlives this process and its terminal.

        run  the folder of the run that it continues; "" for a new one

        Returns the id of the process; None, and starts nothing, if the run still goes on: the new
        process would be refused, and the one that works would be forgotten.
        """
        with hold_lock(self.folder / "lock"):
            if self.is_running or (run and RunFolder(Path(run)).is_carried_out()):
                return None
            return self._start(words, run)

    def _start(self, words: Sequence[str], run: str) -> int:
        self.runs.mkdir(exist_ok=True)
        with self._output.open("wb") as output, _hangup_ignored():
            process = subprocess.Popen(
                [sys.executable, "-m", "syndet_ray", *words],
                cwd=self.files,
                env={**os.environ, SENT_FOLDER: str(self.files)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.returncode = 0  # or Python would warn that it still runs, as it is meant to
        write_whole(self._process, json.dumps({"pid": process.pid, "continues": run}).encode())
        return process.pid

    @property
    def origins(self) -> dict[str, str]:
        """The path on the other machine of each file or folder that was sent, by its absolute path
        here; {} for a submission of an earlier version.
        """
        file = self.files / ORIGINS
        if not file.exists():
            return {}
        origins: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return origins

    @property
    def is_running(self) -> bool:
        """True while the recorded process exists and works in the files.

        Another one may have its number, above all after a restart of the machine.
        """
        if not self._process.exists():
            return False
        try:
            folder = psutil.Process(self._record["pid"]).cwd()
        except psutil.Error:  # it has ended, or is another user's
            return False
        return Path(folder) == self.files.resolve()

    def stop(self) -> bool:
        """Asks the process to end the run in order; False if it has ended already."""
        if not self.is_running:
            return False
        with suppress(ProcessLookupError):
            os.kill(self._record["pid"], signal.SIGTERM)
        return True

    @property
    def began(self) -> float:
        """The time at which the process was started, in seconds since 1970."""
        return self._process.stat().st_mtime

    @property
    def run(self) -> RunFolder | None:
        """The run that the process carries out; None before there is one."""
        if self._record["continues"]:
            return RunFolder(Path(self._record["continues"]))
        newest = newest_run(self.runs)
        if newest is not None and self._began_here(newest):
            return newest
        return self._older_run()

    def _older_run(self) -> RunFolder | None:
        for path in self.runs.glob("*/run.json"):
            run = RunFolder(path.parent)
            with suppress(OSError, DataError):  # of a damaged one
                if self._began_here(run):
                    return run
        return None

    def _began_here(self, run: RunFolder) -> bool:
        """True for a run that began in the files. Raises DataError if run.json is damaged."""
        # a process knows its folder without links, such as that of a home folder elsewhere
        return run.about.get("folder") == str(self.files.resolve())

    def last_line(self) -> str:
        """The last line that the process has printed; "" before the first."""
        lines = self._lines()
        return lines[-1] if lines else ""

    def error(self) -> str:
        """The message of the error that ended the process; its last lines if it showed none."""
        lines = self._lines()
        for number, line in enumerate(lines):
            if line.startswith(_ERROR):
                return "\n".join(lines[number:]).removeprefix(_ERROR)
        return "\n".join(lines[-5:])

    def _lines(self) -> list[str]:
        if not self._output.exists():
            return []
        text = self._output.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    @property
    def _record(self) -> dict[str, Any]:
        try:
            return json.loads(self._process.read_text(encoding="utf-8"))
        except FileNotFoundError:
            do = "Send the sweep again, or resume its run from its address in a bucket."
            raise DataError(self.folder, "was deleted on the head", do=do) from None


@contextmanager
def _hangup_ignored() -> Iterator[None]:
    """Ignores SIGHUP in this block; a process that is started in it ignores it to its end."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
