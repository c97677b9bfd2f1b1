"""Marks: the boxes of a picture, each with what it is: a label, or how a prediction and the truth
went together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syndet_ray.boxes import iou
from syndet_ray.runs.results import Picture

What = Literal["label", "found", "missed", "hit", "false alarm"]
Window = tuple[int, int, int, int]  # x1, y1, x2, y2 of what is shown of a picture, pixels
MATCH_IOU = 0.5
_MARGIN = 1.2  # of the window around all boxes


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One box. what: "label" in training images; "found" or "missed" for a true box; "hit" or
    "false alarm" for a prediction, which alone has a score. xyxy in pixels."""

    what: What
    name: str
    xyxy: tuple[float, ...]
    score: float | None = None


def marks(picture: Picture) -> tuple[Mark, ...]:
    """The marks of a picture; those of predictions come last, so that they are drawn over the
    truth.
    """
    if picture.truth is None or picture.scores is None:
        return tuple(
            _mark("label", name, box) for name, box in zip(picture.names, picture.xyxy, strict=True)
        )
    hit, found = matches(picture)
    truth = zip(picture.truth_names, picture.truth, found, strict=True)
    predicted = zip(picture.names, picture.xyxy, picture.scores, hit, strict=True)
    return (
        *(_mark("found" if seen else "missed", name, box) for name, box, seen in truth),
        *(
            _mark("hit" if right else "false alarm", name, box, score)
            for name, box, score, right in predicted
        ),
    )


def matches(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """(n,) which predictions hit, and (m,) which true boxes were hit.

    A hit has an IoU of at least .5 with a true box of the same class. Greedy by confidence, one
    true box each, as COCO matches.
    """
    assert picture.truth is not None
    assert picture.scores is not None
    hit, found = np.zeros(len(picture.xyxy), bool), np.zeros(len(picture.truth), bool)
    overlap = iou(picture.xyxy, picture.truth)
    same = np.array([[a == b for b in picture.truth_names] for a in picture.names], bool).reshape(
        overlap.shape
    )
    for i in np.argsort([-score for score in picture.scores], kind="stable"):
        free = np.where(same[i] & ~found, overlap[i], 0)
        if len(free) and free.max() >= MATCH_IOU:
            hit[i] = found[free.argmax()] = True
    return hit, found


def common_side(pictures: Sequence[Picture]) -> int:
    """Side of the square window, in pixels, that fits into every picture: at one scale, sizes can
    be compared.
    """
    return min(min(picture.image.shape[:2]) for picture in pictures)


def crowded_window(picture: Picture, side: int) -> Window:
    """The square of `side` pixels around the median box."""
    boxes = _all_boxes(picture)
    return _window(
        picture, np.median(boxes[:, :2] + boxes[:, 2:], axis=0) / 2 if len(boxes) else None, side
    )


def full_window(picture: Picture) -> Window:
    """The square that holds every box, with a margin; the whole picture where it has none."""
    corners, longest = _all_boxes(picture).reshape(-1, 2), max(picture.image.shape[:2])
    if not len(corners):
        return _window(picture, None, longest)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return _window(
        picture, (low + high) / 2, min(longest, round(_MARGIN * float((high - low).max())))
    )


def _window(picture: Picture, center_xy: np.ndarray | None, side: int) -> Window:
    """A square around a point, or the middle, moved so that as little as possible lies outside the
    picture.
    """
    height, width = picture.image.shape[:2]
    x, y = (width / 2, height / 2) if center_xy is None else center_xy
    x1, y1 = _start(x, side, width), _start(y, side, height)
    return x1, y1, x1 + side, y1 + side


def _start(center: float, side: int, length: int) -> int:
    """Where a window of `side` around `center` begins; centred where it is longer than the picture."""
    return (
        (length - side) // 2
        if side >= length
        else min(max(0, round(center - side / 2)), length - side)
    )


def _all_boxes(picture: Picture) -> np.ndarray:
    return picture.xyxy if picture.truth is None else np.concatenate([picture.xyxy, picture.truth])


def _mark(what: What, name: str, box: np.ndarray, score: float | None = None) -> Mark:
    return Mark(
        what=what, name=name, xyxy=tuple(round(float(edge), 2) for edge in box), score=score
    )
