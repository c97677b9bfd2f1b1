"""Machine check: whether this machine and its folders can carry out a run, before it costs time."""

import shutil
from pathlib import Path

from syndet_ray.data.storage import check_bucket
from syndet_ray.errors import MachineError
from syndet_ray.files import (
    check_temporary_folder,
    check_writable,
    make_folder,
    may_write,
    writing,
)
from syndet_ray.locks import can_lock
from syndet_ray.tracking.sqlite_files import works_in

_ANOTHER = "Name a folder with `runs`."
_ELSEWHERE = "Run from a folder that you may write to, or name one with `runs`."
_STORE_ELSEWHERE = (
    "Name a folder on another disk with `runs`, or a store on another disk or a server with "
    "`tracking`."
)
_LEAST_FREE_BYTES = 2 * 1024**3  # for checkpoints and scenes of even a small sweep


def check_machine(runs: Path, storage: str | None) -> None:
    """Raises MachineError if there is too little disk, or a folder or the store of the run cannot
    be written.
    """
    with writing(runs, _ELSEWHERE):
        is_file = runs.is_file()
    if is_file:
        raise MachineError(runs, "is a file, and runs need a folder", do=_ANOTHER)
    make_folder(runs, _ELSEWHERE)
    check_writable(runs, _ELSEWHERE)
    cache = runs / "cache"
    if not cache.exists() or may_write(cache):  # else it is read: see `cache_notes`
        check_writable(cache, _ELSEWHERE)
    check_temporary_folder()
    _check_disk(runs)
    if storage is not None:
        check_bucket(storage)


def _check_disk(runs: Path) -> None:
    free = shutil.disk_usage(runs).free
    if free < _LEAST_FREE_BYTES:
        rule = f"needs at least {_LEAST_FREE_BYTES / 1e9:.0f} GB of free disk"
        raise MachineError(runs, rule, got=f"{free / 1e9:.1f} GB")


def check_artifacts(runs: Path) -> None:
    """Raises MachineError if a folder in which MLflow keeps files of all runs cannot be written."""
    for name in ("artifacts", "artifacts/models"):
        check_writable(runs / name, _ELSEWHERE)


def cache_notes(cache: Path) -> list[str]:
    """A sentence if rendered scenes can only be read, such as those of a colleague, else none."""
    if not cache.exists() or may_write(cache):
        return []
    return [f"{cache} can only be read: trials whose scenes it lacks will fail"]


def lock_notes(runs: Path, tracking: str | None) -> list[str]:
    """A sentence if the file system of the runs has no locks, else none.

    tracking  MLflow's store; None for the one under `runs`

    Raises MachineError if MLflow's store would lie there: sqlite cannot do without locks.
    """
    if can_lock(runs):
        return []
    if tracking is None and not works_in(runs):
        rule = "is on a file system without locks, which MLflow's database needs"
        raise MachineError(runs, rule, do=_STORE_ELSEWHERE)
    return [
        f"{runs} is on a file system without locks: do not carry out one run in two processes, "
        "and delete old rendered scenes by hand: the cache deletes none"
    ]
