"""TensorBoard: the search as event files, written by the driver alone. A folder for each trial, and
one for the champion.

All of it can be made from the ledger. An attempt that goes on with a run therefore writes every
trial anew, in place of what an earlier one left: no point is lost to a kill, and none stands there
twice. The wall clock of such points is that of the later attempt. A thread writes; what goes wrong
there is noted once, and the search goes on without.
"""

import io
import math
import re
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
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.metrics import OBJECTIVE, TEST
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.names import trial_name

_CHAMPION = "champion"
_PICTURES = ("sheet_training", "best_predictions", "worst_predictions")  # among the figures


class TensorBoard(Listener):
    """Writes one run's `tensorboard` folder. note: told, once, why nothing more is written."""

    def __init__(self, folder: RunFolder, sweep: LoadedSweep, note: Callable[[str], None]) -> None:
        self._path, self._varied = folder.path / "tensorboard", sweep.parameters.settings()
        self._examples = examples(sweep)
        self._note = note
        self._failure: Exception | None = None  # the thread's; told by whoever calls next
        self._is_told = False
        self._thread = ThreadPoolExecutor(1, "tensorboard")
        self._writers: dict[int, _Writer] = {}  # the thread's own, like what follows
        self._rungs: dict[int, int] = {}  # written, by trial
        self._over: set[int] = set()
        self._soon(self._begin)

    def update(self, trial: Trial) -> None:
        """Has the events brought to where the ledger has a trial, soon."""
        self._soon(self._write, trial)

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits until everything is written, whatever the limit: it lies on this machine."""
        self._thread.submit(lambda: None).result()
        self._tell()

    def publish(self, folder: RunFolder) -> None:
        """Writes what the test set said of the champion, and the pictures among the figures; once
        they are there.
        """
        self._soon(self._write_champion, folder)
        self.flush()

    def end(self) -> None:
        """Closes what is open; unfinished trials are left to a later attempt."""
        self._soon(self._close)
        self.flush()

    def _soon(self, work: Callable[..., None], *arguments: Any) -> None:
        """Has something done, after all that was given before."""
        self._tell()
        self._thread.submit(self._attempt, work, *arguments)

    def _attempt(self, work: Callable[..., None], *arguments: Any) -> None:
        """What goes wrong here must not end a search of hours, whatever it is; nor must it go
        unsaid.
        """
        if self._failure is not None:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._failure = error

    def _tell(self) -> None:
        if self._failure is None or self._is_told:
            return
        cause = f"{type(self._failure).__name__}: {self._failure}"
        self._note(
            f"TensorBoard: no more is written to {self._path} ({cause}); a later resume writes it anew"
        )
        self._is_told = True

    def _begin(self) -> None:
        """What TensorBoard's HParams table shows, for all trials alike: each has some of the
        settings only.
        """
        experiment, _, _ = hparams(self._examples, {OBJECTIVE: 0.0})
        writer = _Writer(self._path)
        writer.add(experiment, 0)
        writer.close()

    def _write(self, trial: Trial) -> None:
        if trial.number in self._over:
            return
        writer = self._writers.get(trial.number) or self._start(trial)
        for rung in trial.rungs[self._rungs.get(trial.number, 0) :]:
            writer.add(_scalars(rung.metrics), rung.images)
        self._rungs[trial.number] = len(trial.rungs)
        if trial.state != "RUNNING":
            _, _, end = hparams({}, {})
            writer.add(end, trial.images)
            self._over.add(trial.number)
            self._writers.pop(trial.number).close()
        else:
            writer.flush()

    def _start(self, trial: Trial) -> "_Writer":
        writer = self._writers[trial.number] = _Writer(self._path / folder_name(trial))
        _, start, _ = hparams(settings(trial, self._varied), {})
        writer.add(start, 0)
        return writer

    def _write_champion(self, folder: RunFolder) -> None:
        test = folder.test()
        if test is None or test.champion is None:
            return
        champion = next(trial for trial in folder.trials() if trial.number == test.champion)
        writer = _Writer(self._path / _CHAMPION)
        writer.add(
            _scalars({f"{TEST}{name}": value for name, value in _champion_scores(test).items()}),
            champion.images,
        )
        for path in (folder.figures / f"{name}.png" for name in _PICTURES):
            if path.exists():
                writer.add(_picture(path), champion.images)
        writer.close()

    def _close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()


class _Writer:
    """The one event file of a folder, in place of any that was there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        old = list(folder.glob("events.out.tfevents.*"))
        # never the name of an old one
        self._file = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        for path in old:
            path.unlink()
        # A TensorBoard that is looking on forgets what it knew from the old file.
        self._file.write_event(
            Event(wall_time=time.time(), step=0, session_log=SessionLog(status=SessionLog.START))
        )

    def add(self, summary: Summary, step: int) -> None:
        self._file.write_event(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def folder_name(trial: Trial) -> str:
    """trial-003, or trial-000 real_only: where the events of a trial lie."""
    return re.sub(r"[^\w\-. ()]", "_", trial_name(trial))


def settings(trial: Trial, varied: Sequence[str]) -> dict[str, float | str | bool]:
    """What the search varied, in this trial: numbers and words; shares one by one. What it has not
    is left out.
    """
    found: dict[str, Any] = {"kind": trial.name or trial.kind}
    values = trial.settings
    for path in varied:
        value = values.get(path)
        found |= (
            {f"{path}/{k}": v for k, v in value.items()}
            if isinstance(value, Mapping)
            else {path: value}
        )
    plain = {
        path: value if isinstance(value, (bool, int, float, str)) else str(value)
        for path, value in found.items()
    }
    return {path: value for path, value in plain.items() if found[path] is not None}


def examples(sweep: LoadedSweep) -> dict[str, float | str | bool]:
    """A value of everything that the search varies, by the names of `settings`: it tells whether
    that is a number.
    """
    found: dict[str, float | str | bool] = {"kind": "search"}
    for path, parameter in sweep.parameters.items():
        if isinstance(parameter, Simplex):
            parts = [name for name in parameter.sources if name != REAL]
            found |= dict.fromkeys(["mix.synthetic", *(f"mix.parts/{name}" for name in parts)], 0.0)
        else:
            found[path] = _example(parameter.values) if isinstance(parameter, Choice) else 0.0
    return found


def _example(values: Sequence[Any]) -> float | str | bool:
    return values[0] if all(isinstance(value, (bool, int, float)) for value in values) else "any"


def _champion_scores(test: TestScores) -> Mapping[str, float]:
    """Of the very model, where it is known; of an older run, the means of its recipe."""
    best = test.row("best")
    assert best is not None
    return (
        test.models.get(test.champion, best.metrics) if test.champion is not None else best.metrics
    )


def _scalars(metrics: Mapping[str, float]) -> Summary:
    return Summary(
        value=[Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
    )


def _picture(path: Path) -> Summary:
    png = path.read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    shown = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=path.stem, image=shown)])
