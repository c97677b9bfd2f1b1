"""Footer of a Parquet file: where the bytes of its columns lie.

pyarrow gives the same facts, but its process ends, without an exception, at a footer whose values
contradict each other. A footer is a struct in Thrift's compact protocol, its fields by number:
github.com/apache/parquet-format, parquet.thrift.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_TAIL_BYTES = 8  # the length of the footer, 4 bytes, and the magic
_MOST_VARINT_BITS = 63
_MOST_NESTED = 16  # structs in structs; those of Parquet are 5 deep
_UNCOMPRESSED = 0
_ROW_GROUPS, _COLUMNS, _META_DATA, _ROWS = 4, 1, 3, 3  # numbers of fields


class MalformedError(ValueError):
    """The bytes are no footer of the expected shape."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The bytes of one column in one row group.

    path        names from the root, joined by dots
    values      nulls and empty lists included
    start, end  the first byte of its data, and the one after its last, in the file
    is_plain    True without compression or a dictionary
    """

    path: str
    values: int
    start: int
    end: int
    is_plain: bool


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """A row group."""

    rows: int
    chunks: tuple[Chunk, ...]


def read_groups(path: Path) -> list[RowGroup]:
    """The row groups of a Parquet file. Raises MalformedError, and OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > size - _TAIL_BYTES:
            raise MalformedError("it does not end as Parquet files do")
        file.seek(size - _TAIL_BYTES - length)
        content = file.read(length)
    try:
        footer = _Thrift(content).struct()
        return [_group(fields) for fields in footer[_ROW_GROUPS]]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise MalformedError("its footer is damaged") from error


def _group(fields: dict[int, Any]) -> RowGroup:
    chunks = [_chunk(column[_META_DATA]) for column in fields[_COLUMNS]]
    return RowGroup(rows=_number(fields[_ROWS]), chunks=tuple(chunks))


def _chunk(fields: dict[int, Any]) -> Chunk:
    path = b".".join(fields[3]).decode()
    codec, values, length, start = (_number(fields[number]) for number in (4, 5, 7, 9))
    dictionary = fields.get(11)
    return Chunk(
        path=path,
        values=values,
        start=start,
        end=start + length,
        is_plain=codec == _UNCOMPRESSED and dictionary is None,
    )


def _number(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise MalformedError("a number is negative or missing")
    return value


class _Thrift:
    """Reads values of Thrift's compact protocol, one after another.

    Raises IndexError at the end of the bytes, and MalformedError.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._nested = 0
        # by the type in the head of a field or list
        self._readers: dict[int, Callable[[], Any]] = {
            1: lambda: True,
            2: lambda: False,
            3: self._byte,
            4: self._integer,
            5: self._integer,
            6: self._integer,
            7: lambda: self._take(8),
            8: lambda: self._take(self._varint()),
            9: self._list,
            10: self._list,
            12: self.struct,
        }

    def struct(self) -> dict[int, Any]:
        """The fields of a struct, by their numbers."""
        self._nested += 1
        if self._nested > _MOST_NESTED:
            raise MalformedError("it is nested too deeply")
        fields = dict(self._fields())
        self._nested -= 1
        return fields

    def _fields(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self._integer()
            yield number, self._reader(head & 0xF)()

    def _list(self) -> list[Any]:
        head = self._byte()
        count = head >> 4
        if count == 0xF:
            count = self._varint()
        if head & 0xF in (1, 2):  # in a list, each boolean is a byte
            return list(self._take(count))
        if count > len(self._content):
            raise MalformedError("a list is longer than the footer")
        read = self._reader(head & 0xF)
        return [read() for _ in range(count)]

    def _reader(self, kind: int) -> Callable[[], Any]:
        if kind not in self._readers:
            raise MalformedError(f"there is no type {kind}")
        return self._readers[kind]

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def _varint(self) -> int:
        value = self._content[self._at]
        self._at += 1
        if value < 0x80:  # most are: a footer of a million images has millions of integers
            return value
        value &= 0x7F
        for shift in range(7, _MOST_VARINT_BITS + 1, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MalformedError("an integer is too long")

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self._at:
            raise IndexError(count)
        self._at += count
        return self._content[self._at - count : self._at]
