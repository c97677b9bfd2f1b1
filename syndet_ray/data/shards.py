"""Shards: writes labelled images as Parquet, the images as their files have them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from syndet_ray.data.images.encoded import encoded_length, unreadable
from syndet_ray.data.parts import Copying, copy_here
from syndet_ray.data.readers.parquet import BOX, SCHEMA, metadata, shard_name
from syndet_ray.data.readers.splits import SPLITS
from syndet_ray.data.record import Record, Source
from syndet_ray.data.write import check_empty
from syndet_ray.errors import DataError
from syndet_ray.files import whole_folder
from syndet_ray.progress import Progress, quiet

_SHARD_BYTES = 256 << 20  # of images: few files, and each still copied in seconds
# Of a row group. We read single images whatever its size. Other programs read whole groups: with
# 128 images of 100 kB a random one takes them 2 ms, less than decoding it. Smaller groups have
# longer footers, and those of 128 images already take as long to read as the labels.
_GROUP_IMAGES, _GROUP_BYTES = 128, 32 << 20
_PAGE_BYTES = 1 << 30  # more than any group: its images must be in one page, see readers/parquet.py
_MOST_IMAGE_BYTES = 1 << 30  # of an image: Parquet's pages have at most 2^31 bytes
# Images are compressed already, and edges and hashes hardly get smaller.
_COMPRESSION = {"image": "NONE", "image_id": "ZSTD", "boxes.list.element.class": "ZSTD"}


def write_shards(
    splits: Mapping[str, Source],
    out: Path,
    progress: Progress = quiet,
    *,
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Writes `out`/<split>-00000-of-00012.parquet for each split, as `read` reads them.

    The folder is written whole or not at all. Images are not encoded again, and ids, boxes and the
    order of classes stay: a pool of the shards has the hash of a pool of the originals.

    splits       by "train", "val" or "test", such as those of a Dataset
    progress     is called with (images written, images in all)
    shard_bytes  bytes of images in a shard, about

    Raises DataError where `out` exists and is no empty folder, or an image cannot be read.
    """
    check_empty(out)
    with whole_folder(out) as unfinished:
        write_into(unfinished, splits, progress, shard_bytes=shard_bytes)


def write_into(
    folder: Path,
    splits: Mapping[str, Source],
    progress: Progress = quiet,
    copying: Copying = copy_here,
    *,
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Writes the shards of all splits into an empty folder; see `write_shards`.

    copying  writes the shards, see `workers/copying.py` for a cluster
    """
    assert set(splits) <= set(SPLITS), list(splits)
    assert len({source.classes for source in splits.values()}) == 1, "one list of classes"
    images = sum(map(len, splits.values()))
    shards = [
        shard
        for split, source in splits.items()
        for shard in _shards(folder, split, source, shard_bytes)
    ]

    def show(done: int, total: int) -> None:
        progress(images * done // total, images)  # shards have about as many images each

    written = sum(copying(shards, show))
    assert written == images, (written, images)


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """A file of a split, which one task writes."""

    file: Path
    records: Sequence[Record]
    classes: Sequence[str]

    @property
    def files(self) -> list[Path]:
        return [self.file]

    def write(self) -> int:
        """Writes the groups one by one; returns the number of images."""
        schema = SCHEMA.with_metadata(metadata(self.classes))
        with parquet.ParquetWriter(
            self.file,
            schema,
            compression=_COMPRESSION,
            use_dictionary=["boxes.list.element.class"],
            write_statistics=False,  # of images they would be images
            data_page_size=_PAGE_BYTES,
            data_page_version="1.0",
        ) as writer:
            for group in _groups(self.records):
                table = _table(group, self.classes, schema)
                writer.write_table(table, row_group_size=len(group))
        return len(self.records)


def _shards(folder: Path, split: str, source: Source, shard_bytes: int) -> Iterator[_Shard]:
    """The shards of a split; an empty split has one."""
    records = source.records
    size = sum(_length(record) for record in records)
    count = max(1, min(len(records), math.ceil(size / shard_bytes)))
    ends = [len(records) * (number + 1) // count for number in range(count)]
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        file = folder / shard_name(split, number, count)
        yield _Shard(file=file, records=records[start:end], classes=source.classes)


def _groups(records: Sequence[Record]) -> Iterator[list[Record]]:
    """The records in groups of a few images, whose bytes are in memory at once."""
    group: list[Record] = []
    size = 0
    for record in records:
        length = _length(record)
        if group and (len(group) == _GROUP_IMAGES or size + length > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(record)
        size += length
    if group:
        yield group


def _length(record: Record) -> int:
    """Bytes of an image. Raises DataError where there is none, or more than a shard can hold."""
    try:
        length = encoded_length(record.image)
    except OSError as error:
        raise unreadable(record.place, error) from None
    if not 0 < length < _MOST_IMAGE_BYTES:
        rule = f"the image must have from 1 to {_MOST_IMAGE_BYTES - 1:,} bytes"
        raise DataError(record.place, rule, got=length, do="Replace it, or remove it.")
    return length


def _table(records: Sequence[Record], classes: Sequence[str], schema: pa.Schema) -> pa.Table:
    images = [_image(record) for record in records]
    columns = {
        "image_id": [record.image_id for record in records],
        "image": images,
        "image_bytes": list(map(len, images)),
        "width": [record.size_wh[0] for record in records],
        "height": [record.size_wh[1] for record in records],
    }
    arrays = [pa.array(columns[name], schema.field(name).type) for name in columns]
    return pa.Table.from_arrays([*arrays, _box_lists(records, classes)], schema=schema)


def _box_lists(records: Sequence[Record], classes: Sequence[str]) -> pa.ListArray:
    boxes = [record.boxes for record in records]
    edges = np.concatenate([of_image.xyxy for of_image in boxes]).T
    labels = np.concatenate([of_image.labels for of_image in boxes])
    visibility = np.concatenate([of_image.visibility for of_image in boxes])
    crowd = np.concatenate([of_image.crowd for of_image in boxes])
    arrays = [
        *(pa.array(edge) for edge in edges),
        pa.array([classes[label] for label in labels.tolist()], pa.string()),
        pa.array(visibility, pa.float32(), from_pandas=True),  # NaN becomes null
        pa.array(crowd),
    ]
    offsets = np.cumsum([0, *map(len, boxes)])
    structs = pa.StructArray.from_arrays(arrays, fields=list(BOX))
    list_type = SCHEMA.field("boxes").type
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=list_type)


def _image(record: Record) -> bytes:
    try:
        return record.image_bytes()
    except OSError as error:
        raise unreadable(record.place, error) from None
