"""GroceriesReal, the photos that Unity published with SynthDet.

annotations.json is a list of images with boxes x, y, width, height; groceries_real_<split>.txt are
positions in that list; annotation_definitions.json names the classes
(datasetinsights/datasets/groceries_real.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import begins_with, label_files
from syndet_ray.data.readers.labels import (
    NO_EDGES,
    Edges,
    LabelledBox,
    LabelledImage,
    Reading,
    unusable,
)
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS
from syndet_ray.data.readers.values import for_message, is_number, number, objects, texts_by_id
from syndet_ray.errors import DataError

LAYOUT = "annotations.json with groceries_real_<split>.txt and images/ (GroceriesReal)"
_DEFINITIONS = ("annotation_definitions.json", "annotation_definition.json")
_MOST_BYTES = 50_000_000  # of a list of positions: more is no such list
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """annotations.json, if lists of a split or its own content show that it is GroceriesReal's."""
    paths = label_files(folder, "annotations.json")
    if not paths or not begins_with(paths[0], b"["):
        return []
    has_lists = bool(label_files(folder, "groceries_real_*.txt"))
    return paths if has_lists or _holds_images(paths[0]) else []


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """The images of train, val and test; all are train without their lists.

    Raises DataError for a file that is no JSON list, or a list of a split that is none.
    """
    path = files[0]
    content = load_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DataError(path, "must be a list of images with their annotations")
    names = _names(folder, images)
    splits = {}
    for split, positions in _positions(folder, len(content), images).items():
        splits[split] = _images(
            path, content, positions, names=names, images=images, remarks=remarks
        )
    return Reading(splits=splits, classes=tuple(dict.fromkeys(names.values())) or None)


def _holds_images(path: Path) -> bool:
    content = json_or_none(path)
    if not isinstance(content, list):
        return False
    entries = [entry for entry in content if isinstance(entry, dict)]
    for entry in entries:
        annotations = objects(entry, "annotations")
        if annotations:
            return "file_name" in entry and "label_id" in annotations[0]
    return False


def _names(folder: Path, images: ImageFiles) -> dict[str, str]:
    """Class names by label id; {} without a file of definitions."""
    for name in _DEFINITIONS:
        if not images.holds(folder / name):
            continue
        definitions = objects(load_json(folder / name), "annotation_definitions")
        specs = [entry for definition in definitions for entry in objects(definition, "spec")]
        return texts_by_id(specs, "label_id", "label_name")
    return {}


def _positions(folder: Path, count: int, images: ImageFiles) -> dict[str, list[int]]:
    """The positions of each split's images among all of them. Raises DataError for others."""
    positions = {}
    for split in SPLITS:
        path = folder / f"groceries_real_{split}.txt"
        if images.holds(path):
            positions[split] = _positions_in(path, count)
    return positions or {"train": list(range(count))}


def _positions_in(path: Path, count: int) -> list[int]:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, "is too large for a list of positions")
    words = path.read_bytes().decode(errors="replace").split()
    positions = []
    for word in words:
        is_number = word.isascii() and word.isdigit() and len(word) <= len(str(count))
        if not is_number or int(word) >= count:
            rule = f"must hold positions of the {count} images in annotations.json, from 0"
            raise DataError(path, rule, got=for_message(word))
        positions.append(int(word))
    return positions


def _images(
    path: Path,
    content: Sequence[Entry],
    positions: Sequence[int],
    *,
    names: Mapping[str, str],
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    for position in positions:
        entry = content[position]
        place = f"{path}, image {position}"
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            remarks.problem(place, "file_name must be a non-empty string", got=for_message(name))
            continue
        file = images.find(name, [path.parent / "images", path.parent], place)
        if file is None:
            continue
        place = f"{place} ({for_message(name)})"
        boxes = []
        for number_of_box, annotation in enumerate(objects(entry, "annotations")):
            box = _box(annotation, f"annotation {number_of_box}", names, place, remarks)
            if box is not None:
                boxes.append(box)
        yield LabelledImage(image=file, boxes=boxes, place=place)


def _box(
    annotation: Entry, name: str, names: Mapping[str, str], image: str, remarks: Remarks
) -> LabelledBox | None:
    edges = _edges(annotation.get("bbox", annotation.get("bboxs")))
    key = for_message(annotation.get("label_id"))
    if str(key) not in names:
        rule = f"label_id must be one of {_DEFINITIONS[0]}"
        remarks.problem(f"{image}, {name}", rule, got=key)
        return unusable(edges, name)
    return LabelledBox(xyxy=edges, name=names[str(key)], place=name)


def _edges(box: Any) -> Edges:
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return NO_EDGES
    x, y, width, height = map(number, box)
    return x, y, x + width, y + height
