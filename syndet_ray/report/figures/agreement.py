"""Agreement: the figure of validation mAP, by which recipes are chosen, against test mAP."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.metrics import MAP
from syndet_ray.report.figures.comparisons import reach
from syndet_ray.report.figures.plot import (
    Plot,
    add_title,
    label_positions,
    recipe_colors,
    records,
    score_limits,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import DIM
from syndet_ray.runs.names import test_set_name
from syndet_ray.runs.run import Run

_HEADER = (
    "role",
    "what",
    "trial",
    "seeds",
    "validation_mAP",
    "standard_error",
    "test_mAP",
    "low_95",
    "high_95",
)
_HEIGHT = 380  # pixels, so that the plot is nearly square
_NAME_GAP = 17 / _HEIGHT  # between names, a share of the axis
_MARGIN = 0.05  # around all marks, a share of their range


def validation_vs_test(run: Run) -> Plot | None:
    """mAP of each recipe on the images by which recipes are chosen, and on the test set."""
    test = run.test
    lines = test_lines(test, run.trials) if test is not None else ()
    if test is None or len(lines) < 2:
        return None
    limits = _limits(lines)
    across = alt.X(
        "validation_mAP:Q",
        axis=alt.Axis(title=validation_label(run), tickCount=6),
        scale=_within(limits),
    )
    up = alt.Y(
        "test_mAP:Q",
        title=f"mAP on {test_set_name(test)}",
        scale=_within(limits),
    )
    layers = alt.layer(_diagonal(limits), *_names(lines, limits), *_marks(lines))
    figure = add_title(layers.encode(across, up), "Validation against test", run, _HEIGHT)
    return Plot(
        figure=figure,
        header=_HEADER,
        rows=[_row(line) for line in lines],
    )


def _row(line: TestLine) -> tuple[Any, ...]:
    score = line.scores[MAP]
    name = (line.key, line.name, line.trial, len(line.seeds) or 1)
    return (*name, line.validation, line.error, score.value, score.low, score.high)


def _limits(lines: Sequence[TestLine]) -> list[float]:
    """The same limits for both axes: on the diagonal validation promised what the test set gave.

    If a mark lies on 0, they begin a little below, so that it hides no number of an axis.
    """
    ends: list[float] = []
    for line in lines:
        error = line.error or 0.0
        ends += [*reach(line.scores[MAP]), line.validation - error, line.validation + error]
    low, high = score_limits(ends, _MARGIN)
    return [-_MARGIN * high if min(ends) <= 0 else low, high]


def _within(limits: Sequence[float]) -> alt.Scale:
    return alt.Scale(domain=list(limits), nice=False, zero=False)


def _diagonal(limits: Sequence[float]) -> alt.Chart:
    ends = records(("validation_mAP", "test_mAP"), [(end, end) for end in limits])
    return alt.Chart(ends).mark_line(
        color=DIM,
        strokeDash=[4, 4],
        strokeWidth=1.2,
    )


def _marks(lines: Sequence[TestLine]) -> list[alt.Chart]:
    """Each recipe, with its standard error across and its interval upright.

    The first lies on top.
    """
    inks = recipe_colors(lines)
    rows = []
    for line in reversed(lines):
        ends: tuple[float | None, float | None] = (None, None)
        if line.error is not None:
            ends = (max(0.0, line.validation - line.error), line.validation + line.error)
        rows.append((*_row(line), *ends, inks[line.name]))
    data = records((*_HEADER, "lowest", "highest", "ink"), rows)
    base = alt.Chart(data).encode(color=alt.Color("ink:N", scale=None))
    rule = base.mark_rule(strokeWidth=1.6)
    formats = dict.fromkeys(_HEADER[4:], ".3f")
    return [
        rule.encode(alt.X("lowest:Q"), x2="highest:Q"),
        rule.encode(alt.Y("low_95:Q"), y2="high_95:Q"),
        base.mark_point(filled=True, size=90, opacity=1).encode(
            tooltip=tooltip("what", "trial", "seeds", **formats)
        ),
    ]


def _names(lines: Sequence[TestLine], limits: Sequence[float]) -> list[alt.Chart]:
    """The names in a column at the right, each joined to its mark: next to the marks they would
    hide others.
    """
    gap = _NAME_GAP * (limits[1] - limits[0])
    heights = label_positions([line.scores[MAP].value for line in lines], gap, limits[0])
    inks = recipe_colors(lines)
    rows = []
    for line, height in zip(lines, heights, strict=True):
        score = line.scores[MAP].value
        rows.append((line.name, line.validation, score, height, inks[line.name]))
    base = alt.Chart(records(("what", "validation_mAP", "test_mAP", "height", "ink"), rows))
    joint = base.mark_rule(strokeWidth=0.8, opacity=0.6, color=DIM)
    names = base.mark_text(align="left", dx=6, limit=160, clip=False)
    at_right = (alt.XValue("width"), alt.Y("height:Q"), alt.Color("ink:N", scale=None))
    return [
        joint.encode(x2=alt.X2Value("width"), y2="height:Q"),
        names.encode(*at_right, text="what:N"),
    ]
