"""Learning: the figure of validation mAP by training images seen, trial by trial."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import MOST_LINES, best_and_others
from syndet_ray.analysis.response import Curve, curves
from syndet_ray.analysis.tables import best_number
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.report import words
from syndet_ray.report.figures.plot import (
    Plot,
    add_title,
    colors,
    from_zero,
    label_positions,
    records,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import BLUE, DIM, FAINT, GREEN, INK, ORANGE, PALE, VERMILLION
from syndet_ray.runs.names import display_name
from syndet_ray.runs.run import Run

_AGAIN = "trained again"
_PRUNED, _FAILED, _BEST = "pruned (×)", "failed (▼)", "best recipe"
_SOLID = [1, 0]
# Colour, width and dashes of a curve by its name in the legend; the last lie on top.
_LOOKS: dict[str, tuple[str, float, list[int]]] = {
    _AGAIN: (FAINT, 1, _SOLID),
    "unfinished": (PALE, 1.4, [8, 3]),
    "searched": (PALE, 1.4, _SOLID),
    _PRUNED: (DIM, 1.4, [2, 3]),
    _FAILED: (VERMILLION, 1.4, _SOLID),
    "variant": (DIM, 1.4, [6, 3]),
    display_name("synthetic_only"): (ORANGE, 2, [6, 3]),
    display_name("real_only"): (GREEN, 2, [6, 3]),
    _BEST: (BLUE, 3, _SOLID),
}
# The marks at the end of a curve. Vega's own cross is a plus.
_ENDS = {_PRUNED: "M-.7,-.7L.7,.7M.7,-.7L-.7,.7", _FAILED: "triangle-down"}
_HEADER = ("trial", "what", "kind", "seed_of", "state", "images", "val_mAP")
_NUMBER_HEADER = (
    "trial",
    "images",
    "val_mAP",
    "joined_from",
    "joined_to",
    "written_at",
    "height",
    "ink",
)
_TOOLTIP = tooltip("trial", "kind", "state", images=",", val_mAP=".3f")
_MOST_NUMBERED = 12  # curves: the trial numbers of more would lie on one another
_NUMBER_GAP = 0.055  # between the numbers of trials, a share of the axis


def learning_curves(run: Run) -> Plot | None:
    """Every trial that reported; a pruned one ends in a cross."""
    all_curves = curves(run.trials, best_number(run.trials, run.test))
    if not all_curves:
        return None
    plotted = _plotted_curves(all_curves)
    layers = alt.layer(
        *_lines(_all_rows(plotted)),
        *_ends(plotted),
        *_numbers(all_curves),
    )
    chart = layers.encode(*_axes(all_curves, run)).interactive(name="zoom")
    figure = add_title(chart, "Learning curves", run)
    return Plot(figure=figure, header=_HEADER, rows=_all_rows(all_curves))


def plotted_words(run: Run) -> str:
    """Says in a sentence which of many curves are plotted; "" if all are."""
    all_curves = curves(run.trials, best_number(run.trials, run.test))
    searched = [curve for curve in all_curves if curve.kind == "search"]
    plotted = [curve for curve in _plotted_curves(all_curves) if curve.kind == "search"]
    return words.best_and_others(len(searched), len(plotted), MOST_LINES)


def _plotted_curves(all_curves: Sequence[Curve]) -> list[Curve]:
    """The curves that are plotted: of many of the search a selection, with the best recipe."""
    many = [curve for curve in all_curves if curve.kind == "search" and not curve.best]
    ranked = sorted(many, key=lambda curve: (-curve.values[-1], curve.trial))
    left_out = {curve.trial for curve in many}
    left_out -= {curve.trial for curve in best_and_others(ranked, MOST_LINES)}
    return [curve for curve in all_curves if curve.trial not in left_out]


def _all_rows(all_curves: Sequence[Curve]) -> list[tuple[Any, ...]]:
    rows = []
    for curve in all_curves:
        rows += _rows(curve)
    return rows


def _rows(curve: Curve) -> list[tuple[Any, ...]]:
    trial = (curve.trial, _legend_name(curve), display_name(curve.kind), curve.of, curve.state)
    points = zip(curve.images, curve.values, strict=True)
    return [(*trial, images, value) for images, value in points]


def _legend_name(curve: Curve) -> str:
    """The name of a curve in the legend."""
    if curve.best:
        return _BEST
    if curve.kind == "confirm":
        return _AGAIN
    if curve.kind in CONTROL_CHANGES:
        return display_name(curve.kind)
    if curve.kind != "search":
        return "variant"
    states = {"PRUNED": _PRUNED, "FAILED": _FAILED, "RUNNING": "unfinished"}
    return states.get(curve.state, "searched")


def _axes(all_curves: Sequence[Curve], run: Run) -> tuple[alt.X, alt.Y]:
    """The axes of every layer, with room for the numbers of trials at the right."""
    ticks = alt.Axis(
        title="training images seen",
        tickCount=6,
        format=",.0f",
    )
    across = alt.Scale(domain=[0, _right(all_curves)])
    up = alt.Scale(domain=_heights(all_curves))
    return (
        alt.X("images:Q", axis=ticks, scale=across),
        alt.Y("val_mAP:Q", title=validation_label(run), scale=up),
    )


def _heights(all_curves: Sequence[Curve]) -> list[float]:
    """The ends of the axis of mAP."""
    values: list[float] = []
    for curve in all_curves:
        values += curve.values
    return from_zero(values)


def _right(all_curves: Sequence[Curve]) -> float:
    """The right end of the axis of images."""
    return 1.1 * max(curve.images[-1] for curve in all_curves)


def _lines(rows: Sequence[Sequence[Any]]) -> list[alt.Chart]:
    """The curves, the last in the data on top, and a dot for each report of a trial."""
    names = {row[1] for row in rows}
    looks = {name: look for name, look in _LOOKS.items() if name in names}
    order = list(looks)
    hues = {name: look[0] for name, look in looks.items()}
    widths = [look[1] for look in looks.values()]
    dashes = [look[2] for look in looks.values()]
    legend = alt.Legend(symbolType="stroke", symbolSize=500)
    dash_scale = alt.Scale(type="ordinal", domain=order, range=dashes)
    width_scale = alt.Scale(type="ordinal", domain=order, range=widths)
    base = alt.Chart(records(_HEADER, sorted(rows, key=lambda row: order.index(row[1]))))
    lines = base.mark_line().encode(
        colors(hues, legend=legend),
        alt.StrokeDash("what:N", scale=dash_scale, sort=order),
        alt.StrokeWidth("what:N", scale=width_scale, sort=order),
        detail="trial:N",
    )
    dots = base.mark_point(filled=True, opacity=1, size=28)
    return [lines, dots.encode(colors(hues), tooltip=_TOOLTIP)]


def _ends(plotted: Sequence[Curve]) -> list[alt.Chart]:
    """A mark at the end of each trial that was stopped."""
    layers = []
    for name, shape in _ENDS.items():
        rows = [_rows(curve)[-1] for curve in plotted if _legend_name(curve) == name]
        if rows:
            marks = alt.Chart(records(_HEADER, rows)).mark_point(
                shape=shape,
                size=110,
                strokeWidth=2.2,
                opacity=1,
                color=_LOOKS[name][0],
            )
            layers.append(marks.encode(tooltip=_TOOLTIP))
    return layers


def _numbers(all_curves: Sequence[Curve]) -> list[alt.Chart]:
    """The number of a trial next to the end of its curve, joined to it if it had to be moved."""
    base = alt.Chart(records(_NUMBER_HEADER, _number_rows(all_curves)))
    ink = alt.Color("ink:N", scale=None)
    height = alt.Y("height:Q")
    joint = base.mark_rule(strokeWidth=0.7).encode(
        alt.X("joined_from:Q"),
        alt.Y("val_mAP:Q"),
        ink,
        x2="joined_to:Q",
        y2="height:Q",
    )
    text = base.mark_text(align="left")
    return [joint, text.encode(alt.X("written_at:Q"), height, ink, text="trial:N")]


def _number_rows(all_curves: Sequence[Curve]) -> list[tuple[Any, ...]]:
    """The places of the numbers of trials; of many trials, only of the best and the controls."""
    numbered = [curve for curve in all_curves if curve.kind != "confirm"]
    if len(numbered) > _MOST_NUMBERED:
        numbered = [curve for curve in numbered if curve.best or curve.kind != "search"]
    gap = _NUMBER_GAP * _heights(all_curves)[1]
    right = _right(all_curves)
    rows = []
    for end in dict.fromkeys(curve.images[-1] for curve in numbered):
        column = [curve for curve in numbered if curve.images[-1] == end]
        heights = label_positions([curve.values[-1] for curve in column], gap, least=0.0)
        for curve, height in zip(column, heights, strict=True):
            rows.append(_number_row(curve, height, right))
    return rows


def _number_row(curve: Curve, height: float, right: float) -> tuple[Any, ...]:
    end = curve.images[-1]
    color = _LOOKS[_legend_name(curve)][0]
    # The joint begins beyond the dot, and ends before the number.
    places = (end + 0.012 * right, end + 0.028 * right, end + 0.034 * right)
    ink = INK if color == PALE else color
    return (str(curve.trial), end, curve.values[-1], *places, height, ink)
