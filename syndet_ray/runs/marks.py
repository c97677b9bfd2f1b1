"""Marks: the boxes of a picture, each with its outcome: a label, or how a prediction and the truth
match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syndet_ray.boxes import iou
from syndet_ray.runs.results import Picture

Outcome = Literal["label", "found", "missed", "hit", "false alarm"]
Window = tuple[int, int, int, int]  # x1, y1, x2, y2 of the part of a picture that is shown, pixels
MATCH_IOU = 0.5  # from which a prediction hits a true box, as for AP50
_MARGIN = 1.2  # of the window around all boxes


@dataclass(frozen=True, kw_only=True)
class MarkedBox:
    """One box. Only a prediction has a score.

    outcome  "label" in training images; "found" or "missed" for a true box; "hit" or "false
             alarm" for a prediction
    xyxy     pixels
    """

    outcome: Outcome
    name: str
    xyxy: tuple[float, ...]
    score: float | None = None


def marked_boxes(picture: Picture) -> tuple[MarkedBox, ...]:
    """Returns the boxes of a picture; predictions come last, so that they are plotted over the
    truth.
    """
    if picture.truth is None or picture.scores is None:
        labels = zip(picture.names, picture.xyxy, strict=True)
        return tuple(_marked_box("label", name, box) for name, box in labels)
    is_hit, is_found = matches(picture)
    boxes = []
    objects = zip(picture.truth_names, picture.truth, is_found, strict=True)
    for name, box, was_found in objects:
        outcome: Outcome = "found" if was_found else "missed"
        boxes.append(_marked_box(outcome, name, box))
    predictions = zip(picture.names, picture.xyxy, picture.scores, is_hit, strict=True)
    for name, box, score, is_right in predictions:
        outcome = "hit" if is_right else "false alarm"
        boxes.append(_marked_box(outcome, name, box, score))
    return tuple(boxes)


def matches(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Returns (n,) bool for predictions that hit, and (m,) bool for true boxes that were hit.

    A hit has an IoU of at least .5 with a true box of the same class. Greedy by confidence, one
    true box for each prediction, as COCO matches.
    """
    assert picture.truth is not None
    assert picture.scores is not None
    is_hit = np.zeros(len(picture.xyxy), bool)
    is_found = np.zeros(len(picture.truth), bool)
    overlap = iou(picture.xyxy, picture.truth)
    predicted = np.array(picture.names, object)
    true = np.array(picture.truth_names, object)
    is_same = (predicted[:, None] == true).astype(bool)
    for i in np.argsort([-score for score in picture.scores], kind="stable"):
        free = np.where(is_same[i] & ~is_found, overlap[i], 0)
        if len(free) and free.max() >= MATCH_IOU:
            is_hit[i] = is_found[free.argmax()] = True
    return is_hit, is_found


def common_side(pictures: Sequence[Picture]) -> int:
    """Returns the side, in pixels, of the largest square window that fits into every picture: at
    one scale, sizes can be compared.
    """
    return min(min(picture.image.shape[:2]) for picture in pictures)


def crowded_window(picture: Picture, side: int) -> Window:
    """Returns the square of `side` pixels around the median box."""
    boxes = _all_boxes(picture)
    if not len(boxes):
        return _window(picture, None, side)
    center_xy = np.median(boxes[:, :2] + boxes[:, 2:], axis=0) / 2
    return _window(picture, center_xy, side)


def full_window(picture: Picture) -> Window:
    """Returns the square around all boxes, with a margin; the whole picture if there is none."""
    corners = _all_boxes(picture).reshape(-1, 2)
    longest = max(picture.image.shape[:2])
    if not len(corners):
        return _window(picture, None, longest)
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    side = round(_MARGIN * float((high - low).max()))
    return _window(picture, (low + high) / 2, min(longest, side))


def _window(picture: Picture, center_xy: np.ndarray | None, side: int) -> Window:
    """Returns a square around a point, or around the middle, moved so that as little as possible
    lies outside the picture.
    """
    height, width = picture.image.shape[:2]
    x, y = (width / 2, height / 2) if center_xy is None else center_xy
    x1 = _start(x, side, width)
    y1 = _start(y, side, height)
    return x1, y1, x1 + side, y1 + side


def _start(center: float, side: int, length: int) -> int:
    """Returns the first pixel of a window of `side` around `center`, inside a picture of this
    length; a window longer than the picture is centred on it.
    """
    if side >= length:
        return (length - side) // 2
    return min(max(0, round(center - side / 2)), length - side)


def _all_boxes(picture: Picture) -> np.ndarray:
    return picture.xyxy if picture.truth is None else np.concatenate([picture.xyxy, picture.truth])


def _marked_box(
    outcome: Outcome, name: str, box: np.ndarray, score: float | None = None
) -> MarkedBox:
    xyxy = tuple(round(float(edge), 2) for edge in box)
    return MarkedBox(outcome=outcome, name=name, xyxy=xyxy, score=score)
