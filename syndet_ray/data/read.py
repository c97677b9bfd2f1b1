"""Read: a folder of labelled images, in whichever known format, as one dataset."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.readers import coco, tfrecord
from syndet_ray.data.readers.found import Found, Reading
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError

FORMATS: Mapping[str, ModuleType] = {"TFRecord": tfrecord, "COCO": coco}
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
_LAYOUTS = (
    "Looked for <split>.record or <split>.tfrecord with a label map (.pbtxt); annotations/instances_<split>.json with "
    "images/<split>/; <split>/_annotations.coco.json; one COCO .json beside its images. A split is train, val or test."
)
_SPILL_PX = 0.01  # what rounding may put outside the image and nobody needs to hear of
# fewer of a class are more likely a slip of who labelled than a class, and are hard to find by eye
_FEW_BOXES = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Sources by split ("train", "val", "test"; not all need be there), with one list of classes.

    notes  what was mended or left out on the way, in words
    few_boxes  of each class that few boxes have, how many and where the first is, in words
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    splits: dict[str, Source]
    notes: tuple[str, ...] = ()
    few_boxes: Mapping[str, str] = field(default_factory=dict)

    def split_to_score(self, name: str | None = None) -> str:
        """The name of the split that models are scored on: that of this name; None: "test", or the
        only one there is.

        Raises DataError where there is none.
        """
        only = next(iter(self.splits)) if len(self.splits) == 1 else "test"
        chosen = name or only
        if chosen not in self.splits:
            do = f"Choose with --split: {', '.join(self.splits) or 'none'}."
            raise DataError(self.path, f"has no split {chosen!r}", do=do)
        return chosen


def read(path: Path) -> Dataset:
    """Reads the dataset in a folder; the images of a split stand in the order of their ids.

    Raises DataError for a folder, layout, annotation or image that cannot be used. Of the images
    only the heads are
    read: `decode` finds those that are damaged further down.
    """
    if not path.is_dir():
        rule = "is not a folder" if path.exists() else "does not exist"
        raise DataError(path, rule, do="Give the folder that holds the dataset.")
    files = {kind: found for kind, reader in FORMATS.items() if (found := reader.files(path))}
    if not files:
        raise DataError(
            path,
            "holds no dataset of a known layout",
            got=sorted(p.name for p in path.iterdir())[:8],
            do=_LAYOUTS,
        )
    if len(files) > 1:
        raise DataError(
            path,
            f"must hold one dataset, not both {' and '.join(files)}",
            do="Give each a folder of its own.",
        )
    ((kind, found),) = files.items()
    reading: Reading = FORMATS[kind].read(path, by_split(path, found))
    notes = list(reading.notes)
    splits = {
        split: _source(reading.classes, split, images, notes)
        for split, images in reading.splits.items()
    }
    return Dataset(
        path=path,
        format=kind,
        classes=reading.classes,
        splits=splits,
        notes=tuple(notes),
        few_boxes=_few_boxes(reading),
    )


def by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the split that their name or, failing that, their folder's name tells.

    A single file that tells nothing is train. Raises DataError where several files do not tell.
    """
    found: dict[str, list[Path]] = {}
    for file in files:
        split = _split_of(folder, file) or ("train" if len(files) == 1 else None)
        if split is None:
            raise DataError(
                file,
                "must tell its split by its name or its folder's",
                do="Put train, val or test into it.",
            )
        found.setdefault(split, []).append(file)
    return {split: found[split] for split in SPLITS if split in found}


def check_classes(
    real: Sequence[str],
    other: Sequence[str],
    place: object,
    *,
    other_name: str = "the synthetic data",
    few_boxes: Mapping[str, str] | None = None,
    do: str = "Rename or drop classes on one side.",
) -> None:
    """Raises DataError naming the difference, both ways, unless both sides know the same class
    names in any order.

    other_name  what the message calls the other side
    few_boxes   of each class that few boxes have, how many and where the first is: such as
                `Dataset` has it of either side
    do          what the reader of the message can do
    """
    sides = {"the real data": set(real) - set(other), other_name: set(other) - set(real)}
    differences = [
        f"{class_words(names, few_boxes or {})} only in {side}"
        for side, names in sides.items()
        if names
    ]
    if differences:
        rule = f"the real data and {other_name} must have the same classes; found {'; '.join(differences)}"
        raise DataError(place, rule, do=do)


def class_words(names: Iterable[str], few_boxes: Mapping[str, str]) -> str:
    """Classes in the order of the alphabet, those of few boxes with where these are: "bishop (1
    box: ...), king".
    """
    return ", ".join(
        f"{name} ({few_boxes[name]})" if name in few_boxes else name for name in sorted(names)
    )


def _few_boxes(reading: Reading) -> dict[str, str]:
    """Of each class with fewer than ten boxes, how many and where the first is: "2 boxes, the
    first: a.jpg, annotation 7".
    """
    counts = dict.fromkeys(reading.classes, 0)
    first: dict[str, str] = {}
    for image in chain.from_iterable(reading.splits.values()):
        for name, place in zip(image.names, image.box_places, strict=True):
            counts[name] += 1
            if name not in first:
                box = place.rpartition(", ")[2]
                first[name] = f"{image.image_id}, {box}"
    return {
        name: _box_words(count, first.get(name))
        for name, count in counts.items()
        if count < _FEW_BOXES
    }


def _box_words(count: int, first: str | None) -> str:
    if first is None:
        return "no box"
    return f"1 box: {first}" if count == 1 else f"{count} boxes, the first: {first}"


def _split_of(folder: Path, file: Path) -> str | None:
    for name in reversed(file.relative_to(folder).parts):
        words = re.findall(r"[a-z]+", name.lower())  # instances_val2017.json: instances, val, json
        splits = sorted({_SPLIT_OF[word] for word in words if word in _SPLIT_OF})
        if len(splits) > 1:
            raise DataError(file, "must name one split", got=splits, do="Rename it.")
        if splits:
            return splits[0]
    return None


def _source(
    classes: tuple[str, ...], split: str, images: Sequence[Found], notes: list[str]
) -> Source:
    """The images of a split as records; boxes that leave their image are clipped, and a note says
    how many.
    """
    twice = [
        image_id
        for image_id, count in Counter(image.image_id for image in images).items()
        if count > 1
    ]
    if twice:
        places = [image.place for image in images if image.image_id == twice[0]]
        raise DataError(
            places[1],
            "the same image must stand once in a split",
            got=twice[0],
            do=f"Also {places[0]}.",
        )
    labels, spilt = {name: label for label, name in enumerate(classes)}, 0
    records = []
    for image in sorted(images, key=lambda image: image.image_id):
        edges, wh = _shown(image)
        inside = np.clip(edges, 0, np.tile(wh, 2))
        _check_area(image, edges, inside, wh)
        spilt += int((np.abs(inside - edges).max(axis=1, initial=0) > _SPILL_PX).sum())
        boxes = Boxes.of(
            inside, [labels[name] for name in image.names], image.visibility, image.crowd
        )
        record = Record(
            image_id=image.image_id, image=image.image, size_wh=wh, boxes=boxes, place=image.place
        )
        records.append(record)
    if spilt:
        notes.append(f"{split}: {spilt} {'box' if spilt == 1 else 'boxes'} clipped to the image")
    return Source(name="real", classes=classes, records=tuple(records))


def _shown(image: Found) -> tuple[np.ndarray, tuple[int, int]]:
    """Boxes (n, 4) in pixels of the frame that is shown, and that frame's size.

    The size that the annotation tells shows whether it was made on the image as stored or as shown,
    where EXIF swaps the sides. Where it cannot show that, people label what they see.
    """
    head = picture.header(image.image, image.place)
    stored = image.wh == head.stored_wh != head.shown_wh
    # shares also fit an image resized since
    if not (image.relative or stored or image.wh in (None, head.shown_wh)):
        rule = f"width and height must be those of the image file, {head.shown_wh}"
        raise DataError(
            image.place, rule, got=image.wh, do="Export the annotations for these image files."
        )
    frame = head.stored_wh if stored else head.shown_wh
    xyxy = image.xyxy * np.tile(frame, 2) if image.relative else image.xyxy
    return (head.shown(xyxy) if stored else xyxy), head.shown_wh


def _check_area(image: Found, edges: np.ndarray, inside: np.ndarray, wh: tuple[int, int]) -> None:
    """Raises DataError for a box without area, in itself or within its image."""
    for i in np.flatnonzero((inside[:, :2] >= inside[:, 2:]).any(axis=1)).tolist():
        got = edges[i].round(2).tolist()
        if (edges[i, :2] >= edges[i, 2:]).any():
            raise DataError(
                image.box_places[i],
                "a box must have an area (x1, y1, x2, y2)",
                got=got,
                do="Mend or delete it.",
            )
        rule = f"a box must reach into its image, {wh[0]} x {wh[1]} pixels (x1, y1, x2, y2)"
        raise DataError(image.box_places[i], rule, got=got, do="Mend or delete it.")
