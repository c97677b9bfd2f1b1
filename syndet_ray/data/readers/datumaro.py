"""Any format that Datumaro imports, chosen by name: it is an optional extra.

Datumaro's boxes are continuous edges, rounded to hundredths of a pixel
(datumaro/components/annotation.py).
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.labels import (
    Edges,
    LabelledBox,
    LabelledImage,
    Reading,
    around,
    unusable,
)
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS, split_of
from syndet_ray.data.readers.values import for_message, share
from syndet_ray.errors import DataError, MachineError, nearest

PREFIX = "datumaro:"  # before the name of a format
_INSTALL = (
    "pip install 'syndet_ray[datumaro]' into an environment of its own, without constraints.txt: "
    "Datumaro needs older versions of Pillow, OpenCV and pandas."
)
_OF_PICKLES = ("brats_numpy", "cifar")  # files of other people are never unpickled
_LONGEST_CAUSE = 400  # characters of Datumaro's own message
_WITHOUT_SUBSET = "default"  # Datumaro's name for it
_DONT_CARE = "DontCare"  # KITTI's regions in which nothing is labelled
_NEUTRAL = ("is_crowd", "difficult", "ignored")  # attributes of regions that count neither way
_SHAPES = ("bbox", "rotated_bbox", "polygon", "ellipse", "mask")  # that cover an area
_SLACK_PX = 1.5  # a box around a mask may be drawn this much narrower than the mask is


class DatumaroReader:
    """The reader of one of Datumaro's formats; a folder is never recognized as one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.LAYOUT = f"as Datumaro's format {name} is laid out"

    def files(self, folder: Path) -> list[Path]:
        """The folder itself: Datumaro looks for its files."""
        return [folder]

    def read(
        self, folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks
    ) -> Reading:
        """Every image of the subsets. Raises DataError for a name that Datumaro does not know and
        a folder that it cannot read, and MachineError where it is not installed.
        """
        items_of: dict[str, list[Any]] = {split: [] for split in SPLITS}
        items, classes = _items(folder, self.name, remarks)
        subsets = {item.subset for item in items}
        splits = {subset: _split(folder, subset, subsets) for subset in subsets}
        for item in items:
            items_of[splits[item.subset]].append(item)
        parts = {}
        for split, part in items_of.items():
            if part:
                parts[split] = _images(part, classes, folder, images, remarks)
        return Reading(splits=parts, images=len(items))


def _items(folder: Path, name: str, remarks: Remarks) -> tuple[list[Any], list[str]]:
    """All items of a dataset, their images not decoded, and its class names by label.

    Warnings of Datumaro become notes.
    """
    try:
        import datumaro
    except ImportError as error:
        rule = f"Datumaro is not installed ({error})"
        raise MachineError(f"`format` {PREFIX}{name}", rule, do=_INSTALL) from None
    formats = sorted(set(datumaro.Environment().importers) - set(_OF_PICKLES))
    if name not in formats:
        place = f"`format` {PREFIX}{for_message(name)}"
        do = nearest(name, formats)
        listed = "" if do.startswith("Valid") else f" Valid: {', '.join(formats)}."
        raise DataError(place, "must be a format that Datumaro reads", do=f"{do}{listed}")
    with _warnings_as_notes(remarks):
        try:
            dataset = datumaro.Dataset.import_from(str(folder), name)
            labels = dataset.categories().get(datumaro.AnnotationType.label, ())
            return list(dataset), [label.name for label in labels]
        except Exception as error:  # its importers raise anything for files that they do not expect
            cause = " ".join(_first_cause(error).split())[:_LONGEST_CAUSE]
            rule = f"Datumaro cannot read it as {name} ({cause})"
            do = f"See the layout of {name} in Datumaro's documentation."
            raise DataError(folder, rule, do=do) from None


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


@contextmanager
def _warnings_as_notes(remarks: Remarks) -> Iterator[None]:
    """Takes what Datumaro says to Python's root logger."""
    handler = _Notes(remarks)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, remarks: Remarks) -> None:
        super().__init__(logging.WARNING)
        self._remarks = remarks

    def emit(self, record: logging.LogRecord) -> None:
        self._remarks.note(f"Datumaro: {record.getMessage().rstrip('.')}")


def _split(folder: Path, subset: str, subsets: Iterable[str]) -> str:
    """The split of a subset by its name; train for one that names none and is alone."""
    split = split_of(folder, folder / subset / "_")
    if split is not None:
        return split
    if subset == _WITHOUT_SUBSET or len(set(subsets)) == 1:
        return "train"
    rule = "the name of a subset must contain its split"
    raise DataError(folder, rule, got=subset, do="Put train, val or test into it.")


def _images(
    items: Sequence[Any],
    classes: Sequence[str],
    folder: Path,
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    for item in items:
        place = f"{folder}, {item.subset}, item {for_message(item.id)}"
        image = _image(item.media, place, folder, images, remarks)
        if image is None:
            continue
        is_file = isinstance(image, Path)
        yield LabelledImage(
            image=image,
            boxes=list(_boxes(item.annotations, classes, place, remarks)),
            place=place,
            image_id=None if is_file else str(item.id),
            wh=_size(item.media) if is_file else None,
        )


def _image(
    media: Any, place: str, folder: Path, images: ImageFiles, remarks: Remarks
) -> bytes | Path | None:
    """The image file of an item, or its bytes; None with a problem where it has none."""
    path = getattr(media, "path", None)
    if path:
        inside = Path(path).is_relative_to(folder)
        name = Path(path).relative_to(folder).as_posix() if inside else str(path)
        return images.find(name, [folder], place)
    content = getattr(media, "bytes", None)
    if isinstance(content, bytes) and content:
        return content
    remarks.problem(place, "Datumaro finds no image for it")
    return None


def _size(media: Any) -> tuple[int, int] | None:
    """The width and height that the labels tell; None where Datumaro would decode the image."""
    if not media.has_size:
        return None
    height, width = media.size
    return int(width), int(height)


def _boxes(
    annotations: Sequence[Any], classes: Sequence[str], image: str, remarks: Remarks
) -> Iterator[LabelledBox]:
    for position, annotation, edges in _objects(annotations):
        place = f"annotation {position}"
        label = annotation.label
        if label is None or not 0 <= label < len(classes):
            remarks.problem(f"{image}, {place}", "must have a label", got=for_message(label))
            yield unusable(edges, place)
            continue
        attributes = annotation.attributes
        yield LabelledBox(
            xyxy=edges,
            name=None if classes[label] == _DONT_CARE else classes[label],
            place=place,
            visibility=share(attributes.get("visibility")),
            crowd=any(attributes.get(name) is True for name in _NEUTRAL),
        )


def _objects(annotations: Sequence[Any]) -> Iterator[tuple[int, Any, Edges]]:
    """(position, annotation, edges) of each object.

    COCO's importer gives an object as a box and as its mask, or as the parts of its mask, with one
    id: the box counts, else all parts together.
    """
    boxes: dict[tuple[Any, ...], list[Edges]] = {}
    parts: dict[tuple[Any, ...], list[tuple[int, Any, Edges]]] = {}
    for position, annotation in enumerate(annotations):
        kind = annotation.type.name
        if kind not in _SHAPES:
            continue
        edges = _edges(annotation)
        key = (annotation.id, annotation.group, annotation.label)
        if kind == "bbox":
            boxes.setdefault(key, []).append(edges)
            yield position, annotation, edges
        else:
            one_object = key if annotation.id else (*key, position)
            parts.setdefault(one_object, []).append((position, annotation, edges))
    for key, masks in parts.items():
        edges = around([edges for _, _, edges in masks])
        if not any(_is_within(edges, box) for box in boxes.get(key[:3], [])):
            yield masks[0][0], masks[0][1], edges


def _edges(annotation: Any) -> Edges:
    if annotation.type.name == "mask":
        return _mask_edges(np.asarray(annotation.image))
    if annotation.type.name == "bbox":
        x1, y1, x2, y2 = annotation.points
        return float(x1), float(y1), float(x2), float(y2)
    corners = np.asarray(annotation.as_polygon(), np.float64).reshape(-1, 2)
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def _mask_edges(mask: np.ndarray) -> Edges:
    """The edges of the pixels of a mask (height, width); no area where it has none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _is_within(inner: Edges, outer: Edges) -> bool:
    spill = np.subtract(outer[:2], inner[:2]).max(), np.subtract(inner[2:], outer[2:]).max()
    return max(spill) <= _SLACK_PX
