"""Inspection: sources measured, the others held against the first, and the images that are there
more than once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path

import numpy as np

from syndet_ray.data import copies
from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import Dataset, class_words, read
from syndet_ray.data.record import Record, Source
from syndet_ray.data.stand_in import FOLDER as STAND_IN_FOLDER
from syndet_ray.errors import DataError
from syndet_ray.inspection import duplicates
from syndet_ray.inspection.distance import Distance, Sample, class_distance, distance
from syndet_ray.inspection.statistics import STATISTICS, Measured, measure
from syndet_ray.progress import NamedProgress

# Two photos are compared at up to this size: copies.py looks at them at a quarter of it.
_LONGEST_PX = 1024
_KEPT = 64  # images, of 2 MB; one is compared with several, one after another
STAND_IN = "stand-in"  # the word for the built-in set, where a path is expected


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A source that was measured.

    splits  (n,) the split of each image
    """

    source: Source
    splits: tuple[str, ...]
    measured: Measured

    @property
    def name(self) -> str:
        return self.source.name

    def record(self, i: int) -> Record:
        return self.source.records[i]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an image stands. subject, image: positions."""

    subject: int
    image: int
    source: str
    split: str
    image_id: str


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Two images that are one, or look alike.

    exact  whether they are the same to the last bit
    copy   whether they are one photo, exactly, saved again or at another size: what `check` refuses
           in two splits
    bits   of 64 by which their hashes differ
    """

    first: Place
    second: Place
    exact: bool
    copy: bool
    bits: int

    @property
    def apart(self) -> bool:
        """Whether they stand in different splits or sources: who trains on one has seen the other."""
        return (self.first.source, self.first.split) != (self.second.source, self.second.split)


@dataclass(frozen=True, eq=False, kw_only=True)
class Inspection:
    """What was found. The first subject is the reference.

    classes    of all subjects, those of the reference first
    distances  by subject in the order given, within each the largest first; those that cannot be
               told last
    notes      what a reader should know of the data, in words
    """

    subjects: tuple[Subject, ...]
    classes: tuple[str, ...]
    distances: tuple[Distance, ...]
    twins: tuple[Twins, ...]
    notes: tuple[str, ...]

    @property
    def reference(self) -> Subject:
        return self.subjects[0]

    @property
    def stand_in(self) -> bool:
        return any(subject.source.stand_in for subject in self.subjects)

    def of(self, source: str) -> list[Distance]:
        """The numeric distances of a source from the reference, the largest first."""
        return [
            found
            for found in self.distances
            if found.source == source and found.statistic != "classes"
        ]


def inspect(
    paths: Sequence[str], split: str | None, progress: NamedProgress, seed: int = 0
) -> Inspection:
    """Measures the sources at `paths`, each a folder that `read` knows or the word "stand-in", and
    compares them.

    Of a single path with several splits the splits are the sources; else a source is all splits of
    its folder, or the one that is asked for. `progress` is told (what is done, done, of how many).
    Raises DataError where a path, split or image cannot be used, where one path is given twice, and
    for a source without images.
    """
    datasets = _datasets(paths, split)
    chosen = [(name, dataset.splits) for name, dataset in datasets.items()]
    if len(chosen) == 1:
        ((name, splits),) = chosen
        chosen = [
            (f"{name} {part}" if len(splits) > 1 else name, {part: source})
            for part, source in splits.items()
        ]
    subjects = tuple(_measured(name, splits, progress) for name, splits in chosen)
    classes = tuple(
        dict.fromkeys(name for subject in subjects for name in subject.measured.classes)
    )
    notes = [f"{name}: {note}" for name, dataset in datasets.items() for note in dataset.notes]
    distances = _distances(subjects, classes, seed, progress)
    return Inspection(
        subjects=subjects,
        classes=classes,
        distances=distances,
        twins=_twins(subjects, progress),
        notes=(*notes, *_class_notes(subjects, datasets)),
    )


def unique_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as it takes to tell all apart. The paths must differ."""
    for parts in count(1):
        names = ["/".join(path.parts[-parts:]).replace("//", "/") for path in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError


def _datasets(paths: Sequence[str], split: str | None) -> dict[str, Dataset]:
    """By name, each with the splits that are asked for and hold images."""
    places = [Path(STAND_IN) if path == STAND_IN else Path(path).resolve() for path in paths]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise DataError(
                paths[i], "is given twice", do="A source is 0 from itself; give each path once."
            )
    found = {}
    for path, name in zip(paths, unique_names(places), strict=True):
        dataset = read(STAND_IN_FOLDER if path == STAND_IN else Path(path))
        asked = _asked(path, dataset, split)
        marked = {
            part: replace(source, stand_in=path == STAND_IN) for part, source in asked.items()
        }
        found[name] = replace(dataset, splits=marked)
    return found


def _asked(path: str, dataset: Dataset, split: str | None) -> dict[str, Source]:
    """The splits of a dataset that are asked for, without those that hold no images."""
    if split is not None and split not in dataset.splits:
        raise DataError(
            path,
            f"has no {split} split",
            got=list(dataset.splits),
            do="Give another --split, or none.",
        )
    asked = dataset.splits if split is None else {split: dataset.splits[split]}
    there = {name: source for name, source in asked.items() if len(source)}
    if not there:
        raise DataError(path, "holds no images", do="Give a dataset that does.")
    return there


def _measured(name: str, splits: dict[str, Source], progress: NamedProgress) -> Subject:
    """A source of all images of the splits, measured."""
    first = next(iter(splits.values()))
    records = tuple(record for source in splits.values() for record in source.records)
    source = Source(name=name, classes=first.classes, records=records, stand_in=first.stand_in)
    parts = tuple(split for split, part in splits.items() for _ in part.records)
    return Subject(
        source=source,
        splits=parts,
        measured=measure(source, lambda done, total: progress(f"measuring {name}", done, total)),
    )


def _distances(
    subjects: Sequence[Subject], classes: tuple[str, ...], seed: int, progress: NamedProgress
) -> tuple[Distance, ...]:
    reference, *others = (subject.measured for subject in subjects)
    found: list[Distance] = []
    for subject, other in zip(subjects[1:], others, strict=True):
        told = []
        for done, statistic in enumerate(STATISTICS, start=1):
            one, two = (_sample(measured, statistic.name) for measured in (reference, other))
            told.append(distance(subject.name, statistic.name, one, two, seed, statistic.fine))
            progress(f"comparing {subject.name}", done, len(STATISTICS))
        found += sorted(told, key=lambda d: (d.value is None, -(d.value or 0.0)))
        counts = (reference.class_counts(classes), other.class_counts(classes))
        found.append(class_distance(subject.name, *counts, seed=seed))
    return tuple(found)


def _sample(measured: Measured, statistic: str) -> Sample:
    values, image_of = measured.known(statistic)
    return Sample(values=values, image_of=image_of, images=measured.images)


def _twins(subjects: Sequence[Subject], progress: NamedProgress) -> tuple[Twins, ...]:
    """Those that stand in different splits or sources first, exact ones before copies, and these
    before others.
    """
    places = [
        Place(
            subject=k,
            image=i,
            source=subject.name,
            split=split,
            image_id=subject.record(i).image_id,
        )
        for k, subject in enumerate(subjects)
        for i, split in enumerate(subject.splits)
    ]
    parts = np.unique([f"{place.subject}/{place.split}" for place in places], return_inverse=True)[
        1
    ]
    prints = [found for subject in subjects for found in subject.measured.prints]
    gallery = _Gallery(subjects, places)
    looking = partial(progress, "looking for duplicates")
    pairs = duplicates.pairs(prints, parts.tolist(), gallery.show_the_same, looking)
    twins = []
    for pair in pairs:
        copy = pair.exact or gallery.is_copy(pair.first, pair.second)
        twins.append(
            Twins(
                first=places[pair.first],
                second=places[pair.second],
                exact=pair.exact,
                copy=copy,
                bits=pair.bits,
            )
        )
    return tuple(
        sorted(
            twins, key=lambda found: (not found.apart, not found.exact, not found.copy, found.bits)
        )
    )


class _Gallery:
    """The images at `places`, decoded as they are asked for; a few are kept."""

    def __init__(self, subjects: Sequence[Subject], places: Sequence[Place]) -> None:
        self._subjects, self._places = subjects, places
        self._pool = lru_cache(maxsize=_KEPT)(self._decoded)

    def show_the_same(self, i: int, j: int) -> bool:
        """Whether no object is seen, and labelled, in one of two images alone."""
        return copies.show_the_same(self._pool(i), 0, self._pool(j), 0)

    def is_copy(self, i: int, j: int) -> bool:
        return copies.is_copy(self._pool(i), 0, self._pool(j), 0)

    def _decoded(self, k: int) -> Pool:
        """A pool of image k alone."""
        place = self._places[k]
        source = self._subjects[place.subject].source.select([place.image])
        longest_px = max(source.records[0].size_wh)
        return decode(source, min(longest_px, _LONGEST_PX))


def _class_notes(subjects: Sequence[Subject], datasets: Mapping[str, Dataset]) -> Iterable[str]:
    """Which classes only one side knows; classes are matched by name. All splits of one dataset
    know the same.
    """
    reference, *others = subjects
    for other in others:
        for one, two in ((reference, other), (other, reference)):
            if only := set(one.measured.classes) - set(two.measured.classes):
                words = class_words(only, datasets[one.name].few_boxes)
                yield f"classes that {one.name} has and {two.name} has not: {words}"
