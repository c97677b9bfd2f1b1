"""COCO instances JSON, and its dialects: ids from 0, any category ids, negatives, missing sizes.

Boxes are x, y, width, height in continuous pixels: x2 = x + width. A `visibility` key, 0 to 1, is
ours; COCO has none.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import begins_with, label_files
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.masks import mask_edges
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_split
from syndet_ray.data.readers.values import for_message, is_number, size_or_none
from syndet_ray.errors import DataError

LAYOUT = (
    "annotations/instances_<split>.json with images/<split>/, <split>/_annotations.coco.json, "
    "or one COCO .json next to its images"
)

# Where annotation files lie: COCO's own layout, Roboflow's, and one file next to its images.
_LAYOUTS = (
    "annotations/instances*.json",
    "*/_annotations.coco.json",
    "_annotations.coco.json",
    "instances*.json",
    "*/annotations/instances*.json",  # one export for each split
)
_LONGEST_ID = 4000  # digits of an id in a text; Python refuses to read much longer numbers
_LEAST_BRUSHED = 3  # crowds of a file: fewer do not show what the tool means by them
_LISTS = ("images", "annotations", "categories")
Entry = dict[str, Any]


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder.

    They are those of the first layout that fits, else all JSON files that hold instances.
    """
    for layout in _LAYOUTS:
        paths = label_files(folder, layout)
        if paths:
            return paths
    for patterns in (("*.json", "annotations/*.json"), ("*/*.json",)):
        loose = [path for path in label_files(folder, *patterns) if _holds_instances(path)]
        if loose:
            return loose
    return []


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image, negatives included.

    Raises DataError for a file that is no JSON, or no COCO instances.
    """
    parts: dict[str, list[tuple[Path, Entry]]] = {}
    for split, paths in by_split(folder, files).items():
        parts[split] = [(path, _load(path, remarks)) for path in paths]
    contents = [content for part in parts.values() for _, content in part]
    classes = _classes(contents, remarks)
    splits = {}
    for split, part in parts.items():
        splits[split] = _images(folder, split, part, images, remarks)
    count = sum(len(content["images"]) for content in contents)
    return Reading(classes=classes, splits=splits, images=count)


def _image_folders(root: Path, annotations: Path, split: str) -> list[Path]:
    """Folders in which the images of one annotation file may lie, nearest first."""
    beside = annotations.parent
    subset = annotations.stem.rpartition("_")[2]  # instances_default of CVAT: images/default
    of_split = sorted([*_folders_of(split, root / "images"), *_folders_of(split, root)])
    folders = [
        beside,
        beside / "images",
        beside / "data",  # FiftyOne
        root / "images" / subset,
        beside.parent / "images" / subset,
        *of_split,
        *[folder / "images" for folder in of_split],
        root / "images",
        root,
    ]
    return list(dict.fromkeys(folders))


def _folders_of(split: str, folder: Path) -> Iterator[Path]:
    """The folders in a folder whose names begin with that of a split."""
    # names alone, because most are those of images, of which there may be a million
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().startswith(split) and entry.is_dir():
                yield folder / entry.name


def _holds_instances(path: Path) -> bool:
    content = json_or_none(path) if begins_with(path, b"{") else None
    return isinstance(content, dict) and content.keys() >= set(_LISTS)


def _load(path: Path, remarks: Remarks) -> Entry:
    """The content of an annotation file, its ids as keys, without annotations of no image."""
    content = load_json(path)
    for key in _LISTS:
        entries = content.get(key) if isinstance(content, dict) else None
        if not _is_list_of_objects(entries):
            raise DataError(path, f"must be COCO instances with a list {key!r} of objects")
    for kind, entries in (("image", "images"), ("category", "categories")):
        _make_ids_keys(path, kind, content[entries])
    names = []
    for category in content["categories"]:
        name = _text(f"{path}, category {category['id']}", category, "name")
        names.append(name)
    _check_unique(path, "category names", names)
    annotations = []
    _check_unique_ids(path, content["annotations"])
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    for position, annotation in enumerate(content["annotations"]):
        annotation["place"] = _annotation_place(position, annotation)
        if not _refers_to(annotation, images):
            place = f"{path}, {annotation['place']}"
            rule = "image_id must be the id of an image of this file"
            remarks.problem(place, rule, got=for_message(annotation.get("image_id")))
            continue
        category = annotation.get("category_id")
        annotation["category_id"] = _key(category)
        if annotation["category_id"] not in categories:  # a problem of its image
            annotation["category_id"], annotation["unknown"] = None, for_message(category)
        annotations.append(annotation)
    return {**content, "annotations": annotations}


def _is_list_of_objects(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _key(value: Any) -> Hashable:
    """An id as a key: "1" and 1.0 are 1, other texts stay; None for anything else.

    pycocotools takes ids of any kind, and tools write all of them.
    """
    if type(value) is int:  # almost always
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _LONGEST_ID else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _make_ids_keys(path: Path, kind: str, entries: list[Entry]) -> None:
    for position, entry in enumerate(entries):
        key = _key(entry.get("id"))
        if key is None or key == "":
            place = f"{path}, {kind} at position {position}"
            raise DataError(
                place, "id must be a number or a text", got=for_message(entry.get("id"))
            )
        entry["id"] = key
    _check_unique(path, f"{kind} ids", [entry["id"] for entry in entries])


def _check_unique_ids(path: Path, annotations: list[Entry]) -> None:
    """Annotations may lack an id, since nothing refers to them."""
    keys = [_key(annotation.get("id")) for annotation in annotations]
    _check_unique(path, "annotation ids", [key for key in keys if key is not None])


def _check_unique(path: Path, plural: str, values: list[Any]) -> None:
    if len(set(values)) == len(values):
        return
    repeated = [value for value, count in Counter(values).items() if count > 1]
    do = f"{len(repeated)} of them occur more than once." if len(repeated) > 1 else ""
    raise DataError(path, f"{plural} must be unique", got=repeated[0], do=do)


def _annotation_place(position: int, annotation: Entry) -> str:
    key = _key(annotation.get("id"))
    return f"annotation at position {position}" if key is None else f"annotation {for_message(key)}"


def _refers_to(annotation: Entry, images: set[Hashable]) -> bool:
    """True if the image of an annotation is one of the ids, and is now a key like these."""
    key = _key(annotation.get("image_id"))
    if key not in images:
        return False
    annotation["image_id"] = key
    return True


def _classes(contents: Collection[Entry], remarks: Remarks) -> tuple[str, ...]:
    """The classes by category id; a note says what was left out.

    Roboflow adds a category that no object has, only to be the others' supercategory.
    """
    parent_of: dict[str, Any] = {}
    used = set()
    for content in contents:
        ids = {annotation["category_id"] for annotation in content["annotations"]}
        categories = sorted(content["categories"], key=lambda category: _order(category["id"]))
        for category in categories:
            parent_of[category["name"]] = category.get("supercategory")
            if category["id"] in ids:
                used.add(category["name"])
    # a list, because a broken file may hold parents that cannot be hashed
    parents = [parent for name, parent in parent_of.items() if parent != name]
    grouping = [name for name in parent_of if name in parents and name not in used]
    for name in grouping:
        remarks.note(f"category {name!r} only groups others and has no objects: left out")
    return tuple(name for name in parent_of if name not in grouping)


def _order(key: Any) -> tuple[bool, Any]:
    """Sorts numbers before texts."""
    return isinstance(key, str), key


def _images(
    folder: Path,
    split: str,
    parts: Sequence[tuple[Path, Entry]],
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    """The images of the annotation files of a split whose files exist."""
    for path, content in parts:
        names = {category["id"]: category["name"] for category in content["categories"]}
        of_image = defaultdict[Hashable, list[Entry]](list)
        for annotation in content["annotations"]:
            of_image[annotation["image_id"]].append(annotation)
        brushed = _has_brush_masks(content["annotations"])
        folders = _image_folders(folder, path, split)
        is_label_studio = _is_of_label_studio(content)
        names_read: set[str] = set()
        for image in content["images"]:
            place = f"{path}, image {for_message(image['id'])}"
            name = image.get("file_name")
            if not isinstance(name, str) or not name:
                remarks.problem(
                    place, "file_name must be a non-empty string", got=for_message(name)
                )
                continue
            file = images.find(name, folders, place)
            if file is None:
                continue
            place = f"{place} ({name})"
            if is_label_studio and name in names_read:
                remarks.count("tasks with several annotations, of which the first is read", place)
                continue
            names_read.add(name)
            boxes = []
            for annotation in of_image[image["id"]]:
                box = _box(annotation, names, place, remarks, brushed=brushed)
                boxes.append(box)
            yield LabelledImage(
                image=file,
                boxes=[box for box in boxes if box is not None],
                wh=_size(image),
                as_shown=is_label_studio,
                place=place,
            )


def _box(
    annotation: Entry, names: Mapping[Hashable, str], image: str, remarks: Remarks, *, brushed: bool
) -> LabelledBox | None:
    """The box of an annotation; None, with a problem, where a field of it is wrong.

    brushed  True if masks that are marked as crowds are objects of this file
    """
    edges = _edges(annotation)
    if edges is None:
        rule = "bbox must be four numbers: x, y, width, height"
        got = for_message(annotation.get("bbox"))
        remarks.problem(_where(annotation, image), rule, got=got)
        return None
    if annotation["category_id"] is None:
        rule = "category_id must be the id of a category of this file"
        remarks.problem(_where(annotation, image), rule, got=annotation["unknown"])
        return unusable(edges, annotation["place"])
    crowd = _flag(annotation, "iscrowd")
    ignored = _flag(annotation, "ignore")
    visibility = annotation.get("visibility")
    if crowd is None or ignored is None:
        got = for_message((annotation.get("iscrowd"), annotation.get("ignore")))
        remarks.problem(_where(annotation, image), "iscrowd and ignore must be 0 or 1", got=got)
        return unusable(edges, annotation["place"])
    if visibility is not None and not (is_number(visibility) and 0 <= visibility <= 1):
        rule = "visibility must be a number from 0 (hidden) to 1 (whole)"
        remarks.problem(_where(annotation, image), rule, got=for_message(visibility))
        return unusable(edges, annotation["place"])
    if crowd and _has_mask(annotation) and (brushed or _is_brush_mask(annotation)):
        event = "masks of single objects marked iscrowd, read as objects"
        remarks.count(event, _where(annotation, image))
        crowd = False
    return LabelledBox(
        xyxy=edges,
        name=names[annotation["category_id"]],
        place=annotation["place"],
        visibility=math.nan if visibility is None else float(visibility),
        crowd=crowd or ignored,
    )


def _where(annotation: Entry, image: str) -> str:
    return f"{image}, {annotation['place']}"


def _edges(annotation: Entry) -> Edges | None:
    """The edges of a box, of its mask where it has no box; None where neither can be used."""
    box = annotation.get("bbox")
    if box is None or box == []:
        return mask_edges(annotation.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return None
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _flag(annotation: Entry, key: str) -> bool | None:
    """A field of 0 or 1, absent or null for 0; None for anything else."""
    value = annotation.get(key)
    if value is None or value == 0:
        return False
    return True if value == 1 else None


def _has_brush_masks(annotations: Sequence[Entry]) -> bool:
    """True if most annotations of a file are masks that are marked as crowds.

    In COCO a hundredth are. Tools that mark every mask which was drawn with a brush as a crowd mean
    single objects. A crowd without a mask is a region to ignore, as `data convert` writes it.
    """
    is_brushed = [
        _has_mask(annotation) and bool(_flag(annotation, "iscrowd")) for annotation in annotations
    ]
    crowds = sum(is_brushed)
    return 2 * crowds > len(annotations) and crowds >= _LEAST_BRUSHED


def _has_mask(annotation: Entry) -> bool:
    return bool(annotation.get("segmentation"))


def _is_brush_mask(annotation: Entry) -> bool:
    """True for a crowd as CVAT and Datumaro write every mask: with attributes that call it none."""
    attributes = annotation.get("attributes")
    return isinstance(attributes, dict) and not attributes.get("is_crowd")


def _is_of_label_studio(content: Entry) -> bool:
    """True for an export of Label Studio, which names itself.

    It lists a photo once for each annotator. Its sizes are those of the stored pixels, while its
    boxes are those of the photo as it is shown, turned by EXIF.
    """
    info = content.get("info")
    return isinstance(info, dict) and info.get("contributor") == "Label Studio"


def _size(image: Entry) -> tuple[int, int] | None:
    """Width and height as the file gives them; some exporters leave them out, or write text."""
    return size_or_none(image.get("width"), image.get("height"))


def _text(place: str, entry: Entry, key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise DataError(place, f"{key} must be a string", got=for_message(value))
    return value
