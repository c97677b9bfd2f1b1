"""Agreement: the figure of validation mAP, which recipes are chosen by, against mAP on the test
set.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.report.figures.comparisons import reach
from syndet_ray.report.figures.plot import (
    Plot,
    label_positions,
    recipe_colors,
    records,
    titled,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import DIM
from syndet_ray.runs.names import where
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
_HEIGHT = 380
_NAME_GAP = 17 / _HEIGHT  # between names, of the axis
_MARGIN = 0.05  # around all marks, of what they span


def validation_vs_test(run: Run) -> Plot | None:
    """What each recipe reached where recipes are chosen, and what on images that nobody chose by."""
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
    up = alt.Y("test_mAP:Q", title=f"mAP on {where(test)}", scale=_within(limits))
    layers = alt.layer(_diagonal(limits), *_named(lines, limits), *_marks(lines)).encode(across, up)
    return Plot(
        figure=titled(layers, "Validation against test", run, _HEIGHT),
        header=_HEADER,
        rows=[_row(x) for x in lines],
    )


def _row(line: TestLine) -> tuple[Any, ...]:
    score = line.scores["mAP"]
    name = (line.role, line.name, line.trial, len(line.seeds) or 1)
    return (*name, line.validation, line.error, score.value, score.low, score.high)


def _limits(lines: Sequence[TestLine]) -> tuple[float, float]:
    """Of both axes, so that the diagonal is where validation promised what the test set gave."""
    errors = [(line.validation, line.error or 0.0) for line in lines]
    ends = [end for line in lines for end in reach(line.scores["mAP"])]
    ends += [value + sign * error for value, error in errors for sign in (-1, 1)]
    margin = _MARGIN * (max(ends) - min(ends)) or _MARGIN
    return max(0.0, min(ends) - margin) if min(ends) > 0 else -margin, max(ends) + margin


def _within(limits: tuple[float, float]) -> alt.Scale:
    return alt.Scale(domain=list(limits), nice=False, zero=False)


def _diagonal(limits: tuple[float, float]) -> alt.Chart:
    ends = records(("validation_mAP", "test_mAP"), [(end, end) for end in limits])
    return alt.Chart(ends).mark_line(color=DIM, strokeDash=[4, 4], strokeWidth=1.2)


def _marks(lines: Sequence[TestLine]) -> list[alt.Chart]:
    """Each recipe with its standard error across and its interval upright; the first is drawn last,
    on top.
    """
    header = (*_HEADER, "lowest", "highest", "ink")
    errors = [
        (x.validation - x.error, x.validation + x.error) if x.error is not None else (None, None)
        for x in lines
    ]
    inks = recipe_colors(lines)
    rows = [
        (*_row(line), *error, inks[line.name]) for line, error in zip(lines, errors, strict=True)
    ][::-1]
    base = alt.Chart(records(header, rows)).encode(color=alt.Color("ink:N", scale=None))
    shown = dict.fromkeys(_HEADER[4:], ".3f")
    return [
        base.mark_rule(strokeWidth=1.6).encode(alt.X("lowest:Q"), x2="highest:Q"),
        base.mark_rule(strokeWidth=1.6).encode(alt.Y("low_95:Q"), y2="high_95:Q"),
        base.mark_point(filled=True, size=90, opacity=1).encode(
            tooltip=tooltip("what", "trial", "seeds", **shown)
        ),
    ]


def _named(lines: Sequence[TestLine], limits: tuple[float, float]) -> list[alt.Chart]:
    """The names in a column at the right, each joined to its mark: beside the marks they would lie
    on others.
    """
    heights = label_positions(
        [line.scores["mAP"].value for line in lines], _NAME_GAP * (limits[1] - limits[0])
    )
    inks = recipe_colors(lines)
    rows = [
        (line.name, line.validation, line.scores["mAP"].value, height, inks[line.name])
        for line, height in zip(lines, heights, strict=True)
    ]
    base = alt.Chart(records(("what", "validation_mAP", "test_mAP", "height", "ink"), rows))
    joint = base.mark_rule(strokeWidth=0.8, opacity=0.6, color=DIM).encode(
        x2=alt.X2Value("width"), y2="height:Q"
    )
    names = base.mark_text(align="left", dx=6, limit=160, clip=False)
    at_right = (alt.XValue("width"), alt.Y("height:Q"), alt.Color("ink:N", scale=None))
    return [joint, names.encode(*at_right, text="what:N")]
