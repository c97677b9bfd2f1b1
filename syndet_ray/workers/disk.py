"""Disk: tells whether an error comes from a disk of this machine: it cannot be written, or a photo
that is streamed from it is gone.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from syndet_ray.data.streamed import ChangedPhoto, LostPhoto

# Less than any checkpoint, and more than a full disk may still have room for.
_TEST_BYTES = 1 << 20
# These errors alone show that a disk was at fault, even if it can be written again: no room, no
# more quota, read-only, broken.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def places(cache: Path) -> tuple[Path, ...]:
    """Returns the folders of this machine that a run writes to.

    They are for its runs, the rendered sets and temporary files.
    """
    return cache.parent, cache, _temporary_folder()


def _temporary_folder() -> Path:
    """Returns the folder of temporary files, even if Python finds none that can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path(os.environ.get("TMPDIR", "/tmp"))


def fault(error: Exception, places: Iterable[Path]) -> str | None:
    """Returns the fault of a disk of this machine that caused an error, or None if none did.

    An example: "/data/runs cannot be written (No space left on device)"; another one is a streamed
    photo that is still gone, or was changed. The error alone does not show a full disk: PyTorch
    raises a RuntimeError there, and safetensors an error of its own. So this writes a test file to
    each place that exists; a place that does not exist, as on another machine, is left out.
    """
    for cause in _causes(error):
        if isinstance(cause, LostPhoto) and _is_still_lost(cause):
            return f"{cause.place} {cause.rule}"
    for place in places:
        if place.is_dir():
            reason = _refusal(place)
            if reason is not None:
                return f"{place} cannot be written ({reason})"
    for cause in _causes(error):
        if _is_of_a_disk(cause):
            return f"a disk could not be written ({cause})"
    return None


def _is_of_a_disk(error: BaseException) -> bool:
    if isinstance(error, shutil.Error):  # of a folder's files: their errors are texts in it
        return any(os.strerror(number) in str(error) for number in _DISK_ERRORS)
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def _is_still_lost(photo: LostPhoto) -> bool:
    """False for a photo that can be read again, as after a pause of a network disk."""
    if isinstance(photo, ChangedPhoto):
        return True
    try:
        with open(photo.place, "rb") as file:
            file.read(1)
    except OSError:
        return True
    return False


def _refusal(folder: Path) -> str | None:
    """Writes a test file and removes it. Returns the system's message if that fails, else None."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TEST_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, the error that caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
