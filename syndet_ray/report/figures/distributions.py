"""Inspection figures: the distributions of sources, and how far apart they are."""

from collections.abc import Mapping, Sequence
from math import isinf
from typing import Any

import altair as alt
import numpy as np

from syndet_ray.inspection.differences import far
from syndet_ray.inspection.distance import Distance
from syndet_ray.inspection.inspect import Inspection
from syndet_ray.inspection.statistics import BY_NAME, STATISTICS, Statistic
from syndet_ray.report.figures.plot import WIDTH, Plot, colors, records, tooltip
from syndet_ray.report.palette import BLUE, FAINT, INK, PALE, SERIES, SKY, VERMILLION

_CHANCES = {"beyond chance": SKY, "within chance": PALE, "not known": FAINT}
_BINS, _CELLS = 36, 14  # of a histogram; of a map of positions, on each side
_TAIL = 0.2  # percent at each end of a source that shares the outermost bin
_SMALL_WIDTH, _SMALL_HEIGHT = 300, 170  # two figures fit next to each other on a page
_MOST_CLASSES = 24  # more would make the figure higher than a screen
_TICKS = (0, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000)
_DISTANCE_HEADER = (
    "source",
    "statistic",
    "value",
    "low",
    "high",
    "floor",
    "ks",
    "mean_of_reference",
    "mean",
)


def all_figures(inspection: Inspection) -> dict[str, Plot]:
    """Every figure that there are numbers for, by name, in the order of the page."""
    plots: dict[str, Plot | None] = {}
    for k, subject in enumerate(inspection.subjects[1:], start=1):
        plots[f"distances_{k}"] = distances(inspection, subject.name)
    for statistic in by_distance(inspection):
        plots[f"histogram_{statistic.name}"] = histogram(inspection, statistic)
    for k in range(len(inspection.subjects)):
        plots[f"positions_{k}"] = positions(inspection, k)
    plots["classes"] = classes(inspection)
    return {name: plot for name, plot in plots.items() if plot is not None}


def by_distance(inspection: Inspection) -> list[Statistic]:
    """All statistics, the one with the largest distance of any source first.

    Statistics with equal distances keep their own order.
    """
    farthest = dict.fromkeys(BY_NAME, 0.0)
    for distance in inspection.distances:
        if distance.statistic in farthest:
            farthest[distance.statistic] = max(farthest[distance.statistic], distance.value or 0.0)
    return sorted(STATISTICS, key=lambda statistic: -farthest[statistic.name])


def source_colors(inspection: Inspection) -> Mapping[str, str]:
    return {subject.name: SERIES[k % len(SERIES)] for k, subject in enumerate(inspection.subjects)}


def distances(inspection: Inspection, source: str) -> Plot | None:
    """The statistics of a source, the largest distance first, with intervals and chance levels."""
    numeric = [
        distance for distance in inspection.numeric_distances(source) if distance.value is not None
    ]
    if not numeric:
        return None
    balance = [
        distance for distance in inspection.distances_of(source) if distance.statistic == "classes"
    ]
    end = _end_of_axis(numeric)
    bars = [_distance_bar(distance, end) for distance in numeric]
    figure = _distance_layers(bars, end).properties(
        title=f"{source} against {inspection.reference.name}",
        width=WIDTH,
        height=24 * len(bars),
    )
    rows = [_distance_row(distance) for distance in (*numeric, *balance)]
    return Plot(figure=figure, header=_DISTANCE_HEADER, rows=rows)


def _distance_row(distance: Distance) -> tuple[Any, ...]:
    return (
        distance.source,
        distance.statistic,
        distance.value,
        distance.low,
        distance.high,
        distance.floor,
        distance.ks,
        *(distance.means or (None, None)),
    )


def _end_of_axis(distances: Sequence[Distance]) -> float:
    """A little beyond the largest finite distance and interval, with room for the numbers."""
    end = 1.0
    for distance in distances:
        for value in (distance.value, distance.high):
            if value is not None and not isinf(value):
                end = max(end, value)
    return end * 1.6


def _distance_bar(distance: Distance, end: float) -> dict[str, Any]:
    """A bar of the chart; an infinite distance reaches to the end of the axis."""
    is_infinite = isinf(distance.value or 0.0) or isinf(distance.floor or 0.0)
    return {
        "statistic": BY_NAME[distance.statistic].title,
        "what": _chance_name(distance),
        "bar": min(distance.value or 0.0, end),
        "distance": far(distance),
        "low": distance.low,
        "high": distance.high,
        "chance": None if is_infinite else distance.floor,
    }


def _chance_name(distance: Distance) -> str:
    if distance.floor is None:
        return "not known"
    return "beyond chance" if distance.beyond_chance else "within chance"


def histogram(inspection: Inspection, statistic: Statistic) -> Plot | None:
    """The share of a source's images or objects by value.

    None when no source has a value, or all values are the same.
    """
    values = _values(inspection, statistic)
    edges = bin_edges(list(values.values()), statistic)
    if edges is None:
        return None
    rows = []
    for source, of_source in values.items():
        counts, _ = np.histogram(np.clip(of_source, edges[0], edges[-1]), edges)
        shares = (counts / len(of_source)).tolist()
        for low, high, share in zip(edges[:-1].tolist(), edges[1:].tolist(), shares, strict=True):
            rows.append((source, low, high, share))
    figure = _bars(rows, _colors_of(inspection, values), statistic).properties(
        title=statistic.title, width=_SMALL_WIDTH, height=_SMALL_HEIGHT
    )
    return Plot(figure=figure, header=("source", "low", "high", "share"), rows=rows)


def _values(inspection: Inspection, statistic: Statistic) -> dict[str, np.ndarray]:
    """The values of a statistic by source, for the sources that have any."""
    values = {}
    for subject in inspection.subjects:
        of_source, _ = subject.measurements.valid(statistic.name)
        if len(of_source):
            values[subject.name] = of_source
    return values


def _colors_of(inspection: Inspection, sources: Mapping[str, object]) -> dict[str, str]:
    """The colours of some of the sources by name, in the order of the page."""
    return {name: color for name, color in source_colors(inspection).items() if name in sources}


def bin_edges(values: list[np.ndarray], statistic: Statistic) -> np.ndarray | None:
    """Ascending edges of bins that all sources share; None when there is nothing to tell apart.

    The bins reach from the least to the greatest value, except for tails. Bins of whole numbers
    contain equally many of them.
    """
    if not values:
        return None
    low = min(float(np.percentile(v, _TAIL, method="lower")) for v in values)
    high = max(float(np.percentile(v, 100 - _TAIL, method="higher")) for v in values)
    if high - low <= statistic.fine:
        return None
    if statistic.steps is None:
        return np.linspace(low, high, _BINS + 1)
    step = statistic.steps * max(1, int(np.ceil((high - low + 1) / _BINS)))
    return np.arange(low, high + step + 0.5, step) - statistic.steps / 2


def positions(inspection: Inspection, k: int) -> Plot | None:
    """A map of the centres of a source's boxes, as shares of its objects.

    All sources have the same scale of colours.
    """
    grids = [_grid(inspection, j) for j in range(len(inspection.subjects))]
    grid = grids[k]
    if grid is None:
        return None
    top = max(float(other.max()) for other in grids if other is not None)
    header = ("left", "right", "top", "bottom", "share")
    rows = _cells(grid)
    figure = _position_map(records(header, rows), top).properties(
        title=inspection.subjects[k].name, width=_SMALL_WIDTH, height=_SMALL_WIDTH
    )
    return Plot(figure=figure, header=header, rows=rows)


def _cells(grid: np.ndarray) -> list[tuple[float, ...]]:
    """The left, right, top and bottom edge of each cell, 0 to 1, and its share; row by row."""
    edges = [i / _CELLS for i in range(_CELLS + 1)]
    cells: list[tuple[float, ...]] = []
    for row in range(_CELLS):
        for column in range(_CELLS):
            share = float(grid[row, column])
            cells.append((edges[column], edges[column + 1], edges[row], edges[row + 1], share))
    return cells


def _position_map(cells: alt.Data, top: float) -> Any:
    """The chart of a map; top: the share that has the darkest colour."""
    axis = alt.Axis(tickCount=4)
    across = alt.Scale(domain=[0, 1], nice=False)
    down = alt.Scale(domain=[1, 0], nice=False)
    shades = alt.Scale(domain=[0, top], range=["#ffffff", BLUE], interpolate="rgb")
    return (
        alt.Chart(cells)
        .mark_rect()
        .encode(
            alt.X("left:Q", scale=across, title="of the width", axis=axis),
            alt.X2("right:Q"),
            alt.Y("top:Q", scale=down, title="of the height", axis=axis),
            alt.Y2("bottom:Q"),
            alt.Color("share:Q", scale=shades, legend=None),
            tooltip=tooltip(share=".2%"),
        )
    )


def classes(inspection: Inspection) -> Plot | None:
    """The share of each class among a source's objects.

    If there are many classes, the chart shows those with the most objects.
    """
    shares = _class_shares(inspection)
    if not shares:
        return None
    rows = []
    for source, by_class in shares.items():
        rows += [(source, name, share) for name, share in by_class.items()]
    shown = _most_frequent(inspection.classes, shares)
    header = ("what", "class", "share")
    figure = (
        alt.Chart(records(header, [row for row in rows if row[1] in shown]))
        .mark_bar()
        .encode(
            alt.Y("class:N", sort=shown, title=None, axis=alt.Axis(labelLimit=160)),
            alt.X("share:Q", title="share of objects", axis=alt.Axis(format="%", grid=True)),
            colors(_colors_of(inspection, shares)),
            yOffset=alt.YOffset("what:N", sort=list(shares)),
            tooltip=tooltip("what", "class", share=".1%"),
        )
        .properties(
            title="Classes", width=WIDTH, height=max(60, len(shown) * (12 * len(shares) + 8))
        )
    )
    return Plot(figure=figure, header=("source", "class", "share"), rows=rows)


def _most_frequent(names: Sequence[str], shares: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The classes with the largest shares in any source, in the order of `names`."""
    largest = {}
    for name in names:
        largest[name] = max(by_class[name] for by_class in shares.values())
    first = sorted(names, key=lambda name: -largest[name])[:_MOST_CLASSES]
    return [name for name in names if name in first]


def _bars(
    rows: list[tuple[Any, ...]], colors_by_name: Mapping[str, str], statistic: Statistic
) -> Any:
    """Overlaid bars. More than two sources have outlines: three mixed colours look alike."""
    many = len(colors_by_name) > 2
    header = ("what", "low", "high", "share", "zero")
    ticks = alt.Axis(tickCount=5, tickMinStep=statistic.steps or alt.Undefined)
    scale = alt.Scale(zero=False, nice=False)
    place = alt.X("low:Q", title=statistic.scale, scale=scale, axis=ticks)
    percent = alt.Axis(format="%", tickCount=4)
    height = alt.Y("share:Q", stack=None, title=f"share of {statistic.per}s", axis=percent)
    bars = (
        alt.Chart(records(header, [(*row, 0) for row in rows]))
        .mark_bar(opacity=0.2 if many else 0.5, binSpacing=0, clip=True)
        .encode(
            *(place, alt.X2("high:Q"), height, alt.Y2("zero:Q"), colors(colors_by_name)),
            tooltip=tooltip("what", low=".3~f", high=".3~f", share=".1%"),
        )
    )
    if not many:
        return bars
    # the last bin of each source, up to its end
    ends = {row[0]: (row[0], row[2], row[2], row[3]) for row in rows}
    outlines = alt.Chart(records(header[:4], [*rows, *ends.values()])).mark_line(
        interpolate="step-after", strokeWidth=1.5
    )
    return alt.layer(bars, outlines.encode(place, height, colors(colors_by_name)))


def _distance_layers(rows: list[dict[str, Any]], end: float) -> Any:
    """The chart of distances: bars, intervals, chance levels, and the distances as text."""
    scale = alt.Scale(type="symlog", constant=0.5, domain=[0, end], nice=False)
    axis = alt.Axis(values=[tick for tick in _TICKS if tick <= end], grid=True, format="~r")
    title = "distance, standard deviations of the reference"
    names = [row["statistic"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("statistic:N", sort=names, title=None, axis=alt.Axis(labelLimit=170))
    )
    chances = {row["what"] for row in rows}
    bars = base.mark_bar(height={"band": 0.7}).encode(
        alt.X("bar:Q", scale=scale, axis=axis, title=title),
        colors({name: color for name, color in _CHANCES.items() if name in chances}),
        tooltip=tooltip("statistic", "distance", low=".2f", high=".2f", chance=".2f"),
    )
    with_interval = base.transform_filter("datum.low != null")
    intervals = with_interval.mark_rule(strokeWidth=1.6, color=INK)
    with_chance = base.transform_filter("datum.chance != null")
    chance = with_chance.mark_tick(thickness=2.5, color=VERMILLION, size=17)
    at_end = base.transform_calculate(at="datum.high != null ? datum.high : datum.bar")
    values = at_end.mark_text(align="left", dx=6, color=INK)
    return alt.layer(
        bars,
        intervals.encode(alt.X("low:Q", scale=scale), alt.X2("high:Q")),
        chance.encode(alt.X("chance:Q", scale=scale)),
        values.encode(alt.X("at:Q", scale=scale), text="distance:N"),
    )


def _grid(inspection: Inspection, k: int) -> np.ndarray | None:
    """(cells, cells) share of a source's objects by row and column of their centres.

    None without objects.
    """
    measurements = inspection.subjects[k].measurements
    if not measurements.objects:
        return None
    edges = np.linspace(0, 1, _CELLS + 1)
    rows, columns = measurements.values["centre_y"], measurements.values["centre_x"]
    counts, _, _ = np.histogram2d(rows, columns, (edges, edges))
    return counts / measurements.objects


def _class_shares(inspection: Inspection) -> dict[str, dict[str, float]]:
    """The share of each class, by the sources that have objects."""
    shares = {}
    for subject in inspection.subjects:
        if subject.measurements.objects:
            counts = subject.measurements.class_counts(inspection.classes).sum(axis=0)
            of_source = (counts / counts.sum()).tolist()
            shares[subject.name] = dict(zip(inspection.classes, of_source, strict=True))
    return shares
