"""labelme's JSON, one file for each image, beside it or in another folder.

Points are continuous pixels of the image as it is shown (github.com/wkentaro/labelme). LabelMe, a
website of the same name, writes XML.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.label_folders import first_files, folders_below, image_folders
from syndet_ray.data.readers.labels import (
    NO_EDGES,
    Edges,
    LabelledBox,
    LabelledImage,
    Reading,
    around,
    unusable,
)
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import for_message, is_number, objects, size_or_none
from syndet_ray.errors import DataError

LAYOUT = "one labelme .json for each image, beside it"
_HEAD = 4096  # bytes of a file in which its first keys stand
_KEYS = (b'"imagePath"', b'"version"', b'"flags"')
_WITHOUT_AREA = ("point", "points", "line", "linestrip")
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The JSON files of each folder whose first ones are labelme's."""
    paths = []
    for parent in folders_below(folder):
        if any(_is_labelme(path) for path in first_files(parent, ".json")):
            paths += label_files(parent, "*.[jJ][sS][oO][nN]")
    return paths


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that has a JSON file, negatives included.

    A file that cannot be read is a problem of the remarks.
    """
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(folder, paths, images, remarks)
    return Reading(splits=splits, images=len(files))


def _is_labelme(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return b'"shapes"' in head and any(key in head for key in _KEYS)


def _images(
    folder: Path, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    folders_of = cache(partial(image_folders, folder))
    labelled = set()
    for path in paths:
        try:
            content = load_json(path)
        except DataError as error:
            remarks.problems.append(error)
            continue
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            remarks.problem(str(path), "must be labelme's, with a list 'shapes'")
            continue
        file = _image_file(path, content, [*folders_of(path.parent), folder], images)
        if file is not None:
            labelled.add(file)
            boxes = list(_boxes(content, str(path), remarks))
            yield LabelledImage(image=file, boxes=boxes, wh=_size(content), place=str(path))
    for parent in sorted({file.parent for file in labelled}):
        for file in images.in_folder(parent):
            if file not in labelled:
                event = "images without a JSON file (not labelled), left out"
                remarks.count(event, images.id_of(file))


def _image_file(
    path: Path, content: Entry, folders: Sequence[Path], images: ImageFiles
) -> Path | None:
    """The image that `imagePath` names, else the one with the name of the JSON file."""
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        name = f"{path.stem}.jpg"
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    for parent in folders if base not in ("", ".", "..") else []:
        if Path(base).stem == path.stem and images.holds(parent / base):
            return parent / base
    return images.with_stem(path.stem, folders) or images.find(name, folders, str(path))


def _boxes(content: Entry, image: str, remarks: Remarks) -> Iterator[LabelledBox]:
    """The boxes of the shapes; shapes of one class and group are parts of one object."""
    parts: dict[tuple[str, object], tuple[str, list[Edges]]] = {}
    for position, shape in enumerate(objects(content, "shapes")):
        place = f"shape {position + 1}"
        label, kind = shape.get("label"), shape.get("shape_type")
        if not isinstance(label, str) or not label:
            remarks.problem(f"{image}, {place}", "label must be a text", got=for_message(label))
            yield unusable(_edges(shape), place)
            continue
        if kind in _WITHOUT_AREA:
            event = "shapes without an area (points, lines), left out"
            remarks.count(event, f"{image}, {place}")
            continue
        group = shape.get("group_id")
        key = (label, group if isinstance(group, int) else place)
        parts.setdefault(key, (place, []))[1].append(_edges(shape))
    for (label, _), (place, edges) in parts.items():
        if len(edges) > 1:
            event = "shapes of one class and group, read as one object"
            remarks.count(event, f"{image}, {place}")
        yield LabelledBox(xyxy=around(edges), name=label, place=place)


def _edges(shape: Entry) -> Edges:
    points = shape.get("points")
    if not isinstance(points, list) or len(points) < 2 or not all(map(_is_point, points)):
        return NO_EDGES
    if shape.get("shape_type") == "circle":  # its center, and a point on it
        (x, y), (x_on, y_on) = points[:2]
        radius = math.hypot(x_on - x, y_on - y)
        return x - radius, y - radius, x + radius, y + radius
    xs, ys = zip(*points, strict=True)
    # the corners of a mask are its first and its last pixel
    last = 1 if shape.get("shape_type") == "mask" else 0
    return min(xs), min(ys), max(xs) + last, max(ys) + last


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(is_number, point))


def _size(content: Entry) -> tuple[int, int] | None:
    return size_or_none(content.get("imageWidth"), content.get("imageHeight"))
