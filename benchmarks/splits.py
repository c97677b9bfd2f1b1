"""How well are classes shared out by `data split`, and by chance? Which of them parts near copies?

    python benchmarks/splits.py ../shared/data/chess ../shared/data/d6_dice

All images of a dataset are one heap. To see copies parted, every eighth image is saved again as a
JPEG of quality 70 under another name. A fifth of the images is cut as test.
"""

import argparse
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from syndet_ray.data.images import picture
from syndet_ray.data.read import Dataset, read_as_stored
from syndet_ray.data.record import Record, Source
from syndet_ray.data.splits.cut import cut_splits, in_one_heap
from syndet_ray.data.splits.divide import boxes_by_class
from syndet_ray.data.splits.split_index import ids_by_split, with_splits

SHARE = 0.2
SEEDS = 5
EVERY = 8  # images, of which one is copied
COPY = "copy of "
LEAST_BOXES = 10  # of a class: a fifth of fewer is not to be had exactly


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    for folder in parser.parse_args().data:
        heap = in_one_heap(read_as_stored(folder))
        measure(f"{folder.name}, {len(heap.splits['train'])} images", heap)
        measure(f"{folder.name} with copies", with_copies(heap))


def measure(name: str, heap: Dataset) -> None:
    """Prints, over all seeds, how far classes are from their share, and how many copies part."""
    ways: dict[str, list[Dataset]] = {"by chance": [], "data split": []}
    for seed in range(SEEDS):
        ways["by chance"].append(random_split(heap, seed))
        cut = cut_splits(heap, {"test": SHARE}, seed, silent)
        ways["data split"].append(cut.dataset)
    for way, datasets in ways.items():
        off = np.array([deviations(dataset) for dataset in datasets])
        parted = [parted_copies(ids_by_split(dataset)) for dataset in datasets]
        print(
            f"{name}, {way}: classes off by {off.mean():.1%} of their share, "
            f"the worst of a split by {off.max(axis=1).mean():.1%}, of all by {off.max():.1%}; "
            f"copies parted {np.mean(parted):.1f}"
        )


def silent(step: str, done: int, total: int) -> None:
    """A progress that shows nothing."""


def random_split(heap: Dataset, seed: int) -> Dataset:
    """A fifth of the images in test, by chance alone."""
    image_ids = np.array([record.image_id for record in heap.splits["train"].records])
    count = round(len(image_ids) * SHARE)
    test = np.random.default_rng(seed).permutation(image_ids)[:count]
    splits = dict.fromkeys(image_ids.tolist(), "train") | dict.fromkeys(test.tolist(), "test")
    return with_splits(heap, splits)


def deviations(dataset: Dataset) -> list[float]:
    """For each class with enough boxes, how far test is from its share of them, relative to it."""
    train, test = (boxes_by_class(dataset.splits[split]) for split in ("train", "test"))
    values = []
    for name in dataset.classes:
        total = train[name].boxes + test[name].boxes
        if total >= LEAST_BOXES:
            values.append(abs(test[name].boxes / total - SHARE) / SHARE)
    return values


def parted_copies(ids: Mapping[str, list[str]]) -> int:
    """The number of copies whose original is in the other split."""
    split_of = {image_id: split for split, part in ids.items() for image_id in part}
    copies = [image_id for image_id in split_of if image_id.startswith(COPY)]
    return sum(split_of[copy] != split_of[copy.removeprefix(COPY)] for copy in copies)


def with_copies(heap: Dataset) -> Dataset:
    source: Source = heap.splits["train"]
    copies = [saved_again(record) for record in source.records[::EVERY]]
    return replace(heap, splits={"train": replace(source, records=(*source.records, *copies))})


def saved_again(record: Record) -> Record:
    file = io.BytesIO()
    Image.fromarray(picture.pixels(record.image, record.place)).save(file, "JPEG", quality=70)
    return replace(record, image_id=COPY + record.image_id, image=file.getvalue())


if __name__ == "__main__":
    main()
