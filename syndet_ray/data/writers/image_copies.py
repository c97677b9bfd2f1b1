"""Image copies: the image files of a converted dataset, bit-identical, each under a unique name."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from syndet_ray.data.images import picture
from syndet_ray.data.images.encoded import Encoded, unreadable
from syndet_ray.data.images.unlabelled import SUFFIXES
from syndet_ray.data.parts import Copying
from syndet_ray.data.record import Record, Source
from syndet_ray.data.writers.losses import Losses
from syndet_ray.escapes import escape
from syndet_ray.files import writing
from syndet_ray.progress import Progress

# Characters that some file system or list of files does not take in a name.
_FORBIDDEN = r'[\x00-\x1f<>:"/\\|?*\s]|^\.|\.$'
_BLOCK_IMAGES = 32  # copied by one task: many enough that starting it does not matter
_LONGEST_STEM = 120  # characters: labels get the same name, and file systems take 255 bytes
_NUMBER = re.compile(r" \(\d+\)$")  # of images of one name, see `data/build.py`


def image_names(source: Source, taken: set[str]) -> Iterator[tuple[Record, str]]:
    """The records of a source, each with the name of its image file.

    Stems are unique whatever their case, because labels of several formats are named by them.

    taken  stems in lower case that are used already; new ones are added
    """
    for record in source.records:
        stem, suffix = _stem_and_suffix(record)
        unique, number = stem, 2
        while unique.casefold() in taken:
            unique, number = f"{stem}-{number}", number + 1
        taken.add(unique.casefold())
        yield record, unique + suffix


@dataclass(frozen=True, kw_only=True)
class ImageCopy:
    """An image to be written into a new file.

    place       its place in the dataset
    is_renamed  True if it had another name
    """

    image: Encoded
    place: str
    file: Path
    is_renamed: bool

    @staticmethod
    def of(record: Record, file: Path) -> "ImageCopy":
        is_renamed = file.name != _base_name(record)
        return ImageCopy(image=record.image, place=record.place, file=file, is_renamed=is_renamed)

    def content(self) -> bytes:
        """The bytes of the image. Raises DataError where they cannot be read."""
        try:
            return self.image if isinstance(self.image, bytes) else self.image.read_bytes()
        except OSError as error:
            raise unreadable(self.place, error) from None


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Images that one task copies."""

    copies: Sequence[ImageCopy]

    @property
    def files(self) -> list[Path]:
        return [copy.file for copy in self.copies]

    def write(self) -> int:
        """Copies the images; returns how many of them EXIF turns."""
        turned = 0
        for copy in self.copies:
            content = copy.content()
            with writing(copy.file):
                copy.file.write_bytes(content)
            turned += picture.header(content, copy.place).orientation != 1
        return turned


def copy_images(
    copies: Sequence[ImageCopy], losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes images into their files. `progress` is called with (images written, images in all).

    Boxes of converted datasets are those of the image as it is shown. Programs that do not turn
    images as EXIF says see others, so these images are counted.
    """
    starts = range(0, len(copies), _BLOCK_IMAGES)
    blocks = [_Block(copies=copies[start : start + _BLOCK_IMAGES]) for start in starts]

    def show(done: int, total: int) -> None:
        progress(min(done * _BLOCK_IMAGES, len(copies)), len(copies))

    renamed = sum(copy.is_renamed for copy in copies)
    event = "names of images: unique, without spaces, with a known ending"
    losses.count_changes(event, renamed)
    turned = sum(copying(blocks, show))
    event = "images turned by EXIF, copied as they are: boxes are those of the turned image"
    losses.count_changes(event, turned)


def _base_name(record: Record) -> str:
    """The name of an image in its dataset, without folders."""
    return PurePosixPath(_NUMBER.sub("", record.image_id).replace("\\", "/")).name


def _stem_and_suffix(record: Record) -> tuple[str, str]:
    name = _base_name(record)
    stem, dot, ending = name.rpartition(".")
    suffix = dot + ending.lower()
    if suffix not in SUFFIXES:
        stem, suffix = name, _suffix_of(record.image_bytes())
    return escape(stem, _FORBIDDEN)[:_LONGEST_STEM] or "image", suffix


def _suffix_of(content: bytes) -> str:
    """The ending of an image file by its content; .png for one that is not known."""
    with Image.open(io.BytesIO(content)) as image:
        kind = image.format or ""
    return {"JPEG": ".jpg", "MPO": ".jpg"}.get(kind, f".{kind.lower()}")
