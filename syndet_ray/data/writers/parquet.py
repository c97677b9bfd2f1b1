"""Parquet shards of our own: images and labels in a few large files, see `readers/parquet.py`."""

from pathlib import Path

from syndet_ray.data.parts import Copying
from syndet_ray.data.read import Dataset
from syndet_ray.data.shards import write_into
from syndet_ray.data.writers.losses import Losses
from syndet_ray.progress import Progress


def write(
    dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
) -> None:
    """Writes the images and boxes of all splits; nothing is lost.

    `progress` is called with (images written, images in all).
    """
    write_into(folder, dataset.splits, progress, copying)
