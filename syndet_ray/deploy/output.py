"""Output: the folder that the command line is given to write into. What lies there already is left
alone.
"""

from itertools import count
from pathlib import Path

from syndet_ray.errors import DataError


def check_out(out: Path) -> None:
    """Raises DataError where `out` can be no folder."""
    if out.exists() and not out.is_dir():
        raise DataError(
            out, "is a file, predictions need a folder", do="Give a new folder with `out`."
        )


def new_folder(out: Path) -> Path:
    """`out` where it is new or empty, else <out>-2, <out>-3, ...: nothing is overwritten."""
    for path in (
        out if number == 1 else out.with_name(f"{out.name}-{number}") for number in count(1)
    ):
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            path.mkdir(parents=True, exist_ok=True)
            return path
    raise AssertionError("numbers do not end")
