"""Cache: rendered sets on disk, each made once; where they take too much, those that were used
longest ago are dropped.

Beside a set in CACHE/<key>/ lie .<key>.lock, held by whoever makes or drops it, and .<key>.used,
held by all who use it. Both are empty, and locks go with their process, however that ends.
"""

import fcntl
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.data.pool import Pool
from syndet_ray.errors import MachineError

BOUND_VARIABLE = "SYNDET_CACHE_GB"
# Of the disk that is free or taken by the cache: the rest is for checkpoints, and for whoever else
# shares the disk.
_SHARE_OF_DISK = 0.5
# A set, its shards, what a command wrote, and what a kill left of any of them: all begin with the
# set's key.
_ENTRY = re.compile(r"\.?([0-9a-f]{20})(?=$|[-.])")


def kept(folder: Path, make: Callable[[], Pool]) -> Pool:
    """The pool in `folder`, made and kept there where there is none; only by one process of this
    machine at a time.

    It is in use as long as its arrays live. Where it was made, others are dropped that were used
    longest ago. Raises MachineError as `trim` does.
    """
    if _is_read_only(folder):
        return Pool.load(folder)
    with _alone(folder):
        is_new = not is_finished(folder)
        if is_new:
            make().save(folder)
        pool = _in_use(folder)
    if is_new:
        trim(folder.parent)
    return pool


def loaded(folder: Path) -> Pool | None:
    """The pool in `folder`, in use as long as its arrays live; None where there is none."""
    if not folder.parent.is_dir():
        return None
    if _is_read_only(folder):
        return Pool.load(folder)
    with _alone(folder):
        return _in_use(folder) if is_finished(folder) else None


def is_finished(folder: Path) -> bool:
    """Whether a pool lies there. Pools are written whole, then renamed: what is there is finished."""
    return (folder / "pool.json").exists()


def _is_read_only(folder: Path) -> bool:
    """Whether a pool lies in a cache that this process may only read: it can tell nobody that it
    uses it.
    """
    return is_finished(folder) and not os.access(folder.parent, os.W_OK)


def trim(cache: Path) -> None:
    """Drops the sets that were used longest ago, until the others take no more than the bound;
    never one that is in use.

    What cannot be deleted, since it is somebody else's for example, stays. Raises MachineError
    where $SYNDET_CACHE_GB is no number.
    """
    with _locked(cache / ".trim.lock"):
        sets = sorted(_sets(cache), key=lambda rendered: rendered.used)
        taken = sum(rendered.size for rendered in sets)
        most = bound(cache, taken)
        for rendered in sets:
            if taken <= most:
                return
            if _dropped(cache, rendered.key):
                taken -= rendered.size


def bound(cache: Path, taken: int | None = None) -> int:
    """Bytes that the sets in a cache may take: what $SYNDET_CACHE_GB says, else half of what is
    free or taken by them.

    taken  bytes that they take, where that is known already

    Raises MachineError where the variable is no number.
    """
    asked = os.environ.get(BOUND_VARIABLE)
    if asked:
        return int(_gigabytes(asked) * 1e9)
    if taken is None:
        taken = sum(rendered.size for rendered in _sets(cache))
    return int(_SHARE_OF_DISK * (shutil.disk_usage(cache).free + taken))


def _gigabytes(asked: str) -> float:
    try:
        gigabytes = float(asked)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise MachineError(
            f"${BOUND_VARIABLE}", "must be a number of gigabytes, such as 50", got=asked
        )
    return gigabytes


@dataclass(frozen=True, kw_only=True)
class _Set:
    """Whatever lies in the cache of one set. size in bytes; used: when it was last asked for,
    seconds since 1970.
    """

    key: str
    size: int
    used: float


def _sets(cache: Path) -> Iterator[_Set]:
    """All sets of a cache, whole or not."""
    if not cache.is_dir():
        return
    for key in sorted({match[1] for path in cache.iterdir() if (match := _ENTRY.match(path.name))}):
        size = 0
        for path in _entries(cache, key):
            size += _size(path)
        if size:
            yield _Set(key=key, size=size, used=_last_use(cache, key))


def _entries(cache: Path, key: str) -> list[Path]:
    """What lies in the cache of a set, without its locks."""
    found = [*cache.glob(f"{key}*"), *cache.glob(f".{key}-*")]
    return [path for path in found if path.is_dir() and _ENTRY.match(path.name)]


def _size(folder: Path) -> int:
    """Bytes of the files in a folder that another process may be writing, renaming or deleting
    meanwhile.
    """
    size = 0
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(place, name).stat().st_size
    return size


def _last_use(cache: Path, key: str) -> float:
    """Sets of an earlier version have no file that says so: they count from when they were made."""
    for path in (_used(cache / key), cache / key, cache / f".{key}.lock"):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0


def _dropped(cache: Path, key: str) -> bool:
    """Deletes all of a set, unless somebody makes or uses it; whether it is gone.

    First it is renamed: a kill meanwhile must not leave half a set under its name.
    """
    try:
        with _locked(cache / f".{key}.lock", wait=False), _locked(_used(cache / key), wait=False):
            for path in _entries(cache, key):
                grave = tempfile.mkdtemp(prefix=f".{key}-dropped-", dir=cache)
                path.rename(Path(grave) / path.name)
                shutil.rmtree(grave)
    except OSError:  # among them BlockingIOError: somebody has it
        return False
    return True


def _in_use(folder: Path) -> Pool:
    """The pool in `folder`. Nobody drops it before its arrays are gone."""
    pool = Pool.load(folder)
    used = _opened(_used(folder))
    fcntl.flock(used, fcntl.LOCK_SH)
    with suppress(PermissionError):  # somebody else's
        os.utime(used)
    # The largest array and not the pool: others that share it may outlive the pool.
    weakref.finalize(pool.pixels, os.close, used)
    return pool


def _used(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.used")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process of this machine at a time makes, opens or drops a set."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f".{folder.name}.lock")):
        yield


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock. Raises BlockingIOError where another has it and nobody may wait."""
    file = _opened(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    """A file to be locked, made where there is none.

    Where it is somebody else's it need not be writable for that.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)
