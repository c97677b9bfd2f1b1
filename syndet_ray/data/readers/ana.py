"""Rendered.ai's own format, "ana": one JSON file of labels and one of metadata for each image.

A box is x, y, width - 1, height - 1 of an object's mask in pixels. Classes stand in the metadata
alone. `obstruction`, 0 to 1, is the share of the object's pixels in the frame that others hide;
null means that it was not computed (anatools/lib/ana_object.py).
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.masks import edges_of_short_box
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import (
    for_message,
    objects,
    share,
    texts_by_id,
)
from syndet_ray.errors import DataError

LAYOUT = "annotations/*-ana.json with metadata/*-metadata.json and images/ (Rendered.ai)"
_END = "-ana.json"
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The label files of a run, or of several in subfolders."""
    return label_files(folder, f"*{_END}", f"*/*{_END}", f"*/*/*{_END}")


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that has a label file. Raises DataError for one that is no JSON of ana."""
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(paths, images, remarks)
    return Reading(splits=splits)


def _images(paths: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Iterator[LabelledImage]:
    for path in paths:
        content = load_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
            raise DataError(path, "must be labels of ana with a list 'annotations'")
        name = content.get("filename")
        if not isinstance(name, str) or not name:
            remarks.problem(str(path), "filename must be a text", got=for_message(name))
            continue
        annotations = objects(content, "annotations")
        classes = _classes(path, images)
        if classes is None and annotations:
            rule = "its metadata, which tell the classes, must lie in metadata/"
            remarks.problem(str(path), rule, got=_metadata_files(path)[0].name)
            continue
        run = path.parent.parent
        file = images.find(name, [run / "images", path.parent, run], str(path))
        if file is None:
            continue
        boxes = [_box(annotation, classes or {}, path, remarks) for annotation in annotations]
        usable = [box for box in boxes if box is not None]
        yield LabelledImage(image=file, boxes=usable, place=str(path))


def _metadata_files(path: Path) -> list[Path]:
    """The possible files of the metadata of a label file: in the folder for it, or beside."""
    name = f"{path.name.removesuffix(_END)}-metadata.json"
    folder = path.parent.name.replace("annotations", "metadata")
    return [path.parent.parent / folder / name, path.parent / name]


def _classes(path: Path, images: ImageFiles) -> dict[str, str] | None:
    """The types of objects by their ids, from the metadata of a label file; None without it."""
    for metadata in _metadata_files(path):
        if images.holds(metadata):
            return texts_by_id(objects(load_json(metadata), "objects"), "id", "type")
    return None


def _box(
    annotation: Entry, classes: dict[str, str], path: Path, remarks: Remarks
) -> LabelledBox | None:
    key = for_message(annotation.get("id"))
    place = f"object {key}"
    edges = edges_of_short_box(annotation.get("bbox"))
    name = classes.get(str(key))
    if name is None:
        rule = "its id must be that of an object with a type in the metadata"
        remarks.problem(f"{path}, {place}", rule, got=key)
        return unusable(edges, place)
    obstruction = share(annotation.get("obstruction"))
    if not math.isnan(obstruction):
        remarks.note("visibility is 1 - obstruction of ana, without parts out of the frame")
    return LabelledBox(
        xyxy=edges,
        name=name,
        place=place,
        visibility=1 - obstruction,
    )
