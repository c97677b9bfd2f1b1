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

from syndet_ray.data.mistaken import check_pointer
from syndet_ray.data.readers.example import Features, read_examples
from syndet_ray.data.readers.labels import LabelledImage, Reading
from syndet_ray.errors import DataError, nearest

_RECORDS = re.compile(r"^(?P<stem>.*\.(tf)?records?)(-\d{5}-of-(?P<shards>\d{5}))?$")
_EDGES = ("xmin", "ymin", "xmax", "ymax")
# the largest share that the Object Detection API accepts (box_list_ops.to_absolute_coordinates)
_FURTHEST = 1.1


def files(folder: Path) -> list[Path]:
    """The record files in a folder or in its direct subfolders.

    Raises DataError where a shard is missing.
    """
    records: dict[Path, re.Match[str]] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        match = _RECORDS.match(path.name)
        if match is not None and path.is_file():
            records[path] = match
    stems = {path: (path.parent, match["stem"]) for path, match in records.items()}
    shards = Counter(stems.values())
    for path, match in records.items():
        expected = match["shards"]
        count = shards[stems[path]]
        if expected and count != int(expected):
            rule = f"must be one of {int(expected)} shards"
            raise DataError(path, rule, got=count, do="Copy the missing ones too.")
    return list(records)


def read(folder: Path, by_split: Mapping[str, Sequence[Path]]) -> Reading:
    """Every image, negatives included. Raises DataError naming file, record, byte and rule."""
    label_map = _label_map(folder)
    splits: dict[str, list[LabelledImage]] = {}
    used: set[str] = set()
    for split, paths in by_split.items():
        splits[split] = []
        for path in paths:
            for place, features in read_examples(path):
                image = _labelled_image(place, features, label_map, path.name)
                used.update(image.names)
                splits[split].append(image)
    mapped = tuple(label_map[number] for number in sorted(label_map))
    return Reading(classes=mapped or tuple(sorted(used)), splits=splits)


def read_label_map(path: Path) -> dict[int, str]:
    """Names by 1-based id, of a .pbtxt label map."""
    names: dict[int, str] = {}
    check_pointer(path)
    content = path.read_text(encoding="utf-8")
    without_comments = re.sub(r"^\s*#.*$", "", content, flags=re.MULTILINE)
    for item in re.findall(r"item\s*\{(.*?)\}", without_comments, re.DOTALL):
        text_of_item = " ".join(item.split())
        id_match = re.search(r"\bid\s*:\s*(\d+)", item)
        name_match = re.search(r"\bname\s*:\s*(['\"])(.*?)\1", item)
        if id_match is None or name_match is None:
            raise DataError(path, "every item must have an id and a name", got=text_of_item)
        number, name = int(id_match[1]), name_match[2]
        if number < 1:
            raise DataError(path, "ids must count from 1", got=number, do="0 is the background.")
        if number in names or name in names.values():
            raise DataError(path, "every id and every name must occur once", got=text_of_item)
        names[number] = name
    if not names:
        raise DataError(path, "holds no items", do="Expected: item { id: 1 name: 'car' }.")
    return names


def _label_map(folder: Path) -> dict[int, str]:
    """The one label map of a dataset, {} without a file; exporters put a copy into every split."""
    paths = [*sorted(folder.glob("*.pbtxt")), *sorted(folder.glob("*/*.pbtxt"))]
    maps = [read_label_map(path) for path in paths]
    for path, label_map in zip(paths, maps, strict=True):
        if label_map != maps[0]:
            raise DataError(path, f"must be the same as {paths[0]}", do="Keep one label map.")
    return maps[0] if maps else {}


def _labelled_image(
    place: str, features: Features, label_map: dict[int, str], file: str
) -> LabelledImage:
    encoded = _bytes(features, "image/encoded")
    if "image/encoded" not in features:
        do = "Export the dataset for the TensorFlow Object Detection API."
        raise DataError(place, "must hold image/encoded", got=sorted(features)[:4], do=do)
    if not encoded:
        raise DataError(place, "image/encoded is empty", do="Export the records with their images.")
    xyxy = _boxes(place, features)
    count = len(xyxy)
    is_crowd = _labels(place, features, "is_crowd", count)
    crowd = is_crowd or _labels(place, features, "group_of", count)
    name = _bytes(features, "image/filename") or _bytes(features, "image/source_id")
    record = place.split(", ")[-1].split(" at ")[0]
    wh = (_side(features, "image/width"), _side(features, "image/height"))
    return LabelledImage(
        image_id=name.decode(errors="replace") or f"{file}, {record}",
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


def _boxes(place: str, features: Features) -> np.ndarray:
    """(n, 4) float64 xyxy, shares of the sides."""
    edges = [_numbers(place, features, f"image/object/bbox/{edge}") for edge in _EDGES]
    lengths = [len(edge) for edge in edges]
    if len(set(lengths)) != 1:
        raise DataError(place, "xmin, ymin, xmax and ymax must be of one length", got=lengths)
    xyxy = np.array(edges, np.float64).T
    is_share = np.abs(xyxy - 0.5) <= _FURTHEST - 0.5
    for i in np.flatnonzero(~is_share.all(axis=1)):
        rule = "edges must be shares of the image's sides, 0 to 1"
        got = xyxy[i].round(3).tolist()
        do = "Divide pixels by width and height."
        raise DataError(f"{place}, box {i}", rule, got=got, do=do)
    return xyxy


def _classes(place: str, features: Features, count: int, label_map: dict[int, str]) -> list[str]:
    """The class name of each box: its text if it has one, else that of its label."""
    values = features.get("image/object/class/text", [])
    texts = [value.decode("utf-8", "replace") for value in values if isinstance(value, bytes)]
    if texts and len(texts) != count:
        rule = f"class/text must hold one value for each of the {count} boxes"
        raise DataError(place, rule, got=len(texts))
    texts = texts or [""] * count
    labels = _labels(place, features, "class/label", count) or [0] * count
    names = []
    for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
        names.append(_class(f"{place}, box {i}", text, label, label_map))
    return names


def _class(place: str, text: str, label: int, label_map: dict[int, str]) -> str:
    if text:
        _check_text(place, text, label, label_map)
        return text
    if label == 0:
        do = "Give the object a class, or remove its box."
        raise DataError(place, "has no class (label 0, no text)", do=do)
    if label not in label_map:
        rule = f"its label must be one of {sorted(label_map)} of the label map"
        do = "Labels count from 1; put the label map (.pbtxt) next to the records."
        raise DataError(place, rule, got=label, do=do)
    return label_map[label]


def _check_text(place: str, text: str, label: int, label_map: dict[int, str]) -> None:
    """Raises DataError where the class text of a box contradicts the label map."""
    if label_map and text not in label_map.values():
        rule = "its class text must be in the label map"
        raise DataError(place, rule, got=text, do=nearest(text, label_map.values()))
    # VoTT writes labels from 0 and a label map from 1
    if label_map.get(label, text) != text:
        rule = f"its class text must be that of its label, {label_map[label]!r}"
        do = "Correct the label map, or delete it: texts alone suffice."
        raise DataError(place, rule, got=text, do=do)


def _labels(place: str, features: Features, name: str, count: int) -> list[int]:
    """One integer for each box; [] where the field is absent."""
    values = _numbers(place, features, f"image/object/{name}")
    if values and len(values) != count:
        rule = f"{name} must hold one value for each of the {count} boxes"
        raise DataError(place, rule, got=len(values))
    for i, value in enumerate(values):
        if not value.is_integer():
            rule = f"{name} must be a whole number"
            raise DataError(f"{place}, box {i}", rule, got=value)
    return [int(value) for value in values]


def _numbers(place: str, features: Features, name: str) -> list[float]:
    values = features.get(name, [])
    numbers = [float(value) for value in values if not isinstance(value, bytes)]
    if len(numbers) != len(values):
        raise DataError(place, f"{name} must hold numbers, not bytes")
    return numbers


def _bytes(features: Features, name: str) -> bytes:
    """The first value of a field of bytes; b"" where there is none."""
    values = features.get(name, [])
    first = values[0] if values else b""
    return first if isinstance(first, bytes) else b""


def _side(features: Features, name: str) -> int:
    """The first value of a field of integers; 0 where there is none."""
    values = features.get(name, [])
    first = values[0] if values else 0
    return first if isinstance(first, int) else 0
