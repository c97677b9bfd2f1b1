"""Cache: rendered sets on disk, each rendered once; the least recently used are deleted.

A set lies in CACHE/<key>/, with the locks of `cache_folders` next to it. On a file system without
locks each process renders what it does not find, and nothing is deleted.
"""

import os
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from syndet_ray.cache_folders import delete_unused, folder_bytes, hold_folder, last_use, mark_used
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.disk_share import share
from syndet_ray.files import may_write
from syndet_ray.locks import hold_lock

BOUND_VARIABLE = "SYNDET_CACHE_GB"
_BYTES_A_PIXEL = 3  # the three colours of an image
# A set, its shards, the output of a command, and what a kill left of them: all names begin with the
# set's key.
_ENTRY = re.compile(r"\.?([0-9a-f]{20})(?=$|[-.])")


def load_or_make(folder: Path, make: Callable[[], Pool]) -> Pool:
    """The pool in `folder`. If there is none it is made and saved there, by one process of this
    machine at a time.

    It is in use as long as its arrays live. After a pool was made, the least recently used ones are
    deleted. Raises MachineError as `trim` does.
    """
    if _is_read_only(folder):
        return Pool.load(folder)
    with hold_folder(folder):
        is_new = not is_finished(folder)
        if is_new:
            make().save(folder)
        pool = _in_use(folder)
    if is_new:
        trim(folder.parent)
    return pool


def load_pool(folder: Path) -> Pool | None:
    """The pool in `folder`, in use as long as its arrays live; None if there is none."""
    if not folder.parent.is_dir():
        return None
    if _is_read_only(folder):
        return Pool.load(folder)
    with hold_folder(folder):
        return _in_use(folder) if is_finished(folder) else None


def is_finished(folder: Path) -> bool:
    """True if the folder holds a pool. Pools are written whole, then renamed."""
    return (folder / "pool.json").exists()


def work_folder(folder: Path, purpose: str) -> Path:
    """The folder next to that of a set, in which it is made.

    If another user has begun the set and we may not write there, we have a folder of our own.
    """
    work = folder.with_name(f"{folder.name}-{purpose}")
    if work.exists() and not may_write(work):
        return work.with_name(f"{work.name}-{os.geteuid()}")
    return work


def _is_read_only(folder: Path) -> bool:
    """True if a pool lies in a cache that this process may only read: it cannot mark the pool as
    used.
    """
    return is_finished(folder) and not may_write(folder.parent)


def trim(cache: Path) -> None:
    """Deletes the least recently used sets, until the others take no more than the bound; never
    one that is in use.

    A set that cannot be deleted, for example because it belongs to another user, stays. Raises
    MachineError if $SYNDET_CACHE_GB is no number.
    """
    with hold_lock(cache / ".trim.lock"):
        sets = sorted(_sets(cache), key=lambda rendered: rendered.used)
        taken = sum(rendered.size for rendered in sets)
        most = bound(cache, taken)
        for rendered in sets:
            if taken <= most:
                return
            if delete_unused(cache / rendered.key, partial(_entries, cache, rendered.key)):
                taken -= rendered.size


def bound(cache: Path, taken: int | None = None) -> int:
    """Bytes that the sets in a cache may take: $SYNDET_CACHE_GB, or half of what is free or taken
    by them.

    taken  bytes that they take, computed if not given

    Raises MachineError if the variable is no number.
    """
    return share(BOUND_VARIABLE, cache, lambda: _size_of_sets(cache) if taken is None else taken)


def set_bytes(parameters: SceneParameters, count: int) -> int:
    """The bytes of the pixels of a rendered set; its boxes are negligible."""
    width, height = parameters.size_wh
    return count * width * height * _BYTES_A_PIXEL


def _size_of_sets(cache: Path) -> int:
    return sum(rendered.size for rendered in _sets(cache))


@dataclass(frozen=True, kw_only=True)
class _Set:
    """All files of one set in the cache. size in bytes; used: the time of the last use, seconds
    since 1970.
    """

    key: str
    size: int
    used: float


def _sets(cache: Path) -> Iterator[_Set]:
    """All sets of a cache, whole or not."""
    if not cache.is_dir():
        return
    names = [_ENTRY.match(path.name) for path in cache.iterdir()]
    for key in sorted({match[1] for match in names if match}):
        size = sum(folder_bytes(path) for path in _entries(cache, key))
        if size:
            yield _Set(key=key, size=size, used=last_use(cache / key))


def _entries(cache: Path, key: str) -> list[Path]:
    """The folders of a set in the cache."""
    paths = [*cache.glob(f"{key}*"), *cache.glob(f".{key}-*")]
    return [path for path in paths if path.is_dir() and _ENTRY.match(path.name)]


def _in_use(folder: Path) -> Pool:
    """The pool in `folder`, which is not deleted before its arrays are gone."""
    pool = Pool.load(folder)
    used = mark_used(folder)
    if used is not None:
        # The largest array and not the pool: others that share it may outlive the pool.
        weakref.finalize(pool.pixels, os.close, used)
    return pool
