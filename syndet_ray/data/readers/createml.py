"""CreateML's JSON, as Apple, Roboflow and RectLabel write it: a list of images with annotations.

x and y are the center of a box, in continuous pixels (developer.apple.com, MLObjectDetector).
LabelImg writes such a list for each image, under the name of the image.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import begins_with, label_files
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder, by_split
from syndet_ray.data.readers.values import for_message, number, objects
from syndet_ray.errors import DataError

LAYOUT = "<split>/_annotations.createml.json, or CreateML .json files next to their images"
_OF_ROBOFLOW = "_annotations.createml.json"
_NAMES = ("image", "imagefilename")
_LISTS = ("annotations", "annotation")
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """Roboflow's files, else the JSON files that are lists of images with coordinates."""
    paths = label_files(folder, _OF_ROBOFLOW, f"*/{_OF_ROBOFLOW}")
    if paths:
        return paths
    loose = label_files(folder, "*.json", "*/*.json")
    return [path for path in loose if _holds_images(path)]


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image of the lists, negatives included. Raises DataError for a file of another form."""
    is_one_each = len(files) > 1 and all(map(_is_of_one_image, files))
    paths_of = by_folder(folder, files) if is_one_each else by_split(folder, files)
    splits = {}
    for split, paths in paths_of.items():
        splits[split] = _images(folder, paths, images, remarks)
    return Reading(splits=splits)


def _holds_images(path: Path) -> bool:
    content = json_or_none(path) if begins_with(path, b"[") else None
    if not isinstance(content, list) or not content:
        return False
    entries = [entry for entry in content if isinstance(entry, dict)]
    if not entries or _name(entries[0]) is None or _annotations(entries[0]) is None:
        return False
    for entry in entries:
        for annotation in _annotations(entry) or []:
            return "coordinates" in annotation and "label" in annotation
    return True


def _is_of_one_image(path: Path) -> bool:
    """True for a list of one image, whose name the file has: "a.json" of "a.jpg"."""
    content = load_json(path)
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        return False
    return Path(_name(content[0]) or "").stem == path.stem


def _name(entry: Entry) -> str | None:
    """The image of an entry."""
    for key in _NAMES:
        if isinstance(entry.get(key), str) and entry[key]:
            return str(entry[key])
    return None


def _annotations(entry: Entry) -> list[Entry] | None:
    """The annotations of an entry; None where it has no list of them."""
    for key in _LISTS:
        if isinstance(entry.get(key), list):
            return objects(entry, key)
    return None


def _images(
    folder: Path, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    for path in paths:
        content = load_json(path)
        if not isinstance(content, list):
            raise DataError(path, "must be a list of images with their annotations")
        folders = [path.parent, path.parent / "images", folder / "images", folder]
        for position, entry in enumerate(content):
            place = f"{path}, image {position}"
            name = _name(entry) if isinstance(entry, dict) else None
            if name is None:
                remarks.problem(place, "must name its image", got=for_message(entry))
                continue
            file = images.find(name, folders, place)
            if file is not None:
                place = f"{place} ({for_message(name)})"
                boxes = list(_boxes(_annotations(entry) or [], place, remarks))
                yield LabelledImage(image=file, boxes=boxes, place=place)


def _boxes(annotations: Sequence[Entry], image: str, remarks: Remarks) -> Iterator[LabelledBox]:
    for position, annotation in enumerate(annotations):
        place = f"annotation {position}"
        edges = _edges(annotation.get("coordinates"))
        label = annotation.get("label")
        if not isinstance(label, str) or not label:
            remarks.problem(f"{image}, {place}", "label must be a text", got=for_message(label))
            yield unusable(edges, place)
            continue
        yield LabelledBox(xyxy=edges, name=label, place=place)


def _edges(coordinates: Any) -> Edges:
    values = coordinates if isinstance(coordinates, dict) else {}
    x, y, width, height = (number(values.get(key)) for key in ("x", "y", "width", "height"))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
