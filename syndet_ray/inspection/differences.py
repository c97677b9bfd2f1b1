"""Differences: how sources differ from the reference, in sentences and rows.

The page and the terminal both show them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf

import numpy as np

from syndet_ray.data.classes import alike_names
from syndet_ray.inspection.class_sizes import LEAST_BOXES, SizeTest
from syndet_ray.inspection.distance import Distance
from syndet_ray.inspection.inspect import DuplicatePair, ImagePlace, Inspection, Subject
from syndet_ray.inspection.statistics import BY_NAME, SHARES, Measurements
from syndet_ray.wording import counted, percent

_CHANCE = 0.05  # share of the statistics of two samples of one source that are beyond chance
_MOST_NAMED = 4  # groups of statistics that a sentence names: more would hide the first ones
_MOST_CLASSES = 12  # lines of the summary: with all of 80 classes it would fill screens
NOT_KNOWN = "n/a"
# of the reference: there is no standard deviation in which to express a distance
CONSTANT = "constant"
_MOST_DIGITS = 6  # after the point
# Means and standard deviations that account for a smaller part of a distance do not explain it: two
# distributions may have equal ones and differ in shape.
_EXPLAINS = 1 / 3
_LOOKS_EQUAL = (
    0.02  # relative difference of two means that need their standard deviation beside them
)
SIZE_WORDS = (
    "Size tells class: the probability that their sizes tell which of two objects of two classes "
    "has which class, mean over the pairs of classes with at least "
    f"{LEAST_BOXES} boxes in every source; 0.5: size tells nothing, 1: it always does. In brackets "
    "its 95 % interval; chance alone stays below the value after it 19 times in 20."
)
_PERCENTILES = {
    5: "5th percentile",
    25: "25th percentile",
    50: "median",
    75: "75th percentile",
    95: "95th percentile",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One statistic of a source next to the reference's, as text.

    means  of the reference and of the source
    floor  the chance level
    wide   True when the distance is beyond chance
    """

    name: str
    unit: str
    means: tuple[str, str]
    value: str
    interval: str
    floor: str
    ks: str
    wide: bool


def plain(value: float | None) -> str:
    """Two or three digits, or whole from a hundred on; no exponents."""
    if value is None or np.isnan(value):
        return NOT_KNOWN
    size = abs(value)
    if size < 0.0005:
        return "0"
    if size < 0.1:
        return f"{value:,.3f}"
    if size < 10:
        return f"{value:,.2f}"
    return f"{value:,.1f}" if size < 100 else f"{value:,.0f}"


def far(distance: Distance) -> str:
    """The distance, or a word when there is no standard deviation in which to express it."""
    return CONSTANT if _is_infinite(distance.value) else plain(distance.value)


def headline(inspection: Inspection) -> tuple[str, ...]:
    """The answer: a sentence for each source, then the images that occur twice.

    A single source is described instead of compared.
    """
    others = inspection.subjects[1:]
    sentences = [_comparison_words(inspection, subject) for subject in others]
    return (
        *(sentences or [_single(inspection.reference)]),
        *_size_sentences(inspection),
        *_spelling_sentences(inspection.classes),
        *_duplicate_sentences(inspection),
    )


def _size_sentences(inspection: Inspection) -> Iterator[str]:
    """A sentence on each source in which size tells the class better, or worse, than in the
    reference.
    """
    reference, *others = inspection.size_tests
    for other in others:
        if other.difference is None or not other.difference.matters:
            continue
        better, worse = (other, reference) if other.difference.value > 0 else (reference, other)
        there, elsewhere = (f"{test.source} ({test.value:.2f})" for test in (better, worse))
        if better.tells and not worse.tells:
            sentence = f"Size tells the class in {there} but not in {elsewhere}"
        else:
            sentence = f"Size tells the class better in {there} than in {elsewhere}"
        yield f"{sentence}; 0.5 is chance. A detector that learns it from one errs on the other."


def _spelling_sentences(classes: Sequence[str]) -> Iterator[str]:
    """A sentence on classes whose names differ only in case, spaces and signs."""
    if groups := alike_names(classes):
        names = "; ".join(" and ".join(group) for group in groups)
        yield f"Probably one class in several spellings: {names}."


def rows(inspection: Inspection, source: str) -> list[Row]:
    """The statistics of a source, the largest distance first, and its classes last.

    Statistics without a distance are left out.
    """
    distances = inspection.distances_of(source)
    return [_row(distance) for distance in distances if distance.value is not None]


def summary(inspection: Inspection) -> list[tuple[str, tuple[str, ...]]]:
    """The facts of all sources: for each fact its name, and a cell for each source."""
    columns = []
    for subject, test in zip(inspection.subjects, inspection.size_tests, strict=True):
        columns.append(_facts(subject) | {"size tells class": _size_words(test)})
    lines = []
    for name in columns[0]:
        cells = tuple(column[name] for column in columns)
        lines.append((name, cells))
        if name == "classes":
            lines += _class_lines(inspection)
    return lines


def _class_lines(inspection: Inspection) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The objects of each class in each source, the most frequent class first."""
    counts = []
    for subject in inspection.subjects:
        counts.append(subject.measurements.class_counts(inspection.classes).sum(axis=0))
    table = np.array(counts)
    order = np.argsort(-table.sum(axis=0), kind="stable")
    for label in order[:_MOST_CLASSES]:
        cells = tuple(f"{count:,}" for count in table[:, label])
        yield f"objects of {inspection.classes[label]}", cells
    if (more := len(order) - _MOST_CLASSES) > 0:
        rest = table[:, order[_MOST_CLASSES:]].sum(axis=1)
        others = "1 other class" if more == 1 else f"{more} other classes"
        yield f"objects of {others}", tuple(f"{count:,}" for count in rest)


def duplicate_names(pair: DuplicatePair, inspection: Inspection) -> tuple[str, str]:
    """The names of the two images: their source if there are several, or their split, and their id.

    The split is part of the name of a source that is one split of a dataset.
    """
    has_sources = len(inspection.subjects) > 1

    def name(place: ImagePlace) -> str:
        is_by_source = has_sources and not place.source.endswith(place.split)
        return f"{place.source if is_by_source else place.split}: {place.image_id}"

    return name(pair.first), name(pair.second)


def likeness(pair: DuplicatePair) -> str:
    """A word for what two images have in common."""
    if pair.exact:
        return "the same"
    return "saved again" if pair.copy else "alike"


def constant_statistics(inspection: Inspection) -> list[str]:
    """The statistics that have one value everywhere, which a histogram would not show."""
    sentences = []
    for name, statistic in BY_NAME.items():
        parts = [subject.measurements.valid(name)[0] for subject in inspection.subjects]
        values = np.concatenate(parts)
        if len(values) and np.ptp(values) <= statistic.fine:
            value = plain(float(values[0]))
            sentences.append(f"{statistic.title} {value} {statistic.unit}".rstrip())
    return sentences


def _comparison_words(inspection: Inspection, subject: Subject) -> str:
    reference = inspection.reference.name
    distances = inspection.numeric_distances(subject.name)
    tested = [distance for distance in distances if distance.floor is not None]
    if not tested:
        names = f"{subject.name} and {reference}"
        return f"{names}: too few images to tell a difference from chance."
    wide = [distance for distance in distances if distance.beyond_chance]
    names = f"{subject.name} differs from {reference}"
    count = f"{len(wide)} of {counted(len(tested), 'statistic')} {_are(len(wide))} beyond chance"
    by_chance = round(_CHANCE * len(tested))
    if len(wide) <= by_chance:
        return (
            f"{names} no more than two samples of one source would: {count}, and about "
            f"{by_chance} would be by chance alone."
        )
    return f"{names} {_most_different(inspection, subject, wide)}; {count}."


def _most_different(inspection: Inspection, subject: Subject, wide: Sequence[Distance]) -> str:
    """The groups of statistics in which a source differs most from the reference.

    A distance from a reference that does not vary is infinite and cannot be called the largest.
    Such groups are named apart.
    """
    finite = [distance for distance in wide if not _is_infinite(distance.value)]
    infinite = [distance for distance in wide if _is_infinite(distance.value)]
    phrases = []
    if finite:
        phrases.append(f"most in {_groups(inspection, subject, finite)}")
    if infinite:
        groups = _groups(inspection, subject, infinite)
        phrases.append(f"in {groups}, where {inspection.reference.name} has one value only")
    return ", and ".join(phrases)


def _groups(inspection: Inspection, subject: Subject, wide: Sequence[Distance]) -> str:
    """The first few groups of statistics, each with what distinguishes the sources in its first."""
    phrases: dict[str, str] = {}
    for distance in wide:
        phrase = _phrase(distance, inspection.reference.measurements, subject.measurements)
        phrases.setdefault(BY_NAME[distance.statistic].group, phrase)
    named = [f"{group} ({phrase})" for group, phrase in phrases.items()]
    *first, last = named[:_MOST_NAMED]
    return f"{', '.join(first)} and {last}" if first else last


def _phrase(distance: Distance, reference: Measurements, other: Measurements) -> str:
    """The means or the standard deviations of two distributions, whichever differ more, or a
    percentile if both explain little of the distance.

    "noise 0.20, not 4.4 grey levels".
    """
    statistic = BY_NAME[distance.statistic]
    one, _ = reference.valid(distance.statistic)
    two, _ = other.valid(distance.statistic)
    mean, other_mean = float(one.mean()), float(two.mean())
    deviation, other_deviation = float(one.std()), float(two.std())
    name = "" if statistic.title == statistic.group else f"{statistic.title} "
    unit = "" if statistic.unit in ("", "objects") else f" {statistic.unit}"
    moved = (distance.value or 0.0) * deviation
    explained = max(abs(other_mean - mean), abs(other_deviation - deviation))
    if np.isfinite(moved) and explained < _EXPLAINS * moved:
        return f"{name}distributed differently: {_percentile_words(one, two)}{unit}"
    if abs(other_deviation - deviation) > abs(other_mean - mean):
        more = "more" if other_deviation > deviation else "less"
        here, there = _apart(other_deviation, deviation)
        return f"{name}varies {more}: standard deviation {here}, not {there}"
    here, there = _apart(other_mean, mean)
    phrase = f"{name}{here}, not {there}{unit}"
    # Two means that look equal may be far apart for values that hardly vary.
    if deviation > 0 and abs(other_mean - mean) < _LOOKS_EQUAL * abs(mean):
        phrase += f", at a standard deviation of {plain(deviation)}"
    return phrase


def _percentile_words(reference: np.ndarray, other: np.ndarray) -> str:
    """The percentile in which two distributions differ most: "median 0.20, not 0.25"."""
    values = np.percentile(reference, list(_PERCENTILES))
    other_values = np.percentile(other, list(_PERCENTILES))
    widest = int(np.argmax(np.abs(other_values - values)))
    here, there = _apart(float(other_values[widest]), float(values[widest]))
    name = list(_PERCENTILES.values())[widest]
    return f"{name} {here}, not {there}"


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two values, with enough digits to tell them apart if they differ."""
    texts = plain(one), plain(other)
    if texts[0] != texts[1]:
        return texts
    for digits in range(1, _MOST_DIGITS):
        longer = f"{one:,.{digits}f}", f"{other:,.{digits}f}"
        if longer[0] != longer[1]:
            return longer
    return texts


def _single(subject: Subject) -> str:
    measurements = subject.measurements
    images = counted(measurements.images, "image")
    objects = counted(measurements.objects, "object")
    number = len(measurements.classes)
    classes = "1 class" if number == 1 else f"{number} classes"
    empty = measurements.empty
    without = f", {counted(empty, 'image')} without any" if empty else ""
    return f"{subject.name}: {images} with {objects} of {classes}{without}."


def _duplicate_sentences(inspection: Inspection) -> Iterator[str]:
    if not inspection.duplicates:
        yield "No image occurs twice."
    for apart, also, where in (
        (True, "also in another split or source", "in another split or source"),
        (False, "there twice in the same split", "in the same split"),
    ):
        pairs = [pair for pair in inspection.duplicates if pair.apart is apart]
        copies = [pair for pair in pairs if pair.copy]
        exact = sum(pair.exact for pair in copies)
        alike = len(pairs) - len(copies)
        if copies:
            how = f"{exact} exactly, {len(copies) - exact} saved again or at another size"
            yield f"{counted(len(copies), 'image')} {_are(len(copies))} {also}: {how}."
        if alike == 1:
            yield f"1 image looks like one {where}, and is no copy of it."
        elif alike:
            yield f"{alike} images look like one {where}, and are no copies of it."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _row(distance: Distance) -> Row:
    statistic = BY_NAME.get(distance.statistic)
    has_interval = distance.low is not None
    return Row(
        name="class balance" if statistic is None else statistic.title,
        unit="total variation, 0 to 1" if statistic is None else statistic.scale,
        means=_means(distance),
        value=far(distance),
        interval=f"{plain(distance.low)} to {plain(distance.high)}" if has_interval else "",
        floor=_floor(distance),
        ks="" if distance.ks is None else f"{distance.ks:.2f}",
        wide=distance.beyond_chance,
    )


def _means(distance: Distance) -> tuple[str, str]:
    if distance.means is None:
        return "", ""
    reference, mean = distance.means
    return plain(reference), plain(mean)


def _floor(distance: Distance) -> str:
    """The chance level of a distance, in words when no number says it."""
    if distance.floor is None:
        return ""
    if isinf(distance.floor):
        return "as far"
    return "less" if _is_infinite(distance.value) else plain(distance.floor)


def _is_infinite(value: float | None) -> bool:
    return value is not None and isinf(value)


def _facts(subject: Subject) -> dict[str, str]:
    measurements = subject.measurements
    shares = {
        f"boxes {name.replace('_', ' ')}": _share(measurements.share(name)) for name in SHARES
    }
    return {
        "images": f"{measurements.images:,}",
        "by split": _by_split(subject.splits),
        "without objects": f"{measurements.empty:,}",
        "objects": f"{measurements.objects:,}",
        "crowds": f"{measurements.crowds:,}",
        "classes": str(len(measurements.classes)),
        "image size": _sizes(measurements),
        "objects per image": _middle(measurements, "objects_per_image"),
        "box size, px": _middle(measurements, "box_size"),
        "box size, of the image": _middle(measurements, "relative_size"),
        "visibility": _visibility(measurements),
        **shares,
    }


def _size_words(test: SizeTest) -> str:
    if test.value is None:
        return NOT_KNOWN
    interval = "" if test.low is None else f" ({plain(test.low)} to {plain(test.high)})"
    return f"{test.value:.2f}{interval}, chance {plain(test.floor)}"


def _by_split(splits: Sequence[str]) -> str:
    return ", ".join(f"{splits.count(split):,} {split}" for split in dict.fromkeys(splits))


def _sizes(measurements: Measurements) -> str:
    """The size that all images have, or the least and the greatest sides."""
    width, height = measurements.values["image_width"], measurements.values["image_height"]
    if np.ptp(width) == np.ptp(height) == 0:
        return f"{width[0]:.0f} x {height[0]:.0f}"
    return f"{width.min():.0f}-{width.max():.0f} x {height.min():.0f}-{height.max():.0f}"


def _middle(measurements: Measurements, name: str) -> str:
    """The median, and in brackets the range of the middle 90 % of the values."""
    values, _ = measurements.valid(name)
    if not len(values):
        return NOT_KNOWN
    as_text = plain if BY_NAME[name].steps is None else "{:,.0f}".format
    percentiles = np.percentile(values, [5, 50, 95], method="nearest")
    low, middle, high = (as_text(float(value)) for value in percentiles)
    return f"{middle} ({low} to {high})"


def _visibility(measurements: Measurements) -> str:
    kind = measurements.visibility_kind
    if not measurements.objects:
        return NOT_KNOWN
    return f"{_middle(measurements, f'visibility_{kind}')}, {kind}"


def _share(share: float | None) -> str:
    return NOT_KNOWN if share is None else percent(share)
