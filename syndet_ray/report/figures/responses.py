"""Responses: the figures of validation mAP against each setting that a search varied."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis import response as numbers
from syndet_ray.analysis.chosen import MOST_MARKS, even_sample
from syndet_ray.analysis.importance import importances_of
from syndet_ray.analysis.response import Response, Tried
from syndet_ray.analysis.tables import best_number
from syndet_ray.analysis.varied import settings
from syndet_ray.report import words
from syndet_ray.report.figures.plot import (
    SCORE_ROOM,
    Plot,
    add_title,
    colors,
    records,
    score_limits,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import BLUE, DIM, INK, PALE, ROLE_COLORS, VERMILLION
from syndet_ray.runs.names import display_name
from syndet_ray.runs.run import Run

_PRUNED, _FAILED, _BEST = "pruned (×)", "failed (▼)", "best recipe"
# A cross: Vega's own is a plus.
_X = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
# Colour, shape, size and opacity of a trial by its name in the legend; the last lies on top.
_LOOKS: dict[str, tuple[str, str, int, float]] = {
    "searched": (BLUE, "circle", 55, 0.75),
    "unfinished": (PALE, "circle", 55, 1.0),
    _PRUNED: (DIM, _X, 45, 0.55),
    _FAILED: (VERMILLION, "triangle-down", 55, 0.8),
    _BEST: (VERMILLION, "diamond", 130, 1.0),
}
# Pixels at both ends of an axis: a bar of a mean reaches neither the numbers of the other axis nor
# the names of the controls.
_ROOM = 18
_HEADER = ("what", "trial", "setting", "val_mAP", "low_95", "high_95", "state")
_POINT = ("what", "trial", "state", "value", "val_mAP", "setting", "size", "opacity")
_CURVE = ("setting", "mean", "low", "high")
_LEVEL = ("setting", "mean", "low", "high", "trials")
_RULE = ("control", "val_mAP")
_ALSO = "The trials differ in the other varied settings too."


def responses(run: Run) -> dict[str, Plot]:
    """The figures by name, "response_<setting>", the most important setting first.

    A setting that was tried at fewer than two values has none.
    """
    best = best_number(run.trials, run.test)
    plots = {}
    for response in curves(run):
        plots[f"response_{response.setting.key}"] = _plot(response, run, best)
    return plots


def curves(run: Run) -> list[Response]:
    """Returns the responses that have a figure, the most important setting first."""
    important = importances_of(run)
    ranked = sorted(settings(run.sweep), key=lambda setting: important.rank(setting.path))
    several = []
    for setting in ranked:
        response = numbers.response(setting, run.trials)
        if len({point.x for point in response.points}) > 1:
            several.append(response)
    return several


def caption(response: Response, *, is_only: bool) -> str:
    """Explains a figure to readers of the report.

    is_only: True if the sweep varies no other setting.
    """
    marks = f"Each mark is a trial of the search, by its {response.setting.name}."
    sample = words.even_sample(len(response.points), MOST_MARKS)
    also = "" if is_only else _ALSO
    sentences = [marks, sample, also, *_curve_words(response)]
    return " ".join(sentence for sentence in sentences if sentence)


def _curve_words(response: Response) -> list[str]:
    """Sentences on the curve through the marks, and on what pruning does to it."""
    pruned = words.survivors(response.pruned, "so the effect looks too small")
    if response.fitted:
        line = "Line: Gaussian process regression on the completed trials;"
        band = "band: 95 % for the line, not for trials."
        return [f"{line} {band}", pruned]
    if response.levelled:
        bars = "Bars: mean of the completed trials at a value,"
        interval = "with the 95 % t interval where there are three or more."
        return [f"{bars} {interval}", pruned]
    return ["Too few have been completed for a curve."]


def _plot(response: Response, run: Run, best: int | None) -> Plot:
    curve = numbers.band(response)
    levels = numbers.levels(response)
    layers = alt.layer(
        *_curve(response, curve),
        *_rules(response.controls),
        _points(response, best, _y(run, _heights(response, curve, levels))),
        *_levels(response, levels),
    )
    rows: list[tuple[Any, ...]] = []
    for p in response.points:
        rows.append((_legend_name(p, best), p.trial, p.x, p.value, None, None, p.state))
    for level in levels:
        rows.append(("mean", None, level.x, level.mean, level.low, level.high, None))
    if curve is not None:
        for point in zip(curve.x, curve.mean, curve.low, curve.high, strict=True):
            rows.append(("curve", None, *point, None))
    for kind, value in response.controls.items():
        rows.append((display_name(kind), None, None, value, None, None, None))
    figure = add_title(layers, f"Accuracy by {response.setting.name}", run)
    return Plot(figure=figure, header=_HEADER, rows=rows)


def _legend_name(point: Tried, best: int | None) -> str:
    """The name of a trial in the legend."""
    if point.trial == best:
        return _BEST
    states = {"PRUNED": _PRUNED, "FAILED": _FAILED, "RUNNING": "unfinished"}
    return states.get(point.state, "searched")


def _x(response: Response) -> alt.X:
    """The setting's axis: a choice in the order of the space, a number in its range, on a log scale
    if the search had one.
    """
    setting = response.setting
    if setting.is_choice:
        tried = {point.x for point in response.points}
        kept = [text for text in setting.choices if text in tried]
        scale = alt.Scale(domain=kept)
        axis = alt.Axis(labelAngle=0)
        return alt.X(
            "setting:N",
            title=setting.name,
            sort=kept,
            scale=scale,
            axis=axis,
        )
    ends = [setting.axis.low, setting.axis.high]  # type: ignore[union-attr]
    linear = alt.Scale(domain=ends, nice=False, padding=_ROOM)
    log = alt.Scale(type="log", domain=ends, nice=False, padding=_ROOM)
    axis = alt.Axis(
        format=".0%" if setting.percent else "~g",
        tickCount=6,
        tickMinStep=1 if setting.axis.kind == "int" else alt.Undefined,
    )
    return alt.X(
        "setting:Q",
        title=setting.name,
        scale=log if setting.log else linear,
        axis=axis,
    )


def _y(run: Run, heights: Sequence[float]) -> alt.Y:
    scale = alt.Scale(domain=list(heights), nice=True, zero=False)
    return alt.Y("val_mAP:Q", title=validation_label(run), scale=scale)


def _heights(
    response: Response, curve: numbers.Band | None, levels: Sequence[numbers.Level]
) -> list[float]:
    """The ends of the axis of mAP. An interval that reaches below 0 is cut there."""
    scores = [*response.controls.values(), *(point.value for point in response.points)]
    if curve is not None:
        scores += [*curve.low, *curve.mean, *curve.high]
    for level in levels:
        scores.append(level.mean)
        if level.low is not None and level.high is not None:
            scores += [level.low, level.high]
    return score_limits(scores, SCORE_ROOM)


def _points(response: Response, best: int | None, height: alt.Y) -> alt.Chart:
    rows = _point_rows(response, best)
    names = {row[0] for row in rows}
    present = {name: look for name, look in _LOOKS.items() if name in names}
    hues = {name: look[0] for name, look in present.items()}
    shapes = alt.Scale(domain=list(present), range=[look[1] for look in present.values()])
    value = alt.Tooltip("value:N", title=response.setting.name)
    marks = alt.Chart(records(_POINT, rows)).mark_point(filled=True)
    return marks.encode(
        _x(response),
        height,
        color=colors(hues),
        shape=alt.Shape("what:N", scale=shapes, sort=list(present)),
        size=alt.Size("size:Q", scale=None),
        opacity=alt.Opacity("opacity:Q", scale=None),
        tooltip=[*tooltip("trial", "state"), value, *tooltip(val_mAP=".3f")],
    )


def _point_rows(response: Response, best: int | None) -> list[tuple[Any, ...]]:
    """A row for each mark that is plotted; the best is last, on top of all others."""
    text = response.setting.text
    rows = []
    for p in _plotted_trials(response.points, best):
        name = _legend_name(p, best)
        size_and_opacity = _LOOKS[name][2:]
        rows.append((name, p.trial, p.state.lower(), text(p.x), p.value, p.x, *size_and_opacity))
    order = list(_LOOKS)
    return sorted(rows, key=lambda row: order.index(row[0]))


def _plotted_trials(points: Sequence[Tried], best: int | None) -> list[Tried]:
    """The trials that are plotted: of many a sample, always with the best recipe."""
    ranked = sorted(points, key=lambda point: (point.trial != best, -point.value, point.trial))
    return even_sample(ranked, MOST_MARKS)


def _curve(response: Response, curve: numbers.Band | None) -> list[alt.Chart]:
    if curve is None:
        return []
    rows = list(zip(curve.x, curve.mean, curve.low, curve.high, strict=True))
    base = alt.Chart(records(_CURVE, rows)).encode(_x(response))
    area = base.mark_area(color=PALE, opacity=0.35, clip=True)
    line = base.mark_line(color=INK, strokeWidth=1.8, clip=True)
    return [area.encode(alt.Y("low:Q"), alt.Y2("high:Q")), line.encode(alt.Y("mean:Q"))]


def _levels(response: Response, levels: tuple[numbers.Level, ...]) -> list[alt.Chart]:
    """The mean at each value as a bar, its interval as a line through it."""
    if not levels:
        return []
    rows = [(level.x, level.mean, level.low, level.high, level.count) for level in levels]
    with_interval = [row for row in rows if row[2] is not None]
    shown = tooltip("trials", mean=".3f", low=".3f", high=".3f")
    intervals = alt.Chart(records(_LEVEL, with_interval)).encode(_x(response), tooltip=shown)
    bars = alt.Chart(records(_LEVEL, rows)).encode(_x(response), tooltip=shown)
    bars = bars.mark_tick(
        orient="horizontal",
        color=INK,
        thickness=3,
        size=2 * (_ROOM - 1),
        opacity=1,
    )
    return [
        intervals.mark_rule(strokeWidth=1.8, clip=True).encode(alt.Y("low:Q"), alt.Y2("high:Q")),
        bars.encode(alt.Y("mean:Q")),
    ]


def _rules(controls: Mapping[str, float]) -> list[alt.Chart]:
    """Each control as a dashed line with its name, which is above the upper line and below the
    lower one, so that two never meet.
    """
    layers: list[alt.Chart] = []
    for k, kind in enumerate(sorted(controls, key=lambda kind: -controls[kind])):
        layers += _rule(kind, controls[kind], -5 if k == 0 else 7)
    return layers


def _rule(kind: str, value: float, dy: int) -> tuple[alt.Chart, alt.Chart]:
    color = ROLE_COLORS[kind]
    base = alt.Chart(records(_RULE, [(display_name(kind), value)])).encode(alt.Y("val_mAP:Q"))
    line = base.mark_rule(strokeDash=[6, 3], strokeWidth=1.6, color=color)
    name = base.mark_text(align="left", dx=4, dy=dy, color=color).encode(
        text="control:N", x=alt.value("width")
    )
    return line.encode(tooltip=tooltip("control", val_mAP=".3f")), name
