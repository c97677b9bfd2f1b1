"""Learning: the figure of validation mAP by training images seen, trial by trial."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import MOST_LINES, best_and_others, best_and_others_words
from syndet_ray.analysis.response import Curve, curves
from syndet_ray.analysis.tables import best_number
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.report.figures.plot import (
    Plot,
    colors,
    from_zero,
    label_positions,
    records,
    titled,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import BLUE, DIM, FAINT, GREEN, INK, ORANGE, PALE, VERMILLION
from syndet_ray.runs.names import role_name
from syndet_ray.runs.run import Run

_ANEW, _PRUNED, _FAILED, _BEST = "trained anew", "pruned (×)", "failed (▼)", "best recipe"
_SOLID = [1, 0]
# By what a curve is, from those that lie under all to those on top: its colour, width and dashes.
_LOOKS: dict[str, tuple[str, float, list[int]]] = {
    _ANEW: (FAINT, 1, _SOLID),
    "unfinished": (PALE, 1.4, [8, 3]),
    "searched": (PALE, 1.4, _SOLID),
    _PRUNED: (DIM, 1.4, [2, 3]),
    _FAILED: (VERMILLION, 1.4, _SOLID),
    "variant": (DIM, 1.4, [6, 3]),
    role_name("synthetic_only"): (ORANGE, 2, [6, 3]),
    role_name("real_only"): (GREEN, 2, [6, 3]),
    _BEST: (BLUE, 3, _SOLID),
}
# Vega's own cross is a plus
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
_SEEN = tooltip("trial", "kind", "state", images=",", val_mAP=".3f")
_MOST_NUMBERED = 12  # curves, beyond which the numbers of their trials would be a tangle
_NUMBER_GAP = 0.055  # between the numbers of trials, of the axis


def learning_curves(run: Run) -> Plot | None:
    """Every trial that reported; a pruned one ends in a cross."""
    trials = run.trials
    found = curves(trials, best_number(trials, run.test))
    if not found:
        return None
    rows = [row for curve in found for row in _rows(curve)]
    images, values = _axes(found, run)
    drawn = _drawn(found)
    numbered = records(_NUMBER_HEADER, _numbers(found))
    lines = _lines([row for curve in drawn for row in _rows(curve)])
    figure = alt.layer(*lines, *_ends(drawn), *_named(numbered)).encode(images, values)
    return Plot(
        figure=titled(figure.interactive(name="zoom"), "Learning curves", run),
        header=_HEADER,
        rows=rows,
    )


def plotted_words(run: Run) -> str:
    """Which of many curves are drawn, in a sentence; "" where all are."""
    trials = run.trials
    found = curves(trials, best_number(trials, run.test))
    all_searched, drawn_searched = (
        sum(curve.kind == "search" for curve in some) for some in (found, _drawn(found))
    )
    return best_and_others_words(all_searched, drawn_searched, MOST_LINES)


def _drawn(found: Sequence[Curve]) -> list[Curve]:
    """The curves that are drawn: of the search's many, but for the best recipe, some."""
    many = [curve for curve in found if curve.kind == "search" and not curve.best]
    ranked = sorted(many, key=lambda curve: (-curve.values[-1], curve.trial))
    kept = {curve.trial for curve in best_and_others(ranked, MOST_LINES)}
    return [curve for curve in found if curve.trial in kept or curve.kind != "search" or curve.best]


def _rows(curve: Curve) -> list[tuple[Any, ...]]:
    name = (curve.trial, _what(curve), role_name(curve.kind), curve.of, curve.state)
    return [
        (*name, images, value) for images, value in zip(curve.images, curve.values, strict=True)
    ]


def _what(curve: Curve) -> str:
    """What a curve is called in the legend."""
    if curve.best:
        return _BEST
    if curve.kind == "confirm":
        return _ANEW
    if curve.kind != "search":
        return role_name(curve.kind) if curve.kind in CONTROL_CHANGES else "variant"
    return {"PRUNED": _PRUNED, "FAILED": _FAILED, "RUNNING": "unfinished"}.get(
        curve.state, "searched"
    )


def _axes(found: Sequence[Curve], run: Run) -> tuple[alt.X, alt.Y]:
    """The same for every layer, with room for the numbers of trials at the right."""
    heights = from_zero([value for curve in found for value in curve.values])
    ticks = alt.Axis(title="training images seen", tickCount=6, format=",.0f")
    return (
        alt.X("images:Q", axis=ticks, scale=alt.Scale(domain=[0, _right(found)])),
        alt.Y("val_mAP:Q", title=validation_label(run), scale=alt.Scale(domain=heights)),
    )


def _right(found: Sequence[Curve]) -> float:
    return 1.1 * max(curve.images[-1] for curve in found)


def _lines(rows: Sequence[Sequence[Any]]) -> list[alt.Chart]:
    """The curves, of which the last in the data is drawn on top, and a dot for each time a trial
    reported.
    """
    present = {name: look for name, look in _LOOKS.items() if any(row[1] == name for row in rows)}
    ordered = sorted(rows, key=lambda row: list(_LOOKS).index(row[1]))
    hue = {name: look[0] for name, look in present.items()}
    width, dashes = (
        alt.Scale(
            type="ordinal", domain=list(present), range=[look[k] for look in present.values()]
        )
        for k in (1, 2)
    )
    base = alt.Chart(records(_HEADER, ordered))
    lines = base.mark_line().encode(
        colors(hue, legend=alt.Legend(symbolType="stroke", symbolSize=500)),
        alt.StrokeDash("what:N", scale=dashes, sort=list(hue)),
        alt.StrokeWidth("what:N", scale=width, sort=list(hue)),
        detail="trial:N",
    )
    return [
        lines,
        base.mark_point(filled=True, opacity=1, size=28).encode(colors(hue), tooltip=_SEEN),
    ]


def _ends(found: Sequence[Curve]) -> list[alt.Chart]:
    """A mark where a trial was stopped."""
    stopped = {
        name: [_rows(curve)[-1] for curve in found if _what(curve) == name] for name in _ENDS
    }
    return [
        alt.Chart(records(_HEADER, rows))
        .mark_point(shape=_ENDS[name], size=110, strokeWidth=2.2, opacity=1, color=_LOOKS[name][0])
        .encode(tooltip=_SEEN)
        for name, rows in stopped.items()
        if rows
    ]


def _named(numbered: alt.Data) -> list[alt.Chart]:
    """The number of a trial beside the end of its curve, joined to it where it had to be moved."""
    base, ink = alt.Chart(numbered), alt.Color("ink:N", scale=None)
    joint = base.mark_rule(strokeWidth=0.7).encode(
        alt.X("joined_from:Q"), alt.Y("val_mAP:Q"), ink, x2="joined_to:Q", y2="height:Q"
    )
    return [
        joint,
        base.mark_text(align="left").encode(
            alt.X("written_at:Q"), alt.Y("height:Q"), ink, text="trial:N"
        ),
    ]


def _numbers(found: Sequence[Curve]) -> list[tuple[Any, ...]]:
    """Where the number of each trial is written; of many, only of the best and the controls."""
    named = [curve for curve in found if curve.kind != "confirm"]
    if len(named) > _MOST_NUMBERED:
        named = [curve for curve in named if curve.best or curve.kind != "search"]
    gap = _NUMBER_GAP * from_zero([value for curve in found for value in curve.values])[1]
    rows = []
    for end in {curve.images[-1]: None for curve in named}:
        there = [curve for curve in named if curve.images[-1] == end]
        heights = label_positions([curve.values[-1] for curve in there], gap)
        rows += [
            _number(curve, height, _right(found))
            for curve, height in zip(there, heights, strict=True)
        ]
    return rows


def _number(curve: Curve, height: float, right: float) -> tuple[Any, ...]:
    end, color = curve.images[-1], _LOOKS[_what(curve)][0]
    joined = (end + 0.012 * right, end + 0.028 * right, end + 0.034 * right)
    return (
        str(curve.trial),
        end,
        curve.values[-1],
        *joined,
        height,
        INK if color == PALE else color,
    )
