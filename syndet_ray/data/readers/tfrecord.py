"""TFRecords of the TensorFlow Object Detection API.

Names and conventions of the fields: object_detection/core/standard_fields.py of tensorflow/models.
Boxes are shares of the image's width and height; labels count from 1 and are named by a label map
(.pbtxt).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from syndet_ray.data.readers.example import Feature, read_examples
from syndet_ray.data.readers.found import Found, Reading
from syndet_ray.errors import DataError, nearest

_RECORDS = re.compile(r"^(?P<stem>.*\.(tf)?records?)(-\d{5}-of-(?P<shards>\d{5}))?$")
_EDGES = ("xmin", "ymin", "xmax", "ymax")
# what the Object Detection API itself takes for a share (box_list_ops.to_absolute_coordinates)
_FURTHEST = 1.1


def files(folder: Path) -> list[Path]:
    """The record files in a folder or in its direct subfolders.

    Raises DataError where a shard is missing.
    """
    paths = sorted(
        path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()
    )
    found = [(path, match) for path in paths if (match := _RECORDS.match(path.name))]
    shards = Counter((path.parent, match["stem"]) for path, match in found)
    for path, match in found:
        there = shards[path.parent, match["stem"]]
        if match["shards"] and there != int(match["shards"]):
            raise DataError(
                path,
                f"must be one of {int(match['shards'])} shards",
                got=there,
                do="Copy the missing ones too.",
            )
    return [path for path, _ in found]


def read(folder: Path, by_split: Mapping[str, Sequence[Path]]) -> Reading:
    """Every image, negatives included. Raises DataError naming file, record, byte and rule."""
    label_map = _label_map(folder)
    splits = {
        split: [
            _found(place, features, label_map, path.name)
            for path in paths
            for place, features in read_examples(path)
        ]
        for split, paths in by_split.items()
    }
    used = {name for images in splits.values() for image in images for name in image.names}
    return Reading(
        classes=tuple(label_map[number] for number in sorted(label_map)) or tuple(sorted(used)),
        splits=splits,
    )


def read_label_map(path: Path) -> dict[int, str]:
    """Names by 1-based id, of a .pbtxt label map."""
    names: dict[int, str] = {}
    text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for item in re.findall(r"item\s*\{(.*?)\}", text, re.DOTALL):
        number, name = (
            re.search(r"\bid\s*:\s*(\d+)", item),
            re.search(r"\bname\s*:\s*(['\"])(.*?)\1", item),
        )
        if number is None or name is None:
            raise DataError(
                path, "every item must have an id and a name", got=" ".join(item.split())
            )
        if int(number[1]) < 1:
            raise DataError(
                path, "ids must count from 1", got=int(number[1]), do="0 is the background's."
            )
        if int(number[1]) in names or name[2] in names.values():
            raise DataError(
                path, "every id and every name must stand once", got=" ".join(item.split())
            )
        names[int(number[1])] = name[2]
    if not names:
        raise DataError(path, "holds no items", do="Expected: item { id: 1 name: 'car' }.")
    return names


def _label_map(folder: Path) -> dict[int, str]:
    """The one label map of a dataset, {} where there is none; exporters put a copy into every
    split.
    """
    maps = {
        path: read_label_map(path)
        for pattern in ("*.pbtxt", "*/*.pbtxt")
        for path in sorted(folder.glob(pattern))
    }
    first, *others = maps or [None]
    for path in others:
        if maps[path] != maps[first]:  # type: ignore[index]
            raise DataError(path, f"must say the same as {first}", do="Keep one label map.")
    return maps[first] if first else {}


def _found(place: str, features: dict[str, Feature], label_map: dict[int, str], file: str) -> Found:
    encoded = _bytes(features, "image/encoded")
    if "image/encoded" not in features:
        do = "Export the dataset for the TensorFlow Object Detection API."
        raise DataError(place, "must hold image/encoded", got=sorted(features)[:4], do=do)
    if not encoded:
        raise DataError(place, "image/encoded is empty", do="Export the records with their images.")
    xyxy = _boxes(place, features)
    count = len(xyxy)
    crowd = _labels(place, features, "is_crowd", count) or _labels(
        place, features, "group_of", count
    )
    name = _bytes(features, "image/filename") or _bytes(features, "image/source_id")
    wh = (_side(features, "image/width"), _side(features, "image/height"))
    return Found(
        image_id=name.decode(errors="replace")
        or f"{file}, {place.split(', ')[-1].split(' at ')[0]}",
        image=encoded,
        xyxy=xyxy,
        names=_classes(place, features, count, label_map),
        visibility=np.full(count, np.nan),
        crowd=np.array(crowd or [0] * count, bool),
        wh=wh if min(wh) > 0 else None,
        relative=True,
        place=place,
        box_places=[f"{place}, box {i}" for i in range(count)],
    )


def _boxes(place: str, features: dict[str, Feature]) -> np.ndarray:
    """(n, 4) float64 xyxy, shares of the sides."""
    edges = [_numbers(place, features, f"image/object/bbox/{edge}") for edge in _EDGES]
    if len({len(edge) for edge in edges}) != 1:
        raise DataError(
            place,
            "xmin, ymin, xmax and ymax must be of one length",
            got=[len(edge) for edge in edges],
        )
    xyxy = np.array(edges, np.float64).T
    for i in np.flatnonzero(~(np.abs(xyxy - 0.5) <= _FURTHEST - 0.5).all(axis=1)):
        rule = "edges must be shares of the image's sides, 0 to 1"
        raise DataError(
            f"{place}, box {i}",
            rule,
            got=xyxy[i].round(3).tolist(),
            do="Divide pixels by width and height.",
        )
    return xyxy


def _classes(
    place: str, features: dict[str, Feature], count: int, label_map: dict[int, str]
) -> list[str]:
    """The class name of each box: its text where it has one, else its label's."""
    texts = [
        v.decode("utf-8", "replace")
        for v in features.get("image/object/class/text", [])
        if isinstance(v, bytes)
    ]
    if texts and len(texts) != count:
        raise DataError(
            place, f"class/text must hold one value for each of the {count} boxes", got=len(texts)
        )
    labels = _labels(place, features, "class/label", count)
    pairs = zip(texts or [""] * count, labels or [0] * count, strict=True)
    return [
        _class(f"{place}, box {i}", text, label, label_map) for i, (text, label) in enumerate(pairs)
    ]


def _class(place: str, text: str, label: int, label_map: dict[int, str]) -> str:
    if text:
        if label_map and text not in label_map.values():
            raise DataError(
                place,
                "its class text must be in the label map",
                got=text,
                do=nearest(text, label_map.values()),
            )
        if label_map.get(label, text) != text:  # VoTT writes labels from 0 beside a map from 1
            do = "Correct the label map, or delete it: texts alone suffice."
            raise DataError(
                place,
                f"its class text must be that of its label, {label_map[label]!r}",
                got=text,
                do=do,
            )
        return text
    if label == 0:
        raise DataError(
            place,
            "has no class (label 0, no text)",
            do="Give the object a class, or remove its box.",
        )
    if label not in label_map:
        do = "Labels count from 1; put the label map (.pbtxt) beside the records."
        raise DataError(
            place,
            f"its label must be one of {sorted(label_map)} of the label map",
            got=label,
            do=do,
        )
    return label_map[label]


def _labels(place: str, features: dict[str, Feature], name: str, count: int) -> list[int]:
    """One integer for each box; [] where the field is absent."""
    values = _numbers(place, features, f"image/object/{name}")
    if values and len(values) != count:
        raise DataError(
            place, f"{name} must hold one value for each of the {count} boxes", got=len(values)
        )
    for i, value in enumerate(values):
        if not value.is_integer():
            raise DataError(f"{place}, box {i}", f"{name} must be a whole number", got=value)
    return [int(value) for value in values]


def _numbers(place: str, features: dict[str, Feature], name: str) -> list[float]:
    values = features.get(name, [])
    numbers = [float(value) for value in values if not isinstance(value, bytes)]
    if len(numbers) != len(values):
        raise DataError(place, f"{name} must hold numbers, not bytes")
    return numbers


def _bytes(features: dict[str, Feature], name: str) -> bytes:
    values = features.get(name, [])
    return values[0] if values and isinstance(values[0], bytes) else b""


def _side(features: dict[str, Feature], name: str) -> int:
    values = features.get(name, [])
    return values[0] if values and isinstance(values[0], int) else 0
