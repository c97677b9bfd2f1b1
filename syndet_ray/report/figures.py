"""Figures: numbers to pictures. Each is a PNG with its numbers beside it as CSV."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from syndet_ray.report import tables
from syndet_ray.results import Picture, RunFolder

# Okabe & Ito (2008): distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8a8a"
_ROLE_COLORS = {"best": BLUE, "real_only": GREEN, "synthetic_only": ORANGE}
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.dpi": 150,
}
_MATCH_IOU = 0.5


def draw_all(folder: RunFolder) -> list[Path]:
    """Draws every figure that the run has numbers for, into its figures/ folder; returns the PNG files."""
    folder.figures.mkdir(exist_ok=True)
    drawn: list[Path] = []
    with mpl.rc_context(_STYLE):
        for name, draw in _FIGURES.items():
            figure = draw(folder)
            if figure is not None:
                path = folder.figures / f"{name}.png"
                FigureCanvasAgg(figure).print_png(str(path))
                drawn.append(path)
    return drawn


def _accuracy_vs_objects(folder: RunFolder) -> Figure | None:
    trials = folder.trials()
    points = tables.points(trials)
    if not points:
        return None
    _write_csv(folder, "accuracy_vs_objects", ("trial", "objects", "val_mAP", "images", "pruned"), [tuple(vars(p).values()) for p in points])
    figure, axes = _axes("objects per synthetic scene", "mAP on real validation" + _stand_in(folder))
    ended, pruned = [p for p in points if not p.pruned], [p for p in points if p.pruned]
    axes.scatter([p.objects for p in ended], [p.value for p in ended], color=BLUE, s=45, zorder=3, label="trial, all images")
    axes.scatter([p.objects for p in pruned], [p.value for p in pruned], color=GREY, marker="x", s=40, zorder=3, label="pruned early")
    means = tables.means_by_objects(points)
    axes.plot([m[0] for m in means], [m[1] for m in means], color=BLUE, alpha=0.6, label="mean of full trials")
    for objects, mean, count in means:
        axes.annotate(f"n={count}", (objects, mean), textcoords="offset points", xytext=(8, -4), color=BLUE, fontsize=9)
    for trial in trials:
        if trial.kind != "search" and trial.value is not None:
            axes.axhline(trial.value, color=_ROLE_COLORS[trial.kind], linestyle="--", label=tables.role_name(trial.kind))
    axes.set_xticks(sorted({p.objects for p in points}))
    _finish(axes)
    return figure


def _learning_curves(folder: RunFolder) -> Figure | None:
    curves = tables.curves(folder.trials())
    if not curves:
        return None
    rows = [(c.trial, c.kind, c.state, i, v) for c in curves for i, v in zip(c.images, c.values, strict=True)]
    _write_csv(folder, "learning_curves", ("trial", "kind", "state", "images", "val_mAP"), rows)
    figure, axes = _axes("training images seen", "mAP on real validation" + _stand_in(folder))
    labels = {"search": "searched", "pruned": "pruned", "real_only": "real only", "synthetic_only": "synthetic only"}
    for curve in curves:
        kind = "pruned" if curve.state == "PRUNED" else curve.kind
        color = {"search": BLUE, "pruned": GREY}.get(kind, _ROLE_COLORS.get(kind, BLUE))
        axes.plot(curve.images, curve.values, color=color, alpha=0.9, marker="o", markersize=3, label=labels.pop(kind, None))
        if kind == "pruned":
            axes.plot(curve.images[-1], curve.values[-1], color=color, marker="x", markersize=9)
        axes.annotate(str(curve.trial), (curve.images[-1], curve.values[-1]), xytext=(5, -3), textcoords="offset points", fontsize=8)
    axes.set_xlim(left=0)
    _finish(axes)
    return figure


def _test_scores(folder: RunFolder) -> Figure | None:
    test = folder.test()
    if test is None:
        return None
    rows = [(r.role, r.trial, m, r.metrics[m], *r.intervals.get(m, ("", ""))) for r in test.rows for m in tables.MAIN_METRICS]
    _write_csv(folder, "test_scores", ("role", "trial", "metric", "value", "low_95", "high_95"), rows)
    figure, axes = _axes("", f"score on {tables.where(test)}")
    width = 0.8 / len(test.rows)
    for k, row in enumerate(test.rows):
        at = np.arange(len(tables.MAIN_METRICS)) + (k - (len(test.rows) - 1) / 2) * width
        values = [row.metrics[name] for name in tables.MAIN_METRICS]
        spread = [row.intervals.get(name, (value, value)) for name, value in zip(tables.MAIN_METRICS, values, strict=True)]
        errors = np.array([(max(0.0, v - low), max(0.0, high - v)) for v, (low, high) in zip(values, spread, strict=True)]).T
        axes.bar(at, values, width * 0.92, color=_ROLE_COLORS[row.role], label=tables.role_name(row.role))
        axes.errorbar(at, values, yerr=errors, fmt="none", ecolor="black", capsize=3, linewidth=1)
    axes.set_xticks(range(len(tables.MAIN_METRICS)), tables.MAIN_METRICS)
    _finish(axes)
    return figure


def _training_sheet(folder: RunFolder) -> Figure | None:
    rows = [(name, folder.pictures(key)) for name, key in (("real", "real"), ("synthetic", "synthetic"))]
    rows = [("stand-in" if name == "real" and _stand_in(folder) else name, pictures) for name, pictures in rows if pictures]
    return _sheet([(f"training images, {name}", pictures, _draw_labels) for name, pictures in rows]) if rows else None


def _predictions(folder: RunFolder) -> Figure | None:
    pictures = folder.pictures("predictions")
    title = "best model on the test set" + _stand_in(folder)
    note = "green: right, red: false alarm, dashed orange: missed"
    return _sheet([(f"{title}\n{note}", pictures, _draw_matches)]) if pictures else None


_FIGURES: dict[str, Callable[[RunFolder], Figure | None]] = {
    "accuracy_vs_objects": _accuracy_vs_objects,
    "learning_curves": _learning_curves,
    "test_scores": _test_scores,
    "sheet_training": _training_sheet,
    "predictions": _predictions,
}


def matches(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """(n,) which predictions hit, and (m,) which true boxes were hit: IoU of at least .5 with a true box of the same class.

    Greedy by confidence, one true box each, as COCO matches.
    """
    assert picture.truth is not None and picture.scores is not None
    overlap = _iou(picture.xyxy, picture.truth)
    hit, found = np.zeros(len(picture.xyxy), bool), np.zeros(len(picture.truth), bool)
    same = np.array([[a == b for b in picture.truth_names] for a in picture.names], bool).reshape(overlap.shape)
    for i in np.argsort([-score for score in picture.scores], kind="stable"):
        free = np.where(same[i] & ~found, overlap[i], 0)
        if len(free) and free.max() >= _MATCH_IOU:
            hit[i] = found[free.argmax()] = True
    return hit, found


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) intersection over union of boxes (n, 4) and (m, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = (high - low).clip(0).prod(axis=2)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b))
    return inside / np.maximum(area_a[:, None] + area_b[None] - inside, 1e-9)


def _draw_labels(axes: Axes, picture: Picture) -> None:
    for box, name in zip(picture.xyxy, picture.names, strict=True):
        _box(axes, box, "#00e676", name)


def _draw_matches(axes: Axes, picture: Picture) -> None:
    hit, found = matches(picture)
    assert picture.scores is not None and picture.truth is not None
    for box, name, score, right in zip(picture.xyxy, picture.names, picture.scores, hit, strict=True):
        _box(axes, box, "#00e676" if right else "#ff1744", f"{name} {score:.2f}")
    for box, name, seen in zip(picture.truth, picture.truth_names, found, strict=True):
        if not seen:
            _box(axes, box, "#ff9100", name, dashed=True)


def _box(axes: Axes, box: np.ndarray, color: str, text: str, dashed: bool = False) -> None:
    x1, y1, x2, y2 = box
    style = "--" if dashed else "-"
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.1, linestyle=style))
    label: Any = {"facecolor": "black", "alpha": 0.45, "pad": 0.6, "edgecolor": "none"}
    below = {"va": "top"} if dashed else {"va": "bottom"}
    axes.text(x1, y2 if dashed else y1, text, color=color, fontsize=5, bbox=label, clip_on=True, **below)


def _sheet(rows: Sequence[tuple[str, Sequence[Picture], Callable[[Axes, Picture], None]]]) -> Figure:
    """Pictures four to a row, in titled groups."""
    columns = 4
    heights = [-(-len(pictures) // columns) for _, pictures, _ in rows]
    figure = Figure(figsize=(10, 2.5 * sum(heights) + 0.5 * len(rows)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(rows), 1, height_ratios=heights))
    for part, height, (title, pictures, draw) in zip(parts, heights, rows, strict=True):
        part.suptitle(title, fontsize=11)
        grid = part.subplots(height, columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for axes, picture in zip(grid.ravel(), pictures, strict=False):
            axes.imshow(picture.image)
            draw(axes, picture)
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _finish(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)


def _stand_in(folder: RunFolder) -> str:
    return " (stand-in)" if folder.about.get("stand_in") else ""


def _write_csv(folder: RunFolder, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with (folder.figures / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
