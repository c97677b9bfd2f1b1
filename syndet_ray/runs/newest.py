"""Newest: finds the run that began last."""

import math
from contextlib import suppress
from pathlib import Path

from syndet_ray.errors import DataError
from syndet_ray.runs.folder import RunFolder


def newest_run(runs: Path) -> RunFolder | None:
    """Returns the run in a folder that began last; None if there is none.

    Runs that cannot be read are passed over.
    """
    newest: RunFolder | None = None
    newest_start = -math.inf
    for path in runs.glob("*/sweep.json"):
        folder = RunFolder(path.parent)
        with suppress(OSError, DataError):
            start = folder.about.get("started", 0.0)
            if start > newest_start:
                newest, newest_start = folder, start
    return newest
