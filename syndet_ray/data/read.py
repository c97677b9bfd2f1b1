"""Read: a folder of labelled images, in any known format, as one dataset."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.readers import coco, parquet, tfrecord
from syndet_ray.data.readers.labels import LabelledImage, Reading
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError
from syndet_ray.files import reading


class Reader(Protocol):
    """A module in `readers/`: it reads one format."""

    def files(self, folder: Path) -> list[Path]:
        """The annotation files of a folder; none if it has another format."""

    def read(self, folder: Path, by_split: Mapping[str, Sequence[Path]]) -> Reading:
        """The images and labels of these files. Raises DataError for what breaks a rule."""


FORMATS: Mapping[str, Reader] = {"TFRecord": tfrecord, "COCO": coco, "Parquet": parquet}
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_LAYOUTS = (
    "Looked for <split>.record or <split>.tfrecord with a label map (.pbtxt); "
    "annotations/instances_<split>.json with images/<split>/; <split>/_annotations.coco.json; "
    "one COCO .json next to its images; <split>-00000-of-00012.parquet. "
    "A split is train, val or test."
)
_SPILL_PX = 0.01  # rounding may put a box this far outside its image; that needs no note
# fewer boxes of a class are more likely a slip in labelling than a class, and hard to find by eye
_FEW_BOXES = 10
_LISTED_FILES = 8  # of a folder without a dataset: enough to recognise the folder


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Sources by split ("train", "val", "test"; some may be missing), with one list of classes.

    notes      what was repaired or left out, in words
    few_boxes  for each class with few boxes, how many and where the first is, in words
    boxes_in   for each split, as it was read: the same words for each of all classes
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    splits: dict[str, Source]
    notes: tuple[str, ...] = ()
    few_boxes: Mapping[str, str] = field(default_factory=dict)
    boxes_in: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def split_to_score(self, name: str | None = None) -> str:
        """The name of the split that models are scored on.

        It is `name` if given, else the only split of the dataset, else "test". Raises DataError if
        the dataset has no such split.
        """
        default = next(iter(self.splits)) if len(self.splits) == 1 else "test"
        chosen = name or default
        if chosen not in self.splits:
            do = f"Choose with `split`: {', '.join(self.splits) or 'none'}."
            raise DataError(self.path, f"has no split {chosen!r}", do=do)
        return chosen


def read(path: Path) -> Dataset:
    """Reads the dataset in a folder; the images of a split are in the order of their ids.

    Raises DataError for a folder, layout, annotation or image that cannot be used. Only the header
    of each image is read: `decode` finds images that are damaged further down. Raises MachineError
    if the system refuses to read a file or folder.
    """
    with reading(path):
        return _read(path)


def _read(path: Path) -> Dataset:
    if not path.is_dir():
        rule = "is not a folder" if path.exists() else "does not exist"
        raise DataError(path, rule, do="Give the folder that holds the dataset.")
    kind, files = _format_and_files(path)
    labels: Reading = FORMATS[kind].read(path, by_split(path, files))
    notes = list(labels.notes)
    splits = {}
    for split, images in labels.splits.items():
        splits[split] = _source(labels.classes, split, images, notes)
    return Dataset(
        path=path,
        format=kind,
        classes=labels.classes,
        splits=splits,
        notes=tuple(notes),
        few_boxes=_few_boxes(labels),
        boxes_in={
            split: _box_words_by_class(labels.classes, images)
            for split, images in labels.splits.items()
        },
    )


def _format_and_files(folder: Path) -> tuple[str, list[Path]]:
    """The one format of which a folder holds annotation files, and these files."""
    files_of = {kind: reader.files(folder) for kind, reader in FORMATS.items()}
    kinds = [kind for kind, files in files_of.items() if files]
    if not kinds:
        names = sorted(path.name for path in folder.iterdir())[:_LISTED_FILES]
        raise DataError(folder, "holds no dataset of a known layout", got=names, do=_LAYOUTS)
    if len(kinds) > 1:
        rule = f"must hold one dataset, not both {' and '.join(kinds)}"
        raise DataError(folder, rule, do="Give each a folder of its own.")
    return kinds[0], files_of[kinds[0]]


def by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the split that their own name names, or else the name of their folder.

    A single file that names no split is train. Raises DataError where one of several names none.
    """
    files_of: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for file in files:
        split = _split_of(folder, file)
        if split is None and len(files) == 1:
            split = "train"
        if split is None:
            rule = "its name or its folder's name must contain its split"
            raise DataError(file, rule, do="Put train, val or test into it.")
        files_of[split].append(file)
    return {split: paths for split, paths in files_of.items() if paths}


def check_classes(
    real: Sequence[str],
    other: Sequence[str],
    place: object,
    *,
    other_name: str = "the synthetic data",
    few_boxes: Mapping[str, str] | None = None,
    do: str = "Rename or drop classes on one side.",
) -> None:
    """Raises DataError that names the difference unless both sides have the same class names.

    Their order may differ.

    other_name  the other side, as the message calls it
    few_boxes   for each class with few boxes, how many and where the first is, from the `Dataset`
                of either side
    do          advice for the reader of the message
    """
    only_in = {"the real data": set(real) - set(other), other_name: set(other) - set(real)}
    differences = []
    for side, names in only_in.items():
        if names:
            differences.append(f"{class_words(names, few_boxes or {})} only in {side}")
    if differences:
        rule = f"the real data and {other_name} must have the same classes"
        raise DataError(place, f"{rule}; found {'; '.join(differences)}", do=do)


def class_words(names: Iterable[str], boxes: Mapping[str, str]) -> str:
    """Classes in alphabetical order, with the words for the boxes of some: "bishop (1 box: ...),
    king".
    """
    places = {name: f" ({words})" for name, words in boxes.items()}
    return ", ".join(f"{name}{places.get(name, '')}" for name in sorted(names))


def _few_boxes(reading: Reading) -> dict[str, str]:
    """For each class with fewer than ten boxes, how many and where the first is.

    Such as "2 boxes, the first: a.jpg, annotation 7".
    """
    places = _box_places(reading.classes, chain.from_iterable(reading.splits.values()))
    few = {name: boxes for name, boxes in places.items() if len(boxes) < _FEW_BOXES}
    return {name: _box_words(boxes) for name, boxes in few.items()}


def _box_words_by_class(classes: Sequence[str], images: Iterable[LabelledImage]) -> dict[str, str]:
    """For each class, how many boxes it has in these images and where the first is, in words."""
    places = _box_places(classes, images)
    return {name: _box_words(boxes) for name, boxes in places.items()}


def _box_places(classes: Sequence[str], images: Iterable[LabelledImage]) -> dict[str, list[str]]:
    """The place of each box in these images, by class: "a.jpg, annotation 7"."""
    places: dict[str, list[str]] = {name: [] for name in classes}
    for image in images:
        for name, place in zip(image.names, image.box_places, strict=True):
            box = place.rpartition(", ")[2]
            places[name].append(f"{image.image_id}, {box}")
    return places


def _box_words(places: Sequence[str]) -> str:
    if not places:
        return "no box"
    if len(places) == 1:
        return f"1 box: {places[0]}"
    return f"{len(places)} boxes, the first: {places[0]}"


def _split_of(folder: Path, file: Path) -> str | None:
    """The split that a file's name, or else the nearest of its folders, names."""
    for name in reversed(file.relative_to(folder).parts):
        words = set(re.findall(r"[a-z]+", name.lower()))  # instances_val2017: instances, val
        splits = sorted(split for split, synonyms in SPLITS.items() if words & set(synonyms))
        if len(splits) > 1:
            raise DataError(file, "must name one split", got=splits, do="Rename it.")
        if splits:
            return splits[0]
    return None


def _source(
    classes: tuple[str, ...], split: str, images: Sequence[LabelledImage], notes: list[str]
) -> Source:
    """The images of a split as records.

    Boxes that leave their image are clipped, and a note says how many.
    """
    _check_no_image_twice(images)
    label_of = {name: label for label, name in enumerate(classes)}
    clipped = 0
    records = []
    for image in sorted(images, key=lambda image: image.image_id):
        edges, wh = _in_shown_frame(image)
        inside = np.clip(edges, 0, np.tile(wh, 2))
        _check_area(image, edges, inside, wh)
        spill_px = np.abs(inside - edges).max(axis=1, initial=0)
        clipped += int((spill_px > _SPILL_PX).sum())
        labels = [label_of[name] for name in image.names]
        boxes = Boxes.of(inside, labels, image.visibility, image.crowd)
        record = Record(
            image_id=image.image_id,
            image=image.image,
            size_wh=wh,
            boxes=boxes,
            place=image.place,
        )
        records.append(record)
    if clipped:
        boxes_word = "box" if clipped == 1 else "boxes"
        notes.append(f"{split}: {clipped} {boxes_word} clipped to the image")
    return Source(name="real", classes=classes, records=tuple(records))


def _check_no_image_twice(images: Sequence[LabelledImage]) -> None:
    counts = Counter(image.image_id for image in images)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        places = [image.place for image in images if image.image_id == repeated[0]]
        rule = "an image must occur once in a split"
        raise DataError(places[1], rule, got=repeated[0], do=f"It is also {places[0]}.")


def _in_shown_frame(image: LabelledImage) -> tuple[np.ndarray, tuple[int, int]]:
    """Boxes (n, 4) in pixels of the frame that is shown, and that frame's size.

    Where EXIF swaps the sides, the size in the annotation shows if the boxes were made on the image
    as stored or as shown. Where it cannot show that, people label what they see.
    """
    header = picture.header(image.image, image.place)
    is_stored = image.wh == header.stored_wh != header.shown_wh
    # shares of the sides also fit an image that was resized later
    if not (image.relative or is_stored or image.wh in (None, header.shown_wh)):
        rule = f"width and height must be those of the image file, {header.shown_wh}"
        do = "Export the annotations for these image files."
        raise DataError(image.place, rule, got=image.wh, do=do)
    frame = header.stored_wh if is_stored else header.shown_wh
    xyxy = image.xyxy * np.tile(frame, 2) if image.relative else image.xyxy
    if is_stored:
        xyxy = header.turn_boxes(xyxy)
    return xyxy, header.shown_wh


def _check_area(
    image: LabelledImage, edges: np.ndarray, inside: np.ndarray, wh: tuple[int, int]
) -> None:
    """Raises DataError for a box without area, in itself or within its image."""
    for i in np.flatnonzero(_is_empty(inside)).tolist():
        rule = f"a box must reach into its image, {wh[0]} x {wh[1]} pixels (x1, y1, x2, y2)"
        if _is_empty(edges)[i]:
            rule = "a box must have an area (x1, y1, x2, y2)"
        got = edges[i].round(2).tolist()
        raise DataError(image.box_places[i], rule, got=got, do="Correct or delete it.")


def _is_empty(xyxy: np.ndarray) -> np.ndarray:
    """(n,) bool, for boxes (n, 4) without area."""
    x1, y1, x2, y2 = xyxy.T
    return (x1 >= x2) | (y1 >= y2)
