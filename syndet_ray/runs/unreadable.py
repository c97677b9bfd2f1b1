"""Unreadable: the errors for files of a run that cannot be read."""

import json
import time
from pathlib import Path

from pydantic import ValidationError

from syndet_ray.definitions.value import definition_error
from syndet_ray.errors import DataError, SyndetError


def damaged_file(place: object, reason: object) -> DataError:
    """Returns the error for a file that is no JSON: an incomplete copy, or changed by hand."""
    return DataError(place, f"is not JSON ({reason})", do="Copy the run here again.")


def unreadable(folder: Path, place: object, error: ValidationError | SyndetError) -> DataError:
    """Returns the error for a file of the run in `folder` that cannot be read: it is damaged, a
    person changed it, or another version wrote it.
    """
    if isinstance(error, SyndetError):
        return _of_other_version(folder, place, error)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return damaged_file(place, first["ctx"]["error"])
    return _of_other_version(folder, place, definition_error("", error))


def _of_other_version(folder: Path, place: object, error: SyndetError) -> DataError:
    full_reason = f"{error.place}: {error.rule}".lstrip(": ")
    # The sentences after the first are hints for a person who writes a sweep.
    reason = full_reason.partition(". ")[0]
    rule = f"is not what this version of syndet_ray writes: {reason}"
    writer = _writer(folder)
    do = f"Open the run with the version that wrote it{writer}, or copy it here again."
    return DataError(place, rule, do=do)


def _writer(folder: Path) -> str:
    """Returns ", 0.1.0 as of 2026-11-24", the version that wrote the run and the day, from
    run.json; "" if run.json does not say.
    """
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        version = about["versions"]["syndet_ray"]
        started = time.localtime(float(about["started"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""
    if not isinstance(version, str):
        return ""
    # The day too: many states of a checkout have the same version number.
    return f", {version} as of {time.strftime('%Y-%m-%d', started)}"
