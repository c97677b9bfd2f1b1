"""Image copies: the image files of a converted dataset, bit-identical, each under a unique name."""

import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from syndet_ray.data import picture
from syndet_ray.data.record import Record, Source
from syndet_ray.data.unlabelled import SUFFIXES
from syndet_ray.data.writers.losses import Losses
from syndet_ray.escapes import escape
from syndet_ray.files import writing

# Characters that some file system or list of files does not take in a name.
_FORBIDDEN = r'[\x00-\x1f<>:"/\\|?*\s]|^\.|\.$'
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


def copy_image(record: Record, file: Path, losses: Losses) -> None:
    """Writes the bytes of a record's image into a new file.

    Boxes of converted datasets are those of the image as it is shown. Programs that do not turn
    images as EXIF says see others, so these images are counted.
    """
    content = record.image_bytes()
    with writing(file):
        file.write_bytes(content)
    if picture.header(content, record.place).orientation != 1:
        event = "images turned by EXIF, copied as they are: boxes are those of the turned image"
        losses.count(event)


def _stem_and_suffix(record: Record) -> tuple[str, str]:
    name = PurePosixPath(_NUMBER.sub("", record.image_id).replace("\\", "/")).name
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
