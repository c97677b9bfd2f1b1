"""COCO instances JSON, and the dialects met in the wild: ids from 0, any category ids, negatives,
missing sizes.

Boxes are x, y, width, height in continuous pixels: x2 = x + width. A `visibility` key, 0 to 1, is
ours; COCO has none.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.readers.found import Found, Reading
from syndet_ray.errors import DataError

# Where annotation files lie: COCO's own layout, Roboflow's, and one file beside its images.
_LAYOUTS = (
    "annotations/instances*.json",
    "*/_annotations.coco.json",
    "_annotations.coco.json",
    "instances*.json",
)
_LISTS = ("images", "annotations", "categories")
# no image has as many pixels a side; NaN, infinity and integers too large for a float are none
# either
_FURTHEST = 1e9
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder: those of the first known layout, else any JSON that holds
    instances.
    """
    for layout in _LAYOUTS:
        if found := sorted(folder.glob(layout)):
            return found
    loose = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    return [path for path in loose if _holds_instances(path)]


def read(folder: Path, by_split: Mapping[str, Sequence[Path]]) -> Reading:
    """Every image, negatives included.

    Raises DataError naming file, image or annotation id, rule and value.
    """
    contents = {path: _load(path) for paths in by_split.values() for path in paths}
    classes, notes = _classes(contents.values())
    splits = {
        split: [
            found
            for path in paths
            for found in _images(path, contents[path], _ImageFolders(folder, path, split))
        ]
        for split, paths in by_split.items()
    }
    return Reading(classes=classes, splits=splits, notes=notes)


class _ImageFolders:
    """Where the images of one annotation file may lie, nearest first."""

    def __init__(self, root: Path, annotations: Path, split: str) -> None:
        inside = sorted(
            p for pattern in ("images/*", "*") for p in root.glob(pattern) if p.is_dir()
        )
        named = [p for p in inside if p.name.lower().startswith(split)]
        self.root, self._folders = root, [annotations.parent, *named, root / "images", root]

    def find(self, place: str, name: str) -> Path:
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        looked = ", ".join(dict.fromkeys(str(folder) for folder in self._folders))
        raise DataError(place, "its image file does not exist", got=name, do=f"Looked in {looked}.")


def _holds_instances(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and content.keys() >= set(_LISTS)


def _load(path: Path) -> Entry:
    """The content of an annotation file, its ids checked."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(
            path, f"is not valid JSON ({error})", do="Copy or export the file again."
        ) from None
    for key in _LISTS:
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(path, f"must be COCO instances with a list {key!r} of objects")
    _check_ids(path, "image", content["images"])
    _check_ids(path, "annotation", content["annotations"])
    _check_ids(path, "category", content["categories"])
    for category in content["categories"]:
        _text(f"{path}, category {category['id']}", category, "name")
    _check_unique(path, "category names", [category["name"] for category in content["categories"]])
    _check_references(path, content)
    return content


def _check_ids(path: Path, kind: str, entries: list[Entry]) -> None:
    for position, entry in enumerate(entries):
        # a string or true would match nothing, or the wrong thing
        if type(entry.get("id")) is not int:
            raise DataError(
                f"{path}, {kind} at position {position}",
                "id must be a whole number",
                got=entry.get("id"),
            )
    _check_unique(path, f"{kind} ids", [entry["id"] for entry in entries])


def _check_references(path: Path, content: Entry) -> None:
    for key, what, known in (
        ("image_id", "an image", "images"),
        ("category_id", "a category", "categories"),
    ):
        ids = {entry["id"] for entry in content[known]}
        for annotation in content["annotations"]:
            value = annotation.get(key)
            if type(value) is not int or value not in ids:
                place = f"{path}, annotation {annotation['id']}"
                raise DataError(place, f"{key} must be the id of {what} of this file", got=value)


def _check_unique(path: Path, what: str, values: list[Any]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        do = f"{len(twice)} of them stand more than once." if len(twice) > 1 else ""
        raise DataError(path, f"{what} must be unique", got=twice[0], do=do)


def _classes(contents: Collection[Entry]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes by category id, and a note on what was left out.

    Roboflow adds a category that no object has, only to be the others' supercategory.
    """
    categories = {
        c["name"]: c
        for content in contents
        for c in sorted(content["categories"], key=lambda c: c["id"])
    }
    used = set()
    for content in contents:
        ids = {annotation["category_id"] for annotation in content["annotations"]}
        used |= {category["name"] for category in content["categories"] if category["id"] in ids}
    parents = [
        c.get("supercategory") for c in categories.values() if c.get("supercategory") != c["name"]
    ]
    grouping = [name for name in categories if name in parents and name not in used]
    notes = tuple(
        f"category {name!r} only groups others and has no objects: left out" for name in grouping
    )
    return tuple(name for name in categories if name not in grouping), notes


def _images(path: Path, content: Entry, folders: _ImageFolders) -> list[Found]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    of_image: dict[int, list[Entry]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    return [
        _found(path, image, of_image[image["id"]], names, folders) for image in content["images"]
    ]


def _found(
    path: Path,
    image: Entry,
    annotations: list[Entry],
    names: dict[int, str],
    folders: _ImageFolders,
) -> Found:
    place = f"{path}, image {image['id']}"
    name = _text(place, image, "file_name")
    file = folders.find(place, name)
    places = [f"{path}, annotation {annotation['id']}" for annotation in annotations]
    xywh = np.array(
        [_bbox(*pair) for pair in zip(places, annotations, strict=True)], np.float64
    ).reshape(-1, 4)
    return Found(
        image_id=Path(os.path.relpath(file, folders.root)).as_posix(),
        image=file,
        xyxy=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        names=[names[annotation["category_id"]] for annotation in annotations],
        visibility=np.array(
            [_visibility(*pair) for pair in zip(places, annotations, strict=True)], np.float64
        ),
        crowd=np.array([_crowd(*pair) for pair in zip(places, annotations, strict=True)], bool),
        wh=_size(place, image),
        relative=False,
        place=f"{place} ({name})",
        box_places=places,
    )


def _bbox(place: str, annotation: Entry) -> list[float]:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
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
        raise DataError(
            place, "visibility must be a number from 0 (hidden) to 1 (whole)", got=value
        )
    return float(value)


def _size(place: str, image: Entry) -> tuple[int, int] | None:
    """Width and height as the file tells them; some exporters leave them out."""
    width, height = image.get("width"), image.get("height")
    if width is None or height is None:
        return None
    if not _is_number(width) or not _is_number(height):
        raise DataError(place, "width and height must be numbers", got=(width, height))
    return int(width), int(height)


def _text(place: str, entry: Entry, key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(place, f"{key} must be a text", got=value)
    return value


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _FURTHEST
    )
