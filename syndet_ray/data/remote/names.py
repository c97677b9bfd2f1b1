"""Names: paths that archives and stores give to files, made safe for a folder of this machine."""

import re
from pathlib import PurePosixPath

from syndet_ray.errors import DataError

_DRIVE = re.compile(r"[A-Za-z]:")
_DO = "Make it again from a folder, with names relative to that."


def safe_name(name: str, place: str) -> PurePosixPath:
    """The name of a file as a path inside a folder; a backslash separates as a slash does.

    Raises DataError, with `place`, for a name that leads out of the folder or names no file.
    """
    slashed = name.replace("\\", "/")
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    is_absolute = slashed.startswith("/") or _DRIVE.match(slashed) is not None
    if is_absolute or ".." in parts or not parts or "\0" in slashed:
        rule = "has a name that leads out of its folder, or is none"
        raise DataError(place, rule, got=name, do=_DO)
    return PurePosixPath(*parts)


def is_junk(name: str) -> bool:
    """True for what macOS adds to archives and folders."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] == ".DS_Store"
