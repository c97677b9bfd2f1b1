"""Parts of photos: images cut out of photos, which say of which photo they are."""

import hashlib
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from syndet_ray.data.record import Record, Source

_PHOTO_KEY = "syndet_ray photo"  # of a PNG's text: the SHA-256 of the photo's file
_LONGEST_STEM = 200  # bytes, of the part of a name that is its photo's


def save_part(pixels: np.ndarray, record: Record, folder: Path, name: str) -> None:
    """Saves a part of a photo, (h, w, 3 or 4) uint8, as FOLDER/<image>-<name>.png."""
    image = stem(record).replace("/", "_")
    image = image.encode()[-_LONGEST_STEM:].decode(errors="ignore")  # folders may make it longer
    origin = PngInfo()
    origin.add_text(_PHOTO_KEY, hashlib.sha256(record.image_bytes()).hexdigest())
    Image.fromarray(pixels).save(_new_file(folder, f"{image}-{name}"), pnginfo=origin)


def records_of(photos: Source, image_ids: Collection[str] | None) -> Sequence[Record]:
    """The photos of which parts may be cut out: all, or those with these ids."""
    if image_ids is None:
        return photos.records
    return [record for record in photos.records if record.image_id in image_ids]


def photos_used(folder: Path) -> dict[str, Path]:
    """SHA-256 of the photos of which a folder has parts, each with one of them.

    Parts that other programs made do not say it.
    """
    origins: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.png")):
        photo = _photo_of(path)
        if photo is not None:
            origins.setdefault(photo, path)
    return origins


def stem(record: Record) -> str:
    """The image's id without the ending of an image file."""
    return re.sub(r"\.(bmp|jpe?g|png|tiff?|webp)$", "", record.image_id, flags=re.IGNORECASE)


def is_part(path: Path) -> bool:
    """True for a file that `save_part` wrote."""
    return path.suffix == ".png" and _photo_of(path) is not None


def _photo_of(path: Path) -> str | None:
    """The photo that a PNG names; None if it is not one of ours, or no image at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # only its header is read
        try:
            with Image.open(path, formats=["PNG"]) as image:
                photo = image.info.get(_PHOTO_KEY)
        except Exception:  # Pillow raises almost anything; who loads the assets says what is wrong
            return None
    return photo if isinstance(photo, str) else None


def _new_file(folder: Path, name: str) -> Path:
    """The path of a new PNG. Of photos like a/b.png and a_b.png, the second gets a number."""
    path = folder / f"{name}.png"
    number = 2
    while path.exists():
        path = folder / f"{name}-{number}.png"
        number += 1
    return path
