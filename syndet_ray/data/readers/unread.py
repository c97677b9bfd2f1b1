"""Formats that are recognized but not read: their names, and what helps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from syndet_ray.data.readers.label_files import label_files
from syndet_ray.errors import DataError

_HEAD = 4096  # bytes of a file in which its format shows
_MOST_LOOKED_AT = 20  # files that match one pattern
_COCO_OF_VIA = "Export annotations in COCO format there."
_COCO_OF_FIFTYONE = "dataset_type=fiftyone.types.COCODetectionDataset"


@dataclass(frozen=True, kw_only=True)
class _Format:
    """patterns: of its files; words: all of them stand at the beginning of one, in any order"""

    name: str
    patterns: Sequence[str]
    words: Sequence[bytes]
    do: str


_FORMATS = (
    _Format(
        name="LabelMe (XML)",
        patterns=("*.xml", "*/*.xml", "*/*/*.xml"),
        words=(b"<annotation>", b"<imagesize>"),
        do="Give `format` datumaro:label_me.",
    ),
    _Format(
        name="Datumaro",
        patterns=("annotations/*.json",),
        words=(b'"categories"', b'"label"', b'"infos"'),
        do="Give `format` datumaro:datumaro, or export COCO.",
    ),
    _Format(
        name="Open Images",
        patterns=("annotations/*-bbox.csv",),
        words=(b"ImageID", b"XMin"),
        do="Give `format` datumaro:open_images.",
    ),
    _Format(
        name="Label Studio (CSV or TSV)",
        patterns=("*.csv", "*.tsv"),
        words=(b"annotation_id", b"lead_time"),
        do="Export JSON from Label Studio.",
    ),
    _Format(
        name="Label Studio (masks)",
        patterns=("task-*-annotation-*.png", "task-*-annotation-*.npy"),
        words=(),
        do="Export JSON from Label Studio: it holds the masks too.",
    ),
    _Format(
        name="VGG Image Annotator",
        patterns=("*.json", "*/*.json"),
        words=(b'"regions"', b'"shape_attributes"'),
        do=_COCO_OF_VIA,
    ),
    _Format(
        name="VGG Image Annotator (project)",
        patterns=("*.json",),
        words=(b'"_via_settings"',),
        do=_COCO_OF_VIA,
    ),
    _Format(
        name="VGG Image Annotator (CSV)",
        patterns=("*.csv", "*/*.csv"),
        words=(b"region_shape_attributes",),
        do=_COCO_OF_VIA,
    ),
    _Format(
        name="TensorFlow's table of boxes (CSV)",
        patterns=("*.csv", "*/*.csv"),
        words=(b"filename", b"class", b"xmin"),
        do="Export COCO or Pascal VOC.",
    ),
    _Format(
        name="FiftyOne (its own)",
        patterns=("samples.json",),
        words=(b'"samples"',),
        do=f"Export COCO: `dataset.export(..., {_COCO_OF_FIFTYONE})`.",
    ),
)


def check_formats(folder: Path) -> None:
    """Raises DataError for a folder with labels of a format that is known, but not read."""
    for kind in _FORMATS:
        for path in islice(label_files(folder, *kind.patterns), _MOST_LOOKED_AT):
            with path.open("rb") as file:
                head = file.read(_HEAD)
            if all(word in head for word in kind.words):
                rule = f"holds labels of {kind.name}, a format that is not read"
                file_name = path.relative_to(folder).as_posix()
                raise DataError(folder, rule, got=file_name, do=kind.do)
