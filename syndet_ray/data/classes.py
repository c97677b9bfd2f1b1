"""Classes: are those of several sources the same, by name, and what is done about those that are
not.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from syndet_ray.boxes import ANY_CLASS, Boxes, spread_regions
from syndet_ray.data.class_map import ClassMap, map_line
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record, Records, Source
from syndet_ray.data.tally import FEW_BOXES
from syndet_ray.errors import DataError

_STRAY_SHARE = 0.02  # of all boxes; in a small set a class with more of them was meant
_MOST_WITH_BOXES = 6  # classes in a message, each with its boxes
_MOST_LISTED = 20  # names in a message: enough to see whose classes they are
_DO = "Rename, merge or drop classes with `classes`."


def check_classes(
    real: Sequence[str],
    other: Sequence[str],
    place: object,
    *,
    other_name: str = "the synthetic data",
    boxes: Mapping[str, str] | None = None,
    do: str = _DO,
) -> None:
    """Raises DataError that names the difference unless both sides have the same class names.

    Their order may differ. Names that differ only in case, spaces and signs are pointed out.

    other_name  the other side, as the message calls it
    boxes       for some classes, how many boxes they have and where the first is, in words
    do          advice for the reader of the message
    """
    only_real, only_other = set(real) - set(other), set(other) - set(real)
    differences = []
    for side, names in (("the real data", only_real), (other_name, only_other)):
        if names:
            differences.append(f"{_difference_words(names, boxes or {})} only in {side}")
    if differences:
        rule = f"the real data and {other_name} must have the same classes"
        alike = _alike_words(only_real, only_other)
        do = f"{alike} {do}".strip()
        raise DataError(place, f"{rule}; found {'; '.join(differences)}", do=do)


def class_words(names: Iterable[str], boxes: Mapping[str, str]) -> str:
    """Classes in alphabetical order, with the words for the boxes of some: "bishop (1 box: ...),
    king".
    """
    places = {name: f" ({words})" for name, words in boxes.items()}
    return ", ".join(f"{name}{places.get(name, '')}" for name in sorted(names))


def _difference_words(names: Collection[str], boxes: Mapping[str, str]) -> str:
    """Classes, with the words for their boxes where a person can take in as many."""
    if len(names) <= _MOST_WITH_BOXES:
        return class_words(names, boxes)
    listed = sorted(names)[:_MOST_LISTED]
    more = len(names) - len(listed)
    ending = f" and {more} more" if more else ""
    return f"{len(names)} classes ({', '.join(listed)}{ending})"


def _alike_words(real: Iterable[str], other: Iterable[str]) -> str:
    """A sentence on the names that are probably one class, as lines of a class map; "" if none."""
    of_plain: dict[str, list[str]] = {}
    for name in sorted(other):
        of_plain.setdefault(_plain(name), []).append(name)
    pairs = []
    for name in sorted(real):
        candidates = of_plain.get(_plain(name), [])
        if len(candidates) == 1:
            pairs.append(f"`{map_line(name, candidates[0])}`")
    return f"Probably the same: {', '.join(pairs)}." if pairs else ""


def alike_names(names: Iterable[str]) -> list[list[str]]:
    """The groups of two or more names that differ only in case, spaces and signs."""
    of_plain: dict[str, list[str]] = {}
    for name in sorted(names):
        of_plain.setdefault(_plain(name), []).append(name)
    return [group for group in of_plain.values() if len(group) > 1]


def spelling_words(groups: Iterable[Sequence[str]], counts: Mapping[str, int]) -> str:
    """Words for groups of names that are probably one class, with the lines of a class map that
    merge each into the name that has most boxes.

    counts  boxes of each class
    """
    words, lines = [], []
    for group in groups:
        words.append(" and ".join(group))
        usual = max(group, key=counts.__getitem__)
        lines += [f"`{map_line(name, usual)}`" for name in group if name != usual]
    what = "the line" if len(lines) == 1 else "the lines"
    names = f"probably one class: {', '.join(words)}"
    return f"{names}; to merge them, write {what} {', '.join(lines)} into a file for `classes`"


def _plain(name: str) -> str:
    """A name without case, spaces and signs; itself if it has nothing else."""
    return re.sub(r"[\W_]", "", name.casefold()) or name


def stray_classes(counts: Mapping[str, int], others: Collection[str]) -> list[str]:
    """Classes that others lack and that have very few of all boxes: probably slips in labelling.

    counts  boxes of each class
    others  the classes of all other sources
    """
    most = min(FEW_BOXES - 1, _STRAY_SHARE * sum(counts.values()))
    return [name for name, count in counts.items() if name not in others and count <= most]


def without_classes(source: Source, names: Collection[str]) -> Source:
    """The source without some of its classes.

    Their boxes become regions in which objects of any class may be: something is there, of an
    unknown class. So it is neither learned as background nor scored.
    """
    if not set(names) & set(source.classes):
        return source
    classes = tuple(name for name in source.classes if name not in names)
    index_of = {name: i for i, name in enumerate(classes)}
    labels = [index_of.get(name, ANY_CLASS) for name in source.classes]
    new_labels = np.array(labels, np.int64)
    if isinstance(source.records, Records):
        columns = _relabel_columns(source.records, new_labels, len(classes))
        return replace(source, classes=classes, records=columns)
    records = [_relabel(record, new_labels, len(classes)) for record in source.records]
    return replace(source, classes=classes, records=tuple(records))


def _relabel_columns(records: Records, new_labels: np.ndarray, classes: int) -> Records:
    """Records with new labels; the boxes of label ANY_CLASS become crowds of each class."""
    relabelled = replace(records.boxes, labels=new_labels[records.boxes.labels])
    spread, rows = spread_regions(relabelled, classes)
    # the rows of each box follow one another, in the order of the boxes
    starts = np.searchsorted(rows, records.box_starts)
    return replace(records, boxes=spread, box_starts=starts)


def _relabel(record: Record, new_labels: np.ndarray, classes: int) -> Record:
    """A record with new labels; the boxes of label ANY_CLASS become crowds of each class."""
    relabelled = replace(record.boxes, labels=new_labels[record.boxes.labels])
    spread, _ = spread_regions(relabelled, classes)
    return replace(record, boxes=spread)


def new_classes(classes: Sequence[str], names: ClassMap) -> tuple[str, ...]:
    """The classes under their new names, each once; those that are dropped are missing."""
    renamed = [names.get(name, name) for name in classes]
    return tuple(dict.fromkeys(name for name in renamed if name is not None))


def rename_classes(pool: Pool, names: ClassMap) -> Pool:
    """The pool with new names of its classes; equal names merge, boxes of None are dropped."""
    classes = new_classes(pool.classes, names)
    if classes == pool.classes:
        return pool
    index_of = {name: i for i, name in enumerate(classes)}
    new_labels = [index_of.get(names.get(name, name) or "", -1) for name in pool.classes]
    labels = np.array(new_labels, np.int64)[pool.labels]
    is_kept = labels >= 0
    image_of_box = np.repeat(np.arange(len(pool)), pool.box_counts)
    boxes = Boxes(
        xyxy=pool.xyxy[is_kept],
        labels=labels[is_kept],
        visibility=pool.visibility[is_kept],
        crowd=pool.crowd[is_kept],
    )
    return replace(
        pool,
        classes=classes,
        box_counts=np.bincount(image_of_box[is_kept], minlength=len(pool)),
        xyxy=boxes.xyxy,
        labels=boxes.labels,
        visibility=boxes.visibility,
        crowd=boxes.crowd,
    )
