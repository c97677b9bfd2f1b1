"""Readers, splits and pools: what they read, and how they name what they cannot."""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool, aligned, decode
from syndet_ray.data.read import check_classes, read
from syndet_ray.data.readers import tfrecord
from syndet_ray.data.record import Record, Source
from syndet_ray.data.split import with_validation
from syndet_ray.errors import DataError


def png(width=10, height=5, color=(9, 9, 9), mode="RGB", **save):
    file = io.BytesIO()
    Image.new(mode, (width, height), color).save(file, "PNG", **save)
    return file.getvalue()


def coco(folder, split="train", **changes):
    """A COCO dataset of two pictures, one of them without objects, with ids from 0 and odd category ids."""
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    shade = {"train": 10, "val": 20, "test": 30}[split]
    for i in (0, 1):
        (folder / "images" / split / f"{i}.png").write_bytes(png(color=(shade, i, 0)))
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 10, "height": 5} for i in (0, 1)],
        "categories": [{"id": 7, "name": "yoyo"}, {"id": 3, "name": "cube"}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 7, "bbox": [2, 1, 4, 3], "visibility": 0.25},
            {"id": 1, "image_id": 0, "category_id": 3, "bbox": [0, 0, 2, 5], "iscrowd": 1},
        ],
    } | changes
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder



def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def message(number, value):
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def feature(name, kind, values, packed=True):
    if kind == 1:
        items = b"".join(message(1, value) for value in values)
    elif kind == 2:
        data = struct.pack(f"<{len(values)}f", *values)
        items = message(1, data) if packed else b"".join(b"\x0d" + data[i : i + 4] for i in range(0, len(data), 4))
    else:
        items = message(1, b"".join(varint(v) for v in values)) if packed else b"".join(b"\x08" + varint(v) for v in values)
    return message(1, message(1, name.encode()) + message(2, message(kind, items)))


def example(packed=True, xmax=(0.5, 1.0), labels=(1, 2), image=None, texts=()):
    parts = [
        feature("image/encoded", 1, [png() if image is None else image]),
        feature("image/source_id", 1, [b"p1"]),
        feature("image/object/bbox/xmin", 2, (0.0, 0.5), packed),
        feature("image/object/bbox/xmax", 2, xmax, packed),
        feature("image/object/bbox/ymin", 2, (0.0, 0.2), packed),
        feature("image/object/bbox/ymax", 2, (1.0, 0.6), packed),
        feature("image/object/class/label", 3, labels, packed),
        feature("image/object/class/text", 1, texts),
    ]
    return message(1, b"".join(parts))


def framed(data):
    length = struct.pack("<Q", len(data))
    crc = tfrecord._masked_crc32c
    return length + struct.pack("<I", crc(length)) + data + struct.pack("<I", crc(data))


LABEL_MAP = 'item { id: 1 name: "yoyo" }\nitem {\n  id: 2\n  name: \'cube\'\n}\n'


def records(folder, *examples, name="train.record"):
    (folder / name).write_bytes(b"".join(framed(e) for e in examples))
    (folder / "map.pbtxt").write_text(LABEL_MAP)
    return folder


def test_coco_is_read_with_its_negatives_crowds_and_visibility(tmp_path):
    dataset = read(coco(tmp_path))
    assert (dataset.format, dataset.classes) == ("COCO", ("cube", "yoyo"))
    pool = decode(dataset.splits["train"])
    assert pool.box_counts.tolist() == [2, 0]
    assert pool.xyxy.tolist() == [[2, 1, 6, 4], [0, 0, 2, 5]]
    assert [pool.classes[label] for label in pool.labels] == ["yoyo", "cube"]
    assert pool.crowd.tolist() == [False, True]
    assert pool.visibility[0] == 0.25
    assert np.isnan(pool.visibility[1])


@pytest.mark.parametrize("packed", [True, False])
def test_a_tfrecord_is_read_without_tensorflow(tmp_path, packed):
    source = read(records(tmp_path, example(packed))).splits["train"]
    assert source.classes == ("yoyo", "cube")
    (record,) = source.records
    np.testing.assert_allclose(record.boxes.xyxy, [[0, 0, 5, 5], [5, 1, 10, 3]], atol=1e-5)
    assert record.boxes.labels.tolist() == [0, 1]


def test_crc32c_is_castagnolis():
    assert tfrecord._masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_real_dice_photos_are_read_as_they_are(shared):
    dataset = with_validation(read(shared("data/d6_dice")), seed=0)
    assert dataset.classes == ("one", "two", "three", "four", "five", "six")
    assert {split: len(source) for split, source in dataset.splits.items()} == {"train": 160, "val": 40, "test": 50}
    objects = sum(len(record.boxes) for split in ("train", "val") for record in dataset.splits[split].records)
    assert objects == 1487
    pool = decode(dataset.splits["test"])
    assert set(map(tuple, pool.sizes_wh.tolist())) == {(640, 640)}
    widths = pool.xyxy[:, 2] - pool.xyxy[:, 0]
    assert 29 <= np.median(widths) <= 53


@pytest.mark.parametrize("name", ["coco/handmade_minimal", "coco/datumaro_coco_instances"])
def test_real_coco_samples_are_read(shared, name):
    dataset = read(shared(f"data/formats/{name}"))
    assert sum(len(source) for source in dataset.splits.values()) >= 1


def test_images_are_shown_as_exif_turns_them(tmp_path):
    turned = Image.new("RGB", (10, 5), (200, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif)
    (record,) = read(records(tmp_path, example(image=file.getvalue()))).splits["train"].records
    pool = decode(Source("real", ("yoyo", "cube"), (record,)))
    assert pool.sizes_wh.tolist() == [[5, 10]]
    np.testing.assert_allclose(pool.xyxy[0], [0, 0, 2.5, 10], atol=1e-4)


@pytest.mark.parametrize(("mode", "color"), [("L", 7), ("RGBA", (7, 7, 7, 0)), ("P", 0), ("I;16", 7 * 257), ("1", 0)])
def test_every_kind_of_picture_becomes_rgb(mode, color):
    record = Record("a", png(mode=mode, color=color), Boxes.none(), "a.png")
    image = decode(Source("real", (), (record,))).image(0)
    assert image.shape == (5, 10, 3)
    assert image.max() == (7 if mode in ("L", "RGBA", "I;16") else 0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "nowhere", "nowhere: is not a folder"),
        (lambda p: p, "holds no dataset of a known layout"),
        (lambda p: coco(p, images=3), "must hold a list 'images'"),
        (lambda p: coco(p, images=[{"id": 0, "file_name": "gone.png"}], annotations=[]), "image 0: its image file does not exist, got 'gone.png'"),
        (lambda p: coco(p, annotations=[{"id": 4, "image_id": 0, "category_id": 7, "bbox": [1, 1, 0, 3]}]), "image 0, box 0: a box must have an area"),
        (lambda p: coco(p, annotations=[{"id": 4, "image_id": 9, "category_id": 7, "bbox": [1, 1, 1, 3]}]), "annotation 4: image_id must be"),
        (lambda p: coco(p, annotations=[{"id": 4, "image_id": 0, "category_id": 1, "bbox": [1, 1, 1, 3]}]), "annotation 4: category_id must be one of [3, 7], got 1"),
        (lambda p: coco(p, annotations=[{"id": 4, "image_id": 0, "category_id": 7, "bbox": [1, 1]}]), "annotation 4: bbox must be four numbers"),
        (lambda p: coco(p, annotations=[{"id": 4, "image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2]}] * 2), "annotation ids must be unique, got 4"),
        (lambda p: records(p, example(labels=(0, 1))), "record 0: a label must be one of [1, 2] of the label map, got 0"),
        (lambda p: records(p, example(xmax=(0.5,))), "must be of one length, got [2, 2, 1, 2]"),
        (lambda p: records(p, example(image=b"")), "record 0: image/encoded is empty"),
        (lambda p: records(p, example(image=b"not a picture")), "record 0: the image cannot be read"),
        (lambda p: records(p, b"\x07garbage"), "record 0: is not a serialised tf.train.Example"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path, make, said):
    with pytest.raises(DataError) as error:
        read(make(tmp_path))
    assert said in str(error.value)


@pytest.mark.parametrize(("cut", "record"), [(-5, 1), (-200, 1), (15, 0), (4, 0)])
def test_a_tfrecord_cut_in_the_middle_names_the_record(tmp_path, cut, record):
    file = records(tmp_path, example(), example()) / "train.record"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match=rf"train\.record, record {record} at byte \d+: the file ends in the middle of a record"):
        read(tmp_path)


def test_a_damaged_tfrecord_is_noticed(tmp_path):
    file = records(tmp_path, example()) / "train.record"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="wrong checksum"):
        read(tmp_path)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    (coco(tmp_path) / "images" / "train" / "1.png").write_bytes(png()[:40])
    with pytest.raises(DataError, match=r"instances_train\.json, image 1: the image cannot be read"):
        decode(read(tmp_path).splits["train"])


def test_a_box_outside_its_image_is_named_and_one_over_the_border_clipped():
    def one(box):
        return Source("real", ("a",), (Record("a", png(), Boxes.of([box], [0]), "x.json, image 3"),))

    assert decode(one([-3, 1, 4, 99])).xyxy.tolist() == [[0, 1, 4, 5]]
    with pytest.raises(DataError, match=r"image 3, box 0: a box must have an area inside the 10 x 5 image, got \[11"):
        decode(one([11, 1, 14, 3]))


def test_val_is_cut_from_train_by_seed_and_not_by_order(tmp_path):
    coco(tmp_path), coco(tmp_path, "test")
    dataset = read(tmp_path)
    cut = with_validation(dataset, seed=3)
    assert {split: len(source) for split, source in cut.splits.items()} == {"train": 1, "val": 1, "test": 2}
    train = dataset.splits["train"]
    dataset.splits["train"] = train.select([1, 0])
    again = with_validation(dataset, seed=3)
    assert again.splits["val"].records[0].image_id == cut.splits["val"].records[0].image_id
    assert "val: 1 images cut from train with seed 3" in cut.notes


def test_an_explicit_val_stays(tmp_path):
    for split in ("train", "val", "test"):
        coco(tmp_path, split)
    assert len(with_validation(read(tmp_path), seed=0).splits["val"]) == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: coco(p), "must have a test split with images in it"),
        (lambda p: coco(coco(p), "test", images=[], annotations=[]), "must have a test split with images in it"),
        (lambda p: coco(p, "test"), "must have a train split with images in it"),
        (lambda p: coco(coco(coco(p), "test"), "val", images=[], annotations=[]), "has a val split without images"),
    ],
)
def test_a_missing_or_empty_split_is_named(tmp_path, make, said):
    with pytest.raises(DataError) as error:
        with_validation(read(make(tmp_path)), seed=0)
    assert said in str(error.value)


def test_the_same_picture_in_two_splits_is_refused(tmp_path):
    coco(tmp_path), coco(tmp_path, "test")
    (tmp_path / "images" / "test" / "1.png").write_bytes((tmp_path / "images" / "train" / "0.png").read_bytes())
    with pytest.raises(DataError, match="is the same image as one in the"):
        with_validation(read(tmp_path), seed=0)


def test_classes_must_be_the_same_on_both_sides():
    check_classes(("a", "b"), ("b", "a"), "here")
    with pytest.raises(DataError, match="here: has classes that no synthetic source has: c"):
        check_classes(("a", "b", "c"), ("a", "b"), "here")
    with pytest.raises(DataError, match="here: lacks classes that the synthetic source has: b"):
        check_classes(("a",), ("a", "b"), "here")


def test_a_pool_gives_back_what_went_in(squares, tmp_path):
    pool = squares(5)
    pool.save(tmp_path / "pool")
    again = Pool.load(tmp_path / "pool")
    assert again.hash == pool.hash
    assert isinstance(again.pixels, np.memmap)
    for i in range(5):
        np.testing.assert_array_equal(again.image(i), pool.image(i))
        np.testing.assert_array_equal(again.boxes(i).xyxy, pool.boxes(i).xyxy)
    assert pool.select([3, 1]).image_ids.tolist() == ["3", "1"]


def test_an_empty_pool_and_one_without_boxes_survive_the_disk(tmp_path):
    for name, pool in {"none": Pool.of("real", ("a",), [], [], []), "bare": Pool.of("real", ("a",), [np.zeros((2, 3, 3), np.uint8)], [Boxes.none()], ["x"])}.items():
        pool.save(tmp_path / name)
        assert Pool.load(tmp_path / name).hash == pool.hash


def test_a_pools_hash_sees_every_change(squares):
    pool = squares(3)
    assert pool.hash == squares(3).hash
    assert len({pool.hash, squares(3, seed=1).hash, pool.select([0, 1]).hash, aligned(pool, ("big", "small")).hash}) == 4


def test_labels_follow_their_names_when_classes_are_reordered(squares):
    pool = squares(6)
    turned = aligned(pool, ("big", "small"))
    assert [turned.classes[k] for k in turned.labels] == [pool.classes[k] for k in pool.labels]


def test_a_broken_pool_is_named(tmp_path):
    with pytest.raises(DataError, match="is not a readable pool"):
        Pool.load(tmp_path)
