"""Locks: files that one process at a time holds, on file systems that can lock."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What file systems without locks answer: Lustre mounted without "flock", NFS whose lock service is
# away, and some that are mounted by a user. NFS says EBADF for a file that we may only read.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF}

# The file belongs to another user, or its disk is read-only.
_ONLY_READ = {errno.EACCES, errno.EPERM, errno.EROFS}


def lock(file: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Locks an open file until it is closed; False if its file system cannot lock.

    Raises BlockingIOError if another process has the lock and wait is False.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, operation if wait else operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


@contextmanager
def hold_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a file, which is made if there is none, for one process at a time.

    Gives False if there is no lock, and the block must do without: the file system cannot lock, or
    another user does not let us open the file. Raises BlockingIOError as `lock` does.
    """
    file = open_to_lock(path)
    if file is None:
        yield False
        return
    try:
        yield lock(file, wait=wait)
    finally:
        os.close(file)


def open_to_lock(path: Path) -> int | None:
    """Opens a file to lock it, and makes it if there is none.

    The file of another user need not be writable. None if it cannot be read either. Raises OSError
    if the file cannot be made.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in _ONLY_READ or not path.exists():
            raise
    try:
        return os.open(path, os.O_RDONLY)
    except PermissionError:
        return None


def can_lock(folder: Path) -> bool:
    """True if the file system of a folder can lock; tries it with a temporary file."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return lock(file.fileno())
