"""What becomes of the boxes of one image, of whatever format: those written twice."""

import json

import pytest
from test_data_mix_ups import KITTI, photo, write

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read

TWICE = "train: boxes written twice (one class, one place), counted once: "
OTHER_CLASS = "train: boxes of another class in the very place of a box, kept: "
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
