"""Output: a new folder to write into. Files that exist already are left alone."""

from pathlib import Path

from syndet_ray.errors import DataError
from syndet_ray.files import check_writable, make_folder, numbered_paths, writing

_ELSEWHERE = "Give another folder with `out`."


def check_out(out: Path) -> None:
    """Raises DataError when `out` cannot be a folder, and MachineError when it cannot be written.

    Call it before hours of work whose results go there.
    """
    with writing(out, _ELSEWHERE):
        is_taken = out.exists() and not out.is_dir()
    if is_taken:
        do = "Give a new folder with `out`."
        raise DataError(out, "is a file, predictions need a folder", do=do)
    check_writable(_first_free(out), _ELSEWHERE)


def new_folder(out: Path) -> Path:
    """Makes `out` if it is new or empty, else <out>-2, <out>-3, ...: overwrites nothing.

    Raises MachineError if it cannot be made.
    """
    return make_folder(_first_free(out), _ELSEWHERE)


def _first_free(out: Path) -> Path:
    return next(path for path in numbered_paths(out) if _is_free(path))


def _is_free(path: Path) -> bool:
    """True if there is nothing at a path, or an empty folder."""
    with writing(path, _ELSEWHERE):
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))
