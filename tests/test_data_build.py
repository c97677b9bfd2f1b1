"""What becomes of the boxes of one image, of whatever format: written twice, or bad ones."""

import json

import pytest
from test_data_mix_ups import KITTI, photo, write

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

TWICE = "train: boxes written twice (one class, one place), counted once: "
OTHER_CLASS = "train: boxes of another class in the very place of a box, kept: "
REGIONS = "train: bad labels read as regions to ignore: "
LEFT_OUT = "train: images left out, since a bad label does not tell its place: "
BACKWARDS = {"bbox": [9, 8, -7, -5]}
SKIP_BAD = LabelOptions(skip_bad=True)
VOC_OBJECT = (
    "<object><name>cat</name>"
    "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
)


def write_coco(folder, *annotations, categories=("cat", "dog")):
    """Annotations of one image of 30 x 20 pixels, each over a box of a cat."""
    photo(folder / "0.png")
    first = {"image_id": 0, "category_id": 0, "bbox": [2, 3, 7, 5]}
    content = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [
            {"id": i, **first, **annotation} for i, annotation in enumerate(annotations)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
    }
    write(folder / "labels.json", json.dumps(content))
    return folder


def write_kitti(folder):
    photo(folder / "images/0.png")
    write(folder / "labels/0.txt", 2 * KITTI.format("cat"))


def write_voc(folder):
    photo(folder / "0.png")
    write(folder / "0.xml", f"<annotation>{2 * VOC_OBJECT}</annotation>")


def write_yolo(folder):
    photo(folder / "images/0.png")
    write(folder / "classes.txt", "cat\n")
    write(folder / "labels/0.txt", "0 .50 .5 .2 .2\n0 .5 .5 .20000001 .2\n")


def notes_on(dataset, event):
    return [note for note in dataset.notes if note.startswith(event)]


@pytest.mark.parametrize(
    "write_twice", [write_kitti, write_voc, write_yolo, lambda folder: write_coco(folder, {}, {})]
)
def test_a_box_written_twice_counts_once_and_is_told(tmp_path, write_twice):
    write_twice(tmp_path)
    dataset = read(tmp_path)
    assert dataset.box_counts["cat"] == 1
    assert len(dataset.splits["train"].records[0].boxes) == 1
    assert dataset.few_boxes["cat"].startswith("1 box: ")
    assert len(notes_on(dataset, f"{TWICE}1, ")) == 1


def test_the_first_of_two_equal_boxes_stays(tmp_path):
    write_coco(tmp_path, {"visibility": 0.25}, {"visibility": 0.75}, {"bbox": [2.5, 3, 7, 5]})
    boxes = read(tmp_path).splits["train"].records[0].boxes
    assert boxes.xyxy.tolist() == [[2, 3, 9, 8], [2.5, 3, 9.5, 8]]
    assert boxes.visibility[0] == 0.25


def test_boxes_that_become_one_in_their_image_count_once(tmp_path):
    write_coco(tmp_path, {"bbox": [-5, 3, 14, 5]}, {"bbox": [-9, 3, 18, 5]})
    dataset = read(tmp_path)
    assert dataset.splits["train"].records[0].boxes.xyxy.tolist() == [[0, 3, 9, 8]]
    assert notes_on(dataset, f"{TWICE}1, 0.png, annotation 1")
    assert notes_on(dataset, "train: 1 box clipped")


def test_a_region_written_twice_counts_once_and_hides_no_object(tmp_path):
    write_coco(tmp_path, {}, {"iscrowd": 1}, {"iscrowd": 1}, {"iscrowd": 1, "category_id": 1})
    dataset = read(tmp_path)
    boxes = dataset.splits["train"].records[0].boxes
    assert boxes.crowd.tolist() == [False, True, True]
    assert boxes.labels.tolist() == [0, 0, 1]
    assert notes_on(dataset, f"{TWICE}1, 0.png, annotation 2")
    assert not notes_on(dataset, OTHER_CLASS)


def test_two_classes_in_one_place_are_told_and_kept_unless_they_are_merged(tmp_path):
    write_coco(tmp_path, {}, {"category_id": 1})
    dataset = read(tmp_path)
    assert dataset.box_counts == {"cat": 1, "dog": 1}
    assert notes_on(dataset, f"{OTHER_CLASS}1, 0.png, annotation 1")
    merged = read(tmp_path, LabelOptions(classes={"dog": "cat"}))
    assert merged.box_counts == {"cat": 1}
    assert notes_on(merged, f"{TWICE}1, 0.png, annotation 1")


def test_a_bad_box_that_tells_its_place_becomes_a_region_of_its_class(tmp_path):
    write_coco(tmp_path, BACKWARDS, {"bbox": [20, 3, 7, 5], "category_id": 1})
    with pytest.raises(DataError, match="annotation 0: a box must have an area"):
        read(tmp_path)
    dataset = read(tmp_path, SKIP_BAD)
    boxes = dataset.splits["train"].records[0].boxes
    assert boxes.xyxy.tolist() == [[2, 3, 9, 8], [20, 3, 27, 8]]
    assert boxes.crowd.tolist() == [True, False]
    assert boxes.labels.tolist() == [0, 1]
    assert dataset.box_counts == {"cat": 0, "dog": 1}
    assert notes_on(dataset, f"{REGIONS}1, {tmp_path}/labels.json, image 0 (0.png), annotation 0")
    assert notes_on(dataset, "1 bad label or image skipped: 1 x a box must have an area")
    assert not notes_on(dataset, LEFT_OUT)


@pytest.mark.parametrize("x", [25, -5])
def test_a_backwards_box_that_leaves_its_image_is_ignored_inside(tmp_path, x):
    write_coco(tmp_path, {"bbox": [x + 10, 8, -10, -5]})
    (region,) = read(tmp_path, SKIP_BAD).splits["train"].records[0].boxes.xyxy.tolist()
    assert region == [max(x, 0), 3, min(x + 10, 30), 8]


@pytest.mark.parametrize(
    "bbox", [[2, 3, 0, 5], [2, 3, 7, 0], [40, 3, 7, 5], [2, None, 7, 5], [9.5, 8, -0.5, -5], [2, 3]]
)
def test_an_image_with_an_object_anywhere_is_left_out_with_its_boxes(tmp_path, bbox):
    write_coco(tmp_path / "a", {}, {"bbox": bbox}, BACKWARDS)
    dataset = read(tmp_path / "a", SKIP_BAD)
    assert len(dataset.splits["train"]) == 0
    assert dataset.few_boxes["cat"] == "no box"
    assert notes_on(dataset, f"{LEFT_OUT}1, {tmp_path}/a/labels.json, image 0")
    assert notes_on(dataset, "2 bad labels or images skipped, with 1 good box on images left out")
    assert not notes_on(dataset, REGIONS)


@pytest.mark.parametrize(
    "change", [{"category_id": 9}, {"iscrowd": 7}, {"visibility": 3}, {"category_id": None}]
)
def test_a_box_with_another_bad_field_is_a_region_of_every_class(tmp_path, change):
    write_coco(tmp_path, {"bbox": [20, 3, 7, 5]}, change)
    boxes = read(tmp_path, SKIP_BAD).splits["train"].records[0].boxes
    assert boxes.crowd.tolist() == [False, True, True]
    assert sorted(boxes.labels[1:].tolist()) == [0, 1]
    assert boxes.xyxy[1:].tolist() == [[2, 3, 9, 8]] * 2


def test_bad_boxes_of_a_class_that_is_dropped_do_not_matter(tmp_path):
    write_coco(tmp_path, {"bbox": [2, 3, 0, 0]}, {"category_id": 1})
    dataset = read(tmp_path, LabelOptions(classes={"cat": None}))
    assert dataset.box_counts == {"dog": 1}


@pytest.mark.parametrize("name", ["", " ", "\u3000", "\u200b"])
def test_a_blank_class_is_a_bad_label_unless_it_is_renamed(tmp_path, name):
    write_coco(tmp_path, {}, {"bbox": [20, 3, 7, 5], "category_id": 1}, categories=(name, "dog"))
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert "annotation 0: the name of its class must have a character to be" in str(error.value)
    dataset = read(tmp_path, SKIP_BAD)
    assert dataset.classes == ("dog",)
    assert dataset.splits["train"].records[0].boxes.crowd.tolist() == [True, False]
    assert read(tmp_path, LabelOptions(classes={name: "cat"})).box_counts == {"cat": 1, "dog": 1}
    assert read(tmp_path, LabelOptions(classes={name: None})).box_counts == {"dog": 1}


def test_a_blank_class_without_a_box_is_no_class(tmp_path):
    write_coco(tmp_path, {}, categories=("cat", " "))
    assert read(tmp_path).classes == ("cat",)


@pytest.mark.parametrize("names", ['["", dog]', '[" ", dog]', '{0: "\\t", 1: dog}'])
def test_a_blank_class_of_yolo_is_a_bad_label(tmp_path, names):
    photo(tmp_path / "images/0.png")
    write(tmp_path / "data.yaml", f"names: {names}\ntrain: images\n")
    write(tmp_path / "labels/0.txt", "0 .5 .5 .2 .2\n1 .2 .2 .1 .1\n")
    with pytest.raises(DataError, match=r"0.txt, line 1: the name of its class must have a char"):
        read(tmp_path)
    assert read(tmp_path, SKIP_BAD).box_counts == {"dog": 1}
