"""Record and Source: labelled images as a reader finds them, before they are decoded."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.images.encoded import Encoded


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """One labelled image, still encoded.

    image_id  unique within its source, and the same in any folder: a name that the dataset itself
              gives, or the path of the image file within the dataset's folder
    image     the encoded bytes, or the file, or the part of a file, that holds them
    size_wh   pixels of the image as it is *shown*, from the header of the file
    boxes     inside the image, in pixels of the image as it is *shown* (after EXIF orientation)
    place     the place of the annotation ("train.record, record 17"), for error messages
    """

    image_id: str
    image: Encoded
    size_wh: tuple[int, int]
    boxes: Boxes
    place: str

    def image_bytes(self) -> bytes:
        """The bytes of the image, read from its file if it has one. Raises OSError."""
        return self.image if isinstance(self.image, bytes) else self.image.read_bytes()


@dataclass(frozen=True, eq=False, kw_only=True)
class Records(Sequence[Record]):
    """n records as columns, each made when it is asked for.

    A million records as objects would take several gigabytes.

    root        the folder of image files that have no path in `images`
    image_ids   n; the paths of such files in root
    images      n, None for a file root/image_id
    places      n
    sizes_wh    (n, 2) int64
    box_starts  (n + 1,) int64, where the boxes of each image begin in `boxes`, and their end
    boxes       those of all images, one image after another
    order       (n,) int64, the position in the columns of each record
    """

    root: Path
    image_ids: Sequence[str]
    images: Sequence[Encoded | None]
    places: Sequence[str]
    sizes_wh: np.ndarray
    box_starts: np.ndarray
    boxes: Boxes
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, i: int) -> Record: ...

    @overload
    def __getitem__(self, i: slice) -> "Records": ...

    def __getitem__(self, i: "int | slice") -> "Record | Records":
        if isinstance(i, slice):
            return replace(self, order=self.order[i])
        at = int(self.order[i])
        image = self.images[at]
        image_id = self.image_ids[at]
        width, height = self.sizes_wh[at].tolist()
        start, end = self.box_starts[at : at + 2].tolist()
        return Record(
            image_id=image_id,
            image=self.root / image_id if image is None else image,
            size_wh=(width, height),
            boxes=self.boxes.part(start, end),
            place=self.places[at],
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))

    def ids(self) -> list[str]:
        """The id of each record, in their order."""
        return [self.image_ids[at] for at in self.order.tolist()]

    def all_boxes(self) -> Boxes:
        """The boxes of all records, one record after another."""
        starts = self.box_starts[self.order]
        counts = self.box_starts[self.order + 1] - starts
        firsts = np.cumsum(counts) - counts  # of the boxes of a record, in the result
        rows = np.arange(counts.sum()) + np.repeat(starts - firsts, counts)
        return self.boxes.select(rows)

    def take(self, indices: Sequence[int]) -> "Records":
        """The records at `indices`, in that order; columns are shared, not copied."""
        return replace(self, order=self.order[np.array(indices, np.int64)])

    def __getstate__(self) -> dict[str, Any]:
        """The rows of these records alone: another process gets none of other parts of the set."""
        order = self.order.tolist()
        counts = self.box_starts[self.order + 1] - self.box_starts[self.order]
        return {
            "root": self.root,
            "image_ids": [self.image_ids[at] for at in order],
            "images": [self.images[at] for at in order],
            "places": [self.places[at] for at in order],
            "sizes_wh": self.sizes_wh[self.order],
            "box_starts": np.concatenate([[0], np.cumsum(counts)]),
            "boxes": self.all_boxes(),
            "order": np.arange(len(order)),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A named set of labelled images, real or synthetic, with the names that its labels index."""

    name: str
    classes: tuple[str, ...]
    records: Sequence[Record]
    synthetic: bool = False
    stand_in: bool = False

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids_hash(self) -> str:
        """SHA-256 over the sorted image ids: it identifies the images, in any order."""
        image_ids = sorted(self.image_ids())
        return hashlib.sha256("\n".join(image_ids).encode()).hexdigest()

    def image_ids(self) -> list[str]:
        """The id of each record, in their order."""
        if isinstance(self.records, Records):
            return self.records.ids()
        return [record.image_id for record in self.records]

    def class_counts(self) -> np.ndarray:
        """(classes,) int64, the number of boxes of each class, crowds not counted."""
        counts = np.zeros(len(self.classes), np.int64)
        if isinstance(self.records, Records):
            parts = [self.records.all_boxes()]
        else:
            parts = [record.boxes for record in self.records]
        for boxes in parts:
            counts += np.bincount(boxes.labels[~boxes.crowd], minlength=len(self.classes))
        return counts

    def select(self, indices: Sequence[int], name: str | None = None) -> "Source":
        """The records at `indices`, in that order."""
        if isinstance(self.records, Records):
            records: Sequence[Record] = self.records.take(indices)
        else:
            records = tuple(self.records[i] for i in indices)
        return replace(self, name=name or self.name, records=records)
