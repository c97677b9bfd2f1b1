"""Protobuf text: reads messages in the text format, without their definition.

The format: protobuf.dev/reference/protobuf/textformat-spec. Names are not checked, because nothing
here says which a message has.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.errors import DefinitionError
from syndet_ray.importing.settings import MOST_DEPTH, ForeignSetting, Scalar, read_text
from syndet_ray.wording import printable

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>(0[xX][0-9a-fA-F]+|\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?)[fF]?)
    |(?P<string>"([^"\\\n]|\\[^\n])*"|'([^'\\\n]|\\[^\n])*')
    |(?P<sign>[-{}<>:\[\],;./])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL
)
_PLAIN_ESCAPES = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}
_ENDS = {"{": "}", "<": ">"}
_WORDS: dict[str, Scalar] = {"true": True, "True": True, "false": False, "False": False}


@dataclass(frozen=True, kw_only=True)
class _Token:
    """kind  name, number, string, sign, or end after the last one"""

    kind: str
    text: str
    line: int
    column: int


def read(file: Path) -> list[ForeignSetting]:
    """The settings of a file.

    Raises DefinitionError, with line and column, where it is no protobuf text.
    """
    return _Parser(file, read_text(file)).settings()


class _Parser:
    def __init__(self, file: Path, content: str) -> None:
        self._file = file
        self._tokens = _split(file, content)
        self._next = next(self._tokens)
        self._settings: list[ForeignSetting] = []
        self._groups = 0

    def settings(self) -> list[ForeignSetting]:
        self._message((), end="", opened=None)
        return self._settings

    def _message(self, keys: tuple[str, ...], *, end: str, opened: _Token | None) -> None:
        """Reads fields up to the sign that ends the message, or the end of the file."""
        self._groups += 1
        group = self._groups
        if len(keys) > MOST_DEPTH:
            self._fail(f"messages must not be nested in more than {MOST_DEPTH} others")
        while self._next.kind != "end" and self._next.text != end:
            self._field(keys, group)
        if end and self._next.kind == "end":
            assert opened is not None
            where = f"line {opened.line}, column {opened.column}"
            self._fail(f"must end with {end!r}: the message of {where} is not closed")
        if end:
            self._take()

    def _field(self, keys: tuple[str, ...], group: int) -> None:
        name = self._take()
        if name.kind != "name":
            self._fail("must be the name of a setting", name)
        keys = (*keys, name.text)
        if self._next.text == ":" and self._next.kind == "sign":
            self._take()
        elif self._next.text not in _ENDS:
            self._fail("must be ':' or '{'")
        if self._is_sign("["):
            self._list(keys, group)
        else:
            self._value(keys, group)
        if self._is_sign(",") or self._is_sign(";"):
            self._take()

    def _list(self, keys: tuple[str, ...], group: int) -> None:
        self._take()
        while not self._is_sign("]"):
            self._value(keys, group)
            if self._is_sign(","):
                self._take()
            elif not self._is_sign("]"):
                self._fail("must be ',' or ']'")
        self._take()

    def _value(self, keys: tuple[str, ...], group: int) -> None:
        """Reads a value, or a message."""
        if self._next.kind == "sign" and self._next.text in _ENDS:
            opened = self._take()
            self._message(keys, end=_ENDS[opened.text], opened=opened)
            return
        line = self._next.line
        value = self._scalar()
        self._settings.append(
            ForeignSetting(file=self._file, line=line, keys=keys, value=value, group=group)
        )

    def _scalar(self) -> Scalar:
        negative = self._is_sign("-")
        if negative:
            self._take()
        token = self._take()
        if token.kind == "number":
            return self._number(token, negative)
        if token.kind == "name":
            # "inf" and "nan" stay words, which no setting here may be
            return f"-{token.text}" if negative else _WORDS.get(token.text, token.text)
        if token.kind == "string" and not negative:
            return self._string(token)
        return self._fail("must be a value", token)

    def _number(self, token: _Token, negative: bool) -> Scalar:
        is_hexadecimal = token.text.lower().startswith("0x")
        words = token.text if is_hexadecimal else token.text.rstrip("fF")
        sign = -1 if negative else 1
        try:
            if is_hexadecimal:
                return sign * int(words, 16)
            if re.fullmatch(r"0[0-7]+", words):
                return sign * int(words, 8)
            return sign * (int(words) if words.isdigit() else float(words))
        except ValueError:  # Python's limit of 4300 digits
            return self._fail(f"must be a number of fewer than {len(words)} digits", token)

    def _string(self, token: _Token) -> str:
        """The text of a string and of those that directly follow it."""
        content = _without_escapes(token.text[1:-1])
        while self._next.kind == "string":
            content += _without_escapes(self._take().text[1:-1])
        return content.decode("utf-8", "replace")

    def _is_sign(self, sign: str) -> bool:
        return self._next.kind == "sign" and self._next.text == sign

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _fail(self, rule: str, token: _Token | None = None) -> "Scalar":
        token = token or self._next
        got = "the end of the file" if token.kind == "end" else token.text[:40]
        place = _place(self._file, token.line, token.column)
        raise DefinitionError(place, rule, got=got)


def _split(file: Path, content: str) -> Iterator[_Token]:
    """Yields the tokens of a text, and one of kind "end"."""
    position, line, line_start = 0, 1, 0
    while position < len(content):
        match = _TOKEN.match(content, position)
        column = position - line_start + 1
        if match is None:
            is_string = content[position] in "\"'"
            rule = "a string must end on its line" if is_string else "cannot be read"
            got = content[position : position + 20].split("\n")[0]
            raise DefinitionError(_place(file, line, column), rule, got=got)
        kind, words = match.lastgroup, match.group()
        assert kind is not None
        if kind != "space":
            yield _Token(kind=kind, text=words, line=line, column=column)
        position = match.end()
        line += words.count("\n")
        if "\n" in words:
            line_start = match.start() + words.rindex("\n") + 1
    yield _Token(kind="end", text="", line=line, column=position - line_start + 1)


def _place(file: Path, line: int, column: int) -> str:
    return f"{printable(str(file))}:{line}:{column}"


def _without_escapes(words: str) -> bytes:
    return _ESCAPE.sub(_escaped_bytes, words.encode("utf-8", "replace"))


def _escaped_bytes(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] in b"01234567":
        return bytes([int(code, 8) & 0xFF])
    if code[:1] in b"xX" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1] in b"uU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(min(number, 0x10FFFF)).encode("utf-8", "replace")
    return _PLAIN_ESCAPES.get(code, code)
