"""TFRecord files of the TensorFlow Object Detection API, read without TensorFlow.

Framing: length (uint64), masked crc32c of it, data, masked crc32c of that, all little-endian; data is a serialised
tf.train.Example. Field names and their conventions: object_detection/core/standard_fields.py of tensorflow/models.
Boxes are stored as shares of the image's height and width, labels count from 1.
"""

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError

Feature = list[bytes] | list[float] | list[int]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BOX = "image/object/bbox/"


def read_tfrecord(path: Path, names: dict[int, str]) -> list[tuple[Record, list[str]]]:
    """Every image of a file with the class name of each of its boxes; the boxes' own labels are still all 0.

    `names` maps 1-based labels to class names; where a record holds class texts, these win. Raises DataError naming the
    file, the record and the rule.
    """
    return [_record(f"{path}, record {i}", data, names) for i, data in enumerate(_frames(path))]


def read_label_map(path: Path) -> dict[int, str]:
    """Names by 1-based id, of a .pbtxt label map."""
    names = {}
    for item in re.findall(r"item\s*\{(.*?)\}", path.read_text(), re.DOTALL):
        number, name = re.search(r"\bid\s*:\s*(\d+)", item), re.search(r"\bname\s*:\s*['\"](.*?)['\"]", item)
        if number is None or name is None:
            raise DataError(path, "every item must have an id and a name", got=item.strip())
        names[int(number[1])] = name[1]
    return names


def _frames(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    at, count = 0, 0
    while at < len(data):
        place = f"{path}, record {count} at byte {at}"
        if at + 12 > len(data):
            raise DataError(place, "the file ends in the middle of a record", do="Copy or export the file again.")
        (length,) = struct.unpack_from("<Q", data, at)
        if _masked_crc32c(data[at : at + 8]) != struct.unpack_from("<I", data, at + 8)[0]:
            raise DataError(place, "the length has a wrong checksum: not a TFRecord file, or damaged")
        end = at + 12 + length
        if end + 4 > len(data):
            raise DataError(place, "the file ends in the middle of a record", do="Copy or export the file again.")
        body = data[at + 12 : end]
        if _masked_crc32c(body) != struct.unpack_from("<I", data, end)[0]:
            raise DataError(place, "the data has a wrong checksum: the file is damaged", do="Copy or export it again.")
        yield body
        at, count = end + 4, count + 1


def _record(place: str, data: bytes, names: dict[int, str]) -> tuple[Record, list[str]]:
    features = _example(place, data)
    encoded = _one_bytes(features, "image/encoded")
    if not encoded:
        raise DataError(place, "image/encoded is empty", do="Export the records with their images.")
    width, height = _size(place, encoded)
    edges = [np.asarray(features.get(_BOX + edge, []), np.float64) for edge in ("xmin", "ymin", "xmax", "ymax")]
    if len({len(edge) for edge in edges}) != 1:
        raise DataError(place, "xmin, ymin, xmax and ymax must be of one length", got=[len(edge) for edge in edges])
    xyxy = np.stack(edges, axis=1) * (width, height, width, height)
    crowd = features.get("image/object/is_crowd") or features.get("image/object/group_of") or [0] * len(xyxy)
    classes = _classes(place, features, len(xyxy), names)
    name = _one_bytes(features, "image/source_id") or _one_bytes(features, "image/filename")
    boxes = Boxes.of(xyxy, np.zeros(len(xyxy)), crowd=crowd)
    return Record(name.decode(errors="replace") or place, encoded, boxes, place), classes


def _classes(place: str, features: dict[str, Feature], count: int, names: dict[int, str]) -> list[str]:
    texts = [str(text, "utf-8") for text in features.get("image/object/class/text", []) if isinstance(text, bytes)]
    if len(texts) == count and all(texts):
        return texts
    labels = [int(label) for label in features.get("image/object/class/label", [])]
    if len(labels) != count:
        raise DataError(place, f"must have one class for each of its {count} boxes", got=len(labels))
    for label in labels:
        if label not in names:
            do = "Labels count from 1; put the label map (.pbtxt) beside the records."
            raise DataError(place, f"a label must be one of {sorted(names)} of the label map", got=label, do=do)
    return [names[label] for label in labels]


def _size(place: str, encoded: bytes) -> tuple[int, int]:
    """Width and height of the image as it is shown, after EXIF orientation."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.height, image.width) if turned else (image.width, image.height)
    except OSError as error:
        raise DataError(place, f"the image cannot be read ({error})") from None


def _one_bytes(features: dict[str, Feature], name: str) -> bytes:
    values = features.get(name, [])
    return values[0] if values and isinstance(values[0], bytes) else b""


def _example(place: str, data: bytes) -> dict[str, Feature]:
    """Example{features=1} -> Features{feature=1, a map} -> entry{key=1, value=2}."""
    try:
        found: dict[str, Feature] = {}
        for _, _, features in _fields(data):
            for _, _, entry in _fields(_as_bytes(features)):
                parts = {number: _as_bytes(value) for number, _, value in _fields(_as_bytes(entry))}
                found[parts[1].decode()] = _feature(parts.get(2, b""))
        return found
    except (IndexError, KeyError, struct.error, UnicodeDecodeError, AssertionError):
        raise DataError(place, "is not a serialised tf.train.Example") from None


def _feature(data: bytes) -> Feature:
    """Feature{bytes_list=1 | float_list=2 | int64_list=3}, each {value=1}; numbers packed or one by one."""
    for kind, _, values in _fields(data):
        items = list(_fields(_as_bytes(values)))
        if kind == 1:
            return [_as_bytes(value) for _, _, value in items]
        read = _floats if kind == 2 else _ints
        return [number for _, wire, value in items for number in read(wire, value)]  # type: ignore[return-value]
    return []


def _floats(wire: int, value: bytes | int) -> list[float]:
    data = _as_bytes(value)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _ints(wire: int, value: bytes | int) -> list[int]:
    if wire == _VARINT:
        assert isinstance(value, int)
        return [_signed(value)]
    data, at, found = _as_bytes(value), 0, []
    while at < len(data):
        number, at = _varint(data, at)
        found.append(_signed(number))
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """(field number, wire type, value) of a protobuf message; fixed-size values as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if size is None:
            assert wire == _BYTES
            size, at = _varint(data, at)
        if at + size > len(data):
            raise IndexError
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _signed(number: int) -> int:
    """int64 is written as its two's complement."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _as_bytes(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value


def _crc32c_table() -> list[int]:
    """Castagnoli polynomial, bit-reflected."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def _masked_crc32c(data: bytes) -> int:
    """TFRecord's mask: the crc rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
