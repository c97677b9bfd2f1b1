"""Drawing: a figure with the numbers behind it, and how all figures look."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from syndet_ray.report.tables import is_stand_in
from syndet_ray.results import RunFolder, write_whole

INK, DIM, PALE = "#24282c", "#8b9096", "#9fb6c6"
# Okabe & Ito (2008): distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION, SKY, YELLOW, PURPLE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#56B4E9", "#F0E442", "#CC79A7"),
)
ROLE_COLORS = {"best": BLUE, "real_only": GREEN, "synthetic_only": ORANGE}
STYLE: dict[Any, Any] = {
    "figure.dpi": 200,
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5"
    "axes.labelcolor": INK,
    "axes.edgecolor": DIM,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0.02,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dfe2e5",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 11,
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, and its numbers as rows under a header."""

    figure: Figure
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


def save(drawing: Drawing, path: Path) -> Path:
    """Writes <path>.png and, beside it, <path>.csv; returns the PNG's path."""
    picture, numbers = io.BytesIO(), io.StringIO()
    FigureCanvasAgg(drawing.figure).print_png(picture)
    csv.writer(numbers).writerows([drawing.header, *drawing.rows])
    write_whole(path.with_suffix(".csv"), numbers.getvalue().encode())
    return write_whole(path.with_suffix(".png"), picture.getvalue())


def titled_axes(title: str, folder: RunFolder, height: float = 4.5) -> tuple[Figure, Axes]:
    """A new figure; one of a stand-in run says so."""
    figure = Figure(figsize=(6.2, height), layout="constrained")
    axes = figure.add_subplot()
    marked = is_stand_in(folder) and "stand-in" not in title
    axes.set_title(f"{title} (stand-in)" if marked else title)
    return figure, axes


def validation_label(folder: RunFolder) -> str:
    return f"mAP on {'stand-in' if is_stand_in(folder) else 'real'} validation images"


def zero_based(axes: Axes, values: Sequence[float]) -> None:
    """From 0 to a little above the highest value; never an axis without height."""
    highest = max([*values, axes.dataLim.y1 if np.isfinite(axes.dataLim.y1) else 0.0])
    axes.set_ylim(0, 1.12 * highest if highest > 0 else 1)


def legend_below(axes: Axes, columns: int = 3) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns)


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
