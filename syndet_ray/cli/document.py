"""Document: the one JSON document that a verb prints with --json, also when it fails."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from syndet_ray import __version__
from syndet_ray.cli.options import with_flags
from syndet_ray.errors import SyndetError, unexpected_line

SCHEMA = 1  # raised when a key goes away or changes its meaning; new keys may come without


@dataclass
class Document:
    """The facts and errors of a verb for a program, filled in while it works.

    facts   the verb's own keys
    others  errors besides the one that ends the verb
    """

    facts: dict[str, Any] = field(default_factory=dict)
    others: list[SyndetError] = field(default_factory=list)


@contextmanager
def one_document(verb: str, *, is_wanted: bool) -> Iterator[Document]:
    """A document that is printed at the end, also after an error, which is then in it.

    Nothing is printed if it is not wanted, or if the verb is interrupted.
    """
    document = Document()
    try:
        yield document
    except Exception as error:
        if is_wanted:
            _print(verb, document.facts, [error, *document.others])
        raise
    if is_wanted:
        _print(verb, document.facts, [])


def _print(verb: str, facts: Mapping[str, Any], errors: list[Exception]) -> None:
    envelope = {
        "verb": verb,
        "schema": SCHEMA,
        "version": __version__,
        "errors": [_error(error) for error in errors],
    }
    if "notes" in facts:
        facts = {**facts, "notes": [with_flags(note) for note in facts["notes"]]}
    # Escapes of ASCII are UTF-8 too, and survive a terminal or a pipe of any other encoding.
    print(json.dumps(plain(envelope | dict(facts)), indent=2, allow_nan=False), file=sys.stdout)


def _error(error: Exception) -> dict[str, Any]:
    """The parts of an error; of one that is no SyndetError only its kind and message."""
    kind = type(error).__name__
    if not isinstance(error, SyndetError):
        parts = dict.fromkeys(("place", "rule", "got", "do"))
        return {"kind": kind, **parts, "message": unexpected_line(error)}
    return {
        "kind": kind,
        "place": with_flags(error.place),
        "rule": with_flags(str(error.rule)),
        "got": None if error.got is ... else error.got,
        "do": with_flags(error.do) or None,
        "message": with_flags(str(error)),
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: NaN and infinity become null, paths and unknown types become text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):  # half of a character, in names that are no text, is no JSON
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if hasattr(value, "model_dump"):  # a definition
        return plain(value.model_dump())
    if hasattr(value, "tolist"):  # a number or an array of NumPy
        return plain(value.tolist())
    return plain(str(value) if isinstance(value, Path) else repr(value))
