"""Sheets: images with their boxes, in rows. What the detector trained on, and what it finds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from syndet_ray.report.figures.drawing import (
    BLUE,
    DIM,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    YELLOW,
    Drawing,
    save,
)
from syndet_ray.runs.marks import (
    MATCH_IOU,
    Mark,
    Window,
    common_side,
    crowded_window,
    full_window,
    marks,
)
from syndet_ray.runs.results import Picture
from syndet_ray.runs.run import Run

_CLASS_COLORS = (SKY, ORANGE, GREEN, YELLOW, VERMILLION, PURPLE, BLUE, "#ffffff")
# Colour and line of a mark. Truth is dashed, so that right and wrong are told apart without colour
# too.
_LOOKS: dict[str, dict[str, Any]] = {
    "hit": {"color": SKY, "linestyle": "-", "linewidth": 1.4},
    "false alarm": {"color": VERMILLION, "linestyle": "-", "linewidth": 1.4},
    "missed": {"color": YELLOW, "linestyle": (0, (3, 2)), "linewidth": 1.4},
    "found": {"color": "#ffffff", "linestyle": (0, (1, 2)), "linewidth": 0.9},
}
_TELL = {
    "hit": "hit",
    "false alarm": "false alarm",
    "missed": "missed (true box)",
    "found": "found (true box)",
}
A_HIT = f"a hit is IoU ≥ {MATCH_IOU} and the right class"
_MOST_COLORS = len(_CLASS_COLORS)
# boxes in one picture beyond which only errors are named: names would hide the picture
_MOST_NAMED = 12
_DPI = 150  # of a sheet 10 inches wide
_HALO: list[Any] = [withStroke(linewidth=2.4, foreground="#000000b0")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Strip:
    """Pictures under one title, `columns` to a row. window: what of a picture is shown; named:
    boxes bear a class.
    """

    title: str
    pictures: Sequence[Picture]
    columns: int
    window: Callable[[Picture], Window]
    named: bool


def training_sheet(run: Run) -> Drawing | None:
    """Real training images above synthetic ones, at one scale."""
    real = "stand-in for photos" if run.stand_in else "real"
    found = {real: run.pictures("real"), "synthetic": run.pictures("synthetic")}
    found = {name: pictures for name, pictures in found.items() if pictures}
    if not found:
        return None
    side = common_side([picture for pictures in found.values() for picture in pictures])
    classes = sorted(
        {name for pictures in found.values() for picture in pictures for name in picture.names}
    )
    colors = dict(zip(run.about.get("classes", classes), cycle(_CLASS_COLORS), strict=False))
    legend = [_line(color, "-", name) for name, color in colors.items() if name in classes]
    strips = [
        Strip(
            title=f"training images: {name}",
            pictures=pictures,
            columns=4,
            window=partial(crowded_window, side=side),
            named=len(legend) > _MOST_COLORS,
        )
        for name, pictures in found.items()
    ]
    figure = _sheet(
        strips, lambda mark: {"color": colors.get(mark.name, DIM), "linewidth": 1.1}, legend
    )
    return Drawing(figure=figure, header=("source", "picture", *_MARK_HEADER), rows=_rows(found))


def best_predictions(run: Run) -> Drawing | None:
    """The test images where the best model does best."""
    return _gallery(run, "best")


def worst_predictions(run: Run) -> Drawing | None:
    """The test images where the best model does worst."""
    return _gallery(run, "worst")


def _gallery(run: Run, which: str) -> Drawing | None:
    """Predictions of the best model over the true boxes."""
    pictures = run.pictures(which)
    if not pictures:
        return None
    where = "stand-in test images" if run.stand_in else "real test photos"
    title = f"best model on {where}, {which} images; {A_HIT}"
    return over_truth({which: pictures}, {which: title})


def over_truth(found: Mapping[str, Sequence[Picture]], titles: Mapping[str, str]) -> Drawing:
    """Predictions over the true boxes: under each title the pictures that `found` has by the same
    name.
    """
    counts: Counter[str] = Counter(
        mark.what for pictures in found.values() for one in pictures for mark in marks(one)
    )
    legend = [
        _line(look["color"], look["linestyle"], f"{_TELL[what]}: {counts[what]}")
        for what, look in _LOOKS.items()
    ]
    strips = [
        Strip(title=titles[name], pictures=pictures, columns=3, window=full_window, named=True)
        for name, pictures in found.items()
    ]
    figure = _sheet(strips, lambda mark: _LOOKS[mark.what], legend)
    return Drawing(figure=figure, header=("source", "picture", *_MARK_HEADER), rows=_rows(found))


def write_over_truth(found: Mapping[str, Sequence[Picture]], path: Path) -> None:
    """Writes such a sheet as <path>.png, and its boxes as CSV and Parquet; `found` by words that go
    before "images".
    """
    with mpl.rc_context(STYLE):
        save(over_truth(found, {name: f"{name} images; {A_HIT}" for name in found}), path)


_MARK_HEADER = ("what", "class", "score", "x1", "y1", "x2", "y2")


def _rows(found: Mapping[str, Sequence[Picture]]) -> list[tuple[Any, ...]]:
    return [
        (
            source,
            k,
            mark.what,
            mark.name,
            None if mark.score is None else round(mark.score, 4),
            *mark.xyxy,
        )
        for source, pictures in found.items()
        for k, picture in enumerate(pictures)
        for mark in marks(picture)
    ]


def _sheet(
    strips: Sequence[Strip], look: Callable[[Mark], dict[str, Any]], legend: list[Line2D]
) -> Figure:
    """Lays strips under one another. Places are computed, not searched for: layout engines are slow
    with many axes.
    """
    width, gap, head, foot = 10.0, 0.08, 0.42, 0.5
    cells = [(width - gap * (strip.columns + 1)) / strip.columns for strip in strips]
    rows = [-(-len(strip.pictures) // strip.columns) for strip in strips]
    height = sum(head + n * (cell + gap) for n, cell in zip(rows, cells, strict=True)) + foot
    figure = Figure(figsize=(width, height), dpi=_DPI)
    top = height
    for strip, cell in zip(strips, cells, strict=True):
        figure.text(
            gap / width, (top - head * 0.65) / height, strip.title, fontsize=13, fontweight="bold"
        )
        top -= head
        for k, picture in enumerate(strip.pictures):
            row, column = divmod(k, strip.columns)
            left, bottom = gap + column * (cell + gap), top - (row + 1) * cell - row * gap
            axes = figure.add_axes((left / width, bottom / height, cell / width, cell / height))
            _draw_picture(axes, picture, strip, look)
        top -= -(-len(strip.pictures) // strip.columns) * (cell + gap)
    _legend(figure, legend)
    return figure


def _draw_picture(
    axes: Axes, picture: Picture, strip: Strip, look: Callable[[Mark], dict[str, Any]]
) -> None:
    axes.set_axis_off()
    axes.imshow(picture.image, interpolation="antialiased")
    x1, y1, x2, y2 = strip.window(picture)
    axes.set_xlim(x1, x2)
    axes.set_ylim(y2, y1)
    shown = marks(picture)
    unnamed = ("found", "hit", "label") if len(picture.xyxy) > _MOST_NAMED else ("found",)
    for mark in shown:
        _draw_mark(axes, mark, look(mark), named=strip.named and mark.what not in unnamed)


def _draw_mark(axes: Axes, mark: Mark, look: dict[str, Any], named: bool) -> None:
    x1, y1, x2, y2 = mark.xyxy
    axes.plot(
        [x1, x2, x2, x1, x1],
        [y1, y1, y2, y2, y1],
        path_effects=_HALO,
        solid_joinstyle="miter",
        **look,
    )
    if named:
        text = mark.name if mark.score is None else f"{mark.name} {mark.score:.2f}"
        at, offset, side = (
            ((x1, y2), -2, "top") if mark.what == "missed" else ((x1, y1), 2, "bottom")
        )
        axes.annotate(
            text, at, xytext=(0.6, offset), textcoords="offset points", va=side, fontsize=6.5, clip_on=True,
            bbox={"boxstyle": "square,pad=0.12", "facecolor": look["color"], "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    if handles and len(handles) <= _MOST_COLORS:
        legend = figure.legend(
            handles=list(handles), loc="lower center", ncols=len(handles), borderaxespad=0.2
        )
        legend.set_frame_on(True)
        # light lines need a dark ground
        legend.get_frame().set(facecolor="#5a6066", edgecolor="none")
        for text in legend.get_texts():
            text.set_color("white")


def _line(color: str, style: Any, label: str) -> Line2D:
    return Line2D([], [], color=color, linestyle=style, linewidth=2, label=label)
