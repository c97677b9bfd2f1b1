"""Moved: finds out if two similar photos show different objects, by their labels and their pixels.

Photos of a fixed camera over one ground agree in nearly all places. Labels show where to look: at a
box of one photo without a counterpart in the other. The pixels there decide, because labels alone
are not enough: one photo may be labelled twice, by different people, or not at all in one of two
exports.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.boxes import iou
from syndet_ray.spread import TO_DEVIATION

_COUNTERPART = 0.5  # IoU of a box of the same class, as in the scores of detectors
# An object is seen against its ground: a box is grown by this share of its size on each side.
_MARGIN = 0.25
_LEAST_PX = 3  # a side of what is compared: less is no pattern

# A copy may be darker, of more contrast, or slightly blurred: so both photos are smoothed and
# brought to one deviation.
_SMOOTHING_PX = 0.7  # standard deviation, the least after which noise hides no small object
# A copy is brighter or darker by this gain at most; an object in only one photo could pretend more.
_MOST_GAIN = 1.6

# Then the patterns around objects that are in only one of two photos correlate at .96 or less.
# Those of copies that differ enough to be compared correlate at .98 or more, however they were
# saved (the ways and the photos of copies.py, and faint objects under a fixed camera) or changed (a
# gain of .7 to 1.3, a gamma of .8 to 1.25, a stretched contrast, a slight blur).
_MOST_CORRELATION = 0.97
# Objects of one shape, such as a bright and a grey lid, differ only by their contrast. In copies it
# is .81 or more.
_LEAST_CONTRAST = 0.8  # share of the other photo's contrast
# Empty ground, which a careless box may hold, has no pattern to compare. Copies differ there by up
# to 3 times the usual difference of the two photos, different objects by 10 times that and more.
_LEAST_DIFFERENCE = 4.0  # usual differences
_LEAST_GREY = 1.0  # grey levels: a lossless copy has no usual difference
# side of the neighbourhood whose mean, such as a change of brightness, is ignored
_USUAL_PX = 9
_FLAT = 1e-6  # grey levels, or their square; flat patterns are divided by it instead of by 0


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledPhoto:
    """A photo as it is compared with another.

    grey    (side, side) float32 grey levels, of both photos at one size
    xyxy    (n, 4) its labelled boxes, as shares of its width and height
    names   (n,) their classes
    """

    grey: np.ndarray
    xyxy: np.ndarray
    names: np.ndarray


def show_different_objects(photo: LabelledPhoto, other: LabelledPhoto) -> bool:
    """True if an object is labelled in only one photo and the two differ there.

    Then neither is a copy of the other.
    """
    grey, other_grey = _normalise(photo.grey, other.grey)
    usual = _usual_difference(grey, other_grey)
    least = max(_LEAST_DIFFERENCE * usual, _LEAST_GREY)
    boxes = [*_without_counterpart(photo, other), *_without_counterpart(other, photo)]
    return any(_differs(grey, other_grey, box, least) for box in boxes)


def _normalise(grey: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smooths both photos equally and gives them one deviation: the geometric mean of theirs."""
    soft = cv2.GaussianBlur(grey, (0, 0), _SMOOTHING_PX)
    other_soft = cv2.GaussianBlur(other, (0, 0), _SMOOTHING_PX)
    ratio = other_soft.std() / max(soft.std(), _FLAT)
    bounded_ratio = np.clip(ratio, 1 / _MOST_GAIN, _MOST_GAIN)
    gain = float(np.sqrt(bounded_ratio))
    return soft * gain, other_soft / gain


def _without_counterpart(photo: LabelledPhoto, other: LabelledPhoto) -> Iterator[np.ndarray]:
    """The boxes (4,) of a photo that overlap no box of their class in the other by IoU 0.5."""
    overlaps = iou(photo.xyxy, other.xyxy)
    same_class = photo.names[:, None] == other.names[None]
    best = np.where(same_class, overlaps, 0.0).max(axis=1, initial=0.0)
    yield from photo.xyxy[best < _COUNTERPART]


def _usual_difference(grey: np.ndarray, other: np.ndarray) -> float:
    """Standard deviation, grey levels, of the difference by noise and compression.

    A few objects do not count.
    """
    difference = grey - other
    faint = difference - cv2.blur(difference, (_USUAL_PX, _USUAL_PX))
    return TO_DEVIATION * float(np.median(np.abs(faint)))


def _differs(grey: np.ndarray, other: np.ndarray, box: np.ndarray, least: float) -> bool:
    """True if two photos differ in and around a box.

    They differ by `least` grey levels, and in their pattern or contrast.
    """
    part = _around(grey, box)
    other_part = _around(other, box)
    if min(part.shape) < _LEAST_PX:
        return False
    pattern = part - part.mean()
    other_pattern = other_part - other_part.mean()
    mean_square = np.square(pattern - other_pattern).mean()
    difference = float(np.sqrt(mean_square))
    deviations = (float(pattern.std()), float(other_pattern.std()))
    fainter, stronger = sorted(deviations)
    covariance = float((pattern * other_pattern).mean())
    correlation = covariance / max(fainter * stronger, _FLAT)
    contrast = fainter / max(stronger, _FLAT)
    is_other_object = correlation <= _MOST_CORRELATION or contrast <= _LEAST_CONTRAST
    return difference >= least and is_other_object


def _around(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a picture in a box (4,), as shares of its sides, and in the margin around it."""
    margin = _MARGIN * (box[2:] - box[:2])
    low = (box[:2] - margin).clip(0)
    high = (box[2:] + margin).clip(None, 1)
    side_px = len(grey)
    x1, y1 = np.floor(low * side_px).astype(int)
    x2, y2 = np.ceil(high * side_px).astype(int)
    return grey[y1:y2, x1:x2]
