"""A folder becomes a dataset, or an error that says what was looked for."""

import json
import pickle

import numpy as np
import pytest
from made_photos import write_photos
from PIL import Image

from syndet_ray.data.classes import check_classes
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.data.readers.example import masked_crc32c
from syndet_ray.data.readers.splits import by_split
from syndet_ray.errors import DataError


def empty_record() -> bytes:
    head = bytes(8)
    return (
        head + masked_crc32c(head).to_bytes(4, "little") + masked_crc32c(b"").to_bytes(4, "little")
    )


def write_coco(folder, name, images, classes=("cat",)):
    """An annotation file, and its images next to it, with one box in each."""
    for image in images:
        Image.new("RGB", (8, 8), (len(image), 0, 0)).save(folder / image)
    content = {
        "images": [{"id": i, "file_name": image} for i, image in enumerate(images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 0, "bbox": [i, 1, 2, 3]}
            for i in range(len(images))
        ],
    }
    (folder / name).write_text(json.dumps(content))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        DataError, match=r"photos: does not exist. Give the folder that holds the dataset"
    ):
        read(tmp_path / "photos")
    (tmp_path / "photos").write_text("")
    with pytest.raises(DataError, match="photos: is not a folder"):
        read(tmp_path / "photos")


def test_an_unknown_layout_says_what_was_there_and_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    with pytest.raises(
        DataError,
        match=r"got \['notes.txt', 'settings.json'\]. Known:\n  TFRecord: <split>.record [^\n]*\n  COCO: .*coco.json",
    ):
        read(tmp_path)


def test_two_formats_in_one_folder_are_refused(tmp_path):
    write_coco(tmp_path, "train.json", ["a.png"])
    (tmp_path / "train.record").write_bytes(empty_record())
    with pytest.raises(
        DataError,
        match=r"must hold one dataset, not TFRecord \(train.record\) and COCO \(train.json\)",
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.record", "train"),
        ("dice-training_v2.record", "train"),
        ("annotations/instances_val2017.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("validation/dice.tfrecord", "val"),
        ("Test/dice.tfrecord", "test"),
        ("test/train.json", "test"),
        ("anything.json", "train"),
    ],
)
def test_the_split_is_reported_by_file_or_folder(tmp_path, name, split):
    assert by_split(tmp_path, [tmp_path / name]) == {split: [tmp_path / name]}


def test_files_that_do_not_tell_their_split_are_named(tmp_path):
    with pytest.raises(
        DataError, match=r"b.json: its name or its folder's name must contain its split"
    ):
        by_split(tmp_path, [tmp_path / "train.json", tmp_path / "b.json"])
    with pytest.raises(
        DataError, match=r"train_val.json: must name one split, got \['train', 'val'\]"
    ):
        by_split(tmp_path, [tmp_path / "train_val.json"])


def test_the_order_of_files_and_images_does_not_matter(tmp_path):
    for name, images in (("one", ["b.png", "aaa.png"]), ("two", ["aaa.png", "b.png"])):
        (tmp_path / name).mkdir()
        write_coco(tmp_path / name, "train.json", images)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert [r.image_id for r in one.splits["train"].records] == ["aaa.png", "b.png"]
    assert [r.image_id for r in two.splits["train"].records] == ["aaa.png", "b.png"]
    assert one.splits["train"].ids_hash == two.splits["train"].ids_hash


def test_classes_are_those_of_all_splits_in_the_order_of_train(tmp_path):
    write_coco(tmp_path, "train.json", ["a.png"], classes=("dog", "cat"))
    write_coco(tmp_path, "test.json", ["bb.png"], classes=("cat", "ant"))
    found = read(tmp_path)
    assert found.classes == ("dog", "cat", "ant")
    assert np.concatenate([s.records[0].boxes.labels for s in found.splits.values()]).tolist() == [
        0,
        1,
    ]
    assert list(found.splits) == ["train", "test"]


@pytest.mark.parametrize(
    ("real", "synthetic", "said"),
    [
        (("a", "b", "c"), ("b",), "found a, c only in the real data. Rename"),
        (("b",), ("b", "d"), "found d only in the synthetic data. Rename"),
        (
            ("a", "b"),
            ("b", "d"),
            "found a only in the real data; d only in the synthetic data. Rename",
        ),
    ],
)
def test_a_class_that_one_side_lacks_is_named(real, synthetic, said):
    with pytest.raises(
        DataError,
        match="photos: the real data and the synthetic data must have the same classes; " + said,
    ):
        check_classes(real, synthetic, "photos")


def test_classes_of_few_boxes_are_reported_with_their_first_box(tmp_path):
    write_coco(tmp_path, "train.json", ["a.png", "bb.png"], classes=("dog", "cat"))
    write_coco(tmp_path, "test.json", ["ccc.png"], classes=("bishop", "pieces"))
    few_boxes = read(tmp_path).few_boxes
    assert few_boxes == {
        "dog": "2 boxes, the first: a.png, annotation 0",
        "cat": "no box",
        "bishop": "1 box: ccc.png, annotation 0",
        "pieces": "no box",
    }
    said = r"found bishop \(1 box: ccc\.png, annotation 0\), cat \(no box\) only in the real data; king only in the synth"
    with pytest.raises(DataError, match=said):
        check_classes(("bishop", "cat", "dog"), ("dog", "king"), "photos", boxes=few_boxes)


def test_boxes_of_a_class_are_counted_by_split(tmp_path):
    write_coco(tmp_path, "train.json", ["c.png"], classes=("dog", "cat"))
    write_coco(tmp_path, "test.json", ["b.png", "a.png"], classes=("dog", "cat"))
    assert read(tmp_path).boxes_in == {
        "train": {"dog": "1 box: c.png, annotation 0", "cat": "no box"},
        "test": {"dog": "2 boxes, the first: b.png, annotation 0", "cat": "no box"},
    }


def test_a_class_of_many_boxes_is_no_slip(tmp_path):
    for name in ("train", "test"):
        write_coco(tmp_path, f"{name}.json", [f"{name}{i}.png" for i in range(5)])
    assert read(tmp_path).few_boxes == {}


def test_names_that_are_no_text_are_refused_before_a_file_cannot_be_written(tmp_path):
    folder = write_photos(tmp_path / "photos", train=range(2))
    labels = folder / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    (folder / "train" / "train-0.png").rename(folder / "train" / "\udcff.png")
    content["images"][0]["file_name"] = "\udcff.png"
    labels.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"image must be text in UTF-8: .* got 'train/\\\\udcff.png"
    ):
        read(folder)
    left = read(folder, LabelOptions(skip_bad=True))
    assert [record.image_id for record in left.splits["train"].records] == ["train/train-1.png"]
    content["categories"][1]["name"] = "\ud800x"
    labels.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"photos: the name of a class must be text in UTF-8"):
        read(folder, LabelOptions(skip_bad=True))


def test_a_part_of_a_set_travels_without_the_rest(dice):
    source = read(dice).splits["train"]
    part = source.records[4:1:-1]
    arrived = pickle.loads(pickle.dumps(part))
    assert len(arrived.images) == len(arrived.places) == 3
    assert len(arrived.boxes) == sum(len(record.boxes) for record in part)
    for before, after in zip(part, arrived, strict=True):
        assert (after.image_id, after.place, after.size_wh, after.image) == (
            (before.image_id, before.place, before.size_wh, before.image)
        )
        assert np.array_equal(after.boxes.xyxy, before.boxes.xyxy)
        assert np.array_equal(after.boxes.labels, before.boxes.labels)
