"""Obstruction: the figures of accuracy on objects that are more and more hidden."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.obstruction import places
from syndet_ray.analysis.tables import TestLine
from syndet_ray.data.visibility import Visibility
from syndet_ray.report.figures.plot import Plot, colors, recipe_colors, records, titled, tooltip
from syndet_ray.report.palette import DIM, INK, RULE
from syndet_ray.runs.names import where
from syndet_ray.runs.run import Run

_KINDS = {"AP_visible": "AP", "recall_visible": "recall"}
_APART = 0.008  # recipes stand beside one another, in obstruction
_HEADER = ("what", "trial", "visibility", "obstruction", "objects", "accuracy", "low_95", "high_95")


def accuracy_vs_obstruction(run: Run) -> Plot | None:
    """AP by how hidden objects are."""
    return _drawing(run, "AP_visible")


def recall_vs_obstruction(run: Run) -> Plot | None:
    """Recall by how hidden objects are."""
    return _drawing(run, "recall_visible")


def _drawing(run: Run, kind: str) -> Plot | None:
    test, found = run.test, places(run, kind)
    if test is None or test.visibility is None or not found:
        return None
    rows = [
        (
            x.recipe,
            x.trial,
            x.bin.name,
            x.obstruction,
            x.bin.objects,
            x.accuracy.value,
            x.accuracy.low,
            x.accuracy.high,
        )
        for x in found
    ]
    name = _KINDS[kind]
    curves = _curves(rows, chosen_lines(run), f"{name} of the objects in a bin")
    figure = alt.layer(_edges(test.visibility), *curves, _counts(test.visibility))
    estimated = (
        ["obstruction is estimated from overlapping boxes"]
        if test.visibility.kind == "estimated"
        else []
    )
    intervals = "" if test.is_too_small else ", 95 % intervals"
    title = alt.Title(
        f"{name[0].upper()}{name[1:]} against obstruction",
        subtitle=[f"on {where(test)}{intervals}", *estimated],
        offset=24,
    )
    return Plot(figure=titled(figure, "", run).properties(title=title), header=_HEADER, rows=rows)


def _curves(
    rows: Sequence[Sequence[Any]], lines: Sequence[TestLine], label: str
) -> list[alt.Chart]:
    """A line with its intervals for each recipe; recipes stand a little beside one another."""
    names = list(recipe_colors(lines))
    shifted = [(*row, float(row[3]) + _APART * names.index(row[0])) for row in rows]
    base = alt.Chart(records((*_HEADER, "shown"), shifted)).encode(
        alt.X(
            "shown:Q",
            title="obstruction: hidden share of an object",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%"),
        ),
        alt.Y("accuracy:Q", title=label, scale=alt.Scale(zero=True)),
        colors(recipe_colors(lines)),
    )
    shown = tooltip(
        "what",
        "visibility",
        objects=",",
        obstruction=".2f",
        accuracy=".3f",
        low_95=".3f",
        high_95=".3f",
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(alt.Y("low_95:Q"), alt.Y2("high_95:Q"))
    return [
        bars,
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=shown),
    ]


def _edges(seen: Visibility) -> alt.Chart:
    """Where one bin ends and the next begins."""
    rows = [(1 - held.low,) for held in seen.bins[1:]]
    return (
        alt.Chart(records(("edge",), rows))
        .mark_rule(color=RULE, strokeDash=[3, 3])
        .encode(alt.X("edge:Q"))
    )


def _counts(seen: Visibility) -> alt.Chart:
    """How many objects a bin holds, above it; dim where they are too few for a score."""
    rows = [
        (1 - (b.low + b.high) / 2, f"n = {b.objects}", b.objects >= seen.minimum) for b in seen.bins
    ]
    shade = alt.condition("datum.enough", alt.value(INK), alt.value(DIM))
    base = alt.Chart(records(("middle", "count", "enough"), rows)).mark_text(
        baseline="bottom", fontSize=11
    )
    return base.encode(alt.X("middle:Q"), alt.Y(value=-4), text="count:N", color=shade)
