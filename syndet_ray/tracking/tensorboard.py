"""TensorBoard: writes the search as event files: a folder for each trial, and one for the champion.

Only the driver writes. All events can be made from the ledger, so an attempt that resumes a run
writes every trial again, in place of the old files: no point is lost in a kill, and none appears
twice. The wall clock of such points is that of the later attempt. A thread writes; its first
failure is noted, and the search goes on without event files.
"""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Choice, Simplex
from syndet_ray.folder_names import folder_for
from syndet_ray.metrics import OBJECTIVE, TEST
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.valid_names import trial_name

_CHAMPION = "champion"
# the figures of the report that show photos; TensorBoard has plots of its own for the rest
_PICTURES = ("sheet_training", "best_predictions", "worst_predictions")


class TensorBoard(Listener):
    """Writes one run's `tensorboard` folder. note: called once, if writing fails."""

    def __init__(self, folder: RunFolder, sweep: LoadedSweep, note: Note) -> None:
        self._path = folder.path / "tensorboard"
        self._varied = sweep.parameters.settings()
        self._examples = examples(sweep)
        self._note = note
        # set by the thread, and noted in the next call of a method
        self._failure: Exception | None = None
        self._is_noted = False
        self._thread = ThreadPoolExecutor(1, "tensorboard")
        # only the thread uses these, by the number of the trial
        self._writers: dict[int, _Writer] = {}
        self._rungs: dict[int, int] = {}  # the number of rungs that are written
        self._ended: set[int] = set()
        self._submit(self._begin)

    def update(self, trial: Trial) -> None:
        """Writes the new events of a trial, soon."""
        self._submit(self._write, trial)

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits until everything is written; local files need no limit."""
        self._thread.submit(lambda: None).result()
        self._note_failure()

    def publish(self, folder: RunFolder) -> None:
        """Writes the champion's test scores, and the figures that show photos.

        Called when the report exists.
        """
        self._submit(self._write_champion, folder)
        self.flush()

    def end(self) -> None:
        """Closes all open files; a later attempt writes the unfinished trials."""
        self._submit(self._close)
        self.flush()

    def _submit(self, work: Callable[..., None], *arguments: Any) -> None:
        """Lets the thread do this work, after all earlier work."""
        self._note_failure()
        self._thread.submit(self._attempt, work, *arguments)

    def _attempt(self, work: Callable[..., None], *arguments: Any) -> None:
        """Does the work, and keeps its failure.

        No error here may end a search of hours, and none may be silent.
        """
        if self._failure is not None:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._failure = error

    def _note_failure(self) -> None:
        if self._failure is None or self._is_noted:
            return
        cause = f"{type(self._failure).__name__}: {self._failure}"
        problem = f"TensorBoard: nothing more is written to {self._path} ({cause})"
        self._note(f"{problem}; a later resume writes it again")
        self._is_noted = True

    def _begin(self) -> None:
        """Writes the columns of TensorBoard's HParams table; a trial may lack some of them."""
        experiment, _, _ = hparams(self._examples, {OBJECTIVE: 0.0})
        writer = _Writer(self._path)
        writer.add(experiment, 0)
        writer.close()

    def _write(self, trial: Trial) -> None:
        if trial.number in self._ended:
            return
        writer = self._writers.get(trial.number) or self._start(trial)
        for rung in trial.rungs[self._rungs.get(trial.number, 0) :]:
            writer.add(_scalars(rung.metrics), rung.images)
        self._rungs[trial.number] = len(trial.rungs)
        if trial.state != "RUNNING":
            _, _, end = hparams({}, {})
            writer.add(end, trial.images)
            self._ended.add(trial.number)
            self._writers.pop(trial.number).close()
        else:
            writer.flush()

    def _start(self, trial: Trial) -> "_Writer":
        writer = _Writer(self._path / folder_name(trial))
        self._writers[trial.number] = writer
        _, start, _ = hparams(settings(trial, self._varied), {})
        writer.add(start, 0)
        return writer

    def _write_champion(self, folder: RunFolder) -> None:
        test = folder.test()
        if test is None or test.champion is None:
            return
        champion = next(trial for trial in folder.trials() if trial.number == test.champion)
        scores = _champion_scores(test)
        writer = _Writer(self._path / _CHAMPION)
        writer.add(
            _scalars({f"{TEST}{name}": value for name, value in scores.items()}),
            champion.images,
        )
        for name in _PICTURES:
            path = folder.figures / f"{name}.png"
            if path.exists():
                writer.add(_picture(path), champion.images)
        writer.close()

    def _close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()


class _Writer:
    """The only event file of a folder; it replaces earlier ones."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        old = list(folder.glob("events.out.tfevents.*"))
        suffix = f".{time.time_ns()}"  # so that the name differs from old ones
        self._file = EventsWriter(str(folder / "events"), suffix)
        for path in old:
            path.unlink()
        # A running TensorBoard then forgets the points of the old file.
        start = SessionLog(status=SessionLog.START)
        self._file.write_event(Event(wall_time=time.time(), step=0, session_log=start))

    def add(self, summary: Summary, step: int) -> None:
        self._file.write_event(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def folder_name(trial: Trial) -> str:
    """Returns the folder of a trial's events: "trial-003", or "trial-000 real_only"."""
    return folder_for(trial_name(trial))


def settings(trial: Trial, varied: Sequence[str]) -> dict[str, float | str | bool]:
    """Returns the searched settings of a trial, as numbers and words; every share by itself.

    Settings that its recipe lacks are left out.
    """
    values: dict[str, Any] = {"kind": trial.name or trial.kind}
    of_trial = trial.settings
    for path in varied:
        value = of_trial.get(path)
        if isinstance(value, Mapping):
            for name, share in value.items():
                values[f"{path}/{name}"] = share
        else:
            values[path] = value
    return {path: _plain(value) for path, value in values.items() if value is not None}


def _plain(value: Any) -> float | str | bool:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def examples(sweep: LoadedSweep) -> dict[str, float | str | bool]:
    """Returns a value for every searched setting, by the names of `settings`.

    TensorBoard reads from it which settings are numbers.
    """
    values: dict[str, float | str | bool] = {"kind": "search"}
    for path, parameter in sweep.parameters.items():
        if isinstance(parameter, Simplex):
            values["mix.synthetic"] = 0.0
            for source in parameter.sources:
                if source != REAL:
                    values[f"mix.parts/{source}"] = 0.0
        elif isinstance(parameter, Choice):
            values[path] = _example(parameter.values)
        else:
            values[path] = 0.0
    return values


def _example(values: Sequence[Any]) -> float | str | bool:
    are_numbers = all(isinstance(value, (bool, int, float)) for value in values)
    return values[0] if are_numbers else "any"


def _champion_scores(test: TestScores) -> Mapping[str, float]:
    """Returns the scores of the champion itself; of an older run, the means of its recipe."""
    best = test.row("best")
    assert best is not None
    if test.champion is None:
        return best.metrics
    return test.models.get(test.champion, best.metrics)


def _scalars(metrics: Mapping[str, float]) -> Summary:
    values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
    return Summary(value=values)


def _picture(path: Path) -> Summary:
    png = path.read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    picture = Summary.Image(
        width=width,
        height=height,
        colorspace=3,  # RGB
        encoded_image_string=png,
    )
    return Summary(value=[Summary.Value(tag=path.stem, image=picture)])
