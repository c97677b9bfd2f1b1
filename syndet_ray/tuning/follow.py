"""Follow: shows a run that another process carries out, from the files of its folder."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from syndet_ray.errors import MachineError
from syndet_ray.runs.event_file import Tail
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ledger import LEDGER
from syndet_ray.runs.results import Trial
from syndet_ray.search.search import Display
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.shown import SHOWN
from syndet_ray.workers.stop import LEAVE_HINT, START_RAY_AGAIN

_LOOK_EVERY_S = 0.3  # a person sees no delay, and reading what is new takes less than a millisecond
# How often in a row no process may carry the run out before it counts as left: there is a moment
# between the making of the folder and its lock.
_LOOKS = 5


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The end of a run that was followed: its outcome, or the error that ended it; neither if the
    process that carried it out is gone.

    has_lost_ray  whether it ended because Ray did, in a run that was sent to a cluster
    """

    outcome: Outcome | None = None
    error: str = ""
    has_lost_ray: bool = False


class Follower:
    """Passes the events of a run to a display, in the order in which they happened.

    Of earlier attempts only the trials are shown, as `resume` shows them.

    open_display  returns a new display for each attempt; it gets the clock that the display must
                  take: while past events are shown, it has their time
    translate     returns the text of a note as it is shown
    """

    def __init__(
        self,
        folder: RunFolder,
        open_display: Callable[[Callable[[], float]], Display],
        translate: Callable[[str], str] = str,
    ) -> None:
        self._folder, self._open_display, self._translate = folder, open_display, translate
        self._ledger, self._shown = Tail(folder.path / LEDGER), Tail(folder.path / SHOWN)
        self._trials: dict[int, Trial] = {}
        self._display: Display | None = None
        self._steps: dict[str, AbstractContextManager[None]] = {}
        self._past: float | None = None  # the time of the event that is being shown
        self.end: Followed | None = None  # of the newest attempt

    def advance(self) -> bool:
        """Shows what has come since the last call; False if nothing has."""
        # The ledger is read last: what is shown may speak of a trial, never the reverse.
        shown = self._shown.new_events()
        events = self._ledger.new_events()
        begins = [event["time"] for event in shown if event["event"] == "attempt"]
        for event in sorted([*events, *shown], key=lambda event: event["time"]):
            is_old = bool(begins) and event["time"] < begins[-1]
            self._past = event["time"]
            self._take(event, is_old=is_old)
        self._past = None
        return bool(events or shown)

    def close(self) -> None:
        """Ends the display."""
        self._steps.clear()
        if self._display is not None:
            self._display.end()
            self._display = None

    def _take(self, event: Mapping[str, Any], *, is_old: bool) -> None:
        if "trial" in event:
            self._take_from_ledger(event)
        elif is_old:
            return
        elif event["event"] in ("outcome", "error"):
            self.end = _end_from(self._folder, event)
        elif event["event"] == "attempt":
            self._begin_attempt()
        elif self._display is not None:
            self._show(self._display, event)

    def _take_from_ledger(self, event: Mapping[str, Any]) -> None:
        number = event["trial"]
        if number is None:  # of the run as a whole
            return
        trial = self._folder.ledger.trial_after(self._trials.get(number), event)
        self._trials[number] = trial
        if self._display is not None:
            self._display.trial(trial)

    def _begin_attempt(self) -> None:
        self.close()
        self.end = None
        self._display = self._open_display(self._now)
        for trial in self._trials.values():
            self._display.trial(trial)

    def _show(self, display: Display, event: Mapping[str, Any]) -> None:
        facts = {key: value for key, value in event.items() if key not in ("event", "time")}
        if event["event"] == "step":
            step = self._steps[event["what"]] = display.step(**facts)
            step.__enter__()
        elif event["event"] == "step_over":
            step_over = self._steps.pop(event["what"], None)
            if step_over is not None:
                step_over.__exit__(None, None, None)
        elif event["event"] == "note":
            display.note(self._translate(facts["text"].removesuffix(LEAVE_HINT)))
        elif event["event"] == "begin":
            display.begin(**facts)
        elif event["event"] == "progress":
            display.progress(**facts)

    def _now(self) -> float:
        return time.time() if self._past is None else self._past


class _Unwritten(MachineError):
    """The error of what MLflow lacks, as the process that carried the run out has said it."""

    def __init__(self, words: str) -> None:
        Exception.__init__(self, words)


def follow(
    folder: RunFolder,
    open_display: Callable[[Callable[[], float]], Display],
    translate: Callable[[str], str] = str,
) -> Followed:
    """Shows a run until it ends, or until no process carries it out any more.

    open_display, translate  as for `Follower`
    """
    follower = Follower(folder, open_display, translate)
    try:
        looks = 0
        while looks < _LOOKS:
            if follower.advance():
                looks = 0
            elif follower.end is not None:
                return follower.end
            elif not folder.is_carried_out():
                looks += 1
            time.sleep(_LOOK_EVERY_S)
    finally:
        follower.close()
    return _end_without_process(folder)


def end_of(folder: RunFolder) -> Followed:
    """Returns how the newest attempt at a run ended, from a copy of its folder."""
    followed, has_lost_ray = Followed(), False
    for event in Tail(folder.path / SHOWN).new_events():
        if event["event"] == "attempt":
            followed, has_lost_ray = Followed(), False
        elif event["event"] == "note":
            has_lost_ray = has_lost_ray or START_RAY_AGAIN in event["text"]
        elif event["event"] in ("outcome", "error"):
            followed = _end_from(folder, event)
    return replace(followed, has_lost_ray=has_lost_ray)


def _end_from(folder: RunFolder, event: Mapping[str, Any]) -> Followed:
    if event["event"] == "error":
        return Followed(error=event["text"])
    facts = {key: value for key, value in event.items() if key not in ("event", "time")}
    facts["unwritten"] = _Unwritten(facts["unwritten"]) if facts["unwritten"] else None
    return Followed(outcome=Outcome(folder=folder, **facts))


def _end_without_process(folder: RunFolder) -> Followed:
    """Returns how a run ended that no process carries out and whose last attempt kept no end; the
    status in run.json counts for a run of a version that kept none.
    """
    status = folder.about.get("status")
    if status is None or (folder.path / SHOWN).exists():
        return Followed()
    is_reported = folder.report.exists()
    why = "its budget is spent"
    return Followed(outcome=Outcome(folder=folder, status=status, why=why, is_reported=is_reported))
