"""JSON files of other tools: read whole, or a DataError that says what is wrong with the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.data.memory import MOST_OF_AVAILABLE, available_bytes, memory_words
from syndet_ray.errors import DataError

_DO = "Copy or export the file again."
_PARTS = (
    "Export it in several parts; or convert it to Parquet where there is more memory, with "
    "`data convert`: any machine reads the result."
)
_MOST_BYTES = 2_000_000_000
_SMALL_BYTES = 32 << 20  # at most 0.8 GB when parsed: not worth a look before
_CHUNK_BYTES = 4 << 20
# Bytes that CPython 3.11 takes for a dict, for a list with its first item, for another item (a
# number and its place), and for a text that is no key; measured with files of nothing else. Keys
# are shared by all dicts of a file.
_DICT_BYTES, _LIST_BYTES, _ITEM_BYTES, _TEXT_BYTES = 180, 92, 32, 57


def load_json(path: Path) -> Any:
    """The content of a JSON file, in UTF-8, UTF-16 or UTF-32. Raises DataError."""
    if path.is_dir():
        raise DataError(path, "is a folder, not a JSON file", do="Rename the folder.")
    _check_file(path)
    return _parse(path)


def json_or_none(path: Path) -> Any:
    """The content of a JSON file; None for a file that is none.

    Raises DataError for a file that git-lfs did not fetch, or that is too large: it may be any
    format's.
    """
    if not path.is_file():
        return None
    _check_file(path)
    try:
        return _parse(path)
    except DataError:
        return None


def memory_of_json(path: Path) -> int:
    """Bytes of memory that a JSON file takes at most while it is parsed, about; its text included.

    It counts the signs in the file, which takes a hundredth of the time of parsing it.
    """
    dicts = lists = items = quotes = colons = largest = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            dicts += chunk.count(b"{")
            lists += chunk.count(b"[")
            items += chunk.count(b",")
            quotes += chunk.count(b'"')
            colons += chunk.count(b":")
            largest = max(largest, int(np.frombuffer(chunk, np.uint8).max()))
    texts = max(0, quotes // 2 - colons)
    objects = _DICT_BYTES * dicts + _LIST_BYTES * lists + _ITEM_BYTES * items + _TEXT_BYTES * texts
    return objects + _bytes_of_character(largest) * path.stat().st_size


def _bytes_of_character(largest: int) -> int:
    """Bytes of each character of a text in memory, by the largest byte of its UTF-8."""
    if largest >= 0xF0:  # a character beyond U+FFFF
        return 4
    return 2 if largest > 0xC3 else 1  # beyond U+00FF


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise DataError(path, "is nested too deep for a label file", do=_DO) from None
    except UnicodeDecodeError as error:
        rule = f"must be JSON in UTF-8 (byte {error.start} is no UTF-8)"
        raise DataError(path, rule, do="Save it as UTF-8.") from None
    except ValueError as error:
        raise DataError(path, f"is not valid JSON ({error})", do=_DO) from None


def _check_file(path: Path) -> None:
    """Raises DataError for a pointer to another file, and for one that memory does not hold."""
    check_pointer(path)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        rule = "is too large to be read as a whole, at most 2 GB can be"
        raise DataError(path, rule, got=f"{size / 1e9:.1f} GB", do=_PARTS)
    if size <= _SMALL_BYTES:
        return
    needed, available = memory_of_json(path), available_bytes()
    if needed > MOST_OF_AVAILABLE * available:
        rule = (
            f"needs {memory_words(needed)} of memory to be read, more than "
            f"{MOST_OF_AVAILABLE:.0%} of the {memory_words(available)} available"
        )
        raise DataError(path, rule, got=f"a file of {memory_words(size)}", do=_PARTS)
