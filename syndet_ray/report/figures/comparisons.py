"""Comparisons: figures of what met the test set as bars, each score with its interval."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import Score, TestLine, VariantLine, variant_lines
from syndet_ray.report.figures.drawing import (
    BLUE,
    DIM,
    INK,
    PALE,
    Drawing,
    colors,
    from_zero,
    recipe_colors,
    records,
    titled,
    tooltip,
)
from syndet_ray.runs.metrics import MAIN_METRICS
from syndet_ray.runs.names import where
from syndet_ray.runs.results import TestScores
from syndet_ray.runs.run import Run
from syndet_ray.wording import decimals, number

_SCORE_HEADER = ("role", "trial", "seeds", "metric", "value", "low_95", "high_95")
_VARIANT_HEADER = (
    *("variant", "seed", "test_mAP", "low_95", "high_95"),
    *("difference", "difference_low_95", "difference_high_95"),
)
_VARIANT_HEIGHT = 34  # pixels
_SIDE_BY_SIDE = alt.Scale(type="band", paddingInner=0.1, paddingOuter=0.05)
_LETTER = 0.6  # width of a digit, in heights


def test_scores(run: Run) -> Drawing | None:
    """Recipes of the test set side by side; of many a choice, for the table has them all."""
    test, lines = run.test, chosen_lines(run)
    if test is None:
        return None
    rows = [
        (x.role, x.trial, len(x.seeds) or 1, m, s.value, s.low, s.high)
        for x in lines
        for m, s in x.scores.items()
    ]
    layers = alt.layer(*_bars(lines, label("score", test)), *_seed_dots(lines)).resolve_scale(
        xOffset="independent"
    )
    return Drawing(
        figure=titled(layers, f"Scores on {where(test)}", run), header=_SCORE_HEADER, rows=rows
    )


test_scores.__test__ = False  # type: ignore[attr-defined]  # not a test of ours, whatever pytest thinks of the name


def variants(run: Run) -> Drawing | None:
    """The variants of a sweep, the first being what the others change."""
    lines, test = variant_lines(run), run.test
    if not lines or test is None:
        return None
    rows = [row for line in lines for row in _variant_rows(line)]
    layers = alt.layer(
        *_variant_bars(lines, label("mAP", test)), *_variant_dots(lines)
    ).resolve_scale(yOffset="independent")
    height = _VARIANT_HEIGHT * len(lines)
    return Drawing(
        figure=titled(layers, f"mAP on {where(test)}", run, height),
        header=_VARIANT_HEADER,
        rows=rows,
    )


def label(metric: str, test: TestScores) -> str:
    """The title of an axis of scores: with their intervals, where the test set is large enough for
    any.
    """
    return metric if test.is_too_small else f"{metric}, with 95 % interval"


def reach(score: Score) -> tuple[float, float]:
    """From where to where a score is drawn: its interval, and the score itself where it has none."""
    ends = (score.value, score.value if score.low is None else score.low, score.high or score.value)
    return min(ends), max(ends)


def white_dots(chart: alt.Chart) -> alt.Chart:
    """How the single models of a recipe are drawn."""
    return chart.mark_point(
        filled=True, fill="#ffffff", stroke=INK, strokeWidth=1, size=26, opacity=1
    )


def _bars(lines: Sequence[TestLine], title: str) -> list[alt.Chart]:
    """Bars by metric and recipe, each with its interval and its score above."""
    rows = _bar_rows(lines)
    base = alt.Chart(records(("what", "metric", "value", "low_95", "high_95", "top", "text"), rows))
    base = base.encode(
        _metrics(), alt.XOffset("what:N", sort=[line.name for line in lines], scale=_SIDE_BY_SIDE)
    )
    heights = alt.Scale(domain=[0, from_zero([row[5] for row in rows])[1]])  # bars stand on 0
    seen = tooltip("what", "metric", value=".3f", low_95=".3f", high_95=".3f")
    return [
        base.mark_bar().encode(
            alt.Y("value:Q", title=title, scale=heights),
            colors(recipe_colors(lines)),
            tooltip=seen,
        ),
        base.mark_rule(strokeWidth=1.4).encode(alt.Y("low_95:Q"), y2="high_95:Q"),
        base.mark_text(dy=-7, fontSize=_fitting([row[6] for row in rows])).encode(
            alt.Y("top:Q"), text="text:N"
        ),
    ]


def _bar_rows(lines: Sequence[TestLine]) -> list[tuple[Any, ...]]:
    digits = decimals(max(line.scores["mAP"].value for line in lines))
    found = [(line.name, metric, line.scores[metric]) for line in lines for metric in MAIN_METRICS]
    return [
        (name, metric, s.value, s.low, s.high, reach(s)[1], number(s.value, digits))
        for name, metric, s in found
    ]


def _metrics() -> alt.X:
    axis = alt.Axis(title=None, labelAngle=0, ticks=False, labelPadding=8)
    return alt.X(
        "metric:N",
        sort=MAIN_METRICS,
        axis=axis,
        scale=alt.Scale(paddingInner=0.16, paddingOuter=0.08),
    )


def _fitting(texts: Sequence[str]) -> alt.ExprRef:
    """The size of texts that fit beside one another however narrow the chart is; 0 where none could
    read them.
    """
    size = f"min(12, 0.84 * width / {len(texts) * max(map(len, texts)) * _LETTER:.2f})"
    return alt.ExprRef(f"{size} < 7.5 ? 0 : {size}")


def _seed_dots(lines: Sequence[TestLine]) -> list[alt.Chart]:
    """The mAP of each model of a recipe, beside one another within its bar."""
    rows = [
        (line.name, seed, "mAP", value, (k + place) / len(lines))
        for k, line in enumerate(lines)
        if line.confirmed
        for seed, value, place in _beside(line.seeds)
    ]
    dots = alt.Chart(records(("what", "seed", "metric", "value", "place"), rows)).encode(
        _metrics(), alt.Y("value:Q"), alt.XOffset("place:Q", scale=alt.Scale(domain=[0, 1]))
    )
    return [white_dots(dots).encode(tooltip=tooltip("what", "seed", value=".3f"))] if rows else []


def _beside(seeds: Sequence[float]) -> list[tuple[int, float, float]]:
    """Each seed's number, its score and its place across a bar, which goes from 0 to 1."""
    places = np.linspace(0.28, 0.72, len(seeds)) if len(seeds) > 1 else [0.5]
    return [
        (k, value, float(place))
        for k, (value, place) in enumerate(zip(seeds, places, strict=True), 1)
    ]


def _variant_rows(line: VariantLine) -> list[tuple[Any, ...]]:
    """The mean of a variant, its interval and its difference from the first; then what each seed
    reached.
    """
    found = line.difference
    against = (None, None, None) if found is None else (found.mean, found.low, found.high)
    mean = (line.name, "mean", line.score.value, line.score.low, line.score.high, *against)
    return [mean] + [
        (line.name, str(k), value, *[None] * 5) for k, value in enumerate(line.seeds, 1)
    ]


def _variant_bars(lines: Sequence[VariantLine], title: str) -> list[alt.Chart]:
    """The first in blue with a dashed line; darker, those that differ from it by more than their
    interval.
    """
    inks = [BLUE, *(DIM if line.apart else PALE for line in lines[1:])]
    rows = [(*_variant_rows(line)[0], ink) for line, ink in zip(lines, inks, strict=True)]
    base = alt.Chart(records((*_VARIANT_HEADER, "ink"), rows)).encode(_names(lines))
    shown = dict.fromkeys(("test_mAP", "low_95", "high_95"), ".3f") | dict.fromkeys(
        _VARIANT_HEADER[5:], "+.3f"
    )
    return [
        base.mark_bar().encode(
            _lengths(lines, title),
            alt.Color("ink:N", scale=None),
            tooltip=tooltip("variant", **shown),
        ),
        alt.Chart(records(("test_mAP",), [(lines[0].score.value,)]))
        .mark_rule(color=BLUE, strokeDash=[5, 4], strokeWidth=1.4)
        .encode(alt.X("test_mAP:Q")),
        base.mark_rule(strokeWidth=1.4).encode(alt.X("low_95:Q"), x2="high_95:Q"),
    ]


def _names(lines: Sequence[VariantLine]) -> alt.Y:
    axis = alt.Axis(title=None, grid=False, labelPadding=8, labelLimit=200)
    return alt.Y(
        "variant:N", sort=[line.name for line in lines], axis=axis, scale=alt.Scale(padding=0.2)
    )


def _lengths(lines: Sequence[VariantLine], title: str) -> alt.X:
    top = from_zero([end for line in lines for end in (reach(line.score)[1], *line.seeds)])[1]
    axis = alt.Axis(title=title, grid=True, tickCount=6)
    return alt.X("test_mAP:Q", axis=axis, scale=alt.Scale(domain=[0, top]))


def _variant_dots(lines: Sequence[VariantLine]) -> list[alt.Chart]:
    """The mAP of each model of a variant, above one another within its bar."""
    rows = [(line.name, *found) for line in lines for found in _beside(line.seeds)]
    dots = alt.Chart(records(("variant", "seed", "test_mAP", "place"), rows)).encode(
        _names(lines), alt.X("test_mAP:Q"), alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1]))
    )
    return [white_dots(dots).encode(tooltip=tooltip("variant", "seed", test_mAP=".3f"))]
