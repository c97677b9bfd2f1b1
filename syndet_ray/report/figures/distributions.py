"""Glance figures: how the values of sources are distributed, beside one another, and how far apart
they are.
"""

from collections.abc import Mapping
from math import isinf
from typing import Any

import altair as alt
import numpy as np

from syndet_ray.inspection.comparison import Inspection
from syndet_ray.inspection.differences import far
from syndet_ray.inspection.statistics import BY_NAME, STATISTICS, Statistic
from syndet_ray.report.figures.plot import WIDTH, Plot, colors, records, tooltip
from syndet_ray.report.palette import BLUE, FAINT, INK, PALE, PAPER, SERIES, SKY, VERMILLION

_CHANCES = {"beyond chance": SKY, "within chance": PALE, "not known": FAINT}
_BINS, _CELLS = 36, 14
_TAIL = 0.2  # percent at each end of a source that shares the outermost bin
_SMALL_WIDTH, _SMALL_HEIGHT = 300, 170
_MOST_CLASSES = 24
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


def all_figures(found: Inspection) -> dict[str, Plot]:
    """Every figure there are numbers for, by name, in the order of the page."""
    drawn: dict[str, Plot | None] = {}
    for k, subject in enumerate(found.subjects[1:], start=1):
        drawn[f"distances_{k}"] = distances(found, subject.name)
    for statistic in by_distance(found):
        drawn[f"histogram_{statistic.name}"] = histogram(found, statistic)
    for k in range(len(found.subjects)):
        drawn[f"positions_{k}"] = positions(found, k)
    drawn["classes"] = classes(found)
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def by_distance(found: Inspection) -> list[Statistic]:
    """All statistics, those in which any source is farthest from the reference first; else in their
    own order.
    """
    farthest = dict.fromkeys(BY_NAME, 0.0)
    for distance in found.distances:
        if distance.statistic in farthest:
            farthest[distance.statistic] = max(farthest[distance.statistic], distance.value or 0.0)
    return sorted(STATISTICS, key=lambda statistic: -farthest[statistic.name])


def source_colors(found: Inspection) -> Mapping[str, str]:
    return {s.name: SERIES[k % len(SERIES)] for k, s in enumerate(found.subjects)}


def distances(found: Inspection, source: str) -> Plot | None:
    """The statistics of a source, the largest distance first, with their intervals and what chance
    would make of each.
    """
    told = [distance for distance in found.of(source) if distance.value is not None]
    if not told:
        return None
    rows = [
        (source, d.statistic, d.value, d.low, d.high, d.floor, d.ks, *(d.means or (None, None)))
        for d in [
            *told,
            *(d for d in found.distances if d.source == source and d.statistic == "classes"),
        ]
    ]
    tops = [top for d in told for top in (d.value, d.high) if top is not None and not isinf(top)]
    end = max([1.0, *tops]) * 1.6
    shown = [
        {
            "statistic": BY_NAME[d.statistic].title,
            "what": "not known"
            if d.floor is None
            else "beyond chance"
            if d.beyond_chance
            else "within chance",
            "distance": min(d.value or 0.0, end),
            "told": far(d),
            "low": d.low,
            "high": d.high,
            "chance": None if isinf(d.value or 0.0) or isinf(d.floor or 0.0) else d.floor,
        }
        for d in told
    ]
    title = f"{source} against {found.reference.name}"
    figure = _distance_layers(shown, end).properties(
        title=title, width=WIDTH, height=24 * len(shown)
    )
    return Plot(figure=figure, header=_DISTANCE_HEADER, rows=rows)


def histogram(found: Inspection, statistic: Statistic) -> Plot | None:
    """The share of a source's images or objects by value; None where nothing is known, or all
    values are one.
    """
    values = {s.name: v for s in found.subjects if len(v := s.measured.known(statistic.name)[0])}
    edges = bin_edges(list(values.values()), statistic)
    if edges is None:
        return None
    rows = []
    for source, found_values in values.items():
        shares = np.histogram(np.clip(found_values, edges[0], edges[-1]), edges)[0] / len(
            found_values
        )
        rows += [
            (source, *row)
            for row in zip(edges[:-1].tolist(), edges[1:].tolist(), shares.tolist(), strict=True)
        ]
    named = {name: color for name, color in source_colors(found).items() if name in values}
    figure = _bars(rows, named, statistic).properties(
        title=statistic.title, width=_SMALL_WIDTH, height=_SMALL_HEIGHT
    )
    return Plot(figure=figure, header=("source", "low", "high", "share"), rows=rows)


def bin_edges(values: list[np.ndarray], statistic: Statistic) -> np.ndarray | None:
    """Ascending edges of bins that the values of all sources share; None where there is nothing to
    tell apart.

    From the least to the greatest value but for tails; of whole numbers a bin holds as many as any
    other.
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


def positions(found: Inspection, k: int) -> Plot | None:
    """Where the boxes of a source have their centres, as shares of its objects; one scale of
    colours for all sources.
    """
    grids = [_grid(found, j) for j in range(len(found.subjects))]
    own = grids[k]
    if own is None:
        return None
    top = max(float(grid.max()) for grid in grids if grid is not None)
    rows = [
        (
            column / _CELLS,
            (column + 1) / _CELLS,
            row / _CELLS,
            (row + 1) / _CELLS,
            float(own[row, column]),
        )
        for row in range(_CELLS)
        for column in range(_CELLS)
    ]
    header = ("left", "right", "top", "bottom", "share")
    ends = alt.Scale(domain=[0, 1], nice=False)
    figure = (
        alt.Chart(records(header, rows))
        .mark_rect()
        .encode(
            alt.X("left:Q", scale=ends, title="of the width", axis=alt.Axis(tickCount=4)),
            alt.X2("right:Q"),
            alt.Y(
                "top:Q",
                scale=alt.Scale(domain=[1, 0], nice=False),
                title="of the height",
                axis=alt.Axis(tickCount=4),
            ),
            alt.Y2("bottom:Q"),
            alt.Color(
                "share:Q",
                scale=alt.Scale(domain=[0, top], range=[PAPER, BLUE], interpolate="rgb"),
                legend=None,
            ),
            tooltip=tooltip(share=".2%"),
        )
        .properties(title=found.subjects[k].name, width=_SMALL_WIDTH, height=_SMALL_WIDTH)
    )
    return Plot(figure=figure, header=header, rows=rows)


def classes(found: Inspection) -> Plot | None:
    """The share of each class among a source's objects; of many classes those of most objects."""
    shares = _class_shares(found)
    if not shares:
        return None
    rows = [
        (source, name, share) for source, named in shares.items() for name, share in named.items()
    ]
    weight = {name: max(named[name] for named in shares.values()) for name in found.classes}
    shown = sorted(found.classes, key=lambda name: -weight[name])[:_MOST_CLASSES]
    shown = [name for name in found.classes if name in shown]
    header = ("what", "class", "share")
    figure = (
        alt.Chart(records(header, [row for row in rows if row[1] in shown]))
        .mark_bar()
        .encode(
            alt.Y("class:N", sort=shown, title=None, axis=alt.Axis(labelLimit=160)),
            alt.X("share:Q", title="share of objects", axis=alt.Axis(format="%", grid=True)),
            colors({name: color for name, color in source_colors(found).items() if name in shares}),
            yOffset=alt.YOffset("what:N", sort=list(shares)),
            tooltip=tooltip("what", "class", share=".1%"),
        )
        .properties(
            title="Classes", width=WIDTH, height=max(60, len(shown) * (12 * len(shares) + 8))
        )
    )
    return Plot(figure=figure, header=("source", "class", "share"), rows=rows)


def _bars(rows: list[tuple[Any, ...]], named: Mapping[str, str], statistic: Statistic) -> Any:
    """Overlaid bars; of more than two sources with outlines, for no eye takes three colours apart
    again.
    """
    many = len(named) > 2
    header = ("what", "low", "high", "share", "zero")
    ticks = alt.Axis(tickCount=5, tickMinStep=statistic.steps or alt.Undefined)
    place = alt.X(
        "low:Q", title=statistic.scale, scale=alt.Scale(zero=False, nice=False), axis=ticks
    )
    height = alt.Y(
        "share:Q",
        stack=None,
        title=f"share of {statistic.of}s",
        axis=alt.Axis(format="%", tickCount=4),
    )
    bars = (
        alt.Chart(records(header, [(*row, 0) for row in rows]))
        .mark_bar(opacity=0.2 if many else 0.5, binSpacing=0, clip=True)
        .encode(
            *(place, alt.X2("high:Q"), height, alt.Y2("zero:Q"), colors(named)),
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
    return alt.layer(bars, outlines.encode(place, height, colors(named)))


def _distance_layers(shown: list[dict[str, Any]], end: float) -> Any:
    ticks = [
        tick
        for tick in (0, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000)
        if tick <= end
    ]
    scale = alt.Scale(type="symlog", constant=0.5, domain=[0, end], nice=False)
    axis = alt.Axis(values=ticks, grid=True, format="~r")
    title = "distance, standard deviations of the reference"
    names = [row["statistic"] for row in shown]
    base = alt.Chart(alt.Data(values=shown)).encode(
        alt.Y("statistic:N", sort=names, title=None, axis=alt.Axis(labelLimit=170))
    )
    told = tooltip("statistic", "told", low=".2f", high=".2f", chance=".2f")
    bars = base.mark_bar(height={"band": 0.7}).encode(
        alt.X("distance:Q", scale=scale, axis=axis, title=title),
        colors(
            {
                name: color
                for name, color in _CHANCES.items()
                if any(row["what"] == name for row in shown)
            }
        ),
        tooltip=told,
    )
    intervals = base.transform_filter("datum.low != null").mark_rule(strokeWidth=1.6, color=INK)
    chance = base.transform_filter("datum.chance != null").mark_tick(
        thickness=2.5, color=VERMILLION, size=17
    )
    values = base.transform_calculate(
        at="datum.high != null ? datum.high : datum.distance"
    ).mark_text(align="left", dx=6, color=INK)
    return alt.layer(
        bars,
        intervals.encode(alt.X("low:Q", scale=scale), alt.X2("high:Q")),
        chance.encode(alt.X("chance:Q", scale=scale)),
        values.encode(alt.X("at:Q", scale=scale), text="told:N"),
    )


def _grid(found: Inspection, k: int) -> np.ndarray | None:
    """(cells, cells) share of the objects of a source by row and column of their centres; None
    without objects.
    """
    measured = found.subjects[k].measured
    if not measured.objects:
        return None
    bins = np.linspace(0, 1, _CELLS + 1)
    return (
        np.histogram2d(measured.values["centre_y"], measured.values["centre_x"], (bins, bins))[0]
        / measured.objects
    )


def _class_shares(found: Inspection) -> dict[str, dict[str, float]]:
    """By source that has objects: the share of each class among them."""
    counts = {
        s.name: s.measured.class_counts(found.classes).sum(axis=0)
        for s in found.subjects
        if s.measured.objects
    }
    return {
        source: dict(zip(found.classes, (count / count.sum()).tolist(), strict=True))
        for source, count in counts.items()
    }
