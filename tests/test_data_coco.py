"""COCO instances: the layouts and dialects met in the wild are read, what breaks a rule is named."""

import json

import numpy as np
import pytest
from PIL import Image

from syndet_ray.data.decode import decode
from syndet_ray.data.read import read
from syndet_ray.errors import DataError


def content(**changes):
    """Two images of 40 x 20, the second without objects; category ids with holes."""
    box = {
        "id": 10,
        "image_id": 0,
        "category_id": 7,
        "bbox": [1, 2, 3.5, 4],
        "area": 14,
        "iscrowd": 0,
    }
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 20} for i in range(2)],
        "categories": [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}],
        "annotations": [
            box | changes,
            {**box, "id": 11, "category_id": 90, "iscrowd": 1, "visibility": 0.25},
        ],
    }


def pictures(folder, count=2, size=(40, 20)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 9, 9)).save(folder / f"{i}.png")


def dataset(folder, what):
    """One .json next to its images."""
    pictures(folder)
    (folder / "labels.json").write_text(json.dumps(what))
    return folder


def test_ids_are_arbitrary_and_negatives_are_kept(tmp_path):
    found = read(dataset(tmp_path, content()))
    assert (found.format, found.classes, found.notes) == ("COCO", ("cat", "dog"), ())
    first, second = found.splits["train"].records
    assert (first.image_id, second.image_id) == ("0.png", "1.png")
    assert first.boxes.xyxy.tolist() == [[1, 2, 4.5, 6]] * 2
    assert first.boxes.labels.tolist() == [0, 1]
    assert first.boxes.crowd.tolist() == [False, True]
    assert np.array_equal(first.boxes.visibility, np.float32([np.nan, 0.25]), equal_nan=True)
    assert len(second.boxes) == 0


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("annotations/instances_{}2017.json", "images/{}2017"),
        ("annotations/instances_{}.json", "{}"),
        ("{}/_annotations.coco.json", "{}"),
        ("{}.json", "images"),
        ("{}.json", "."),
    ],
)
def test_the_usual_layouts_are_known(tmp_path, annotations, images):
    for split in ("train", "valid", "test"):
        pictures(tmp_path / images.format(split))
        file = tmp_path / annotations.format(split)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content()))
    assert {split: len(source) for split, source in read(tmp_path).splits.items()} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }


def test_captions_and_keypoints_next_to_the_instances_are_left_alone(tmp_path):
    pictures(tmp_path / "images")
    (tmp_path / "annotations").mkdir()
    for name in ("instances_train", "captions_train", "person_keypoints_train"):
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(content()))
    assert len(read(tmp_path).splits["train"]) == 2


def test_sizes_may_be_left_out(tmp_path):
    what = content()
    for image in what["images"]:
        del image["width"], image["height"]
    assert len(read(dataset(tmp_path, what)).splits["train"]) == 2


def test_a_category_that_only_groups_the_others_is_left_out_and_noted(tmp_path):
    what = content()
    what["categories"] = [{"id": 0, "name": "pets", "supercategory": "none"}] + [
        category | {"supercategory": "pets"} for category in what["categories"]
    ]
    found = read(dataset(tmp_path, what))
    assert found.classes == ("cat", "dog")
    assert found.notes == ("category 'pets' only groups others and has no objects: left out",)


def test_boxes_that_leave_the_image_are_clipped_and_counted(tmp_path):
    found = read(dataset(tmp_path, content(bbox=[35, -3, 10, 10])))
    assert found.splits["train"].records[0].boxes.xyxy[0].tolist() == [35, 0, 40, 7]
    assert found.notes == ("train: 1 box clipped to the image",)


@pytest.mark.parametrize(("wh", "box"), [((20, 40), [1, 2, 4, 6]), ((40, 20), [14, 1, 18, 4])])
def test_the_declared_size_tells_whether_boxes_are_of_the_stored_or_of_the_shown_image(
    tmp_path, wh, box
):
    what = content(bbox=[1, 2, 3, 4])
    what["images"][0] |= {"width": wh[0], "height": wh[1]}
    exif = Image.Exif()
    exif[0x0112] = 6
    dataset(tmp_path, what)
    Image.new("RGB", (40, 20)).save(tmp_path / "0.png", exif=exif)
    assert read(tmp_path).splits["train"].records[0].boxes.xyxy[0].tolist() == box


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"bbox": [1, 2, 0, 4]},
            r"annotation 10: a box must have an area .*got \[1.0, 2.0, 1.0, 6.0\]. Correct or delete it",
        ),
        ({"bbox": [1, 2, 3, -4]}, "annotation 10: a box must have an area"),
        ({"bbox": [50, 2, 3, 4]}, "annotation 10: a box must reach into its image, 40 x 20 pixels"),
        ({"bbox": [1, 2, 3]}, "annotation 10: bbox must be four numbers: x, y, width, height, got"),
        ({"bbox": [1, 2, "3", 4]}, "annotation 10: bbox must be four numbers"),
        ({"bbox": [1, 2, float("nan"), 4]}, "annotation 10: bbox must be four numbers"),
        ({"bbox": [1, 2, float("inf"), 4]}, "annotation 10: bbox must be four numbers"),
        ({"bbox": [1, 2, 10**400, 4]}, "annotation 10: bbox must be four numbers"),
        ({"bbox": None}, "annotation 10: bbox must be four numbers.*got None"),
        ({"image_id": 5}, "annotation 10: image_id must be the id of an image of this file, got 5"),
        (
            {"category_id": 1},
            "annotation 10: category_id must be the id of a category of this file, got 1",
        ),
        ({"category_id": [7]}, r"annotation 10: category_id must be .*got \[7\]"),
        ({"iscrowd": "1"}, "annotation 10: iscrowd and ignore must be 0 or 1"),
        ({"visibility": 40}, "annotation 10: visibility must be a number from 0 .* got 40"),
        ({"id": 11}, "labels.json: annotation ids must be unique, got 11"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path, changes, said):
    with pytest.raises(DataError, match=said) as error:
        read(dataset(tmp_path, content(**changes)))
    assert str(tmp_path / "labels.json") in str(error.value)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"id": 1}, "image ids must be unique, got 1"),
        ({"id": ["a"]}, r"image at position 0: id must be a number or a text, got \['a'\]"),
        ({"file_name": None}, "image 0: file_name must be a non-empty string, got None"),
        (
            {"file_name": "lost.png"},
            r"image 0: its image file does not exist \(looked in .*\), got 'lost.png'. 1 image that no label names may be a missing one, renamed: 0.png. Correct",
        ),
        (
            {"file_name": "1.png"},
            r"image 1 \(1.png\): an image must occur once in a split, got '1.png'",
        ),
        (
            {"width": 41},
            r"image 0 \(0.png\): width and height must be those of the image file, \(40, 20\), got \(41, 20\)",
        ),
    ],
)
def test_a_bad_image_is_named(tmp_path, image, said):
    what = content(image_id=1)
    what["annotations"][1]["image_id"] = 1
    what["images"][0] |= image
    with pytest.raises(DataError, match=said):
        read(dataset(tmp_path, what))


def test_images_behind_links_that_lead_outside_are_named(tmp_path):
    photos = dataset(tmp_path / "photos", content())
    (photos / "0.png").rename(tmp_path / "0.png")
    (photos / "0.png").symlink_to(tmp_path / "0.png")
    said = r"image 0: its image file is a link that leads outside .*copy it there, got '0.png'"
    with pytest.raises(DataError, match=said):
        read(photos)


def test_images_of_a_folder_behind_a_link_that_leads_outside_are_named(tmp_path):
    photos = dataset(tmp_path / "photos", content())
    (photos / "0.png").unlink()
    pictures(tmp_path / "elsewhere")
    (photos / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"image 0: its image file is a link that leads outside"):
        read(photos)


def test_an_unreadable_image_is_named_with_its_id_and_file(tmp_path):
    dataset(tmp_path, content())
    (tmp_path / "0.png").write_bytes(b"<html>404</html>")
    with pytest.raises(
        DataError,
        match=r"labels.json, image 0 \(0.png\): the image cannot be read .*Replace the image",
    ):
        read(tmp_path)


def test_an_image_cut_in_the_middle_is_named_when_it_is_decoded(tmp_path):
    dataset(tmp_path, content())
    noise = np.random.default_rng(0).integers(0, 255, (20, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:600])
    with pytest.raises(
        DataError, match=r"labels.json, image 0 \(0.png\): the image cannot be read"
    ):
        decode(read(tmp_path).splits["train"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [', r"is not valid JSON \(Expecting value"),
        ("[]", "must be COCO instances with a list 'images' of objects"),
        ('{"images": [1], "annotations": [], "categories": []}', "with a list 'images' of objects"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
            "category 1: name must be a string, got None",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            "category names must be unique, got 'a'",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_the_real_sample_of_datumaro_is_read(shared):
    found = read(shared("data/formats/coco/datumaro_coco_instances"))
    assert found.classes == ("a", "b", "c")
    assert {
        split: [r.image_id for r in source.records] for split, source in found.splits.items()
    } == {
        "train": ["images/train/a.jpg"],
        "val": ["images/val/b.jpg"],
    }
    assert found.splits["val"].records[0].boxes.crowd.tolist() == [False, True]
    assert decode(found.splits["train"]).image(0).shape == (5, 10, 3)


def test_the_minimal_sample_is_read(shared):
    found = read(shared("data/formats/coco/handmade_minimal"))
    assert found.classes == ("yoyo", "skateboard")
    first, negative = found.splits["train"].records
    assert first.boxes.visibility[0] == np.float32(0.58)
    assert len(negative.boxes) == 0


def test_ids_of_128_bits_are_read_and_the_missing_image_is_named(shared):
    with pytest.raises(
        DataError,
        match=r"image 91891091516384550185081373185892902457: its image file does not exist",
    ):
        read(shared("data/formats/coco/datasetinsights_uuid_ids"))
