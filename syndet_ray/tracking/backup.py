"""Backup: a copy of a run's own files on S3, beside its checkpoints, so that the run outlives the
head node.

Of several drivers, on whichever machines, one at a time carries out a run that has such a copy: it
holds the run's lease.
"""

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from syndet_ray.data.lease import Claim, Lease, check_free, tenure
from syndet_ray.data.storage import (
    Version,
    content,
    download,
    filesystem,
    holds,
    inside,
    is_folder,
    upload,
)
from syndet_ray.errors import DataError, MachineError, message
from syndet_ray.files import whole_folder
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ledger import LEDGER
from syndet_ray.runs.results import Trial
from syndet_ray.timer import timer
from syndet_ray.tracking.outbox import Outbox

KEPT = "run"  # under a run's address: the copy of its own files
_EVERY_S = 30
_COPY = "copy"
# for the last copy of a run that ends before it has begun; the end of any other says how long it
# waits
_LIMIT_S = 60.0


@contextmanager
def ownership(
    folder: RunFolder, storage: str | None, lost: Callable[[], None]
) -> Iterator[Lease | None]:
    """Holds a run's address on S3 for this process alone, as `RunFolder.lock` holds its folder;
    None where it has none.

    folder  locked: whoever held the address for this very folder before is over
    lost    called, in a thread, where another driver takes the run over, because this one did not
            get through to S3

    Raises MachineError where another driver carries the run out, at the end too; DataError where
    its copy knows more than the folder: another machine has gone on with the run.
    """
    if storage is None or "://" not in storage:
        yield None
        return
    address = home(folder, storage)
    claim = Claim(who=f"{os.getpid()} on {socket.gethostname()}", place=_place(folder.path))
    with tenure(Lease(address, claim), lost) as lease:
        _check_newest(folder, address)
        yield lease


class Backup:
    """The copy of a run's own files at its storage, and what of them it holds already; none where
    there is no storage.

    A thread copies: a store that does not answer holds nobody up, and who waits for one inside
    Arrow hears no Ctrl-C.

    address  where it lies; None where there is no storage
    note   is told, from that thread, when copies begin to fail, and when they succeed again
    lease  while it is not held nothing is written: another driver may write. None where the storage
           is no address on S3
    """

    def __init__(
        self, folder: RunFolder, storage: str | None, note: Note, lease: Lease | None = None
    ) -> None:
        self._folder, self._note, self._lease = folder, note, lease
        self.address = None if storage is None else inside(home(folder, storage), KEPT)
        self._uploaded: dict[Path, Version] = {}
        self._is_failing = self._is_over = False
        self._writing = threading.Lock()  # or an older ledger could take the place of a newer one
        # `_copy` tells of it itself
        self._outbox = None if self.address is None else Outbox("backup", lambda _: None)
        self._patience_s, self._limit_s = 0.0, _LIMIT_S
        # why the last copy that was waited for is not there
        self._missing: MachineError | None = None

    @property
    def is_ours(self) -> bool:
        """Whether no other driver can have the run; where one may, nothing of it at the storage is
        this one's to change.
        """
        return self._lease is None or self._lease.is_held

    @contextmanager
    def upkeep(self) -> Iterator[None]:
        """Renews the copy every half minute, and at the end.

        Raises MachineError where the last copy cannot be written.
        """
        if self._outbox is None:
            yield
            return
        try:
            with timer("backup", _EVERY_S, partial(self._outbox.put, _COPY, self._copy)):
                yield
        finally:
            self._finish()

    def renew(self, patience_s: float, limit_s: float = math.inf) -> None:
        """Copies what has changed, and waits for that; what is not there then, the end of `upkeep`
        says.

        patience_s  how long to wait where the store fails
        limit_s     how long to wait in all, where it takes its time to answer
        """
        if self._outbox is None:
            return
        self._patience_s, self._limit_s = patience_s, limit_s
        self._outbox.put(_COPY, self._copy)
        missing = self._outbox.wait(patience_s, limit_s)
        self._missing = self._error(missing[_COPY]) if missing else None

    def secure(self) -> bool:
        """Copies the ledger now, so that whoever resumes from the copy asks for no checkpoint that
        is about to be deleted.

        False where another driver may have the run. Raises OSError or MachineError where it cannot
        be copied.
        """
        if self.address is None or self._lease is None:
            return True
        store, path = filesystem(inside(self.address, LEDGER))
        with self._writing:
            if not self.is_ours:
                return False
            with store.open_output_stream(path) as copy:
                copy.write((self._folder.path / LEDGER).read_bytes())
        return self.is_ours

    def _copy(self) -> None:
        """Copies what has changed; tells of the first copy that fails, and of the first that
        succeeds again.
        """
        try:
            self._upload()
        except Exception as error:  # the next copy holds all that this one missed
            if not self._is_failing:
                self._note(
                    f"the copy of this run falls behind, and is tried again: {message(error)}"
                )
            self._is_failing = True
            raise
        if self._is_failing and self.is_ours:
            self._note(f"the copy of this run is up to date again: {self.address}")
            self._is_failing = False

    def _upload(self) -> None:
        assert self.address is not None
        with self._writing:
            folder = self._folder
            upload(
                folder.path,
                self.address,
                folder.checkpoints,
                self._uploaded,
                may_write=self._may_write,
            )

    def _may_write(self) -> bool:
        return self.is_ours and not self._is_over

    def _finish(self) -> None:
        """The last copy. Raises MachineError, with what can be done about it.

        One that was waited for in vain is not waited for again: it is there by now, or it is not.
        """
        assert self._outbox is not None
        try:
            if self._lease is not None and not self.is_ours:
                self._lease.renew()  # the store was away, and may be back
                self._lease.check()
            if self._missing is None:
                self.renew(self._patience_s, self._limit_s)
            if self._missing is not None and self._outbox.wait(0.0, limit_s=0.0):
                raise self._missing
            if not self.is_ours:
                raise MachineError(
                    self.address, "was not written: another driver may have the run by now"
                )
        except MachineError as error:
            if self._lease is not None and self._lease.taken_by is not None:
                raise
            do = f"The run itself is whole, in {self._folder.path}: resume it to have it copied."
            raise MachineError(error.place, error.rule, do=do) from None
        finally:
            self._is_over = True

    def _error(self, failure: Exception | None) -> MachineError:
        """Why the copy is not there, of its last failure; None where the store has not answered."""
        if isinstance(failure, MachineError):
            return failure
        reason = (
            f"it did not answer within {self._limit_s:g} s" if failure is None else message(failure)
        )
        return MachineError(self.address, f"lacks the end of the run ({reason})")


def forget_lost_checkpoints(folder: RunFolder) -> list[int]:
    """Notes in the ledger which unfinished trials have lost the checkpoint that it names, so that
    they begin anew.

    A copy of a run is up to half a minute older than its checkpoints, of which only the newest are
    kept. Returns the trials' numbers. Raises MachineError where the store does not tell.
    """
    folder.ledger.mend()
    left = [
        trial
        for trial in folder.trials()
        if trial.state == "RUNNING" and trial.checkpoint is not None
    ]
    lost = [trial.number for trial in left if not is_folder(str(trial.checkpoint))]
    for number in lost:
        folder.ledger.append("checkpoint", number, path=None)
    return lost


def check_models(folder: RunFolder, trials: Sequence[Trial]) -> None:
    """Raises DataError where checkpoints of these finished trials are gone, MachineError where the
    store does not tell.
    """
    lost = [
        trial for trial in trials if trial.checkpoint is None or not is_folder(trial.checkpoint)
    ]
    if not lost:
        return
    numbers = ", ".join(str(trial.number) for trial in lost)
    rule = f"lacks checkpoints of trials that are to be scored on the test set, {numbers}: {lost[0].checkpoint} is gone"
    do = f"Put them back, or begin a new run: what this one knows without them, report {folder.path} tells."
    raise DataError(folder.path, rule, do=do)


def fetch(address: str, runs: Path) -> RunFolder:
    """The run that was kept at an s3:// address, in a folder of its name under `runs`, which is
    there whole or not at all.

    A run of which only a part had come would go on from that part, and be kept in the place of the
    whole.
    """
    path = runs / address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
    if path.exists():
        raise DataError(
            path, f"is here already: {address} may be older", do=f"Resume {path}, or move it away."
        )
    if "://" in address:
        # what another driver goes on with is old as soon as it is here
        check_free(address, place="")
    with whole_folder(path) as unfinished:
        download(inside(address, KEPT), unfinished)
    return RunFolder.open(path)


def home(folder: RunFolder, storage: str | None) -> str:
    """The folder or s3:// address under which the run's checkpoints lie."""
    return inside(storage, folder.path.name) if storage else str(folder.path.resolve())


def _place(path: Path) -> str:
    """Equal for two processes only where they hold the lock of one folder on one machine, one after
    the other.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text().strip() if boot.exists() else socket.gethostname()
    lock = (path / "lock").stat()
    return f"{machine}/{lock.st_dev}/{lock.st_ino}"


def _check_newest(folder: RunFolder, address: str) -> None:
    """Raises DataError where the copy of a run is no earlier state of its folder."""
    if not holds(address, f"{KEPT}/{LEDGER}"):
        return
    if not folder.ledger.continues(content(inside(address, f"{KEPT}/{LEDGER}"))):
        rule = (
            f"has not all that its copy at {address} has: another machine has gone on with the run"
        )
        raise DataError(folder.path, rule, do=f"Move the folder away, and resume {address}.")
