"""JSON files of other tools: read whole, or a DataError that says what is wrong with the file."""

import json
from pathlib import Path
from typing import Any

from syndet_ray.data.mistaken import check_pointer
from syndet_ray.errors import DataError

_DO = "Copy or export the file again."


def load_json(path: Path) -> Any:
    """The content of a JSON file, in UTF-8, UTF-16 or UTF-32. Raises DataError."""
    if path.is_dir():
        raise DataError(path, "is a folder, not a JSON file", do="Rename the folder.")
    check_pointer(path)
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

    Raises DataError for a file that git-lfs did not fetch: it may be any format's.
    """
    if path.is_file():
        check_pointer(path)
    try:
        return load_json(path)
    except DataError:
        return None
