"""Unity Perception's SOLO: one JSON file for each frame, images beside it.

A box is its first pixel and its size in pixels, of the visible pixels of an object (compared with
masks of Unity's own sample: x2 = x + width). The optional OcclusionMetric tells percentVisible, 0
to 1, the visible share of the whole silhouette (OcclusionLabeler of com.unity.perception).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import (
    for_message,
    number,
    objects,
    share,
    size_or_none,
    texts_by_id,
)
from syndet_ray.errors import DataError

LAYOUT = "sequence.<n>/step<n>.frame_data.json with their images (Unity SOLO)"
_PATTERNS = ("sequence.*/*.frame_data.json", "sequence.*/step*.frame.json")
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The frame files of a dataset, or of several in subfolders."""
    of_subfolders = [f"*/{pattern}" for pattern in _PATTERNS]
    return label_files(folder, *_PATTERNS, *of_subfolders)


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every camera image that a labeler of 2D boxes has seen. Raises DataError for no frame."""
    names: dict[str, str] = {}
    for root in dict.fromkeys(path.parent.parent for path in files):
        names |= _names(root / "annotation_definitions.json", images)
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(paths, names, images, remarks)
    return Reading(splits=splits, classes=tuple(dict.fromkeys(names.values())) or None)


def _names(path: Path, images: ImageFiles) -> dict[str, str]:
    """Class names by id of the labelers of 2D boxes; {} without the file."""
    content = json_or_none(path) if images.holds(path) else None
    names: dict[str, str] = {}
    for definition in objects(content, "annotationDefinitions"):
        if _is_of_type(definition, "BoundingBox2DAnnotation"):
            names |= texts_by_id(objects(definition, "spec"), "label_id", "label_name")
    return names


def _is_of_type(entry: Entry, name: str) -> bool:
    """True for the type of that name, in any namespace (type.unity.com/unity.solo)."""
    return str(entry.get("@type", "")).rpartition(".")[2] == name


def _images(
    paths: Sequence[Path], names: Mapping[str, str], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    for path in paths:
        frame = load_json(path)
        if not isinstance(frame, dict) or not isinstance(frame.get("captures"), list):
            raise DataError(path, "must be a frame of SOLO with a list 'captures'")
        visibility = _visibility(frame)
        if visibility:
            remarks.note("visibility is percentVisible of SOLO, parts out of the frame included")
        for capture in objects(frame, "captures"):
            place = f"{path}, capture {for_message(capture.get('id'))}"
            values = _labels(capture, place, remarks)
            name = capture.get("filename")
            if values is None:
                continue
            if not isinstance(name, str) or not name:
                remarks.problem(place, "filename must be a text", got=for_message(name))
                continue
            file = images.find(name, [path.parent], place, anywhere=False)
            if file is None:
                continue
            boxes = []
            for position, value in enumerate(values):
                key = str(capture.get("id")), str(value.get("instanceId"))
                seen_share = visibility.get(key, math.nan)
                box = _box(
                    value, position, names, image=place, remarks=remarks, visibility=seen_share
                )
                if box is not None:
                    boxes.append(box)
            yield LabelledImage(image=file, boxes=boxes, wh=_size(capture), place=place)


def _labels(capture: Entry, place: str, remarks: Remarks) -> list[Entry] | None:
    """The boxes of a camera image; None where it is none, or no labeler of boxes was on."""
    if not _is_of_type(capture, "RGBCamera"):
        return None
    for annotation in objects(capture, "annotations"):
        if _is_of_type(annotation, "BoundingBox2DAnnotation"):
            return objects(annotation, "values")
    remarks.count("captures without a labeler of 2D boxes, left out", place)
    return None


def _visibility(frame: Entry) -> dict[tuple[str, str], float]:
    """The visible share of each object's silhouette, by sensor and instance."""
    shares = {}
    for metric in objects(frame, "metrics"):
        if not _is_of_type(metric, "OcclusionMetric"):
            continue
        for value in objects(metric, "values"):
            key = str(metric.get("sensorId")), str(value.get("instanceId"))
            shares[key] = share(value.get("percentVisible"))
    return shares


def _box(
    value: Entry,
    position: int,
    names: Mapping[str, str],
    *,
    image: str,
    remarks: Remarks,
    visibility: float,
) -> LabelledBox | None:
    place = f"box {position}"
    xyxy = _edges(value)
    name = value.get("labelName") or names.get(str(value.get("labelId")))
    if not isinstance(name, str) or not name:
        rule = "labelName must be a text, or labelId one of annotation_definitions.json"
        remarks.problem(f"{image}, {place}", rule, got=for_message(name))
        return unusable(xyxy, place)
    return LabelledBox(xyxy=xyxy, name=name, place=place, visibility=visibility)


def _edges(value: Entry) -> Edges:
    x, y = _pair(value.get("origin"))
    width, height = _pair(value.get("dimension"))
    return x, y, x + width, y + height


def _pair(values: Any) -> tuple[float, float]:
    """Two numbers; NaN for anything else."""
    if not isinstance(values, list) or len(values) != 2:
        return math.nan, math.nan
    return number(values[0]), number(values[1])


def _size(capture: Entry) -> tuple[int, int] | None:
    return size_or_none(*_pair(capture.get("dimension")))
