"""Comparisons: figures of test scores as bars, each with its interval."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import Score, TestLine, VariantLine, variant_lines
from syndet_ray.metrics import MAIN_METRICS, MAP
from syndet_ray.report.figures.plot import (
    Plot,
    add_title,
    colors,
    from_zero,
    recipe_colors,
    records,
    tooltip,
)
from syndet_ray.report.palette import BLUE, DIM, INK, PALE, PAPER
from syndet_ray.runs.names import test_set_name
from syndet_ray.runs.results import TestScores
from syndet_ray.runs.run import Run
from syndet_ray.wording import decimals, number

_SCORE_HEADER = ("role", "trial", "seeds", "metric", "value", "low_95", "high_95")
_VARIANT_HEADER = (
    *("variant", "seed", "test_mAP", "low_95", "high_95"),
    *("difference", "difference_low_95", "difference_high_95"),
)
_VARIANT_HEIGHT = 34  # pixels of a bar and the room around it
_SIDE_BY_SIDE = alt.Scale(type="band", paddingInner=0.1, paddingOuter=0.05)
_LETTER = 0.6  # width of a digit, in heights


def test_scores(run: Run) -> Plot | None:
    """Recipes of the test set side by side; of many a choice, as the table has them all."""
    test = run.test
    lines = chosen_lines(run)
    if test is None:
        return None
    rows = []
    for line in lines:
        recipe = (line.key, line.trial, len(line.seeds) or 1)
        for metric, score in line.scores.items():
            rows.append((*recipe, metric, score.value, score.low, score.high))
    layers = alt.layer(*_bars(lines, label("score", test)), *_seed_dots(lines))
    chart = layers.resolve_scale(xOffset="independent")
    figure = add_title(chart, f"Scores on {test_set_name(test)}", run)
    return Plot(figure=figure, header=_SCORE_HEADER, rows=rows)


test_scores.__test__ = False  # type: ignore[attr-defined]  # no test, although its name begins so


def variants(run: Run) -> Plot | None:
    """The variants of a sweep, the first being what the others change."""
    lines = variant_lines(run)
    test = run.test
    if not lines or test is None:
        return None
    rows = []
    for line in lines:
        rows += _variant_rows(line)
    layers = alt.layer(*_variant_bars(lines, label(MAP, test)), *_variant_dots(lines))
    chart = layers.resolve_scale(yOffset="independent")
    figure = add_title(chart, f"mAP on {test_set_name(test)}", run, _VARIANT_HEIGHT * len(lines))
    return Plot(figure=figure, header=_VARIANT_HEADER, rows=rows)


def label(metric: str, test: TestScores) -> str:
    """The title of an axis of scores; it names the intervals if the test set is large enough."""
    return metric if test.is_too_small else f"{metric}, with 95 % interval"


def reach(score: Score) -> tuple[float, float]:
    """The ends of a plotted score: its interval, and the score itself, which may lie outside."""
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    ends = (score.value, low, high)
    return min(ends), max(ends)


def white_dots(chart: alt.Chart) -> alt.Chart:
    """Dots for the single models of a recipe."""
    return chart.mark_point(
        filled=True,
        fill=PAPER,
        stroke=INK,
        strokeWidth=1,
        size=26,
        opacity=1,
    )


def _bars(lines: Sequence[TestLine], title: str) -> list[alt.Chart]:
    """Bars by metric and recipe, each with its interval and its score above."""
    rows = _bar_rows(lines)
    data = records(("what", "metric", "value", "low_95", "high_95", "top", "text"), rows)
    offset = alt.XOffset(
        "what:N",
        sort=[line.name for line in lines],
        scale=_SIDE_BY_SIDE,
    )
    base = alt.Chart(data).encode(_metrics(), offset)
    heights = alt.Scale(domain=[0, from_zero([row[5] for row in rows])[1]])  # bars stand on 0
    return [
        base.mark_bar().encode(
            alt.Y("value:Q", title=title, scale=heights),
            colors(recipe_colors(lines)),
            tooltip=tooltip("what", "metric", value=".3f", low_95=".3f", high_95=".3f"),
        ),
        base.mark_rule(strokeWidth=1.4).encode(alt.Y("low_95:Q"), y2="high_95:Q"),
        base.mark_text(dy=-7, fontSize=_fitting([row[6] for row in rows])).encode(
            alt.Y("top:Q"), text="text:N"
        ),
    ]


def _bar_rows(lines: Sequence[TestLine]) -> list[tuple[Any, ...]]:
    digits = decimals(max(line.scores[MAP].value for line in lines))
    rows = []
    for line in lines:
        for metric in MAIN_METRICS:
            if metric not in line.scores:  # a run of an earlier version
                continue
            score = line.scores[metric]
            top = reach(score)[1]
            text = number(score.value, digits)
            rows.append((line.name, metric, score.value, score.low, score.high, top, text))
    return rows


def _metrics() -> alt.X:
    axis = alt.Axis(title=None, labelAngle=0, ticks=False, labelPadding=8)
    scale = alt.Scale(paddingInner=0.16, paddingOuter=0.08)
    return alt.X("metric:N", sort=MAIN_METRICS, axis=axis, scale=scale)


def _fitting(texts: Sequence[str]) -> alt.ExprRef:
    """The size at which texts fit side by side, however narrow the chart is; 0 if they would be too
    small to read.
    """
    heights = len(texts) * max(map(len, texts)) * _LETTER
    size = f"min(12, 0.84 * width / {heights:.2f})"
    return alt.ExprRef(f"{size} < 7.5 ? 0 : {size}")


def _seed_dots(lines: Sequence[TestLine]) -> list[alt.Chart]:
    """The mAP of each model of a recipe, side by side within its bar."""
    rows = []
    for k, line in enumerate(lines):
        if line.confirmed:
            for seed, value, place in _across_bar(line.seeds):
                rows.append((line.name, seed, MAP, value, (k + place) / len(lines)))
    if not rows:
        return []
    data = records(("what", "seed", "metric", "value", "place"), rows)
    offset = alt.XOffset("place:Q", scale=alt.Scale(domain=[0, 1]))
    dots = white_dots(alt.Chart(data).encode(_metrics(), alt.Y("value:Q"), offset))
    return [dots.encode(tooltip=tooltip("what", "seed", value=".3f"))]


def _across_bar(seeds: Sequence[float]) -> list[tuple[int, float, float]]:
    """Each seed's number, its score and its place across a bar, which goes from 0 to 1."""
    places = np.linspace(0.28, 0.72, len(seeds)).tolist() if len(seeds) > 1 else [0.5]
    numbers = range(1, len(seeds) + 1)
    return list(zip(numbers, seeds, places, strict=False))


def _variant_rows(line: VariantLine) -> list[tuple[Any, ...]]:
    """The mean of a variant, its interval and its difference from the first; then the score of each
    seed.
    """
    gap = line.difference
    score = line.score
    difference = (None, None, None) if gap is None else (gap.mean, gap.low, gap.high)
    mean = (line.name, "mean", score.value, score.low, score.high, *difference)
    seeds = [(line.name, str(k), value, *[None] * 5) for k, value in enumerate(line.seeds, 1)]
    return [mean, *seeds]


def _variant_bars(lines: Sequence[VariantLine], title: str) -> list[alt.Chart]:
    """Bars: the first in blue with a dashed line; dark if the difference from it is significant."""
    inks = [BLUE, *(DIM if line.apart else PALE for line in lines[1:])]
    rows = [(*_variant_rows(line)[0], ink) for line, ink in zip(lines, inks, strict=True)]
    base = alt.Chart(records((*_VARIANT_HEADER, "ink"), rows)).encode(_names(lines))
    formats = dict.fromkeys(("test_mAP", "low_95", "high_95"), ".3f")
    formats |= dict.fromkeys(_VARIANT_HEADER[5:], "+.3f")
    shown = tooltip("variant", **formats)
    first = alt.Chart(records(("test_mAP",), [(lines[0].score.value,)]))
    dashed = first.mark_rule(color=BLUE, strokeDash=[5, 4], strokeWidth=1.4)
    return [
        base.mark_bar().encode(
            _lengths(lines, title), alt.Color("ink:N", scale=None), tooltip=shown
        ),
        dashed.encode(alt.X("test_mAP:Q")),
        base.mark_rule(strokeWidth=1.4).encode(alt.X("low_95:Q"), x2="high_95:Q"),
    ]


def _names(lines: Sequence[VariantLine]) -> alt.Y:
    axis = alt.Axis(
        title=None,
        grid=False,
        labelPadding=8,
        labelLimit=200,
    )
    order = [line.name for line in lines]
    scale = alt.Scale(padding=0.2)
    return alt.Y("variant:N", sort=order, axis=axis, scale=scale)


def _lengths(lines: Sequence[VariantLine], title: str) -> alt.X:
    ends: list[float] = []
    for line in lines:
        ends += [reach(line.score)[1], *line.seeds]
    axis = alt.Axis(title=title, grid=True, tickCount=6)
    return alt.X(
        "test_mAP:Q",
        axis=axis,
        scale=alt.Scale(domain=[0, from_zero(ends)[1]]),
    )


def _variant_dots(lines: Sequence[VariantLine]) -> list[alt.Chart]:
    """The mAP of each model of a variant, above one another within its bar."""
    rows = []
    for line in lines:
        rows += [(line.name, *dot) for dot in _across_bar(line.seeds)]
    data = records(("variant", "seed", "test_mAP", "place"), rows)
    offset = alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1]))
    dots = white_dots(alt.Chart(data).encode(_names(lines), alt.X("test_mAP:Q"), offset))
    return [dots.encode(tooltip=tooltip("variant", "seed", test_mAP=".3f"))]
