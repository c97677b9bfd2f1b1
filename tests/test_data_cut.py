"""Splits that are missing are cut from train: whole groups, classes in proportion, no copies apart."""

import tracemalloc
from dataclasses import replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.data.splits.belonging import (
    belonging_keys,
    group_words,
    is_of_a_camera,
    scene_of,
    stem_of,
)
from syndet_ray.data.splits.cut import HOLD_OUT_SEED, cut_splits, hold_out, in_one_heap
from syndet_ray.data.splits.split import refuse_copies, with_validation
from syndet_ray.data.splits.split_index import ids_by_split
from syndet_ray.errors import DataError, DefinitionError

unhurried = settings(deadline=None, max_examples=15)  # each compares photos


def png(seed, size=24):
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def record(image_id, labels=(0,), image=None):
    """An image of noise by its name, with a box of each label."""
    boxes = Boxes.of([[2, 2, 20, 20]] * len(labels), labels)
    seed = list(image_id.encode())
    return Record(
        image_id=image_id,
        image=image or png(seed),
        size_wh=(24, 24),
        boxes=boxes,
        place=f"x.json, {image_id}",
    )


def source(records):
    return Source(name="real", classes=("cat", "dog"), records=tuple(records))


def dataset(**splits):
    sources = {split: source(records) for split, records in splits.items()}
    return Dataset(path=Path("photos"), format="COCO", classes=("cat", "dog"), splits=sources)


def heap(count, **more):
    return dataset(train=[record(f"{i:03}.png", [i % 2]) for i in range(count)], **more)


def quiet(*_):
    pass


def cut(data, seed=0, **more):
    shares = {name: more.pop(name) for name in ("test", "val") if name in more}
    return cut_splits(data, shares, seed, quiet, **more)


@unhurried
@given(
    st.permutations(range(20)),
    st.lists(st.lists(st.integers(0, 1), max_size=3), min_size=20, max_size=20),
    st.integers(0, 3),
)
def test_splits_are_disjoint_complete_and_the_same_in_any_order(order, labels, seed):
    records = [record(f"{i:02}.png", labels[i]) for i in range(20)]
    result = ids_by_split(cut(dataset(train=records), seed, test=0.2, val=0.1).dataset)
    assert list(result) == ["train", "val", "test"]
    assert sorted(chain(*result.values())) == sorted(one.image_id for one in records)
    assert [len(ids) for ids in result.values()] == [14, 2, 4]
    shuffled = dataset(train=[records[i] for i in order])
    assert ids_by_split(cut(shuffled, seed, test=0.2, val=0.1).dataset) == result
    # val takes nothing from test
    assert ids_by_split(cut(shuffled, seed, test=0.2).dataset)["test"] == result["test"]


def test_another_seed_is_another_split():
    tests = {tuple(ids_by_split(cut(heap(30), s, test=0.2).dataset)["test"]) for s in range(4)}
    assert len(tests) == 4


def test_classes_and_photos_without_objects_are_shared_out():
    labels = [[0], [1], []] * 10
    records = [record(f"{i:02}.png", labels[i]) for i in range(30)]
    test = cut(dataset(train=records), test=0.2).dataset.splits["test"]
    assert sorted(one.boxes.labels.tolist() for one in test.records) == [[], [], [0], [0], [1], [1]]


def test_photos_without_any_objects_can_be_split():
    records = [record(f"{i}.png", []) for i in range(5)]
    assert len(cut(dataset(train=records), test=0.2).dataset.splits["test"]) == 1


def test_two_photos_are_one_each():
    result = cut(heap(2), test=0.2)
    assert [len(part) for part in result.dataset.splits.values()] == [1, 1]
    assert (result.groups, result.near_copies) == (2, 0)


def test_a_share_that_rounds_to_nothing_is_one_photo():
    assert len(cut(heap(6), test=0.01, val=0.01).dataset.splits["test"]) == 1


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "`test`: no split is asked for. Give `test` 0.2"),
        ({"test": 0.0}, "`test`: must be more than 0 and less than 1, got 0.0"),
        ({"val": 1.0}, "`val`: must be more than 0 and less than 1, got 1.0"),
        ({"test": float("nan")}, "`test`: must be more than 0 and less than 1, got nan"),
        ({"test": 0.6, "val": 0.4}, "`test`: and `val` are together 1, which leaves nothing"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, message):
    with pytest.raises(DefinitionError, match=message):
        cut(heap(6), **shares)


def test_too_few_photos_are_counted():
    with pytest.raises(
        DataError, match=r"photos: 3 splits need 3 images, got 2. Label more photos"
    ):
        cut(heap(2), test=0.2, val=0.2)


def test_a_split_that_is_there_is_kept_and_not_cut_again():
    data = heap(10, val=[record("v.png")])
    result = cut(data, test=0.2).dataset
    assert [len(part) for part in result.splits.values()] == [8, 1, 2]
    with pytest.raises(DataError, match=r"has a val split already, of 1 image. Leave out `val`"):
        cut(data, val=0.2)
    again = cut(in_one_heap(data), val=0.2).dataset
    assert [len(part) for part in again.splits.values()] == [9, 2]


def test_an_empty_split_is_cut_as_if_it_were_missing():
    assert len(cut(heap(10, test=[]), test=0.2).dataset.splits["test"]) == 2


def test_a_dataset_without_train_says_what_to_do():
    with pytest.raises(
        DataError, match=r"no images in train to cut from, got 'val'.* data split .* --resplit"
    ):
        cut(dataset(val=[record("v.png")]), test=0.2)
    kitti = replace(dataset(val=[record("v.png")]), options=LabelOptions(format="kitti"))
    with pytest.raises(DataError, match=r"--test 0\.2 --resplit --format kitti\."):
        cut(kitti, test=0.2)


def test_two_images_of_one_name_are_named():
    data = dataset(train=[record("a"), record("b")], val=[record("a", image=png(7))])
    with pytest.raises(
        DataError, match=r"x.json, a: image 'a' of val has the name of one of train"
    ):
        in_one_heap(data)


def copies_of(count, times):
    """Smooth pictures, each saved `times` times, as PNG and as JPEG of several qualities."""
    records = []
    for i in range(count):
        coarse = np.random.default_rng(i).integers(0, 255, (20, 20, 3), np.uint8)
        picture = cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_CUBIC)
        for k in range(times):
            image = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 96 - 4 * k])[1]
            one = record(f"{k}-{i:02}.jpg", [i % 2], image.tobytes())
            wide = replace(one, size_wh=(200, 200), boxes=Boxes.of([[20, 20, 150, 150]], [i % 2]))
            records.append(wide)
    return records


def test_near_copies_stay_together():
    result = cut(dataset(train=copies_of(6, times=4)), test=0.34)
    assert (result.groups, result.near_copies) == (6, 24)
    sides = ids_by_split(result.dataset)
    pictures = {split: {name[-6:] for name in names} for split, names in sides.items()}
    assert not pictures["train"] & pictures["test"]
    pools = {split: decode(part, 200) for split, part in result.dataset.splits.items()}
    assert refuse_copies(pools["test"], {"train": pools["train"]}, "photos, test") == []


def test_photos_that_all_look_alike_cannot_be_split_unless_they_are_allowed():
    data = dataset(train=copies_of(1, times=4))
    with pytest.raises(DataError, match=r"its 4 images look like one photo, and 2 splits need 2.*"):
        cut(data, test=0.2)
    assert len(cut(data, test=0.25, allow_near_copies=True).dataset.splits["test"]) == 1
    same = dataset(train=[record(f"{i}.png", image=png(1)) for i in range(3)])
    with pytest.raises(DataError, match=r"its 3 images look like one photo"):
        cut(same, test=0.2, allow_near_copies=True)


def test_images_that_roboflow_made_of_one_photo_stay_together():
    records = [record(f"p{i}_jpg.rf.{k}.jpg") for i in range(5) for k in "abc"]
    result = cut(dataset(train=records), test=0.2)
    assert (result.groups, result.near_copies) == (5, 15)
    assert len({one.image_id[:2] for one in result.dataset.splits["test"].records}) == 1


@pytest.mark.parametrize(
    ("image_id", "scene", "stem"),
    [
        ("vid1_000123.jpg", "", "/vid1"),
        ("train/kitchen/vid 2 (7).png", "kitchen", "kitchen/vid 2"),
        ("images/val/frame0042.JPG", "", "/frame"),
        ("valid/vid1-12_png.rf.0a1b.jpg", "", "/vid1"),
        ("a/b/0001.jpg", "a/b", "a/b/"),
        ("cat.jpg", "", "/cat"),
        ("1a2b3c4d-vid1_07.jpg", "", "/vid1"),  # Label Studio
        ("20261127-vid1_07.jpg", "", "/20261127-vid1"),
        ("IMG_0310_JPG.jpg", "", "/IMG_0310"),
        ("1a2b3c4d-IMG_0310.jpg", "", "/IMG_0310"),
        ("IMG_0310_0007.jpg", "", "/IMG_0310"),  # a frame of IMG_0310.MOV
        ("IMG_0310 (2).jpg", "", "/IMG_0310"),
        ("IMG_000310.jpg", "", "/IMG"),  # too many digits: a program counted frames
    ],
)
def test_scenes_and_stems_come_from_names(image_id, scene, stem):
    assert (scene_of(image_id), stem_of(image_id)) == (scene, stem)


@pytest.mark.parametrize(
    "name",
    [
        *("IMG_0123", "_MG_0123", "DSC_0123", "_DSC0123", "DSC00123", "DSCN0123", "dscf0123"),
        *("P1000123", "DJI_0123", "IMG_E0123", "IMG0123", "IMG_20261127_101502"),
        *("PXL_20261127_101502123", "IMG-20261127-WA0012"),
    ],
)
def test_photos_with_names_of_a_camera_are_each_by_itself(name):
    assert stem_of(f"kitchen/{name}.jpg") == f"kitchen/{name}"
    assert is_of_a_camera(f"kitchen/{name}.jpg")


def test_a_group_has_the_pattern_of_its_names_or_one_of_them():
    frames = ["a/vid1_2.png", "a/vid1_1.png"]
    assert group_words(frames, "stem") == "a/vid1*"
    assert group_words(frames, "scene") == "a/*"
    assert group_words(["1.png", "2.png"], "scene") == "no folder of its own"
    assert group_words([*frames, "b/7.png"], "stem") == "with a/vid1_1.png"
    assert group_words(frames, "time") == group_words(frames, None) == "with a/vid1_1.png"


def test_videos_and_scenes_stay_together():
    records = [record(f"s{i % 2}/vid{i % 4}_{i:03}.png") for i in range(12)]
    by_stem = cut(dataset(train=records), test=0.2, by="stem")
    assert (by_stem.groups, by_stem.images) == (4, 12)
    assert by_stem.largest == ("s0/vid0_000.png", "s0/vid0_004.png", "s0/vid0_008.png")
    assert len(by_stem.dataset.splits["test"]) == 3
    assert cut(dataset(train=records), test=0.2, by="scene").groups == 2
    with pytest.raises(
        DataError,
        match=r"2 groups of images by scene \(the largest: s0/\*, 6 of 12 images\), and 3 splits "
        r"need 3. Choose `by` stem or time, or leave it out.",
    ):
        cut(dataset(train=records), test=0.2, val=0.2, by="scene")
    heap = [record(f"images/{i}.png") for i in range(6)]
    with pytest.raises(DataError, match=r"the largest: no folder of its own, 6 of 6 images"):
        cut(dataset(train=heap), test=0.2, by="scene")
    with pytest.raises(DefinitionError, match=r"`by`: must be one of scene, stem, time, got 'day'"):
        cut(dataset(train=records), test=0.2, by="day")


def photo_taken(folder, name, time):
    exif = Image.Exif()
    if time:
        exif.get_ifd(0x8769)[0x9003] = time
    file = folder / name
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, exif=exif)
    return replace(record(name), image=file)


def test_photos_of_one_time_are_those_without_a_pause_between_them(tmp_path):
    day = "2026:11:27 10:"
    times = [day + "00:00", day + "03:00", day + "00:59", day + "01:58", day + "03:20"]
    records = [photo_taken(tmp_path, f"{i}.jpg", time) for i, time in enumerate(times)]
    assert belonging_keys(source(records), "time", "photos") == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (("2026:11:27 10:00:00", None, "0000:00:00 00:00:00"), "2 of 3 photos lack the time .*"),
        (("2026:11:27 10:00:00", None), "1 of 2 photos lacks the time at which it was taken .*"),
    ],
)
def test_photos_without_their_time_are_counted(tmp_path, times, words):
    records = [photo_taken(tmp_path, f"{i}.jpg", time) for i, time in enumerate(times)]
    message = f"photos: {words}, such as '1.jpg'. Choose `by` scene or stem"
    with pytest.raises(DataError, match=message):
        belonging_keys(source(records), "time", "photos")


def test_a_run_holds_out_what_data_split_cuts():
    data = heap(20)
    result = hold_out(data, 0.2, quiet)
    expected = cut(data, HOLD_OUT_SEED, test=0.2).dataset
    assert ids_by_split(result) == ids_by_split(expected)
    assert "test: 4 of 20 images held out of train, the same in every run" in result.notes[0]
    assert len(with_validation(result, 5).splits["test"]) == 4
    with pytest.raises(
        DataError, match=r"photos: has a test split already, of 4 images. Leave out"
    ):
        hold_out(result, 0.2, quiet)
    with pytest.raises(DefinitionError, match=r"`hold_out`: must be more than 0 and less than 1"):
        hold_out(data, 1.0, quiet)


def photo_records(count, side=300):
    """Photos of soft noise, of which every third was saved twice."""
    records = []
    for k in range(count):
        grid = np.random.default_rng(k).integers(0, 255, (side // 10, side // 10, 3), np.uint8)
        pixels = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        for quality in (95, 80) if k % 3 == 0 else (95,):
            content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            one = record(f"{k:03}-{quality}.jpg", image=content)
            boxes = Boxes.of([[2, 2, 50, 50]], [k % 2])  # of a size that keeps the photos' own
            records.append(replace(one, size_wh=(side, side), boxes=boxes))
    return records


@pytest.fixture
def decoded(monkeypatch):
    """How often images were decoded again after they had been checked."""
    images = []
    image = Pool.image

    def counting_image(self, i):
        images.append(self.image_ids[i])
        return image(self, i)

    monkeypatch.setattr(Pool, "image", counting_image)
    return images


def test_photos_are_decoded_once_at_each_size_and_split_alike_without_memory_for_more(decoded):
    photos = dataset(train=photo_records(12))
    whole = cut_splits(photos, {"test": 0.25, "val": 0.25}, 0, quiet)
    assert (whole.groups, whole.near_copies, decoded) == (12, 8, [])
    without = cut_splits(photos, {"test": 0.25, "val": 0.25}, 0, quiet, kept_bytes=0)
    assert decoded
    assert ids_by_split(without.dataset) == ids_by_split(whole.dataset)
    assert (without.groups, without.near_copies) == (12, 8)
    held = [hold_out(photos, 0.25, quiet, kept_bytes=size) for size in (0, 2**20, 2**28)]
    assert len({one.splits["test"].ids_hash for one in held}) == 1


def test_photos_are_split_in_less_memory_than_they_take_when_decoded(tmp_path):
    records = photo_records(30, side=600)
    for k, one in enumerate(records):
        file = tmp_path / one.image_id
        file.write_bytes(one.image)
        records[k] = replace(one, image=file)
    photos = dataset(train=records)
    decoded_bytes = 40 * 600**2 * 3
    cut_splits(heap(12), {"test": 0.25}, 0, quiet)  # what is imported takes memory, too
    tracemalloc.start()
    cut_splits(photos, {"test": 0.25}, 0, quiet, kept_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < decoded_bytes / 2


def test_all_that_takes_long_is_told():
    told = {}
    cut_splits(heap(12), {"test": 0.25}, 0, lambda name, done, total: told.update({name: total}))
    sizes = (64, 32)  # the least at which sweeps see photos, and half of it
    works = ("decoding", "looking for near copies", "comparing splits")
    assert told.keys() == {f"{work} at {px} px" for work in works for px in sizes} | {
        "hashing files"
    }
