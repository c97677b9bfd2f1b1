"""Comparisons: figures of what met the test set, each score with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from syndet_ray.report.drawing import (
    BLUE,
    DIM,
    INK,
    PALE,
    ROLE_COLORS,
    Drawing,
    legend_below,
    titled_axes,
    zero_based,
)
from syndet_ray.report.tables import MAIN_METRICS, TestLine, VariantLine, test_lines, variant_lines
from syndet_ray.report.words import decimals, number, where
from syndet_ray.results import RunFolder

_MOST_BARS = 5  # models side by side; of more the table says it better
_VARIANT_HEADER = ("variant", "seed", "test_mAP", "low_95", "high_95", "difference", "low_95", "high_95")
_OTHERS = (PALE, DIM, "#c9d3da")  # colours of recipes that are neither the winner nor a control


def test_scores(folder: RunFolder) -> Drawing | None:
    """The recipes of the test set side by side."""
    test = folder.test()
    if test is None:
        return None
    lines = test_lines(test, folder.trials())
    if len(lines) > _MOST_BARS:
        return None
    figure, axes = titled_axes(f"Scores on {where(test)}", folder)
    axes.set_ylabel("score, with 95 % interval")
    width, digits = 0.84 / len(lines), decimals(max(line.scores["mAP"].value for line in lines))
    colors = _colors(lines)
    for k, line in enumerate(lines):
        at = np.arange(len(MAIN_METRICS)) + (k - (len(lines) - 1) / 2) * width
        _draw_bars(axes, at, width, line, colors[line.role], digits)
    axes.set_xticks(range(len(MAIN_METRICS)), MAIN_METRICS)
    axes.tick_params(axis="x", length=0)
    zero_based(axes, [])
    legend_below(axes)
    rows = [(x.role, x.trial, len(x.seeds) or 1, m, s.value, s.low, s.high) for x in lines for m, s in x.scores.items()]
    return Drawing(figure, ("role", "trial", "seeds", "metric", "value", "low_95", "high_95"), rows)


test_scores.__test__ = False  # type: ignore[attr-defined]  # not a test of ours, whatever pytest thinks of the name


def variants(folder: RunFolder) -> Drawing | None:
    """The variants of a sweep, the first being what the others change."""
    lines = variant_lines(folder)
    test = folder.test()
    if not lines or test is None:
        return None
    figure, axes = titled_axes(f"mAP on {where(test)}", folder, height=1.6 + 0.5 * len(lines))
    at = np.arange(len(lines))[::-1]
    colors = [BLUE, *(DIM if line.apart else PALE for line in lines[1:])]
    axes.barh(at, [line.score.value for line in lines], color=colors, height=0.62)
    axes.axvline(lines[0].score.value, color=BLUE, linestyle="--", linewidth=1.2)
    for y, line in zip(at, lines, strict=True):
        if line.score.low is not None and line.score.high is not None:
            axes.plot([line.score.low, line.score.high], [y, y], color=INK, linewidth=1.3)
        beside = y + np.linspace(-0.18, 0.18, len(line.seeds)) if len(line.seeds) > 1 else [y]
        axes.plot(line.seeds, beside, "o", markersize=4, markerfacecolor="white", markeredgecolor=INK, linestyle="")
    axes.set_yticks(at, [line.name for line in lines])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dfe2e5")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("mAP, with 95 % interval")
    axes.set_xlim(left=0)
    return Drawing(figure, _VARIANT_HEADER, [row for line in lines for row in _variant_rows(line)])


def _variant_rows(line: VariantLine) -> list[tuple[Any, ...]]:
    """The mean of a variant, its interval and its difference from the first; then what each seed reached."""
    found = line.difference
    against = ("", "", "") if found is None else (found.mean, found.low, found.high)
    mean = (line.name, "mean", line.score.value, line.score.low, line.score.high, *against)
    return [mean] + [(line.name, k, value, "", "", "", "", "") for k, value in enumerate(line.seeds, 1)]


def _colors(lines: Sequence[TestLine]) -> Mapping[str, str]:
    """A colour for each role; a control that won keeps its own."""
    others = [line.role for line in lines if line.role not in ROLE_COLORS]
    own = {line.role: ROLE_COLORS.get(line.kind, BLUE) for line in lines if line.role in ROLE_COLORS}
    return own | {role: _OTHERS[k % len(_OTHERS)] for k, role in enumerate(others)}


def _draw_bars(axes: Axes, at: np.ndarray, width: float, line: TestLine, color: str, digits: int) -> None:
    scores = [line.scores[metric] for metric in MAIN_METRICS]
    axes.bar(at, [score.value for score in scores], width * 0.9, color=color, label=line.name)
    for x, score in zip(at, scores, strict=True):
        if score.low is not None and score.high is not None:
            axes.plot([x, x], [score.low, score.high], color=INK, linewidth=1.3)
        top = score.value if score.high is None else max(score.value, score.high)
        text = number(score.value, digits)
        axes.annotate(text, (x, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9.5)
    if line.confirmed:
        beside = at[0] + width * np.linspace(-0.25, 0.25, len(line.seeds))
        axes.plot(beside, line.seeds, "o", markersize=3.5, markerfacecolor="white", markeredgecolor=INK, linestyle="")
