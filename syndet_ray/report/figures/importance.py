"""Importances: the figures of what mattered in a search.

One has a bar for each setting, the other all trials in parallel coordinates.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from syndet_ray.analysis import importance as shares
from syndet_ray.analysis.chosen import MOST_LINES, best_and_others
from syndet_ray.analysis.coordinates import Coordinates, TrialPath, coordinates
from syndet_ray.analysis.tables import best_number
from syndet_ray.report import words
from syndet_ray.report.figures.plot import WIDTH, Plot, add_title, inline, records, tooltip
from syndet_ray.report.palette import DIM, INK, PALE, PAPER
from syndet_ray.runs.run import Run

_HEADER = ("setting", "name", "share", "low_90", "high_90")
_STEP = 26  # of a bar, pixels
_LETTER, _GAP = 6.8, 8  # pixels: mean width of a letter of a name, and room next to the name
_PRUNED_OPACITY, _OPACITY = 0.3, 0.75  # of the lines of pruned trials and of others


def importance(run: Run) -> Plot | None:
    """The share of the variance that each setting explains, with its spread."""
    settings = shares.importances_of(run).settings
    if not settings:
        return None
    rows = [(s.path, s.name, s.share, s.low, s.high) for s in settings]
    base = alt.Chart(records(_HEADER, rows)).encode(
        alt.Y(
            "name:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelLimit=220),
        ),
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
    spreads = base.mark_rule(strokeWidth=1.8).encode(alt.X("low_90:Q"), alt.X2("high_90:Q"))
    height = max(60, _STEP * len(rows))
    figure = add_title(alt.layer(bars, spreads), "What mattered", run, height)
    return Plot(figure=figure, header=_HEADER, rows=rows)


def parallel_coordinates(run: Run) -> Plot | None:
    """One line for each searched trial, across what it varied and what it reached."""
    across = _coordinates(run)
    if across is None:
        return None
    best = best_number(run.trials, run.test)
    header = ("trial", "state", "val_mAP", *(axis.key for axis in across.axes[:-1]))
    rows = [(line.trial, line.state, line.value, *line.texts) for line in across.lines]
    figure = add_title(_parallel(across, best), "Every trial of the search", run, 340)
    return Plot(figure=figure, header=header, rows=rows)


def plotted_words(run: Run) -> str:
    """Says in a sentence which of many lines are plotted; "" if all are."""
    across = _coordinates(run)
    if across is None:
        return ""
    plotted = _plotted_lines(across.lines, best_number(run.trials, run.test))
    return words.best_and_others(len(across.lines), len(plotted), MOST_LINES)


def _coordinates(run: Run) -> Coordinates | None:
    return coordinates(run.sweep, run.trials, shares.importances_of(run))


def _parallel(across: Coordinates, best: int | None) -> Any:
    lines = _lines(across, best)
    others = lines.transform_filter("!datum.best")
    winner = lines.transform_filter("datum.best")
    hover = alt.selection_point(
        name="hover", on="mouseover", nearest=True, fields=["trial"], empty=False, clear="mouseout"
    )
    thick = alt.condition(hover, alt.value(4.5), alt.value(1.6))
    # The opacity is that of the stroke: a mark that is transparent as a whole is composed on a
    # canvas of its own, line by line.
    opacity = alt.StrokeOpacity("opacity:Q", scale=None, legend=None)
    clear = alt.condition(hover, alt.value(1), opacity)
    return alt.layer(
        _uprights(across),
        others.mark_line().encode(strokeOpacity=clear, strokeWidth=thick),
        winner.mark_line(strokeWidth=6).encode(color=alt.value(INK)),
        winner.mark_line(strokeWidth=3.5),
        lines.mark_point(opacity=0, size=120).encode(tooltip=_tooltip(across)).add_params(hover),
        *_ticks(across),
    )


def _lines(across: Coordinates, best: int | None) -> alt.Chart:
    """Lines across the axes; every point of a line has all facts of its trial, for the tooltip."""
    lines = _plotted_lines(across.lines, best)
    places: list[Any] = [f"position_{k}" for k in range(len(across.axes))]
    rows = []
    for line in lines:
        positions = dict(zip(places, line.positions, strict=True))
        rows.append(_facts(across, line) | positions | {"best": line.trial == best})
    # One row for each trial, which the browser unfolds: with a row for each point the page would
    # be seven times as large.
    unfolded = alt.Chart(inline(rows)).transform_fold(places, as_=["place", "position"])
    numbered = unfolded.transform_calculate(axis="toNumber(split(datum.place, '_')[1])")
    return numbered.encode(_x(across), _y(), _score_color(across), alt.Detail("trial:N"))


def _score_color(across: Coordinates) -> alt.Color:
    scores = [line.value for line in across.lines]
    # Reversed, and without its ends: the best are dark on paper, and neither black nor white on any
    # page.
    scheme = alt.SchemeParams(name="viridis", extent=[0.15, 0.95])
    scale = alt.Scale(
        scheme=scheme,
        domain=[min(scores), max(scores)],
        reverse=True,
    )
    legend = alt.Legend(
        title="validation mAP",
        orient="bottom",
        gradientLength=200,
        format=".3f",
        tickCount=2,
        titleFontWeight="normal",
    )
    return alt.Color("val_mAP:Q", scale=scale, legend=legend)


def _plotted_lines(lines: Sequence[TrialPath], best: int | None) -> list[TrialPath]:
    """The lines that are plotted, the worst first.

    The best recipe always is, although its first training need not be the best one.
    """
    kept = best_and_others(lines[::-1], MOST_LINES)[::-1]
    missing = [line for line in lines if line.trial == best and line not in kept]
    return [*missing, *kept]


def _facts(across: Coordinates, line: TrialPath) -> dict[str, Any]:
    keys = [axis.key for axis in across.axes]
    return {
        "trial": line.trial,
        "state": line.state.lower(),
        "val_mAP": line.value,
        "opacity": _OPACITY if line.state == "COMPLETE" else _PRUNED_OPACITY,
        **dict(zip(keys, line.texts, strict=False)),
    }


def _tooltip(across: Coordinates) -> list[alt.Tooltip]:
    named = [alt.Tooltip(f"{axis.key}:N", title=axis.name) for axis in across.axes[:-1]]
    return [*tooltip("trial", "state", val_mAP=".3f"), *named]


def _x(across: Coordinates) -> alt.X:
    """The axes side by side, by number; their names stand below, slanted if they have no room next
    to each other.
    """
    count = len(across.axes)
    names = ", ".join(f"'{_quote(axis.name)}'" for axis in across.axes)
    crowded = f"width < {_names_px(across)}"
    axis = alt.Axis(
        labelExpr=f"[{names}][datum.value]",
        labelAngle=alt.ExprRef(f"{crowded} ? -40 : 0"),
        labelAlign=alt.ExprRef(f"{crowded} ? 'right' : 'center'"),
        labelLimit=alt.ExprRef("min(190, max(105, width / 4))"),
        labelOverlap=False,
        values=list(range(count)),
        domain=False,
        ticks=False,
        labelPadding=10,
    )
    scale = alt.Scale(domain=[-0.15, count - 0.55], nice=False)
    return alt.X("axis:Q", title=None, axis=axis, scale=scale)


def _names_px(across: Coordinates) -> int:
    """The width of a chart, in pixels, at which every two neighbouring names have room."""
    lengths = [len(axis.name) for axis in across.axes]
    widest = max((a + b) / 2 * _LETTER + _GAP for a, b in pairwise(lengths))
    return round(widest * (len(lengths) - 0.4))


def _quote(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")


def _y() -> alt.Y:
    return alt.Y(
        "position:Q",
        axis=None,
        scale=alt.Scale(domain=[-0.17, 1.08], nice=False),
    )


def _uprights(across: Coordinates) -> alt.Chart:
    rows = [(k, 0, 1) for k in range(len(across.axes))]
    data = records(("axis", "position", "top"), rows)
    base = alt.Chart(data).mark_rule(color=DIM, strokeWidth=1.2)
    return base.encode(_x(across), _y(), alt.Y2("top:Q"))


def _ticks(across: Coordinates) -> list[alt.Chart]:
    """The values at the axes, each on a rim of paper, so that lines do not run through it."""
    rows = []
    for k, axis in enumerate(across.axes):
        rows += [(k, tick.position, tick.text) for tick in axis.marks]
    data = records(("axis", "position", "text"), rows)
    base = alt.Chart(data).encode(_x(across), _y(), text="text:N")
    limit = WIDTH / len(across.axes)
    place: dict[str, Any] = {"align": "left", "dx": 5, "fontSize": 11, "limit": limit}
    rim = base.mark_text(
        stroke=PAPER,
        strokeWidth=4,
        color=PAPER,
        strokeJoin="round",
        **place,
    )
    return [rim, base.mark_text(color=INK, **place)]
