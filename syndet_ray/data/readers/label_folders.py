"""Label folders: where the images of a folder of labels lie, and where its labels lie."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from syndet_ray.data.readers.image_files import is_hidden

_IMAGES = ("images", "image_2", "JPEGImages", "data", "rgb", "image", "img")
_LABELS = ("labels", "label_2", "Annotations", "annotations", "object_detection", "label")
_DEEPEST = 8  # folders below that of the dataset; more are no dataset but a disk
_MOST_LOOKED_AT = 20  # files of one folder, whose content is read to recognise its format


def folders_below(folder: Path) -> Iterator[Path]:
    """A dataset's folder and the folders in it, to a depth of eight, without hidden ones and links,
    sorted.
    """
    yield folder
    base = len(folder.parts)
    for parent, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not is_hidden(name))
        names[:] = [name for name in names if not os.path.islink(os.path.join(parent, name))]
        if len(Path(parent).parts) - base >= _DEEPEST:
            names.clear()
        for name in names:
            yield Path(parent, name)


def texts_in(folder: Path, suffix: str) -> list[str]:
    """The names of the label files directly in a folder, sorted."""
    if not folder.is_dir():
        return []
    names = sorted(os.listdir(folder))
    return [name for name in names if name.lower().endswith(suffix) and not is_hidden(name)]


def first_files(folder: Path, suffix: str) -> Iterator[Path]:
    """The first files of that ending in a folder that are not empty and no links."""
    paths = (folder / name for name in texts_in(folder, suffix))
    files = (path for path in paths if path.is_file() and not path.is_symlink())
    return islice((path for path in files if path.stat().st_size), _MOST_LOOKED_AT)


def image_folders(root: Path, labels: Path) -> list[Path]:
    """The folders in which the images of a folder of labels may lie, nearest first.

    They are named as the labels' folder, images for labels: labels/train and images/train.
    """
    return _counterparts(root, labels, _LABELS, _IMAGES)


def label_folders(root: Path, images: Path) -> list[Path]:
    """The folders in which the labels of a folder of images may lie, nearest first."""
    return _counterparts(root, images, _IMAGES, _LABELS)


def _counterparts(
    root: Path, folder: Path, names: tuple[str, ...], others: tuple[str, ...]
) -> list[Path]:
    """The folder with one of its names replaced by others, the folder itself, and others in it."""
    parts = folder.relative_to(root).parts
    lower = [name.lower() for name in names]
    counterparts = []
    for at in reversed(range(len(parts))):
        if parts[at].lower() in lower:
            counterparts += [
                root.joinpath(*parts[:at], other, *parts[at + 1 :]) for other in others
            ]
            counterparts.append(root.joinpath(*parts[:at], *parts[at + 1 :]))
            break
    inside = [folder / other for other in others]
    beside = [root / other / folder.relative_to(root) for other in others]
    candidates = dict.fromkeys([*counterparts, folder, *inside, *beside])
    return [path for path in candidates if path.is_dir()]
