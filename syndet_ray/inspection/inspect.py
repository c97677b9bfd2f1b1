"""Inspection: measures sources, compares the others with the first, and finds duplicate images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, count
from pathlib import Path

import numpy as np

from syndet_ray.data.classes import class_words
from syndet_ray.data.decode import decode
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Record, Source
from syndet_ray.data.splits import copies
from syndet_ray.data.stand_in import STAND_IN, photos_at
from syndet_ray.errors import DataError
from syndet_ray.inspection import duplicates
from syndet_ray.inspection.class_sizes import SizeTest, size_tests
from syndet_ray.inspection.distance import Distance, Sample, class_distance, distance
from syndet_ray.inspection.statistics import STATISTICS, Measurements, measure
from syndet_ray.progress import NamedProgress

# Two photos are compared at up to this size: copies.py looks at them at a quarter of it.
_LONGEST_PX = 1024
_KEPT = 64  # images, of 2 MB; one is compared with several, one after another


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A source that was measured.

    splits  (n,) the split of each image
    """

    source: Source
    splits: tuple[str, ...]
    measurements: Measurements

    @property
    def name(self) -> str:
        return self.source.name

    def record(self, i: int) -> Record:
        return self.source.records[i]


@dataclass(frozen=True, kw_only=True)
class ImagePlace:
    """The place of an image. subject, image: positions in the inspection."""

    subject: int
    image: int
    source: str
    split: str
    image_id: str


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """Two images that are the same or look alike.

    exact  True when they are the same to the last bit
    copy   True when they are one photo: the same, saved again, or at another size. `check` refuses
           such copies in two splits
    bits   number of the 64 bits by which their hashes differ
    """

    first: ImagePlace
    second: ImagePlace
    exact: bool
    copy: bool
    bits: int

    @property
    def apart(self) -> bool:
        """True when the images are in different splits or sources.

        Then a model that trains on one image has seen the other.
        """
        return (self.first.source, self.first.split) != (self.second.source, self.second.split)


@dataclass(frozen=True, eq=False, kw_only=True)
class Inspection:
    """Everything that an inspection measured. The first subject is the reference.

    classes    of all subjects, those of the reference first
    distances  by subject in the order given. Within each subject the largest is first, and those
               without a value are last
    size_tests  whether size tells the class, by subject
    notes      what a reader should know of the data, in words
    """

    subjects: tuple[Subject, ...]
    classes: tuple[str, ...]
    distances: tuple[Distance, ...]
    size_tests: tuple[SizeTest, ...]
    duplicates: tuple[DuplicatePair, ...]
    notes: tuple[str, ...]

    @property
    def reference(self) -> Subject:
        return self.subjects[0]

    @property
    def stand_in(self) -> bool:
        return any(subject.source.stand_in for subject in self.subjects)

    def distances_of(self, source: str) -> list[Distance]:
        """The distances of a source: the largest first, and that of the class balance last."""
        return [distance for distance in self.distances if distance.source == source]

    def numeric_distances(self, source: str) -> list[Distance]:
        """The distances of a source without that of the class balance, the largest first."""
        return [
            distance for distance in self.distances_of(source) if distance.statistic != "classes"
        ]


def inspect(
    paths: Sequence[str],
    split: str | None,
    progress: NamedProgress,
    labels: LabelOptions | None = None,
    seed: int = 0,
) -> Inspection:
    """Measures the sources at `paths` and compares them.

    A path is a folder that `read` can read, or the word "stand-in". A single path with several
    splits gives one source for each split. Otherwise a source is all splits of its folder, or only
    `split`. `progress` is called with (name of the step, number done, number in all). The format in
    `labels` is that of the first path; others are recognized.

    Raises DataError for a path, split or image that cannot be used, for a path that is given twice,
    and for a source without images.
    """
    datasets = _datasets(paths, split, progress, labels or LabelOptions())
    subjects = tuple(
        _measure(name, splits, progress) for name, splits in _sources(datasets).items()
    )
    classes = _classes(subjects)
    return Inspection(
        subjects=subjects,
        classes=classes,
        distances=_distances(subjects, classes, seed, progress),
        size_tests=size_tests(
            [subject.name for subject in subjects],
            [subject.measurements for subject in subjects],
            seed,
        ),
        duplicates=_duplicate_pairs(subjects, progress),
        notes=(*_dataset_notes(datasets), *_class_notes(subjects, datasets)),
    )


def unique_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path: as many as make the names differ. The paths must differ."""
    for parts in count(1):
        names = ["/".join(path.parts[-parts:]).replace("//", "/") for path in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError


def _datasets(
    paths: Sequence[str], split: str | None, progress: NamedProgress, labels: LabelOptions
) -> dict[str, Dataset]:
    """The datasets by name, each with the requested splits that hold images."""
    places = [Path(STAND_IN) if path == STAND_IN else Path(path).resolve() for path in paths]
    for i, place in enumerate(places):
        if place in places[:i]:
            do = "A source has distance 0 from itself; give each path once."
            raise DataError(paths[i], "is given twice", do=do)
    datasets: dict[str, Dataset] = {}
    for path, name in zip(paths, unique_names(places), strict=True):
        reading = partial(progress, f"reading labels of {name}")
        dataset = photos_at(path, labels if not datasets else labels.of_other_data(), reading)
        datasets[name] = replace(dataset, splits=_requested_splits(path, dataset, split))
    return datasets


def _requested_splits(path: str, dataset: Dataset, split: str | None) -> dict[str, Source]:
    """The requested splits of a dataset, without those that hold no images."""
    if split is not None and split not in dataset.splits:
        do = "Give another `split`, or none."
        raise DataError(path, f"has no {split} split", got=list(dataset.splits), do=do)
    requested = dataset.splits if split is None else {split: dataset.splits[split]}
    with_images = {name: source for name, source in requested.items() if len(source)}
    if not with_images:
        raise DataError(path, "holds no images", do="Give a dataset that does.")
    return with_images


def _sources(datasets: Mapping[str, Dataset]) -> dict[str, dict[str, Source]]:
    """The splits of each source, by its name: of a single dataset each split is a source."""
    if len(datasets) > 1:
        return {name: dataset.splits for name, dataset in datasets.items()}
    ((name, dataset),) = datasets.items()
    if len(dataset.splits) == 1:
        return {name: dataset.splits}
    return {f"{name} {split}": {split: source} for split, source in dataset.splits.items()}


def _measure(name: str, splits: dict[str, Source], progress: NamedProgress) -> Subject:
    """A source of all images of the splits, measured."""
    first = next(iter(splits.values()))
    records = tuple(chain.from_iterable(source.records for source in splits.values()))
    source = Source(name=name, classes=first.classes, records=records, stand_in=first.stand_in)
    split_names: list[str] = []
    for split, part in splits.items():
        split_names += [split] * len(part.records)
    measurements = measure(source, partial(progress, f"measuring {name}"))
    return Subject(source=source, splits=tuple(split_names), measurements=measurements)


def _classes(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """The classes of all subjects, those of the reference first."""
    names: list[str] = []
    for subject in subjects:
        names += subject.measurements.classes
    return tuple(dict.fromkeys(names))


def _distances(
    subjects: Sequence[Subject], classes: tuple[str, ...], seed: int, progress: NamedProgress
) -> tuple[Distance, ...]:
    reference = subjects[0].measurements
    reference_counts = reference.class_counts(classes)
    distances: list[Distance] = []
    for subject in subjects[1:]:
        numeric = []
        for done, statistic in enumerate(STATISTICS, start=1):
            numeric.append(
                distance(
                    subject.name,
                    statistic.name,
                    _sample(reference, statistic.name),
                    _sample(subject.measurements, statistic.name),
                    seed,
                    fine=statistic.fine,
                )
            )
            progress(f"comparing {subject.name}", done, len(STATISTICS))
        distances += sorted(numeric, key=_largest_first)
        counts = subject.measurements.class_counts(classes)
        distances.append(class_distance(subject.name, reference_counts, counts, seed=seed))
    return tuple(distances)


def _largest_first(distance: Distance) -> tuple[bool, float]:
    """The order of distances: the largest first, those without a value last."""
    return distance.value is None, -(distance.value or 0.0)


def _sample(measurements: Measurements, statistic: str) -> Sample:
    values, image_of = measurements.valid(statistic)
    return Sample(values=values, image_of=image_of, images=measurements.images)


def _duplicate_pairs(
    subjects: Sequence[Subject], progress: NamedProgress
) -> tuple[DuplicatePair, ...]:
    """Pairs in different splits or sources first; then exact ones, copies, and the rest."""
    places: list[ImagePlace] = []
    prints: list[duplicates.Print] = []
    for k, subject in enumerate(subjects):
        places += _places(k, subject)
        prints += subject.measurements.prints
    part_names = [f"{place.subject}/{place.split}" for place in places]
    parts = np.unique(part_names, return_inverse=True)[1]
    gallery = _Gallery(subjects, places)
    looking = partial(progress, "looking for duplicates")
    positions = duplicates.pairs(prints, parts.tolist(), gallery.show_the_same, looking)
    pairs = [
        DuplicatePair(
            first=places[pair.first],
            second=places[pair.second],
            exact=pair.exact,
            copy=pair.exact or gallery.is_copy(pair.first, pair.second),
            bits=pair.bits,
        )
        for pair in positions
    ]
    return tuple(sorted(pairs, key=_worst_first))


def _places(subject: int, measured: Subject) -> Iterator[ImagePlace]:
    """The place of each image of a subject."""
    for image, split in enumerate(measured.splits):
        yield ImagePlace(
            subject=subject,
            image=image,
            source=measured.name,
            split=split,
            image_id=measured.record(image).image_id,
        )


def _worst_first(pair: DuplicatePair) -> tuple[bool, bool, bool, int]:
    """The order of pairs: the more a pair spoils scores, the earlier it comes."""
    return not pair.apart, not pair.exact, not pair.copy, pair.bits


class _Gallery:
    """The images at `places`, decoded when needed. A few stay in memory."""

    def __init__(self, subjects: Sequence[Subject], places: Sequence[ImagePlace]) -> None:
        self._subjects, self._places = subjects, places
        self._pool = lru_cache(maxsize=_KEPT)(self._decode_image)

    def show_the_same(self, i: int, j: int) -> bool:
        """True when no object is visible, and labelled, in only one of two images."""
        return copies.show_the_same(self._pool(i), 0, self._pool(j), 0)

    def is_copy(self, i: int, j: int) -> bool:
        return copies.is_copy(self._pool(i), 0, self._pool(j), 0)

    def _decode_image(self, k: int) -> Pool:
        """A pool of image k alone."""
        place = self._places[k]
        source = self._subjects[place.subject].source.select([place.image])
        longest_px = max(source.records[0].size_wh)
        return decode(source, min(longest_px, _LONGEST_PX))


def _dataset_notes(datasets: Mapping[str, Dataset]) -> Iterator[str]:
    for name, dataset in datasets.items():
        for note in (*dataset.format_words, *dataset.notes):
            yield f"{name}: {note}"


def _boxes(dataset: Dataset) -> Mapping[str, str]:
    """Words for the boxes of classes: of all in the one split that is requested, else of few."""
    if len(dataset.splits) == 1 < len(dataset.boxes_in):
        (split,) = dataset.splits
        return dataset.boxes_in[split]
    return dataset.few_boxes


def _class_notes(subjects: Sequence[Subject], datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """Names the classes that only one of two sources has; classes are matched by name.

    All splits of one dataset have the same classes.
    """
    reference, *others = subjects
    for other in others:
        for one, two in ((reference, other), (other, reference)):
            only = set(one.measurements.classes) - set(two.measurements.classes)
            if only:
                words = class_words(only, _boxes(datasets[one.name]))
                yield f"classes that {one.name} has and {two.name} has not: {words}"
