"""TFRecords of the TensorFlow Object Detection API, and those of NVIDIA TAO (tao_record.py).

Names and conventions of the fields: object_detection/core/standard_fields.py of tensorflow/models.
Boxes are shares of the image's width and height; labels count from 1 and are named by a label map
(.pbtxt).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from syndet_ray.data.readers import tao_record
from syndet_ray.data.readers.example import Features, SerialExample, read_examples
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.label_map import LabelMap, read_label_map
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS, by_split, split_of
from syndet_ray.errors import DataError, nearest

LAYOUT = (
    "<split>.record or <split>.tfrecord with a label map (.pbtxt), or TAO's "
    "<name>-fold-000-of-002-shard-00000-of-00010 with images/"
)
_RECORDS = re.compile(r"^(?P<stem>.*\.(tf)?records?)(-\d{5}-of-(?P<shards>\d{5}))?(\.gz)?$")
_FOLDS = re.compile(
    r"^(?P<stem>.*-fold-(?P<fold>\d{3})-of-(?P<folds>\d{3}))-shard-\d{5}-of-(?P<shards>\d{5})"
    r"(\.(tf)?records?)?$"
)
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_CROWDS = ("is_crowd", "group_of")
# the largest share that the Object Detection API accepts (box_list_ops.to_absolute_coordinates)
_FURTHEST = 1.1


def files(folder: Path) -> list[Path]:
    """The record files in a folder or in its direct subfolders.

    Raises DataError where a shard is missing.
    """
    records: dict[Path, re.Match[str]] = {}
    patterns = ("*record*", "*-fold-*-shard-*")
    for path in label_files(folder, *patterns, *[f"*/{pattern}" for pattern in patterns]):
        match = _FOLDS.match(path.name) or _RECORDS.match(path.name)
        if match is not None:
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


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image, negatives included. Raises DataError naming file, record, byte and rule."""
    label_map = _label_map(folder)
    splits = {}
    for split, paths in _by_split(folder, files, remarks).items():
        splits[split] = _images(folder, paths, label_map, images, remarks)
    mapped = tuple(label_map.names[number] for number in sorted(label_map.names))
    return Reading(splits=splits, classes=mapped or None)


def _by_split(folder: Path, files: Sequence[Path], remarks: Remarks) -> dict[str, list[Path]]:
    """Record files by split: of two folds of TAO the first is val, as its converter makes them.

    Both are of a split of their own where their name says so: test-fold-000-of-002.
    """
    folds = [path for path in files if _FOLDS.match(path.name)]
    others = [path for path in files if path not in folds]
    files_of = by_split(folder, others) if others else {}
    for path in folds:
        match = _FOLDS.match(path.name)
        assert match is not None, path
        split = split_of(folder, path.parent / "_")
        named = split_of(folder, path)
        if split is None and match["folds"] == "002" and named not in ("val", "test"):
            split = "val" if match["fold"] == "000" else "train"
            remarks.note("fold 0 of 2 is val, fold 1 train, as TAO's converter makes them")
        files_of.setdefault(split or named or "train", []).append(path)
    return {split: files_of[split] for split in SPLITS if split in files_of}


def _images(
    folder: Path,
    paths: Sequence[Path],
    label_map: LabelMap,
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    for path in paths:
        for example in read_examples(path):
            if tao_record.is_of_tao(example.features):
                image = tao_record.labelled_image(example, path, images, remarks)
                if image is not None:
                    yield image
                continue
            image = _labelled_image(example, label_map, path.name, remarks)
            if image is not None:
                yield image


def _label_map(folder: Path) -> LabelMap:
    """The one label map of a dataset, empty without a file; exporters copy it into every split."""
    paths = label_files(folder, "*.pbtxt", "*/*.pbtxt")
    maps = [read_label_map(path) for path in paths]
    for path, label_map in zip(paths, maps, strict=True):
        if label_map != maps[0]:
            raise DataError(path, f"must be the same as {paths[0]}", do="Keep one label map.")
    return maps[0] if maps else LabelMap()


def _labelled_image(
    example: SerialExample, label_map: LabelMap, file: str, remarks: Remarks
) -> LabelledImage | None:
    """The image of a record; None, with a problem, where fields of its boxes cannot be used.

    Raises DataError for a record without an image.
    """
    place, features = example.place, example.features
    encoded = _bytes(features, "image/encoded")
    if "image/encoded" not in features:
        do = "Export the dataset for the TensorFlow Object Detection API."
        raise DataError(place, "must hold image/encoded", got=sorted(features)[:4], do=do)
    if not encoded:
        raise DataError(place, "image/encoded is empty", do="Export the records with their images.")
    try:
        boxes = list(_boxes(place, features, label_map, remarks))
    except DataError as error:
        remarks.problems.append(error)
        return None
    name = _bytes(features, "image/filename") or _bytes(features, "image/source_id")
    record = place.split(", ")[-1].split(" at ")[0]
    wh = (_side(features, "image/width"), _side(features, "image/height"))
    return LabelledImage(
        image_id=name.decode(errors="replace") or f"{file}, {record}",
        image=example.image(encoded),
        boxes=boxes,
        wh=wh,
        relative=True,
        place=place,
    )


def _boxes(
    place: str, features: Features, label_map: LabelMap, remarks: Remarks
) -> Iterator[LabelledBox]:
    """The boxes of a record. Raises DataError for fields of other lengths or types."""
    shares = _shares(place, features)
    count = len(shares)
    texts, labels = _texts(place, features, count), _labels(place, features, "class/label", count)
    flags = [_labels(place, features, name, count) for name in _CROWDS]
    is_difficult = _labels(place, features, "difficult", count)
    for i in range(count):
        where = f"{place}, box {i}"
        if np.isfinite(shares[i]).all() and np.abs(shares[i] - 0.5).max() > _FURTHEST - 0.5:
            rule = "edges must be shares of the image's sides, 0 to 1: divide pixels by them"
            remarks.problem(where, rule, got=shares[i].round(3).tolist())
            continue
        x1, y1, x2, y2 = shares[i].tolist()
        xyxy = x1, y1, x2, y2
        try:
            name = _class(where, texts[i], labels[i], label_map)
        except DataError as error:
            remarks.problems.append(error)
            yield unusable(xyxy, f"box {i}")
            continue
        if is_difficult[i]:
            remarks.count("difficult objects read as crowds, neutral in scores", where)
        crowd = bool(is_difficult[i]) or any(values[i] for values in flags)
        yield LabelledBox(xyxy=xyxy, name=name, place=f"box {i}", crowd=crowd)


def _shares(place: str, features: Features) -> np.ndarray:
    """(n, 4) float64 xyxy, shares of the sides."""
    edges = [_numbers(place, features, f"image/object/bbox/{edge}") for edge in _EDGES]
    lengths = [len(edge) for edge in edges]
    if len(set(lengths)) != 1:
        raise DataError(place, "xmin, ymin, xmax and ymax must be of one length", got=lengths)
    return np.array(edges, np.float64).T


def _texts(place: str, features: Features, count: int) -> list[str]:
    """The class text of each box, "" without one."""
    values = features.get("image/object/class/text", [])
    texts = [value.decode("utf-8", "replace") for value in values if isinstance(value, bytes)]
    if texts and len(texts) != count:
        rule = f"class/text must hold one value for each of the {count} boxes"
        raise DataError(place, rule, got=len(texts))
    return texts or [""] * count


def _class(place: str, text: str, label: int, label_map: LabelMap) -> str:
    """The class of a box: its text if it has one, else that of its label. Raises DataError."""
    if text:
        return _class_of_text(place, text, label, label_map)
    if label == 0:
        do = "Give the object a class, or remove its box."
        raise DataError(place, "has no class (label 0, no text)", do=do)
    if label not in label_map.names:
        rule = f"its label must be one of {sorted(label_map.names)} of the label map"
        do = "Labels count from 1; put the label map (.pbtxt) next to the records."
        raise DataError(place, rule, got=label, do=do)
    return label_map.names[label]


def _class_of_text(place: str, text: str, label: int, label_map: LabelMap) -> str:
    """The class that a text means. Raises DataError where it contradicts the label map."""
    if not label_map.names:
        return text
    name = label_map.aliases.get(text)
    if name is None:
        rule = "its class text must be in the label map"
        raise DataError(place, rule, got=text, do=nearest(text, label_map.aliases))
    # VoTT writes labels from 0 and a label map from 1
    if label_map.names.get(label, name) != name:
        rule = f"its class text must be that of its label, {label_map.names[label]!r}"
        do = "Correct the label map, or delete it: texts alone suffice."
        raise DataError(place, rule, got=text, do=do)
    return name


def _labels(place: str, features: Features, name: str, count: int) -> list[int]:
    """One integer for each box, 0 where the field is absent."""
    values = _numbers(place, features, f"image/object/{name}")
    if values and len(values) != count:
        rule = f"{name} must hold one value for each of the {count} boxes"
        raise DataError(place, rule, got=len(values))
    for i, value in enumerate(values):
        if not value.is_integer():
            rule = f"{name} must be a whole number"
            raise DataError(f"{place}, box {i}", rule, got=value)
    return [int(value) for value in values] or [0] * count


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
