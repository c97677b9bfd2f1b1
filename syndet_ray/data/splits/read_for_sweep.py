"""Read for sweep: photos in the splits that their sweep will have, for what is made before it."""

from functools import partial
from pathlib import Path

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import Dataset, read, read_with_own_classes
from syndet_ray.data.splits import cut
from syndet_ray.data.splits.split import with_validation
from syndet_ray.errors import DataError
from syndet_ray.progress import NamedProgress

_SEED = 0  # of a sweep that names none


def read_for_sweep(
    photos: Path, labels: LabelOptions, hold_out: float | None, progress: NamedProgress
) -> Dataset:
    """Reads photos in train, val and test, as a sweep with the default seed splits them.

    hold_out  the share of train that the sweep will hold out; None if the photos have a test split

    A sweep also keeps near copies in one split, for which it looks at all photos: where there are
    any, its val may differ.

    Raises DataError for photos without a test split, unless a share of train is held out: what is
    made of training photos must show nothing of test photos.
    """
    return with_validation(_with_test(photos, labels, hold_out, progress), _SEED)


def _with_test(
    photos: Path, labels: LabelOptions, hold_out: float | None, progress: NamedProgress
) -> Dataset:
    reading = partial(progress, "reading labels")
    if hold_out is not None:
        dataset, as_stored = read_with_own_classes(photos, labels, reading)
        return cut.hold_out(dataset, hold_out, progress, as_stored=as_stored)
    dataset = read(photos, labels, reading)
    splits = list(dataset.splits)
    if "train" not in splits:
        raise DataError(photos, "has no training photos", got=splits)
    if "test" not in splits:  # its sweep would refuse parts of photos that it holds out
        do = "Add `hold_out` 0.2, as the sweep will: scenes must show nothing of test photos."
        raise DataError(photos, "must have a test split", got=splits, do=do)
    return dataset
