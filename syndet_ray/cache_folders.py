"""Cache folders: folders that processes make once and share, their sizes, their deletion."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syndet_ray.files import make_folder, may_write, whole_folder
from syndet_ray.last_use import use_marker
from syndet_ray.locks import hold_lock, lock, open_to_lock


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
    make_folder(folder.parent)
    with hold_lock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            with whole_folder(folder) as unfinished:
                make(unfinished)
        used = open_to_lock(use_marker(folder))
        if used is not None:  # the file of another user, who does not let us open it
            lock(used, shared=True)
    try:
        if used is not None:
            with suppress(PermissionError):
                os.utime(used)
        yield folder
    finally:
        if used is not None:
            os.close(used)


def delete_unused(folder: Path, parts: Callable[[], Iterable[Path]] | None = None) -> bool:
    """Deletes a folder of a cache, unless a process makes or uses it; True if it is gone.

    Each part is renamed first: a kill meanwhile must not leave half of it under its name.

    parts  lists what is deleted, in the same place, once it is locked; None for the folder alone
    """
    cache, key = folder.parent, folder.name
    try:
        with (
            hold_lock(cache / f".{key}.lock", wait=False) as is_alone,
            hold_lock(use_marker(folder), wait=False) as is_unused,
        ):
            if not (is_alone and is_unused):  # without locks it may be in use
                return False
            for part in [folder] if parts is None else parts():
                grave = tempfile.mkdtemp(prefix=f".{key}-dropped-", dir=cache)
                part.rename(Path(grave) / part.name)
                shutil.rmtree(grave)
    except OSError:  # among them BlockingIOError: another process uses it
        return False
    return True
