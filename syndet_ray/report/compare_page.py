"""Compare page: runs side by side as one HTML file that needs nothing else, with its figures."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import altair as alt

from syndet_ray.analysis.compare import ComparedRun, Comparison
from syndet_ray.files import write_whole
from syndet_ray.report import document
from syndet_ray.report.comparison import sentences
from syndet_ray.report.figures.drawing import (
    DIM,
    HEIGHT,
    INK,
    SERIES,
    WIDTH,
    Drawing,
    colors,
    records,
    save,
    tooltip,
)
from syndet_ray.runs.metrics import MAP

_COLORS = (*SERIES, DIM)
_ROW_PX, _LABEL_PX = 26, 260
_SCORES = ("recipe", "what", "trained_on", "seeds", "test_mAP", "low_95", "high_95", "val_mAP")
_CURVES = ("what", "trial", "images", "val_mAP")


def write(found: Comparison, path: Path) -> Path:
    """Writes the page; its figures are drawn into it and nowhere else."""
    with TemporaryDirectory() as drawn_in:
        drawn = {name: save(made, Path(drawn_in) / name) for name, made in figures(found).items()}
        text = document.html(
            "compare.html.j2", drawn, found=found, said=sentences(found), stand_in=found.stand_in
        )
    return write_whole(path, text.encode())


def figures(found: Comparison) -> dict[str, Drawing]:
    """The page's figures, by the names that its template knows them by."""
    return {"scores": scores(found), "curves": curves(found)}


def scores(found: Comparison) -> Drawing:
    """Test mAP of every recipe of every run, with its interval, run by run."""
    rows = [
        (
            f"{run.letter}  {entry.name}", _what(run), entry.line.recipe, len(entry.line.seeds) or 1,
            score.value, score.low, score.high, entry.line.validation,
        )
        for run in found.runs
        for entry in run.entries
        for score in (entry.line.scores[MAP],)
    ]  # fmt: skip
    axis = alt.Axis(labelLimit=_LABEL_PX, grid=False, domain=False)
    y = alt.Y("recipe:N", sort=[row[0] for row in rows], title=None, axis=axis)
    told = tooltip(
        "recipe", "trained_on", "seeds", test_mAP=".3f", low_95=".3f", high_95=".3f", val_mAP=".3f"
    )
    base = alt.Chart(records(_SCORES, rows)).encode(y=y, tooltip=told)
    lines = base.mark_rule(color=INK, strokeWidth=1.5).encode(alt.X("low_95:Q"), x2="high_95:Q")
    title = "test mAP" if found.too_few else "test mAP, with 95 % interval"
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        alt.X("test_mAP:Q", title=title, scale=alt.Scale(zero=True)), _colors(found)
    )
    chart = _titled(alt.layer(lines, dots), f"On the same {found.where}", _ROW_PX * len(rows))
    return Drawing(figure=chart, header=_SCORES, rows=rows)


def curves(found: Comparison) -> Drawing:
    """How the best recipe of every run learnt, each training of it a line."""
    rows = [
        (_what(run), curve.trial, images, value)
        for run in found.runs
        for curve in run.curves
        for images, value in zip(curve.images, curve.values, strict=True)
    ]
    lines = (
        alt.Chart(records(_CURVES, rows))
        .mark_line(point={"size": 30}, strokeWidth=2)
        .encode(
            alt.X("images:Q", title="training images seen"),
            alt.Y("val_mAP:Q", title="mAP on validation images", scale=alt.Scale(zero=True)),
            _colors(found),
            detail="trial:N",
            tooltip=tooltip("what", "trial", images=",", val_mAP=".3f"),
        )
    )
    return Drawing(
        figure=_titled(lines.interactive(), "The best recipes, every training", HEIGHT),
        header=_CURVES,
        rows=rows,
    )


def _what(run: ComparedRun) -> str:
    return f"{run.letter}  {run.name}"


def _colors(found: Comparison) -> alt.Color:
    named: Mapping[str, str] = {
        _what(run): _COLORS[k % len(_COLORS)] for k, run in enumerate(found.runs)
    }
    return colors(named, legend=alt.Legend(columns=1))


def _titled(chart: Any, title: str, height: int) -> Any:
    return chart.properties(title=title, width=WIDTH, height=height)
