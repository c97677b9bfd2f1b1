"""Parquet shards of our own, <split>-00000-of-00012.parquet, with one row an image.

`write_shards` writes them, and any program that knows Parquet can read them. Ours needs Parquet for
the labels only: the column of images is neither compressed nor encoded, and each row group has one
page of it, where an image follows its length, 4 bytes. So the place of each image in the file is
known, and a random image costs one read of its own bytes, however large the row groups are.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from syndet_ray.data.images.encoded import PartOfFile
from syndet_ray.data.readers.footer import RowGroup, read_groups
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_split
from syndet_ray.errors import DataError, nearest

VERSION = 1
_VERSION_KEY, _CLASSES_KEY = b"syndet_ray.shards", b"syndet_ray.classes"
_EDGES = ("x1", "y1", "x2", "y2")
# One list of structs and not a list a column: such lists could be of different lengths.
BOX = pa.struct(
    [
        *(pa.field(edge, pa.float64(), nullable=False) for edge in _EDGES),
        pa.field("class", pa.string(), nullable=False),
        pa.field("visibility", pa.float32()),  # null where unknown
        pa.field("crowd", pa.bool_(), nullable=False),
    ]
)
# image_bytes: the length of the image; width, height: of the image as it is shown, as are boxes
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("image_bytes", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("boxes", pa.list_(pa.field("element", BOX, nullable=False)), nullable=False),
    ]
)
_LABELS = [name for name in SCHEMA.names if name != "image"]
LAYOUT = "<split>-00000-of-00012.parquet as `data convert --to parquet` writes it"
_NAME = re.compile(r"^(?P<set>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet$")
_PREFIX_BYTES = 4  # the length of an image, before it
_AGAIN = "Write the dataset again with `data convert --to parquet`."
_COPY = "Copy or write the dataset again."


def metadata(classes: Sequence[str]) -> dict[bytes, bytes]:
    """The metadata of the schema of each shard: the version, and all classes in their order."""
    return {_VERSION_KEY: str(VERSION).encode(), _CLASSES_KEY: json.dumps(classes).encode()}


def shard_name(split: str, number: int, count: int) -> str:
    """The name of a shard's file."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def files(folder: Path) -> list[Path]:
    """The shards in a folder. Raises DataError where one of a set is missing."""
    paths: list[Path] = []
    counts: dict[str, set[int]] = defaultdict(set)
    for path in sorted(folder.glob("*.parquet")):
        match = _NAME.match(path.name)
        if match is not None and path.is_file():
            paths.append(path)
            counts[match["set"]].add(int(match["count"]))
    for name, of_name in counts.items():
        _check_complete(folder, name, of_name, {path.name for path in paths})
    return paths


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image and its labels. Raises DataError naming file, row and rule."""
    classes, count = _classes_and_rows(files)
    splits = {split: _images_of(paths) for split, paths in by_split(folder, files).items()}
    return Reading(classes=classes, splits=splits, images=count)


def _classes_and_rows(files: Sequence[Path]) -> tuple[tuple[str, ...], int]:
    """The classes of all shards, and the number of their images. Raises DataError for others."""
    first: tuple[str, ...] | None = None
    count = 0
    for path in files:
        with _parquet(path) as file:
            classes = _classes(path, file.schema_arrow)
            count += file.metadata.num_rows
        if first is None:
            first = classes
        if classes != first:
            rule = f"must have the classes of {files[0].name} in their order, {list(first)}"
            raise DataError(path, rule, got=list(classes), do=_COPY)
    return first or (), count


def _images_of(paths: Sequence[Path]) -> Iterator[LabelledImage]:
    """The images of shards, whose labels are in memory for one shard at a time.

    Raises DataError for an id that occurs twice: the shards were damaged or mixed, whatever their
    images are.
    """
    ids: set[str] = set()
    for path in paths:
        for image in _images(_shard(path)):
            assert image.image_id is not None
            if image.image_id in ids:
                rule = "an image must occur once in a split"
                raise DataError(image.place, rule, got=image.image_id, do=_COPY)
            ids.add(image.image_id)
            yield image
        pa.default_memory_pool().release_unused()  # else as much again stays reserved


def _check_complete(folder: Path, name: str, counts: set[int], present: set[str]) -> None:
    """Raises DataError unless the shards of a name are one set, and all of it."""
    if len(counts) > 1:
        rule = f"must hold one set of shards of {name}"
        got = [f"of {count}" for count in sorted(counts)]
        raise DataError(folder, rule, got=got, do="Delete those of the older set.")
    (count,) = counts
    names = [shard_name(name, number, count) for number in range(count)]
    missing = [shard for shard in names if shard not in present]
    if missing:
        rule = f"must hold all {count} shards of {name}, and {len(missing)} are missing"
        raise DataError(folder, rule, got=missing[:1], do="Copy the missing ones too.")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shard:
    """A file of n images.

    labels  all columns but that of the images
    starts  (n,) int64, the first byte of each image in the file
    """

    path: Path
    classes: tuple[str, ...]
    labels: pa.Table
    starts: np.ndarray


def _shard(path: Path) -> _Shard:
    with _parquet(path) as file:
        classes = _classes(path, file.schema_arrow)
        _check_schema(path, file.schema_arrow)
        groups = read_groups(path)
        _check_counts(path, groups)
        # the file knows its schema, but the rows may still break what it promises
        labels = file.read(columns=_LABELS, use_threads=False)
        labels.validate(full=True)
        lengths = labels["image_bytes"].to_numpy()
        starts = _image_starts(path, groups, lengths)
    return _Shard(path=path, classes=classes, labels=labels, starts=starts)


@contextmanager
def _parquet(path: Path) -> Iterator[parquet.ParquetFile]:
    """The file, opened. Raises DataError for all that pyarrow cannot read."""
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system refuses to read it
            raise
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(path, f"is not a readable Parquet file ({reason})", do=_COPY) from None


def _classes(path: Path, schema: pa.Schema) -> tuple[str, ...]:
    """The classes of a shard. Raises DataError for another version, and for foreign files."""
    given = schema.metadata or {}
    if _VERSION_KEY not in given:
        rule = "is a Parquet file of another program: its schema names no version of these shards"
        raise DataError(path, rule, got=schema.names[:8], do=_AGAIN)
    if given[_VERSION_KEY] != str(VERSION).encode():
        got = given[_VERSION_KEY].decode(errors="replace")
        do = "Install the syndet_ray that wrote it, or write the dataset again."
        raise DataError(path, f"must be of version {VERSION} of these shards", got=got, do=do)
    try:
        names = json.loads(given.get(_CLASSES_KEY, b""))
    except (ValueError, RecursionError):
        names = None
    is_list = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not is_list or len(set(names)) != len(names):
        rule = "the metadata of its schema must list its classes, each once"
        raise DataError(path, rule, do=_AGAIN)
    return tuple(names)


def _check_schema(path: Path, schema: pa.Schema) -> None:
    for field in SCHEMA:
        if schema.get_field_index(field.name) < 0:
            rule = f"must have one column {field.name}"
            raise DataError(path, rule, got=schema.names[:8], do=_AGAIN)
        present = schema.field(field.name)
        if not present.equals(field):
            raise DataError(path, f"must have the column {field}", got=str(present), do=_AGAIN)


def _check_counts(path: Path, groups: Sequence[RowGroup]) -> None:
    """Raises DataError for more images or boxes than bytes.

    Encoded as repetitions, a few bytes could fill all memory.
    """
    size = path.stat().st_size
    counts = Counter[str]()
    for group in groups:
        for chunk in group.chunks:
            counts[chunk.path] += chunk.values
    most = max([sum(group.rows for group in groups), *counts.values()])
    if most > size:
        rule = f"must not hold more images or boxes than bytes, {size:,}"
        raise DataError(path, rule, got=most, do=_COPY)


def _image_starts(path: Path, groups: Sequence[RowGroup], lengths: np.ndarray) -> np.ndarray:
    """(n,) int64, the first byte of each image in the file.

    The images of a row group end where its page ends. Raises DataError unless each image is there,
    by the length before it.
    """
    _check_lengths(path, lengths)
    if sum(group.rows for group in groups) != len(lengths):
        _refuse_layout(str(path))
    content = np.memmap(path, np.uint8, mode="r")
    starts = [np.zeros(0, np.int64)]
    row = 0
    for number, group in enumerate(groups):
        place = f"{path}, row group {number}"
        of_group = lengths[row : row + group.rows]
        (chunk,) = (chunk for chunk in group.chunks if chunk.path == "image")
        first = chunk.end - int((of_group + _PREFIX_BYTES).sum())
        if not chunk.is_plain or not chunk.start < first <= chunk.end <= len(content):
            _refuse_layout(place)
        starts.append(first + np.cumsum(of_group + _PREFIX_BYTES) - of_group)
        _check_prefixes(place, content, starts[-1], of_group)
        row += group.rows
    return np.concatenate(starts)


def _check_lengths(path: Path, lengths: np.ndarray) -> None:
    size = path.stat().st_size
    for row in np.flatnonzero((lengths < 1) | (lengths > size)).tolist():
        rule = f"image_bytes must be from 1 to the bytes of the file, {size:,}"
        raise DataError(f"{path}, row {row}", rule, got=int(lengths[row]), do=_COPY)


def _check_prefixes(
    place: str, content: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> None:
    """Raises DataError unless each image follows its length, 4 bytes, little-endian."""
    prefixes = content[starts[:, None] + np.arange(-_PREFIX_BYTES, 0)]
    if not np.array_equal(prefixes.view("<u4")[:, 0], lengths):
        _refuse_layout(place)


def _refuse_layout(place: str) -> None:
    rule = (
        "its images must lie one after another, uncompressed, each with the length that "
        "image_bytes says"
    )
    raise DataError(place, rule, do=f"{_AGAIN} Other programs store images in other ways.")


def _images(shard: _Shard) -> Iterator[LabelledImage]:
    """The images of a shard with their labels. Raises DataError for values that break a rule."""
    columns = _label_columns(shard)
    for row, (image_id, length) in enumerate(zip(columns.ids, columns.lengths, strict=True)):
        part = range(int(columns.box_starts[row]), int(columns.box_starts[row + 1]))
        yield LabelledImage(
            image_id=image_id,
            image=PartOfFile(file=shard.path, start=int(shard.starts[row]), length=length),
            boxes=[columns.box(k, f"box {i}") for i, k in enumerate(part)],
            wh=columns.sizes[row],
            place=_place(shard, row),
        )


def _place(shard: _Shard, row: int) -> str:
    return f"{shard.path}, row {row}"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Columns:
    """The labels of n images with k boxes in all; box_starts (n + 1,) ends with k."""

    ids: list[str]
    lengths: list[int]
    sizes: list[tuple[int, int]]
    box_starts: np.ndarray
    xyxy: np.ndarray
    names: list[str]
    visibility: np.ndarray
    crowd: np.ndarray

    def box(self, k: int, place: str) -> LabelledBox:
        """Box k of the shard."""
        x1, y1, x2, y2 = self.xyxy[k].tolist()
        return LabelledBox(
            xyxy=(x1, y1, x2, y2),
            name=self.names[k],
            place=place,
            visibility=float(self.visibility[k]),
            crowd=bool(self.crowd[k]),
        )


def _label_columns(shard: _Shard) -> _Columns:
    table = shard.labels.combine_chunks()
    sizes_wh = np.stack([table["width"].to_numpy(), table["height"].to_numpy()], axis=1)
    ids = table["image_id"].to_pylist()
    _check_rows(shard, ids, sizes_wh)
    lists = _one_array(table["boxes"])
    boxes = lists.flatten()
    offsets = lists.offsets.to_numpy().astype(np.int64)
    box_starts = offsets - offsets[0]
    edges = [boxes.field(edge).to_numpy() for edge in _EDGES]
    columns = _Columns(
        ids=ids,
        lengths=table["image_bytes"].to_pylist(),
        sizes=list(map(tuple, sizes_wh.tolist())),
        box_starts=box_starts,
        xyxy=np.stack(edges, axis=1),
        names=_shared_texts(boxes.field("class")),
        visibility=boxes.field("visibility").to_numpy(zero_copy_only=False),  # null becomes NaN
        crowd=boxes.field("crowd").to_numpy(zero_copy_only=False),
    )
    is_unknown = boxes.field("visibility").is_null().to_numpy(zero_copy_only=False)
    _check_boxes(shard, columns, is_unknown)
    return columns


def _shared_texts(column: pa.Array) -> list[str]:
    """The texts of a column, equal ones as one object: a class has millions of boxes."""
    encoded = column.dictionary_encode()
    texts = np.array(encoded.dictionary.to_pylist(), object)
    shared: list[str] = texts[encoded.indices.to_numpy()].tolist()
    return shared


def _one_array(column: pa.ChunkedArray) -> pa.ListArray:
    """A column as one array; without rows it has no chunk."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _check_rows(shard: _Shard, ids: Sequence[str], sizes_wh: np.ndarray) -> None:
    for row in np.flatnonzero(sizes_wh.min(axis=1) < 1).tolist():
        got = tuple(sizes_wh[row].tolist())
        raise DataError(_place(shard, row), "width and height must be at least 1", got=got)
    if not all(ids):
        row = [bool(image_id) for image_id in ids].index(False)
        raise DataError(_place(shard, row), "must have an image_id", got="", do=_AGAIN)


def _check_boxes(shard: _Shard, columns: _Columns, is_unknown: np.ndarray) -> None:
    """Raises DataError for the first box whose values break a rule."""
    is_finite = np.isfinite(columns.xyxy).all(axis=1)
    for box in np.flatnonzero(~is_finite).tolist():
        got = columns.xyxy[box].tolist()
        raise DataError(_box_place(shard, columns, box), "edges must be finite numbers", got=got)
    is_share = (columns.visibility >= 0) & (columns.visibility <= 1)
    for box in np.flatnonzero(~(is_share | is_unknown)).tolist():
        got = float(columns.visibility[box])
        rule = "visibility must be null, or from 0 to 1"
        raise DataError(_box_place(shard, columns, box), rule, got=got)
    for name in sorted(set(columns.names) - set(shard.classes)):
        place = _box_place(shard, columns, columns.names.index(name))
        rule = "its class must be one of those in the metadata of the schema"
        raise DataError(place, rule, got=name, do=nearest(name, shard.classes))


def _box_place(shard: _Shard, columns: _Columns, box: int) -> str:
    """The place of a box, from its number in the shard."""
    row = int(np.searchsorted(columns.box_starts, box, side="right")) - 1
    return f"{_place(shard, row)}, box {box - int(columns.box_starts[row])}"
