"""Inspection tables: the sources that `data inspect` measures, and how far they are apart."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from syndet_ray.inspection.inspect import Inspection

_MOST_PAIRS = 10  # pairs; more would push the table off the screen
_SIZE_WORDS = (  # in lines of at most 80 columns
    "Size tells class: the probability that their sizes tell which of two objects of",
    "two classes has which class, 0.5 to 1, its 95 % interval, and what chance gives.",
)
_COLUMN_WORDS = (  # of a table of distances, in lines of at most 80 columns
    "distance   by how much the values of the reference must change, on average, to",
    "           become those of the other source. The unit is the standard deviation",
    '           of the reference; "constant" if all its values are equal, so that it',
    "           has none. Class balance: the share of objects that must change class.",
    "by chance  the distance that chance alone can give: if the images of both are",
    "           mixed and divided at random, 95 % of the divisions have at most this",
    "           distance. In dim rows the sources are no further apart. In rows with",
    '           "constant": "less" if chance does not explain the difference,',
    '           "as far" if it can.',
    "KS         Kolmogorov-Smirnov statistic, 0 to 1: the largest difference of the",
    "           two cumulative distributions",
)


def inspection_parts(inspection: "Inspection") -> Iterator[Table | str]:
    """The sources, their differences from the first, and the answer in sentences."""
    from syndet_ray.inspection import differences

    summary = _table("", *(subject.name for subject in inspection.subjects))
    for name, cells in differences.summary(inspection):
        summary.add_row(name, *cells)
    yield summary
    yield "Medians; in brackets the range of the middle 90 % of the values."
    yield from _SIZE_WORDS
    if inspection.subjects[1:]:
        yield from _COLUMN_WORDS
    for subject in inspection.subjects[1:]:
        yield _distance_table(inspection, subject.name)
    for pair in inspection.duplicates[:_MOST_PAIRS]:
        first, second = differences.duplicate_names(pair, inspection)
        yield f"{differences.likeness(pair)}: {first} and {second}"
    if len(inspection.duplicates) > _MOST_PAIRS:
        yield f"and {len(inspection.duplicates) - _MOST_PAIRS} more, see duplicates.csv"
    yield from (*inspection.notes, *differences.headline(inspection))


def inspection_names(inspection: "Inspection") -> list[str]:
    """The names that the figures of an inspection show: of its sources and their classes."""
    names = []
    for subject in inspection.subjects:
        names += [subject.name, *subject.measurements.classes]
    return list(dict.fromkeys(names))


def _distance_table(inspection: "Inspection", source: str) -> Table:
    """The statistics of a source, the largest distance first; dim if it is not beyond chance."""
    from syndet_ray.inspection import differences

    columns = ("distance", "95 % interval", "by chance", "KS", "mean", "reference\nmean")
    table = _table("", *columns)
    table.title = f"{source} against {inspection.reference.name}, the reference"
    for row in differences.rows(inspection, source):
        cells = (row.value, row.interval, row.floor, row.ks, row.means[1], row.means[0])
        name = f"{row.name}, log2" if row.unit.startswith("log2") else row.name
        table.add_row(name, *cells, style="" if row.wide else "dim")
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
