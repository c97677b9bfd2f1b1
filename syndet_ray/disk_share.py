"""Disk share: how many bytes a cache may take of its disk."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from syndet_ray.errors import MachineError

# Share of the disk that is free or taken by the cache: the rest is for checkpoints, and for other
# users of the disk.
_SHARE = 0.5


def share(variable: str, folder: Path, taken: Callable[[], int]) -> int:
    """Bytes that a cache may take: gigabytes in an environment variable, or half of what is free or
    taken by it.

    folder  any folder on its disk
    taken   gives the bytes that it takes; called only if they are needed

    Raises MachineError if the variable is no number.
    """
    asked = os.environ.get(variable)
    if asked:
        return int(_gigabytes(variable, asked) * 1e9)
    return int(_SHARE * (shutil.disk_usage(folder).free + taken()))


def _gigabytes(variable: str, asked: str) -> float:
    try:
        gigabytes = float(asked)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        rule = "must be a number of gigabytes, such as 50"
        raise MachineError(f"${variable}", rule, got=asked)
    return gigabytes
