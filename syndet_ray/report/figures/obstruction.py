"""Obstruction: the figures of accuracy against the hidden share of objects."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.obstruction import bin_scores
from syndet_ray.analysis.tables import TestLine
from syndet_ray.data.visibility import Visibility
from syndet_ray.metrics import AP_VISIBLE, RECALL_VISIBLE
from syndet_ray.report.figures.plot import (
    Plot,
    add_title,
    colors,
    recipe_colors,
    records,
    score_limits,
    tooltip,
)
from syndet_ray.report.palette import DIM, INK, RULE
from syndet_ray.runs.names import test_set_name
from syndet_ray.runs.results import TestScores
from syndet_ray.runs.run import Run

_KINDS = {AP_VISIBLE: "AP", RECALL_VISIBLE: "recall"}
_APART = 0.008  # of obstruction, between recipes: their intervals would hide one another
_HEADER = ("what", "trial", "visibility", "obstruction", "objects", "accuracy", "low_95", "high_95")


def accuracy_vs_obstruction(run: Run) -> Plot | None:
    """AP by the hidden share of objects."""
    return _plot(run, AP_VISIBLE)


def recall_vs_obstruction(run: Run) -> Plot | None:
    """Recall by the hidden share of objects."""
    return _plot(run, RECALL_VISIBLE)


def _plot(run: Run, kind: str) -> Plot | None:
    test = run.test
    points = bin_scores(run, kind)
    if test is None or test.visibility is None or not points:
        return None
    rows = []
    for point in points:
        place = (point.bin.name, point.obstruction, point.bin.objects)
        score = point.accuracy
        rows.append((point.recipe, point.trial, *place, score.value, score.low, score.high))
    name = _KINDS[kind]
    curves = _curves(rows, chosen_lines(run), f"{name} of the objects in a bin")
    chart = alt.layer(_edges(test.visibility), *curves, _counts(test.visibility))
    figure = add_title(chart, "", run).properties(title=_title(name, test, test.visibility))
    return Plot(figure=figure, header=_HEADER, rows=rows)


def _title(name: str, test: TestScores, visibility: Visibility) -> alt.Title:
    intervals = "" if test.is_too_small else ", 95 % intervals"
    subtitle = [f"on {test_set_name(test)}{intervals}"]
    if visibility.kind == "estimated":
        subtitle.append("obstruction is estimated from overlapping boxes")
    text = f"{name[0].upper()}{name[1:]} against obstruction"
    return alt.Title(text, subtitle=subtitle, offset=24)


def _curves(
    rows: Sequence[Sequence[Any]], lines: Sequence[TestLine], label: str
) -> list[alt.Chart]:
    """A line with its intervals for each recipe, each a little to the right of the one before."""
    inks = recipe_colors(lines)
    names = list(inks)
    shifted = [(*row, float(row[3]) + _APART * names.index(row[0])) for row in rows]
    heights = score_limits([0.0, *_scores(rows)])
    base = alt.Chart(records((*_HEADER, "shown"), shifted)).encode(
        alt.X(
            "shown:Q",
            title="obstruction: hidden share of an object",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%"),
        ),
        alt.Y("accuracy:Q", title=label, scale=alt.Scale(domain=heights, nice=True)),
        colors(inks),
    )
    scores = dict.fromkeys(("accuracy", "low_95", "high_95"), ".3f")
    shown = tooltip("what", "visibility", objects=",", obstruction=".2f", **scores)
    bars = base.mark_rule(strokeWidth=1.5).encode(alt.Y("low_95:Q"), alt.Y2("high_95:Q"))
    return [
        bars,
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=shown),
    ]


def _scores(rows: Sequence[Sequence[Any]]) -> list[float]:
    """The plotted scores and the ends of their intervals."""
    scores = []
    for row in rows:
        scores += [score for score in row[5:] if score is not None]
    return scores


def _edges(visibility: Visibility) -> alt.Chart:
    """A line between each two bins."""
    data = records(("edge",), [(1 - edge.low,) for edge in visibility.bins[1:]])
    return alt.Chart(data).mark_rule(color=RULE, strokeDash=[3, 3]).encode(alt.X("edge:Q"))


def _counts(visibility: Visibility) -> alt.Chart:
    """The number of objects in a bin, above it; dim if they are too few for a score."""
    rows = []
    for part in visibility.bins:
        middle = 1 - (part.low + part.high) / 2
        rows.append((middle, f"n = {part.objects}", part.objects >= visibility.minimum))
    shade = alt.condition("datum.enough", alt.value(INK), alt.value(DIM))
    data = records(("middle", "count", "enough"), rows)
    base = alt.Chart(data).mark_text(baseline="bottom", fontSize=11)
    return base.encode(
        alt.X("middle:Q"),
        alt.Y(value=-4),
        text="count:N",
        color=shade,
    )
