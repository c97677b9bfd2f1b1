"""Last use: when a folder of a cache was used, by a file beside it that its users lock."""

from contextlib import suppress
from pathlib import Path


def use_marker(folder: Path) -> Path:
    """The empty file beside a folder that all processes lock which use it, shared."""
    return folder.with_name(f".{folder.name}.used")


def last_use(folder: Path) -> float:
    """The time of the last use, seconds since 1970; 0 if nothing tells.

    A folder that was never used as a whole has no marker: its last change counts, or that of the
    lock under which it is made.
    """
    lock = folder.with_name(f".{folder.name}.lock")
    for path in (use_marker(folder), folder, lock):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0
