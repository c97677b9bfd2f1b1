"""Read: a folder of labelled images, in whichever known format, as one dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.readers.coco import is_coco, read_coco
from syndet_ray.data.readers.tfrecord import read_label_map, read_tfrecord
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
Found = list[tuple[Record, list[str]]]  # a reader's answer: images, and the class names of their boxes


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sources by split ("train", "val", "test"; not all need be there), with one list of classes.

    notes  what the reader mended, in words
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    splits: dict[str, Source]
    notes: tuple[str, ...] = ()


def read(path: Path) -> Dataset:
    """Reads the dataset in a folder. Raises DataError where the folder, its layout or an annotation cannot be used.

    TFRecord   <split>*.record or *.tfrecord, and a label map *.pbtxt
    COCO       annotations/instances_<split>.json and images/<split>/, or <split>/_annotations.coco.json beside images
    """
    if not path.is_dir():
        raise DataError(path, "is not a folder", do="Give the folder that holds the dataset.")
    records, jsons = _by_split(_tfrecords(path)), _by_split(_coco_files(path))
    if records:
        return _dataset(path, "TFRecord", {split: _read_records(path, files) for split, files in records.items()})
    if jsons:
        return _dataset(path, "COCO", {split: _read_jsons(path, split, files) for split, files in jsons.items()})
    raise DataError(
        path,
        "holds no dataset of a known layout",
        got=sorted(p.name for p in path.iterdir())[:8],
        do="Expected <split>.record with a .pbtxt, annotations/instances_<split>.json with images/<split>/, or "
        "<split>/_annotations.coco.json; a split is train, val or test.",
    )


def check_classes(real: Sequence[str], synthetic: Sequence[str], place: object) -> None:
    """Raises DataError unless both sides know the same class names, in any order."""
    missing, surplus = sorted(set(real) - set(synthetic)), sorted(set(synthetic) - set(real))
    if missing:
        raise DataError(place, f"has classes that no synthetic source has: {', '.join(missing)}", do=f"Synthetic: {', '.join(synthetic)}.")
    if surplus:
        raise DataError(place, f"lacks classes that the synthetic source has: {', '.join(surplus)}", do=f"Real: {', '.join(real)}.")


def _tfrecords(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if ".record" in p.name or ".tfrecord" in p.name)


def _coco_files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*.json") if is_coco(p))


def _by_split(files: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        split = _split_of(file)
        if split is not None:
            found.setdefault(split, []).append(file)
    # A lone file that names no split is all there is to train on.
    return found or ({"train": files} if len(files) == 1 else {})


def _split_of(file: Path) -> str | None:
    """The split that a file's own name or, failing that, its folder names: instances_val2017.json, valid/x.json."""
    words = [file.name, file.parent.name]
    for word in words:
        for part in word.lower().replace("-", "_").replace(".", "_").split("_"):
            if (name := part.rstrip("0123456789")) in SPLITS:
                return SPLITS[name]
    return None


def _read_records(path: Path, files: list[Path]) -> Found:
    maps = sorted(path.rglob("*.pbtxt"))
    names = read_label_map(maps[0]) if maps else {}
    return [found for file in files for found in read_tfrecord(file, names)]


def _read_jsons(path: Path, split: str, files: list[Path]) -> Found:
    spellings = [spelling for spelling, name in SPLITS.items() if name == split]
    inside = [path / "images" / spelling for spelling in spellings] + [path / spelling for spelling in spellings]
    folders = [folder for folder in inside if folder.is_dir()]
    return [found for file in files for found in read_coco(file, [file.parent, *folders, path / "images", path])]


def _dataset(path: Path, kind: str, found: dict[str, Found]) -> Dataset:
    classes = _class_order(path, found)
    index = {name: i for i, name in enumerate(classes)}
    splits = {}
    for split, images in found.items():
        records = tuple(_labelled(record, [index[name] for name in names]) for record, names in images)
        splits[split] = Source("real", classes, records)
    return Dataset(path, kind, classes, splits)


def _class_order(path: Path, found: dict[str, Found]) -> tuple[str, ...]:
    """The label map's order where there is one, else by name: the same whichever images a split holds."""
    used = {name for images in found.values() for _, names in images for name in names}
    for file in sorted(path.rglob("*.pbtxt")):
        names = read_label_map(file)
        mapped = [names[number] for number in sorted(names)]
        return tuple(mapped + sorted(used - set(mapped)))
    return tuple(sorted(used))


def _labelled(record: Record, labels: list[int]) -> Record:
    """The record with its labels in place. Raises DataError for a box with no area."""
    xyxy = record.boxes.xyxy
    flat = np.flatnonzero(~((xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])))
    if len(flat):
        raise DataError(f"{record.place}, box {flat[0]}", "a box must have an area", got=xyxy[flat[0]].tolist(), do="Mend or delete it.")
    boxes = Boxes(xyxy, np.array(labels, np.int64), record.boxes.visibility, record.boxes.crowd)
    return Record(record.image_id, record.image, boxes, record.place)
