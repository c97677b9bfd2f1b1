"""YOLO as Ultralytics reads it: data.yaml, images/<split>/ and labels/<split>/."""

import math
from pathlib import Path

import yaml

from syndet_ray.data.parts import Copying
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record
from syndet_ray.data.writers.image_copies import ImageCopy, copy_images, image_names
from syndet_ray.data.writers.losses import Losses
from syndet_ray.progress import Progress


def write(
    dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes the images and boxes of all splits.

    YOLO has neither crowds, which are left out, nor visibility. `progress` is called with (images
    written, images in all).
    """
    copies: list[ImageCopy] = []
    for split, source in dataset.splits.items():
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True)
        for record, name in image_names(source, set()):
            copies.append(ImageCopy.of(record, folder / "images" / split / name))
            file = folder / "labels" / split / f"{Path(name).stem}.txt"
            lines = _lines(record, losses)
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    splits = {split: f"images/{split}" for split in dataset.splits}
    about = {"path": ".", **splits, "names": dict(enumerate(dataset.classes))}
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    copy_images(copies, losses, progress, copying)


def _lines(record: Record, losses: Losses) -> list[str]:
    """A line for each box: its class, and its centre and size in shares of the image's sides."""
    width, height = record.size_wh
    lines = []
    boxes = record.boxes
    columns = (boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd)
    rows = zip(*[column.tolist() for column in columns], strict=True)
    for (x1, y1, x2, y2), label, visibility, crowd in rows:
        if crowd:
            losses.count("crowds, left out: what is in them counts as background")
            continue
        losses.count("visibilities, left out", not math.isnan(visibility))
        centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
        size = ((x2 - x1) / width, (y2 - y1) / height)
        numbers = " ".join(f"{share:.8f}" for share in (*centre, *size))
        lines.append(f"{label} {numbers}")
    return lines
