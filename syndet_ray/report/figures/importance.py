"""Importances: the figures of what mattered in a search: a bar for each setting, and all trials in
parallel coordinates.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from syndet_ray.analysis import importance as shares
from syndet_ray.analysis.chosen import MOST_LINES, best_and_others, best_and_others_words
from syndet_ray.analysis.coordinates import Coordinates, Line, coordinates
from syndet_ray.analysis.tables import best_number
from syndet_ray.report.figures.plot import WIDTH, Plot, inline, records, titled, tooltip
from syndet_ray.report.palette import DIM, INK, PALE, PAPER
from syndet_ray.runs.run import Run

_HEADER = ("setting", "name", "share", "low_90", "high_90")
_STEP = 26  # of a bar, pixels
_LETTER, _GAP = 6.8, 8  # pixels: of a name, mean width of a letter and room beside it
_DIM, _FAINT = 0.3, 0.75  # opacity of pruned trials and of others


def importance(run: Run) -> Plot | None:
    """The share of the variance that each setting explains, with its spread."""
    found = shares.importances_of(run)
    if not found.settings:
        return None
    rows = [(each.path, each.name, each.share, each.low, each.high) for each in found.settings]
    base = alt.Chart(records(_HEADER, rows)).encode(
        alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        tooltip=tooltip("name", share=".0%", low_90=".0%", high_90=".0%"),
    )
    axis = alt.Axis(format=".0%", grid=True, tickCount=5)
    share = alt.X(
        "share:Q",
        title="share of the variance that it explains alone",
        scale=alt.Scale(domain=[0, 1]),
        axis=axis,
    )
    bars = base.mark_bar(color=PALE, height=14).encode(share)
    spread = base.mark_rule(strokeWidth=1.8).encode(alt.X("low_90:Q"), alt.X2("high_90:Q"))
    height = max(60, _STEP * len(rows))
    return Plot(
        figure=titled(alt.layer(bars, spread), "What mattered", run, height),
        header=_HEADER,
        rows=rows,
    )


def parallel_coordinates(run: Run) -> Plot | None:
    """One line for each searched trial, across what it varied and what it reached."""
    trials, sweep = run.trials, run.sweep
    found = coordinates(sweep, trials, shares.importances_of(run))
    if found is None:
        return None
    best = best_number(trials, run.test)
    header = ("trial", "state", "val_mAP", *(axis.key for axis in found.axes[:-1]))
    rows = [(line.trial, line.state, line.value, *line.texts) for line in found.lines]
    return Plot(
        figure=titled(_parallel(found, best), "Every trial of the search", run, 340),
        header=header,
        rows=rows,
    )


def _parallel(found: Coordinates, best: int | None) -> Any:
    every = _lines(found, best)
    others, winner = every.transform_filter("!datum.best"), every.transform_filter("datum.best")
    hover = alt.selection_point(
        name="hover", on="mouseover", nearest=True, fields=["trial"], empty=False, clear="mouseout"
    )
    thick = alt.condition(hover, alt.value(4.5), alt.value(1.6))
    # Of the stroke: whatever is transparent as a whole is composed on a canvas of its own, line by
    # line.
    clear = alt.condition(
        hover, alt.value(1), alt.StrokeOpacity("opacity:Q", scale=None, legend=None)
    )
    return alt.layer(
        _uprights(found),
        others.mark_line().encode(strokeOpacity=clear, strokeWidth=thick),
        winner.mark_line(strokeWidth=6).encode(color=alt.value(INK)),
        winner.mark_line(strokeWidth=3.5),
        every.mark_point(opacity=0, size=120).encode(tooltip=_told(found)).add_params(hover),
        *_marks(found),
    )


def _lines(found: Coordinates, best: int | None) -> alt.Chart:
    """Lines across the axes; every point of one knows all of its trial, for the tooltip."""
    lines = _drawn(found.lines, best)
    places: list[Any] = [f"position_{k}" for k in range(len(found.axes))]
    rows = [_facts(found, line) | dict(zip(places, line.positions, strict=True)) for line in lines]
    rows = [row | {"best": row["trial"] == best} for row in rows]
    scores = [line.value for line in found.lines]
    # Reversed, and without its ends: the best are dark on paper, and neither black nor white on any
    # page.
    scheme = alt.SchemeParams(name="viridis", extent=[0.15, 0.95])
    scale = alt.Scale(scheme=scheme, domain=[min(scores), max(scores)], reverse=True)
    legend = alt.Legend(
        title="validation mAP",
        orient="bottom",
        gradientLength=200,
        format=".3f",
        tickCount=2,
        titleFontWeight="normal",
    )
    # One row for each trial, which the browser unfolds: as a row for each point the page would be
    # seven times as large.
    unfolded = alt.Chart(inline(rows)).transform_fold(places, as_=["place", "position"])
    numbered = unfolded.transform_calculate(axis="toNumber(split(datum.place, '_')[1])")
    return numbered.encode(
        _across(found),
        _up(),
        alt.Color("val_mAP:Q", scale=scale, legend=legend),
        alt.Detail("trial:N"),
    )


def plotted_words(run: Run) -> str:
    """Which of many lines are drawn across the parallel coordinates, in a sentence; "" where all
    are.
    """
    trials = run.trials
    found = coordinates(run.sweep, trials, shares.importances_of(run))
    if found is None:
        return ""
    drawn = _drawn(found.lines, best_number(trials, run.test))
    return best_and_others_words(len(found.lines), len(drawn), MOST_LINES)


def _drawn(lines: Sequence[Line], best: int | None) -> list[Line]:
    """The lines that are drawn, the worst first; the best recipe always, whose first training need
    not be the best one.
    """
    kept = best_and_others(lines[::-1], MOST_LINES)[::-1]
    missing = [line for line in lines if line.trial == best and line not in kept]
    return [*missing, *kept]


def _facts(found: Coordinates, line: Line) -> dict[str, Any]:
    texts = dict(zip((axis.key for axis in found.axes), line.texts, strict=False))
    opacity = _FAINT if line.state == "COMPLETE" else _DIM
    return {
        "trial": line.trial,
        "state": line.state.lower(),
        "val_mAP": line.value,
        "opacity": opacity,
        **texts,
    }


def _told(found: Coordinates) -> list[alt.Tooltip]:
    named = [alt.Tooltip(f"{axis.key}:N", title=axis.name) for axis in found.axes[:-1]]
    return [*tooltip("trial", "state", val_mAP=".3f"), *named]


def _across(found: Coordinates) -> alt.X:
    """The axes side by side, by number; their names stand below, slanted where they have no room
    beside one another.
    """
    names = "[" + ", ".join(f"'{_quoted(axis.name)}'" for axis in found.axes) + "]"
    crowded = f"width < {_names_px(found)}"
    axis = alt.Axis(
        labelExpr=f"{names}[datum.value]",
        labelAngle=alt.ExprRef(f"{crowded} ? -40 : 0"),
        labelAlign=alt.ExprRef(f"{crowded} ? 'right' : 'center'"),
        labelLimit=alt.ExprRef("min(190, max(105, width / 4))"),
        labelOverlap=False,
        values=list(range(len(found.axes))),
        domain=False,
        ticks=False,
        labelPadding=10,
    )
    return alt.X(
        "axis:Q",
        title=None,
        axis=axis,
        scale=alt.Scale(domain=[-0.15, len(found.axes) - 0.55], nice=False),
    )


def _names_px(found: Coordinates) -> int:
    """How wide a chart must be for every two neighbouring names to stand beside each other."""
    lengths = [len(axis.name) for axis in found.axes]
    widest = max((a + b) / 2 * _LETTER + _GAP for a, b in pairwise(lengths))
    return round(widest * (len(lengths) - 0.4))


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")


def _up() -> alt.Y:
    return alt.Y("position:Q", axis=None, scale=alt.Scale(domain=[-0.17, 1.08], nice=False))


def _uprights(found: Coordinates) -> alt.Chart:
    rows = [(k, 0, 1) for k in range(len(found.axes))]
    base = alt.Chart(records(("axis", "position", "top"), rows)).mark_rule(
        color=DIM, strokeWidth=1.2
    )
    return base.encode(_across(found), _up(), alt.Y2("top:Q"))


def _marks(found: Coordinates) -> list[alt.Chart]:
    """The values written at the axes, each on a rim of paper so that lines do not run through it."""
    rows = [
        (k, mark.position, mark.text) for k, axis in enumerate(found.axes) for mark in axis.marks
    ]
    base = alt.Chart(records(("axis", "position", "text"), rows)).encode(
        _across(found), _up(), text="text:N"
    )
    place: dict[str, Any] = {
        "align": "left",
        "dx": 5,
        "fontSize": 11,
        "limit": WIDTH / len(found.axes),
    }
    rim = base.mark_text(stroke=PAPER, strokeWidth=4, color=PAPER, strokeJoin="round", **place)
    return [rim, base.mark_text(color=INK, **place)]
