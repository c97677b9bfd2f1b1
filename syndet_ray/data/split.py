"""Split: train, val and test, explicit and without common images."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from syndet_ray import seeds
from syndet_ray.data.copies import copies
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError

_ADVICE = {
    "train": "Put images to train on into it.",
    "val": "Put images into it, or delete it: val is then cut from train.",
    "test": "Set some photos aside for it, about a fifth: they are opened once, when the search is over.",
}


def with_validation(dataset: Dataset, seed: int, share: float = 0.2) -> Dataset:
    """The dataset with all three splits: what is there stays as it is, a missing val is cut from train.

    val gets `share` of the images of train, rounded, at least 1; which ones depends on their ids and the seed alone.
    Raises DataError where train or test is missing, where a split is empty, or where an image is in two splits.
    """
    assert 0 < share < 1, share
    for split in ("train", "test", *dataset.splits):
        if split not in dataset.splits:
            present = ", ".join(dataset.splits)
            raise DataError(dataset.path, f"must have a {split} split, has only {present}", do=_ADVICE[split])
        if not len(dataset.splits[split]):
            raise DataError(dataset.path, f"the {split} split holds no images", do=_ADVICE[split])
    whole = dataset if "val" in dataset.splits else _cut(dataset, seed, share)
    check_apart(whole)
    return whole


def check_apart(dataset: Dataset) -> None:
    """Raises DataError where one image, by its id or its bytes, is in two splits: a score on it would be too high."""
    origins: dict[tuple[str, str], tuple[str, str]] = {}  # split and place of each id and content
    for split, source in dataset.splits.items():
        for record in source.records:
            for key in (("id", record.image_id), ("content", _content(record))):
                other, place = origins.setdefault(key, (split, record.place))
                if other != split:
                    rule = f"image {record.image_id!r} of {split} is also in {other}, by its {key[0]} ({place})"
                    do = "Keep it in one split; give different images different names."
                    raise DataError(record.place, rule, do=do)


def check_unseen(other: Pool, scored: Mapping[str, Pool], place: object) -> None:
    """Raises DataError where an image of another dataset is also in one of the splits that models are scored on.

    Images are compared by what they show: datasets name the same photo differently, and save it again or at another size
    (see copies).

    scored  by split
    place   of the other dataset
    """
    splits = list(scored)
    duplicates = copies(other, list(scored.values()))
    if not duplicates:
        return
    first, *rest = duplicates
    split = splits[first.part]
    image, original = str(other.image_ids[first.image]), str(scored[split].image_ids[first.original])
    how = "by its pixels" if first.exact else "saved again or at another size"
    more = f", and so are {len(rest)} more of {' or '.join(splits)}" if rest else ""
    rule = f"image {image!r} is also {original!r} of {split}, {how}{more}"
    raise DataError(place, rule, do="Remove it: a model that trains on it has seen what it is scored on.")


def _cut(dataset: Dataset, seed: int, share: float) -> Dataset:
    train = dataset.splits["train"]
    if len(train) < 2:
        raise DataError(dataset.path, "needs at least 2 training images to cut val from train", got=len(train))
    by_id = sorted(range(len(train)), key=lambda i: train.records[i].image_id)
    shuffled = [by_id[i] for i in seeds.generator(seed, "val").permutation(len(train))]
    count = min(len(train) - 1, max(1, round(len(train) * share)))
    val = train.select(sorted(shuffled[:count], key=by_id.index))
    rest = train.select(sorted(shuffled[count:], key=by_id.index))
    note = f"val: {count} of {len(train)} images cut from train with seed {seed}, ids {val.ids_hash[:12]}"
    splits = {"train": rest, "val": val, "test": dataset.splits["test"]}
    return replace(dataset, splits=splits, notes=(*dataset.notes, note))


def _content(record: Record) -> str:
    return hashlib.sha256(record.encoded()).hexdigest()
