"""KITTI as TAO reads it: <split>/images/ and <split>/labels/, a text file an image."""

import math
from pathlib import Path

from syndet_ray.data.parts import Copying
from syndet_ray.data.read import Dataset
from syndet_ray.data.readers.kitti import is_fraction
from syndet_ray.data.record import Record
from syndet_ray.data.writers.image_copies import ImageCopy, copy_images, image_names
from syndet_ray.data.writers.losses import Losses
from syndet_ray.progress import Progress

_UNKNOWN = 3  # occluded: not measured
# Least visibility of the levels "fully visible" and "partly occluded"; less is "largely occluded".
_FULLY, _PARTLY = 0.95, 0.5
_NO_3D = "0.00 0.00 0.00 0.00 0.00 0.00 0.00"  # height, width, length, x, y, z, rotation
_IGNORED = "DontCare -1 -1 -10 {} -1 -1 -1 -1000 -1000 -1000 -10"


def write(
    dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes the images and boxes of all splits.

    Crowds become DontCare, which has no class. Visibility becomes one of three levels, and spaces
    in class names become underscores, since fields are separated by spaces. `progress` is called
    with (images written, images in all).
    """
    names = _names(dataset.classes, losses)
    copies: list[ImageCopy] = []
    losses.count_unlisted(dataset.box_counts)
    for split, source in dataset.splits.items():
        for part in ("images", "labels"):
            (folder / split / part).mkdir(parents=True)
        for record, name in image_names(source, set()):
            copies.append(ImageCopy.of(record, folder / split / "images" / name))
            lines = _lines(record, names, losses)
            file = folder / split / "labels" / f"{Path(name).stem}.txt"
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    copy_images(copies, losses, progress, copying)


def _names(classes: tuple[str, ...], losses: Losses) -> list[str]:
    """The classes without white space, none a fraction, each still another name."""
    names: list[str] = []
    for name in classes:
        plain = "_".join(name.split())
        while plain in names or plain.lower() == "dontcare" or is_fraction(plain):
            plain += "_"
        losses.count("class names changed, since KITTI takes no spaces or fractions", plain != name)
        names.append(plain)
    return names


def _lines(record: Record, names: list[str], losses: Losses) -> list[str]:
    lines: list[str] = []
    regions: dict[str, None] = {}  # each once: a region of any class is a crowd of each class
    boxes = record.boxes
    columns = (boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd)
    for xyxy, label, visibility, crowd in zip(*map(list, columns), strict=True):
        edges = " ".join(f"{edge:.4f}" for edge in xyxy)
        if crowd:
            losses.count("classes of crowds, which become DontCare")
            regions[_IGNORED.format(edges)] = None
            continue
        losses.count("visibilities, which become three levels", not math.isnan(visibility))
        level = _level(float(visibility))
        lines.append(f"{names[label]} 0.00 {level} 0.00 {edges} {_NO_3D}")
    return [*lines, *regions]


def _level(visibility: float) -> int:
    """KITTI's `occluded` for a visibility, 0 to 1 or NaN."""
    if math.isnan(visibility):
        return _UNKNOWN
    if visibility >= _FULLY:
        return 0
    return 1 if visibility >= _PARTLY else 2
