"""YOLO's text labels: `class cx cy w h` a line, in shares of the image's sides, classes from 0.

More numbers are the corners of a polygon (Ultralytics, Roboflow), read as the box around it. An
image without a label file, or with an empty one, has no objects (docs.ultralytics.com/datasets).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from sys import intern
from urllib.parse import unquote

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_folders import (
    first_files,
    folders_below,
    image_folders,
    label_folders,
    texts_in,
)
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.spellings import as_uploaded, plain, without_upload_prefix
from syndet_ray.data.readers.values import for_message, number
from syndet_ray.data.readers.yolo_files import (
    NAMES,
    YoloFiles,
    darknet_files,
    decode_text,
    from_darknet,
    from_folders,
    from_yaml,
    lines_of,
    name_files,
    yaml_files,
)
from syndet_ray.data.readers.yolo_splits import Listing, listings
from syndet_ray.errors import DataError

LAYOUT = "data.yaml, obj.data or classes.txt of YOLO with images/ and labels/*.txt"
_OUTSIDE = 1.0  # of a side: a label further out is in pixels, not in shares
_MOST_NAMES = 5  # in one note
_MOST_SHOWN = 80  # characters of a line in a message


def files(folder: Path) -> list[Path]:
    """data.yaml, else obj.data, else the files that name classes beside labels, else a label."""
    descriptions = yaml_files(folder) or darknet_files(folder)
    if descriptions:
        return descriptions
    label = _first_label(folder)
    names = name_files(folder)
    if label is not None:
        return names or [label]
    return [path for path in names if path.suffix != ".json"] if _has_empty(folder) else []


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image, those without a label file included.

    Raises DataError where names or images are missing, or no image of train has labels.
    """
    dataset = _dataset(folder, files, images, remarks)
    splits = {}
    labels = _LabelFiles(images, remarks)
    listing_of = listings(dataset.sources, images, remarks)
    for split, listing in listing_of.items():
        sources = dataset.sources[split]
        if _has_labels(listing, images):
            splits[split] = _images(dataset, listing(remarks), labels, images, remarks)
            continue
        place = ", ".join(str(source) for source in sources)
        if split == "train":
            raise _without_labels(place, listing)
        remarks.note(f"{split} is left out: no image has a label file ({place})")
    last = next(reversed(splits), None)
    if last is not None:
        splits[last] = chain(splits[last], labels.count_unused())
    names = [dataset.names[at] for at in sorted(dataset.names)]
    classes = tuple(dict.fromkeys(names))
    if len(classes) < len(names):
        repeated = sorted({name for name, count in Counter(names).items() if count > 1})
        listed = ", ".join(repr(for_message(name)) for name in repeated[:_MOST_NAMES])
        remarks.note(f"classes of the same name are one class ({dataset.place}): {listed}")
    return Reading(splits=splits, classes=classes)


def _dataset(
    folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> YoloFiles:
    first = next((path for path in files if path.stem == "data"), files[0])
    if first.suffix in (".yaml", ".yml", ".data") and len(files) > 1:
        others = ", ".join(path.name for path in files if path != first)
        remarks.note(f"{first} describes the dataset; not read: {others}")
    if first.suffix in (".yaml", ".yml"):
        return from_yaml(first, images, remarks)
    if first.suffix == ".data":
        return from_darknet(first, images)
    return from_folders(folder, files, images)


def _first_label(folder: Path) -> Path | None:
    for parent in folders_below(folder):
        for path in first_files(parent, ".txt"):
            if path.name not in NAMES and _is_label(path):
                return path
    return None


def _has_empty(folder: Path) -> bool:
    """True if a folder `labels` holds texts, all of which may be empty."""
    folders = (parent for parent in folders_below(folder) if "labels" in parent.parts)
    return any(texts_in(parent, ".txt") for parent in folders)


def _is_label(path: Path) -> bool:
    """True for a file whose first line is a class and shares, or ends with a confidence."""
    with path.open("rb") as file:
        words = decode_text(file.read(4096)).partition("\n")[0].split()
    values = [number(word) for word in words]
    if len(values) < 5 or not values[0].is_integer() or not words[0].isascii():
        return False
    return all(-_OUTSIDE <= value <= 1 + _OUTSIDE for value in values[1:5])


def _has_labels(listing: Listing, images: ImageFiles) -> bool:
    labels = _LabelFiles(images, Remarks())
    return any(labels.of(path) for path in listing(Remarks()))


class _LabelFiles:
    """The label files of images, and those that belong to none."""

    def __init__(self, images: ImageFiles, remarks: Remarks) -> None:
        self._images = images
        self._remarks = remarks
        self._used: dict[Path, dict[str, str]] = {}  # by folder and name, the image's ending
        self.folders_of = cache(partial(label_folders, images.root))

    def of(self, image: Path) -> Path | None:
        """The label file of an image, of its very name or of another spelling of it."""
        folders = self.folders_of(image.parent)
        for folder in folders:
            path = folder / f"{image.stem}.txt"
            if self._images.holds(path):
                return self._use(path, image)
        for folder in folders:
            names = self._by_plain_stem(folder).get(plain(image.stem), [])
            if len(names) == 1 and self._images.holds(folder / names[0]):
                path = self._use(folder / names[0], image)
                event = "label files found under another spelling of their image's name"
                self._remarks.count(event, f"{path} of {self._images.id_of(image)}")
                return path
        return self._of_another_folder(image)

    def candidates(self, image: Path) -> list[Path]:
        """The label files anywhere that have an image's name, and no image of their own; those of
        another split left out.
        """
        stem = plain(image.stem)
        of_stem = [self._by_any_stem.get(name, []) for name in (stem, as_uploaded(stem))]
        paths = dict.fromkeys(chain.from_iterable(of_stem))
        splits = self._images.splits_of([image.parent])
        in_split = [path for path in paths if self._images.splits_of([path.parent]) <= splits]
        labels = [path for path in in_split if self._images.holds(path) and _is_label(path)]
        return [path for path in labels if not self._has_own_image(path)]

    def _of_another_folder(self, image: Path) -> Path | None:
        """The only label file of an image's name, where only one image has that name.

        Label Studio and LabelImg put the labels of all photos into one folder.
        """
        paths = self.candidates(image)
        if len(paths) != 1 or len(self._images.of_base_name(image.name)) > 1:
            return None
        path = self._use(paths[0], image)
        event = "label files found in another folder than that of their image"
        self._remarks.count(event, f"{path} of {self._images.id_of(image)}")
        return path

    def _has_own_image(self, label: Path) -> bool:
        folders = image_folders(self._images.root, label.parent)
        return self._images.with_stem(label.stem, folders) is not None

    def count_unused(self) -> Iterator[LabelledImage]:
        """Counts, and gives nothing. Call it after all labels are read."""
        for folder, used in self._used.items():
            for name in texts_in(folder, ".txt"):
                path = folder / name
                if name not in used and name not in NAMES and _is_label(path):
                    self._remarks.count("label files of no image that is read, left out", str(path))
        yield from ()

    def _use(self, path: Path, image: Path) -> Path:
        ending = intern(image.suffix)  # a million of them
        first = self._used.setdefault(path.parent, {}).setdefault(path.name, ending)
        if first != ending:
            event = "label files of two images, read for both"
            self._remarks.count(event, f"{path}, {image.stem}{first} and {ending}")
        return path

    @cache  # noqa: B019 - as long as one dataset is read
    def _by_plain_stem(self, folder: Path) -> dict[str, list[str]]:
        """Names of the texts in a folder by their plain stem, also without Label Studio's prefix
        and with %20 as a blank.
        """
        names: dict[str, list[str]] = {}
        for name in texts_in(folder, ".txt"):
            for spelling in _spellings(name):
                names.setdefault(spelling, []).append(name)
        return names

    @cached_property
    def _by_any_stem(self) -> defaultdict[str, list[Path]]:
        """All label files in the dataset by the same spellings of their stem."""
        paths = defaultdict[str, list[Path]](list)
        for folder in folders_below(self._images.root):
            for name in texts_in(folder, ".txt"):
                for spelling in _spellings(name) if name not in NAMES else ():
                    paths[spelling].append(folder / name)
        return paths


def _spellings(name: str) -> set[str]:
    stem = plain(Path(name).stem)
    return {stem, unquote(stem), without_upload_prefix(stem)}


def _without_labels(place: str, listing: Listing) -> DataError:
    """The error for images of which none has labels, or none exists that is train's alone."""
    if any(listing(Remarks())):
        do = "labels/ must mirror images/: labels/a.txt for images/a.jpg."
        return DataError(place, "none of its images has a label file", do=do)
    do = "Export the dataset with its images, and leave some to train alone."
    rule = "none of its images exists in the dataset's folder, or all belong to other splits too"
    return DataError(place, rule, do=do)


def _is_linked_out(image: Path, folders: Sequence[Path]) -> bool:
    """True for an image whose label file is a link that leads out of the dataset, or nowhere."""
    return any((folder / f"{image.stem}.txt").is_symlink() for folder in folders)


def _images(
    dataset: YoloFiles,
    files: Iterable[Path],
    labels: _LabelFiles,
    images: ImageFiles,
    remarks: Remarks,
) -> Iterator[LabelledImage]:
    for image in files:
        path = labels.of(image)
        if path is None and _is_linked_out(image, labels.folders_of(image.parent)):
            rule = "its label file must lie in the dataset's folder, links included"
            remarks.problem(str(image), rule)
            continue
        if path is None and (candidates := labels.candidates(image)):
            rule = "has no label file, and several images or label files have its name"
            remarks.problem(str(image), rule, got=str(candidates[0]))
            continue
        if path is None:
            event = "images without a label file, read as images without objects"
            remarks.count(event, images.id_of(image))
            yield LabelledImage(image=image, boxes=(), relative=True, place=str(image))
            continue
        boxes = list(_boxes(path, dataset, remarks))
        yield LabelledImage(image=image, boxes=boxes, relative=True, place=str(path))


def _boxes(path: Path, dataset: YoloFiles, remarks: Remarks) -> Iterator[LabelledBox]:
    for position, line in enumerate(lines_of(path)):
        place = f"line {position + 1}"
        where = f"{path}, {place}"
        box = _box(line, place, where, dataset, remarks) if line else None
        if box is not None:
            yield box


def _box(
    line: str, place: str, where: str, dataset: YoloFiles, remarks: Remarks
) -> LabelledBox | None:
    """The box of a line; None, with a problem, for a line that is no label."""
    values = [number(word) for word in line.split()]
    shown = line[:_MOST_SHOWN]
    if dataset.has_keypoints and len(values) > 5:
        values = values[:5]
    if len(values) == 6:
        rule = "has six numbers: a prediction with its confidence is no label"
        remarks.problem(where, rule, got=shown)
        return None
    if len(values) < 5 or len(values) % 2 == 0 or any(map(math.isnan, values)):
        rule = "must hold a class and four numbers, or the corners of a polygon"
        remarks.problem(where, rule, got=shown)
        return None
    if not all(-_OUTSIDE <= value <= 1 + _OUTSIDE for value in values[1:]):
        rule = "its numbers must be shares of the image's sides, 0 to 1: divide pixels by them"
        remarks.problem(where, rule, got=shown)
        return None
    name = dataset.names.get(int(values[0])) if values[0].is_integer() else None
    if name is None:
        count = len(dataset.names)
        rule = f"its class must be a number of the {count} names in {dataset.place.name}, from 0"
        remarks.problem(where, rule, got=for_message(line.split()[0]))
        return unusable(_edges(values[1:]), place)
    if len(values) > 5:
        remarks.count("polygons read as the boxes around them", where)
    return LabelledBox(xyxy=_edges(values[1:]), name=name, place=place)


def _edges(values: Sequence[float]) -> Edges:
    """Edges from the center and the sides, or around corners."""
    if len(values) > 4:
        xs, ys = values[0::2], values[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
