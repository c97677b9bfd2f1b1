"""Figures: numbers to pictures. Each is a PNG with its numbers beside it as CSV."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syndet_ray.report import sheets, tables
from syndet_ray.report.drawing import BLUE, DIM, GREEN, INK, ORANGE, STYLE, VERMILLION, Drawing, save
from syndet_ray.report.words import decimals, number, role_name, where
from syndet_ray.results import RunFolder

_ROLE_COLORS = {"best": BLUE, "real_only": GREEN, "synthetic_only": ORANGE}
# Marker and name of what became of a trial.
_STATES = {
    "COMPLETE": ("o", "completed trial"),
    "PRUNED": ("X", "pruned"),
    "FAILED": ("v", "failed"),
    "RUNNING": ("s", "unfinished"),
}
_PALE = "#9fb6c6"
_MOST_BARS = 5  # models side by side; of more the table says it better
_MOST_NUMBERED = 12  # curves, beyond which the numbers of their trials would be a tangle


def draw_all(folder: RunFolder) -> list[Path]:
    """Draws every figure that the run has numbers for, into its figures/ folder; returns the PNG files."""
    folder.figures.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        drawn = {name: draw(folder) for name, draw in _FIGURES.items()}
        return [save(drawing, folder.figures / name) for name, drawing in drawn.items() if drawing is not None]


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Where to put labels of `values` so that neighbours are at least `gap` apart, moved as little as possible.

    Least squares by pooling adjacent violators (Barlow et al. 1972): labels that meet are centred on their common mean.
    """
    order = np.argsort(values, kind="stable")
    blocks: list[list[float]] = []  # each holds its values, less the gaps below them
    for rank, i in enumerate(order):
        blocks.append([values[i] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    level = [float(np.mean(block)) for block in blocks for _ in block]
    placed = [0.0] * len(values)
    for rank, i in enumerate(order):
        placed[i] = level[rank] + rank * gap
    return placed


def _accuracy_vs_objects(folder: RunFolder) -> Drawing | None:
    response = tables.objects_response(folder.trials())
    if not response.points:
        return None
    figure, axes = _axes("Accuracy against objects per scene", folder, height=5)
    axes.set(xlabel="objects per synthetic scene", ylabel=_validation(folder))
    _draw_points(figure, axes, response.points)
    if response.grouped:
        _draw_means(axes, response.groups)
    _objects_ticks(axes, response)
    _draw_controls(axes, response.controls)
    _legend_below(axes)
    points = [("search", p.trial, p.objects, p.share, p.value, p.images, p.state) for p in response.points]
    controls = [(kind, "", "", "", value, "", "") for kind, value in response.controls.items()]
    header = ("kind", "trial", "objects", "synthetic_share", "val_mAP", "images", "state")
    return Drawing(figure, header, [*points, *controls])


def _draw_means(axes: Axes, groups: Sequence[tables.Group]) -> None:
    objects, means = [group.objects for group in groups], [group.mean for group in groups]
    axes.plot(objects, means, color=INK, linewidth=1, zorder=2)
    if groups:
        axes.scatter(objects, means, marker="_", s=500, color=INK, linewidth=2, label="mean of completed")


def _draw_points(figure: Figure, axes: Axes, points: Sequence[tables.Point]) -> None:
    for state, (marker, name) in _STATES.items():
        found = [point for point in points if point.state == state]
        if found:
            dots = axes.scatter(
                [point.objects for point in found],
                [point.value for point in found],
                c=[point.share for point in found],
                cmap="cividis", vmin=0, vmax=1, marker=marker, s=70, edgecolors=INK, linewidths=0.7,
                zorder=3, label=name,
            )  # fmt: skip
    bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 % of a batch is synthetic", "100 %"])
    bar.ax.tick_params(length=0, labelsize=11)
    bar.outline.set_visible(False)


def _objects_ticks(axes: Axes, response: tables.ObjectsResponse) -> None:
    """A tick for each number of objects, with its count of completed trials."""
    values = sorted({point.objects for point in response.points})
    counts = {group.objects: group.count for group in response.groups}
    if response.grouped:
        axes.set_xticks(values, [f"{value}\nn = {counts.get(value, 0)}" for value in values])
    axes.set_xlim(0, values[-1] * 1.08)


def _draw_controls(axes: Axes, controls: dict[str, float]) -> None:
    values = list(controls.values())
    _zero_based(axes, values)
    heights = spread(values, 0.17 * axes.get_ylim()[1])
    for (kind, value), height in zip(controls.items(), heights, strict=True):
        color = _ROLE_COLORS.get(kind, DIM)
        axes.axhline(value, color=color, linestyle="--", linewidth=1.4, zorder=1)
        text = f"{role_name(kind).replace(' ', chr(10))}\n{number(value, decimals(max(values)))}"
        axes.annotate(
            text, (1, height), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", color=color, fontsize=11, fontweight="bold", linespacing=1.05,
        )  # fmt: skip


def _learning_curves(folder: RunFolder) -> Drawing | None:
    curves = tables.curves(folder.trials())
    if not curves:
        return None
    figure, axes = _axes("Learning curves", folder)
    axes.set(xlabel="training images seen", ylabel=_validation(folder))
    named: set[str] = set()
    for curve in sorted(curves, key=_importance):
        look = _curve_look(curve)
        axes.plot(curve.images, curve.values, **(look | {"label": None if look["label"] in named else look["label"]}))
        named.add(look["label"])
        if curve.state in ("PRUNED", "FAILED"):
            marker = _STATES[curve.state][0]
            look |= {"marker": marker, "markersize": 9, "label": None}
            axes.plot(curve.images[-1], curve.values[-1], **look)
    _zero_based(axes, [value for curve in curves for value in curve.values])
    axes.set_xlim(0, max(curve.images[-1] for curve in curves))
    _name_ends(axes, curves)
    _legend_below(axes)
    header = ("trial", "kind", "state", "images", "val_mAP")
    rows = [(c.trial, c.kind, c.state, i, v) for c in curves for i, v in zip(c.images, c.values, strict=True)]
    return Drawing(figure, header, rows)


def _curve_look(curve: tables.Curve) -> dict[str, Any]:
    """How a curve is drawn; its label is the name of its kind in the legend."""
    base = {"marker": "o", "markersize": 4, "linewidth": 1.4, "clip_on": False}
    if curve.kind != "search":
        style = {"color": _ROLE_COLORS.get(curve.kind, DIM), "linestyle": "--", "linewidth": 2}
        return base | style | {"label": role_name(curve.kind) + (" (best)" if curve.best else "")}
    if curve.best:
        return base | {"color": BLUE, "linewidth": 2.6, "label": "best recipe"}
    if curve.state == "PRUNED":
        return base | {"color": DIM, "linestyle": ":", "label": "pruned (×)"}
    if curve.state == "FAILED":
        return base | {"color": VERMILLION, "label": "failed (▼)"}
    return base | {"color": _PALE, "label": "unfinished" if curve.state == "RUNNING" else "searched"}


def _importance(curve: tables.Curve) -> tuple[bool, bool, bool]:
    """Drawn last, on top: the best, then the controls, then completed trials."""
    return curve.best, curve.kind != "search", curve.state == "COMPLETE"


def _name_ends(axes: Axes, curves: Sequence[tables.Curve]) -> None:
    """The number of each trial at the end of its curve; labels that end together are moved apart."""
    if len(curves) > _MOST_NUMBERED:
        curves = [curve for curve in curves if curve.best or curve.kind != "search"]
    gap = 0.05 * axes.get_ylim()[1]
    for end in {curve.images[-1] for curve in curves}:
        right = end / axes.get_xlim()[1] + 0.035
        there = [curve for curve in curves if curve.images[-1] == end]
        for curve, height in zip(there, spread([curve.values[-1] for curve in there], gap), strict=True):
            color = _curve_look(curve)["color"]
            axes.annotate(
                str(curve.trial), (end, curve.values[-1]), xytext=(right, height), textcoords=("axes fraction", "data"),
                va="center", color=INK if color == _PALE else color, fontsize=10,
                fontweight="bold" if curve.best else "normal",
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4},
            )  # fmt: skip


def _test_scores(folder: RunFolder) -> Drawing | None:
    test = folder.test()
    if test is None:
        return None
    lines = tables.test_lines(test, folder.trials())
    if len(lines) > _MOST_BARS:
        return None
    figure, axes = _axes(f"Scores on {where(test)}", folder)
    axes.set_ylabel("score, with 95 % interval")
    width, digits = 0.84 / len(lines), decimals(max(line.scores["mAP"].value for line in lines))
    for k, line in enumerate(lines):
        at = np.arange(len(tables.MAIN_METRICS)) + (k - (len(lines) - 1) / 2) * width
        _draw_bars(axes, at, width, line, digits)
    axes.set_xticks(range(len(tables.MAIN_METRICS)), tables.MAIN_METRICS)
    axes.tick_params(axis="x", length=0)
    _zero_based(axes, [])
    _legend_below(axes)
    rows = [(x.role, x.trial, name, s.value, s.low, s.high) for x in lines for name, s in x.scores.items()]
    return Drawing(figure, ("role", "trial", "metric", "value", "low_95", "high_95"), rows)


def _variants(folder: RunFolder) -> Drawing | None:
    lines = tables.variant_lines(folder)
    test = folder.test()
    if not lines or test is None:
        return None
    figure, axes = _axes(f"mAP on {where(test)}", folder, height=1.6 + 0.5 * len(lines))
    at = np.arange(len(lines))[::-1]
    axes.barh(at, [line.mean for line in lines], color=[BLUE, *[_PALE] * (len(lines) - 1)], height=0.62)
    axes.axvline(lines[0].mean, color=BLUE, linestyle="--", linewidth=1.2)
    for y, line in zip(at, lines, strict=True):
        for score, shift in zip(line.scores, spread([0.0] * len(line.scores), 0.16), strict=True):
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [y + shift] * 2, color=INK, linewidth=1.3)
            axes.plot(score.value, y + shift, "o", color=INK, markersize=4)
    axes.set_yticks(at, [line.name for line in lines])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dfe2e5")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("mAP, with 95 % intervals over test images")
    axes.set_xlim(left=0)
    rows = [(line.name, k + 1, s.value, s.low, s.high) for line in lines for k, s in enumerate(line.scores)]
    return Drawing(figure, ("variant", "repeat", "test_mAP", "low_95", "high_95"), rows)


def _draw_bars(axes: Axes, at: np.ndarray, width: float, line: tables.TestLine, digits: int) -> None:
    scores = [line.scores[metric] for metric in tables.MAIN_METRICS]
    color = _ROLE_COLORS.get(line.role, DIM)
    axes.bar(at, [score.value for score in scores], width * 0.9, color=color, label=line.name)
    for x, score in zip(at, scores, strict=True):
        if score.low is not None and score.high is not None:
            axes.plot([x, x], [score.low, score.high], color=INK, linewidth=1.3)
        top = score.value if score.high is None else max(score.value, score.high)
        text = number(score.value, digits)
        axes.annotate(text, (x, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9.5)


_FIGURES: dict[str, Callable[[RunFolder], Drawing | None]] = {
    "variants": _variants,
    "accuracy_vs_objects": _accuracy_vs_objects,
    "learning_curves": _learning_curves,
    "test_scores": _test_scores,
    "sheet_training": sheets.training_sheet,
    "predictions": sheets.predictions,
}


def _axes(title: str, folder: RunFolder, height: float = 4.5) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.2, height), layout="constrained")
    axes = figure.add_subplot()
    marked = tables.is_stand_in(folder) and "stand-in" not in title
    axes.set_title(f"{title} (stand-in)" if marked else title)
    return figure, axes


def _validation(folder: RunFolder) -> str:
    return f"mAP on {'stand-in' if tables.is_stand_in(folder) else 'real'} validation images"


def _zero_based(axes: Axes, values: Sequence[float]) -> None:
    """From 0 to a little above the highest value; never an axis without height."""
    highest = max([*values, axes.dataLim.y1 if np.isfinite(axes.dataLim.y1) else 0.0])
    axes.set_ylim(0, 1.12 * highest if highest > 0 else 1)


def _legend_below(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=3)
