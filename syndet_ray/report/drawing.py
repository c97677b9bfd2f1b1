"""Drawing: a figure with the numbers behind it, and how all figures look."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from syndet_ray.results import write_whole

INK, DIM = "#24282c", "#8b9096"
# Okabe & Ito (2008): distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION, SKY, YELLOW, PURPLE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#56B4E9", "#F0E442", "#CC79A7"),
)
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
