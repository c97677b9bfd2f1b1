"""Label style: how the people who labelled a dataset draw boxes, measured on photos, for scenes to
be labelled alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.data import picture
from syndet_ray.data.cutouts import clear, foreground
from syndet_ray.data.record import Source
from syndet_ray.errors import DataError
from syndet_ray.seeds import generator

_REACH = 0.2  # of a box, on each side: how far beyond it an object may go
_AROUND = 0.6  # of a box, on each side: what is looked at
_LEAST_OBJECTS = 20
_SMALLEST_PX = 12
_SQUARE = 0.01  # width and height of square boxes differ by no more, as a share
_TO_DEVIATION = 1.4826  # of the median absolute deviation, under a normal distribution


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A label style as scene parameters name it, from so many objects whose outline was found."""

    padding: float
    padding_spread: float
    jitter: float
    square: bool
    objects: int

    def settings(self) -> dict[str, float | bool]:
        """As settings of a scene."""
        return {
            "scene.box_padding": round(self.padding, 3),
            "scene.box_padding_spread": round(self.padding_spread, 3),
            "scene.box_jitter": round(self.jitter, 3),
            "scene.box_square": self.square,
        }


def measure(
    photos: Source,
    most: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Compares the boxes of up to `most` objects with the outlines that GrabCut finds in and just
    beyond them.

    Whole objects that stand alone are looked at, in random order. Medians and median absolute
    deviations: some outlines are wrong. `progress` is told (objects looked at, objects to be looked
    at). Raises DataError where too few outlines are found to say anything.
    """
    every = [
        (record, int(k)) for record in photos.records for k in np.flatnonzero(clear(record.boxes))
    ]
    order = generator(seed, "label style").permutation(len(every))[:most]
    found = []
    for done, i in enumerate(order.tolist(), start=1):
        record, k = every[i]
        outline = _outline(picture.pixels(record.image, record.place), record.boxes.xyxy[k])
        if outline is not None:
            found.append((record.boxes.xyxy[k], outline))
        if progress is not None:
            progress(done, len(order))
    if len(found) < _LEAST_OBJECTS:
        rule = f"needs {_LEAST_OBJECTS} objects that stand alone and apart from their background"
        raise DataError(
            f"{photos.name}: label style", rule, got=len(found), do="Set scene.box_padding by eye."
        )
    drawn, tight = np.array([box for box, _ in found]), np.array([outline for _, outline in found])
    return _compared(drawn, tight, _are_square(photos))


def _compared(drawn: np.ndarray, tight: np.ndarray, square: bool) -> Measured:
    """The style that makes boxes `drawn` (n, 4) of exact boxes `tight` (n, 4)."""
    size, own = drawn[:, 2:] - drawn[:, :2], tight[:, 2:] - tight[:, :2]
    if square:
        own = np.repeat(own.max(axis=1, keepdims=True), 2, axis=1)
    grown = np.sqrt(np.prod(size / own, axis=1))
    moved = ((drawn[:, :2] + drawn[:, 2:]) - (tight[:, :2] + tight[:, 2:])) / 2 / own
    padding = float(np.median(grown))
    spread = _TO_DEVIATION * float(np.median(np.abs(grown - padding)))
    jitter = _TO_DEVIATION * float(np.median(np.abs(moved - np.median(moved, axis=0))))
    return Measured(
        padding=padding - 1, padding_spread=spread, jitter=jitter, square=square, objects=len(drawn)
    )


def _are_square(photos: Source) -> bool:
    """Whether most boxes are as high as wide, which no objects but balls are by themselves; borders
    cut some.
    """
    sizes = np.concatenate(
        [record.boxes.xyxy[:, 2:] - record.boxes.xyxy[:, :2] for record in photos.records]
    )
    return float(np.mean(np.abs(sizes[:, 0] / sizes[:, 1] - 1) < _SQUARE)) > 0.5


def _outline(rgb: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The exact box (4,) around what GrabCut finds in and just beyond a box; None where it finds no
    plausible outline.
    """
    if (box[2:] - box[:2]).min() < _SMALLEST_PX:
        return None
    size = np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    bounds = np.tile(rgb.shape[1::-1], 2)
    low_x, low_y, high_x, high_y = np.clip(np.round(box + _AROUND * size), 0, bounds).astype(int)
    origin = np.array([low_x, low_y, low_x, low_y])
    reach = np.clip(np.round(box + _REACH * size), 0, bounds).astype(int) - origin
    alpha = foreground(rgb[low_y:high_y, low_x:high_x], reach)
    points = cv2.findNonZero((alpha >= 128).astype(np.uint8))
    if points is None:
        return None
    x, y, width, height = cv2.boundingRect(points)
    outline = np.array([x, y, x + width, y + height], float)
    # What fills all that was looked at has no outline of its own there.
    touching = (outline[:2] <= reach[:2]).any() or (outline[2:] >= reach[2:]).any()
    return None if touching else outline + origin
