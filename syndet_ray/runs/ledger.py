"""Ledger: the events of a run, one a line, appended as they happen, and the trials that follow from
them.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from syndet_ray.errors import DefinitionError
from syndet_ray.files import reading
from syndet_ray.runs.event_file import (
    append_whole,
    event_of,
    events_of,
    mend_lines,
    whole_lines,
)
from syndet_ray.runs.results import Trial, after_event
from syndet_ray.runs.unreadable import unreadable

LEDGER = "ledger.jsonl"
_CHECKPOINTS = "checkpoints/"


class Ledger:
    """Reads and writes the ledger of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LEDGER

    def append(self, event: str, trial: int | None, **facts: Any) -> dict[str, Any]:
        """Appends an event of a trial: asked, report, training, checkpoint, retry or ended; or of
        the run: attempt, cluster or opened, with None for the trial.

        Returns the event as it will be read.
        """
        text = json.dumps({"event": event, "trial": trial, "time": time.time(), **facts})
        line = text.encode()
        append_whole(self._path, line + b"\n")
        return event_of(line)

    def begin_attempt(self) -> None:
        """Notes that a process begins to carry the run out, or continues it."""
        self.append("attempt", None)

    def note_opening(self, earlier: int) -> int:
        """Notes that the test set will now be opened; returns how often it was opened, with this
        time.

        earlier: openings before the ledger noted them, in a run of an earlier version
        """
        times = earlier
        for event in self.events():
            if event["event"] == "opened":
                times = event["times"]
        times += 1
        self.append("opened", None, times=times)
        return times

    def mend(self) -> None:
        """Cuts off a last line that a kill left unfinished, so that the next event starts on a line
        of its own.
        """
        mend_lines(self._path)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yields the events so far; a last line without its end is unfinished and does not count.

        Raises DataError for another line that is no event, and MachineError if the system refuses
        to read it.
        """
        if not self._path.exists():
            return
        with reading(self._path):
            content = self._path.read_bytes()
        yield from events_of(content, self._path)

    def content(self) -> bytes:
        """Returns the lines of all events; b"" without any."""
        return whole_lines(self._path.read_bytes()) if self._path.exists() else b""

    def continues(self, ledger: bytes) -> bool:
        """True when `ledger` is an earlier state of this one; its last line may have been copied
        while it was being written.
        """
        return self.content().startswith(whole_lines(ledger))

    def hash_of_beginning(self, size: int) -> str:
        """Returns the SHA-256 of so many bytes: a ledger that goes on from another begins as it."""
        return hashlib.sha256(self.content()[:size]).hexdigest()

    def elapsed_s(self) -> float:
        """Returns how long the run was carried out, all attempts together, up to the last event."""
        return elapsed_s(self.events())

    def trials(self) -> tuple[Trial, ...]:
        """Returns every trial, by number. Raises DataError as `events` and `trial_after` do."""
        return self.trials_of(self.events())

    def trials_of(self, events: Iterable[Mapping[str, Any]]) -> tuple[Trial, ...]:
        """Returns every trial of events that were read from this ledger, by number."""
        trials: dict[int, Trial] = {}
        for event in events:
            number = event["trial"]
            if number is not None:
                trials[number] = self.trial_after(trials.get(number), event)
        return tuple(trials[number] for number in sorted(trials))

    def trial_after(self, trial: Trial | None, event: Mapping[str, Any]) -> Trial:
        """Returns a trial after one more event; a checkpoint in the run's folder has its full path.

        Raises DataError if the recipe breaks a rule of this version.
        """
        try:
            updated = after_event(trial, event)
        except DefinitionError as error:
            place = f"{self._path}, trial {event['trial']}"
            raise unreadable(self._folder, place, error) from None
        checkpoint = updated.checkpoint
        if checkpoint is None or not checkpoint.startswith(_CHECKPOINTS):
            return updated
        return replace(updated, checkpoint=str(self._folder.resolve() / checkpoint))

    def relative(self, address: str) -> str:
        """Returns the address of a checkpoint as the ledger keeps it: relative to the run's folder
        if it lies there, since a run may be moved.
        """
        root = f"{self._folder.resolve()}/"
        return address.removeprefix(root) if address.startswith(root + _CHECKPOINTS) else address


def elapsed_s(events: Iterable[Mapping[str, Any]]) -> float:
    """Returns the seconds from the start of an attempt to its last event, over all attempts."""
    total_s = 0.0
    began: float | None = None
    last = 0.0
    for event in events:
        if event["event"] == "attempt":
            if began is not None:
                total_s += last - began
            began = event["time"]
        last = event["time"]
    return total_s if began is None else total_s + (last - began)
