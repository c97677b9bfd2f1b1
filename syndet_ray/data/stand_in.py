"""Stand-in: path-traced pictures that take the place of photos where a user has none; always named
so.
"""

from dataclasses import replace
from pathlib import Path

from syndet_ray.data.read import Dataset, read

# Made by benchmarks/stand_in.py.
FOLDER = Path(__file__).with_name("stand_in_photos")


def stand_in() -> Dataset:
    """Splits "train", "val" and "test" of dice with looks, floors and lights that our own scenes do
    not contain.

    Every figure made with them says "stand-in".
    """
    dataset = read(FOLDER)
    splits = {
        split: replace(source, name="real", stand_in=True)
        for split, source in dataset.splits.items()
    }
    return replace(dataset, splits=splits)
