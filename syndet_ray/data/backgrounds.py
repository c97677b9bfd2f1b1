"""Backgrounds: squares without objects, cut out of training photos, for the floors of scenes."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.images import picture
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import save_part, training_photos
from syndet_ray.data.record import Record
from syndet_ray.data.write import check_empty
from syndet_ray.errors import DataError
from syndet_ray.files import whole_folder
from syndet_ray.progress import Note, Progress, silent
from syndet_ray.seeds import generator

LEAST_PX = 64  # side of a square: smaller ones are blurred when they fill a floor
_A_PHOTO = 2  # squares of one photo
_MARGIN_PX = 2  # kept between a square and a box: people place boxes that tightly
# Of a square that was taken, a later one of the same photo may have this much less side.
_SMALLER = 0.5


def cut_backgrounds(
    dataset: Path,
    out: Path,
    count: int,
    seed: int,
    labels: LabelOptions | None = None,
    image_ids: Collection[str] | None = None,
    progress: Progress | None = None,
    note: Note = silent,
) -> int:
    """Cuts the largest squares without objects out of training photos, as OUT/<image>-<k>.png.

    Only photos with an id in `image_ids` are used, if they are given. Returns the number of
    squares, at most `count`. `progress` is called with (squares, count), and `note` with each note
    on the dataset.

    Raises DataError for a dataset that cannot be used, for photos without an empty square of 64
    pixels, and where `out` is not empty; MachineError if `out` cannot be written.
    """
    check_empty(out)
    records = training_photos(dataset, labels, image_ids, note, parts="Backgrounds").records
    order = generator(seed, "backgrounds").permutation(len(records))
    squares = 0
    with whole_folder(out) as unfinished:
        for record, k, rgb in _squares([records[i] for i in order.tolist()]):
            save_part(rgb, record, unfinished, str(k))
            squares += 1
            if progress is not None:
                progress(squares, count)
            if squares == count:
                break
        if not squares:
            rule = f"has no photo with a square of {LEAST_PX} px without objects"
            raise DataError(dataset, rule, do="Take photos of empty places into a folder.")
    return squares


def has_squares(records: Sequence[Record]) -> bool:
    """True if `cut_backgrounds` has something to cut out of photos."""
    return any(empty_squares(record.boxes, record.size_wh) for record in records)


def _squares(records: Sequence[Record]) -> Iterator[tuple[Record, int, np.ndarray]]:
    """The largest squares of each photo, (side, side, 3) uint8."""
    for record in records:
        rgb = picture.pixels(record.image, record.place)
        for k, (x, y, side) in enumerate(empty_squares(record.boxes, record.size_wh)):
            yield record, k, rgb[y : y + side, x : x + side]


def empty_squares(boxes: Boxes, size_wh: tuple[int, int]) -> list[tuple[int, int, int]]:
    """x, y and side of the largest squares of an image that meet no box and not one another."""
    width, height = size_wh
    is_empty = np.ones((height, width), np.uint8)
    low = np.floor(boxes.xyxy[:, :2]).astype(int) - _MARGIN_PX
    high = np.ceil(boxes.xyxy[:, 2:]).astype(int) + _MARGIN_PX
    for (x1, y1), (x2, y2) in zip(np.maximum(low, 0).tolist(), high.tolist(), strict=True):
        is_empty[y1:y2, x1:x2] = 0
    squares: list[tuple[int, int, int]] = []
    least = float(LEAST_PX)
    while len(squares) < _A_PHOTO:
        # Chessboard distances to what is not empty: half the side of a square around each pixel.
        framed = np.pad(is_empty, 1)
        reach = cv2.distanceTransform(framed, cv2.DIST_C, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(reach.argmax()), reach.shape)
        half = int(reach[y, x]) - 1
        side = 2 * half + 1
        if side < least:
            break
        left, top = int(x) - half, int(y) - half
        squares.append((left, top, side))
        is_empty[top : top + side, left : left + side] = 0
        least = max(least, _SMALLER * side)
    return squares
