"""A split index fits its photos, or says why it does not."""

import json
import shutil

import pytest
from made_photos import write_photos

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read, read_as_stored
from syndet_ray.data.splits.divide import split_photos
from syndet_ray.data.splits.split_index import FILE_NAME, ids_by_split, load, split_hash
from syndet_ray.errors import DataError


def quiet(*_):
    pass


@pytest.fixture
def photos(tmp_path):
    """Ten photos, split into train and test."""
    folder = write_photos(tmp_path / "photos", train=range(10))
    split_photos(folder, {"test": 0.2}, 0, quiet)
    return folder


def test_reading_applies_the_index_and_says_so(photos):
    index = load(photos / FILE_NAME)
    dataset = read(photos)
    assert ids_by_split(dataset) == index.images
    assert [len(part) for part in dataset.splits.values()] == [8, 2]
    assert dataset.notes == (
        f"split by syndet_split.json: 8 train, 2 test; hash of the split {index.hash[:12]}",
    )
    test = {"cat": "1 box: train/train-0.png", "dog": "1 box: train/train-1.png"}
    assert dataset.boxes_in["test"] == test
    assert list(read_as_stored(photos).splits) == ["train"]


def test_the_index_says_how_it_was_made(photos):
    content = json.loads((photos / FILE_NAME).read_bytes())
    about = {name: content[name] for name in ("syndet_split", "seed", "by", "shares", "photos")}
    assert about == {
        "syndet_split": 1,
        "seed": 0,
        "by": None,
        "shares": {"test": 0.2},
        "photos": None,
    }
    assert content["hash"] == split_hash(content["images"])
    assert content["written_by"]


def test_the_hash_is_of_images_and_their_splits():
    images = {"train": ["a", "b"], "test": ["c"]}
    assert split_hash(images) == split_hash({"test": ["c"], "train": ["b", "a"]})
    assert split_hash(images) != split_hash({"train": ["a", "c"], "test": ["b"]})
    assert split_hash(images) != split_hash({"train": ["a"], "test": ["b", "c"]})


def test_new_and_missing_photos_are_counted_and_named(photos):
    labels = photos / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    content["images"][0]["file_name"] = "new.png"
    shutil.move(photos / "train" / "train-0.png", photos / "train" / "new.png")
    labels.write_text(json.dumps(content), encoding="utf-8")
    message = (
        r"syndet_split.json: is out of date: 1 image not in it, such as 'train/new.png'; "
        r"1 image missing, such as 'train/train-0.png'. Bring back .* split all again: "
        r"python -m syndet_ray data split .*photos --test 0.2 --force \(the test set is another"
    )
    with pytest.raises(DataError, match=message):
        read(photos)
    with pytest.raises(DataError, match=r"--test 0\.2 --skip-bad --force \(the test set"):
        read(photos, LabelOptions(skip_bad=True))


def test_an_index_of_other_photos_is_refused(photos, tmp_path):
    other = write_photos(tmp_path / "other", valid=range(3))
    shutil.copy(photos / FILE_NAME, other)
    with pytest.raises(DataError, match=r"names none of the 3 images: it belongs to other photos"):
        read(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("\xff", "is not valid JSON"),
        ("[" * 100_000, "is nested too deep"),
        ("[]", "is no split index. Delete it, or split the photos again with `force`"),
        ('{"train": []}', "is no split index"),
        ('{"syndet_split": 2, "written_by": "9.0"}', "of another version of syndet_ray, got '9.0'"),
        ('{"syndet_split": 1}', "must have lists of image names by split"),
        ('{"syndet_split": 1, "images": {"train": [1]}}', "must have lists of image names"),
        ('{"syndet_split": 1, "images": {"holdout": []}}', "none of train, val, test, got 'hold"),
        ('{"syndet_split": 1, "images": {"train": ["a"], "val": ["a"]}}', "names image 'a' twice"),
        ('{"syndet_split": 1, "images": {}, "shares": 3}', "has no valid 'shares'"),
        ('{"syndet_split": 1, "images": {}, "shares": {}}', "has no valid 'seed', got None"),
    ],
)
def test_a_broken_index_is_named_with_what_is_wrong(photos, text, message):
    (photos / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=f"{FILE_NAME}: .*{message}"):
        read(photos)


def test_an_index_that_was_edited_is_refused(photos):
    file = photos / FILE_NAME
    content = json.loads(file.read_bytes())
    content["images"]["test"].append(content["images"]["train"].pop())
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"was changed after it was written"):
        read(photos)


def test_a_link_out_of_the_photos_is_not_followed(photos, tmp_path):
    shutil.move(photos / FILE_NAME, tmp_path / "elsewhere.json")
    (photos / FILE_NAME).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(DataError, match=r"is a link that leads out of the folder of the photos"):
        read(photos)


def test_an_index_elsewhere_is_read_by_its_own_name(tmp_path):
    folder = write_photos(tmp_path / "photos", train=range(10))
    file = tmp_path / "splits" / "ours.json"
    split_photos(folder, {"test": 0.2}, 0, quiet, out=file)
    assert list(read(folder).splits) == ["train"]
    dataset = read(file)
    assert [len(part) for part in dataset.splits.values()] == [8, 2]
    assert dataset.path == folder
    shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"ours.json: the folder of its photos is gone"):
        read(file)


def test_an_index_beside_its_photos_is_not_named_itself(photos):
    with pytest.raises(DataError, match=r"does not name the folder of its photos. Name their fold"):
        read(photos / FILE_NAME)


def test_regions_to_ignore_are_no_boxes_of_a_class(tmp_path):
    folder = write_photos(tmp_path / "photos", train=range(10))
    labels = folder / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    for annotation in content["annotations"][2:]:
        annotation["ignore"] = 1
    labels.write_text(json.dumps(content), encoding="utf-8")
    split_photos(folder, {"test": 0.2}, 0, quiet)
    words = [word for of_split in read(folder).boxes_in.values() for word in of_split.values()]
    assert sorted(word.partition(":")[0] for word in words) == [
        "1 box",
        "1 box",
        "no box",
        "no box",
    ]


def test_a_folder_in_place_of_the_index_is_named(tmp_path):
    folder = write_photos(tmp_path / "photos", train=range(2))
    (folder / FILE_NAME).mkdir()
    with pytest.raises(DataError, match=r"syndet_split.json: is not a file\. Delete it, or split"):
        read(folder)
