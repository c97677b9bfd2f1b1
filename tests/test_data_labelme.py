"""labelme's JSON: every shape as the box around it, one file for each image."""

import json

import pytest
from PIL import Image

from syndet_ray.data.read import read
from syndet_ray.errors import DataError

BOX = [[10, 20], [50, 40]]


def export(folder, *shapes, name="a", path="a.png", **more):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"version": "6.3.1", "flags": {}, "shapes": list(shapes), "imagePath": path, **more}
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    Image.new("RGB", (100, 80), (len(name), 3, 7)).save(folder / f"{name}.png")
    return folder


def shape(points=BOX, kind="rectangle", label="cat", group=None):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group}


def boxes_of(dataset, split="train"):
    records = dataset.splits[split].records
    return {record.image_id: record.boxes.xyxy.tolist() for record in records}


@pytest.mark.parametrize(
    ("shapes", "boxes"),
    [
        ([shape([[50, 40], [10, 20]])], [[10, 20, 50, 40]]),
        ([shape([[10, 20], [30, 5], [20, 60]], "polygon")], [[10, 5, 30, 60]]),
        ([shape([[50, 40], [53, 44]], "circle")], [[45, 35, 55, 45]]),
        ([shape([[10, 20], [49, 39]], "mask")], [[10, 20, 50, 40]]),
        ([shape(group=1), shape([[60, 5], [70, 9]], group=1)], [[10, 5, 70, 40]]),
        ([shape([[1, 2]], "point"), shape(kind="line")], []),
    ],
)
def test_a_shape_becomes_the_box_around_it(tmp_path, shapes, boxes):
    found = read(export(tmp_path, *shapes))
    assert boxes_of(found) == {"a.png": boxes}
    assert found.format == "labelme"


def test_an_image_without_a_file_is_not_labelled_and_one_without_shapes_is_negative(tmp_path):
    export(tmp_path / "train", shape(), path="..\\train\\a.png", imageWidth=100, imageHeight=80)
    export(tmp_path / "train", name="b", path="b.png")
    export(tmp_path / "test", shape(label="soda/can"))
    export(tmp_path / "test", name="c")
    (tmp_path / "test/c.json").unlink()
    found = read(tmp_path)
    assert found.classes == ("cat", "soda/can")
    assert boxes_of(found) == {"train/a.png": [[10, 20, 50, 40]], "train/b.png": []}
    assert list(boxes_of(found, "test")) == ["test/a.png"]
    assert "not labelled), left out: 1, test/c.png" in "; ".join(found.notes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (shape([[1, 2], ["x", 3]]), "shape 1: a box must have four finite edges"),
        (shape(label=7), "shape 1: label must be a text, got 7"),
        (shape([[1, 2], [1, 9]]), "a box must have an area"),
    ],
)
def test_a_bad_shape_is_named(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read(export(tmp_path, content))
