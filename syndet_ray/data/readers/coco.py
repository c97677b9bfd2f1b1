"""COCO instances JSON, and its dialects: ids from 0, any category ids, negatives, missing sizes.

Boxes are x, y, width, height in continuous pixels: x2 = x + width. A `visibility` key, 0 to 1, is
ours; COCO has none.
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.readers.labels import LabelledImage, Reading
from syndet_ray.errors import DataError

# Where annotation files lie: COCO's own layout, Roboflow's, and one file next to its images.
_LAYOUTS = (
    "annotations/instances*.json",
    "*/_annotations.coco.json",
    "_annotations.coco.json",
    "instances*.json",
)
_LISTS = ("images", "annotations", "categories")
# No image has as many pixels a side. The bound also excludes NaN, infinity and integers too large
# for a float.
_FURTHEST = 1e9
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder.

    They are those of the first layout that fits, else all JSON files that hold instances.
    """
    for layout in _LAYOUTS:
        paths = sorted(folder.glob(layout))
        if paths:
            return paths
    loose = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    return [path for path in loose if _holds_instances(path)]


def read(folder: Path, by_split: Mapping[str, Sequence[Path]]) -> Reading:
    """Every image, negatives included.

    Raises DataError naming file, image or annotation id, rule and value.
    """
    contents = {path: _load(path) for path in chain.from_iterable(by_split.values())}
    classes, notes = _classes(contents.values())
    splits: dict[str, list[LabelledImage]] = {}
    for split, paths in by_split.items():
        splits[split] = []
        for path in paths:
            folders = _ImageFolders(folder, path, split)
            splits[split] += _images(path, contents[path], folders)
    return Reading(classes=classes, splits=splits, notes=notes)


class _ImageFolders:
    """Folders in which the images of one annotation file may lie, nearest first."""

    def __init__(self, root: Path, annotations: Path, split: str) -> None:
        paths = sorted([*root.glob("images/*"), *root.glob("*")])
        folders = [path for path in paths if path.is_dir()]
        of_split = [folder for folder in folders if folder.name.lower().startswith(split)]
        self.root = root
        self._folders = [annotations.parent, *of_split, root / "images", root]

    def find(self, place: str, name: str) -> Path:
        """The image file of that name. Raises DataError where no folder holds it."""
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        looked = ", ".join(dict.fromkeys(str(folder) for folder in self._folders))
        raise DataError(place, "its image file does not exist", got=name, do=f"Looked in {looked}.")


def _holds_instances(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= set(_LISTS)


def _load(path: Path) -> Entry:
    """The content of an annotation file, its ids checked."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        rule = f"is not valid JSON ({error})"
        raise DataError(path, rule, do="Copy or export the file again.") from None
    for key in _LISTS:
        entries = content.get(key) if isinstance(content, dict) else None
        if not _is_list_of_objects(entries):
            raise DataError(path, f"must be COCO instances with a list {key!r} of objects")
    _check_ids(path, "image", content["images"])
    _check_ids(path, "annotation", content["annotations"])
    _check_ids(path, "category", content["categories"])
    names = []
    for category in content["categories"]:
        name = _text(f"{path}, category {category['id']}", category, "name")
        names.append(name)
    _check_unique(path, "category names", names)
    _check_references(path, content)
    return content


def _is_list_of_objects(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _check_ids(path: Path, kind: str, entries: list[Entry]) -> None:
    ids = []
    for position, entry in enumerate(entries):
        entry_id = entry.get("id")
        # a string or true would match nothing, or the wrong entry
        if type(entry_id) is not int:
            place = f"{path}, {kind} at position {position}"
            raise DataError(place, "id must be a whole number", got=entry_id)
        ids.append(entry_id)
    _check_unique(path, f"{kind} ids", ids)


def _check_references(path: Path, content: Entry) -> None:
    for key, kind, entries in (
        ("image_id", "an image", "images"),
        ("category_id", "a category", "categories"),
    ):
        ids = {entry["id"] for entry in content[entries]}
        for annotation in content["annotations"]:
            value = annotation.get(key)
            if type(value) is not int or value not in ids:
                place = f"{path}, annotation {annotation['id']}"
                raise DataError(place, f"{key} must be the id of {kind} of this file", got=value)


def _check_unique(path: Path, plural: str, values: list[Any]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if not repeated:
        return
    do = f"{len(repeated)} of them occur more than once." if len(repeated) > 1 else ""
    raise DataError(path, f"{plural} must be unique", got=repeated[0], do=do)


def _classes(contents: Collection[Entry]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes by category id, and a note on what was left out.

    Roboflow adds a category that no object has, only to be the others' supercategory.
    """
    parent_of: dict[str, Any] = {}
    used = set()
    for content in contents:
        ids = {annotation["category_id"] for annotation in content["annotations"]}
        for category in sorted(content["categories"], key=lambda category: category["id"]):
            parent_of[category["name"]] = category.get("supercategory")
            if category["id"] in ids:
                used.add(category["name"])
    # a list, because a broken file may hold parents that cannot be hashed
    parents = [parent for name, parent in parent_of.items() if parent != name]
    grouping = [name for name in parent_of if name in parents and name not in used]
    notes = tuple(
        f"category {name!r} only groups others and has no objects: left out" for name in grouping
    )
    return tuple(name for name in parent_of if name not in grouping), notes


def _images(path: Path, content: Entry, folders: _ImageFolders) -> list[LabelledImage]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    of_image = defaultdict[int, list[Entry]](list)
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    images = []
    for image in content["images"]:
        annotations = of_image[image["id"]]
        images.append(_labelled_image(path, image, annotations, names, folders))
    return images


def _labelled_image(
    path: Path,
    image: Entry,
    annotations: list[Entry],
    names: dict[int, str],
    folders: _ImageFolders,
) -> LabelledImage:
    place = f"{path}, image {image['id']}"
    name = _text(place, image, "file_name")
    file = folders.find(place, name)
    places = [f"{path}, annotation {annotation['id']}" for annotation in annotations]
    boxes = list(map(_bbox, places, annotations))
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    x1y1 = xywh[:, :2]
    x2y2 = x1y1 + xywh[:, 2:]
    visibility = list(map(_visibility, places, annotations))
    crowd = list(map(_crowd, places, annotations))
    return LabelledImage(
        image_id=Path(os.path.relpath(file, folders.root)).as_posix(),
        image=file,
        xyxy=np.concatenate([x1y1, x2y2], axis=1),
        names=[names[annotation["category_id"]] for annotation in annotations],
        visibility=np.array(visibility, np.float64),
        crowd=np.array(crowd, bool),
        wh=_size(place, image),
        relative=False,
        place=f"{place} ({name})",
        box_places=places,
    )


def _bbox(place: str, annotation: Entry) -> list[float]:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise DataError(place, "bbox must be four numbers: x, y, width, height", got=box)
    return box


def _crowd(place: str, annotation: Entry) -> bool:
    value = annotation.get("iscrowd", 0)
    if value not in (0, 1):
        raise DataError(place, "iscrowd must be 0 or 1", got=value)
    return bool(value)


def _visibility(place: str, annotation: Entry) -> float:
    value = annotation.get("visibility")
    if value is None:
        return math.nan
    if not _is_number(value) or not 0 <= value <= 1:
        rule = "visibility must be a number from 0 (hidden) to 1 (whole)"
        raise DataError(place, rule, got=value)
    return float(value)


def _size(place: str, image: Entry) -> tuple[int, int] | None:
    """Width and height as the file gives them; some exporters leave them out."""
    width, height = image.get("width"), image.get("height")
    if width is None or height is None:
        return None
    if not _is_number(width) or not _is_number(height):
        raise DataError(place, "width and height must be numbers", got=(width, height))
    return int(width), int(height)


def _text(place: str, entry: Entry, key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(place, f"{key} must be a non-empty string", got=value)
    return value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= _FURTHEST
