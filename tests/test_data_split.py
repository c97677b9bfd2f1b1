"""Splits are explicit, complete and apart."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.data.splits.split import cut_by_looks, with_validation
from syndet_ray.errors import DataError

unhurried = settings(deadline=None)  # a busy machine is no bug


def source(*names):
    """Images that differ as their names do."""
    records = (
        Record(
            image_id=name,
            image=name.encode(),
            size_wh=(8, 6),
            boxes=Boxes.none(),
            place=f"x.record, {name}",
        )
        for name in names
    )
    return Source(name="real", classes=("cat",), records=tuple(records))


def dataset(**splits):
    return Dataset(path=Path("photos"), format="TFRecord", classes=("cat",), splits=splits)


def ids(found):
    return {
        split: [record.image_id for record in part.records] for split, part in found.splits.items()
    }


TRAIN, TEST = [f"image {i}" for i in range(20)], ["photo 1", "photo 2"]


def test_explicit_splits_stay_as_they_are():
    given_ = dataset(train=source("a", "b"), val=source("c"), test=source("d"))
    assert with_validation(given_, seed=3) is given_


@unhurried
@given(st.permutations(TRAIN), st.integers(0, 5))
def test_val_is_cut_from_train_by_ids_and_seed_whatever_the_order(order, seed):
    found = ids(with_validation(dataset(train=source(*order), test=source(*TEST)), seed))
    assert found == ids(with_validation(dataset(train=source(*TRAIN), test=source(*TEST)), seed))
    assert len(found["val"]) == 4
    assert sorted(found["train"] + found["val"]) == sorted(TRAIN)
    assert found["test"] == TEST


def test_another_seed_cuts_another_val_and_the_note_says_which():
    cuts = [
        with_validation(dataset(train=source(*TRAIN), test=source(*TEST)), seed)
        for seed in range(3)
    ]
    assert len({cut.splits["val"].ids_hash for cut in cuts}) == 3
    assert cuts[1].notes == (
        f"val: 4 of 20 images cut from train with seed 1, hash of their ids {cuts[1].splits['val'].ids_hash[:12]}",
    )


@pytest.mark.parametrize(
    ("images", "share", "expected"), [(2, 0.2, 1), (3, 0.9, 2), (10, 0.25, 2), (7, 0.5, 4)]
)
def test_val_and_train_keep_at_least_one_image(images, share, expected):
    found = with_validation(dataset(train=source(*TRAIN[:images]), test=source("t")), 0, share)
    assert len(found.splits["val"]) == expected


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (
            {"train": TRAIN},
            "photos: must have a test split, has only train. It is opened once, after the search. To "
            "hold a fifth of the photos out for it, give `hold_out` 0.2, or write a split for all "
            "runs with python -m syndet_ray data split photos --test 0.2",
        ),
        ({"test": TEST}, "photos: must have a train split, has only test"),
        (
            {"train": TRAIN, "test": []},
            "photos: the test split holds no images. It is opened once",
        ),
        ({"train": [], "test": TEST}, "photos: the train split holds no images"),
        (
            {"train": TRAIN, "val": [], "test": TEST},
            "photos: the val split holds no images. Put images into it, or delete",
        ),
        (
            {"train": ["a"], "test": TEST},
            "photos: needs at least 2 training images to cut val from train, got 1",
        ),
    ],
)
def test_a_missing_or_empty_split_is_named(splits, said):
    with pytest.raises(DataError, match=said):
        with_validation(dataset(**{split: source(*names) for split, names in splits.items()}), 0)


def test_an_image_in_two_splits_is_named_by_its_id():
    other = replace(source("b").records[0], image=b"another image")
    test = replace(source(), records=(other,))
    with pytest.raises(
        DataError,
        match=r"x.record, b: image 'b' of test is also in train, by its id \(x.record, b\)\. "
        r"If both are copies of one image, delete .*; if not, give them different names\.",
    ):
        with_validation(dataset(train=source("a", "b"), val=source("c"), test=test), 0)


def test_an_image_under_two_names_is_named_by_its_content(tmp_path):
    (tmp_path / "copy.png").write_bytes(b"a")
    copy = replace(source("copy").records[0], image=tmp_path / "copy.png")
    test = replace(source(), records=(copy,))
    said = (
        r"image 'copy' of test is also in train, by its content \(x.record, a\)\. "
        "Both are copies of one image: delete one of them, with its labels."
    )
    with pytest.raises(DataError, match=said):
        with_validation(dataset(train=source("a", "b"), val=source("c"), test=test), 0)


def test_a_copy_with_the_same_name_is_named_by_its_content():
    with pytest.raises(DataError, match="'b' of test is also in train, by its content"):
        with_validation(dataset(train=source("a", "b"), val=source("c"), test=source("b")), 0)


ROBOFLOW = [
    f"train/IMG_{k}_jpg.rf.{version}{k}f.jpg" for k in range(5) for version in ("a", "b", "c")
]


def photo_of(name):
    return name.split(".rf.")[0]


@unhurried
@given(st.integers(0, 20))
def test_what_roboflow_made_of_one_photo_lies_on_one_side(seed):
    found = with_validation(dataset(train=source(*ROBOFLOW), test=source(*TEST)), seed)
    train, val = ids(found)["train"], ids(found)["val"]
    assert len(val) == 3 and len(train) == 12
    assert not {photo_of(name) for name in train} & {photo_of(name) for name in val}
    assert "val: 3 of 15 images cut" in found.notes[0]
    assert found.notes[0].endswith("; images of one photo are kept together")


def test_equal_files_lie_on_one_side():
    train = source(*TRAIN)
    twice = [replace(record, image_id=f"copy of {record.image_id}") for record in train.records]
    given_ = dataset(train=replace(train, records=train.records + tuple(twice)), test=source(*TEST))
    for seed in range(5):
        found = ids(with_validation(given_, seed))
        assert len(found["val"]) == 8
        assert {f"copy of {name}" for name in found["val"] if name in TRAIN} == set(
            found["val"]
        ) - set(TRAIN)


def test_one_photo_alone_cannot_be_cut():
    with pytest.raises(
        DataError,
        match=r"at least 2 training images to cut val from train that do not look like one photo, got 1.*`allow_near_copies`",
    ):
        with_validation(dataset(train=source(*ROBOFLOW[:3]), test=source(*TEST)), 0)


def looks(seed):
    """(96, 128, 3) a picture full of detail."""
    rng = np.random.default_rng(seed)
    cells = [rng.integers(0, 255, (side, side, 3), np.uint8) for side in (4, 9, 20, 40)]
    return np.mean(
        [cv2.resize(cell, (128, 96), interpolation=cv2.INTER_CUBIC) for cell in cells], axis=0
    ).astype(np.uint8)


def saved_again(image, quality=92):
    return cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
    )


def pool_of(images):
    return Pool.of("real", ("cat",), images, [Boxes.none()] * len(images), TRAIN[: len(images)])


@pytest.mark.parametrize("seed", range(4))
def test_near_copies_lie_on_one_side(seed):
    """Of 10 photos two images each, side by side in the order of their names, and one of which
    there are four.
    """
    originals = [looks(k) for k in range(9)]
    images = [image for original in originals[:8] for image in (original, saved_again(original))]
    images += [saved_again(originals[8], quality) for quality in (95, 90, 85, 80)]
    given_ = dataset(train=source(*TRAIN), test=source(*TEST))
    order = {name: position // 2 if position < 16 else 8 for position, name in enumerate(TRAIN)}
    blind = ids(with_validation(given_, seed))
    assert {order[name] for name in blind["val"]} & {order[name] for name in blind["train"]}, (
        "else nothing is shown"
    )
    found = cut_by_looks(given_, pool_of(images), seed)
    train, val = ids(found)["train"], ids(found)["val"]
    assert len(val) in (2, 4) and sorted(train + val) == sorted(TRAIN)
    assert not {order[name] for name in val} & {order[name] for name in train}
    assert ids(cut_by_looks(given_, pool_of(images), seed)) == ids(found)


def test_near_copies_may_be_parted_where_they_are_allowed_and_exact_ones_never():
    """Photos of a fixed camera may all look like one: then there is another way than to give up."""
    near = [saved_again(looks(0), quality) for quality in range(60, 80)]
    given_ = dataset(train=source(*TRAIN), test=source(*TEST))
    with pytest.raises(DataError, match="that do not look like one photo, got 1"):
        cut_by_looks(given_, pool_of(near), 0)
    assert ids(cut_by_looks(given_, pool_of(near), 0, allowed=True)) == ids(
        with_validation(given_, 0)
    )
    with pytest.raises(DataError, match="that do not look like one photo, got 1"):
        cut_by_looks(given_, pool_of([looks(0)] * 20), 0, allowed=True)


def test_without_copies_the_cut_is_that_of_names():
    given_ = dataset(train=source(*TRAIN), test=source(*TEST))
    found = cut_by_looks(given_, pool_of([looks(k) for k in range(20)]), 3)
    assert ids(found) == ids(with_validation(given_, 3))
    assert found.notes == with_validation(given_, 3).notes
