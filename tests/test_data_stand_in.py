"""The stand-in photos: whole, small, and always named so."""

import numpy as np
import pytest

from syndet_ray.data.read import read
from syndet_ray.data.stand_in import FOLDER, photos_at, stand_in
from syndet_ray.errors import DataError
from syndet_ray.scenes.dice import CLASSES


def test_the_stand_in_has_three_parts_and_is_named_so():
    splits = stand_in().splits
    assert {split: len(source) for split, source in splits.items()} == {
        "train": 120,
        "val": 40,
        "test": 80,
    }
    assert all(
        source.stand_in and not source.synthetic and source.name == "real"
        for source in splits.values()
    )
    assert all(
        record.size_wh == (256, 256) for source in splits.values() for record in source.records
    )


def test_its_word_may_stand_for_a_folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = photos_at("stand-in")
    assert str(dataset.path) == "stand-in"
    assert all(source.stand_in for source in dataset.splits.values())
    with pytest.raises(DataError, match="stand-in: does not exist"):
        photos_at("./stand-in")


def test_its_labels_are_whole_and_know_what_is_hidden():
    dataset = read(FOLDER)
    assert dataset.classes == CLASSES
    assert not dataset.notes
    boxes = [record.boxes for source in dataset.splits.values() for record in source.records]
    visibility = np.concatenate([found.visibility for found in boxes])
    assert ((visibility > 0) & (visibility <= 1)).all()
    assert (visibility < 0.5).sum() > 100
    assert set(np.concatenate([found.labels for found in boxes])) == set(range(6))


def test_it_is_small_and_says_its_license():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 6_000_000
    assert "Apache-2.0" in (FOLDER / "README.txt").read_text()
