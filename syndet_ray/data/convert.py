"""Convert: a dataset of any format that is read, written in another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from syndet_ray.data.parts import Copying, copy_here
from syndet_ray.data.read import Dataset
from syndet_ray.data.write import check_empty
from syndet_ray.data.writers import coco, kitti, parquet, voc, yolo
from syndet_ray.data.writers.losses import Losses
from syndet_ray.errors import DefinitionError, nearest_and_all
from syndet_ray.files import whole_folder
from syndet_ray.progress import Progress, quiet


class Writer(Protocol):
    """A module in `writers/`: it writes one format."""

    def write(
        self, dataset: Dataset, folder: Path, losses: Losses, progress: Progress, copying: Copying
    ) -> None:
        """Writes all splits into an empty folder, and counts what the format cannot hold.

        copying  writes the files of images
        """


WRITERS: Mapping[str, Writer] = {
    "coco": coco,
    "kitti": kitti,
    "voc": voc,
    "yolo": yolo,
    "parquet": parquet,
}


def writer(to: str) -> Writer:
    """The writer of a format. Raises DefinitionError for a name that is not in WRITERS."""
    if to not in WRITERS:
        rule = "must be a format that can be written"
        raise DefinitionError("`to`", rule, got=to, do=nearest_and_all(to, WRITERS))
    return WRITERS[to]


def convert(
    dataset: Dataset,
    out: Path,
    to: str,
    progress: Progress = quiet,
    copying: Copying = copy_here,
) -> Losses:
    """Writes a dataset into a new folder, whole or not at all.

    Images are copied as they are, under unique names or into shards. `progress` is called with
    (images written, images in all).

    Returns what did not survive, and what was changed. Raises DataError where `out` exists and is
    no empty folder, MachineError where it cannot be written, and DefinitionError for an unknown
    format.

    to       a name of WRITERS
    copying  writes the files of images, see `workers/copying.py` for a cluster
    """
    chosen = writer(to)
    check_empty(out)
    losses = Losses()
    with whole_folder(out) as unfinished:
        chosen.write(dataset, unfinished, losses, progress, copying)
    return losses
