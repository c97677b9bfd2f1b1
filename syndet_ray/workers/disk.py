"""Disk: whether one of this machine can be written at this moment."""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# less than any checkpoint; what a disk keeps back for its own books does not hold it
_LOOK_BYTES = 1 << 20
# What says by itself that a disk was at fault, though it can be written again: no room, no more
# quota, read-only, broken.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def places(cache: Path) -> tuple[Path, ...]:
    """Where the work of a run writes on the machine that asks: beside its runs, the rendered sets,
    and temporary files.
    """
    return cache.parent, cache, _temporary_folder()


def _temporary_folder() -> Path:
    """The folder of temporary files, also where Python finds none that can be written, and so names
    none.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path(os.environ.get("TMPDIR", "/tmp"))


def fault(error: Exception, places: Iterable[Path]) -> str | None:
    """Why a disk of this machine is to blame for an error, in words: "/data/runs cannot be written
    (No space left on device)".

    None where it is not. The error alone does not tell: PyTorch makes a RuntimeError of a full
    disk, safetensors one of its own. So each place that is there is written to; one that is not yet
    there, as on another machine, is left out.
    """
    for place in places:
        if place.is_dir():
            reason = _refusal(place)
            if reason is not None:
                return f"{place} cannot be written ({reason})"
    refusals = (
        cause
        for cause in _causes(error)
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS
    )
    refusal = next(refusals, None)
    return None if refusal is None else f"a disk could not be written ({refusal})"


def _refusal(folder: Path) -> str | None:
    """Why a small file cannot be written there, in the words of the system; None where it can.
    Nothing is left of it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_LOOK_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised from or while."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
