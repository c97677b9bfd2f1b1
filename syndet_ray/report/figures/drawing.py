"""Drawing: a figure with the numbers behind it, and how all figures look.

A chart is one Vega-Lite specification: drawn here as a PNG, and by the page once more, so that a
reader can hover and zoom.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa
import vl_convert
from altair.utils.schemapi import debug_mode
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pyarrow import parquet

from syndet_ray.analysis.tables import TestLine
from syndet_ray.files import write_whole
from syndet_ray.runs.run import Run

INK, DIM, PALE, FAINT, RULE = "#24282c", "#8b9096", "#9fb6c6", "#d3d9dd", "#dfe2e5"
# Okabe & Ito (2008): distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION, SKY, YELLOW, PURPLE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#56B4E9", "#F0E442", "#CC79A7"),
)
# The same on a dark page; of all other colours a page keeps its own.
DARK = {
    INK: "#e6e7e8",
    BLUE: "#3d9fdb",
    PALE: "#6f8b9e",
    FAINT: "#454d54",
    RULE: "#383d42",
    "#ffffff": "#1f2327",
}
# of things that are all alike to us: sources, runs
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
ROLE_COLORS = {"best": BLUE, "real_only": GREEN, "synthetic_only": ORANGE}
WIDTH, HEIGHT = 520, 320  # of a chart, pixels of a screen
_SCALE = 2  # pixels of a PNG for one of a screen
_AXIS = {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal", "titlePadding": 8}
_LEGEND = {
    "labelFontSize": 13,
    "orient": "bottom",
    "columns": 3,
    "symbolStrokeWidth": 2,
    "labelLimit": 260,
    "title": None,
}
_CONFIG: dict[str, Any] = {
    "font": "Liberation Sans, Arial, sans-serif",
    "background": "#ffffff",
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "fontSize": 16,
        "color": INK,
        "offset": 14,
        "subtitleFontSize": 13,
        "subtitleColor": INK,
    },
    "axis": _AXIS
    | {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": RULE,
        "domainColor": DIM,
        "tickColor": DIM,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False},
    "legend": _LEGEND | {"labelColor": INK, "titleColor": INK},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": INK},
    # A wheel scrolls the page; with ctrl, which a pinch on a touchpad also reports, it zooms.
    "selection": {"interval": {"zoom": "wheel![event.ctrlKey || event.metaKey]"}},
}
STYLE: dict[Any, Any] = {  # of sheets, which matplotlib draws
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5"
    "legend.frameon": False,
    "legend.fontsize": 11,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawing:
    """A chart or a sheet of pictures, and its numbers as rows under a header."""

    figure: alt.TopLevelMixin | Figure
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Drawn:
    """A drawing that was saved. spec: of a chart, the Vega-Lite specification that a page draws it
    by; else None.
    """

    png: Path
    spec: Mapping[str, Any] | None


def save(drawing: Drawing, path: Path) -> Drawn:
    """Writes <path>.png and, of its numbers, <path>.csv and <path>.parquet."""
    numbers, table = io.StringIO(), io.BytesIO()
    csv.writer(numbers).writerows([drawing.header, *drawing.rows])
    write_whole(path.with_suffix(".csv"), numbers.getvalue().encode())
    parquet.write_table(arrow(drawing.header, drawing.rows), table)
    write_whole(path.with_suffix(".parquet"), table.getvalue())
    spec = None if isinstance(drawing.figure, Figure) else specification(drawing.figure)
    picture = _sheet_png(drawing.figure) if isinstance(drawing.figure, Figure) else _chart_png(spec)
    return Drawn(write_whole(path.with_suffix(".png"), picture), spec)


def arrow(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows as a table, each column of the one type that its values have; one of several types holds
    text. None is missing.
    """
    return pa.table(
        [_column([row[k] for row in rows]) for k in range(len(header))], names=list(header)
    )


def specification(chart: Any) -> dict[str, Any]:
    """The Vega-Lite specification of a chart in the look that all share; what is no number in it is
    missing.
    """
    found = chart.to_dict(validate=False)  # its parts were validated when they were made
    return _known(found | {"config": _merged(found.get("config", {}), _CONFIG)})


def responsive(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification for a page: as wide as there is room, where it is one view and not several
    beside one another.
    """
    several = spec.keys() & {"hconcat", "vconcat", "concat", "facet", "repeat"}
    return (
        dict(spec)
        if several
        else {**spec, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    )


@cache
def script() -> str:
    """What draws a specification on a page: Vega, Vega-Lite and vegaEmbed (BSD-3-Clause), to be
    written into it.
    """
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its snippet may be left out, whatever its stub says


def records(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> alt.Data:
    """Rows as the data of a chart.

    Names must hold no dot and no bracket, which Vega-Lite would take apart.
    """
    return inline([dict(zip(header, row, strict=True)) for row in rows])


def inline(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Rows, each by the names of its columns, as the data of a chart; unlike Altair's own, without
    a look at every value.
    """
    with debug_mode(False):
        return alt.InlineData(values=rows)


def titled(chart: Any, title: str, run: Run, height: int = HEIGHT) -> Any:
    """The chart under its title and at its size; one of a stand-in run says so."""
    marked = run.stand_in and "stand-in" not in title
    return chart.properties(
        title=f"{title} (stand-in)" if marked else title, width=WIDTH, height=height
    )


def validation_label(run: Run) -> str:
    return f"mAP on {'stand-in' if run.stand_in else 'real'} validation images"


def colors(named: Mapping[str, str], **given: Any) -> alt.Color:
    """Colours by name, through the column "what", with a legend of them in this order."""
    scale = alt.Scale(domain=list(named), range=list(named.values()))
    return alt.Color("what:N", scale=scale, sort=list(named), **given)


def recipe_colors(lines: Sequence[TestLine]) -> dict[str, str]:
    """A colour for each recipe by its name: the winner and the controls have theirs, whatever else
    is tested.
    """
    own = {"real only": GREEN, "synthetic only": ORANGE}
    rest = cycle((PURPLE, VERMILLION, SKY, DIM))
    return {line.name: own.get(line.name) or (BLUE if line.best else next(rest)) for line in lines}


def tooltip(*columns: str, **formats: str) -> list[alt.Tooltip]:
    """What a reader sees of a mark, column by column; numbers in the format given, such as
    mAP=".3f".
    """
    shown = [alt.Tooltip(f"{name}:N", title=name.replace("_", " ")) for name in columns]
    return shown + [
        alt.Tooltip(f"{k}:Q", title=k.replace("_", " "), format=v) for k, v in formats.items()
    ]


def from_zero(values: Sequence[float]) -> list[float]:
    """An axis from 0 to a little above the highest value; where a mark lies on 0, from a little
    below, to show all of it.
    """
    known = [value for value in values if math.isfinite(value)]
    top = 1.12 * max([*known, 0.0]) or 1.0
    return [-0.03 * top if min([*known, top]) < 0.01 * top else 0.0, top]


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Where to put labels of `values` so that neighbours are at least `gap` apart, moved as little
    as possible.

    Least squares by pooling adjacent violators (Barlow et al. 1972): labels that meet are centred
    on their common mean.
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


def _column(values: Sequence[Any]) -> pa.Array:
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in plain if value is not None}
    if kinds == {int, float}:
        plain = [None if value is None else float(value) for value in plain]
    elif len(kinds) > 1:
        plain = [None if value is None else str(value) for value in plain]
    return pa.array(plain)


def _known(part: Any) -> Any:
    """The same without NaN and infinities, which JSON has no words for."""
    if isinstance(part, Mapping):
        return {key: _known(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_known(value) for value in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


def _chart_png(spec: Mapping[str, Any] | None) -> bytes:
    drawn = vl_convert.vegalite_to_png(
        json.dumps(_still(spec or {}), allow_nan=False), scale=_SCALE
    )
    small = io.BytesIO()
    with Image.open(io.BytesIO(drawn)) as image:
        # without transparency, a fifth of what it was
        image.convert("RGB").save(small, "PNG", compress_level=6)
    return small.getvalue()


def _still(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of a picture: without zooming, for which every line is cut to the frame by
    itself, 10 ms a line, and without marks that are there to be pointed at, and not seen.
    """
    found = {
        **spec,
        "params": [param for param in spec.get("params", []) if param.get("bind") != "scales"],
    }
    if "layer" in spec:
        found["layer"] = [
            _emptied(layer) if _is_invisible(layer) else layer for layer in spec["layer"]
        ]
    return found


def _is_invisible(layer: Mapping[str, Any]) -> bool:
    mark = layer.get("mark")
    return isinstance(mark, Mapping) and mark.get("opacity") == 0


def _emptied(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The layer without its marks; others may refer to its parameters."""
    return {**layer, "transform": [*layer.get("transform", []), {"filter": "false"}]}


def _sheet_png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _merged(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(own[key], base[key])
        for key in own.keys() & base.keys()
        if isinstance(base[key], Mapping)
    }
    return {**base, **own, **both}
