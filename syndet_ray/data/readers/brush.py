"""Brush masks of Label Studio: the box around one, from its packed runs.

The bytes are a stream of bits, highest first: the number of values (32 bits), the bits of a value
less one (5), four sizes of run lengths less one (4 each); then runs until all values are there: 1
bit that says if one value is repeated, 2 bits that choose a size, the length less one, and the
repeated value or as many values (rle-pack of thi-ng/umbrella). The values are the red, green, blue
and alpha of the pixels, row after row; a pixel is painted where its alpha is not 0.
"""

from collections.abc import Iterator
from typing import Any

from syndet_ray.data.readers.labels import Edges

_CHANNELS = 4
_ALPHA = 3


def brush_edges(packed: Any, wh: tuple[int, int]) -> Edges | None:
    """The continuous edges of a mask; None where nothing is painted or it cannot be read.

    packed  whole numbers from 0 to 255
    wh      the size of the image, pixels
    """
    width, height = wh
    try:
        bits = _Bits(bytes(packed))
        spans = list(_spans(bits, width * height))
    except (TypeError, ValueError):  # no list of bytes, or one that ends too early
        return None
    if not spans:
        return None
    lefts, rights, rows = [], [], []
    for first, last in spans:
        is_one_row = first // width == last // width
        lefts.append(first % width if is_one_row else 0)
        rights.append(last % width if is_one_row else width - 1)
        rows += [first // width, last // width]
    return float(min(lefts)), float(min(rows)), float(max(rights) + 1), float(max(rows) + 1)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def number(self, size: int) -> int:
        """The number in the next bits. Raises ValueError at the end."""
        end = self._at + size
        if end > len(self._bits):
            raise ValueError
        number = int(self._bits[self._at : end], 2)
        self._at = end
        return number


def _spans(bits: _Bits, pixels: int) -> Iterator[tuple[int, int]]:
    """(first, last) pixel of each painted stretch. Raises ValueError for another size."""
    count = bits.number(32)
    if count != pixels * _CHANNELS:
        raise ValueError
    value_bits = bits.number(5) + 1
    sizes = [bits.number(4) + 1 for _ in range(4)]
    at = 0
    while at < count:
        is_repeated = bits.number(1)
        size = sizes[bits.number(2)]
        end = at + 1 + bits.number(size)
        if end > count:
            raise ValueError
        if not is_repeated:
            for i in range(at, end):
                if bits.number(value_bits) and i % _CHANNELS == _ALPHA:
                    yield i // _CHANNELS, i // _CHANNELS
        elif bits.number(value_bits):
            first, last = at // _CHANNELS, (end - _CHANNELS) // _CHANNELS
            if first <= last:  # the run holds an alpha
                yield first, last
        at = end
