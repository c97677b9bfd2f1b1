"""Parts of photos: images cut out of photos, which say of which photo they are."""

import hashlib
import re
import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError
from syndet_ray.progress import Note

_PHOTO_KEY = "syndet_ray photo"  # of a PNG's text: the SHA-256 of the photo's file
_BOX_KEY = "syndet_ray box"  # likewise: x1 y1 x2 y2 in pixels of the part, as people placed it
_LONGEST_STEM = 200  # bytes, of the part of a name that is its photo's


def save_part(
    pixels: np.ndarray, record: Record, folder: Path, name: str, box: np.ndarray | None = None
) -> None:
    """Saves a part of a photo, (h, w, 3 or 4) uint8, as FOLDER/<image>-<name>.png.

    box  (4,) the label of the object that it shows, in pixels of the part; it may reach beyond
    """
    image = stem(record).replace("/", "_")
    image = image.encode()[-_LONGEST_STEM:].decode(errors="ignore")  # folders may make it longer
    origin = PngInfo()
    origin.add_text(_PHOTO_KEY, hashlib.sha256(record.image_bytes()).hexdigest())
    if box is not None:
        origin.add_text(_BOX_KEY, " ".join(f"{edge:.2f}" for edge in box))
    Image.fromarray(pixels).save(_new_file(folder, f"{image}-{name}"), pnginfo=origin)


def training_photos(
    dataset: Path,
    labels: LabelOptions | None,
    image_ids: Collection[str] | None,
    note: Note,
    *,
    parts: str,
) -> Source:
    """The photos of a dataset of which parts may be cut out: those for training, or of these the
    ones with the given ids.

    note   receives each note on the dataset
    parts  what they are called, for messages: "Cut-outs"

    Raises DataError for a dataset that cannot be used, or that has no training photos.
    """
    data = read(dataset, labels)
    for sentence in data.notes:
        note(sentence)
    if "train" not in data.splits:
        do = f"{parts} are made of no other split."
        raise DataError(dataset, "has no training photos", got=sorted(data.splits), do=do)
    photos = data.splits["train"]
    if image_ids is None:
        return photos
    records = [record for record in photos.records if record.image_id in image_ids]
    return replace(photos, records=records)


def photos_used(folder: Path) -> dict[str, Path]:
    """SHA-256 of the photos of which a folder has parts, each with one of them.

    Parts that other programs made do not say it.
    """
    origins: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.png")):
        photo = _text_of(path, _PHOTO_KEY)
        if photo is not None:
            origins.setdefault(photo, path)
    return origins


def stem(record: Record) -> str:
    """The image's id without the ending of an image file."""
    return re.sub(r"\.(bmp|jpe?g|png|tiff?|webp)$", "", record.image_id, flags=re.IGNORECASE)


def is_part(path: Path) -> bool:
    """True for a file that `save_part` wrote."""
    return path.suffix == ".png" and _text_of(path, _PHOTO_KEY) is not None


def box_of_part(path: Path) -> np.ndarray | None:
    """(4,) the label of the object on a part, as `save_part` has it; None if it is not known."""
    words = (_text_of(path, _BOX_KEY) or "").split()
    try:
        box = np.array(list(map(float, words)))
    except ValueError:  # written by another program
        return None
    is_box = box.shape == (4,) and np.isfinite(box).all() and (box[2:] > box[:2]).all()
    return box if is_box else None


def _text_of(path: Path, key: str) -> str | None:
    """A text in a PNG; None if it has none, or is no image at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # only its header is read
        try:
            with Image.open(path, formats=["PNG"]) as image:
                text = image.info.get(key)
        except Exception:  # Pillow raises almost anything; who loads the assets says what is wrong
            return None
    return text if isinstance(text, str) else None


def _new_file(folder: Path, name: str) -> Path:
    """The path of a new PNG. Of photos like a/b.png and a_b.png, the second gets a number."""
    path = folder / f"{name}.png"
    number = 2
    while path.exists():
        path = folder / f"{name}-{number}.png"
        number += 1
    return path
