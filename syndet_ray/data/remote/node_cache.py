"""Node cache: copies of datasets on this node; those used longest ago are deleted, each whole.

A dataset lies in CACHE/data/<key>/<name>/, with the locks of `cache_folders` next to <key>/. A
process uses a dataset until it ends.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.cache_folders import (
    delete_unused,
    folder_bytes,
    hold_folder,
    is_being_deleted,
    last_use,
    mark_used,
    note_use,
    use_marker,
)
from syndet_ray.data.memory import memory_words
from syndet_ray.disk_share import share
from syndet_ray.errors import MachineError
from syndet_ray.files import check_writable, make_folder
from syndet_ray.locks import hold_lock, lock

BOUND_VARIABLE = "SYNDET_DATA_CACHE_GB"
_KEY_DIGITS = 20
_KEY = re.compile(r"[0-9a-f]{20}")
_SPARE_BYTES = 10**9  # of the disk, for others that write meanwhile
# Datasets that this process uses: the open file of each that is locked.
_uses: dict[Path, int] = {}


def dataset_folder(cache: Path, identity: str, name: str) -> Path:
    """The folder of a dataset's copy.

    identity  what makes the dataset this one, such as its address
    name      what people call it: readers show the name of the folder
    """
    key = hashlib.sha256(identity.encode()).hexdigest()[:_KEY_DIGITS]
    return cache / "data" / key / name


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Lets one process of this node at a time copy a dataset; the others wait.

    Gives False if the file system cannot lock. Raises MachineError if the cache cannot be written.
    """
    place = make_folder(folder.parents[1])
    check_writable(place)
    make_folder(folder.parent)
    try:
        with hold_folder(folder.parent) as is_alone:
            yield is_alone
    finally:
        with suppress(OSError):  # it stays if it holds anything
            folder.parent.rmdir()


def use(folder: Path) -> None:
    """Marks a dataset as used by this process until it ends: it is not deleted meanwhile.

    Call it while the dataset is locked by `alone`.
    """
    marker = use_marker(folder.parent)
    if marker in _uses:
        note_use(_uses[marker])
        return
    used = mark_used(folder.parent)
    if used is not None:
        _uses[marker] = used


@contextmanager
def changing(folder: Path, address: str) -> Iterator[None]:
    """Lets a copy be changed if no other process uses it, else raises MachineError."""
    used = _uses.get(use_marker(folder.parent))
    if used is None:
        yield
        return
    try:
        lock(used, wait=False)
    except BlockingIOError:
        lock(used, shared=True)  # the attempt has given it up
        rule = "has changed, and another process uses the copy of its earlier state"
        do = f"Wait until that ends, or take another cache than {folder.parents[2]}."
        raise MachineError(address, rule, do=do) from None
    try:
        yield
    finally:
        lock(used, shared=True)


def make_room(folder: Path, needed_bytes: int, address: str) -> None:
    """Deletes the datasets that were used longest ago until there is room for more bytes in this
    one.

    Raises MachineError if that is not enough: the cache may not take so much, or the disk is full.
    """
    place = folder.parents[1]
    with hold_lock(place / ".trim.lock"):
        datasets = sorted(_datasets(place), key=lambda dataset: dataset.used)
        taken = sum(dataset.size for dataset in datasets)
        most = share(BOUND_VARIABLE, place, lambda: taken)
        for dataset in datasets:
            if taken + needed_bytes <= most and needed_bytes <= _free(place):
                return
            if delete_unused(place / dataset.key):
                taken -= dataset.size
        _check_room(place, taken, most, needed_bytes, address)


def room(folder: Path) -> int:
    """Bytes by which the copy of a dataset may grow, if all others were deleted."""
    place = folder.parents[1]
    taken = sum(dataset.size for dataset in _datasets(place))
    others = taken - folder_bytes(folder.parent)
    most = share(BOUND_VARIABLE, place, lambda: taken)
    return max(0, min(most - folder_bytes(folder.parent), _free(place) + others))


def _check_room(place: Path, taken: int, most: int, needed: int, address: str) -> None:
    """Raises MachineError if the bytes needed have no room.

    taken, most  bytes that the datasets which are left take, and that all may take
    """
    if taken + needed > most:
        allowed = f"{place} may take {memory_words(most)}"
        rule = f"needs {memory_words(needed)} more, and {allowed}"
        if taken:
            rule += f", of which datasets in use take {memory_words(taken)}"
        do = f"Set {BOUND_VARIABLE} to more gigabytes, or take a cache on a larger disk."
        raise MachineError(address, rule, do=do)
    free = _free(place)
    if needed > free:
        rule = f"needs {memory_words(needed)} more in {place}, and {memory_words(free)} are free"
        raise MachineError(address, rule, do="Make room, or take a cache on a larger disk.")


def _free(place: Path) -> int:
    return max(0, shutil.disk_usage(place).free - _SPARE_BYTES)


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """A copy in the cache. size in bytes; used: the time of the last use, seconds since 1970."""

    key: str
    size: int
    used: float


def _datasets(place: Path) -> Iterator[_Dataset]:
    """All datasets in a cache, whole or not; what a kill left of deleted ones is deleted first."""
    for path in sorted(place.iterdir()):
        if is_being_deleted(path.name):
            shutil.rmtree(path, ignore_errors=True)
        if _KEY.fullmatch(path.name) and path.is_dir():
            yield _Dataset(key=path.name, size=folder_bytes(path), used=last_use(path))
