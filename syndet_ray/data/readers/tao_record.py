"""Records of NVIDIA TAO: boxes in pixels, of image files that the record only names.

Names of the fields: nvidia_tao_tf1/cv/detectnet_v2/dataio/kitti_converter_lib.py of
tao_tensorflow1_backend. The variant for DALI holds the image, and edges as shares of its sides.
"""

import math
from pathlib import Path, PurePosixPath

from syndet_ray.data.readers.example import Feature, Features, SerialExample
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, unusable
from syndet_ray.data.readers.occlusion_level import NOTE, visible_share
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.values import for_message, number
from syndet_ray.errors import DataError

_EDGES = ("x1", "y1", "x2", "y2")
_ANY_CLASS = "dontcare"  # regions in which objects are not labelled
_LONGEST_ID = 4096


def is_of_tao(features: Features) -> bool:
    """True for the fields of a record of TAO."""
    return "frame/id" in features and "image/encoded" not in features


def labelled_image(
    example: SerialExample, record: Path, images: ImageFiles, remarks: Remarks
) -> LabelledImage | None:
    """The image of a record; None, with a problem, where its file is missing.

    Raises DataError where the fields of the boxes are not of one length.
    """
    place, features = example.place, example.features
    name = _text(features.get("frame/id", []))
    encoded = features.get("frame/encoded", [])
    content = encoded[0] if encoded and isinstance(encoded[0], bytes) else b""
    file = None if content else _image_file(name, record, images)
    if not content and file is None:
        remarks.problem(place, "its image file must be in images/", got=for_message(name))
        return None
    return LabelledImage(
        image_id=name if content else None,
        image=example.image(content) if file is None else file,
        boxes=_boxes(place, features, remarks),
        wh=_size(features),
        relative=bool(content),
        place=f"{place} ({for_message(name)})",
    )


def _image_file(name: str, record: Path, images: ImageFiles) -> Path | None:
    """The file of a frame: its id is a path without ending, from the folder of the images."""
    if "\0" in name or len(name) > _LONGEST_ID:
        return None
    path = PurePosixPath(name.replace("\\", "/"))
    parent = "/".join(part for part in path.parts[:-1] if part not in ("/", ".."))
    folders = []
    for root in (images.root, record.parent, record.parent.parent):
        folders += [root / parent, root / "images" / parent, root / "images", root / "image_2"]
    inside = [folder for folder in folders if folder.is_relative_to(images.root)]
    return images.with_stem(path.name, inside) or images.with_stem(path.stem, inside)


def _boxes(place: str, features: Features, remarks: Remarks) -> list[LabelledBox]:
    names = features.get("target/object_class", [])
    edges = [features.get(f"target/coordinates_{edge}", []) for edge in _EDGES]
    lengths = [len(names), *map(len, edges)]
    if len(set(lengths)) != 1:
        rule = "object_class and coordinates_x1, y1, x2 and y2 must be of one length"
        raise DataError(place, rule, got=lengths)
    levels = features.get("target/occlusion", [])
    truncations = features.get("target/truncation", [])
    boxes = []
    for i, name in enumerate(names):
        x1, y1, x2, y2 = (_number(edge, i) for edge in edges)
        text = _text([name]) if isinstance(name, bytes) else ""
        if not text:
            remarks.problem(f"{place}, box {i}", "target/object_class must be a text")
            boxes.append(unusable((x1, y1, x2, y2), f"box {i}"))
            continue
        is_region = text.lower() == _ANY_CLASS
        visibility = math.nan
        if not is_region:
            visibility = visible_share(_number(levels, i), _number(truncations, i))
        if not math.isnan(visibility):
            remarks.note(NOTE)
        box = LabelledBox(
            xyxy=(x1, y1, x2, y2),
            name=None if is_region else text,
            place=f"box {i}",
            visibility=visibility,
            crowd=is_region,
        )
        boxes.append(box)
    return boxes


def _number(values: Feature, i: int) -> float:
    """One number of a list; NaN where there is none."""
    value = values[i] if i < len(values) else math.nan
    return math.nan if isinstance(value, bytes) or value is None else number(value)


def _text(values: Feature) -> str:
    first = values[0] if values else b""
    return first.decode(errors="replace") if isinstance(first, bytes) else ""


def _size(features: Features) -> tuple[int, int] | None:
    width = _number(features.get("frame/width", []), 0)
    height = _number(features.get("frame/height", []), 0)
    return (int(width), int(height)) if width >= 1 and height >= 1 else None
