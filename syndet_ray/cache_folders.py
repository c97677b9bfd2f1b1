"""Cache folders: folders that processes make once and share, their sizes, their deletion.

Beside a folder <key>/ lie two empty files, which processes lock: .<key>.lock while a process makes,
opens or deletes it, and .<key>.used as long as processes use it. Locks end with their process,
however it ends.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syndet_ray.files import make_folder, may_write, whole_folder
from syndet_ray.locks import hold_lock, lock, open_to_lock

DELETION_MARK = "-dropped-"  # in the name of a folder that is being deleted, after its key


def is_being_deleted(name: str) -> bool:
    """True for the name of a folder that is being deleted, or that a kill has left of one."""
    return name.startswith(".") and DELETION_MARK in name


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder, which another process may change or delete meanwhile."""
    size = 0
    for place, _, names in os.walk(folder):  # skips folders that are gone
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(place, name).lstat().st_size
    return size


@contextmanager
def shared_folder(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Gives a folder of a cache, which is not deleted before the block ends.

    If there is none it is made, by one process of this machine at a time. Raises MachineError if
    the system refuses to write there.

    make  fills the empty folder that it is called with
    """
    if folder.exists() and not may_write(folder.parent):  # another user's, who alone deletes it
        yield folder
        return
    with hold_folder(folder):
        if not folder.exists():
            with whole_folder(folder) as unfinished:
                make(unfinished)
        used = mark_used(folder)
    try:
        yield folder
    finally:
        if used is not None:
            os.close(used)


def use_marker(folder: Path) -> Path:
    """The empty file beside a folder that all processes lock which use it, shared."""
    return folder.with_name(f".{folder.name}.used")


def _making_lock(folder: Path) -> Path:
    """The empty file beside a folder that a process locks which makes, opens or deletes it."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def hold_folder(folder: Path) -> Iterator[bool]:
    """Lets one process of this machine at a time make, open or delete a folder of a cache.

    Gives False if the file system cannot lock.
    """
    make_folder(folder.parent)
    with hold_lock(_making_lock(folder)) as is_alone:
        yield is_alone


def mark_used(folder: Path) -> int | None:
    """Marks a folder of a cache as used until the returned file is closed: it is not deleted.

    None if the mark belongs to another user, who does not let us open it. Call it while the folder
    is held by `hold_folder`.
    """
    used = open_to_lock(use_marker(folder))
    if used is not None:
        lock(used, shared=True)
        note_use(used)
    return used


def note_use(used: int) -> None:
    """Sets the time of the last use, in a file that `mark_used` has returned."""
    with suppress(PermissionError):  # the file of another user
        os.utime(used)


def last_use(folder: Path) -> float:
    """The time of the last use, seconds since 1970; 0 if nothing tells.

    A folder that was never used as a whole has no marker: its last change counts, or that of the
    lock under which it is made.
    """
    for path in (use_marker(folder), folder, _making_lock(folder)):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0


def delete_unused(folder: Path, parts: Callable[[], Iterable[Path]] | None = None) -> bool:
    """Deletes a folder of a cache, unless a process makes or uses it; True if it is gone.

    Each part is renamed first: a kill meanwhile must not leave half of it under its name.

    parts  lists what is deleted, in the same place, once it is locked; None for the folder alone
    """
    cache, key = folder.parent, folder.name
    try:
        with (
            hold_lock(_making_lock(folder), wait=False) as is_alone,
            hold_lock(use_marker(folder), wait=False) as is_unused,
        ):
            if not (is_alone and is_unused):  # without locks it may be in use
                return False
            for part in [folder] if parts is None else parts():
                grave = tempfile.mkdtemp(prefix=f".{key}{DELETION_MARK}", dir=cache)
                part.rename(Path(grave) / part.name)
                shutil.rmtree(grave)
    except OSError:  # among them BlockingIOError: another process uses it
        return False
    return True
