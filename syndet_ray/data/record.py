"""Record and Source: labelled images as a reader finds them, before they are decoded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from syndet_ray.boxes import Boxes
from syndet_ray.data.encoded import Encoded


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
class Source:
    """A named set of labelled images, real or synthetic, with the names that its labels index."""

    name: str
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    synthetic: bool = False
    stand_in: bool = False

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids_hash(self) -> str:
        """SHA-256 over the sorted image ids: it identifies the images, in any order."""
        image_ids = sorted(record.image_id for record in self.records)
        return hashlib.sha256("\n".join(image_ids).encode()).hexdigest()

    def select(self, indices: Sequence[int], name: str | None = None) -> "Source":
        """The records at `indices`, in that order."""
        records = tuple(self.records[i] for i in indices)
        return replace(self, name=name or self.name, records=records)
