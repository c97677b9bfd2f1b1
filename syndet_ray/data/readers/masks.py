"""Masks: the box around a segmentation as COCO writes it, polygons or run lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from syndet_ray.data.readers.labels import NO_EDGES, Edges
from syndet_ray.data.readers.values import is_number, number

_MOST_BITS = 40  # of a run length: more pixels than any image has


def mask_edges(segmentation: Any) -> Edges | None:
    """The continuous edges of a segmentation; None where it has no area or cannot be read.

    A segmentation is a list of polygons [x, y, x, y, ...], or run lengths {"size": [height, width],
    "counts": list or text}, column after column, beginning with background (maskApi.c of
    cocodataset/cocoapi).
    """
    if isinstance(segmentation, dict):
        return _run_edges(segmentation)
    if isinstance(segmentation, list):
        return _polygon_edges(segmentation)
    return None


def edges_of_short_box(box: Any) -> Edges:
    """The continuous edges of the box of a mask as [x, y, max - min, max - min]; NaN if it is none.

    Such sides count from the first pixel of the mask to the last. The last one is visible too, so
    that the box ends one pixel later.
    """
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return NO_EDGES
    x, y, width, height = map(number, box)
    return x, y, x + width + 1, y + height + 1


def _polygon_edges(polygons: list[Any]) -> Edges | None:
    if polygons and not isinstance(polygons[0], list):
        polygons = [polygons]  # one polygon that is not in a list
    numbers: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2 or not all(map(is_number, polygon)):
            return None
        numbers += polygon
    if not numbers:
        return None
    xs, ys = numbers[0::2], numbers[1::2]
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def _run_edges(mask: dict[str, Any]) -> Edges | None:
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_number, size)):
        return None
    runs = _run_lengths(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(map(is_number, runs)) or min(runs, default=0) < 0:
        return None
    height = int(size[0])
    ends = np.cumsum(np.array(runs, np.int64))
    if not len(ends) or height < 1 or ends[-1] > height * int(size[1]):
        return None
    starts, ends = ends[0:-1:2], ends[1::2]
    starts, ends = starts[starts < ends], ends[starts < ends]
    if not len(starts):
        return None
    last = ends - 1
    columns, last_columns = starts // height, last // height
    is_one_column = columns == last_columns
    tops = np.where(is_one_column, starts % height, 0)
    bottoms = np.where(is_one_column, last % height, height - 1)
    return (
        float(columns.min()),
        float(tops.min()),
        float(last_columns.max() + 1),
        float(bottoms.max() + 1),
    )


def _run_lengths(text: str) -> Sequence[int] | None:
    """Run lengths from COCO's text: six bits a character, the lowest five first, then a bit that
    says that more follow; from the fourth on differences to the run length before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > _MOST_BITS:
            return None
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return None if shift else runs
