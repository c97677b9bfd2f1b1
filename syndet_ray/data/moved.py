"""Moved: whether two photos that look alike show different objects, by their labels and by what is
seen there.

Photos of a fixed camera over one ground agree in nearly all places. Labels say where to look: at a
box of one photo that the other has no counterpart of. What is seen there decides, for labels alone
do not tell: one photo may be labelled twice, by different people, or not at all in one of two
exports.
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

# A copy may be darker, of more contrast, or slightly blurred: both photos are smoothed, and brought
# to one deviation. What looks like a copy is at most by this gain brighter or darker; objects that
# are in one photo alone could feign more.
_SMOOTHING_PX = 0.7  # standard deviation, the least after which noise hides no small object
_MOST_GAIN = 1.6

# Then the patterns around objects that are in one of two photos alone correlate at .96 or less.
# Those of copies that differ enough to be asked correlate at .98 or more, however they were saved
# (the ways and the photos of copies.py, and faint objects under a fixed camera) or changed (a gain
# of .7 to 1.3, a gamma of .8 to 1.25, a stretched contrast, a slight blur).
_MOST_CORRELATION = 0.97
# Objects of one shape, such as a bright and a grey lid, differ by their contrast alone. That of
# copies is .81 or more.
_LEAST_CONTRAST = 0.8  # share of the other's
# Empty ground, which a careless box may hold, has no pattern to agree in. Copies then hardly differ
# at all there: by up to 3 times what is usual for the two photos. Different objects leave 10 times
# that and more.
_LEAST_DIFFERENCE = 4.0  # usual differences
_LEAST_GREY = 1.0  # grey levels: a copy without loss has no usual difference
# side of the neighbourhood whose mean, such as a change of brightness, counts for nothing
_USUAL_PX = 9
_TO_DEVIATION = 1.4826  # of the median absolute deviation, under a normal distribution
_FLAT = 1e-6  # grey levels, or their square; what is flat is divided by it instead of by 0


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
    """Whether an object is labelled in one photo alone, and the two differ where it is: then
    neither is a copy.
    """
    grey, other_grey = _alike(view.grey, other.grey)
    usual = _usual_difference(grey, other_grey)
    least = max(_LEAST_DIFFERENCE * usual, _LEAST_GREY)
    boxes = [*_without_counterpart(view, other), *_without_counterpart(other, view)]
    return any(_differs(grey, other_grey, box, least) for box in boxes)


def _alike(grey: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two photos as sharp as one another, and of one deviation: the geometric mean of theirs."""
    soft, other_soft = (cv2.GaussianBlur(sharp, (0, 0), _SMOOTHING_PX) for sharp in (grey, other))
    ratio = other_soft.std() / max(soft.std(), _FLAT)
    gain = float(np.sqrt(np.clip(ratio, 1 / _MOST_GAIN, _MOST_GAIN)))
    return soft * gain, other_soft / gain


def _without_counterpart(view: View, other: View) -> Iterator[np.ndarray]:
    """The boxes (4,) of a photo that overlap no box of their class in the other by IoU 0.5."""
    overlaps = iou(view.xyxy, other.xyxy)
    same_class = view.names[:, None] == other.names[None]
    best = np.where(same_class, overlaps, 0.0).max(axis=1, initial=0.0)
    yield from view.xyxy[best < _COUNTERPART]


def _usual_difference(grey: np.ndarray, other: np.ndarray) -> float:
    """Standard deviation, grey levels, of what differs anywhere: noise and compression. A few
    objects do not count.
    """
    difference = grey - other
    faint = difference - cv2.blur(difference, (_USUAL_PX, _USUAL_PX))
    return _TO_DEVIATION * float(np.median(np.abs(faint)))


def _differs(grey: np.ndarray, other: np.ndarray, box: np.ndarray, least: float) -> bool:
    """Whether two photos differ in and around a box by `least` grey levels, and in the pattern or
    contrast seen there.
    """
    part, other_part = _around(grey, box), _around(other, box)
    if min(part.shape) < _LEAST_PX:
        return False
    pattern, other_pattern = part - part.mean(), other_part - other_part.mean()
    difference = float(np.sqrt(np.square(pattern - other_pattern).mean()))
    fainter, stronger = sorted((float(pattern.std()), float(other_pattern.std())))
    covariance = float((pattern * other_pattern).mean())
    correlation = covariance / max(fainter * stronger, _FLAT)
    contrast = fainter / max(stronger, _FLAT)
    return difference >= least and (correlation <= _MOST_CORRELATION or contrast <= _LEAST_CONTRAST)


def _around(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What of a picture lies in a box (4,), as shares of its sides, and in the margin around it."""
    margin = _MARGIN * (box[2:] - box[:2])
    side = len(grey)
    first = np.floor((box[:2] - margin).clip(0) * side).astype(int)
    last = np.ceil((box[2:] + margin).clip(None, 1) * side).astype(int)
    return grey[first[1] : last[1], first[0] : last[0]]
