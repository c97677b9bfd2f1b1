"""COCO instances: annotations/instances_<split>.json and images/<split>/."""

import json
import math
from pathlib import Path
from typing import Any

from syndet_ray.boxes import Boxes
from syndet_ray.data.parts import Copying
from syndet_ray.data.read import Dataset
from syndet_ray.data.writers.image_copies import ImageCopy, copy_images, image_names
from syndet_ray.data.writers.losses import Losses
from syndet_ray.progress import Progress


def write(
    dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes the images and boxes of all splits.

    Visibility, which COCO has not, is written under the key `visibility`, 0 to 1; other programs
    leave it alone. `progress` is called with (images written, images in all).
    """
    copies: list[ImageCopy] = []
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.classes, start=1)]
    for split, source in dataset.splits.items():
        (folder / "images" / split).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for record, name in image_names(source, set()):
            copies.append(ImageCopy.of(record, folder / "images" / split / name))
            width, height = record.size_wh
            number = len(images) + 1
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            annotations += _annotations(record.boxes, number, len(annotations))
        content = {"images": images, "annotations": annotations, "categories": categories}
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
    copy_images(copies, losses, progress, copying)


def _annotations(boxes: Boxes, image: int, before: int) -> list[dict[str, Any]]:
    """The annotations of one image.

    before  the number of annotations before them in the file
    """
    annotations = []
    columns = (boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd)
    rows = zip(*[column.tolist() for column in columns], strict=True)
    for position, ((x1, y1, x2, y2), label, visibility, crowd) in enumerate(rows, start=1):
        annotation = {
            "id": before + position,
            "image_id": image,
            "category_id": label + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": int(crowd),
        }
        if not math.isnan(visibility):
            annotation["visibility"] = visibility
        annotations.append(annotation)
    return annotations
