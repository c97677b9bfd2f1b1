"""Backup: copies a run's own files to S3, next to its checkpoints, so that it outlives its machine.

Of several drivers, on any machines, only one at a time carries out such a run: the one that holds
the run's lease.
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
    check_address,
    content,
    download,
    filesystem,
    holds,
    inside,
    is_folder,
    upload,
)
from syndet_ray.errors import DataError, MachineError, message
from syndet_ray.escapes import escape, unescape
from syndet_ray.files import whole_folder, whole_replacement
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ledger import LEDGER
from syndet_ray.runs.results import Trial
from syndet_ray.timer import timer
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.wording import command_line

COPY = "run"  # under the address of a run: the copy of its own files
# Between two copies: what is lost with a machine; short against a trial, long against an upload.
_EVERY_S = 30
_DELIVERY = "copy"
# For the last copy of a run that ends before it has begun. For other runs the caller of `copy` says
# how long to wait.
_LIMIT_S = 60.0
# what Arrow and RFC 3986 do not take in the path of an address
_FORBIDDEN_IN_KEYS = r"[^0-9A-Za-z._~!$&'()*+,;=:@-]"


@contextmanager
def exclusive_lease(
    folder: RunFolder, storage: str | None, lost: Callable[[], None]
) -> Iterator[Lease | None]:
    """Holds the lease of a run's address on S3; gives None if the run has no such address.

    It does for the address what `RunFolder.lock` does for the folder: no other driver has the run.

    folder  locked, so an earlier holder of the lease for this same folder has ended
    lost    called, in a thread, if another driver takes over the run because this one could not
            reach S3

    Raises MachineError if another driver carries out the run, also at the end. Raises DataError if
    the copy has events that the folder lacks: another machine has gone on with the run.
    """
    if storage is None or "://" not in storage:
        yield None
        return
    address = run_address(folder, storage)
    claim = Claim(who=f"{os.getpid()} on {socket.gethostname()}", place=_place(folder.path))
    with tenure(Lease(address, claim), lost) as lease:
        _check_newest(folder, address)
        yield lease


class Backup:
    """The copy of a run's own files in its storage; without storage no method does anything.

    A thread makes the copies, so a store that does not answer does not stop the run. The main
    thread must not wait inside Arrow, because Ctrl-C has no effect there.

    address  of the copy; None if there is no storage
    note     called, in that thread, when copies begin to fail, and when they succeed again
    lease    nothing is written while it is not held, because another driver may write. None if the
             storage is not an address on S3
    """

    def __init__(
        self, folder: RunFolder, storage: str | None, note: Note, lease: Lease | None = None
    ) -> None:
        self._folder = folder
        self._note = note
        self._lease = lease
        self.address: str | None = None
        self._outbox: Outbox | None = None
        if storage is not None:
            self.address = inside(run_address(folder, storage), COPY)
            # `_copy` notes its failures itself
            self._outbox = Outbox("backup", lambda failure: None)
        self._uploaded: dict[Path, Version] = {}
        self._is_failing = False
        self._is_over = False
        self._writing = threading.Lock()  # or an old ledger could replace a newer one
        self._patience_s = 0.0
        self._limit_s = _LIMIT_S
        self._missing: MachineError | None = None  # the reason, if the last `copy` failed

    @property
    def is_ours(self) -> bool:
        """True if no other driver can have the run.

        If one may have it, this driver must change nothing of the run in the storage.
        """
        return self._lease is None or self._lease.is_held

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Copies what has changed every half minute, and once more at the end.

        Raises MachineError if the last copy cannot be written.
        """
        if self._outbox is None:
            yield
            return
        try:
            with timer("backup", _EVERY_S, partial(self._outbox.put, _DELIVERY, self._copy)):
                yield
        finally:
            try:
                self._make_last_copy()
            finally:
                self._is_over = True
                self._outbox.close()

    def copy(self, patience_s: float, limit_s: float = math.inf) -> None:
        """Copies what has changed, and waits for that. If it fails, the end of `copying` raises.

        patience_s  how long to wait if the store fails
        limit_s     how long to wait in all, for a store that answers slowly
        """
        if self._outbox is None:
            return
        self._patience_s = patience_s
        self._limit_s = limit_s
        self._outbox.put(_DELIVERY, self._copy)
        missing = self._outbox.wait(patience_s, limit_s)
        self._missing = self._error(missing[_DELIVERY]) if missing else None

    def copy_ledger(self) -> bool:
        """Copies the ledger now, before a checkpoint is deleted.

        A driver that resumes from the copy then does not ask for that checkpoint. Returns False if
        another driver may have the run. Raises OSError or MachineError if it cannot be copied.
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
        """Copies what has changed; notes a copy that fails after a good one, and the reverse."""
        try:
            self._upload()
        except Exception as error:  # the next copy contains all that this one missed
            if not self._is_failing:
                problem = message(error)
                self._note(f"the copy of this run falls behind, and is tried again: {problem}")
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

    def _make_last_copy(self) -> None:
        """Makes the last copy. Raises MachineError, with what to do about it."""
        try:
            self._check_lease()
            self._check_last_copy()
        except MachineError as error:
            if self._lease is not None and self._lease.taken_by is not None:
                raise
            do = f"The run itself is complete, in {self._folder.path}: resume it to have it copied."
            raise MachineError(error.place, error.rule, do=do) from None

    def _check_lease(self) -> None:
        """Renews a lease that expired while the store was away. Raises MachineError."""
        if self._lease is not None and not self.is_ours:
            self._lease.renew()
            self._lease.check()

    def _check_last_copy(self) -> None:
        """Raises MachineError if the copy lacks the end of the run.

        After a `copy` that failed it does not wait again: the outbox has delivered it by now, or
        it is missing.
        """
        assert self._outbox is not None
        if self._missing is None:
            self.copy(self._patience_s, self._limit_s)
        if self._missing is not None and self._outbox.wait(0.0, limit_s=0.0):
            raise self._missing
        if not self.is_ours:
            rule = "was not written: another driver may have the run by now"
            raise MachineError(self.address, rule)

    def _error(self, failure: Exception | None) -> MachineError:
        """Returns the error of a failed copy; `failure` is None if the store did not answer."""
        if isinstance(failure, MachineError):
            return failure
        reason = f"it did not answer within {self._limit_s:g} s"
        if failure is not None:
            reason = message(failure)
        return MachineError(self.address, f"lacks the end of the run ({reason})")


def forget_lost_checkpoints(folder: RunFolder) -> list[int]:
    """Notes in the ledger which unfinished trials have lost their checkpoint: they start again.

    A copy of a run is up to half a minute older than its checkpoints, of which only the newest are
    kept. Returns the trials' numbers. Raises MachineError if the store does not answer.
    """
    folder.ledger.mend()
    lost: list[int] = []
    for trial in folder.trials():
        has_checkpoint = trial.state == "RUNNING" and trial.checkpoint is not None
        if has_checkpoint and not is_folder(str(trial.checkpoint)):
            lost.append(trial.number)
    for number in lost:
        folder.ledger.append("checkpoint", number, path=None)
    return lost


def check_models(folder: RunFolder, trials: Sequence[Trial]) -> None:
    """Raises DataError if checkpoints of these finished trials are gone.

    Raises MachineError if the store does not answer.
    """
    lost: list[Trial] = []
    for trial in trials:
        if trial.checkpoint is None or not is_folder(trial.checkpoint):
            lost.append(trial)
    if not lost:
        return
    numbers = ", ".join(str(trial.number) for trial in lost)
    rule = (
        f"lacks checkpoints of trials that must be scored on the test set, {numbers}: "
        f"{lost[0].checkpoint} is gone"
    )
    report = command_line("report", folder.path)
    do = f"Put the checkpoints back, or start a new run. For the results without them: {report}"
    raise DataError(folder.path, rule, do=do)


def fetch(address: str, runs: Path) -> RunFolder:
    """Downloads a run from its s3:// address, into a folder of its name under `runs`.

    The folder appears only when it is complete: a run fetched in part would go on from that part,
    and its copy would replace the complete one. It replaces a folder that was brought here from a
    cluster and has an earlier state of the run. Raises DataError if another folder is there.
    """
    if "://" in address:
        check_address(address)
    name = address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
    path = runs / (_folder_name(name) if "://" in address else name)
    is_replacement = _is_of_cluster(path)
    if path.exists() and not is_replacement:
        raise _presence_error(path, address)
    if "://" in address:
        # While another driver goes on with the run, a copy is out of date as soon as it is here.
        check_free(address, place="")
    with whole_replacement(path) if is_replacement else whole_folder(path) as unfinished:
        download(inside(address, COPY), unfinished)
        if is_replacement and not _has_gone_on(RunFolder(unfinished), path):
            raise _presence_error(path, address)
    return RunFolder.open(path)


def _is_of_cluster(path: Path) -> bool:
    """True for a run that was brought here from a cluster, and was not continued here."""
    if not (path / "run.json").exists():
        return False
    folder = RunFolder(path)
    return folder.about.get("cluster") is not None and not folder.is_carried_out()


def _has_gone_on(copy: RunFolder, path: Path) -> bool:
    """True if a copy has the run of a folder and events after its own, and if no process has begun
    to continue that meanwhile.

    With the same events the folder may have more: its report and the test scores are copied later.
    """
    folder = RunFolder(path)
    is_same_run = folder.about["started"] == copy.about["started"]
    events = folder.ledger.content()
    is_longer = copy.ledger.continues(events) and len(copy.ledger.content()) > len(events)
    return is_same_run and is_longer and _is_of_cluster(path)


def _presence_error(path: Path, address: str) -> DataError:
    rule = f"is here already: {address} may be older, or the same"
    return DataError(path, rule, do=f"Resume {path}, or move it away.")


def _folder_name(key: str) -> str:
    """Returns the name of a run's folder, given the last part of its address."""
    name = unescape(key)
    is_a_name = name.isprintable() and "/" not in name
    return name if is_a_name else key


def run_address(folder: RunFolder, storage: str | None) -> str:
    """Returns the folder or s3:// address that contains the run's checkpoints."""
    if not storage:
        return str(folder.path.resolve())
    name = folder.path.name
    if "://" in storage:
        name = escape(name, _FORBIDDEN_IN_KEYS)
    return inside(storage, name)


def backup_address(folder: RunFolder, storage: str | None) -> str | None:
    """Returns the address of a run on S3; None if it is in folders alone."""
    return run_address(folder, storage) if storage and "://" in storage else None


def _place(path: Path) -> str:
    """Returns a text that identifies a run's folder on this machine since its last start.

    Two processes have the same text only if they hold the lock of one folder on one machine, one
    after the other.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text(encoding="utf-8").strip() if boot.exists() else socket.gethostname()
    lock = (path / "lock").stat()
    return f"{machine}/{lock.st_dev}/{lock.st_ino}"


def _check_newest(folder: RunFolder, address: str) -> None:
    """Raises DataError unless the copy of a run is an earlier state of its folder."""
    ledger = f"{COPY}/{LEDGER}"
    if not holds(address, ledger) or folder.ledger.continues(content(inside(address, ledger))):
        return
    rule = f"lacks a part of its copy at {address}: another machine has gone on with the run"
    do = f"Move the folder away, and resume {address}."
    raise DataError(folder.path, rule, do=do)
