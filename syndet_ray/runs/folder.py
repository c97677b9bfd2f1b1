"""Run folders: the one on-disk contract of a run. Whatever is written or read of a run passes
through here.

runs/<sweep>-<time>/
    sweep.json      the resolved sweep
    run.json        how the run was made: seed, data hashes, versions, machine, MLflow ids
    ledger.jsonl    one event a line, appended as things happen; everything else can be made from it
    study.db        the same for optuna-dashboard, made from the ledger
    lock            held by whoever carries the run out
    test.json       scores on the real test set, written when it is opened
    test/           what was found there: truth.parquet, and of every model
                    predictions-<trial>.parquet and the bootstrap draws of its scores,
                    draws-<trial>.parquet
    samples/        pictures for the report: training images and predictions, PNG with boxes as JSON
    champion/       the best model: model.safetensors, model.json
    figures/        PNG, and the numbers behind each as CSV and Parquet
    report.html
    checkpoints/    Ray Tune's own folder: the checkpoints of every trial
"""

import errno
import fcntl
import io
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.value import definition_error
from syndet_ray.errors import DataError, DefinitionError, MachineError, SyndetError
from syndet_ray.files import whole_folder, write_whole
from syndet_ray.runs.results import Picture, TestScores, Trial, after_event
from syndet_ray.runs.run import Run

LEDGER = "ledger.jsonl"
_CHECKPOINTS = "checkpoints/"
_SCORES = TypeAdapter(TestScores)


class RunFolder:
    """Reads and writes one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.figures, self.samples = self.path / "figures", self.path / "samples"
        self.champion, self.checkpoints = self.path / "champion", self.path / "checkpoints"
        self.report, self.report_error = self.path / "report.html", self.path / "report-error.log"
        self._ledger = self.path / LEDGER

    @staticmethod
    def create(path: Path, sweep: LoadedSweep, about: Mapping[str, Any]) -> "RunFolder":
        """A new run, which is there whole or not at all.

        Raises MachineError where there is one already.
        """
        if path.exists():
            raise MachineError(path, "is there already", do="Start again in a second.")
        with whole_folder(path) as unfinished:
            run = RunFolder(unfinished)
            run.define(sweep)
            run.describe(about)
        return RunFolder(path)

    @staticmethod
    def open(path: Path) -> "RunFolder":
        """An existing run.

        Raises DataError where the folder is not one of ours, or another version wrote it.
        """
        if not (path / "sweep.json").is_file():
            raise DataError(
                path,
                "is not the folder of a run (it has no sweep.json)",
                do="Runs lie under runs/.",
            )
        folder = RunFolder(path)
        # whether it can be read at all is known before anything of the run is used
        _ = folder.sweep
        return folder

    @property
    def sweep(self) -> LoadedSweep:
        """The resolved sweep. Raises DataError where it is not one of this version's, or no JSON."""
        path = self.path / "sweep.json"
        try:
            return LoadedSweep.model_validate_json(path.read_bytes())
        # a rule of its own, or one of a recipe or space in it
        except (ValidationError, SyndetError) as error:
            raise self._unreadable(path, error) from None

    @property
    def about(self) -> dict[str, Any]:
        """How the run was made. Raises DataError where run.json is damaged."""
        path = self.path / "run.json"
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise _damaged(path, error) from None

    def define(self, sweep: LoadedSweep) -> None:
        """Writes sweep.json anew."""
        write_whole(self.path / "sweep.json", sweep.model_dump_json(indent=1).encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process alone; the lock goes with the process, however that ends.

        Raises MachineError, with the process that holds it, where another carries the run out.
        """
        with (self.path / "lock").open("a+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.seek(0)
                rule = f"is being carried out by another process ({held.read().strip()})"
                raise MachineError(self.path, rule, do="Wait for it, or stop it.") from None
            held.truncate(0)
            held.write(f"{os.getpid()} on {socket.gethostname()}")
            held.flush()
            yield

    def describe(self, about: Mapping[str, Any]) -> None:
        """Writes run.json anew."""
        write_whole(self.path / "run.json", json.dumps(about, indent=1).encode())

    def append(self, event: str, trial: int, **facts: Any) -> dict[str, Any]:
        """One more line of the ledger: asked, report, checkpoint, retry or ended. Returns the event
        as it will be read.
        """
        return self._write({"event": event, "trial": trial, "time": time.time(), **facts})

    def begin_attempt(self) -> None:
        """Notes that somebody begins to carry the run out, or goes on with it."""
        self._write({"event": "attempt", "trial": None, "time": time.time()})

    def note_opening(self) -> int:
        """Notes that the test set is about to be opened; returns how often it then was, in all."""
        before = self.test()  # of an older run, whose ledger does not tell
        told = [event["times"] for event in self.events() if event["event"] == "opened"]
        times = 1 + (told[-1] if told else 0 if before is None else before.openings)
        self._write({"event": "opened", "trial": None, "time": time.time(), "times": times})
        return times

    def elapsed_s(self) -> float:
        """How long the run has been carried out, all attempts together, up to the last event."""
        return _elapsed_s(self.events())

    def _write(self, event: Mapping[str, Any]) -> dict[str, Any]:
        line = json.dumps(event)
        _append_whole(self._ledger, f"{line}\n".encode())
        return _parsed(line)

    def mend(self) -> None:
        """Cuts a last line that a kill left unfinished, so that the next event starts on a line of
        its own.
        """
        if self._ledger.exists():
            text = self._ledger.read_bytes()
            os.truncate(self._ledger, text.rfind(b"\n") + 1)

    def events(self) -> Iterator[dict[str, Any]]:
        """The events so far; a last line without its end was never finished and does not count.

        Raises DataError for another line that is no event.
        """
        if self._ledger.exists():
            for number, line in enumerate(self._ledger.read_text().split("\n")[:-1], start=1):
                try:
                    yield _parsed(line)
                except ValueError as error:
                    raise _damaged(f"{self._ledger}, line {number}", error) from None

    def continues(self, ledger: bytes) -> bool:
        """Whether a ledger is an earlier state of this one; its last line may have been copied
        while it was being written.
        """
        whole = ledger[: ledger.rfind(b"\n") + 1]
        own = self._ledger.read_bytes() if self._ledger.exists() else b""
        return own.startswith(whole)

    def read(self) -> Run:
        """All that was kept of the run, as it stands. Raises DataError as `sweep`, `test` and
        `trials` do.
        """
        events = list(self.events())
        return Run(
            path=self.path,
            sweep=self.sweep,
            about=self.about,
            trials=self._trials_of(events),
            test=self.test(),
            elapsed_s=_elapsed_s(events),
            draws=self.draws,
            pictures=self.pictures,
        )

    def trials(self) -> tuple[Trial, ...]:
        """Every trial of the ledger, by number. Raises DataError as `after` does."""
        return self._trials_of(self.events())

    def _trials_of(self, events: Iterable[Mapping[str, Any]]) -> tuple[Trial, ...]:
        trials: dict[int, Trial] = {}
        for event in events:
            number = event["trial"]
            if number is not None:
                trials[number] = self.after(trials.get(number), event)
        return tuple(trials[number] for number in sorted(trials))

    def after(self, trial: Trial | None, event: Mapping[str, Any]) -> Trial:
        """A trial after one more event; its checkpoint, where that lies in this folder, by its path
        here and now.

        Raises DataError where its recipe is none of this version's.
        """
        try:
            updated = after_event(trial, event)
        except DefinitionError as error:
            place = f"{self._ledger}, trial {event['trial']}"
            raise self._unreadable(place, error) from None
        checkpoint = updated.checkpoint
        if checkpoint is None or not checkpoint.startswith(_CHECKPOINTS):
            return updated
        return replace(updated, checkpoint=str(self.path.resolve() / checkpoint))

    def relative(self, address: str) -> str:
        """The address of a checkpoint as the ledger keeps it: within the folder, which may be
        moved, by the way from it.
        """
        root = f"{self.path.resolve()}/"
        return address.removeprefix(root) if address.startswith(root + _CHECKPOINTS) else address

    def write_test(self, scores: TestScores) -> None:
        write_whole(self.path / "test.json", _SCORES.dump_json(scores, indent=1))

    def test(self) -> TestScores | None:
        """The scores on the real test set; None before it was opened.

        Raises DataError where they are not kept as this version keeps them, or are no JSON.
        """
        path = self.path / "test.json"
        if not path.exists():
            return None
        try:
            return _SCORES.validate_json(path.read_bytes()).cautious()
        except ValidationError as error:
            raise self._unreadable(path, error) from None

    def _unreadable(self, place: object, error: ValidationError | SyndetError) -> DataError:
        """The error of a file of this run that cannot be read: it is damaged, a person changed it,
        or another version wrote it.
        """
        if isinstance(error, SyndetError):
            broken: SyndetError = error
        else:
            first = error.errors()[0]
            if first["type"] == "json_invalid":
                return _damaged(place, first["ctx"]["error"])
            broken = definition_error("", error)
        # Its first sentence: the hints after it are for somebody who writes a sweep.
        reason = f"{broken.place}: {broken.rule}".lstrip(": ").partition(". ")[0]
        rule = f"is not what this version of syndet_ray writes: {reason}"
        do = f"Open the run with the version that wrote it{self._writer()}, or copy it here again."
        return DataError(place, rule, do=do)

    def _writer(self) -> str:
        """The version that wrote the run and the day, as far as run.json tells: ", 0.1.0 as of
        2026-11-24" or nothing.
        """
        try:
            about = self.about
            version, started = (
                about["versions"]["syndet_ray"],
                time.localtime(float(about["started"])),
            )
        except (OSError, SyndetError, ValueError, KeyError, TypeError, OverflowError):
            return ""
        if not isinstance(version, str):
            return ""
        # The day as well: many versions in a checkout have one number.
        return f", {version} as of {time.strftime('%Y-%m-%d', started)}"

    def write_found(self, name: str, table: pa.Table) -> None:
        """Keeps a table of what the test set showed, as test/<name>.parquet."""
        (self.path / "test").mkdir(exist_ok=True)
        whole = io.BytesIO()
        parquet.write_table(table, whole)
        write_whole(self.path / "test" / f"{name}.parquet", whole.getvalue())

    def draws(self, model: int) -> dict[str, np.ndarray]:
        """Bootstrap draws of a model's scores on the test set, (resamples,) each, by metric; none
        of an older run.

        Resample r holds the same images for every model, of whichever run, that met the same test
        set.
        """
        path = self.path / "test" / f"draws-{model}.parquet"
        if not path.exists():
            return {}
        table = parquet.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}

    def write_pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        """samples/<name>-<k>.png and samples/<name>.json."""
        self.samples.mkdir(exist_ok=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture.image).save(self.samples / f"{name}-{k}.png")
        write_whole(
            self.samples / f"{name}.json",
            json.dumps([_boxes_of(picture) for picture in pictures]).encode(),
        )

    def pictures(self, name: str) -> list[Picture]:
        """The pictures written under `name`; none where there are none."""
        path = self.samples / f"{name}.json"
        return (
            [
                _picture(self.samples / f"{name}-{k}.png", boxes)
                for k, boxes in enumerate(json.loads(path.read_text()))
            ]
            if path.exists()
            else []
        )


def _elapsed_s(events: Iterable[Mapping[str, Any]]) -> float:
    total, began, last = 0.0, None, 0.0
    for event in events:
        if event["event"] == "attempt":
            total, began = total + (0.0 if began is None else last - began), event["time"]
        last = event["time"]
    return total + (0.0 if began is None else last - began)


def _append_whole(path: Path, line: bytes) -> None:
    """Appends a line, or nothing of it: after half a line, on a full disk, nothing could be read
    any more.
    """
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            written = file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except BaseException:
            os.truncate(path, before)
            raise


def _damaged(place: object, reason: object) -> DataError:
    """What cannot be read: a copy was cut short, or somebody changed it."""
    return DataError(place, f"is not JSON ({reason})", do="Copy the run here again.")


def _parsed(line: str) -> dict[str, Any]:
    """An event. The names in it are shared by all: of a hundred settings a trial, they take more
    memory than the values.
    """
    return json.loads(
        line, object_pairs_hook=lambda pairs: {sys.intern(name): value for name, value in pairs}
    )


def _boxes_of(picture: Picture) -> dict[str, Any]:
    return {
        "xyxy": np.round(picture.xyxy, 2).tolist(),
        "names": picture.names,
        "scores": picture.scores,
        "truth": None if picture.truth is None else np.round(picture.truth, 2).tolist(),
        "truth_names": picture.truth_names,
    }


def _picture(path: Path, boxes: Mapping[str, Any]) -> Picture:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    truth = None if boxes["truth"] is None else np.array(boxes["truth"], np.float32).reshape(-1, 4)
    scores = None if boxes["scores"] is None else tuple(boxes["scores"])
    return Picture(
        image=pixels,
        xyxy=np.array(boxes["xyxy"], np.float32).reshape(-1, 4),
        names=tuple(boxes["names"]),
        scores=scores,
        truth=truth,
        truth_names=tuple(boxes["truth_names"]),
    )
