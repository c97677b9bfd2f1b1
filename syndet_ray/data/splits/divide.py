"""Divide: splits the photos of a folder for all later runs, in an index file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read_as_stored
from syndet_ray.data.record import Source
from syndet_ray.data.splits.belonging import BYS, group_words, is_of_a_camera
from syndet_ray.data.splits.cut import Cut, cut_splits, in_one_heap
from syndet_ray.data.splits.groups import image_hashes
from syndet_ray.data.splits.split import check_apart
from syndet_ray.data.splits.split_index import FILE_NAME, SplitIndex, ids_by_split, is_index, load
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.files import check_writable, make_folder
from syndet_ray.progress import NamedProgress
from syndet_ray.wording import counted

_MOST_OF_ONE_GROUP = 0.5  # of the images: more of them leave no way to give each split its share
_DO_SEPARATE = (
    "add photos of other things, or separate photos that look alike with `allow_near_copies`"
)
_ELSEWHERE = "Name a file that can be written with `out`."


@dataclass(frozen=True, kw_only=True)
class Division:
    """Photos that were split, and the file that says how."""

    cut: Cut
    index: SplitIndex
    file: Path

    @property
    def warnings(self) -> Iterator[str]:
        """Sentences without full stops: classes that a split or all of them lack, groups that are
        not what one expects, and a val that is yet to be cut.
        """
        dataset = self.cut.dataset
        yield from self._warnings_on_groups()
        if self.index.by is not None and "val" not in dataset.splits:
            yield (
                f"there is no val: each sweep cuts one from train, by near copies alone and not by "
                f"{self.index.by}; with `val` it is cut here"
            )
        totals: dict[str, int] = dict.fromkeys(dataset.classes, 0)
        for source in dataset.splits.values():
            for name, count in boxes_by_class(source).items():
                totals[name] += count.boxes
        unused = [name for name, boxes in totals.items() if not boxes]
        if unused:
            yield f"no photo has a box of {', '.join(unused)}"
        for split, source in dataset.splits.items():
            for name, count in boxes_by_class(source).items():
                if totals[name] and not count.boxes:
                    boxes = "1 box" if totals[name] == 1 else f"{totals[name]} boxes"
                    yield f"{split} has no {name}: all photos together have {boxes} of it"

    @property
    def largest_words(self) -> str:
        """Words for the largest group, see `group_words`."""
        return group_words(self.cut.largest, self.index.by)

    def _warnings_on_groups(self) -> Iterator[str]:
        by, size = self.index.by, len(self.cut.largest)
        if size > self.cut.images * _MOST_OF_ONE_GROUP:
            others = " or ".join(word for word in BYS if word != by)
            do = _DO_SEPARATE if by is None else f"try `by` {others}, or leave `by` out"
            group = f"one group ({self.largest_words}) has {size} of {self.cut.images} images"
            yield f"{group} and stays in one split, so shares may not be what you asked for: {do}"
        if by == "stem":
            image_ids = [image_id for part in self.index.images.values() for image_id in part]
            of_a_camera = [image_id for image_id in image_ids if is_of_a_camera(image_id)]
            if of_a_camera:
                yield (
                    f"a camera's names, such as {min(of_a_camera)}, only count photos, so each is "
                    f"split by itself ({counted(len(of_a_camera), 'image')}); `by` time keeps "
                    f"together those taken within a minute"
                )


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """The boxes of a class, crowds left out, and the images that have one of them."""

    boxes: int
    images: int


def boxes_by_class(source: Source) -> dict[str, ClassCount]:
    """The count of each class of a source."""
    boxes = np.zeros(len(source.classes), int)
    images = np.zeros(len(source.classes), int)
    for record in source.records:
        labels = record.boxes.labels[~record.boxes.crowd]
        on_image = np.bincount(labels, minlength=len(source.classes))
        boxes += on_image
        images += on_image > 0
    counts = {}
    for label, name in enumerate(source.classes):
        counts[name] = ClassCount(boxes=int(boxes[label]), images=int(images[label]))
    return counts


def images_without_boxes(source: Source) -> int:
    """The number of images of a source without an object; crowds are none."""
    return sum(bool(record.boxes.crowd.all()) for record in source.records)


def split_photos(
    photos: Path,
    shares: Mapping[str, float],
    seed: int,
    progress: NamedProgress,
    *,
    by: str | None = None,
    out: Path | None = None,
    resplit: bool = False,
    allow_near_copies: bool = False,
    force: bool = False,
    labels: LabelOptions | None = None,
) -> Division:
    """Splits the photos of a folder and writes the index. The photos stay as they are.

    out      the file of the index; None puts it beside the photos, where `read` finds it
    resplit  shares out the images of all splits again, not only those of train
    force    replaces an index that is there
    labels   how labels are read; they also decide what the classes are that get their share
    shares, seed, by, allow_near_copies  as for `cut_splits`

    Raises SyndetError.
    """
    beside = photos / FILE_NAME
    file = beside if out is None else out
    is_beside = file.resolve() == beside.resolve()
    _check_file(file, force=force)
    dataset = read_as_stored(photos, labels, partial(progress, "reading labels"))
    if not resplit:  # copies in splits that stay would make the index useless: no run takes them
        check_apart(dataset, {name: image_hashes(part) for name, part in dataset.splits.items()})
    make_folder(file.parent, _ELSEWHERE)
    check_writable(file, _ELSEWHERE)
    cut = cut_splits(
        in_one_heap(dataset) if resplit else dataset,
        shares,
        seed,
        progress,
        by=by,
        allow_near_copies=allow_near_copies,
    )
    index = SplitIndex(
        images=ids_by_split(cut.dataset),
        shares=shares,
        seed=seed,
        by=by,
        resplit=resplit,
        photos=None if is_beside else str(photos.resolve()),
    )
    _check_file(file, force=force)  # again: another process may have split them meanwhile
    return Division(cut=cut, index=index, file=index.write(file))


def _check_file(file: Path, *, force: bool) -> None:
    """Raises SyndetError for a file that is no place for an index, or holds something already."""
    if file.suffix != ".json":
        raise DefinitionError("`out`", "must be a file that ends in .json", got=str(file))
    if file.is_dir():
        raise DataError(file, "is a folder", do="Give the path of a file with `out`.")
    if not file.exists():
        return
    if file.name != FILE_NAME and not is_index(file):
        raise DataError(file, "is a file of something else", do="Give another file with `out`.")
    if not force:
        present = f", hash {load(file).short_hash}" if is_index(file) else ""
        rule = f"is there already{present}: another split would be another test set"
        raise DataError(file, rule, do="Keep it, or replace it with `force`.")
