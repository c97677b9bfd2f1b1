"""Files: written whole or not at all, refusals of the system as errors, hashes, ends of logs."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from syndet_ray.errors import MachineError

_NO_RIGHT = "Write to another folder, or ask the owner of this one for permission to write there."
_NO_ROOM = "Make room on its disk, then try again."
# What to do if the system refuses to write, by its number of the error. Other errors are no
# refusals, such as a folder that is not empty.
_WRITE_ADVICE = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: "Its disk is read-only: write to another one.",
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "Its disk or `ulimit -f` allows no such large file: write to another disk.",
    errno.EEXIST: "A file has this path: give another folder.",
    errno.ENOTDIR: "A part of this path is a file: give another path.",
    errno.EISDIR: "This is a folder: give the path of a file.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}
_NO_RIGHT_TO_READ = "Ask its owner for permission to read it."
_READ_ADVICE = {
    errno.EACCES: _NO_RIGHT_TO_READ,
    errno.EPERM: _NO_RIGHT_TO_READ,
    errno.ENAMETOOLONG: "Check the path: no file or folder has such a long name.",
}
# These errors always come from writing. The others may also come from a file that is read.
_ONLY_BY_WRITING = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LAST_LINES, _LAST_CHARACTERS = 5, 1000  # of a log, quoted in an error
_LAST_BYTES = 1 << 16  # that are read for them: a progress bar may have been drawn many times
_TERMINAL_CODE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and moves of the cursor (ECMA-48)
_TEST_BYTES = 1 << 12  # a block of most file systems: a full disk has no room for it


@contextmanager
def writing(path: Path, do: str = "") -> Iterator[None]:
    """Turns an error of the block into a MachineError if the system refuses to write `path`.

    do  what the user may do about it, instead of the advice for that error
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITE_ADVICE:
            raise
        rule = f"cannot be written ({error.strerror or error})"
        # with its cause, by which a full disk is recognized
        raise MachineError(path, rule, do=do or _WRITE_ADVICE[error.errno]) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns an error of the block into a MachineError if the system refuses to read `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _READ_ADVICE:
            raise
        rule = f"cannot be read ({error.strerror or error})"
        raise MachineError(error.filename or path, rule, do=_READ_ADVICE[error.errno]) from None


def check_writable(path: Path, do: str = "") -> None:
    """Raises MachineError unless a file or folder can be written at `path`; leaves nothing there.

    It writes a test file: into an existing folder at `path`, else next to an existing file, which
    would be replaced, else into the first parent that exists. To ask for permissions is not enough:
    they say nothing of a disk that is read-only or full.
    """
    with writing(path, do):
        folder = _first_existing(path)
        if folder == path.absolute() and folder.is_file():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TEST_BYTES))


def _first_existing(path: Path) -> Path:
    """Returns the path or the first of its parents that exists."""
    path = path.absolute()
    for place in (path, *path.parents):
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    raise AssertionError("the root of the file system exists")


def make_folder(path: Path, do: str = "") -> Path:
    """Makes a folder and its parents unless it exists; returns it. Raises MachineError."""
    with writing(path, do):
        path.mkdir(parents=True, exist_ok=True)
    return path


def numbered_paths(path: Path) -> Iterator[Path]:
    """Yields a path, then <path>-2, <path>-3, ...: names for something that overwrites nothing."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")


def may_write(path: Path) -> bool:
    """True if we have the right to write an existing file or folder, as far as permissions say.

    It is for what must not be written to find out, such as a database. Of other places
    `check_writable` knows more.
    """
    return os.access(path, os.W_OK, effective_ids=True)


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a file: readers see the old file or the new one, never half of one.

    Raises MachineError if the system refuses to write it; an old file is then unchanged.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    with writing(path):
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError:
            with suppress(OSError):  # a half file would take the room of a full disk
                unfinished.unlink(missing_ok=True)
            raise
    return path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder next to `path`, which becomes `path` when the block ends.

    Where the block or the renaming fails, the temporary folder is deleted and `path` stays as it
    was. Parents of `path` are made. Every user may read the folder, unlike one of `mkdtemp`;
    the block may set other permissions. As with `os.rename`, an empty folder at `path` is replaced;
    anything else there raises OSError. Raises MachineError if the system refuses to write there.
    """
    make_folder(path.parent)
    with writing(path):
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with _writing_into(unfinished, path):
            unfinished.chmod(0o755)
            yield unfinished
        with writing(path):
            os.rename(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def whole_replacement(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder that takes the place of the one at `path`, as `whole_folder`.

    That one stays until the new one is complete, and comes back if it cannot be put there.
    """
    with writing(path):
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    older = aside / path.name
    try:
        with whole_folder(path) as unfinished:
            yield unfinished
            with writing(path):
                os.rename(path, older)
    except BaseException:
        if older.exists():
            os.rename(older, path)
        raise
    finally:
        if path.exists():  # else the older folder could not be moved back, and stays there
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Gives an empty folder for temporary files, which is deleted when the block ends.

    Raises MachineError if this machine has no place for one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="syndet-")
    except OSError as error:
        reason = error.strerror
        rule = f"names no folder that can be written, and /tmp cannot be written either ({reason})"
        do = "Set it to a folder that you may write to, on a disk with room."
        raise MachineError("$TMPDIR", rule, do=do) from error
    with folder as path:
        yield Path(path)


def check_temporary_folder() -> None:
    """Raises MachineError if this machine has no place for temporary files."""
    with temporary_folder():
        return


@contextmanager
def _writing_into(unfinished: Path, path: Path) -> Iterator[None]:
    """As `writing`, for a block that fills a folder and may read other files meanwhile."""
    try:
        yield
    except OSError as error:
        is_inside = Path(error.filename or "/").is_relative_to(unfinished)
        if not is_inside and error.errno not in _ONLY_BY_WRITING:
            raise
        with writing(path):
            raise


def last_lines(log: Path) -> str:
    """The end of what a program printed, as one line of printable characters; "" if it printed
    nothing. Of a line that was drawn again and again, such as a progress bar, the last one counts.
    """
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_BYTES))
        text = _TERMINAL_CODE.sub("", file.read().decode(errors="replace"))
    lines = [line.strip().rpartition("\r")[2].strip() for line in text.split("\n")]
    printed = " | ".join([line for line in lines if line][-_LAST_LINES:]).replace("\t", " ")
    # others could do anything to the reader's terminal
    return "".join(filter(str.isprintable, printed))[-_LAST_CHARACTERS:]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
