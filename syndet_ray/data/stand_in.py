"""Stand-in: path-traced pictures in place of photos if a user has none; always named so."""

from dataclasses import replace
from pathlib import Path

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import Dataset, read
from syndet_ray.progress import Progress

# Made by benchmarks/stand_in.py.
FOLDER = Path(__file__).with_name("stand_in_photos")
STAND_IN = "stand-in"  # the word for the set, where a folder of photos is expected


def stand_in() -> Dataset:
    """Splits "train", "val" and "test" of dice.

    Our own scenes do not contain their looks, floors and lights. Every figure made with them says
    "stand-in".
    """
    dataset = read(FOLDER)
    splits = {}
    for split, source in dataset.splits.items():
        splits[split] = replace(source, name="real", stand_in=True)
    return replace(dataset, splits=splits)


def photos_at(
    place: str, options: LabelOptions | None = None, progress: Progress | None = None
) -> Dataset:
    """The dataset in a folder, or the stand-in set for the word "stand-in"."""
    if place == STAND_IN:
        return replace(stand_in(), path=Path(STAND_IN))
    return read(Path(place), options, progress)
