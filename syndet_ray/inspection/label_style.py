"""Label style: how the annotators of a dataset draw boxes, measured on its photos.

Scenes can then be labelled in the same style.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.data.cutouts import clear, foreground
from syndet_ray.data.images import picture
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError
from syndet_ray.progress import Progress
from syndet_ray.seeds import generator
from syndet_ray.spread import TO_DEVIATION

_REACH = 0.2  # of a box, on each side: how far beyond it an object may go
_AROUND = 0.6  # of a box, on each side: the surroundings that GrabCut is given
_LEAST_OBJECTS = 20  # fewer give no stable median
_SMALLEST_PX = 12  # side of a box: in smaller ones GrabCut sees too few pixels
_SQUARE = 0.01  # width and height of square boxes differ by no more, as a share


@dataclass(frozen=True, kw_only=True)
class BoxStyle:
    """A label style in the words of scene parameters.

    objects  number of objects with an outline that it was measured on
    """

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
    progress: Progress | None = None,
) -> BoxStyle:
    """Compares the boxes of up to `most` objects with the outlines that GrabCut finds.

    It looks at whole objects that stand alone, in random order, in the box and just beyond it. It
    takes medians and median absolute deviations, because some outlines are wrong. `progress` is
    called with (objects done, objects in all). Raises DataError when there are too few outlines.
    """
    objects = _clear_objects(photos)
    order = generator(seed, "label style").permutation(len(objects))[:most]
    boxes, outlines = [], []
    for done, i in enumerate(order.tolist(), start=1):
        record, k = objects[i]
        box = record.boxes.xyxy[k]
        outline = _outline(picture.pixels(record.image, record.place), box)
        if outline is not None:
            boxes.append(box)
            outlines.append(outline)
        if progress is not None:
            progress(done, len(order))
    if len(boxes) < _LEAST_OBJECTS:
        place = f"{photos.name}: label style"
        rule = f"needs {_LEAST_OBJECTS} objects that stand alone and apart from their background"
        raise DataError(place, rule, got=len(boxes), do="Set scene.box_padding by eye.")
    return _style(np.array(boxes), np.array(outlines), square=_are_square(photos))


def _clear_objects(photos: Source) -> list[tuple[Record, int]]:
    """The objects that are whole and stand alone: their record, and the position of their box."""
    objects = []
    for record in photos.records:
        boxes = record.boxes
        objects += [(record, int(k)) for k in np.flatnonzero(clear(boxes) & ~boxes.crowd)]
    return objects


def _style(boxes: np.ndarray, tight: np.ndarray, *, square: bool) -> BoxStyle:
    """The style that turns the exact boxes `tight` (n, 4) into the labelled `boxes` (n, 4)."""
    size = boxes[:, 2:] - boxes[:, :2]
    tight_size = tight[:, 2:] - tight[:, :2]
    if square:
        tight_size = np.repeat(tight_size.max(axis=1, keepdims=True), 2, axis=1)
    grown = np.sqrt(np.prod(size / tight_size, axis=1))
    corner_sums = boxes[:, :2] + boxes[:, 2:]
    tight_corner_sums = tight[:, :2] + tight[:, 2:]
    moved = (corner_sums - tight_corner_sums) / 2 / tight_size
    padding = float(np.median(grown))
    padding_spread = TO_DEVIATION * float(np.median(np.abs(grown - padding)))
    jitter = TO_DEVIATION * float(np.median(np.abs(moved - np.median(moved, axis=0))))
    return BoxStyle(
        padding=padding - 1,
        padding_spread=padding_spread,
        jitter=jitter,
        square=square,
        objects=len(boxes),
    )


def _are_square(photos: Source) -> bool:
    """True when most boxes are as high as wide; image borders cut some of them.

    Only balls have square boxes by themselves: for other objects it is the annotators' style.
    """
    boxes = np.concatenate([record.boxes.xyxy[~record.boxes.crowd] for record in photos.records])
    sizes = boxes[:, 2:] - boxes[:, :2]
    is_square = np.abs(sizes[:, 0] / sizes[:, 1] - 1) < _SQUARE
    return float(np.mean(is_square)) > 0.5


def _outline(rgb: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The exact box (4,) around the object that GrabCut finds in and just beyond a box.

    None when it finds no plausible outline.
    """
    if (box[2:] - box[:2]).min() < _SMALLEST_PX:
        return None
    size = np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    bounds = np.tile(rgb.shape[1::-1], 2)
    low_x, low_y, high_x, high_y = np.clip(np.round(box + _AROUND * size), 0, bounds).astype(int)
    origin = np.array([low_x, low_y, low_x, low_y])
    reach = np.clip(np.round(box + _REACH * size), 0, bounds).astype(int) - origin
    # an object is smaller than what is looked at by an unknown margin
    alpha = foreground(rgb[low_y:high_y, low_x:high_x], reach, least_side=0.0)
    points = cv2.findNonZero((alpha >= 128).astype(np.uint8))
    if points is None:
        return None
    x, y, width, height = cv2.boundingRect(points)
    outline = np.array([x, y, x + width, y + height], float)
    # An object that fills the whole reach has no outline there.
    touches_low = (outline[:2] <= reach[:2]).any()
    touches_high = (outline[2:] >= reach[2:]).any()
    return None if touches_low or touches_high else outline + origin
