"""Splits: train, val or test, told by the name of a folder or file."""

import re
from collections.abc import Sequence
from pathlib import Path

from syndet_ray.errors import DataError

SPLITS = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
_YEAR = re.compile(r"(?<=[a-z])(19|20)\d\d$")  # of val2017


def split_of_name(name: str) -> str | None:
    """The split that a whole name is a word for, in any case: "Valid", "val2017"; else None."""
    return _SPLIT_OF.get(_YEAR.sub("", name.lower()))


def by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the split that their folder or their own name names.

    A single file that names no split is train. Raises DataError where one of several names none.
    """
    files_of: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for file in files:
        split = split_of(folder, file)
        if split is None and len(files) == 1:
            split = "train"
        if split is None:
            rule = "its name or its folder's name must contain its split"
            raise DataError(file, rule, do="Put train, val or test into it.")
        files_of[split].append(file)
    return {split: paths for split, paths in files_of.items() if paths}


def by_folder(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the split that a folder above them names; all are train where none does.

    Raises DataError where some folders name a split and one does not: its files may be a test set.
    """
    parents = dict.fromkeys(file.parent for file in files)  # many files lie in one folder
    split_in = {parent: split_of(folder, parent / "_") for parent in parents}
    named = next((parent for parent, split in split_in.items() if split), None)
    for parent, split in split_in.items():
        if split is None and named is not None:
            rule = f"its name must contain its split, as that of {named} does"
            raise DataError(parent, rule, do="Put train, val or test into it.")
    files_of: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for file in files:
        files_of[split_in[file.parent] or "train"].append(file)
    return {split: paths for split, paths in files_of.items() if paths}


def split_of(folder: Path, file: Path) -> str | None:
    """The split of a file in a dataset's folder, or None.

    The nearest folder that has the name of a split comes first (train/result_val.json is train),
    then words of the file's name, then words of its folders' names. Raises DataError where the
    first name with such a word has words for several splits.
    """
    names = file.relative_to(folder).parts
    for name in reversed(names[:-1]):
        split = split_of_name(name)
        if split is not None:
            return split
    for name in reversed(names):
        split = split_of_words(name, file)
        if split is not None:
            return split
    return None


def splits_named(name: str) -> set[str]:
    """The splits that words of a name are for: {"train", "val"} for train_and_val."""
    words = re.findall(r"[a-z]+", name.lower())
    return {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}


def split_of_words(name: str, place: object) -> str | None:
    """The split that a word of a name is for: instances_val2017, My_Test; else None.

    Raises DataError, of `place`, for words of several splits.
    """
    splits = sorted(splits_named(name))
    if len(splits) > 1:
        raise DataError(place, "must name one split", got=splits, do="Rename it.")
    return splits[0] if splits else None
