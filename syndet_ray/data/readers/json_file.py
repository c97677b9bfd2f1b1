"""JSON files of other tools: read whole, or a DataError that says what is wrong with the file."""

import json
from pathlib import Path
from typing import Any

from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.errors import DataError

_DO = "Copy or export the file again."
_MOST_BYTES = 2_000_000_000  # its content takes up to ten times as much memory


def load_json(path: Path) -> Any:
    """The content of a JSON file, in UTF-8, UTF-16 or UTF-32. Raises DataError."""
    if path.is_dir():
        raise DataError(path, "is a folder, not a JSON file", do="Rename the folder.")
    _check_file(path)
    try:
        return json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise DataError(path, "is nested too deep for a label file", do=_DO) from None
    except UnicodeDecodeError as error:
        rule = f"must be JSON in UTF-8 (byte {error.start} is no UTF-8)"
        raise DataError(path, rule, do="Save it as UTF-8.") from None
    except ValueError as error:
        raise DataError(path, f"is not valid JSON ({error})", do=_DO) from None


def json_or_none(path: Path) -> Any:
    """The content of a JSON file; None for a file that is none.

    Raises DataError for a file that git-lfs did not fetch, or that is too large: it may be any
    format's.
    """
    if path.is_file():
        _check_file(path)
    try:
        return load_json(path)
    except DataError:
        return None


def _check_file(path: Path) -> None:
    """Raises DataError for a pointer to another file, and for one that memory does not hold."""
    check_pointer(path)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        rule = "is too large to be read as a whole, at most 2 GB can be"
        raise DataError(path, rule, got=f"{size / 1e9:.1f} GB", do="Export it in several parts.")
