"""YOLO's splits: the images of each, which folders and lists name. An image is in one split alone.

`train: images` beside `val: images/val` puts the images of val into train too, and so do lists that
share names: a detector would be scored on what it has learned.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, permutations
from pathlib import Path

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_folders import folders_below
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS
from syndet_ray.data.readers.yolo_files import lines_of, listed_image

# The images of a split, whenever they are asked for. Remarks on lists go into those that are given.
Listing = Callable[[Remarks], Iterator[Path]]


def listings(
    sources: Mapping[str, Sequence[Path]], images: ImageFiles, remarks: Remarks
) -> dict[str, Listing]:
    """The images of each split, in the order of its sources.

    An image of several splits belongs to the last of them, in the order train, val, test; but a
    split that names a folder of another one has only what is in no folder of others. Those that a
    split loses are counted. A split with the same images as another one is left out, with a note.
    """
    if not _may_overlap(list(chain.from_iterable(sources.values()))):
        return {split: partial(_in_sources, paths, images) for split, paths in sources.items()}
    listed: dict[str, dict[str, Path]] = {}
    for split in sorted(sources, key=list(SPLITS).index):
        files = _by_id(split, sources[split], images, remarks)
        twin = next((other for other in listed if listed[other].keys() == files.keys()), None)
        if files and twin is not None:
            remarks.note(f"{split} has the same images as {twin}, and is left out")
        else:
            listed[split] = files
    owners: dict[str, str] = {}
    for split in sorted(listed, key=lambda split: not _holds_another(split, sources)):
        owners |= dict.fromkeys(listed[split], split)  # a later one takes the image
    kept: dict[str, Listing] = {}
    for split, files in listed.items():
        for image_id in files:
            if owners[image_id] != split:
                event = f"{split}: images that {owners[image_id]} names too, left out of {split}"
                remarks.count(event, image_id)
        rest = [file for image_id, file in files.items() if owners[image_id] == split]
        kept[split] = partial(_again, rest)
    return kept


def _by_id(
    split: str, paths: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> dict[str, Path]:
    """The images of these sources by their ids, each once."""
    files: dict[str, Path] = {}
    for file in _in_sources(paths, images, remarks):
        image_id = images.id_of(file)
        if image_id in files:
            remarks.count(f"{split}: images that it names twice, read once", image_id)
        files.setdefault(image_id, file)
    return files


def _may_overlap(sources: Sequence[Path]) -> bool:
    """True for lists, and for folders of which one is in another."""
    if len(sources) > 1 and any(map(_is_list, sources)):
        return True
    return any(inner.is_relative_to(outer) for inner, outer in permutations(sources, 2))


def _holds_another(split: str, sources: Mapping[str, Sequence[Path]]) -> bool:
    """True if a folder of a split holds one of another split."""
    others = [path for other, paths in sources.items() if other != split for path in paths]
    folders = [path for path in sources[split] if not _is_list(path)]
    return any(
        other != folder and not _is_list(other) and other.is_relative_to(folder)
        for folder in folders
        for other in others
    )


def _in_sources(paths: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Iterator[Path]:
    for path in paths:
        if _is_list(path):
            yield from _in_list(path, images, remarks)
        else:
            yield from _in_folder(path, images)


def _in_folder(folder: Path, images: ImageFiles) -> Iterator[Path]:
    """The images of a folder, at any depth."""
    for parent in folders_below(folder):
        yield from images.in_folder(parent)


def _in_list(path: Path, images: ImageFiles, remarks: Remarks) -> Iterator[Path]:
    """The images that a list names, each once; a second line for one is counted."""
    seen_paths: set[Path] = set()
    for position, line in enumerate(lines_of(path)):
        place = f"{path}, line {position + 1}"
        image = listed_image(path.parent, line, images, place) if line else None
        if image in seen_paths:
            remarks.count("images that a list names twice, read once", place)
        elif image is not None:
            seen_paths.add(image)
            yield image


def _again(files: Sequence[Path], remarks: Remarks) -> Iterator[Path]:
    """The images that were listed before, with their remarks."""
    return iter(files)


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == ".txt"
