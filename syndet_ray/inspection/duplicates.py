"""Duplicates: images that are there more than once, exactly or nearly: rescaled, compressed anew, a
little brighter.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

MOST_BITS = 10  # of 64 in which the prints of near duplicates differ at most
# Their small grey pictures correlate at least so. Measured on photos of dice in one tray under a
# fixed camera: other throws reach 0.971, copies at 0.6 of the size, a tenth brighter and as JPEG of
# quality 40 at least 0.997.
LEAST_CORRELATION = 0.99
_SMALL_PX = 64
# in each part, the likest first, for one that shows the same: of a fixed camera all are alike
_MOST_LOOKED_AT = 3
_BLOCK = 512  # images compared with all others at once


@dataclass(frozen=True, eq=False, kw_only=True)
class Print:
    """What an image is known again by.

    exact  SHA-256 of its size and pixels
    bits   64-bit difference hash: whether each of 8 x 8 places is brighter than its right neighbour
           (Krawetz 2013)
    small  (64, 64) uint8 grey levels, whatever the image's shape
    """

    exact: str
    bits: int
    small: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images by their positions, first < second, that are alike. bits: by which their prints
    differ, 0 where exact.
    """

    first: int
    second: int
    exact: bool
    bits: int


def print_of(rgb: np.ndarray) -> Print:
    """The print of an image (h, w, 3) uint8 RGB."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    coarse = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int64)
    bits = int.from_bytes(np.packbits(coarse[:, :-1] > coarse[:, 1:]).tobytes(), "big")
    small = cv2.resize(grey, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA)
    digest = hashlib.sha256(f"{rgb.shape}".encode() + np.ascontiguousarray(rgb).tobytes())
    return Print(exact=digest.hexdigest(), bits=bits, small=small)


def pairs(
    prints: Sequence[Print],
    parts: Sequence[int],
    show_the_same: Callable[[int, int], bool] = lambda i, j: True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Pair]:
    """Every image with the image before it that it resembles most, one from each part that holds
    such an image.

    So a photo that stands in train, in test and in another source is told for each; but of n equal
    images in one part n - 1 pairs are told, not all. Difference hashes propose, small pictures
    decide: flat grounds have like hashes. parts (n,): what the images belong to. `show_the_same`
    has the last word on two that are alike, given their positions; it is asked where they are not
    the same to the last bit, of at most three a part. `progress` is told (images compared, images
    in all).
    """
    bits = np.array([found.bits for found in prints], np.uint64)
    parts_of, found = np.asarray(parts), list[Pair]()
    for start in range(0, len(prints), _BLOCK):
        end = min(start + _BLOCK, len(prints))
        differing = np.bitwise_count(bits[start:end, None] ^ bits[None, :end])
        before = np.arange(end) < np.arange(start, end)[:, None]
        for row, others in _grouped(np.argwhere((differing <= MOST_BITS) & before)):
            i = start + row
            found += [
                Pair(
                    first=j,
                    second=i,
                    exact=prints[i].exact == prints[j].exact,
                    bits=int(differing[row, j]),
                )
                for j in _likest(prints, i, others, parts_of, show_the_same)
            ]
        if progress is not None:
            progress(end, len(prints))
    return found


def _grouped(places: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Columns by row, of places (k, 2) in ascending order."""
    rows, starts = np.unique(places[:, 0], return_index=True)
    return (
        list(zip(rows.tolist(), np.split(places[:, 1], starts[1:]), strict=True))
        if len(rows)
        else []
    )


def _likest(
    prints: Sequence[Print],
    i: int,
    others: np.ndarray,
    parts: np.ndarray,
    show_the_same: Callable[[int, int], bool],
) -> Iterator[int]:
    """Of `others` in each part the likest to image i that shows the same, where one does."""
    by_part = defaultdict[int, list[tuple[float, int]]](list)
    for j in others.tolist():
        alike = _alike(prints[i], prints[j])
        if alike >= LEAST_CORRELATION:
            by_part[int(parts[j])].append((alike, j))
    for candidates in by_part.values():
        likest = sorted(candidates, key=lambda candidate: -candidate[0])[:_MOST_LOOKED_AT]
        one = next(
            (j for _, j in likest if prints[i].exact == prints[j].exact or show_the_same(i, j)),
            None,
        )
        if one is not None:
            yield one


def _alike(one: Print, other: Print) -> float:
    """Correlation of two small pictures, 1 or less; 2 where the images are the same to the last
    bit.
    """
    if one.exact == other.exact:
        return 2.0
    x, y = (found.small.astype(np.float64) - found.small.mean() for found in (one, other))
    lengths = float(np.sqrt((x * x).sum() * (y * y).sum()))
    # of a blank picture nothing can be told
    return float((x * y).sum()) / lengths if lengths else 0.0
