"""Checkpoints: which of a run's may still be needed, and the deletion of all others. No other
module deletes finished ones.

A thread deletes, so that a store far away holds nobody up. What goes wrong there is noted once, and
the search goes on.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath

from pyarrow import fs

from syndet_ray.analysis.selection import finalists, pareto_front
from syndet_ray.data.storage import filesystem, inside
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import message
from syndet_ray.progress import Note
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener
from syndet_ray.search.task import KEPT_CHECKPOINTS
from syndet_ray.tracking.outbox import Outbox

# What the folders of checkpoints begin with: Ray Tune's, those of workers.local, and its copies
# that a kill left half done.
_NAMES = ("checkpoint_", "images-", ".")


def needed(trials: Sequence[Trial], sweep: LoadedSweep) -> set[int]:
    """The trials whose newest checkpoint may still be needed, by number.

    Unfinished ones go on from it. The test set meets whatever finished of the controls, variants
    and confirmations, and where nothing is confirmed the best of the search; the front of several
    goals is what such a sweep is asked for. A trial of the search that others have pushed out of
    the best or the front never comes back, however far the search is extended.
    """
    kept = {trial.number for trial in trials if trial.state == "RUNNING"}
    kept |= {
        trial.number for trial in trials if trial.state == "COMPLETE" and trial.role != "search"
    }
    kept |= {trial.number for trial in finalists(trials, sweep.confirm.top)}
    if len(sweep.goals) > 1:
        kept |= {trial.number for trial in pareto_front(trials, sweep.objective, sweep.goals)}
    return kept


class Checkpoints(Listener):
    """Follows a search, and deletes the checkpoints that nobody needs any more.

    Of an unfinished trial the newest `KEPT_CHECKPOINTS` stay. What was saved before them, whoever
    runs the trials leaves to
    this: Tune would write the state of all trials, and wait for it, at every other checkpoint.

    home     the folder or s3:// address under which the run's checkpoints lie
    note     told why some stay
    secure   called before any of an ended trial is deleted: makes sure that whoever goes on with
             the run knows which trials have ended, and says whether this driver may delete at all
    is_ours  whether this driver may delete at this moment, asked before each deletion
    """

    def __init__(
        self,
        home: str,
        sweep: LoadedSweep,
        note: Note,
        secure: Callable[[], bool] = lambda: True,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._address, self._sweep, self._secure, self._is_ours = (
            inside(home, "checkpoints"),
            sweep,
            secure,
            is_ours,
        )
        self._note = note
        self._trials: dict[int, Trial] = {}
        self._kept: dict[int, list[str]] = {}  # of each unfinished trial, oldest first
        self._outbox = Outbox("checkpoints", self._note_failure)
        # The thread's own: of each ended trial what it was to leave, and the newest checkpoint
        # there was.
        self._done: dict[int, tuple[str | None, str | None]] = {}

    def update(self, trial: Trial) -> None:
        """Takes a trial as the ledger has it; what is no longer needed is deleted soon."""
        self._trials[trial.number] = trial
        if trial.state != "RUNNING":
            self._kept.pop(trial.number, None)
            self._outbox.put("deletion", self._tidy)
        elif trial.checkpoint is not None:
            self._keep(trial.number, trial.checkpoint)

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits until all is deleted that can be, at most limit_s; says so where that was too
        short.
        """
        self._outbox.put("deletion", self._tidy)
        missing = self._outbox.wait(0.0, limit_s)
        if missing and not any(missing.values()):
            words = f"old checkpoints are left at {self._address}, which did not answer within {limit_s:g} s"
            self._note(f"{words}: resume deletes them")

    def _note_failure(self, error: Exception) -> None:
        self._note(
            f"checkpoints that nobody needs any more are left where they are: {message(error)}"
        )

    def _keep(self, number: int, checkpoint: str) -> None:
        """Keeps one more checkpoint of a trial, and has the oldest deleted where there are too
        many.
        """
        kept = self._kept.setdefault(number, [])
        if checkpoint not in kept:
            kept.append(checkpoint)
        if len(kept) > KEPT_CHECKPOINTS:
            old = kept.pop(0)
            self._outbox.put(old, partial(self._delete_old, number, old))

    def _delete_old(self, number: int, checkpoint: str) -> None:
        # of a trial that began anew, in the same folders
        has_come_again = checkpoint in self._kept.get(number, ())
        if not has_come_again:
            store, path = filesystem(checkpoint)
            self._delete(store, path)

    def _tidy(self) -> None:
        changed = self._changed()
        if changed and self._secure():
            self._delete_all_but({number: left for number, (left, _) in changed.items()})
            if self._is_ours():
                self._done |= changed

    def _changed(self) -> dict[int, tuple[str | None, str | None]]:
        """Of each ended trial that is not as it should be: what it is to leave, and its newest
        checkpoint.
        """
        trials = list(self._trials.values())
        kept = needed(trials, self._sweep)
        newest = {trial.number: _newest(trial) for trial in trials if trial.state != "RUNNING"}
        wanted = {
            number: (name if number in kept else None, name) for number, name in newest.items()
        }
        return {number: left for number, left in wanted.items() if self._done.get(number) != left}

    def _delete_all_but(self, left: dict[int, str | None]) -> None:
        """Deletes all checkpoints of these trials but one of each, or none."""
        store, root = filesystem(self._address)
        for folder in _folders(store, root):
            number = _number(folder.base_name)
            if number is None or number not in left:
                continue
            for checkpoint in _folders(store, folder.path):
                name = f"{folder.base_name}/{checkpoint.base_name}"
                if checkpoint.base_name.startswith(_NAMES) and name != left[number]:
                    self._delete(store, checkpoint.path)

    def _delete(self, store: fs.FileSystem, path: str) -> None:
        """Deletes one checkpoint, unless another driver may have the run: that one may go on from
        it.
        """
        if self._is_ours():
            with suppress(FileNotFoundError):
                store.delete_dir(path)


def _folders(store: fs.FileSystem, path: str) -> Iterator[fs.FileInfo]:
    for entry in store.get_file_info(fs.FileSelector(path, allow_not_found=True)):
        if entry.type == fs.FileType.Directory:
            yield entry


def _newest(trial: Trial) -> str | None:
    """The newest checkpoint of a trial as "trial-007-a1b2/checkpoint_000003": its folder within
    that of the trial.
    """
    if trial.checkpoint is None:
        return None
    is_address = "://" in trial.checkpoint  # a path may have a question mark in it
    place = trial.checkpoint.partition("?")[0] if is_address else trial.checkpoint
    return "/".join(PurePosixPath(place).parts[-2:])


def _number(folder: str) -> int | None:
    """Which trial a folder is of: "trial-007", or "trial-007-a1b2" with Ray Tune's id of an
    attempt; None for any other.
    """
    kind, _, rest = folder.partition("-")
    number = rest.partition("-")[0]
    return int(number) if kind == "trial" and number.isdigit() else None
