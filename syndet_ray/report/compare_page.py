"""Compare page: runs side by side as one HTML file that needs nothing else, with its figures."""

from itertools import cycle
from pathlib import Path
from typing import Any

import altair as alt

from syndet_ray.analysis.compare import ComparedRun, Comparison
from syndet_ray.files import make_folder, temporary_folder, write_whole
from syndet_ray.metrics import MAP
from syndet_ray.report import document
from syndet_ray.report.comparison import sentences
from syndet_ray.report.figures.plot import HEIGHT, WIDTH, Plot, colors, records, save, tooltip
from syndet_ray.report.palette import DIM, INK, SERIES

_COLORS = (*SERIES, DIM)
_ROW_PX, _LABEL_PX = 26, 260  # height of a row, greatest width of its name
_SCORES = ("recipe", "what", "trained_on", "seeds", "test_mAP", "low_95", "high_95", "val_mAP")
_CURVES = ("what", "trial", "images", "val_mAP")


def write(comparison: Comparison, path: Path) -> Path:
    """Writes the page; its figures lie in it and nowhere else."""
    with temporary_folder() as folder:
        saved = {}
        for name, plot in figures(comparison).items():
            saved[name] = save(plot, folder / name)
        text = document.html(
            "compare.html.j2",
            saved,
            comparison=comparison,
            sentences=sentences(comparison),
            stand_in=comparison.stand_in,
        )
    make_folder(path.parent)
    return write_whole(path, text.encode())


def figures(comparison: Comparison) -> dict[str, Plot]:
    """The figures of the page, by their names in its template."""
    return {"scores": scores(comparison), "curves": curves(comparison)}


def scores(comparison: Comparison) -> Plot:
    """Test mAP of every recipe of every run, with its interval, run by run."""
    rows = []
    for run in comparison.runs:
        for entry in run.entries:
            line = entry.line
            score = entry.line.scores[MAP]
            recipe = (
                f"{run.letter}  {entry.name}",
                _legend_name(run),
                line.recipe,
                len(line.seeds) or 1,
            )
            rows.append((*recipe, score.value, score.low, score.high, line.validation))
    axis = alt.Axis(labelLimit=_LABEL_PX, grid=False, domain=False)
    y = alt.Y(
        "recipe:N",
        sort=[row[0] for row in rows],
        title=None,
        axis=axis,
    )
    formats = dict.fromkeys(("test_mAP", "low_95", "high_95", "val_mAP"), ".3f")
    shown = tooltip("recipe", "trained_on", "seeds", **formats)
    base = alt.Chart(records(_SCORES, rows)).encode(y=y, tooltip=shown)
    lines = base.mark_rule(color=INK, strokeWidth=1.5).encode(alt.X("low_95:Q"), x2="high_95:Q")
    title = "test mAP" if comparison.too_few else "test mAP, with 95 % interval"
    x = alt.X("test_mAP:Q", title=title, scale=alt.Scale(zero=True))
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(x, _colors(comparison))
    where = f"On the same {comparison.where}"
    figure = _add_title(alt.layer(lines, dots), where, _ROW_PX * len(rows))
    return Plot(figure=figure, header=_SCORES, rows=rows)


def curves(comparison: Comparison) -> Plot:
    """Learning curves of the best recipe of every run, a line for each training."""
    rows = []
    for run in comparison.runs:
        for curve in run.curves:
            for images, value in zip(curve.images, curve.values, strict=True):
                rows.append((_legend_name(run), curve.trial, images, value))
    lines = alt.Chart(records(_CURVES, rows)).mark_line(point={"size": 30}, strokeWidth=2)
    chart = lines.encode(
        alt.X("images:Q", title="training images seen"),
        alt.Y(
            "val_mAP:Q",
            title="mAP on validation images",
            scale=alt.Scale(zero=True),
        ),
        _colors(comparison),
        detail="trial:N",
        tooltip=tooltip("what", "trial", images=",", val_mAP=".3f"),
    )
    figure = _add_title(chart.interactive(), "The best recipes, every training", HEIGHT)
    return Plot(figure=figure, header=_CURVES, rows=rows)


def _legend_name(run: ComparedRun) -> str:
    """The name of a run in a legend."""
    return f"{run.letter}  {run.name}"


def _colors(comparison: Comparison) -> alt.Color:
    names = [_legend_name(run) for run in comparison.runs]
    by_name = dict(zip(names, cycle(_COLORS), strict=False))
    return colors(by_name, legend=alt.Legend(columns=1))


def _add_title(chart: Any, title: str, height: int) -> Any:
    return chart.properties(title=title, width=WIDTH, height=height)
