"""Sheets: images with their boxes, in rows: training images, and predictions over the truth."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from syndet_ray.report import fonts
from syndet_ray.report.figures.plot import STYLE, Plot, save
from syndet_ray.report.palette import (
    CLASS_COLORS,
    DIM,
    HALO,
    LEGEND_GROUND,
    PAPER,
    SKY,
    VERMILLION,
    YELLOW,
)
from syndet_ray.runs.marks import (
    MATCH_IOU,
    MarkedBox,
    Window,
    common_side,
    crowded_window,
    full_window,
    marked_boxes,
)
from syndet_ray.runs.results import Picture
from syndet_ray.runs.run import Run

# Colour and line by outcome. Truth is dashed, so that right and wrong differ without colour too.
_LOOKS: dict[str, dict[str, Any]] = {
    "hit": {"color": SKY, "linestyle": "-", "linewidth": 1.4},
    "false alarm": {"color": VERMILLION, "linestyle": "-", "linewidth": 1.4},
    "missed": {"color": YELLOW, "linestyle": (0, (3, 2)), "linewidth": 1.4},
    "found": {"color": PAPER, "linestyle": (0, (1, 2)), "linewidth": 0.9},
}
_LEGEND = {
    "hit": "hit",
    "false alarm": "false alarm",
    "missed": "missed (true box)",
    "found": "found (true box)",
}
A_HIT = f"a hit is IoU ≥ {MATCH_IOU} and the right class"
_HEADER = ("source", "picture", "what", "class", "score", "x1", "y1", "x2", "y2")
_MOST_COLORS = len(CLASS_COLORS)
# boxes in one picture beyond which only errors are named: names would hide the picture
_MOST_NAMED = 12
# The sheet in inches: its width, between pictures, above each strip for a title, and at the foot.
_WIDTH, _GAP, _HEAD, _FOOT = 10.0, 0.08, 0.42, 0.5
# Of the legend in inches, at matplotlib's font of 10 points: an entry without its name (line and
# gaps, 4.8 times the font, and room to spare), a letter of it (a wide one), and a row below the
# first (1.7 times the font).
_ENTRY, _LETTER, _ROW = 0.75, 0.1, 0.24
_DPI = 150  # 1500 pixels across
_HALO: list[Any] = [withStroke(linewidth=2.4, foreground=HALO)]
Pictures = Mapping[str, Sequence[Picture]]
Look = Callable[[MarkedBox], dict[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Strip:
    """Pictures under one title, `columns` to a row.

    window  gives the part of a picture that is shown
    named   True if boxes have the name of their class
    """

    title: str
    pictures: Sequence[Picture]
    columns: int
    window: Callable[[Picture], Window]
    named: bool

    @property
    def cell(self) -> float:
        """Side of a picture, inches."""
        return (_WIDTH - _GAP * (self.columns + 1)) / self.columns

    @property
    def rows(self) -> int:
        return -(-len(self.pictures) // self.columns)


def training_sheet(run: Run) -> Plot | None:
    """Real training images above synthetic ones, at one scale."""
    real = "stand-in for photos" if run.stand_in else "real"
    by_source = {real: run.pictures("real"), "synthetic": run.pictures("synthetic")}
    by_source = {name: pictures for name, pictures in by_source.items() if pictures}
    if not by_source:
        return None
    all_pictures = list(chain.from_iterable(by_source.values()))
    side = common_side(all_pictures)
    present = set().union(*(picture.names for picture in all_pictures))
    classes = run.about.get("classes", sorted(present))
    colors = dict(zip(classes, cycle(CLASS_COLORS), strict=False))
    legend = [_line(color, "-", name) for name, color in colors.items() if name in present]
    strips = [
        Strip(
            title=f"training images: {name}",
            pictures=pictures,
            columns=4,
            window=partial(crowded_window, side=side),
            named=len(legend) > _MOST_COLORS,
        )
        for name, pictures in by_source.items()
    ]
    figure = _sheet(
        strips, lambda box: {"color": colors.get(box.name, DIM), "linewidth": 1.1}, legend
    )
    return Plot(figure=figure, header=_HEADER, rows=_rows(by_source))


def best_predictions(run: Run) -> Plot | None:
    """The test images on which the best model is best."""
    return _gallery(run, "best")


def worst_predictions(run: Run) -> Plot | None:
    """The test images on which the best model is worst."""
    return _gallery(run, "worst")


def _gallery(run: Run, which: str) -> Plot | None:
    """Predictions of the best model over the true boxes."""
    pictures = run.pictures(which)
    if not pictures:
        return None
    where = "stand-in test images" if run.stand_in else "real test photos"
    title = f"best model on {where}, {which} images; {A_HIT}"
    return over_truth({which: pictures}, {which: title})


def over_truth(by_source: Pictures, titles: Mapping[str, str]) -> Plot:
    """Predictions over the true boxes: pictures and their title have the same name."""
    counts: Counter[str] = Counter()
    for pictures in by_source.values():
        for picture in pictures:
            counts.update(box.outcome for box in marked_boxes(picture))
    legend = [
        _line(look["color"], look["linestyle"], f"{_LEGEND[outcome]}: {counts[outcome]}")
        for outcome, look in _LOOKS.items()
    ]
    strips = [
        Strip(
            title=titles[name],
            pictures=pictures,
            columns=3,
            window=full_window,
            named=True,
        )
        for name, pictures in by_source.items()
    ]
    figure = _sheet(strips, lambda box: _LOOKS[box.outcome], legend)
    return Plot(figure=figure, header=_HEADER, rows=_rows(by_source))


def write_over_truth(by_source: Pictures, path: Path) -> None:
    """Writes such a sheet as <path>.png, and its boxes as CSV and Parquet.

    The names in `by_source` are words that go before "images".
    """
    titles = {name: f"{name} images; {A_HIT}" for name in by_source}
    with mpl.rc_context(STYLE):
        save(over_truth(by_source, titles), path)


def _rows(by_source: Pictures) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for source, pictures in by_source.items():
        for index, picture in enumerate(pictures):
            for box in marked_boxes(picture):
                score = None if box.score is None else round(box.score, 4)
                rows.append((source, index, box.outcome, box.name, score, *box.xyxy))
    return rows


def _sheet(strips: Sequence[Strip], look: Look, legend: list[Line2D]) -> Figure:
    """Lays strips under one another.

    Places are computed, not searched for: layout engines are slow with many axes.
    """
    has_legend = _has_legend(legend)
    rows = math.ceil(len(legend) / _legend_columns(legend)) if has_legend else 1
    foot = _FOOT + (rows - 1) * _ROW
    height = foot + sum(_HEAD + strip.rows * (strip.cell + _GAP) for strip in strips)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    top = height
    for strip in strips:
        at = (_GAP / _WIDTH, (top - _HEAD * 0.65) / height)
        figure.text(*at, strip.title, fontsize=13, fontweight="bold")
        top -= _HEAD
        for index, picture in enumerate(strip.pictures):
            row, column = divmod(index, strip.columns)
            left = _GAP + column * (strip.cell + _GAP)
            bottom = top - (row + 1) * strip.cell - row * _GAP
            size = (strip.cell / _WIDTH, strip.cell / height)
            axes = figure.add_axes((left / _WIDTH, bottom / height, *size))
            _show(axes, picture, strip, look)
        top -= strip.rows * (strip.cell + _GAP)
    _add_legend(figure, legend)
    return figure


def _show(axes: Axes, picture: Picture, strip: Strip, look: Look) -> None:
    axes.set_axis_off()
    # matplotlib makes hidden ticks too when it is asked for the texts of the figure
    axes.set(xticks=[], yticks=[])
    axes.imshow(picture.image, interpolation="antialiased")
    x1, y1, x2, y2 = strip.window(picture)
    axes.set_xlim(x1, x2)
    axes.set_ylim(y2, y1)
    unnamed = ("found", "hit", "label") if len(picture.xyxy) > _MOST_NAMED else ("found",)
    for box in marked_boxes(picture):
        _outline(axes, box, look(box))
        if strip.named and box.outcome not in unnamed:
            _name(axes, box, look(box)["color"])


def _outline(axes: Axes, box: MarkedBox, look: dict[str, Any]) -> None:
    x1, y1, x2, y2 = box.xyxy
    x = [x1, x2, x2, x1, x1]
    y = [y1, y1, y2, y2, y1]
    axes.plot(
        x,
        y,
        path_effects=_HALO,
        solid_joinstyle="miter",
        **look,
    )


def _name(axes: Axes, box: MarkedBox, color: str) -> None:
    """Writes the class above a box; of a missed one below, for predictions are named above."""
    x1, y1, _, y2 = box.xyxy
    is_missed = box.outcome == "missed"
    axes.annotate(
        box.name if box.score is None else f"{box.name} {box.score:.2f}",
        (x1, y2 if is_missed else y1),
        xytext=(0.6, -2 if is_missed else 2),
        textcoords="offset points",
        va="top" if is_missed else "bottom",
        fontsize=6.5,
        clip_on=True,
        bbox={
            "boxstyle": "square,pad=0.12",
            "facecolor": color,
            "edgecolor": "none",
            "alpha": 0.85,
        },
    )


def _add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    if not _has_legend(handles):
        return
    legend = figure.legend(
        handles=list(handles),
        loc="lower center",
        ncols=_legend_columns(handles),
        borderaxespad=0.2,
    )
    legend.set_frame_on(True)
    # light lines need a dark ground
    legend.get_frame().set(facecolor=LEGEND_GROUND, edgecolor="none")
    for text in legend.get_texts():
        text.set_color(PAPER)


def _has_legend(handles: Sequence[Line2D]) -> bool:
    return 0 < len(handles) <= _MOST_COLORS


def _legend_columns(handles: Sequence[Line2D]) -> int:
    """Returns how many entries fit next to one another; their names may be shown as codes."""
    names = [fonts.readable(str(handle.get_label())) for handle in handles]
    widths = [_ENTRY + len(name) * _LETTER for name in names]
    if sum(widths) <= _WIDTH:
        return len(handles)
    return max(1, int(_WIDTH / max(widths)))


def _line(color: str, style: Any, label: str) -> Line2D:
    return Line2D(
        [],
        [],
        color=color,
        linestyle=style,
        linewidth=2,
        label=label,
    )
