"""Trained photos: a list beside a saved model of the photos that it was trained on.

A photo is known by the first bytes of the SHA-256 of its file: in another folder, under another
name or with labels of another format it is the same; saved again it is another.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.errors import DataError
from syndet_ray.files import reading

TRAINED_PHOTOS = "photos.npy"


def write_trained_photos(folder: Path, pools: Iterable[Pool]) -> None:
    """Writes the list of the photos among these pools; scenes are none."""
    contents = [np.zeros(0, np.uint64)]
    for pool in pools:
        if pool.contents is not None and not pool.synthetic:
            contents.append(pool.contents)
    np.save(folder / TRAINED_PHOTOS, np.unique(np.concatenate(contents)), allow_pickle=False)


def read_trained_photos(folder: Path) -> np.ndarray | None:
    """(n,) uint64, the photos of the model in `folder`; None if it has no such list.

    Models of earlier versions have none. Raises DataError for a file that is no such list.
    """
    file = folder / TRAINED_PHOTOS
    with reading(file):
        if not file.is_file():
            return None
        try:
            contents = np.load(file, mmap_mode="r", allow_pickle=False)  # so no more than there is
        except (EOFError, ValueError, OverflowError):
            contents = np.zeros(())
    if contents.ndim != 1 or contents.dtype != np.uint64:
        do = "Copy the model again, or delete this file: then its training photos are unknown."
        raise DataError(file, "is not a list of the photos of a training", do=do)
    return contents


def count_trained(pool: Pool, trained: np.ndarray | None) -> int | None:
    """The number of photos of a pool that the model was trained on; None if it is not known."""
    if trained is None or pool.contents is None:
        return None
    return int(np.isin(pool.contents, trained).sum())
