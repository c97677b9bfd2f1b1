"""Differences: where sources differ from the first of them, in words and rows. What a page and a
terminal both say.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf

import numpy as np

from syndet_ray.inspection.comparison import Inspection, Subject, Twins
from syndet_ray.inspection.distance import Distance
from syndet_ray.inspection.statistics import BY_NAME, SHARES, Measured
from syndet_ray.wording import counted, percent

_CHANCE = 0.05  # of the statistics of two samples of one source are beyond what is called chance
_MOST_NAMED = 4  # kinds of statistics that a sentence names
NOT_KNOWN = "n/a"
# the reference: what differs from it has no distance in its standard deviations
CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One statistic of a source beside the reference's, as text. wide: whether the distance is
    beyond chance.
    """

    name: str
    unit: str
    means: tuple[str, str]
    value: str
    interval: str
    floor: str
    ks: str
    wide: bool


_MOST_DIGITS = 6  # after the point


def plain(value: float | None) -> str:
    """Two or three digits, or whole from a hundred on; no exponents."""
    if value is None or np.isnan(value):
        return NOT_KNOWN
    size = abs(value)
    if size < 0.0005:
        return "0"
    return f"{value:,.{3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def far(distance: Distance) -> str:
    """The distance, or a word where there is no standard deviation to tell it in."""
    return (
        CONSTANT if distance.value is not None and isinf(distance.value) else plain(distance.value)
    )


def headline(found: Inspection) -> tuple[str, ...]:
    """What was asked, answered: one sentence a source, or what a single source is; then images that
    are there twice.
    """
    others = found.subjects[1:]
    first = [_compared(found, subject) for subject in others] or [_single(found.reference)]
    return (*first, *_twin_sentences(found))


def rows(found: Inspection, source: str) -> list[Row]:
    """The statistics of a source, the largest distance first, and its classes last; without those
    nobody can tell.
    """
    told = [distance for distance in found.of(source) if distance.value is not None]
    classes = [
        d
        for d in found.distances
        if d.source == source and d.statistic == "classes" and d.value is not None
    ]
    return [_row(distance) for distance in [*told, *classes]]


def summary(found: Inspection) -> list[tuple[str, tuple[str, ...]]]:
    """What there is, a row a fact with a cell a source."""
    columns = [_facts(subject) for subject in found.subjects]
    return [(name, tuple(column[name] for column in columns)) for name in columns[0]]


def twin_name(twins: Twins, found: Inspection) -> tuple[str, str]:
    """What the two images are called: by their source where there are several, their split and
    their id.
    """

    def name(source: str, split: str, image_id: str) -> str:
        return (
            f"{source}: {image_id}"
            if len(found.subjects) > 1 and not source.endswith(split)
            else f"{split}: {image_id}"
        )

    first, second = twins.first, twins.second
    return name(first.source, first.split, first.image_id), name(
        second.source, second.split, second.image_id
    )


def twin_words(twins: Twins) -> str:
    """What two images have in common."""
    if twins.exact:
        return "the same"
    return "saved again" if twins.copy else "alike"


def unvaried(found: Inspection) -> list[str]:
    """The statistics that have one value everywhere, which a histogram would not show."""
    told = []
    for name, statistic in BY_NAME.items():
        values = np.concatenate([subject.measured.known(name)[0] for subject in found.subjects])
        if len(values) and np.ptp(values) <= statistic.fine:
            told.append(f"{statistic.title} {plain(float(values[0]))} {statistic.unit}".rstrip())
    return told


def _compared(found: Inspection, subject: Subject) -> str:
    names = f"{subject.name} differs from {found.reference.name}"
    wide = [distance for distance in found.of(subject.name) if distance.beyond_chance]
    known = [distance for distance in found.of(subject.name) if distance.floor is not None]
    if not known:
        return f"{subject.name} and {found.reference.name}: too few images to tell a difference from chance."
    by_chance = round(_CHANCE * len(known))
    if len(wide) <= by_chance:
        told = f"{len(wide)} of {counted(len(known), 'statistic')} {_are(len(wide))} beyond chance"
        return f"{names} no more than two samples of one source would: {told}, and about {by_chance} would be there."
    # What the reference does not vary in has no distance that could be the greatest: only that it
    # differs is known.
    measured = _groups(
        found, subject, [distance for distance in wide if not isinf(distance.value or 0.0)]
    )
    constant = _groups(
        found, subject, [distance for distance in wide if isinf(distance.value or 0.0)]
    )
    where = [f"most in {measured}"] if measured else []
    where += [f"in {constant}, where {found.reference.name} has one value only"] if constant else []
    told = f"{len(wide)} of {counted(len(known), 'statistic')} {_are(len(wide))} beyond chance"
    return f"{names} {', and '.join(where)}; {told}."


def _groups(found: Inspection, subject: Subject, wide: Sequence[Distance]) -> str:
    """The first few groups of statistics that differ, each with what distinguishes the sources in
    its first.
    """
    first: dict[str, str] = {}
    for distance in wide:
        phrase = _phrase(distance, found.reference.measured, subject.measured)
        first.setdefault(BY_NAME[distance.statistic].group, phrase)
    named = [f"{group} ({phrase})" for group, phrase in first.items()][:_MOST_NAMED]
    return ", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else "".join(named)


def _phrase(distance: Distance, reference: Measured, other: Measured) -> str:
    """What distinguishes two distributions, their means or their widths: "noise 0.20, here 4.4 grey
    levels".
    """
    statistic = BY_NAME[distance.statistic]
    one, two = (measured.known(distance.statistic)[0] for measured in (reference, other))
    wider = abs(float(two.std() - one.std())) > abs(float(two.mean() - one.mean()))
    name = "" if statistic.title == statistic.group else f"{statistic.title} "
    unit = f" {statistic.unit}" if statistic.unit not in ("", "objects") else ""
    if wider:
        more = "more" if two.std() > one.std() else "less"
        here, there = _apart(float(two.std()), float(one.std()))
        return f"{name}varies {more}: standard deviation {here}, not {there}"
    here, there = _apart(float(two.mean()), float(one.mean()))
    return f"{name}{here}, not {there}{unit}"


def _apart(one: float, other: float) -> tuple[str, str]:
    """Two values, with as many digits as tell them apart where they differ."""
    plainly = plain(one), plain(other)
    if plainly[0] != plainly[1]:
        return plainly
    for digits in range(1, _MOST_DIGITS):
        texts = f"{one:,.{digits}f}", f"{other:,.{digits}f}"
        if texts[0] != texts[1]:
            return texts
    return plainly


def _single(subject: Subject) -> str:
    measured = subject.measured
    empty = f", {counted(measured.empty, 'image')} without any" if measured.empty else ""
    classes = counted(len(measured.classes), "class").replace("classs", "classes")
    return f"{subject.name}: {counted(measured.images, 'image')} with {counted(measured.objects, 'object')} of {classes}{empty}."


def _twin_sentences(found: Inspection) -> Iterator[str]:
    if found.twins == ():
        yield "No image is there twice."
    for apart, where in ((True, "in another split or source"), (False, "in the same split")):
        twins = [pair for pair in found.twins if pair.apart is apart]
        copies = [pair for pair in twins if pair.copy]
        exact = sum(pair.exact for pair in copies)
        alike = len(twins) - len(copies)
        if copies:
            how = f"{exact} exactly, {len(copies) - exact} saved again or at another size"
            yield f"{counted(len(copies), 'image')} {_are(len(copies))} also {where}: {how}."
        if alike:
            looks, is_one = ("looks", "is no copy") if alike == 1 else ("look", "are no copies")
            yield f"{counted(alike, 'image')} {looks} like one {where}, and {is_one} of it."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _row(distance: Distance) -> Row:
    statistic = BY_NAME.get(distance.statistic)
    name, unit = (
        (statistic.title, statistic.scale)
        if statistic
        else ("class balance", "total variation, 0 to 1")
    )
    means = (
        ("", "") if distance.means is None else (plain(distance.means[0]), plain(distance.means[1]))
    )
    interval = "" if distance.low is None else f"{plain(distance.low)} to {plain(distance.high)}"
    ks = "" if distance.ks is None else f"{distance.ks:.2f}"
    return Row(
        name=name,
        unit=unit,
        means=means,
        value=far(distance),
        interval=interval,
        floor=_floor(distance),
        ks=ks,
        wide=distance.beyond_chance,
    )


def _floor(distance: Distance) -> str:
    """What chance makes of a distance, in words where no number says it."""
    if distance.floor is None:
        return ""
    if isinf(distance.floor):
        return "as far"
    is_constant = distance.value is not None and isinf(distance.value)
    return "less" if is_constant else plain(distance.floor)


def _facts(subject: Subject) -> dict[str, str]:
    measured = subject.measured
    return {
        "images": f"{measured.images:,}",
        "by split": _by_split(subject.splits),
        "without objects": f"{measured.empty:,}",
        "objects": f"{measured.objects:,}",
        "crowds": f"{measured.crowds:,}",
        "classes": str(len(measured.classes)),
        "image size": _sizes(measured),
        "objects per image": _middle(measured, "objects_per_image"),
        "box size, px": _middle(measured, "box_size"),
        "box size, of the image": _middle(measured, "relative_size"),
        "visibility": _visibility(measured),
        **{f"boxes {name.replace('_', ' ')}": _share(measured.share(name)) for name in SHARES},
    }


def _by_split(splits: Sequence[str]) -> str:
    return ", ".join(f"{splits.count(split):,} {split}" for split in dict.fromkeys(splits))


def _sizes(measured: Measured) -> str:
    """The one size that all images have, or from the least to the greatest side."""
    width, height = measured.values["image_width"], measured.values["image_height"]
    if np.ptp(width) == np.ptp(height) == 0:
        return f"{width[0]:.0f} x {height[0]:.0f}"
    return f"{width.min():.0f}-{width.max():.0f} x {height.min():.0f}-{height.max():.0f}"


def _middle(measured: Measured, name: str) -> str:
    """The median, and in brackets the range of the middle 90 % of the values."""
    values = measured.known(name)[0]
    if not len(values):
        return NOT_KNOWN
    told = plain if BY_NAME[name].steps is None else "{:,.0f}".format
    low, middle, high = (
        told(float(q)) for q in np.percentile(values, [5, 50, 95], method="nearest")
    )
    return f"{middle} ({low} to {high})"


def _visibility(measured: Measured) -> str:
    kind = measured.visibility_kind
    return f"{_middle(measured, f'visibility_{kind}')}, {kind}" if measured.objects else NOT_KNOWN


def _share(share: float | None) -> str:
    return NOT_KNOWN if share is None else percent(share)
