"""KITTI's text labels: a class, how far truncated and occluded, a box, and seven numbers of 3D.

`type truncated occluded alpha left top right bottom height width length x y z rotation` (readme of
the object development kit). The box is in pixels from 0. NVIDIA TAO and Replicator write 0 for what
they do not know.
"""

import math
import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.label_folders import first_files, folders_below, image_folders
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.occlusion_level import NOTE, visible_share
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.spellings import plain
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import number
from syndet_ray.errors import DataError

LAYOUT = "training/label_2/*.txt of KITTI with training/image_2/, or labels/*.txt with images/"
_LABELS = "*.[tT][xX][tT]"
_NUMBERS = 14  # after the class
# CVAT and Datumaro give it to every label; the predictions of a file are never all so certain
_SCORE_OF_LABELS = 1.0
_ANY_CLASS = "dontcare"  # regions in which objects are not labelled
_MOST_BYTES = 10_000_000  # of one image's labels: more is no label file
_MOST_SHOWN = 80  # characters of a line in a message
_LEVELS = (-1.0, 0.0, 1.0, 2.0, 3.0)
_FRACTION = re.compile(r"-?\d+\.\d*")


def files(folder: Path) -> list[Path]:
    """The label files of each folder whose first ones are labels of KITTI.

    With them come those of a folder of which all files are empty, of a split without objects.
    """
    paths = []
    empty = []
    for parent in folders_below(folder):
        texts = list(first_files(parent, ".txt"))
        if any(_is_kitti(path) for path in texts):
            paths += label_files(parent, _LABELS)
        elif not texts:
            empty += label_files(parent, _LABELS)
    return sorted([*paths, *empty]) if paths else []


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that has a label file; an empty file means that there is no object."""
    stems_in: dict[Path, set[str]] = {}
    for path in files:
        stems_in.setdefault(path.parent, set()).add(plain(path.stem))
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(folder, paths, images, remarks)
    for parent, stems in stems_in.items():
        source = _folder_with_images(folder, parent, images)
        for image in images.in_folder(source) if source is not None else []:
            if plain(image.stem) not in stems:
                event = "images without a label file (not labelled), left out"
                remarks.count(event, images.id_of(image))
    return Reading(splits=splits)


def _folder_with_images(folder: Path, labels: Path, images: ImageFiles) -> Path | None:
    return next((path for path in image_folders(folder, labels) if images.in_folder(path)), None)


def _is_kitti(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.read(4096).decode("utf-8-sig", errors="replace").splitlines()[0]
    fields = fields_of(first)
    if fields is None:
        return False
    name, values = fields
    # YOLO's polygon of seven corners, some of them at the edge of the image, has 15 fields too
    is_of_yolo = name.isdecimal() and all(0 <= value <= 1 for value in values)
    return not is_of_yolo


def fields_of(line: str) -> tuple[str, list[float]] | None:
    """(class, its 14 numbers, or 15 with a score) of a line; None for another line.

    A class may hold blanks, and end with a number: the numbers are read from the end. It is no
    fraction: before a line that lacks its class that is the first number.
    """
    words = line.split()
    for count in (_NUMBERS + 1, _NUMBERS):
        values = [number(word) for word in words[-count:]]
        name = " ".join(words[:-count])
        if not name or is_fraction(name) or len(values) != count or any(map(math.isnan, values)):
            continue
        if -1 <= values[0] <= 1 and values[1] in _LEVELS:
            return name, values
    return None


def is_fraction(name: str) -> bool:
    """True for a number with a point: no class, but the first number of a line without one."""
    return _FRACTION.fullmatch(name) is not None


def _images(
    folder: Path, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    folders_of = cache(partial(image_folders, folder))
    for path in paths:
        image = images.with_stem(path.stem, folders_of(path.parent))
        if image is None and _is_other_text(path):
            continue
        if image is None:
            rule = f"its image, {path.stem}.png or .jpg, does not exist beside the labels' folder"
            images.miss(path.stem, folders_of(path.parent))
            remarks.problem(str(path), rule)
            continue
        boxes = list(_boxes(path, remarks))
        yield LabelledImage(image=image, boxes=boxes, place=str(path))


def _is_other_text(path: Path) -> bool:
    """True for a text without labels, such as a README."""
    return path.stat().st_size > 0 and not _is_kitti(path)


def _boxes(path: Path, remarks: Remarks) -> Iterator[LabelledBox]:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, "is too large for the labels of one image")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    for position, line in enumerate(text.splitlines()):
        if line.strip():
            box = _box(line, f"line {position + 1}", path, remarks)
            if box is not None:
                yield box


def _box(line: str, place: str, path: Path, remarks: Remarks) -> LabelledBox | None:
    """The box of a line; None, with a problem, for a line that is no label."""
    where, shown = f"{path}, {place}", line.strip()[:_MOST_SHOWN]
    fields = fields_of(line)
    if fields is None:
        rule = "must hold a class, truncated (0 to 1), occluded (0 to 3) and 12 more numbers"
        remarks.problem(where, rule, got=shown)
        return None
    name, values = fields
    if len(values) > _NUMBERS and values[-1] != _SCORE_OF_LABELS:
        rule = "has 16 fields: a result with its score is no label"
        remarks.problem(where, rule, got=shown)
        return None
    if len(values) > _NUMBERS:
        remarks.count(
            "lines with a score of exactly 1, as CVAT writes labels, read as labels", where
        )
    truncated, level, _, x1, y1, x2, y2 = values[:7]
    if "\ufffd" in name:
        remarks.problem(where, "its class must be UTF-8", got=shown)
        return unusable((x1, y1, x2, y2), place)
    is_region = name.lower() == _ANY_CLASS
    visibility = math.nan if is_region else visible_share(level, truncated)
    if not math.isnan(visibility):
        remarks.note(NOTE)
    return LabelledBox(
        xyxy=(x1, y1, x2, y2),
        name=None if is_region else name,
        place=place,
        visibility=visibility,
        crowd=is_region,
    )
