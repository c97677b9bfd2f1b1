"""Output: a new folder to write into. Files that exist already are left alone."""

from itertools import count
from pathlib import Path

from syndet_ray.errors import DataError


def check_out(out: Path) -> None:
    """Raises DataError when `out` cannot be a folder."""
    if out.exists() and not out.is_dir():
        do = "Give a new folder with `out`."
        raise DataError(out, "is a file, predictions need a folder", do=do)


def new_folder(out: Path) -> Path:
    """Makes `out` if it is new or empty, else <out>-2, <out>-3, ...: overwrites nothing."""
    for number in count(1):
        path = out if number == 1 else out.with_name(f"{out.name}-{number}")
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            path.mkdir(parents=True, exist_ok=True)
            return path
    raise AssertionError("numbers do not end")
