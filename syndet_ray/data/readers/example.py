"""TFRecord files without TensorFlow: their frames, checksums, and the tf.train.Example in each.

A frame is length (uint64), masked crc32c of it, data, masked crc32c of that, all little-endian
(tensorflow/core/lib/io/record_writer.h). The data is a protobuf message
(tensorflow/core/example/example.proto): Example{features=1} -> Features{feature=1, a map} ->
entry{key=1, value=2} -> Feature{bytes=1 | floats=2 | ints=3}.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from syndet_ray.data.images.encoded import Encoded, PartOfFile
from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.errors import DataError

Feature = list[bytes] | list[float] | list[int]
Features = dict[str, Feature]  # of one example, by name
Field = tuple[int, int, bytes | int]  # number, wire type, value

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# bytes that one step of the checksum takes: its table, 1 MiB, stays in the processor's cache
_BLOCK = 1024
_HEAD = 12  # bytes of a frame before its data
_MOST_VARINT_BITS = 70  # protobuf's integers take ten bytes at most
_LFS = b"version http"  # of a pointer that Git LFS leaves in place of a file
_GZIP = b"\x1f\x8b"
_LARGEST_COMPRESSED = 1 << 30  # bytes of one record; images are a thousand times smaller
_PART = 1 << 24  # bytes that are read at once
_DO = "Copy or export the file again."


class _MalformedError(ValueError):
    """The bytes are no protobuf message of the expected shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SerialExample:
    """A record whose checksums were right.

    place     file, record number and byte offset
    features  by name
    data      the serialised features
    part      where `data` lies in the file; None if the file is compressed
    """

    place: str
    features: Features
    data: bytes
    part: PartOfFile | None

    def image(self, content: bytes) -> Encoded:
        """An encoded image of the record, still in its file.

        It is the bytes themselves where the file is compressed. Its place is the first one where
        the record has these bytes, so that what is read later is equal.
        """
        if self.part is None:
            return content
        start = self.part.start + self.data.index(content)
        return PartOfFile(file=self.part.file, start=start, length=len(content))


def read_examples(path: Path) -> Iterator[SerialExample]:
    """Every record, also of a file that is compressed by gzip.

    Raises DataError naming file, record number and byte offset.
    """
    check_pointer(path)
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
        file.seek(0)
        if not is_compressed:
            yield from _examples(file, path, path.stat().st_size)
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _examples(unpacked, path, None)


def _examples(
    file: BinaryIO | gzip.GzipFile, path: Path, size: int | None
) -> Iterator[SerialExample]:
    """size: bytes of the file, None if it is compressed"""
    number = 0
    while True:
        at = file.tell()
        place = f"{path}, record {number} at byte {at}"
        limit = _LARGEST_COMPRESSED if size is None else max(size - at, 0)
        data = _frame(file, place, limit)
        if data is None:
            return
        try:
            features = parse_example(data)
        except _MalformedError as error:
            raise DataError(place, f"is not a tf.train.Example ({error})", do=_DO) from None
        part = None
        if size is not None:
            part = PartOfFile(file=path, start=at + _HEAD, length=len(data))
        yield SerialExample(place=place, features=features, data=data, part=part)
        number += 1


def parse_example(data: bytes) -> Features:
    """Features by name of a serialised tf.train.Example."""
    features: Features = {}
    for feature_map in _messages(data, 1):
        for entry in _messages(feature_map, 1):
            keys = _messages(entry, 1)
            values = _messages(entry, 2)
            name = keys[0].decode(errors="replace") if keys else ""
            features[name] = _feature(values[-1]) if values else []
    return features


def masked_crc32c(data: bytes) -> int:
    """TFRecord's checksum: the crc32c rotated right by 15 bits, plus a constant.

    Source: tensorflow/core/lib/hash/crc32c.h.
    """
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC with Castagnoli's polynomial (RFC 3720, B.4).

    A CRC is linear. So the bytes of a block are looked up all at once, each in the table of its
    distance from the block's end, and the results are added (xor). The CRC of all earlier blocks is
    added to the block's first four bytes.
    """
    table, crc = _table(), 0xFFFFFFFF
    octets = np.frombuffer(data, np.uint8)
    for start in range(0, len(octets), _BLOCK):
        block = octets[start : start + _BLOCK].copy()
        length = len(block)
        size = min(4, length)
        crc_octets = np.frombuffer(crc.to_bytes(4, "little"), np.uint8)
        block[:size] ^= crc_octets[:size]
        rows = table[-length:].reshape(-1)
        looked_up = rows[_row_starts(length) + block]
        crc = int(np.bitwise_xor.reduce(looked_up)) ^ (crc >> (8 * size))
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> np.ndarray:
    """(_BLOCK, 256) uint32: the crc of every byte followed by _BLOCK - 1 - row zero bytes."""
    table = np.empty((_BLOCK, 256), np.uint32)
    crc = table[-1]
    crc[:] = np.arange(256)
    for _ in range(8):
        crc[:] = (crc >> 1) ^ (crc & 1) * np.uint32(0x82F63B78)
    for row in range(_BLOCK - 2, -1, -1):
        below = table[row + 1]
        table[row] = crc[below & 0xFF] ^ (below >> 8)
    return table


@cache
def _row_starts(count: int) -> np.ndarray:
    return np.arange(count) * 256


def _frame(file: BinaryIO | gzip.GzipFile, place: str, limit: int) -> bytes | None:
    """The data of the next record, None at the end of the file.

    limit  bytes that a record may have: no more are asked for, whatever its length says
    """
    head = _read(file, _HEAD, place)
    if not head:
        return None
    if len(head) < _HEAD:
        raise DataError(place, "the file ends in the middle of a record", do=_DO)
    length, length_crc = struct.unpack("<QI", head)
    if masked_crc32c(head[:8]) != length_crc:
        rule = "the length has a wrong checksum: not a TFRecord file, or damaged"
        do = "Run: git lfs pull" if head.startswith(_LFS) else _DO
        raise DataError(place, rule, do=do)
    body = _read(file, length + 4, place) if length + 4 <= limit else b""
    if len(body) < length + 4:
        raise DataError(place, "the file ends in the middle of a record", do=_DO)
    data = body[:-4]
    (data_crc,) = struct.unpack("<I", body[-4:])
    if masked_crc32c(data) != data_crc:
        raise DataError(place, "the data has a wrong checksum: the file is damaged", do=_DO)
    return data


def _read(file: BinaryIO | gzip.GzipFile, size: int, place: str) -> bytes:
    """The next bytes, fewer at the end of the file; by parts, since a length may be wrong."""
    parts = []
    while size > 0:
        try:
            part = file.read(min(size, _PART))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(place, f"cannot be unpacked ({error})", do=_DO) from None
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _messages(data: bytes, number: int) -> list[bytes]:
    """The values of one length-delimited field; other fields are skipped, as protobuf asks."""
    return [_as_bytes(value) for field_number, _, value in _fields(data) if field_number == number]


def _feature(data: bytes) -> Feature:
    """The values of a feature; numbers may be packed into one field, or one in each field."""
    for kind, _, values in _fields(data):
        fields = _fields(_as_bytes(values))
        items = [(wire, value) for number, wire, value in fields if number == 1]
        if kind == 1:
            return [_as_bytes(value) for _, value in items]
        if kind == 2:
            return list(chain.from_iterable(_floats(value) for _, value in items))
        if kind == 3:
            return list(chain.from_iterable(_ints(wire, value) for wire, value in items))
    return []


def _floats(value: bytes | int) -> list[float]:
    data = _as_bytes(value)
    if len(data) % 4:
        raise _MalformedError("a list of floats is cut")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _ints(wire: int, value: bytes | int) -> list[int]:
    if isinstance(value, int):
        return [_to_signed(value)]
    if wire != _BYTES:
        raise _MalformedError("a list of integers holds something else")
    numbers = []
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(_to_signed(number))
    return numbers


def _fields(data: bytes) -> Iterator[Field]:
    """Every field of a message; fixed-size values as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise _MalformedError(f"unknown wire type {wire}")
        if at + size > len(data):
            raise _MalformedError("a field is longer than its message")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer at a position, seven bits a byte, lowest first, and the position after it."""
    value = 0
    for shift in range(0, _MOST_VARINT_BITS, 7):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _MalformedError("an integer has no end")


def _to_signed(number: int) -> int:
    """int64 is written as its two's complement."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _as_bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise _MalformedError("a number where a message is expected")
    return value
