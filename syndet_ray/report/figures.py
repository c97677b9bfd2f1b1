"""Figures: numbers to pictures. Each is a PNG with its numbers beside it as CSV."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syndet_ray.report import comparisons, pareto, sheets
from syndet_ray.report.drawing import (
    BLUE,
    DIM,
    INK,
    PALE,
    ROLE_COLORS,
    STYLE,
    VERMILLION,
    Drawing,
    legend_below,
    save,
    spread,
    titled_axes,
    validation_label,
    zero_based,
)
from syndet_ray.report.response import Curve, Group, ObjectsResponse, Point, curves, objects_response
from syndet_ray.report.tables import best_number
from syndet_ray.report.words import decimals, number, role_name
from syndet_ray.results import RunFolder

# Marker and name of what became of a trial.
_STATES = {
    "COMPLETE": ("o", "completed trial"),
    "PRUNED": ("X", "pruned"),
    "FAILED": ("v", "failed"),
    "RUNNING": ("s", "unfinished"),
}
_FAINT = "#d3d9dd"
_MOST_NUMBERED = 12  # curves, beyond which the numbers of their trials would be a tangle


def draw_all(folder: RunFolder) -> list[Path]:
    """Draws every figure that the run has numbers for, into its figures/ folder; returns the PNG files."""
    folder.figures.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        drawn = {name: draw(folder) for name, draw in _FIGURES.items()}
        return [save(drawing, folder.figures / name) for name, drawing in drawn.items() if drawing is not None]


def _accuracy_vs_objects(folder: RunFolder) -> Drawing | None:
    response = objects_response(folder.trials())
    if not response.points:
        return None
    figure, axes = titled_axes("Accuracy against objects per scene", folder, height=5)
    axes.set(xlabel="objects per synthetic scene", ylabel=validation_label(folder))
    _draw_points(figure, axes, response.points)
    if response.grouped:
        _draw_means(axes, response.groups)
    _objects_ticks(axes, response)
    _draw_controls(axes, response.controls)
    legend_below(axes)
    points = [("search", p.trial, p.objects, p.share, p.value, p.images, p.state) for p in response.points]
    controls = [(kind, "", "", "", value, "", "") for kind, value in response.controls.items()]
    header = ("kind", "trial", "objects", "synthetic_share", "val_mAP", "images", "state")
    return Drawing(figure, header, [*points, *controls])


def _draw_means(axes: Axes, groups: Sequence[Group]) -> None:
    objects, means = [group.objects for group in groups], [group.mean for group in groups]
    axes.plot(objects, means, color=INK, linewidth=1, zorder=2)
    if groups:
        axes.scatter(objects, means, marker="_", s=500, color=INK, linewidth=2, label="mean of completed")


def _draw_points(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
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


def _objects_ticks(axes: Axes, response: ObjectsResponse) -> None:
    """A tick for each number of objects, with its count of completed trials."""
    values = sorted({point.objects for point in response.points})
    counts = {group.objects: group.count for group in response.groups}
    if response.grouped:
        axes.set_xticks(values, [f"{value}\nn = {counts.get(value, 0)}" for value in values])
    axes.set_xlim(0, values[-1] * 1.08)


def _draw_controls(axes: Axes, controls: dict[str, float]) -> None:
    values = list(controls.values())
    zero_based(axes, values)
    heights = spread(values, 0.17 * axes.get_ylim()[1])
    for (kind, value), height in zip(controls.items(), heights, strict=True):
        color = ROLE_COLORS.get(kind, DIM)
        axes.axhline(value, color=color, linestyle="--", linewidth=1.4, zorder=1)
        text = f"{role_name(kind).replace(' ', chr(10))}\n{number(value, decimals(max(values)))}"
        axes.annotate(
            text, (1, height), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", color=color, fontsize=11, fontweight="bold", linespacing=1.05,
        )  # fmt: skip


def _learning_curves(folder: RunFolder) -> Drawing | None:
    trials = folder.trials()
    found = curves(trials, best_number(trials, folder.test()))
    if not found:
        return None
    figure, axes = titled_axes("Learning curves", folder)
    axes.set(xlabel="training images seen", ylabel=validation_label(folder))
    named: set[str] = set()
    for curve in sorted(found, key=_importance):
        look = _curve_look(curve)
        axes.plot(curve.images, curve.values, **(look | {"label": None if look["label"] in named else look["label"]}))
        named.add(look["label"])
        if curve.state in ("PRUNED", "FAILED"):
            marker = _STATES[curve.state][0]
            look |= {"marker": marker, "markersize": 9, "label": None}
            axes.plot(curve.images[-1], curve.values[-1], **look)
    zero_based(axes, [value for curve in found for value in curve.values])
    axes.set_xlim(0, max(curve.images[-1] for curve in found))
    _name_ends(axes, [curve for curve in found if curve.kind != "confirm"])
    legend_below(axes)
    header = ("trial", "kind", "seed_of", "state", "images", "val_mAP")
    rows = [(c.trial, c.kind, c.of, c.state, i, v) for c in found for i, v in zip(c.images, c.values, strict=True)]
    return Drawing(figure, header, rows)


def _curve_look(curve: Curve) -> dict[str, Any]:
    """How a curve is drawn; its label is the name of its kind in the legend."""
    base = {"marker": "o", "markersize": 4, "linewidth": 1.4, "clip_on": False}
    if curve.kind == "confirm":
        return base | {"color": _FAINT, "marker": "", "linewidth": 1, "label": "trained anew"}
    if curve.kind != "search":
        style = {"color": ROLE_COLORS.get(curve.kind, DIM), "linestyle": "--", "linewidth": 2}
        return base | style | {"label": role_name(curve.kind) + (" (best)" if curve.best else "")}
    if curve.best:
        return base | {"color": BLUE, "linewidth": 2.6, "label": "best recipe"}
    if curve.state == "PRUNED":
        return base | {"color": DIM, "linestyle": ":", "label": "pruned (×)"}
    if curve.state == "FAILED":
        return base | {"color": VERMILLION, "label": "failed (▼)"}
    return base | {"color": PALE, "label": "unfinished" if curve.state == "RUNNING" else "searched"}


def _importance(curve: Curve) -> tuple[bool, bool, bool, bool]:
    """Drawn last, on top: the best, then the controls, then completed trials; confirmations lie under all."""
    return curve.kind != "confirm", curve.best, curve.kind != "search", curve.state == "COMPLETE"


def _name_ends(axes: Axes, curves: Sequence[Curve]) -> None:
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
                va="center", color=INK if color == PALE else color, fontsize=10,
                fontweight="bold" if curve.best else "normal",
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4},
            )  # fmt: skip


_FIGURES: dict[str, Callable[[RunFolder], Drawing | None]] = {
    "variants": comparisons.variants,
    "accuracy_vs_objects": _accuracy_vs_objects,
    "learning_curves": _learning_curves,
    "pareto": pareto.pareto,
    "test_scores": comparisons.test_scores,
    "sheet_training": sheets.training_sheet,
    "predictions": sheets.predictions,
}
