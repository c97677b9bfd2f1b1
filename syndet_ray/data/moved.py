"""Moved: whether two photos that look alike show different objects, by their labels and by what is seen there.

Photos of a fixed camera over one ground agree in nearly all places. Labels say where to look: at a box of one photo that
the other has no counterpart of. What is seen there decides, for labels alone do not tell: one photo may be labelled twice,
by different people, or not at all in one of two exports.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.boxes import iou

_COUNTERPART = 0.5  # IoU of a box of the same class, as in the scores of detectors
# An object is seen against its ground: a box is grown by this share of its size on each side.
_MARGIN = 0.25
_LEAST_PX = 3  # a side of what is compared: less is no pattern

# Around the labelled objects of copies the concordance is .99 or more, however they were saved (the ways and the photos of
# copies.py, and faint objects under a fixed camera). Objects that are in one of two photos alone leave .96 or less.
_MOST_CONCORDANCE = 0.97
# Empty ground, which a careless box may hold, has no pattern to agree in. Copies then hardly differ at all there: by up to
# 3 times what is usual for the two photos. Different objects leave 4.5 times that and more.
_LEAST_DIFFERENCE = 4.0  # usual differences
_LEAST_GREY = 1.0  # grey levels: a copy without loss has no usual difference
_USUAL_PX = 9  # side of the neighbourhood whose mean, such as a change of brightness, counts for nothing
_TO_DEVIATION = 1.4826  # of the median absolute deviation, under a normal distribution
_FLAT = 1e-6  # grey levels squared; a flat box is divided by it instead of by 0


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """A photo as it is compared with another.

    grey    (side, side) float32 grey levels, of both photos at one size
    xyxy    (n, 4) its labelled boxes, as shares of its width and height
    names   (n,) their classes
    """

    grey: np.ndarray
    xyxy: np.ndarray
    names: np.ndarray


def show_different_objects(view: View, other: View) -> bool:
    """Whether an object is labelled in one photo alone, and the two differ where it is: then neither is a copy."""
    usual = _usual_difference(view.grey, other.grey)
    least = max(_LEAST_DIFFERENCE * usual, _LEAST_GREY)
    boxes = [*_without_counterpart(view, other), *_without_counterpart(other, view)]
    return any(_differs(view.grey, other.grey, box, least) for box in boxes)


def _without_counterpart(view: View, other: View) -> Iterator[np.ndarray]:
    """The boxes (4,) of a photo that overlap no box of their class in the other by IoU 0.5."""
    overlaps = iou(view.xyxy, other.xyxy)
    same_class = view.names[:, None] == other.names[None]
    best = np.where(same_class, overlaps, 0.0).max(axis=1, initial=0.0)
    yield from view.xyxy[best < _COUNTERPART]


def _usual_difference(grey: np.ndarray, other: np.ndarray) -> float:
    """Standard deviation, grey levels, of what differs anywhere: noise and compression. A few objects do not count."""
    difference = grey - other
    faint = difference - cv2.blur(difference, (_USUAL_PX, _USUAL_PX))
    return _TO_DEVIATION * float(np.median(np.abs(faint)))


def _differs(grey: np.ndarray, other: np.ndarray, box: np.ndarray, least: float) -> bool:
    """Whether two photos differ in and around a box by `least` grey levels, and in the pattern that is seen there."""
    part, other_part = _around(grey, box), _around(other, box)
    if min(part.shape) < _LEAST_PX:
        return False
    pattern, other_pattern = part - part.mean(), other_part - other_part.mean()
    difference = float(np.sqrt(np.square(pattern - other_pattern).mean()))
    variance = float(np.square(pattern).mean() + np.square(other_pattern).mean()) / 2
    concordance = float((pattern * other_pattern).mean()) / max(variance, _FLAT)
    return difference >= least and concordance <= _MOST_CONCORDANCE


def _around(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What of a picture lies in a box (4,), as shares of its sides, and in the margin around it."""
    margin = _MARGIN * (box[2:] - box[:2])
    side = len(grey)
    first = np.floor((box[:2] - margin).clip(0) * side).astype(int)
    last = np.ceil((box[2:] + margin).clip(None, 1) * side).astype(int)
    return grey[first[1] : last[1], first[0] : last[0]]
