"""What people met with labels of other tools: each kind with siblings. COCO stands for all."""

import json

import pytest
from test_data_coco import content, dataset, pictures

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

OBJECTS = 2  # of the first image of `content`, one of them a crowd


def written(folder, what, images="images", file="labels.json"):
    pictures(folder / images)
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(what), encoding="utf-8")
    return folder


def is_whole(found):
    records = found.splits["train"].records
    return len(records) == 2 and len(records[0].boxes) == OBJECTS


@pytest.mark.parametrize(
    "name",
    [
        "images\\{}.png",
        "C:\\Users\\me\\images\\{}.png",
        "images%2F{}.png",
        "file:///d/my%20data/{}.png",
        "images//./{}.PNG",
        "../../label-studio/data/images/{}.png",
        "/data/local-files/?d=images/{}.png",
    ],
)
def test_names_that_another_system_wrote_are_found_and_counted(tmp_path, name):
    what = content()
    for i, image in enumerate(what["images"]):
        image["file_name"] = name.format(i)
    found = read(written(tmp_path, what))
    assert is_whole(found)
    assert "images found" in found.notes[0] and ": 2, the first: " in found.notes[0]


@pytest.mark.parametrize(
    ("images", "file"),
    [
        ("images/default", "annotations/instances_default.json"),
        ("images/Train", "annotations/instances_Train.json"),
        ("images/batch 1", "annotations/instances_batch 1.json"),
        ("train/images", "train/_annotations.coco.json"),
        ("train/data", "train/labels.json"),
        ("data", "labels.json"),
        ("images", "result.json"),
    ],
)
def test_images_lie_where_tools_put_them(tmp_path, images, file):
    assert is_whole(read(written(tmp_path, content(), images, file)))


@pytest.mark.parametrize(
    "bbox", [[1, 2, 3, 0], [1, 2, -3, 4], [900, 2, 3, 4], [1, None, 3, 4], [1, 2, 3]]
)
def test_bad_boxes_are_named_together_and_left_out_on_demand(tmp_path, bbox):
    what = content(bbox=bbox)
    what["annotations"].append(what["annotations"][0] | {"id": 99})
    folder = dataset(tmp_path, what)
    with pytest.raises(DataError) as error:
        read(folder)
    assert "has 2 labels or images that cannot be used:\n  " in str(error.value)
    assert str(error.value).splitlines()[-1].startswith("Correct or delete them, or leave them out")
    found = read(folder, LabelOptions(skip_bad=True))
    tells_place = bbox[2] < 0
    first = found.splits["train"].records[0]
    assert first.boxes.crowd.tolist() == ([True, True] if tells_place else [])
    assert len(found.splits["train"]) == (2 if tells_place else 1)
    assert any(note.startswith("2 bad labels or images skipped") for note in found.notes)
    event = "bad labels read as regions to ignore: 2" if tells_place else "images left out, since a"
    assert any(event in note for note in found.notes)


@pytest.mark.parametrize("kind", [str, float, lambda number: f"img-{number}", lambda n: 2**127 + n])
def test_ids_of_any_kind_are_taken(tmp_path, kind):
    what = content(iscrowd=None)
    for image in what["images"]:
        image["id"] = kind(image["id"])
    for annotation in what["annotations"]:
        annotation["image_id"] = kind(annotation["image_id"])
    assert is_whole(read(dataset(tmp_path, what)))


@pytest.mark.parametrize("crowd", [None, False, 0, 0.0])
def test_an_object_is_no_crowd_however_that_is_written(tmp_path, crowd):
    found = read(dataset(tmp_path, content(iscrowd=crowd)))
    assert found.splits["train"].records[0].boxes.crowd.tolist() == [False, True]


@pytest.mark.parametrize("size", [(0, 0), (None, None), (40, 0), (-1, -1)])
def test_a_size_that_was_not_told_is_none(tmp_path, size):
    what = content()
    for image in what["images"]:
        image["width"], image["height"] = size
    assert is_whole(read(dataset(tmp_path, what)))
