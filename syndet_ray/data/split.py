"""Split: train, val and test, explicit and apart."""

import hashlib
from dataclasses import replace

from syndet_ray import seeds
from syndet_ray.data.read import Dataset
from syndet_ray.errors import DataError

_DO = "Name splits train, val and test; val is cut from train when it is not there."


def with_validation(dataset: Dataset, seed: int, share: float = 0.2) -> Dataset:
    """The dataset with all three splits: what is there stays, a missing val is cut from train.

    Which images val gets depends on their ids and the seed alone, not on their order. Raises DataError where train or
    test is missing or empty, or an image stands in two splits.
    """
    for split in ("train", "test"):
        if not dataset.splits.get(split):
            raise DataError(dataset.path, f"must have a {split} split with images in it", do=_DO)
    if "val" in dataset.splits:
        if not dataset.splits["val"]:
            raise DataError(dataset.path, "has a val split without images", do="Fill it or delete it. " + _DO)
        check_apart(dataset)
        return dataset
    train = dataset.splits["train"]
    if len(train) < 2:
        raise DataError(dataset.path, "needs at least 2 training images to cut val from", got=len(train))
    order = sorted(range(len(train)), key=lambda i: train.records[i].image_id)
    shuffled = seeds.generator(seed, "val").permutation(order).tolist()
    count = min(len(train) - 1, max(1, round(len(train) * share)))
    splits = dataset.splits | {
        "train": train.select(sorted(shuffled[count:])),
        "val": train.select(sorted(shuffled[:count])),
    }
    made = replace(dataset, splits=splits, notes=(*dataset.notes, f"val: {count} images cut from train with seed {seed}"))
    check_apart(made)
    return made


def check_apart(dataset: Dataset) -> None:
    """Raises DataError where an image, by its content, stands in two splits: a score on it would be a lie."""
    owner: dict[str, tuple[str, str]] = {}
    for split, source in dataset.splits.items():
        for record in source.records:
            content = record.image if isinstance(record.image, bytes) else record.image.read_bytes()
            key = hashlib.sha256(content).hexdigest()
            if key in owner and owner[key][0] != split:
                other, place = owner[key]
                raise DataError(record.place, f"is the same image as one in the {other} split ({place})", do="Keep it in one.")
            owner[key] = split, record.place
