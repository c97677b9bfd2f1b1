"""What is easily taken for something else: crowds, images of other splits, folders without a name
of a split, label files of other spellings.
"""

import json

import pytest
from PIL import Image

from syndet_ray.data.convert import convert
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

KITTI = "{} 0 0 0 2 3 9 8 0 0 0 0 0 0 0\n"
DONT_CARE = "DontCare -1 -1 -10 10 10 20 18 -1 -1 -1 -1000 -1000 -1000 -10\n"


def photo(path, value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), (value, 9, 9)).save(path)


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)


def write_coco(path, *names):
    """One box on each of these images."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 3, 9, 8]} for i in range(len(names))
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    write(path, json.dumps(content))


def image_ids(dataset):
    return {
        split: [record.image_id for record in source.records]
        for split, source in dataset.splits.items()
    }


def test_regions_to_ignore_stay_regions_on_the_way_through_coco(tmp_path):
    for i in range(3):
        photo(tmp_path / f"kitti/training/image_2/{i}.png", i)
        objects = "".join(KITTI.format(name) for name in ("cat", "dog")) if i == 0 else ""
        write(tmp_path / f"kitti/training/label_2/{i}.txt", objects + DONT_CARE)
    kitti = read(tmp_path / "kitti")
    convert(kitti, tmp_path / "coco", "coco")
    coco = read(tmp_path / "coco")
    for before, after in zip(
        kitti.splits["train"].records, coco.splits["train"].records, strict=True
    ):
        assert before.boxes.xyxy.tolist() == after.boxes.xyxy.tolist()
        assert before.boxes.crowd.tolist() == after.boxes.crowd.tolist()
    assert coco.box_counts == {"cat": 1, "dog": 1}


def test_masks_that_a_tool_marks_as_crowds_are_objects(tmp_path):
    photo(tmp_path / "0.png")
    write_coco(tmp_path / "train.json", "0.png")
    content = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    (box,) = content["annotations"]
    mask = {"size": [20, 30], "counts": [43, 5, 552]}
    crowds = [{**box, "id": i, "iscrowd": 1, "segmentation": mask} for i in range(3)]
    content["annotations"] = crowds
    write(tmp_path / "train.json", json.dumps(content))
    dataset = read(tmp_path)
    assert dataset.splits["train"].records[0].boxes.crowd.tolist() == [False] * 3
    assert "masks of single objects marked iscrowd, read as objects: 3" in dataset.notes[0]
