"""Checkpoints: decides which checkpoints of a run may still be needed, and deletes all others. No
other module deletes finished ones.

A thread deletes, so that nothing waits for a remote store. An error there is noted once, and the
search goes on.
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

# Names of checkpoint folders begin with these: Ray Tune's, those of workers.local, and its copies
# that a kill left incomplete.
_NAMES = ("checkpoint_", "images-", ".")


def needed_trials(trials: Sequence[Trial], sweep: LoadedSweep) -> set[int]:
    """The numbers of the trials whose newest checkpoint may still be needed.

    Unfinished trials continue from it. The test set scores all controls, variants and confirmations
    that finished and, if nothing is confirmed, the best of the search. A sweep with several goals
    asks for their front. A trial of the search that is no longer among the best or in the front
    never comes back, however far the search is extended.
    """
    kept = [*finalists(trials, sweep.confirm.top)]
    for trial in trials:
        is_scored = trial.state == "COMPLETE" and trial.role != "search"
        if is_scored or trial.state == "RUNNING":
            kept.append(trial)
    if len(sweep.goals) > 1:
        kept += pareto_front(trials, sweep.objective, sweep.goals)
    return {trial.number for trial in kept}


class Checkpoints(Listener):
    """Follows a search, and deletes the checkpoints that are no longer needed.

    Of an unfinished trial the newest `KEPT_CHECKPOINTS` stay. The runner of the trials does not
    delete older ones: Tune would write the state of all trials, and wait for that, at every other
    checkpoint.

    home     the folder or s3:// address under which the run's checkpoints lie
    note     receives the reason if some cannot be deleted
    secure   called before any checkpoint of an ended trial is deleted: makes sure that a driver
             that resumes the run knows which trials have ended; True if this driver may delete
    is_ours  called before each deletion: True if this driver may delete at this moment
    """

    def __init__(
        self,
        home: str,
        sweep: LoadedSweep,
        note: Note,
        secure: Callable[[], bool] = lambda: True,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._address = inside(home, "checkpoints")
        self._sweep, self._note = sweep, note
        self._secure, self._is_ours = secure, is_ours
        self._trials: dict[int, Trial] = {}
        self._kept: dict[int, list[str]] = {}  # of each unfinished trial, oldest first
        self._outbox = Outbox("checkpoints", self._note_failure)
        # Only the thread uses this. By ended trial: the checkpoint that it keeps, and its newest.
        self._done: dict[int, tuple[str | None, str | None]] = {}

    def update(self, trial: Trial) -> None:
        """Receives a trial from the ledger; the thread soon deletes what is no longer needed."""
        self._trials[trial.number] = trial
        if trial.state != "RUNNING":
            self._kept.pop(trial.number, None)
            self._outbox.put("deletion", self._tidy)
        elif trial.checkpoint is not None:
            self._keep(trial.number, trial.checkpoint)

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits at most limit_s until everything that can be is deleted; a note says if that was
        too short. The rest is left to `resume`.
        """
        self._outbox.put("deletion", self._tidy)
        missing = self._outbox.wait(0.0, limit_s)
        self._outbox.close()
        if missing and not any(missing.values()):
            reason = f"which did not answer within {limit_s:g} s"
            self._note(f"old checkpoints stay at {self._address}, {reason}: resume deletes them")

    def _note_failure(self, error: Exception) -> None:
        self._note(f"checkpoints that are no longer needed stay: {message(error)}")

    def _keep(self, number: int, checkpoint: str) -> None:
        """Keeps one more checkpoint of a trial; the thread deletes the oldest of too many."""
        kept = self._kept.setdefault(number, [])
        if checkpoint not in kept:
            kept.append(checkpoint)
        if len(kept) > KEPT_CHECKPOINTS:
            old = kept.pop(0)
            self._outbox.put(old, partial(self._delete_old, number, old))

    def _delete_old(self, number: int, checkpoint: str) -> None:
        # a trial that started again uses the same folders
        is_new_again = checkpoint in self._kept.get(number, ())
        if not is_new_again:
            store, path = filesystem(checkpoint)
            self._delete(store, path)

    def _tidy(self) -> None:
        changed = self._changed_trials()
        if changed and self._secure():
            self._delete_all_but({number: left for number, (left, _) in changed.items()})
            if self._is_ours():
                self._done |= changed

    def _changed_trials(self) -> dict[int, tuple[str | None, str | None]]:
        """The ended trials that have checkpoints to delete: the one that each keeps, and its
        newest.
        """
        trials = list(self._trials.values())
        kept = needed_trials(trials, self._sweep)
        changed = {}
        for trial in trials:
            if trial.state != "RUNNING":
                newest = _newest(trial)
                wanted = (newest if trial.number in kept else None, newest)
                if self._done.get(trial.number) != wanted:
                    changed[trial.number] = wanted
        return changed

    def _delete_all_but(self, left: dict[int, str | None]) -> None:
        """Deletes all checkpoints of these trials, except the one given for each."""
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
        """Deletes one checkpoint, unless another driver may have the run: it may continue from
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
    """The number of a trial's folder, "trial-007", or "trial-007-a1b2" with Ray Tune's id of an
    attempt; None for any other folder.
    """
    kind, _, rest = folder.partition("-")
    number = rest.partition("-")[0]
    return int(number) if kind == "trial" and number.isdigit() else None
