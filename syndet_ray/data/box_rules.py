"""Box rules: boxes in the frame that is shown, clipped to it, and the rule that a box breaks."""

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.readers.labels import Edges, LabelledImage
from syndet_ray.data.readers.values import FURTHEST
from syndet_ray.errors import DataError

LEAST_PX = 1.0  # of a clipped box, its shorter side: less is no object that can be seen
_STEPS_PER_PX = 100  # files round edges to a hundredth of a pixel, or to less


def in_shown_frame(image: LabelledImage, header: picture.Header) -> list[Edges]:
    """The edges of boxes in pixels of the frame that is shown; NaN and infinity stay.

    Where EXIF swaps the sides, the size in the annotation shows if the boxes were made on the image
    as stored or as shown. Where it cannot show that, people label what they see. A size of 0 is
    none.
    """
    wh = image.wh if image.wh is not None and min(image.wh) > 0 else None
    is_stored = wh == header.stored_wh != header.shown_wh
    if is_stored and image.as_shown:
        is_stored, wh = False, None
    # shares of the sides also fit an image that was resized later
    if not (image.relative or is_stored or wh in (None, header.shown_wh)):
        rule = f"width and height must be those of the image file, {header.shown_wh}"
        raise DataError(image.place, rule, got=wh)
    edges = [box.xyxy for box in image.boxes]
    if image.relative:
        width, height = header.stored_wh if is_stored else header.shown_wh
        edges = [(x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2 in edges]
    if is_stored and edges:
        turned = header.turn_boxes(np.array(edges, np.float64))
        edges = [(x1, y1, x2, y2) for x1, y1, x2, y2 in turned.tolist()]
    return edges


def is_within(edges: Edges, wh: tuple[int, int]) -> bool:
    """True for a box that has an area and lies in its image, as almost all do."""
    x1, y1, x2, y2 = edges
    width, height = wh
    return 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height


def clip(edges: Edges, wh: tuple[int, int]) -> Edges:
    """The edges moved into the image."""
    x1, y1, x2, y2 = edges
    width, height = wh
    left, right = min(max(x1, 0), width), min(max(x2, 0), width)
    top, bottom = min(max(y1, 0), height), min(max(y2, 0), height)
    return left, top, right, bottom


def spill_px(edges: Edges, inside: Edges) -> float:
    """The farthest that an edge leaves the image."""
    return max(abs(given - moved) for given, moved in zip(edges, inside, strict=True))


def shorter_px(edges: Edges) -> float:
    """The shorter side of a box."""
    x1, y1, x2, y2 = edges
    return min(x2 - x1, y2 - y1)


def hundredths(edges: Edges) -> tuple[int, int, int, int]:
    """The edges in hundredths of a pixel: equal for two boxes that no detector tells apart."""
    x1, y1, x2, y2 = edges
    return (
        round(x1 * _STEPS_PER_PX),
        round(y1 * _STEPS_PER_PX),
        round(x2 * _STEPS_PER_PX),
        round(y2 * _STEPS_PER_PX),
    )


def broken_rule(edges: Edges, inside: Edges, wh: tuple[int, int]) -> str:
    """The rule that a box breaks, in words; "" if it breaks none.

    inside  the box clipped to its image
    """
    if not _is_finite(edges):
        return "a box must have four finite edges (x1, y1, x2, y2)"
    if _is_empty(edges):
        return "a box must have an area (x1, y1, x2, y2)"
    if _is_empty(inside):
        return f"a box must reach into its image, {wh[0]} x {wh[1]} pixels (x1, y1, x2, y2)"
    return ""


def region_of(edges: Edges, wh: tuple[int, int]) -> Edges | None:
    """The part of the image that a box means which breaks a rule, its corners in any order.

    None where it tells no part: with NaN, without width or height, or outside the image.
    """
    if not _is_finite(edges):
        return None
    x1, y1, x2, y2 = edges
    region = clip((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), wh)
    return region if shorter_px(region) >= LEAST_PX else None


def _is_finite(edges: Edges) -> bool:
    return all(abs(edge) <= FURTHEST for edge in edges)


def _is_empty(edges: Edges) -> bool:
    x1, y1, x2, y2 = edges
    return x1 >= x2 or y1 >= y2
