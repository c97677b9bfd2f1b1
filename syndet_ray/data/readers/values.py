"""Values: numbers and texts of annotation files, of which nothing can be taken for granted."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

# No image has as many pixels a side. The bound also excludes NaN, infinity and integers too large
# for a float.
FURTHEST = 1e9
_LONGEST_SHOWN = 100  # characters of a value in a message
_LEAST_UNSHOWN = 10**_LONGEST_SHOWN
_NUMBERS = (int, float)  # `int | float` is built again for each value, of millions


def is_number(value: Any) -> bool:
    """True for a finite number below 1e9; text, true and NaN are none."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool) and abs(value) <= FURTHEST


def number(value: Any) -> float:
    """A number as a float, NaN for anything else, also for text that is no number.

    A box with an edge that is NaN becomes a problem of its dataset.
    """
    if isinstance(value, str):
        try:
            read = float(value)
        except ValueError:
            return math.nan
        return read if abs(read) <= FURTHEST else math.nan
    return float(value) if is_number(value) else math.nan


def size_or_none(width: Any, height: Any) -> tuple[int, int] | None:
    """The size of an image in whole pixels; None unless both sides are numbers or such texts."""
    sides = number(width), number(height)
    if any(map(math.isnan, sides)):
        return None
    return int(sides[0]), int(sides[1])


def for_message(value: Any) -> Any:
    """A value for a message: long ones as their first characters."""
    if isinstance(value, int):  # Python refuses to write the longest ones
        return value if abs(value) < _LEAST_UNSHOWN else "a number of over 100 digits"
    text = repr(value)
    return value if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def share(value: Any) -> float:
    """A number from 0 to 1, NaN for anything else."""
    return float(value) if is_number(value) and 0 <= value <= 1 else math.nan


def objects(entry: Any, key: str) -> list[dict[str, Any]]:
    """The objects of a list in an object; [] where there is none."""
    values = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(values, list):
        return []
    return [value for value in values if isinstance(value, dict)]


def texts_by_id(entries: Iterable[Mapping[str, Any]], key: str, text: str) -> dict[str, str]:
    """The texts of entries by their ids, which tools write as numbers or texts: both as texts."""
    texts = {}
    for entry in entries:
        if is_id(entry.get(key)) and isinstance(entry.get(text), str) and entry[text]:
            texts[str(entry[key])] = entry[text]
    return texts


def is_id(value: Any) -> bool:
    """True for a text, or a whole number of a length that Python writes."""
    return isinstance(value, str) or (is_number(value) and isinstance(value, int))
