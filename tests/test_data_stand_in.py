"""The stand-in photos: whole, small, and always named so."""

import numpy as np

from syndet_ray.data.read import read
from syndet_ray.data.stand_in import FOLDER, stand_in
from syndet_ray.scenes.dice import CLASSES


def test_the_stand_in_has_three_parts_and_is_named_so():
    told = []
    pools = stand_in(lambda done, total: told.append((done, total)))
    assert {split: len(pool) for split, pool in pools.items()} == {"train": 120, "val": 40, "test": 80}
    assert told == [(k, 240) for k in range(1, 241)]
    assert all(pool.stand_in and not pool.synthetic and pool.name == "real" for pool in pools.values())
    assert all(pool.image(0).shape == (256, 256, 3) for pool in pools.values())


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
