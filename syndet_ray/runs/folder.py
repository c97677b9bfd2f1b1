"""Run folders: reads and writes the files of a run, which are always in the same places.

runs/<sweep>-<time>/
    sweep.json      the resolved sweep
    run.json        how the run was made: seed, data hashes, versions, machine, MLflow ids
    ledger.jsonl    one event a line, appended as it happens; all else can be made from it
    shown.jsonl     what was shown of the run besides its trials, for `attach`
    study.db        the same for optuna-dashboard, made from the ledger
    lock            held by the process that carries the run out
    test.json       scores on the real test set, written when it is opened
    test/           labels and predictions on it: truth.parquet, and for every model
                    predictions-<trial>.parquet and the bootstrap draws of its scores,
                    draws-<trial>.parquet
    samples/        pictures for the report: training images and predictions, PNG with boxes as JSON
    champion/       the best model: model.safetensors, model.json, and the photos that it was
                    trained on, photos.npy; or what a training program of the user saved
    figures/        PNG, and the numbers behind each as CSV and Parquet
    report.html
    report-error.log  why the report could not be written; only if it could not
    error.log       tracebacks of unexpected errors, of attempts at the run and at its trials;
                    only if there were any
    checkpoints/    Ray Tune's own folder: the checkpoints of every trial
"""

import io
import json
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError, MachineError, SyndetError, traceback_text
from syndet_ray.files import (
    make_folder,
    numbered_paths,
    reading,
    whole_folder,
    write_whole,
    writing,
)
from syndet_ray.locks import lock
from syndet_ray.runs.ledger import LEDGER, Ledger, elapsed_s
from syndet_ray.runs.occupancy import periods
from syndet_ray.runs.picture_files import read_pictures, write_pictures
from syndet_ray.runs.results import Picture, TestScores, Trial
from syndet_ray.runs.run import Run, halt_of
from syndet_ray.runs.unreadable import damaged_file, unreadable

_SCORES = TypeAdapter(TestScores)
# for a run that another user has made: the copy goes on with what lies next to it
_DO_COPY = (
    "Copy it into a folder of yours, and resume the copy: cp -r --no-preserve=mode {run} FOLDER/"
)


class RunFolder:
    """Reads and writes one run's folder; `ledger` reads and writes the events."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.ledger = Ledger(self.path)
        self.figures = self.path / "figures"
        self.samples = self.path / "samples"
        self.champion = self.path / "champion"
        self.checkpoints = self.path / "checkpoints"
        self.report = self.path / "report.html"
        self.report_error = self.path / "report-error.log"
        self.error_log = self.path / "error.log"
        self._sweep_file = self.path / "sweep.json"
        self._about_file = self.path / "run.json"
        self._scores_file = self.path / "test.json"
        self._test_tables = self.path / "test"

    @staticmethod
    def create(path: Path, sweep: LoadedSweep, about: Mapping[str, Any]) -> "RunFolder":
        """Creates a new run, as a whole or not at all.

        If something lies at `path` already, such as a run that began in the same second, the folder
        is <path>-2, or the next free number.
        """
        for free in numbered_paths(path):
            if free.exists():
                continue
            try:
                with whole_folder(free) as unfinished:
                    run = RunFolder(unfinished)
                    run.define(sweep)
                    run.describe(about)
            except (OSError, MachineError):
                if not free.exists():
                    raise
                continue  # another process has just made that one
            return RunFolder(free)
        raise AssertionError("numbers do not end")

    @staticmethod
    def open(path: Path) -> "RunFolder":
        """Opens an existing run.

        Raises DataError if the folder is not one of ours, or another version wrote it, and
        MachineError if the system refuses to read it.
        """
        folder = RunFolder(path)
        with reading(path):
            if not folder._sweep_file.is_file():
                raise _no_run_error(path)
            # Raises now, before anything of the run is used, if the run cannot be read.
            _ = folder.sweep
        return folder

    @property
    def sweep(self) -> LoadedSweep:
        """The resolved sweep. Raises DataError for a file that this version cannot read."""
        try:
            return LoadedSweep.model_validate_json(self._sweep_file.read_bytes())
        # SyndetError: from a recipe or space in it
        except (ValidationError, SyndetError) as error:
            raise unreadable(self.path, self._sweep_file, error) from None

    @property
    def about(self) -> dict[str, Any]:
        """Facts about how the run was made. Raises DataError if run.json is damaged."""
        try:
            about = json.loads(self._about_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise damaged_file(self._about_file, error) from None
        if not isinstance(about, dict):
            rule = "must hold a JSON object"
            raise DataError(self._about_file, rule, got=about, do="Copy the run here again.")
        return about

    def define(self, sweep: LoadedSweep) -> None:
        """Writes sweep.json, or replaces it."""
        write_whole(self._sweep_file, sweep.model_dump_json(indent=1).encode())

    def describe(self, about: Mapping[str, Any]) -> None:
        """Writes run.json, or replaces it."""
        write_whole(self._about_file, json.dumps(about, indent=1).encode())

    def log_error(self, error: Exception) -> Path | None:
        """Adds an error's time and traceback to error.log.

        Returns the path of that file; None if it cannot be written.
        """
        return self.log_traceback(traceback_text(error))

    def log_traceback(self, text: str, of: str = "") -> Path | None:
        """Adds the time and a traceback to error.log; returns its path as `log_error` does.

        of  what the error ended, such as "trial 3"
        """
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        head = f"{now}, {of}" if of else now
        try:
            # a traceback shows file names, which need not be valid text
            with self.error_log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{head}\n{text.strip()}\n\n")
        except OSError:
            return None
        return self.error_log

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the run for this process alone; the lock ends with the process, even by a kill.

        On a file system that cannot lock, the run goes on without; `check` has said so. Raises
        MachineError, which names the process, if another one carries the run out, and also if the
        folder of the run can only be read.
        """
        with writing(self.path, _DO_COPY.format(run=shlex.quote(str(self.path)))):
            file = (self.path / "lock").open("a+", encoding="utf-8")
        with file:
            try:
                lock(file.fileno(), wait=False)
            except BlockingIOError:
                rule = f"is being carried out by another process ({self.process_words()})"
                raise MachineError(self.path, rule, do="Wait for it, or stop it.") from None
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def process_words(self) -> str:
        """The process that carries the run out, or did so last: "123 on HOST"; "" if none did."""
        file = self.path / "lock"
        with reading(file):
            return file.read_text(encoding="utf-8").strip() if file.exists() else ""

    def is_carried_out(self) -> bool:
        """True if a process carries the run out, here or on another machine that sees the folder.

        On a file system that cannot lock, it is only known of a process on this machine.
        """
        file = self.path / "lock"
        with reading(file):
            if not file.exists():
                return False
            words = file.read_text(encoding="utf-8").split()
            if words[2:] == [socket.gethostname()] and not _is_process(words[0]):
                return False
            # a lock that we get is released at once: it would refuse a process that begins now
            with file.open(encoding="utf-8") as opened:
                try:
                    return not lock(opened.fileno(), shared=True, wait=False)
                except BlockingIOError:
                    return True

    def note_opening(self) -> int:
        """Notes that the test set will now be opened; returns how often it was opened, with this
        time.
        """
        scores = self.test()
        return self.ledger.note_opening(0 if scores is None else scores.openings)

    def read(self) -> Run:
        """Returns all that was kept of the run, as it stands.

        Raises DataError as `sweep`, `about`, `test` and `trials` do, and if the ledger lacks a
        trial that was scored on the test set; MachineError if the system refuses to read a file.
        """
        with reading(self.path):
            return self._read()

    def _read(self) -> Run:
        events = list(self.ledger.events())
        trials, test = self.ledger.trials_of(events), self.test()
        self._check_complete(trials, test)
        about = self.about
        return Run(
            path=self.path,
            sweep=self.sweep,
            about=about,
            trials=trials,
            test=test,
            elapsed_s=elapsed_s(events),
            halt=halt_of(about, events),
            periods=periods(events, about.get("finished")),
            draws=self.draws,
            pictures=self.pictures,
        )

    def _check_complete(self, trials: Sequence[Trial], test: TestScores | None) -> None:
        """Raises DataError if a scored trial is missing: the folder was copied only in part."""
        numbers = {trial.number for trial in trials}
        for row in () if test is None else test.rows:
            missing = sorted({row.trial, *row.models} - numbers)
            if missing:
                rule = f"has no trial {missing[0]}, which test.json has scores of"
                raise DataError(self.path / LEDGER, rule, do="Copy the run here again.")

    def trials(self) -> tuple[Trial, ...]:
        """Returns every trial, by number. Raises DataError as `Ledger.trials` does."""
        return self.ledger.trials()

    def write_test(self, scores: TestScores) -> None:
        """Writes test.json, or replaces it."""
        write_whole(self._scores_file, _SCORES.dump_json(scores, indent=1, by_alias=True))

    def test(self) -> TestScores | None:
        """Returns the scores on the real test set; None before it was opened.

        Raises DataError if they are no JSON, or another version wrote them.
        """
        if not self._scores_file.exists():
            return None
        try:
            return _SCORES.validate_json(self._scores_file.read_bytes()).cautious()
        except ValidationError as error:
            raise unreadable(self.path, self._scores_file, error) from None

    def write_test_table(self, name: str, table: pa.Table) -> None:
        """Writes a table about the test set, such as predictions, as test/<name>.parquet."""
        make_folder(self._test_tables)
        content = io.BytesIO()
        parquet.write_table(table, content)
        write_whole(self._test_tables / f"{name}.parquet", content.getvalue())

    def draws(self, model: int) -> dict[str, np.ndarray]:
        """Returns bootstrap draws of a model's scores on the test set, (resamples,) each, by
        metric; {} for a run of an earlier version.

        Resample r holds the same images for every model, of any run, that was scored on the same
        test set.
        """
        path = self._test_tables / f"draws-{model}.parquet"
        with reading(path):
            if not path.exists():
                return {}
            table = parquet.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}

    def write_pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        """Writes samples/<name>-<k>.png and samples/<name>.json."""
        write_pictures(self.samples, name, pictures)

    def pictures(self, name: str) -> list[Picture]:
        """Returns the pictures that were written under `name`; [] if there are none."""
        return read_pictures(self.samples, name)


def _is_process(number: str) -> bool:
    """True if a process of this machine has the number."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # that of another user
        return True
    return True


def _no_run_error(path: Path) -> DataError:
    """The error for a path that is no run: perhaps the folder of all runs."""
    do = "Runs lie under runs/."
    address = re.fullmatch(r"(\w+):/+(.*)", str(path))  # a path has lost one of the slashes
    if address and not path.exists():
        do = "Bring the run here with `resume`, or download run/report.html of that address."
        return DataError("://".join(address.groups()), "is not a folder on this machine", do=do)
    if not path.exists():
        below = Path("runs") / path
        if (below / "sweep.json").exists():
            do = f"Write {below}."
        return DataError(path, "does not exist", do=do)
    runs = sorted(file.parent for file in path.glob("*/sweep.json"))
    if runs:
        return DataError(
            path, "holds runs, and is none", do=f"Name one of them, such as {runs[-1]}."
        )
    return DataError(path, "is not the folder of a run (it has no sweep.json)", do=do)
