"""NVIDIA Omniverse Replicator's BasicWriter: boxes in .npy files, classes in JSON beside them.

x_max and y_max are taken as the last pixels of a box, so that x2 = x_max + 1: the documentation
does not say it. occlusionRatio is 0 for what is fully visible, 1 for what is hidden; -1 and NaN
stand for unknown. A semanticId is one of its frame alone.
"""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import for_message, share
from syndet_ray.errors import DataError

LAYOUT = "bounding_box_2d_tight_<n>.npy with their labels and rgb_<n>.png (Omniverse Replicator)"
_FRAME = re.compile(r"(?P<kind>bounding_box_2d_(tight|loose)(_fast)?)_(?P<number>\d+(_\d+)?)\.npy")
_EDGES = ("x_min", "y_min", "x_max", "y_max")
_DO = "Copy or export the file again."
# what numpy raises for a header that is no header
_BROKEN = (
    ValueError,
    SyntaxError,
    TokenError,
    TypeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def files(folder: Path) -> list[Path]:
    """The boxes of each frame: of visible pixels, else whole boxes (loose)."""
    name = "bounding_box_2d_*.npy"
    paths = label_files(folder, name, f"*/{name}", f"*/*/{name}", f"*/*/*/{name}")
    frames = [path for path in paths if _FRAME.fullmatch(path.name)]
    tight = [path for path in frames if "_tight_" in path.name]
    return tight or frames


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every frame that has boxes written. Raises DataError for a file that is no such array."""
    remarks.note(
        "x_max and y_max of Replicator are read as the last pixels of a box (x2 = x_max + 1)"
    )
    if "_loose_" in files[0].name:
        remarks.note(
            "boxes are Replicator's loose ones: around whole objects, hidden parts included"
        )
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(paths, images, remarks)
    return Reading(splits=splits)


def _images(paths: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Iterator[LabelledImage]:
    for path in paths:
        match = _FRAME.fullmatch(path.name)
        assert match is not None, path
        stem = f"rgb_{match['number']}"
        folders = [path.parent, path.parent / "rgb", path.parent.parent / "rgb"]
        file = images.with_stem(stem, folders)
        if file is None:
            remarks.problem(str(path), "its image must lie beside it or in rgb/", got=stem)
            continue
        rows = _load(path)
        labels = path.with_name(f"{match['kind']}_labels_{match['number']}.json")
        names = _names(labels, images) if len(rows) else {}
        boxes = [_box(row, i, names, path, remarks) for i, row in enumerate(rows)]
        usable = [box for box in boxes if box is not None]
        yield LabelledImage(image=file, boxes=usable, place=str(path))


def _load(path: Path) -> np.ndarray:
    """(n,) rows with semanticId and four edges. Raises DataError, before it reads what is none."""
    with path.open("rb") as file:
        size = path.stat().st_size
        try:
            shape, dtype = _header(file)
        except _BROKEN:
            raise DataError(path, "is not an array of numpy (.npy)", do=_DO) from None
        names = dtype.names or ()
        fields = [dtype[name] for name in names]
        is_plain = all(field.kind in "iuf" for field in fields)
        if len(shape) != 1 or not is_plain or not {"semanticId", *_EDGES} <= set(names):
            rule = f"must be one row of semanticId and {', '.join(_EDGES)} for each box"
            raise DataError(path, rule, got=for_message(f"{shape} {dtype}"))
        if shape[0] * dtype.itemsize != size - file.tell():
            rule = f"must be as long as its header says, {shape[0]} boxes"
            raise DataError(path, rule, do=_DO)
        return np.frombuffer(file.read(), dtype)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array; at the data then."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers of Python 2, which are read
        shape, _, dtype = read_header[version](file)
    return shape, dtype


def _names(path: Path, images: ImageFiles) -> dict[str, str]:
    """The class by semanticId of one frame. Raises DataError without a readable file."""
    if not images.holds(path):
        raise DataError(path, "must tell the classes of the boxes beside it", do=_DO)
    content = load_json(path)
    if not isinstance(content, dict):
        raise DataError(path, "must be an object with a class for each semanticId")
    names = {}
    for key, semantics in content.items():
        name = _class(semantics)
        if name is not None:
            names[key] = name
    return names


def _class(semantics: Any) -> str | None:
    """The class among the semantics of an object: {"class": "car"}, or the first of other types."""
    if isinstance(semantics, dict):
        semantics = semantics.get("class", next(iter(semantics.values()), None))
    return semantics if isinstance(semantics, str) and semantics else None


def _box(
    row: Any, position: int, names: dict[str, str], path: Path, remarks: Remarks
) -> LabelledBox | None:
    place = f"box {position}"
    x_min, y_min, x_max, y_max = (float(row[edge]) for edge in _EDGES)
    xyxy = x_min, y_min, x_max + 1, y_max + 1
    key = str(row["semanticId"])
    if key not in names:
        rule = "its semanticId must have a class in the labels of its frame"
        remarks.problem(f"{path}, {place}", rule, got=key)
        return unusable(xyxy, place)
    return LabelledBox(
        xyxy=xyxy,
        name=names[key],
        place=place,
        visibility=1 - _occlusion(row, remarks),
    )


def _occlusion(row: Any, remarks: Remarks) -> float:
    if "occlusionRatio" not in row.dtype.names:  # annotators called "fast" leave it out
        return math.nan
    ratio = share(float(row["occlusionRatio"]))
    if not math.isnan(ratio):
        remarks.note(
            "visibility is 1 - occlusionRatio of Replicator, which does not document the scale"
        )
    return ratio
