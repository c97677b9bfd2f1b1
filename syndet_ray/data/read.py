"""Read: a folder of labelled images, in any known format, as one dataset."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from syndet_ray.data.build import Labels, SourceBuilder, is_text, with_escapes
from syndet_ray.data.classes import without_classes
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.readers import (
    ana,
    bop,
    coco,
    createml,
    cvat,
    groceries,
    kitti,
    label_studio,
    labelme,
    parquet,
    perception,
    replicator,
    solo,
    tfrecord,
    unread,
    voc,
    vott,
    yolo,
)
from syndet_ray.data.readers.datumaro import PREFIX, DatumaroReader
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.labels import Reading
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.record import Source
from syndet_ray.data.splits import split_index
from syndet_ray.data.tally import few_boxes
from syndet_ray.errors import DataError, nearest_and_all
from syndet_ray.files import reading
from syndet_ray.progress import Progress


class Reader(Protocol):
    """A module in `readers/`: it reads one format."""

    LAYOUT: str  # how a folder of this format looks, in a line of an error message

    def files(self, folder: Path) -> list[Path]:
        """The annotation files of a folder; none if it has another format.

        Folders of other formats are asked too, so it looks at names first, and reads little.
        """

    def read(
        self, folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks
    ) -> Reading:
        """The images and labels of these files, which `files` found in the folder.

        images   finds the image files that annotations name
        remarks  takes boxes and images that cannot be used, which are left out, and notes

        Raises DataError for a file that cannot be read as a whole.
        """


FORMATS: Mapping[str, Reader] = {
    "TFRecord": tfrecord,
    "COCO": coco,
    "VOC": voc,
    "YOLO": yolo,
    "KITTI": kitti,
    "VoTT": vott,
    "CreateML": createml,
    "CVAT": cvat,
    "LabelStudio": label_studio,
    "labelme": labelme,
    "SOLO": solo,
    "Perception": perception,
    "ana": ana,
    "BOP": bop,
    "Replicator": replicator,
    "GroceriesReal": groceries,
    "Parquet": parquet,
}
# What people call a format beside its name here, as `_letters` gives it.
_OTHER_NAMES = {
    "pascalvoc": "VOC",
    "ultralytics": "YOLO",
    "darknet": "YOLO",
    "renderedai": "ana",
}
_ANY_OTHER = "Other formats: `format` datumaro:NAME, if Datumaro is installed."
_LISTED_FILES = 8  # of a folder without a dataset: enough to recognise the folder


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Sources by split ("train", "val", "test"; some may be missing), with one list of classes.

    notes      what was repaired or left out, in words
    few_boxes  for each class with few boxes, how many and where the first is, in words
    boxes_in   for each split, as it was read: the same words for each of all classes
    options    how its labels were read
    index_file the split index that split it; None if its own layout does
    """

    path: Path
    format: str
    classes: tuple[str, ...]
    splits: dict[str, Source]
    notes: tuple[str, ...] = ()
    few_boxes: Mapping[str, str] = field(default_factory=dict)
    boxes_in: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    options: LabelOptions = field(default_factory=LabelOptions)
    index_file: Path | None = None

    @property
    def words_of_classes(self) -> dict[str, str]:
        """For each class, its number of boxes in all splits: "12 boxes"; with the place of the
        first if they are few.
        """
        words = {}
        for name, count in self.box_counts.items():
            words[name] = "1 box" if count == 1 else f"{count} boxes"
        return {**words, **self.few_boxes}

    @property
    def box_counts(self) -> dict[str, int]:
        """The number of boxes of each class in all splits, crowds not counted."""
        counts = np.zeros(len(self.classes), np.int64)
        for source in self.splits.values():
            counts += source.class_counts()
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def format_words(self) -> tuple[str, ...]:
        """A note on the format that was recognized; none for the stand-in set."""
        is_stand_in = any(source.stand_in for source in self.splits.values())
        return () if is_stand_in else (f"labels read as {self.format}",)

    def without_classes(self, names: Collection[str]) -> "Dataset":
        """The dataset without some of its classes; see `classes.without_classes`."""
        splits = {split: without_classes(source, names) for split, source in self.splits.items()}
        few = {name: words for name, words in self.few_boxes.items() if name not in names}
        boxes_in = {}
        for split, words_of in self.boxes_in.items():
            boxes_in[split] = {name: words_of[name] for name in words_of if name not in names}
        classes = tuple(name for name in self.classes if name not in names)
        return replace(self, classes=classes, splits=splits, few_boxes=few, boxes_in=boxes_in)

    def split_to_score(self, name: str | None = None) -> str:
        """The name of the split that models are scored on.

        It is `name` if given, else the only split of the dataset, else "test". Raises DataError if
        the dataset has no such split.
        """
        default = next(iter(self.splits)) if len(self.splits) == 1 else "test"
        chosen = name or default
        if chosen not in self.splits:
            do = f"Choose with `split`: {', '.join(self.splits) or 'none'}."
            raise DataError(self.path, f"has no split {chosen!r}", do=do)
        return chosen


def read(
    path: Path, options: LabelOptions | None = None, progress: Progress | None = None
) -> Dataset:
    """Reads the dataset in a folder, split as its split index says if it has one.

    An index that is elsewhere may be named instead of the folder. Raises what `read_as_stored`
    raises, and DataError for an index that does not fit the images.
    """
    with reading(path):
        folder, index_file = split_index.photos_and_index(path)
        dataset = _read(folder, options or LabelOptions(), progress)
        return split_index.apply(dataset, index_file)


def read_with_own_classes(
    path: Path, options: LabelOptions, progress: Progress | None = None
) -> tuple[Dataset, Dataset]:
    """The dataset as `read` gives it, and the same images with the classes of their files.

    The files are read once. Raises what `read` raises.
    """
    with reading(path):
        folder, index_file = split_index.photos_and_index(path)
        ways = [options, replace(options, classes={})]
        first, second = _read_in_ways(folder, ways, progress)
        return split_index.apply(first, index_file), split_index.apply(second, index_file)


def read_as_stored(
    path: Path, options: LabelOptions | None = None, progress: Progress | None = None
) -> Dataset:
    """Reads the dataset in a folder, without a split index; images are in the order of their ids.

    progress  is called with (images read, images in all as far as they are known)

    Raises DataError for a folder or layout that cannot be used, and one for all annotations and
    images that cannot, unless `options` leave them out. Only the header of each image is read:
    `decode` finds images that are damaged further down. Raises MachineError if the system refuses
    to read a file or folder.
    """
    with reading(path):
        return _read(path, options or LabelOptions(), progress)


def _read(path: Path, options: LabelOptions, progress: Progress | None) -> Dataset:
    (dataset,) = _read_in_ways(path, [options], progress)
    return dataset


def _read_in_ways(
    path: Path, ways: Sequence[LabelOptions], progress: Progress | None
) -> list[Dataset]:
    """The dataset in a folder with the classes of each of `ways`, which differ only in them.

    What cannot be used, and all notes, are those of the first one. The others have the same images.
    """
    if not path.is_dir():
        rule = "is not a folder" if path.exists() else "does not exist"
        raise DataError(path, rule, do="Give the folder that holds the dataset.")
    kind, reader, files = _format_and_files(path, ways[0].format)
    remarks = Remarks()
    images = ImageFiles(path, remarks)
    content = reader.read(path, files, images, remarks)
    assemblies = [_Assembly(images, ways[0], remarks)]
    assemblies += [_Assembly(images, options, Remarks()) for options in ways[1:]]
    _read_images(content, assemblies, progress)
    first, *others = (assembly.dataset(path, kind, content) for assembly in assemblies)
    skip_bad = ways[0].skip_bad
    remarks.check(path, skip_bad=skip_bad, hint="" if skip_bad else images.renamed_words)
    first = replace(first, notes=tuple(remarks.notes))
    return [first, *(_with_images_of(first, other) for other in others)]


class _Assembly:
    """A dataset while its images are read.

    remarks  takes what cannot be used, and notes
    """

    def __init__(self, images: ImageFiles, options: LabelOptions, remarks: Remarks) -> None:
        self._images = images
        self._options = options
        self._labels = Labels(options)
        self._remarks = remarks
        self._builders: dict[str, SourceBuilder] = {}

    def builder(self, split: str) -> SourceBuilder:
        """The builder of a split, a new one for a new split."""
        if split not in self._builders:
            builder = SourceBuilder(split, self._images, self._labels, self._remarks)
            self._builders[split] = builder
        return self._builders[split]

    def dataset(self, path: Path, kind: str, content: Reading) -> Dataset:
        """All that was read, without notes."""
        classes = self._labels.classes(content.classes)
        _check_names(path, classes)
        if self._labels.unused_names:
            names = ", ".join(self._labels.unused_names)
            self._remarks.note(f"no class has these names of the class map: {names}")
        splits = {split: builder.source(classes) for split, builder in self._builders.items()}
        tallies = {split: builder.tally for split, builder in self._builders.items()}
        return Dataset(
            path=path,
            format=kind,
            classes=classes,
            splits=splits,
            few_boxes=few_boxes(tallies, classes),
            boxes_in={split: tally.all_words(classes) for split, tally in tallies.items()},
            options=self._options,
        )


def _with_images_of(first: Dataset, other: Dataset) -> Dataset:
    """The other dataset without images that the first one lacks."""
    splits = {}
    for split, source in other.splits.items():
        kept = set(first.splits[split].image_ids())
        positions = [i for i, image_id in enumerate(source.image_ids()) if image_id in kept]
        splits[split] = source.select(positions)
    return replace(other, splits=splits)


def _check_names(path: Path, classes: Sequence[str]) -> None:
    """Raises DataError for a class whose name can be written into no file."""
    for name in classes:
        if not is_text(name):
            rule = "the name of a class must be text in UTF-8"
            raise DataError(path, rule, got=with_escapes(name), do="Rename it in the labels.")


def _read_images(
    content: Reading, assemblies: Sequence[_Assembly], progress: Progress | None
) -> None:
    """Adds each image of a reading to all assemblies."""
    done = 0
    for split, part in content.splits.items():
        builders = [assembly.builder(split) for assembly in assemblies]
        for image in part:
            for builder in builders:
                builder.add(image)
            done += 1
            if progress is not None:
                progress(done, max(content.images, done + 1))
    if progress is not None:
        progress(done, done)


def _format_and_files(folder: Path, name: str | None) -> tuple[str, Reader, list[Path]]:
    """The one format of which a folder holds annotation files, its reader, and these files.

    name  the format if it is told
    """
    if name is not None:
        kind, reader = _format_named(name)
        files = reader.files(folder)
        if not files:
            do = _layout_of(kind, reader)
            raise DataError(folder, f"holds no dataset of format {kind}", do=do)
        return kind, reader, files
    files_of = {kind: reader.files(folder) for kind, reader in FORMATS.items()}
    kinds = [kind for kind, files in files_of.items() if files]
    if not kinds:
        unread.check_formats(folder)
        names = sorted(path.name for path in folder.iterdir())[:_LISTED_FILES]
        layouts = "".join(f"\n  {_layout_of(*entry)}" for entry in FORMATS.items())
        do = f"Known:{layouts}\nA split is train, val or test. {_ANY_OTHER}"
        raise DataError(folder, "holds no dataset of a known layout", got=names, do=do)
    if len(kinds) > 1:
        candidates = [f"{kind} ({files_of[kind][0].relative_to(folder)})" for kind in kinds]
        rule = f"must hold one dataset, not {' and '.join(candidates)}"
        raise DataError(folder, rule, do="Say which with `format`, or give each a folder.")
    return kinds[0], FORMATS[kinds[0]], files_of[kinds[0]]


def _layout_of(kind: str, reader: Reader) -> str:
    return f"{kind}: {reader.LAYOUT}."


def _format_named(name: str) -> tuple[str, Reader]:
    """The format of that name, and its reader. Case, spaces and punctuation do not matter.

    Raises DataError.
    """
    if name.lower().startswith(PREFIX):
        kind = name[len(PREFIX) :]
        return f"{PREFIX}{kind}", DatumaroReader(kind)
    kinds = {**_OTHER_NAMES, **{_letters(kind): kind for kind in FORMATS}}
    full_name = kinds.get(_letters(name))
    if full_name is None:
        do = f"{nearest_and_all(name, FORMATS)} {_ANY_OTHER}"
        raise DataError("`format`", "must be a known format", got=name, do=do)
    return full_name, FORMATS[full_name]


def _letters(name: str) -> str:
    """The letters and digits of a name in lower case: those of "Label-Studio" are labelstudio."""
    return "".join(filter(str.isalnum, name.lower()))
