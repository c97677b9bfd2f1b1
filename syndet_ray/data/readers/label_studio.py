"""Label Studio's JSON, as its exports "JSON" and "JSON-MIN" write it.

x, y, width, height and points are percentages of the image's sides; a rotation is in degrees,
clockwise about the box's first corner (labelstud.io, units of image annotations). In JSON a task
holds the annotations of all annotators, in JSON-MIN each of them has an entry of its own.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from syndet_ray.data.images.unlabelled import SUFFIXES
from syndet_ray.data.readers.brush import brush_edges
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import begins_with, label_files
from syndet_ray.data.readers.labels import NO_EDGES, Edges, LabelledBox, LabelledImage, Reading
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.rotation import around_ellipse, around_turned
from syndet_ray.data.readers.splits import by_split
from syndet_ray.data.readers.values import for_message, is_number, number
from syndet_ray.errors import DataError

LAYOUT = "one Label Studio .json (export JSON or JSON-MIN) next to its images or images/"
_MIN_KEYS = (
    "annotation_id",
    "lead_time",
    "annotator",
)  # of JSON-MIN, of which all entries have one
_OTHERS = "tasks with several annotations, of which one is read"
_SHAPE_KEYS = ("x", "y", "width", "height", "rotation", "points", "rle", "radiusX", "radiusY")
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The JSON files in a folder or in its direct subfolders that are lists of tasks."""
    paths = label_files(folder, "*.json", "*/*.json")
    return [path for path in paths if _holds_tasks(path)]


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that was annotated, negatives included; skipped tasks are left out and counted.

    Raises DataError for a file that is no JSON, or no list of tasks, and without any image.
    """
    if images.are_missing():
        do = "Its JSON export has none: copy them beside it, or into images/."
        raise DataError(folder, "holds labels of Label Studio, but no image file", do=do)
    splits = {}
    for split, paths in by_split(folder, files).items():
        splits[split] = _images(folder, paths, images, remarks)
    return Reading(splits=splits)


def _holds_tasks(path: Path) -> bool:
    content = json_or_none(path) if begins_with(path, b"[") else None
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    return _is_task(content[0]) or _is_minimal(content[0])


def _is_task(entry: Entry) -> bool:
    has_annotations = "annotations" in entry or "completions" in entry
    return isinstance(entry.get("data"), dict) and has_annotations


def _is_minimal(entry: Entry) -> bool:
    return any(key in entry for key in _MIN_KEYS) and _image_name(entry) is not None


def _images(
    folder: Path, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    for path in paths:
        content = load_json(path)
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise DataError(path, "must be a list of tasks of Label Studio")
        folders = list(
            dict.fromkeys([path.parent / "images", path.parent, folder / "images", folder])
        )
        tasks = list(_tasks(path, content, remarks))
        targets = {target for _, _, regions in tasks for target in _targets(regions)}
        for place, data, regions in tasks:
            name = _image_name(data)
            if len(targets) > 1 and len(_image_keys(data)) > 1:
                name = _labelled_image(data, regions, place, remarks)
                if name is None:
                    continue
            if name is None:
                remarks.problem(place, "a task must have an image in its data")
                continue
            file = images.find(_name_on_disk(name), folders, place)
            if file is None:
                continue
            place = f"{place} ({for_message(name)})"
            if any(number(region.get("image_rotation") or 0) != 0 for region in regions):
                rule = "was labelled while turned in the tool (image_rotation), which is not read"
                remarks.problem(place, rule)
                continue
            if len(_targets(regions)) > 1:
                rule = "has regions of several images, of which only one can be read"
                remarks.problem(place, rule)
                continue
            yield LabelledImage(
                image=file,
                boxes=list(_boxes(regions, place, remarks)),
                wh=_size(regions),
                relative=True,
                place=place,
            )


def _tasks(
    path: Path, content: Sequence[Entry], remarks: Remarks
) -> Iterator[tuple[str, Entry, list[Entry]]]:
    """(place, data, regions) of each task that has an annotation."""
    identities = set()
    for position, entry in enumerate(content):
        key = entry.get("id")
        is_text_or_number = isinstance(key, int | str)
        place = f"{path}, task {for_message(key) if is_text_or_number else f'at {position}'}"
        if _is_task(entry):
            regions = _regions_of_task(entry, place, remarks)
            if regions is not None:
                yield place, entry["data"], regions
            continue
        identity = (str(key), _image_name(entry))
        if is_text_or_number and identity in identities:
            remarks.count(_OTHERS, place)
            continue
        identities.add(identity)
        yield place, entry, _regions_of_minimal(entry)


def _regions_of_task(task: Entry, place: str, remarks: Remarks) -> list[Entry] | None:
    """The regions of the one annotation of a task that counts; None if there is none.

    That is the one marked as ground truth, else the first that was not cancelled.
    """
    annotations = task.get("annotations", task.get("completions"))
    entries = _objects(annotations)
    if not entries:
        remarks.count("tasks without an annotation, left out", place)
        return None
    kept = [entry for entry in entries if not entry.get("was_cancelled")]
    if not kept:
        remarks.count("tasks that were skipped, left out", place)
        return None
    if len(kept) > 1:
        remarks.count(_OTHERS, place)
    truths = [entry for entry in kept if entry.get("ground_truth") is True]
    return _objects((truths or kept)[0].get("result"))


def _objects(entries: Any) -> list[Entry]:
    """The objects of a list; [] for anything else."""
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def _regions_of_minimal(entry: Entry) -> list[Entry]:
    """Regions of JSON-MIN in the shape of those of JSON: all lists of objects with a geometry."""
    regions = []
    for control, value in entry.items():
        for region in _objects(value):
            regions.append({**region, "value": region, "from_name": control})
    return regions


def _targets(regions: Sequence[Entry]) -> set[str]:
    """The images of the tool's window on which labelled regions are drawn, by their names there; in
    JSON-MIN, which lacks these, the names of the controls that drew them.
    """
    labelled = [region for region in regions if _label(region)]
    return {str(region.get("to_name", region.get("from_name"))) for region in labelled}


def _labelled_image(
    data: Entry, regions: Sequence[Entry], place: str, remarks: Remarks
) -> str | None:
    """The one of several images of a task that is labelled; None, with a problem, for others.

    The labels name the image of the window, which need not be called as its data are.
    """
    keys = _image_keys(data)
    targets = _targets(regions)
    if len(targets) == 1 and targets <= set(keys):
        return str(data[targets.pop()])
    rule = f"has {len(keys)} images, and the export does not say which of them is labelled"
    remarks.problem(place, rule, got=", ".join(keys))
    return None


def _image_name(data: Mapping[str, Any]) -> str | None:
    """The image of a task: `image`, or the first text, with the ending of an image file; else
    `image`.

    A task may also have a thumbnail, or an image to compare with.
    """
    keys = _image_keys(data)
    if keys and "image" not in keys:
        return str(data[keys[0]])
    name = data.get("image")
    return name if isinstance(name, str) and name else None


def _image_keys(data: Mapping[str, Any]) -> list[str]:
    """The keys whose texts have the ending of an image file."""
    texts = [key for key, value in data.items() if isinstance(value, str)]
    return [key for key in texts if _suffix(data[key]) in SUFFIXES]


def _name_on_disk(name: str) -> str:
    """The name of an uploaded file, whose folder exists in Label Studio's storage alone."""
    return name.rsplit("/", 1)[-1] if name.startswith("/data/upload/") else name


def _suffix(address: str) -> str:
    """The ending of a path, of an address without its query, or of the query's own path."""
    try:
        path = urlsplit(address).path
    except ValueError:
        path = address
    if path.endswith("/"):  # /data/local-files/?d=folder/a.jpg
        path = address
    return os.path.splitext(path)[1].lower()


def _boxes(regions: Sequence[Entry], image: str, remarks: Remarks) -> Iterator[LabelledBox]:
    yield from _regions_to_ignore(regions, image, remarks)
    for position, region in enumerate(regions):
        label = _label(region)
        if label is None:
            continue
        place = f"{image}, region {position}"
        value = region["value"]
        if len(_labels(value)) > 1:
            remarks.count("regions with several labels, of which the first is read", place)
        edges = _edges(value, region, place, remarks)
        if edges is None:
            remarks.count("regions without an area (key points, lines), left out", place)
            continue
        if number(value.get("rotation") or 0) != 0:
            remarks.count("rotated boxes read as the upright boxes around them", place)
        yield LabelledBox(xyxy=edges, name=label, place=f"region {position}")


def _regions_to_ignore(
    regions: Sequence[Entry], image: str, remarks: Remarks
) -> Iterator[LabelledBox]:
    """Regions to ignore: shapes without a label, which may be objects of any class.

    A shape whose labels, choices or texts are entries of their own is repeated in them.
    """
    shapes = [_shape_of(region) for region in regions]
    done = {shapes[i] for i, region in enumerate(regions) if _label(region) is not None}
    for position, (region, shape) in enumerate(zip(regions, shapes, strict=True)):
        if shape is None or shape in done:
            continue
        done.add(shape)
        place = f"{image}, region {position}"
        edges = _edges(region["value"], region, place, remarks)
        if edges is not None:
            remarks.count("shapes without a label, read as regions to ignore", place)
            yield LabelledBox(xyxy=edges, name=None, place=f"region {position}", crowd=True)


def _shape_of(region: Entry) -> str | None:
    """The geometry of a region; None for a choice or text on the whole image."""
    value = region.get("value")
    if not isinstance(value, dict):
        return None
    shape = [value.get(key) for key in _SHAPE_KEYS]
    return None if shape.count(None) == len(shape) else json.dumps(shape)


def _label(region: Entry) -> str | None:
    """The class of a region: the first of its labels; None if it has none."""
    labels = _labels(region.get("value"))
    return labels[0] if labels else None


def _labels(value: Any) -> list[str]:
    """The labels of a region, under the name of their kind: rectanglelabels, brushlabels, ..."""
    for key, labels in value.items() if isinstance(value, dict) else ():
        if not key.endswith("labels") or not isinstance(labels, list):
            continue
        names = [label for label in labels if isinstance(label, str)]
        if names:
            return [name for name in names if name] or names
    return []


def _edges(value: Entry, region: Entry, place: str, remarks: Remarks) -> Edges | None:
    """The edges of a region in shares of the image's sides; None if it has no area."""
    if "points" in value:
        return _edges_of_points(value["points"]) if value.get("closed", True) else None
    if "rle" in value:
        return _edges_of_brush(value, region)
    if "radiusX" in value:
        return _edges_of_ellipse(value, region)
    if "width" not in value or "height" not in value:
        return None
    return _edges_of_box(value, region)


def _edges_of_points(points: Any) -> Edges:
    if not isinstance(points, list) or not points:
        return NO_EDGES
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not all(map(is_number, point)):
            return NO_EDGES
    xs, ys = zip(*points, strict=True)
    return min(xs) / 100, min(ys) / 100, max(xs) / 100, max(ys) / 100


def _edges_of_box(value: Entry, region: Entry) -> Edges:
    x, y, width, height = (number(value.get(key)) / 100 for key in ("x", "y", "width", "height"))
    degrees = number(value.get("rotation") or 0)
    if degrees == 0:
        return x, y, x + width, y + height
    # turned in pixels, since a percent of the width is not one of the height
    sides = _sides(region)
    x, y, width, height = x * sides[0], y * sides[1], width * sides[0], height * sides[1]
    edges = around_turned((x, y, x + width, y + height), degrees, (x, y))
    return _as_shares(edges, sides)


def _edges_of_ellipse(value: Entry, region: Entry) -> Edges:
    sides = _sides(region)
    x, y = number(value.get("x")) / 100 * sides[0], number(value.get("y")) / 100 * sides[1]
    radii = (
        number(value.get("radiusX")) / 100 * sides[0],
        number(value.get("radiusY")) / 100 * sides[1],
    )
    edges = around_ellipse((x, y), radii, number(value.get("rotation") or 0))
    return _as_shares(edges, sides)


def _edges_of_brush(value: Entry, region: Entry) -> Edges:
    width, height = _sides(region)
    if math.isnan(width) or math.isnan(height):
        return NO_EDGES
    edges = brush_edges(value["rle"], (int(width), int(height)))
    return NO_EDGES if edges is None else _as_shares(edges, (width, height))


def _sides(region: Entry) -> tuple[float, float]:
    """Width and height of the image in pixels, as the region tells; NaN if it does not."""
    sides = number(region.get("original_width")), number(region.get("original_height"))
    return sides if min(sides) >= 1 else (math.nan, math.nan)


def _as_shares(edges: Edges, sides: tuple[float, float]) -> Edges:
    x1, y1, x2, y2 = edges
    width, height = sides
    return x1 / width, y1 / height, x2 / width, y2 / height


def _size(regions: Sequence[Entry]) -> tuple[int, int] | None:
    for region in regions:
        width, height = _sides(region)
        if not math.isnan(width) and not math.isnan(height):
            return int(width), int(height)
    return None
