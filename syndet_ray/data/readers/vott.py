"""VoTT's JSON: one file for a whole project, or one for each image.

Boxes are left, top, width, height in continuous pixels. A region with several tags is an object of
each. An image that was never opened (state 0) is not labelled; one that was, without regions, has
no objects (microsoft/VoTT, src/models/applicationState.ts).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from syndet_ray.data.images.unlabelled import SUFFIXES
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import begins_with, label_files
from syndet_ray.data.readers.labels import (
    Edges,
    LabelledBox,
    LabelledImage,
    Reading,
    around_points,
    unusable,
)
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import for_message, number, objects, size_or_none
from syndet_ray.errors import DataError

LAYOUT = "*-export.json or *-asset.json of VoTT next to its images"
_NOT_VISITED = 0
_VIDEO = 2  # the type of a whole video, whose frames are assets of their own
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The export of each project, else the files of single images."""
    exports = label_files(folder, "*-export.json", "*/*-export.json", "*/*/*-export.json")
    exports = [path for path in exports if _holds_assets(path)]
    if exports:
        return exports
    assets = label_files(folder, "*-asset.json", "*/*-asset.json", "*/*/*-asset.json")
    return assets if assets and any(_holds_assets(path) for path in assets[:3]) else []


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that was opened in VoTT. Raises DataError for a file that is not VoTT's."""
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(folder, paths, images, remarks)
    return Reading(splits=splits, classes=_tags(files))


def _tags(files: Sequence[Path]) -> tuple[str, ...] | None:
    """The tags of the projects in their own order; None where only images tell them."""
    names: dict[str, None] = {}
    for path in files:
        if path.name.endswith("-export.json"):
            for tag in objects(load_json(path), "tags"):
                if isinstance(tag.get("name"), str) and tag["name"]:
                    names.setdefault(tag["name"])
    return tuple(names) or None


def _holds_assets(path: Path) -> bool:
    content = json_or_none(path) if begins_with(path, b"{") else None
    return isinstance(content, dict) and _assets(content) is not None


def _assets(content: Entry) -> list[Entry] | None:
    """The assets of an export or of a file of one image; None for another file."""
    assets = content.get("assets")
    if isinstance(assets, dict):
        return [entry for entry in assets.values() if isinstance(entry, dict)]
    if isinstance(content.get("asset"), dict) and isinstance(content.get("regions"), list):
        return [content]
    return None


def _images(
    folder: Path, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    for path in paths:
        content = load_json(path)
        assets = _assets(content) if isinstance(content, dict) else None
        if assets is None:
            raise DataError(path, "must be VoTT's, with 'assets', or with 'asset' and 'regions'")
        folders = list(dict.fromkeys([path.parent, path.parent.parent, folder, folder / "images"]))
        if path.parent == folder:
            folders.remove(folder.parent)
        for entry in assets:
            asset = entry.get("asset")
            place = str(path)
            if not isinstance(asset, dict) or not isinstance(asset.get("name"), str):
                remarks.problem(place, "an asset must have a name", got=for_message(asset))
                continue
            place = f"{path}, {for_message(asset['name'])}"
            regions = objects(entry, "regions")
            if not _is_labelled(asset, regions, place, remarks):
                continue
            file = _image_file(asset["name"], folders, images, place)
            if file is not None:
                boxes = list(_boxes(regions, place, remarks))
                yield LabelledImage(image=file, boxes=boxes, wh=_size(asset), place=place)


def _is_labelled(asset: Entry, regions: Sequence[Entry], place: str, remarks: Remarks) -> bool:
    """False for a whole video, and, counted, for an image that was never opened."""
    if regions:
        return True
    if asset.get("type") == _VIDEO:
        return False
    if number(asset.get("state", _NOT_VISITED)) == _NOT_VISITED:
        remarks.count("images never opened in VoTT (not labelled), left out", place)
        return False
    return True


def _image_file(name: str, folders: Sequence[Path], images: ImageFiles, place: str) -> Path | None:
    """The image of an asset; that of a frame of a video, `name#t=1.5`, may have another ending."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    spellings = [base, unquote(base)]
    if "#t=" in base:
        spellings += [f"{base}{suffix}" for suffix in SUFFIXES]
        spellings += [f"{unquote(base)}{suffix}" for suffix in SUFFIXES]
    for spelling in spellings if base and len(base) < 200 and "\0" not in base else []:
        for folder in folders:
            if images.holds(folder / spelling):
                return folder / spelling
    return images.find(name, folders, place)


def _boxes(regions: Sequence[Entry], image: str, remarks: Remarks) -> Iterator[LabelledBox]:
    for position, region in enumerate(regions):
        place = f"region {position + 1}"
        tags = region.get("tags")
        texts = (
            [tag for tag in tags if isinstance(tag, str) and tag] if isinstance(tags, list) else []
        )
        if not texts:
            remarks.problem(f"{image}, {place}", "must have a tag", got=for_message(tags))
            yield unusable(_edges(region), place)
        if len(texts) > 1:
            event = "regions with several tags, read as a box of each class"
            remarks.count(event, f"{image}, {place}")
        for tag in texts:
            yield LabelledBox(xyxy=_edges(region), name=tag, place=place)


def _edges(region: Entry) -> Edges:
    """Edges of the bounding box, else around the points."""
    box = region.get("boundingBox")
    if isinstance(box, dict):
        x, y, width, height = (number(box.get(key)) for key in ("left", "top", "width", "height"))
        return x, y, x + width, y + height
    points = objects(region, "points")
    xs, ys = (
        [number(point.get("x")) for point in points],
        [number(point.get("y")) for point in points],
    )
    return around_points(xs, ys)


def _size(asset: Entry) -> tuple[int, int] | None:
    size = asset.get("size")
    if not isinstance(size, dict):
        return None
    return size_or_none(size.get("width"), size.get("height"))
