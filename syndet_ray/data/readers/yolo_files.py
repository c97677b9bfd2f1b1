"""YOLO's files: the names of the classes and the images of each split, as tools write them.

They are a data.yaml of Ultralytics or Roboflow, an obj.data of Darknet, or a file of names
(classes.txt, obj.names, notes.json of Label Studio) in a folder of images and labels.
"""

import codecs
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import json_or_none, load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.label_folders import folders_below, label_folders, texts_in
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS, by_folder, split_of_name
from syndet_ray.data.readers.values import for_message, is_number, number, objects
from syndet_ray.data.readers.yaml_file import load_yaml, yaml_or_none
from syndet_ray.errors import DataError

NAMES = ("classes.txt", "obj.names", "_darknet.labels", "notes.json")
_MOST_BYTES = 100_000_000  # of a list: more is no such list
_MOST_CLASSES = 100_000
# the words for a split by which one folder may be named and another be meant
_SWAPS = {"val": "valid", "valid": "val"}


@dataclass(frozen=True, kw_only=True, eq=False)
class YoloFiles:
    """names: classes by number; sources: for each split, folders of images and lists of images"""

    place: Path
    names: Mapping[int, str]
    sources: Mapping[str, Sequence[Path]]
    has_keypoints: bool = False


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files in a folder or its direct subfolders that describe a dataset."""
    paths = label_files(folder, "*.yaml", "*.yml") or label_files(folder, "*/data.y*ml")
    return [path for path in paths if _is_of_dataset(yaml_or_none(path))]


def darknet_files(folder: Path) -> list[Path]:
    """The .data files of Darknet."""
    paths = label_files(folder, "*.data", "*/*.data")
    return [
        path for path in paths if path.stat().st_size < 10_000 and "names" in _assignments(path)
    ]


def name_files(folder: Path) -> list[Path]:
    """The files that name classes, of a folder without data.yaml or obj.data."""
    patterns = ["*.names", *NAMES]
    deeper = [f"{depth}{name}" for depth in ("", "*/", "*/*/") for name in patterns]
    paths = label_files(folder, *deeper)
    return [path for path in paths if path.suffix != ".json" or _categories(json_or_none(path))]


def from_yaml(path: Path, images: ImageFiles, remarks: Remarks) -> YoloFiles:
    """The files of a data.yaml. Raises DataError where names or images of no split are found."""
    content = load_yaml(path)
    if not isinstance(content, dict):
        raise DataError(path, "must hold names and the folders of the splits")
    names = _names_of_yaml(path, content)
    count = content.get("nc")
    if is_number(count) and count != len(names):
        remarks.note(f"{path}: nc is {count}, but {len(names)} classes are named: the names count")
    sources: dict[str, Sequence[Path]] = {}
    missing = {}
    for split, entries in _entries(content).items():
        paths = []
        for entry in entries:
            source = _source(path, content.get("path"), entry, images, remarks)
            if source is None:
                missing[split] = entry
            else:
                paths.append(source)
        if paths:
            sources[split] = paths
    if not sources and not missing:
        sources = _sources_in_folders(images)
    if not sources or "train" in missing:
        do = "Correct the path, or put the images there."
        rule = "its images do not exist in the dataset's folder"
        raise DataError(path, rule, got=for_message(missing or "no images"), do=do)
    for key in _other_splits(content, path, images):
        remarks.note(f"{path}: {for_message(key)} is left out, it names no split: train, val, test")
    for split, entry in missing.items():
        remarks.note(f"{path}: {split} is left out, its images do not exist: {for_message(entry)}")
    return YoloFiles(place=path, names=names, sources=sources, has_keypoints="kpt_shape" in content)


def from_darknet(path: Path, images: ImageFiles) -> YoloFiles:
    """The files of an obj.data. Raises DataError where names or lists of images are missing."""
    values = _assignments(path)
    names = _below(path.parent, values["names"], images)
    if names is None:
        raise DataError(path, "its file of names does not exist", got=for_message(values["names"]))
    sources: dict[str, Sequence[Path]] = {}
    for key, value in values.items():
        split = split_of_name(key)
        source = _below(path.parent, value, images) if split else None
        if split and source is not None:
            sources[split] = [source]
    sources = sources or _sources_in_folders(images)
    if not sources:
        raise DataError(path, "names no list of images that exists (train = train.txt)")
    return YoloFiles(place=path, names=read_names(names), sources=sources)


def from_folders(folder: Path, files: Sequence[Path], images: ImageFiles) -> YoloFiles:
    """The files of a folder of images and labels. Raises DataError without names of classes."""
    name_paths = [path for path in files if _is_name_file(path)]
    if not name_paths:
        do = "Write them into classes.txt, one a line, in the order of their numbers from 0."
        raise DataError(folder, "holds labels of YOLO, but no names of their classes", do=do)
    names = read_names(name_paths[0])
    for path in name_paths[1:]:
        if read_names(path) != names:
            rule = f"must name the same classes as {name_paths[0]}"
            raise DataError(path, rule, do="Keep the one that belongs to the labels.")
    sources = _sources_in_folders(images)
    if not sources:
        do = "Put them into images/, or beside their labels."
        raise DataError(folder, "holds labels of YOLO, but no images of theirs", do=do)
    return YoloFiles(place=name_paths[0], names=names, sources=sources)


def read_names(path: Path) -> dict[int, str]:
    """Names of classes by number: one a line, or the categories of Label Studio's notes.json."""
    if path.suffix == ".json":
        names = _categories(load_json(path))
    else:
        names = dict(enumerate(lines_of(path)))
        if any("\ufffd" in name for name in names.values()):
            raise DataError(path, "must be UTF-8", do="Save it as UTF-8.")
        while names and not names[len(names) - 1]:
            del names[len(names) - 1]
        names = {at: name for at, name in names.items() if name}
    if not names:
        raise DataError(path, "names no class", do="Write one name a line.")
    return names


def lines_of(path: Path) -> list[str]:
    """The lines of a text, without blanks around them. Raises DataError for one too large."""
    if path.is_dir():
        raise DataError(path, "is a folder, not a text", do="Rename the folder.")
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, "is too large for labels of YOLO")
    return [line.strip() for line in decode_text(path.read_bytes()).splitlines()]


def decode_text(content: bytes) -> str:
    """A text in UTF-8, or in UTF-16 with a byte order mark, as Windows writes it."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")


def _other_splits(content: Mapping[Any, Any], path: Path, images: ImageFiles) -> Iterator[str]:
    """The keys of a data.yaml that name images, but no split."""
    for key, value in content.items():
        if key == "path" or not isinstance(key, str) or split_of_name(key):
            continue
        if (
            isinstance(value, str)
            and is_possible(value)
            and _is_source(path.parent / value, images)
        ):
            yield key


def _is_of_dataset(content: Any) -> bool:
    keys = ("train", "val", "valid", "test", "nc", "path")
    return isinstance(content, dict) and "names" in content and any(key in content for key in keys)


def _is_name_file(path: Path) -> bool:
    return path.name in NAMES or path.suffix == ".names"


def _names_of_yaml(path: Path, content: Mapping[Any, Any]) -> dict[int, str]:
    """Names by number, of a list or of numbers with names."""
    names = content.get("names")
    pairs: list[tuple[int | None, Any]] = []
    if isinstance(names, list):
        pairs = list(enumerate(names))
    if isinstance(names, dict):
        pairs = [(_class_number(key), name) for key, name in names.items()]
    texts = {}
    for at, name in pairs or [(None, None)]:
        if at is None:
            rule = "its names must be a list, or numbers with names"
            raise DataError(path, rule, got=for_message(names))
        # YAML reads the names no, on and yes as false and true
        if not isinstance(name, str | int | float) or isinstance(name, bool):
            do = 'Put it in quotes: "no", "on".'
            raise DataError(path, "a name of a class must be a text", got=for_message(name), do=do)
        texts[at] = name if isinstance(name, str) else str(for_message(name))
    return texts


def _class_number(key: Any) -> int | None:
    """The number of a class, which YAML and JSON hold as a number or a text; None for others."""
    value = number(key) if isinstance(key, str | int) and not isinstance(key, bool) else math.nan
    return int(value) if value.is_integer() and 0 <= value < _MOST_CLASSES else None


def _categories(content: Any) -> dict[int, str]:
    names = {}
    for entry in objects(content, "categories"):
        at, name = _class_number(entry.get("id")), entry.get("name")
        if at is not None and isinstance(name, str) and name:
            names[at] = name
    return names


def _entries(content: Mapping[Any, Any]) -> dict[str, list[str]]:
    """For each split its folders and lists, as they stand in the YAML file."""
    entries: dict[str, list[str]] = {}
    for key, value in content.items():
        split = split_of_name(key) if isinstance(key, str) else None
        values = value if isinstance(value, list) else [value]
        texts = [text for text in values if isinstance(text, str) and text.strip()]
        if split is not None and texts:
            entries.setdefault(split, []).extend(texts)
    return {split: entries[split] for split in SPLITS if split in entries}


def _source(path: Path, base: Any, entry: str, images: ImageFiles, remarks: Remarks) -> Path | None:
    """The folder or list that an entry means; None where there is none in the dataset's folder."""
    bases = [path.parent]
    if isinstance(base, str) and is_possible(base):
        bases = [path.parent / base, images.root / base, path.parent]
    if not is_possible(entry):
        return None
    for parent in bases:
        if _is_source(parent / entry, images):
            return _normal(parent / entry)
    for spelling in _other_spellings(entry):
        if _is_source(path.parent / spelling, images):
            place = f"{path}, {for_message(entry)} is {for_message(spelling)}"
            remarks.count("paths that do not exist, their images found elsewhere", place)
            return _normal(path.parent / spelling)
    return None


def is_possible(name: str) -> bool:
    """True for a path that a system may have."""
    parts = name.split("/")
    is_short = len(name) < 4096 and all(len(part.encode(errors="replace")) < 256 for part in parts)
    return is_short and "\0" not in name


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _is_source(path: Path, images: ImageFiles) -> bool:
    if path.suffix.lower() == ".txt":
        return images.holds(path)
    is_inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(images.root))
    return is_inside and bool(_image_folders(_normal(path), images))


def _image_folders(path: Path, images: ImageFiles) -> list[Path]:
    """The folders at and below a path that hold images."""
    if not path.is_dir():
        return []
    return [folder for folder in folders_below(path) if images.in_folder(folder)]


def _other_spellings(entry: str) -> Iterator[str]:
    """A path without its first folders, and with valid for val: ../valid/images is val/images."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for first in range(len(parts)):
        rest = parts[first:]
        if not any(split_of_name(Path(part).stem) for part in rest):
            return
        yield "/".join(rest)
        yield "/".join(_SWAPS.get(part, part) for part in rest)


def _assignments(path: Path) -> dict[str, str]:
    """The values of a file of lines `key = value`."""
    values = {}
    for line in lines_of(path):
        key, equals, value = line.partition("=")
        if equals and value.strip():
            values[key.strip()] = value.strip()
    return values


def _below(folder: Path, name: str, images: ImageFiles) -> Path | None:
    """The file of that name in a folder, without the first folders of the name if need be:
    data/obj.names is obj.names.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for first in range(len(parts) if is_possible(name) else 0):
        path = folder.joinpath(*parts[first:])
        if images.holds(path):
            return path
    return None


def listed_image(folder: Path, name: str, images: ImageFiles, place: str) -> Path | None:
    """The image of a line in a list of images, which are relative to the list or to elsewhere."""
    return _below(folder, name, images) or images.find(name, [folder, images.root], place)


def _sources_in_folders(images: ImageFiles) -> dict[str, Sequence[Path]]:
    """The folders of images that have labels, by the split that their names tell; else train.

    Without any they are all folders of images, whose labels lie in one folder elsewhere.
    """
    with_images = [folder for folder in folders_below(images.root) if images.in_folder(folder)]
    folders = []
    for folder in with_images:
        if any(map(_has_label_files, label_folders(images.root, folder))):
            folders.append(folder)
    files = by_folder(images.root, [folder / "_" for folder in folders or with_images])
    sources: dict[str, Sequence[Path]] = {}
    for split, of_split in files.items():
        parents = [file.parent for file in of_split]
        # a source is read at any depth
        sources[split] = [path for path in parents if not set(path.parents) & set(parents)]
    return sources


def _has_label_files(folder: Path) -> bool:
    """True if a folder holds texts besides names of classes and what exporters write about them."""
    names = (name for name in texts_in(folder, ".txt") if name not in NAMES)
    return any(not name.lower().startswith("readme") for name in names)
