"""The verb `data split`, as a user types it."""

import json
import shlex
from functools import partial
from pathlib import Path

import pytest
from made_photos import write_photos

from syndet_ray.cli.options import label_options
from syndet_ray.data.read import read
from syndet_ray.data.splits.divide import split_photos
from syndet_ray.data.splits.split import with_validation
from syndet_ray.data.splits.split_index import FILE_NAME, load
from syndet_ray.errors import DataError


def ignore(*_):
    pass


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_photos(tmp_path / "photos", train=range(20))


def test_it_prints_what_is_where_and_writes_the_index(photos, syndet_here):
    before = sorted(path.name for path in photos.rglob("*"))
    done = syndet_here("data", "split", "photos", "--test", "0.2", "--val", "0.1")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "train val test" in lines
    assert "images 14 (70.0%) 2 (10.0%) 4 (20.0%)" in lines
    assert "cat 7 (7) 1 (1) 2 (2)" in lines
    assert "groups 20; no near copies" in lines
    assert not any(line.startswith("largest") for line in lines)
    assert f"hash {load(photos / FILE_NAME).hash}" in lines
    assert f"file photos/{FILE_NAME}" in lines
    after = sorted(path.name for path in photos.rglob("*"))
    assert after == sorted([*before, FILE_NAME])


def test_an_index_is_replaced_only_if_it_is_told(photos, syndet_here):
    syndet_here("data", "split", photos, "--test", "0.2")
    first = (photos / FILE_NAME).read_bytes()
    again = syndet_here("data", "split", photos, "--test", "0.2", "--seed", "1")
    assert again.returncode == 1
    assert "is there already, hash " in again.stderr
    assert "replace it with --force" in again.stderr
    assert (photos / FILE_NAME).read_bytes() == first
    done = syndet_here("data", "split", photos, "--test", "0.2", "--seed", "1", "--force")
    assert done.returncode == 0
    assert (photos / FILE_NAME).read_bytes() != first
    (photos / FILE_NAME).write_text("broken", encoding="utf-8")
    assert syndet_here("data", "split", photos, "--test", "0.2", "--force").returncode == 0


def test_labels_are_read_as_told(photos, syndet_here):
    file = next(photos.rglob("*.json"))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["annotations"][0]["bbox"][2] = -1
    file.write_text(json.dumps(content), encoding="utf-8")
    (photos / "names.yaml").write_text("cat: lion\n", encoding="utf-8")
    done = syndet_here("data", "split", photos, "--test", "0.2")
    assert "leave it out with --skip-bad" in done.stderr
    done = syndet_here(
        "data", "split", photos, "--test", "0.2", "--skip-bad",
        "--classes", photos / "names.yaml", "--format", "coco",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "note: 1 bad label or image skipped" in done.stdout
    assert "lion" in done.stdout and "cat " not in done.stdout


def test_the_command_that_is_proposed_runs_as_it_stands(photos, syndet_here):
    """It reads labels as they were read, and keeps what an index without a test split says."""
    file = next(photos.rglob("*.json"))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["annotations"][0]["bbox"][2] = -1
    file.write_text(json.dumps(content), encoding="utf-8")
    names = Path("new names.yaml")
    names.write_text("cat: lion\n", encoding="utf-8")
    labels = label_options("coco", True, names)
    as_told = ["--format", "coco", "--skip-bad", "--classes", "new names.yaml"]
    first = _proposed(labels)
    assert first == ["data", "split", "photos", "--test", "0.2", *as_told]
    assert syndet_here(*first).returncode == 0
    assert list(read(photos, labels).splits) == ["train", "test"]
    with_val = ["--val", "0.1", "--seed", "3", *as_told, "--force"]
    assert syndet_here("data", "split", "photos", *with_val).returncode == 0
    second = _proposed(labels)
    assert second == ["data", "split", "photos", "--test", "0.2", *with_val]
    assert syndet_here(*second).returncode == 0
    assert list(read(photos, labels).splits) == ["train", "val", "test"]


def _proposed(labels):
    """The words of the command line that is proposed for photos without a test split."""
    with pytest.raises(DataError, match="must have a test split") as refusal:
        with_validation(read(Path("photos"), labels), 0)
    return shlex.split(str(refusal.value).rpartition("python -m syndet_ray ")[2].rstrip("."))


def test_files_of_others_are_never_replaced(photos, syndet_here, tmp_path):
    notes = tmp_path / "notes.json"
    notes.write_text("{}", encoding="utf-8")
    done = syndet_here("data", "split", photos, "--test", "0.2", "--out", notes, "--force")
    assert "notes.json: is a file of something else. Give another file with --out." in done.stderr
    assert notes.read_text(encoding="utf-8") == "{}"
    (tmp_path / "folder.json").mkdir()
    done = syndet_here("data", "split", photos, "--test", "0.2", "--out", "folder.json")
    assert "folder.json: is a folder" in done.stderr
    done = syndet_here("data", "split", photos, "--test", "0.2", "--out", "split.txt")
    assert "--out: must be a file that ends in .json, got 'split.txt'" in done.stderr


def test_splits_that_a_dataset_has_are_kept_or_all_are_cut_again(tmp_path, syndet_here):
    folder = write_photos(tmp_path / "photos", train=range(10), valid=range(20, 25))
    assert syndet_here("data", "split", folder, "--test", "0.2").returncode == 0
    assert [len(part) for part in read(folder).splits.values()] == [8, 5, 2]
    done = syndet_here("data", "split", folder, "--val", "0.2", "--force")
    assert "has a val split already, of 5 images. Leave out --val" in done.stderr
    done = syndet_here(
        *("data", "split", folder, "--test", "0.2", "--val", "0.2", "--resplit", "--force")
    )
    assert done.returncode == 0
    assert [len(part) for part in read(folder).splits.values()] == [9, 3, 3]


def test_a_class_that_a_split_lacks_is_named(photos, syndet_here):
    labels = photos / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    content["categories"].append({"id": 2, "name": "owl"})
    content["annotations"][0]["category_id"] = 2
    labels.write_text(json.dumps(content), encoding="utf-8")
    done = syndet_here("data", "split", photos, "--test", "0.2")
    assert "note: test has no owl: all photos together have 1 box of it" in done.stdout


def test_a_class_without_a_box_is_named_once(photos, syndet_here):
    labels = photos / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    content["categories"].append({"id": 2, "name": "owl"})
    labels.write_text(json.dumps(content), encoding="utf-8")
    done = syndet_here("data", "split", photos, "--test", "0.2")
    notes = [line for line in done.stdout.splitlines() if "owl" in line and "note" in line]
    assert notes == ["note: no photo has a box of owl"]


def test_copies_in_splits_that_stay_are_refused_before_an_index_is_written(tmp_path, syndet_here):
    folder = write_photos(tmp_path / "photos", train=range(10), valid=range(9, 12))
    done = syndet_here("data", "split", folder, "--test", "0.2")
    assert done.returncode == 1
    assert "of val is also in train, by its content" in done.stderr
    assert not (folder / FILE_NAME).exists()
    done = syndet_here("data", "split", folder, "--test", "0.2", "--resplit")
    assert done.returncode == 0, done.stderr


def test_a_folder_that_cannot_be_written_is_named_before_photos_are_compared(
    photos, syndet_here, monkeypatch
):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    # tests may run as a user to whom nothing is refused
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    done = syndet_here("data", "split", photos, "--test", "0.2")
    assert f"{FILE_NAME}: cannot be written (Permission denied)" in done.stderr
    assert "Name a file that can be written with --out." in done.stderr
    assert "decoding" not in done.stdout


def test_photos_at_an_address_are_not_split(syndet_here):
    done = syndet_here("data", "split", "s3://bucket/photos", "--test", "0.2")
    assert "s3://bucket/photos: is an address, and only a folder can be split." in done.stderr


def test_no_split_asked_for_is_an_error(photos, syndet_here):
    done = syndet_here("data", "split", photos)
    assert "--test: no split is asked for. Give --test 0.2, --val 0.1 or both." in done.stderr
    done = syndet_here("data", "split", photos, "--test", "1.5")
    assert "1.5 is not more than 0 and less than 1" in done.stderr


def test_a_split_that_another_process_wrote_meanwhile_is_kept(photos):
    def write_another(*_):
        if not (photos / FILE_NAME).exists():
            split_photos(photos, {"test": 0.5}, 0, ignore)

    with pytest.raises(DataError, match="is there already, hash "):
        split_photos(photos, {"test": 0.2}, 0, write_another)
    assert load(photos / FILE_NAME).shares == {"test": 0.5}


def rename(photos, name_of):
    """Gives each image of write_photos a new name, by its number."""
    labels = photos / "train" / "_annotations.coco.json"
    content = json.loads(labels.read_bytes())
    for image in content["images"]:
        name = name_of(image["id"])
        (photos / "train" / image["file_name"]).rename(photos / "train" / name)
        image["file_name"] = name
    labels.write_text(json.dumps(content), encoding="utf-8")


def test_a_val_that_sweeps_would_cut_without_regard_to_by_is_pointed_out(photos):
    rename(photos, lambda k: f"{'abcde'[k // 4]}{k}.png")  # five videos of four frames
    split = partial(split_photos, photos, seed=0, progress=ignore, by="stem", force=True)
    assert any("there is no val" in warning for warning in split({"test": 0.2}).warnings)
    both = split({"test": 0.2, "val": 0.2})
    assert not any("there is no val" in warning for warning in both.warnings)


def test_the_largest_group_is_named_and_pointed_out_if_it_has_most_images(photos, syndet_here):
    rename(photos, lambda k: f"{'a' if k < 12 else 'b'}{k}.png")
    done = syndet_here("data", "split", photos, "--test", "0.2", "--by", "stem")
    assert "groups   2 by stem; no near copies" in done.stdout
    assert "largest  12 of 20 images: a*" in done.stdout
    warning = " ".join(done.stdout.split())
    assert (
        "note: one group (a*) has 12 of 20 images and stays in one split, so shares may not be "
        "what you asked for: try --by scene or time, or leave --by out" in warning
    )


def test_one_group_of_all_images_is_named(photos, syndet_here):
    rename(photos, lambda k: f"frame_{k:04}.png")
    done = syndet_here("data", "split", photos, "--test", "0.2", "--by", "stem")
    error = " ".join(done.stderr.split())
    assert "1 group of images by stem (the largest: frame*, 20 of 20 images), and 2" in error
    assert "Choose --by scene or time, or leave it out." in error


def test_photos_with_names_of_a_camera_are_split_one_by_one(photos, syndet_here):
    rename(photos, lambda k: f"IMG_{k:04}.png")
    done = syndet_here("data", "split", photos, "--test", "0.2", "--val", "0.2", "--by", "stem")
    assert "groups   20 by stem; no near copies" in done.stdout
    assert (
        "note: a camera's names, such as train/IMG_0000.png, only count photos, so each is split by "
        "itself (20 images); --by time keeps together those taken within a minute"
        in " ".join(done.stdout.split())
    )
