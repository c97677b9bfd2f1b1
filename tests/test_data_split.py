"""Splits are explicit, complete and apart."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.boxes import Boxes
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.data.split import with_validation
from syndet_ray.errors import DataError

unhurried = settings(deadline=None)  # a busy machine is no bug


def source(*names):
    """Images that differ as their names do."""
    records = (
        Record(image_id=name, image=name.encode(), size_wh=(8, 6), boxes=Boxes.none(), place=f"x.record, {name}")
        for name in names
    )
    return Source("real", ("cat",), tuple(records))


def dataset(**splits):
    return Dataset(Path("photos"), "TFRecord", ("cat",), splits)


def ids(found):
    return {split: [record.image_id for record in part.records] for split, part in found.splits.items()}


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
    cuts = [with_validation(dataset(train=source(*TRAIN), test=source(*TEST)), seed) for seed in range(3)]
    assert len({cut.splits["val"].ids_hash for cut in cuts}) == 3
    assert cuts[1].notes == (
        f"val: 4 of 20 images cut from train with seed 1, ids {cuts[1].splits['val'].ids_hash[:12]}",
    )


@pytest.mark.parametrize(("images", "share", "expected"), [(2, 0.2, 1), (3, 0.9, 2), (10, 0.25, 2), (7, 0.5, 4)])
def test_val_and_train_keep_at_least_one_image(images, share, expected):
    found = with_validation(dataset(train=source(*TRAIN[:images]), test=source("t")), 0, share)
    assert len(found.splits["val"]) == expected


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": TRAIN}, "photos: must have a test split, has only train. Set some photos aside"),
        ({"test": TEST}, "photos: must have a train split, has only test"),
        ({"train": TRAIN, "test": []}, "photos: the test split holds no images. Set some photos aside"),
        ({"train": [], "test": TEST}, "photos: the train split holds no images"),
        (
            {"train": TRAIN, "val": [], "test": TEST},
            "photos: the val split holds no images. Put images into it, or delete",
        ),
        ({"train": ["a"], "test": TEST}, "photos: needs at least 2 training images to cut val from train, got 1"),
    ],
)
def test_a_missing_or_empty_split_is_named(splits, said):
    with pytest.raises(DataError, match=said):
        with_validation(dataset(**{split: source(*names) for split, names in splits.items()}), 0)


def test_an_image_in_two_splits_is_named_by_its_id():
    with pytest.raises(
        DataError, match=r"x.record, b: image 'b' of test is also in train, by its id \(x.record, b\). Keep it"
    ):
        with_validation(dataset(train=source("a", "b"), val=source("c"), test=source("b")), 0)


def test_an_image_under_two_names_is_named_by_its_content(tmp_path):
    (tmp_path / "copy.png").write_bytes(b"a")
    copy = replace(source("copy").records[0], image=tmp_path / "copy.png")
    test = replace(source(), records=(copy,))
    with pytest.raises(DataError, match=r"image 'copy' of test is also in train, by its content \(x.record, a\)"):
        with_validation(dataset(train=source("a", "b"), val=source("c"), test=test), 0)
