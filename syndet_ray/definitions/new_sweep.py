"""New sweep: the place of a sweep file that is about to be written."""

import re
from pathlib import Path

from syndet_ray.definitions.loader import available
from syndet_ray.errors import DefinitionError
from syndet_ray.files import reading
from syndet_ray.wording import printable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def new_path(out: str, *, force: bool) -> Path:
    """The path of a sweep file to write. As `load` does, it takes a word for the name of a sweep.

    Raises DefinitionError for a path that no sweep may have and, unless `force`, for the name of a
    sweep that comes with the package.
    """
    if out.endswith(".py") or "/" in out:
        path = Path(out)
        is_valid = path.suffix == ".py" and _NAME.fullmatch(path.stem)
    else:
        path = Path("sweeps") / f"{out}.py"
        is_valid = _NAME.fullmatch(out)
        if is_valid and out in available() and not path.exists() and not force:
            rule = "would hide the sweep of this name that comes with the package"
            do = "Give another name, or `force` to have yours instead."
            raise DefinitionError(path, rule, do=do)
    if not is_valid:
        rule = "is not the path of a sweep"
        do = "Write letters, digits, - and _, as in sweeps/my_sweep.py or my_sweep."
        raise DefinitionError(printable(out), rule, do=do)
    return path


def check_free(path: Path, *, force: bool) -> None:
    """Raises DefinitionError for a file that exists, unless `force`."""
    with reading(path):
        is_there = path.exists() or path.is_symlink()
    if is_there and not force:
        do = "Give another name, or `force` to replace it."
        raise DefinitionError(printable(str(path)), "exists", do=do)
