"""Unity Perception's first dataset format (schema 0.0.1): captures_<n>.json in Dataset<id>/.

Boxes are x, y, width, height in continuous pixels. The labeler of 2D boxes has no fixed id: it is
found by the name or the values of its definition. There is no visibility.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import for_message, number, objects, texts_by_id
from syndet_ray.errors import DataError

LAYOUT = "Dataset<id>/captures_<n>.json with RGB<id>/ (Unity Perception)"
_PATTERN = "captures_*.json"
_BOXES = re.compile(r"(2d\s+)?bounding\s+box(es)?(\s+2d)?", re.IGNORECASE)
_GEOMETRY = {"x", "y", "width", "height"}
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The capture files of a dataset, or of several in subfolders."""
    paths = label_files(folder, _PATTERN, f"*/{_PATTERN}", f"*/*/{_PATTERN}")
    return [path for path in paths if path.stem.removeprefix("captures_").isdecimal()]


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every camera image that a labeler of 2D boxes has seen. Raises DataError for no captures."""
    names: dict[str, str] = {}
    labelers: dict[Path, set[str]] = {}
    for home in dict.fromkeys(path.parent for path in files):
        definitions = _definitions(home / "annotation_definitions.json", images)
        labelers[home] = {str(definition.get("id")) for definition in definitions}
        for definition in definitions:
            names |= texts_by_id(objects(definition, "spec"), "label_id", "label_name")
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(paths, labelers, names, images, remarks)
    return Reading(splits=splits, classes=tuple(dict.fromkeys(names.values())) or None)


def _definitions(path: Path, images: ImageFiles) -> list[Entry]:
    """The definitions of labelers of 2D boxes, [] without the file."""
    content = json_or_none(path) if images.holds(path) else None
    definitions = objects(content, "annotation_definitions")
    return [entry for entry in definitions if _BOXES.fullmatch(str(entry.get("name", "")).strip())]


def _images(
    paths: Sequence[Path],
    labelers: Mapping[Path, set[str]],
    names: Mapping[str, str],
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    for path in paths:
        content = load_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("captures"), list):
            raise DataError(path, "must be captures of Unity Perception with a list 'captures'")
        folders = [path.parent.parent, path.parent]
        for position, capture in enumerate(objects(content, "captures")):
            place = f"{path}, capture {for_message(capture.get('id', position))}"
            if not _is_of_camera(capture):
                continue
            values = _values(capture, labelers[path.parent])
            if values is None:
                remarks.count("captures without a labeler of 2D boxes, left out", place)
                continue
            name = capture.get("filename")
            if not isinstance(name, str) or not name:
                remarks.problem(place, "filename must be a text", got=for_message(name))
                continue
            file = images.find(name, folders, place)
            if file is None:
                continue
            boxes = list(_boxes(values, names, place, remarks))
            yield LabelledImage(image=file, boxes=boxes, place=place)


def _is_of_camera(capture: Entry) -> bool:
    """False for other sensors, such as lidars."""
    sensor = capture.get("sensor")
    modality = sensor.get("modality") if isinstance(sensor, dict) else None
    return modality in (None, "camera")


def _values(capture: Entry, labelers: set[str]) -> list[Entry] | None:
    """The boxes of a capture; None where no labeler of boxes was on.

    labelers  ids of the definitions of 2D boxes; where none is defined, values with a position and
              a size are boxes
    """
    for annotation in objects(capture, "annotations"):
        values = objects(annotation, "values")
        is_named = str(annotation.get("annotation_definition")) in labelers
        if is_named or (not labelers and values and values[0].keys() >= _GEOMETRY):
            return values
    return None


def _boxes(
    values: Sequence[Entry], names: Mapping[str, str], image: str, remarks: Remarks
) -> Iterator[LabelledBox]:
    for position, value in enumerate(values):
        place = f"box {position}"
        x, y, width, height = (number(value.get(key)) for key in ("x", "y", "width", "height"))
        xyxy = x, y, x + width, y + height
        name = value.get("label_name") or names.get(str(value.get("label_id")))
        if not isinstance(name, str) or not name:
            rule = "label_name must be a text, or label_id one of annotation_definitions.json"
            remarks.problem(f"{image}, {place}", rule, got=for_message(name))
            yield unusable(xyxy, place)
            continue
        yield LabelledBox(xyxy=xyxy, name=name, place=place)
