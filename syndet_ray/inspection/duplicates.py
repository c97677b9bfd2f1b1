"""Duplicates: images that occur more than once, exactly or nearly.

Near copies were rescaled, compressed again, or made a little brighter.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.progress import Progress

MOST_BITS = 10  # of 64: the prints of near duplicates differ in at most this many
# The small grey pictures of near duplicates correlate at least this much. Measured on photos of
# dice in one tray under a fixed camera: other throws reach 0.971. Copies at 0.6 of the size, a
# tenth brighter and as JPEG of quality 40 reach at least 0.997.
LEAST_CORRELATION = 0.99
_SMALL_PX = 64  # side of the small grey pictures: 4 kB for each image stay in memory
# Candidates of a part that are compared as photos, the most similar first. Under a fixed camera all
# photos are alike, and comparing all of them would take too long.
_MOST_COMPARED = 3
_BLOCK = 512  # images compared with all others at once


@dataclass(frozen=True, eq=False, kw_only=True)
class Print:
    """The fingerprint by which an image is recognized.

    exact  SHA-256 of its size and pixels
    bits   64-bit difference hash: for each of 8 x 8 places, 1 when it is brighter than its right
           neighbour (Krawetz 2013)
    small  (64, 64) uint8 grey levels, for an image of any shape
    """

    exact: str
    bits: int
    small: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images that are alike, by their positions, first < second.

    bits  number of bits by which their prints differ, 0 when exact
    """

    first: int
    second: int
    exact: bool
    bits: int


def print_of(rgb: np.ndarray) -> Print:
    """The print of an image (h, w, 3) uint8 RGB."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    coarse = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int64)
    is_brighter = coarse[:, :-1] > coarse[:, 1:]
    bits = int.from_bytes(np.packbits(is_brighter).tobytes(), "big")
    small = cv2.resize(grey, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA)
    pixels = np.ascontiguousarray(rgb).tobytes()
    digest = hashlib.sha256(f"{rgb.shape}".encode() + pixels)
    return Print(exact=digest.hexdigest(), bits=bits, small=small)


def pairs(
    prints: Sequence[Print],
    parts: Sequence[int],
    show_the_same: Callable[[int, int], bool] = lambda i, j: True,
    progress: Progress | None = None,
) -> list[Pair]:
    """Pairs every image with the earlier image that is most similar, one from each part.

    So a photo that is in train, in test and in another source is reported for each of them. But n
    equal images in one part give n - 1 pairs, not all. Difference hashes propose pairs and small
    pictures decide, because flat backgrounds have similar hashes.

    parts          (n,) the part that each image belongs to
    show_the_same  decides on two images that are alike, given their positions. It is called when
                   they are not the same to the last bit, for at most three images of a part
    progress       is called with (images compared, images in all)
    """
    bits = np.array([image.bits for image in prints], np.uint64)
    part_of = np.asarray(parts)
    pairs = list[Pair]()
    for start in range(0, len(prints), _BLOCK):
        end = min(start + _BLOCK, len(prints))
        differing = np.bitwise_count(bits[start:end, None] ^ bits[None, :end])
        is_earlier = np.arange(end) < np.arange(start, end)[:, None]
        for row, others in _group_columns(np.argwhere((differing <= MOST_BITS) & is_earlier)):
            i = start + row
            for j in _most_similar(prints, i, others, part_of, show_the_same):
                exact = prints[i].exact == prints[j].exact
                pairs.append(Pair(first=j, second=i, exact=exact, bits=int(differing[row, j])))
        if progress is not None:
            progress(end, len(prints))
    return pairs


def _group_columns(places: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The columns of each row, for places (k, 2) in ascending order."""
    if not len(places):
        return []
    rows, starts = np.unique(places[:, 0], return_index=True)
    columns = np.split(places[:, 1], starts[1:])
    return list(zip(rows.tolist(), columns, strict=True))


def _most_similar(
    prints: Sequence[Print],
    i: int,
    others: np.ndarray,
    part_of: np.ndarray,
    show_the_same: Callable[[int, int], bool],
) -> Iterator[int]:
    """In each part the image of `others` that is most similar to image i and shows the same."""
    by_part = defaultdict[int, list[tuple[float, int]]](list)
    for j in others.tolist():
        similarity = _similarity(prints[i], prints[j])
        if similarity >= LEAST_CORRELATION:
            by_part[int(part_of[j])].append((similarity, j))
    for candidates in by_part.values():
        ranked = sorted(candidates, key=lambda candidate: -candidate[0])
        for _, j in ranked[:_MOST_COMPARED]:
            if prints[i].exact == prints[j].exact or show_the_same(i, j):
                yield j
                break


def _similarity(one: Print, other: Print) -> float:
    """Correlation of two small pictures, at most 1; 2 when the images are the same to the last bit.

    0 for a blank picture, which correlates with nothing.
    """
    if one.exact == other.exact:
        return 2.0
    x = one.small.astype(np.float64) - one.small.mean()
    y = other.small.astype(np.float64) - other.small.mean()
    lengths = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / lengths if lengths else 0.0
