"""Shown: keeps what a display was told of a run, so that `attach` can show the same.

The ledger has the trials. The rest, such as notes and counted scenes, goes to shown.jsonl, one
event a line: attempt, note, begin, progress, step, step_over, and last an outcome or an error.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from syndet_ray.errors import message
from syndet_ray.runs.event_file import append_whole, mend_lines
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.search.search import Display
from syndet_ray.tuning.options import Outcome

SHOWN = "shown.jsonl"
# how often one count is kept: a display draws as often, and thousands of scenes have a line each
_EVERY_S = 0.5


class Recorder:
    """A display that passes all on to another one, and keeps it in the folder of the run.

    Until there is a folder it holds the events back. A disk that cannot be written loses them and
    nothing else: they change nothing about the run.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.time) -> None:
        self._display, self._clock = display, clock
        self._folder: RunFolder | None = None
        self._waiting: list[str] = []
        self._counted: dict[str, float] = {}  # when a count was kept last, by what is counted
        self._writing = threading.Lock()  # notes come from any thread
        self._keep("attempt")

    def keep_in(self, folder: RunFolder) -> None:
        """Writes the events so far into the folder of the run, and from now on each at once."""
        with self._writing:
            self._folder = folder
            with suppress(OSError):
                mend_lines(folder.path / SHOWN)  # which a kill may have left unfinished
            self._write(self._waiting)
            self._waiting = []

    def note(self, text: str) -> None:
        self._keep("note", text=text)
        self._display.note(text)

    def begin(self, trials: int, images: int) -> None:
        self._keep("begin", trials=trials, images=images)
        self._display.begin(trials, images)

    def trial(self, trial: Trial) -> None:
        self._display.trial(trial)

    def progress(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if done == total or now - self._counted.get(what, 0.0) >= _EVERY_S:
            self._counted[what] = now
            self._keep("progress", what=what, done=done, total=total)
        self._display.progress(what, done, total)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self._keep("step", what=what)
        try:
            with self._display.step(what):
                yield
        finally:
            self._keep("step_over", what=what)

    def end(self) -> None:
        self._display.end()

    def outcome(self, outcome: Outcome) -> None:
        """Keeps how the attempt ended; nothing comes after it."""
        facts = vars(outcome) | {"unwritten": str(outcome.unwritten or "")}
        del facts["folder"]  # which may be moved
        self._keep("outcome", **facts)

    def error(self, error: Exception) -> None:
        """Keeps the error that ended the attempt, with its notes."""
        notes = getattr(error, "__notes__", [])
        self._keep("error", text=" ".join([message(error), *notes]))

    def _keep(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "time": self._clock(), **facts})
        with self._writing:
            if self._folder is None:
                self._waiting.append(line)
            else:
                self._write([line])

    def _write(self, lines: list[str]) -> None:
        assert self._folder is not None
        text = "".join(f"{line}\n" for line in lines)
        with suppress(OSError):
            append_whole(self._folder.path / SHOWN, text.encode())
