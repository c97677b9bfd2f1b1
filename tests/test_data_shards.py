"""Parquet shards hold a dataset as it was read, and what is wrong with one is named."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet as pq

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images.encoded import PartOfFile
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.data.readers.parquet import SCHEMA, metadata
from syndet_ray.data.record import Record, Source
from syndet_ray.data.shards import write_shards
from syndet_ray.errors import DataError, SyndetError

BOXES = Boxes.of([[1, 2, 9.5, 8], [0, 0, 20, 10]], [1, 0], [0.25, np.nan], [False, True])


def source(folder, count=5, classes=("cat", "dog"), boxes=BOXES):
    """Photos of one size and different grey, each in a file of its own."""
    folder.mkdir(exist_ok=True)
    records = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.new("RGB", (20, 10), (i, i, i)).save(path)
        of_image = boxes if i % 2 else Boxes.none()
        record = Record(
            image_id=f"{i}.png", image=path, size_wh=(20, 10), boxes=of_image, place=f"image {i}"
        )
        records.append(record)
    return Source(name="real", classes=classes, records=tuple(records))


@pytest.fixture
def shards(tmp_path):
    """Three shards of train and one of test."""
    splits = {"train": source(tmp_path / "train"), "test": source(tmp_path / "test", 2)}
    write_shards(splits, tmp_path / "shards", shard_bytes=170)
    return tmp_path / "shards"


def write(path, rows, schema=SCHEMA, classes=("cat", "dog"), **options):
    """A file of shards as another program may write it."""
    table = pa.Table.from_pylist(rows, schema.with_metadata(metadata(classes)))
    pq.write_table(table, path, **{"compression": "NONE", "use_dictionary": False, **options})


def row(**changes):
    box = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0, "class": "cat"}
    box |= {"visibility": None, "crowd": False}
    box |= {name: changes.pop(name) for name in list(changes) if name in box}
    image = Path(changes.pop("image")).read_bytes()
    values = {"image_id": "a", "image_bytes": len(image), "width": 20, "height": 10}
    return {**values, "image": image, "boxes": [box], **changes}


def test_a_dataset_is_read_as_it_was_written(shards, tmp_path):
    names = sorted(path.name for path in shards.iterdir())
    assert names == [
        "test-00000-of-00001.parquet",
        *(f"train-0000{number}-of-00003.parquet" for number in range(3)),
    ]
    found = read(shards)
    assert (found.format, found.classes, found.notes) == ("Parquet", ("cat", "dog"), ())
    before = source(tmp_path / "train")
    for ours, theirs in zip(found.splits["train"].records, before.records, strict=True):
        assert isinstance(ours.image, PartOfFile)
        assert ours.image_bytes() == theirs.image_bytes()
        assert (ours.image_id, ours.size_wh) == (theirs.image_id, theirs.size_wh)
        for column in ("xyxy", "labels", "visibility", "crowd"):
            assert np.array_equal(
                getattr(ours.boxes, column),
                getattr(theirs.boxes, column),
                equal_nan=column == "visibility",
            )
    assert found.splits["train"].ids_hash == before.ids_hash
    assert decode(found.splits["train"], 16).hash == decode(before, 16).hash


def test_other_programs_read_images_and_boxes(shards, tmp_path):
    table = pq.read_table(shards / "train-00001-of-00003.parquet")
    first = table.to_pylist()[0]
    assert first["image"] == (tmp_path / "train" / first["image_id"]).read_bytes()
    assert first["boxes"][0]["class"] == "dog"
    assert [box["visibility"] for box in first["boxes"]] == [0.25, None]


def test_photos_of_formats_come_back_with_the_same_hash(shared, tmp_path):
    """TFRecords hold bytes, COCO names files."""
    for name in ("d6_dice", "chess"):
        before = read(shared(f"data/{name}"))
        splits = {split: whole.select(range(8)) for split, whole in before.splits.items()}
        write_shards(splits, tmp_path / name)
        after = read(tmp_path / name)
        assert after.classes == before.classes
        for split, few in splits.items():
            assert decode(after.splits[split], 256).hash == decode(few, 256).hash


def test_progress_ends_with_all_images_and_an_empty_split_stays(tmp_path):
    told = []
    splits = {"train": source(tmp_path / "a"), "val": source(tmp_path / "b", 0)}
    write_shards(splits, tmp_path / "out", lambda *done: told.append(done))
    assert told[-1] == (5, 5)
    assert len(read(tmp_path / "out").splits["val"]) == 0


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    photos = source(tmp_path / "photos")
    (tmp_path / "photos" / "3.png").unlink()
    with pytest.raises(DataError, match=r"image 3: the image cannot be read \(No such file"):
        write_shards({"train": photos}, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    empty = replace(photos.records[0], image=b"")
    with pytest.raises(DataError, match="image 0: the image must have from 1 to"):
        write_shards({"train": replace(photos, records=(empty,))}, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(DataError, match="must be a new or an empty folder, got"):
        write_shards({"train": photos}, tmp_path / "out")


def test_missing_shards_and_two_sets_are_named(shards):
    (shards / "train-00001-of-00003.parquet").rename(shards / "away")
    said = (
        r"must hold all 3 shards of train, and 1 are missing, got \['train-00001-of-00003.parquet'"
    )
    with pytest.raises(DataError, match=said):
        read(shards)
    (shards / "away").rename(shards / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match=r"one set of shards of train, got \['of 2', 'of 3'\]"):
        read(shards)


def test_shards_of_other_classes_are_named(shards, tmp_path):
    other = source(tmp_path / "other", classes=("dog", "cat"))
    write_shards({"test": other}, tmp_path / "new")
    name = "test-00000-of-00001.parquet"
    (tmp_path / "new" / name).replace(shards / name)
    said = r"train-.*must have the classes of test-.* in their order, \['dog', 'cat'\], got \['cat'"
    with pytest.raises(DataError, match=said):
        read(shards)


@pytest.fixture
def shard(tmp_path):
    """The path of a single shard, for one photo."""
    source(tmp_path / "photos", 1)
    (tmp_path / "shards").mkdir()
    return tmp_path / "shards" / "train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x1": np.nan}, r"row 1, box 0: edges must be finite numbers, got \[nan, 2"),
        ({"y2": np.inf}, "row 1, box 0: edges must be finite"),
        ({"visibility": 1.5}, "row 1, box 0: visibility must be null, or from 0 to 1, got 1.5"),
        ({"visibility": np.nan}, "row 1, box 0: visibility must be null"),
        ({"class": "dgo"}, r"row 1, box 0: its class must be one of .*, got 'dgo'. .*dog"),
        ({"width": 0}, r"row 1: width and height must be at least 1, got \(0, 10\)"),
        ({"width": 30}, r"row 1: width and height must be those of the image file"),
        ({"image_id": ""}, "row 1: must have an image_id"),
        ({"image_id": "first"}, "row 1: an image must occur once in a split, got 'first'"),
        ({"x2": 0.5}, r"row 1, box 0: a box must have an area"),
        ({"image_bytes": -1}, "row 1: image_bytes must be from 1 to the bytes of the file"),
        ({"image_bytes": 2**62}, "row 1: image_bytes must be from 1 to the bytes of the file"),
        ({"image_bytes": 7}, "row group 0: its images must lie one after another"),
    ],
)
def test_a_bad_value_is_named_with_its_row(shard, changes, said):
    photo = shard.parents[1] / "photos" / "0.png"
    write(shard, [row(image=photo, image_id="first"), row(image=photo, **changes)])
    with pytest.raises(DataError, match=f"train-00000-of-00001.parquet, {said}"):
        read(shard.parent)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_id_of_two_images_is_damage_in_one_shard_or_in_two(shard, skip_bad):
    source(shard.parents[1] / "more", 2)
    photos = [shard.parents[1] / "more" / f"{i}.png" for i in range(2)]
    rows = [row(image=photo, image_id="same") for photo in photos]
    write(shard, rows)
    said = "{}: an image must occur once in a split, got 'same'. Copy or write the dataset again."
    options = LabelOptions(skip_bad=skip_bad)
    with pytest.raises(DataError, match=said.format("00000-of-00001.parquet, row 1")):
        read(shard.parent, options)
    shard.unlink()
    for i in range(2):
        write(shard.with_name(f"train-0000{i}-of-00002.parquet"), rows[i : i + 1])
    with pytest.raises(DataError, match=said.format("00001-of-00002.parquet, row 0")):
        read(shard.parent, options)


@pytest.mark.parametrize("options", [{"compression": "ZSTD"}, {"use_dictionary": True}])
def test_images_that_lie_otherwise_are_refused(shard, options):
    write(shard, [row(image=shard.parents[1] / "photos" / "0.png")], **options)
    with pytest.raises(
        DataError, match=r"row group 0: its images must .*`data convert --to parquet`.*Other pro"
    ):
        read(shard.parent)


def test_pages_with_statistics_are_read(shard):
    write(shard, [row(image=shard.parents[1] / "photos" / "0.png")], write_statistics=True)
    assert len(read(shard.parent).splits["train"]) == 1


def test_other_versions_types_and_programs_are_named(shard):
    rows = [row(image=shard.parents[1] / "photos" / "0.png")]
    wide = SCHEMA.set(3, pa.field("width", pa.int64(), nullable=False))
    write(shard, rows, schema=wide)
    with pytest.raises(DataError, match=r"must have the column .*width: int32.*, got .*int64"):
        read(shard.parent)
    write(shard, [], schema=SCHEMA.remove(5))
    with pytest.raises(DataError, match="must have one column boxes"):
        read(shard.parent)
    pq.write_table(pa.table({"image": [b"a"], "label": [1]}), shard)
    with pytest.raises(DataError, match=r"of another program: .*, got \['image', 'label'\]"):
        read(shard.parent)
    later = SCHEMA.with_metadata(metadata(["cat"]) | {b"syndet_ray.shards": b"2"})
    pq.write_table(later.empty_table(), shard)
    with pytest.raises(DataError, match="must be of version 1 of these shards, got '2'"):
        read(shard.parent)
    for classes in (b"{", b'["cat", "cat"]', json.dumps([1]).encode(), b"[" * 100_000):
        named = SCHEMA.with_metadata(metadata(["cat"]) | {b"syndet_ray.classes": classes})
        pq.write_table(named.empty_table(), shard)
        with pytest.raises(DataError, match="must list its classes, each once"):
            read(shard.parent)


def test_more_boxes_than_bytes_are_refused_before_they_are_read(shard):
    """Repeated values take next to nothing in a file, and gigabytes in memory."""
    many = row(image=shard.parents[1] / "photos" / "0.png")
    write(shard, [many | {"boxes": many["boxes"] * 100_000}], use_dictionary=["boxes"])
    table = pq.read_table(shard)
    pq.write_table(
        table, shard, compression={"image": "NONE", "boxes": "ZSTD"}, use_dictionary=True
    )
    with pytest.raises(
        DataError, match=r"must not hold more images or boxes than bytes.*got 100000"
    ):
        read(shard.parent)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_shard_is_read_or_refused(tmp_path_factory, data):
    """Also one whose footer contradicts itself, at which pyarrow ends the process."""
    folder = tmp_path_factory.mktemp("damaged")
    write_shards({"train": source(folder / "photos", 3)}, folder / "shards")
    (shard,) = (folder / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    shard.write_bytes(content[: data.draw(st.integers(0, len(content))) or None])
    with suppress(SyndetError):
        assert len(read(folder / "shards").splits["train"]) == 3
