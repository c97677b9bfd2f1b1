"""Responses: the figures of validation mAP against each setting that a search varied."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis import response as numbers
from syndet_ray.analysis.chosen import MOST_MARKS, even_sample, sample_words
from syndet_ray.analysis.importance import importances_of
from syndet_ray.analysis.response import Response, Tried
from syndet_ray.analysis.tables import best_number
from syndet_ray.analysis.varied import settings
from syndet_ray.report.figures.plot import Plot, colors, records, titled, tooltip, validation_label
from syndet_ray.report.palette import BLUE, DIM, GREEN, INK, ORANGE, PALE, VERMILLION
from syndet_ray.report.words import survivors
from syndet_ray.runs.names import role_name
from syndet_ray.runs.run import Run

_PRUNED, _FAILED, _BEST = "pruned (×)", "failed (▼)", "best recipe"
# Vega's own cross is a plus
_X = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
# By what a trial is: its colour, shape, size and opacity.
_LOOKS: dict[str, tuple[str, str, int, float]] = {
    "searched": (BLUE, "circle", 55, 0.75),
    "unfinished": (PALE, "circle", 55, 1.0),
    _PRUNED: (DIM, _X, 45, 0.55),
    _FAILED: (VERMILLION, "triangle-down", 55, 0.8),
    _BEST: (VERMILLION, "diamond", 130, 1.0),
}
_CONTROLS = {"real_only": GREEN, "synthetic_only": ORANGE}
_HEADER = ("what", "trial", "setting", "val_mAP", "low_95", "high_95", "state")
_POINT = ("what", "trial", "state", "value", "val_mAP", "setting", "size", "opacity")
_CURVE = ("setting", "mean", "low", "high")
_LEVEL = ("setting", "mean", "low", "high", "trials")
_RULE = ("control", "val_mAP")
_ALSO = "The trials differ in the other varied settings too."


def responses(run: Run) -> dict[str, Plot]:
    """By "response_<setting>", the most important setting first; none of what was tried at fewer
    than two values.
    """
    best = best_number(run.trials, run.test)
    return {f"response_{found.setting.key}": _drawing(found, run, best) for found in curves(run)}


def curves(run: Run) -> list[Response]:
    """What there is a figure of, the most important setting first."""
    trials, sweep = run.trials, run.sweep
    important = importances_of(run)
    ranked = sorted(settings(sweep), key=lambda setting: important.rank(setting.path))
    found = [numbers.response(setting, trials) for setting in ranked]
    return [response for response in found if len({point.x for point in response.points}) > 1]


def caption(found: Response, *, is_only: bool) -> str:
    """What a figure shows, for those who did not make it. is_only: whether the sweep varies no
    other setting.
    """
    marks = f"Each mark is a trial of the search, by its {found.setting.name}."
    sample = sample_words(len(found.points), MOST_MARKS)
    also = "" if is_only else _ALSO
    sentences = [marks, sample, also, *_curve_words(found)]
    return " ".join(sentence for sentence in sentences if sentence)


def _curve_words(found: Response) -> list[str]:
    """What is drawn through the marks, and what pruning does to it."""
    without = survivors(found.pruned, "which flattens this")
    if found.fitted:
        line = "Line: Gaussian process regression on the completed trials; band: 95 % for the line, not for trials."
        return [line, without]
    if found.levelled:
        bars = "Bars: mean of the completed trials at a value, with the 95 % t interval where there are three or more."
        return [bars, without]
    return ["Too few have been completed for a curve."]


def _drawing(found: Response, run: Run, best: int | None) -> Plot:
    curve, means = numbers.band(found), numbers.levels(found)
    layers = [
        *_curve(found, curve),
        *_rules(found.controls),
        _points(found, run, best),
        *_levels(found, means),
    ]
    rows: list[tuple[Any, ...]] = [
        (_what(p, best), p.trial, p.x, p.value, None, None, p.state) for p in found.points
    ]
    rows += [("mean", None, each.x, each.mean, each.low, each.high, None) for each in means]
    if curve is not None:
        fitted = zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
        rows += [("curve", None, x, mean, low, high, None) for x, mean, low, high in fitted]
    rows += [
        (role_name(kind), None, None, value, None, None, None)
        for kind, value in found.controls.items()
    ]
    name = found.setting.name
    return Plot(
        figure=titled(alt.layer(*layers), f"Accuracy by {name}", run), header=_HEADER, rows=rows
    )


def _what(point: Tried, best: int | None) -> str:
    """What a trial is called in the legend."""
    if point.trial == best:
        return _BEST
    return {"PRUNED": _PRUNED, "FAILED": _FAILED, "RUNNING": "unfinished"}.get(
        point.state, "searched"
    )


def _x(found: Response) -> alt.X:
    """The setting's axis: a choice in the order of the space, a number in its range, on a log scale
    where the search had one.
    """
    setting = found.setting
    if setting.is_choice:
        tried = {point.x for point in found.points}
        kept = [text for text in setting.choices if text in tried]
        return alt.X(
            "setting:N",
            title=setting.name,
            sort=kept,
            scale=alt.Scale(domain=kept),
            axis=alt.Axis(labelAngle=0),
        )
    ends = [setting.axis.low, setting.axis.high]  # type: ignore[union-attr]
    scale = (
        alt.Scale(type="log", domain=ends, nice=False)
        if setting.log
        else alt.Scale(domain=ends, nice=False, padding=8)
    )
    least = 1 if setting.axis.kind == "int" else alt.Undefined
    axis = alt.Axis(format=".0%" if setting.percent else "~g", tickCount=6, tickMinStep=least)
    return alt.X("setting:Q", title=setting.name, scale=scale, axis=axis)


def _y(run: Run) -> alt.Y:
    return alt.Y(
        "val_mAP:Q", title=validation_label(run), scale=alt.Scale(zero=False, nice=True, padding=6)
    )


def _points(found: Response, run: Run, best: int | None) -> alt.Chart:
    text = found.setting.text
    rows = [
        (
            _what(p, best),
            p.trial,
            p.state.lower(),
            text(p.x),
            p.value,
            p.x,
            *_LOOKS[_what(p, best)][2:],
        )
        for p in _drawn(found.points, best)
    ]
    present = {name: look for name, look in _LOOKS.items() if any(row[0] == name for row in rows)}
    # The best lies on top of all others.
    rows.sort(key=lambda row: list(_LOOKS).index(row[0]))
    return (
        alt.Chart(records(_POINT, rows))
        .mark_point(filled=True)
        .encode(
            _x(found),
            _y(run),
            colors({name: look[0] for name, look in present.items()}),
            alt.Shape("what:N", scale=_shapes(present), sort=list(present)),
            alt.Size("size:Q", scale=None),
            alt.Opacity("opacity:Q", scale=None),
            tooltip=[
                *tooltip("trial", "state"),
                alt.Tooltip("value:N", title=found.setting.name),
                *tooltip(val_mAP=".3f"),
            ],
        )
    )


def _drawn(points: Sequence[Tried], best: int | None) -> list[Tried]:
    """The marks that are drawn: of many some, the best recipe always."""
    ranked = sorted(points, key=lambda point: (point.trial != best, -point.value, point.trial))
    return even_sample(ranked, MOST_MARKS)


def _shapes(looks: Mapping[str, tuple[str, str, int, float]]) -> alt.Scale:
    return alt.Scale(domain=list(looks), range=[shape for _, shape, _, _ in looks.values()])


def _curve(found: Response, curve: numbers.Band | None) -> list[alt.Chart]:
    if curve is None:
        return []
    rows = list(zip(curve.x, curve.mean, curve.low, curve.high, strict=True))
    base = alt.Chart(records(_CURVE, rows)).encode(_x(found))
    area = base.mark_area(color=PALE, opacity=0.35).encode(alt.Y("low:Q"), alt.Y2("high:Q"))
    return [area, base.mark_line(color=INK, strokeWidth=1.8).encode(alt.Y("mean:Q"))]


def _levels(found: Response, means: tuple[numbers.Level, ...]) -> list[alt.Chart]:
    """The mean at each value as a bar, its interval as a line through it."""
    rows = [(each.x, each.mean, each.low, each.high, each.count) for each in means]
    told = tooltip("trials", mean=".3f", low=".3f", high=".3f")
    base = alt.Chart(records(_LEVEL, rows)).encode(_x(found), tooltip=told)
    sure = alt.Chart(records(_LEVEL, [row for row in rows if row[2] is not None])).encode(
        _x(found), tooltip=told
    )
    if not rows:
        return []
    return [
        sure.mark_rule(strokeWidth=1.8).encode(alt.Y("low:Q"), alt.Y2("high:Q")),
        base.mark_tick(orient="horizontal", color=INK, thickness=3, size=34, opacity=1).encode(
            alt.Y("mean:Q")
        ),
    ]


def _rules(controls: Mapping[str, float]) -> list[alt.Chart]:
    """Each control as a dashed line, its name beside it: a little above, of the lower one below, so
    that two never meet.
    """
    ranked = sorted(controls, key=lambda kind: -controls[kind])
    named = [_rule(kind, controls[kind], -5 if k == 0 else 7) for k, kind in enumerate(ranked)]
    return [layer for pair in named for layer in pair]


def _rule(kind: str, value: float, dy: int) -> tuple[alt.Chart, alt.Chart]:
    color = _CONTROLS[kind]
    base = alt.Chart(records(_RULE, [(role_name(kind), value)])).encode(alt.Y("val_mAP:Q"))
    line = base.mark_rule(strokeDash=[6, 3], strokeWidth=1.6, color=color)
    name = base.mark_text(align="left", dx=4, dy=dy, color=color).encode(
        text="control:N", x=alt.value("width")
    )
    return line.encode(tooltip=tooltip("control", val_mAP=".3f")), name
