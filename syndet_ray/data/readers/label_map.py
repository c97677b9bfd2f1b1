"""Label maps of the TensorFlow Object Detection API: protobuf's text format, in a .pbtxt file.

A map is items with an id from 1, a name, and perhaps a display name (StringIntLabelMap in
object_detection/protos/string_int_label_map.proto).
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.data.readers.values import for_message
from syndet_ray.errors import DataError

_MOST_BYTES = 50_000_000
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|\#[^\n]*|[,;:])
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<open>[{<])|(?P<close>[}>])|(?P<word>[\w.+-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f"}
_INTEGER = re.compile(rb"-?\d{1,9}")
_BACKGROUND = "background"
_EXAMPLE = "Expected: item { id: 1 name: 'car' }."


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """The classes of a dataset.

    names    by 1-based id: what people read, so the display name where there is one
    aliases  the class by each text that stands for it in records: its name or its display name
    """

    names: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


def read_label_map(path: Path) -> LabelMap:
    """The label map in a file. Raises DataError."""
    names: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for item in _items(path):
        number, name = item.get("id"), item.get("name") or item.get("display_name")
        shown = item.get("display_name") or name
        if not isinstance(number, int) or not isinstance(name, str) or not isinstance(shown, str):
            raise DataError(path, "every item must have an id and a name", got=for_message(item))
        if number == 0 and _BACKGROUND in (name.lower(), shown.lower()):
            continue
        if number < 1:
            raise DataError(path, "ids must count from 1", got=number, do="0 is the background.")
        if number in names or name in aliases or shown in aliases:
            rule = "every id and every name must occur once"
            raise DataError(path, rule, got=for_message(item))
        names[number] = shown
        aliases |= {name: shown, shown: shown}
    if not names:
        raise DataError(path, "holds no items", do=_EXAMPLE)
    return LabelMap(names=names, aliases=aliases)


def _items(path: Path) -> Iterator[dict[str, Any]]:
    """The fields of each item; fields of messages within items, such as key points, are skipped."""
    depth = 0
    key = last_kind = ""
    item: dict[str, Any] = {}
    for kind, value in _tokens(path):
        if kind == "open":
            depth += 1
            item = {} if depth == 1 else item
        elif kind == "close":
            depth -= 1
            if depth == 0:
                yield {name: _decode(path, field) for name, field in item.items()}
        elif depth == 1 and kind == "text":
            is_continued = last_kind == "text"  # texts in a row are one, as in C
            item[key] = item[key] + value if is_continued else value
        elif depth == 1 and key == "id" and _INTEGER.fullmatch(value):
            item["id"] = int(value)
            key = ""
        elif depth == 1:
            key = value.decode(errors="replace")
        if depth < 0:
            break
        last_kind = kind
    if depth:
        raise DataError(path, "its braces do not match", do=_EXAMPLE)


def _tokens(path: Path) -> Iterator[tuple[str, bytes]]:
    """(kind, value) of braces, words, and texts without their quotes and escapes."""
    content = _in_utf8(path)
    at = 0
    while at < len(content):
        match = _TOKEN.match(content, at)
        if match is None or match.lastgroup is None:
            rule = f"is no label map (at byte {at})"
            raise DataError(path, rule, got=for_message(content[at : at + 20]), do=_EXAMPLE)
        at = match.end()
        kind, value = match.lastgroup, match[0]
        if kind == "text":
            yield kind, _ESCAPE.sub(_character, value[1:-1])
        elif kind != "blank":
            yield kind, value


def _in_utf8(path: Path) -> bytes:
    """The bytes of a text file, of UTF-16 as UTF-8, without byte order mark. Raises DataError."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, "is too large for a label map")
    check_pointer(path)
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]:
        has_mark = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        without_mark = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
        try:
            return content.decode("utf-16" if has_mark else without_mark).encode()
        except ValueError:
            raise DataError(path, "is damaged UTF-16", do="Save it as UTF-8.") from None
    return content.removeprefix(codecs.BOM_UTF8)


def _character(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, letter = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(min(code, 0x10FFFF)).encode(errors="replace")
    return _LETTERS.get(letter, letter)


def _decode(path: Path, field: bytes | int) -> str | int:
    """The text of a field. Raises DataError for what is no UTF-8, such as Windows' code pages."""
    if isinstance(field, int):
        return field
    try:
        return field.decode()
    except UnicodeDecodeError:
        got = field.decode("latin-1")
        raise DataError(
            path, "must be UTF-8", got=for_message(got), do="Save it as UTF-8."
        ) from None
