"""Pascal VOC: Annotations/, JPEGImages/ and ImageSets/Main/<split>.txt."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from syndet_ray.data.parts import Copying
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record
from syndet_ray.data.writers.image_copies import ImageCopy, copy_images, image_names
from syndet_ray.data.writers.losses import Losses
from syndet_ray.progress import Progress

# Characters that XML 1.0 has not, not even as an escape.
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FULLY = 0.95  # least visibility of an object that is not occluded


def write(
    dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes the images and boxes of all splits.

    Edges are rounded to whole pixels and count from 0, as LabelImg and most exporters write them:
    many programs cannot read fractions here. Crowds become `difficult` objects, visibility becomes
    the flag `occluded`. `progress` is called with (images written, images in all).
    """
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    copies: list[ImageCopy] = []
    taken: set[str] = set()
    names = _names(dataset.classes, losses)
    losses.count_unlisted(dataset.box_counts)
    for split, source in dataset.splits.items():
        stems = []
        for record, name in image_names(source, taken):
            copies.append(ImageCopy.of(record, folder / "JPEGImages" / name))
            stem = Path(name).stem
            tree = ElementTree.ElementTree(_annotation(record, name, names, losses))
            ElementTree.indent(tree)
            tree.write(folder / "Annotations" / f"{stem}.xml", encoding="utf-8")
            stems.append(stem)
        file = folder / "ImageSets" / "Main" / f"{split}.txt"
        file.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    copy_images(copies, losses, progress, copying)


def _annotation(
    record: Record, name: str, classes: Sequence[str], losses: Losses
) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = ElementTree.SubElement(root, "size")
    for side, pixels in zip(("width", "height"), record.size_wh, strict=True):
        _add(size, side, pixels)
    _add(size, "depth", 3)
    boxes = record.boxes
    columns = (boxes.xyxy, boxes.labels, boxes.visibility, boxes.crowd)
    for xyxy, label, visibility, crowd in zip(*map(list, columns), strict=True):
        thing = ElementTree.SubElement(root, "object")
        _add(thing, "name", classes[label])
        _add(thing, "difficult", int(crowd))
        losses.count("crowds, which become difficult objects", int(crowd))
        if not math.isnan(visibility):
            _add(thing, "occluded", int(visibility < _FULLY))
            losses.count("visibilities, which become a flag")
        edges = _whole_edges(xyxy, record.size_wh)
        losses.count("boxes rounded to whole pixels", bool((edges != xyxy).any()))
        box = ElementTree.SubElement(thing, "bndbox")
        for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges.tolist(), strict=True):
            _add(box, key, edge)
    return root


def _whole_edges(xyxy: np.ndarray, wh: tuple[int, int]) -> np.ndarray:
    """(4,) int64, edges rounded within the image, at least a pixel apart."""
    edges = np.rint(xyxy).astype(np.int64)
    first = np.minimum(edges[:2], np.array(wh) - 1)
    return np.concatenate([first, np.maximum(edges[2:], first + 1)])


def _add(parent: ElementTree.Element, tag: str, value: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)


def _names(classes: Sequence[str], losses: Losses) -> list[str]:
    """The classes as XML can hold them, and without spaces around them, which readers of XML drop;
    each is still another name.
    """
    names: list[str] = []
    for name in classes:
        plain = _FORBIDDEN.sub("", name).strip()
        while plain in names or not plain:
            plain += "_"
        losses.count("class names changed, since XML cannot hold them", plain != name)
        names.append(plain)
    return names
