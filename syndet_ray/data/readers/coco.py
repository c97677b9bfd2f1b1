"""COCO instances JSON, and the dialects met in the wild: ids from 0, any category ids, negatives, missing sizes."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError


def read_coco(path: Path, folders: list[Path]) -> list[tuple[Record, list[str]]]:
    """Every image of an annotation file, negatives included, with the class name of each of its boxes.

    `folders` are searched for the images, in order. The boxes' own labels are still all 0. Raises DataError naming the
    file, the image or annotation id, the rule and the value.
    """
    content = _load(path)
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    _check_unique(path, "image", [image["id"] for image in content["images"]])
    _check_unique(path, "annotation", [a["id"] for a in content["annotations"] if "id" in a])
    of_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        place = f"{path}, annotation {annotation.get('id')}"
        if annotation["image_id"] not in of_image:
            raise DataError(place, "image_id must be the id of an image of this file", got=annotation["image_id"])
        if annotation["category_id"] not in names:
            raise DataError(place, f"category_id must be one of {sorted(names)}", got=annotation["category_id"])
        of_image[annotation["image_id"]].append(annotation)
    return [_record(path, image, of_image[image["id"]], names, folders) for image in content["images"]]


def is_coco(path: Path) -> bool:
    """Whether a JSON file looks like COCO instances, from its top-level keys."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(path, f"is not valid JSON ({error})") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise DataError(path, f"must hold a list {key!r}", got=type(content.get(key)).__name__)
    return content


def _check_unique(path: Path, kind: str, ids: list[Any]) -> None:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(path, f"{kind} ids must be unique", got=twice[0], do=f"{len(twice)} ids are used more than once.")


def _record(
    path: Path, image: dict[str, Any], annotations: list[dict[str, Any]], names: dict[Any, str], folders: list[Path]
) -> tuple[Record, list[str]]:
    place = f"{path}, image {image['id']}"
    file = _find_image(place, str(image["file_name"]), folders)
    xywh = np.array([_bbox(path, annotation) for annotation in annotations], np.float64).reshape(-1, 4)
    boxes = Boxes.of(
        np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        np.zeros(len(xywh)),
        [np.nan if a.get("visibility") is None else a["visibility"] for a in annotations],
        [bool(a.get("iscrowd", 0)) for a in annotations],
    )
    return Record(str(image["file_name"]), file, boxes, place), [names[a["category_id"]] for a in annotations]


def _bbox(path: Path, annotation: dict[str, Any]) -> list[float]:
    box = annotation.get("bbox")
    place = f"{path}, annotation {annotation.get('id')}"
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        raise DataError(place, "bbox must be four numbers x, y, width, height", got=box)
    return [float(v) for v in box]


def _find_image(place: str, name: str, folders: list[Path]) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise DataError(place, "its image file does not exist", got=name, do=f"Looked in {looked}.")
