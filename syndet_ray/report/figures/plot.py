"""Plot: a figure with the numbers behind it, and how all figures look.

A chart is one Vega-Lite specification. It is rendered here as a PNG, and by the page once more, so
that a reader can hover and zoom.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import altair as alt
import matplotlib as mpl
import numpy as np
import pyarrow as pa
import vl_convert
from altair.utils.schemapi import debug_mode
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from pyarrow import parquet

from syndet_ray.analysis.tables import TestLine
from syndet_ray.files import write_whole
from syndet_ray.report import fonts
from syndet_ray.report.palette import (
    BLUE,
    DIM,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    RULE,
    SKY,
    VERMILLION,
)
from syndet_ray.runs.run import Run

WIDTH, HEIGHT = 520, 320  # of a chart, pixels of a screen
_SCALE = 2  # pixels of a PNG for one of a screen
_BESIDE_ONE = 0.05  # of an axis at which all scores are equal, to either side of them
# Room above and below all scores, a share of their range: 6 pixels, so that no mark is at an edge.
SCORE_ROOM = 6 / (HEIGHT - 2 * 6)
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
    "background": PAPER,
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
STYLE: dict[Any, Any] = {  # of sheets, which matplotlib renders
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5"
    "legend.frameon": False,
    "legend.fontsize": 11,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Plot:
    """A chart or a sheet of images, and its numbers as rows under a header."""

    figure: alt.TopLevelMixin | Figure
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class SavedPlot:
    """A plot that was saved.

    spec  the Vega-Lite specification that a page renders a chart from; None for a sheet
    """

    png: Path
    spec: Mapping[str, Any] | None


def save(plot: Plot, path: Path) -> SavedPlot:
    """Writes <path>.png, and its numbers as <path>.csv and <path>.parquet."""
    numbers = io.StringIO()
    table = io.BytesIO()
    csv.writer(numbers).writerows([plot.header, *plot.rows])
    write_whole(path.with_suffix(".csv"), numbers.getvalue().encode())
    parquet.write_table(arrow(plot.header, plot.rows), table)
    write_whole(path.with_suffix(".parquet"), table.getvalue())
    if isinstance(plot.figure, Figure):
        spec = None
        image = _sheet_png(plot.figure)
    else:
        spec = specification(plot.figure)
        image = _chart_png(spec)
    return SavedPlot(write_whole(path.with_suffix(".png"), image), spec)


def arrow(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Makes a table of rows: a column has the type of its values, and text if they have several.

    None is a missing value.
    """
    columns = []
    for k in range(len(header)):
        columns.append(_column([row[k] for row in rows]))
    return pa.table(columns, names=list(header))


def specification(chart: Any) -> dict[str, Any]:
    """Returns the Vega-Lite specification of a chart in the common style.

    NaN and infinities in it become missing values.
    """
    spec = chart.to_dict(validate=False)  # its parts were validated when they were made
    spec["config"] = _merge(spec.get("config", {}), _CONFIG)
    return _map_leaves(spec, _finite)


def responsive(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the specification for a page: as wide as there is room.

    A chart of several views keeps its width, as Vega-Lite can fit only a single view.
    """
    if spec.keys() & {"hconcat", "vconcat", "concat", "facet", "repeat"}:
        return dict(spec)
    return {**spec, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


@cache
def script() -> str:
    """Returns the JavaScript that renders a specification on a page.

    It holds Vega, Vega-Lite and vegaEmbed (BSD-3-Clause), to be written into the page.
    """
    # The argument may be left out, although the stub requires it.
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]


def records(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> alt.Data:
    """Returns rows as the data of a chart.

    Names must hold no dot and no bracket, which Vega-Lite would take apart.
    """
    return inline([dict(zip(header, row, strict=True)) for row in rows])


def inline(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Returns rows, each a mapping from column names to values, as the data of a chart.

    Unlike Altair's own conversion it does not look at every value.
    """
    with debug_mode(False):
        return alt.InlineData(values=rows)


def add_title(chart: Any, title: str, run: Run, height: int = HEIGHT) -> Any:
    """Returns the chart with its title and size; the title says if the run is a stand-in."""
    if run.stand_in and "stand-in" not in title:
        title = f"{title} (stand-in)"
    return chart.properties(title=title, width=WIDTH, height=height)


def validation_label(run: Run) -> str:
    return f"mAP on {'stand-in' if run.stand_in else 'real'} validation images"


def colors(by_name: Mapping[str, str], **options: Any) -> alt.Color:
    """Colours by name, from the column "what", with a legend in this order."""
    names = list(by_name)
    scale = alt.Scale(domain=names, range=list(by_name.values()))
    return alt.Color("what:N", scale=scale, sort=names, **options)


def recipe_colors(lines: Sequence[TestLine]) -> dict[str, str]:
    """Returns a colour for each recipe by its name.

    The winner and the controls always have the same ones, in every run.
    """
    controls = {"real only": GREEN, "synthetic only": ORANGE}
    others = cycle((PURPLE, VERMILLION, SKY, DIM))
    by_name = {}
    for line in lines:
        if line.name in controls:
            by_name[line.name] = controls[line.name]
        else:
            by_name[line.name] = BLUE if line.best else next(others)
    return by_name


def tooltip(*columns: str, **formats: str) -> list[alt.Tooltip]:
    """The columns that a reader sees of a mark; numbers with a format, such as mAP=".3f"."""
    texts = [alt.Tooltip(f"{name}:N", title=name.replace("_", " ")) for name in columns]
    numbers = [
        alt.Tooltip(
            f"{name}:Q",
            title=name.replace("_", " "),
            format=form,
        )
        for name, form in formats.items()
    ]
    return texts + numbers


def from_zero(values: Sequence[float]) -> list[float]:
    """Returns the ends of an axis from 0 to a little above the highest value.

    If a mark lies on 0, the axis begins a little below, so that the whole mark is visible.
    """
    finite = [value for value in values if math.isfinite(value)]
    top = 1.12 * max([*finite, 0.0]) or 1.0
    lowest = min([*finite, top])
    return [-0.03 * top if lowest < 0.01 * top else 0.0, top]


def score_limits(scores: Sequence[float], room: float = 0.0) -> list[float]:
    """Returns the ends of an axis of scores, which never begins below 0.

    room: at each end, a share of the range of the scores. A single value has no range: the axis
    reaches to either side of it, and from 0 to 1 if it is 0.
    """
    finite = [score for score in scores if math.isfinite(score)]
    low = min(finite)
    high = max(finite)
    if low == high == 0:
        return [0.0, 1.0]
    margin = room * (high - low) if low < high else _BESIDE_ONE
    return [max(0.0, low - margin), high + margin]


def label_positions(values: Sequence[float], gap: float, least: float = -math.inf) -> list[float]:
    """Computes positions for the labels of `values`, at least `gap` apart and not below `least`.

    They are moved as little as possible, by least squares: labels that meet are centred on their
    common mean. This is the isotonic regression (Barlow et al. 1972) of the sorted values, less the
    gaps below each; cut at `least` it is the nearest one that respects this bound.
    """
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    order = np.argsort(values, kind="stable")
    gaps = gap * np.arange(len(values))
    positions = np.empty(len(values))
    fitted = isotonic_regression(np.asarray(values)[order] - gaps).x
    positions[order] = np.maximum(fitted, least) + gaps
    return positions.tolist()


def _column(values: Sequence[Any]) -> pa.Array:
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    types = {type(value) for value in plain if value is not None}
    if types == {int, float}:
        plain = [None if value is None else float(value) for value in plain]
    elif len(types) > 1:
        plain = [None if value is None else str(value) for value in plain]
    return pa.array(plain)


def _map_leaves(part: Any, change: Callable[[Any], Any]) -> Any:
    """Returns the part of a specification with `change` applied to its keys and plain values."""
    if isinstance(part, Mapping):
        return {change(key): _map_leaves(value, change) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_map_leaves(value, change) for value in part]
    return change(part)


def _finite(value: Any) -> Any:
    """Returns None for NaN and infinities, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _chart_png(spec: Mapping[str, Any]) -> bytes:
    _add_fonts()
    text = json.dumps(_map_leaves(_still(spec), _readable), allow_nan=False)
    png = io.BytesIO()
    with Image.open(io.BytesIO(vl_convert.vegalite_to_png(text, scale=_SCALE))) as image:
        # without transparency it takes a fifth of the bytes
        image.convert("RGB").save(png, "PNG", compress_level=6)
    return png.getvalue()


@cache
def _add_fonts() -> None:
    """Gives vl-convert the fonts of matplotlib, where a slim system has none of its own."""
    vl_convert.register_font_directory(str(Path(mpl.get_data_path(), "fonts", "ttf")))


def _readable(value: Any) -> Any:
    """Returns a text with codes for letters that no font has."""
    return fonts.readable(value) if isinstance(value, str) else value


def _still(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the specification of a still image, which cannot be zoomed or pointed at.

    With zooming, every line would be cut to the frame by itself, 10 ms a line. Invisible marks,
    which are there to be pointed at, take time too.
    """
    params = [param for param in spec.get("params", []) if param.get("bind") != "scales"]
    still = {**spec, "params": params}
    if "layer" in spec:
        still["layer"] = [_visible(layer) for layer in spec["layer"]]
    return still


def _visible(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the layer without its marks if they are invisible; it keeps its parameters, which
    other layers may refer to.
    """
    mark = layer.get("mark")
    if not isinstance(mark, Mapping) or mark.get("opacity") != 0:
        return layer
    return {**layer, "transform": [*layer.get("transform", []), {"filter": "false"}]}


def _sheet_png(figure: Figure) -> bytes:
    for text in figure.findobj(Text):
        text.set_text(fonts.readable(text.get_text()))
        text.set_fontfamily(fonts.families(text.get_text()))
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _merge(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` with the values of `config` over it, at every level."""
    merged = {**base, **config}
    for key in config.keys() & base.keys():
        if isinstance(base[key], Mapping):
            merged[key] = _merge(config[key], base[key])
    return merged
