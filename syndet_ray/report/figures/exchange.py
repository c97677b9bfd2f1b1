"""Exchanges: the figure of how many photos synthetic images are worth."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis import exchange as numbers
from syndet_ray.analysis.exchange import Exchange, Scored, Worth
from syndet_ray.report.figures.plot import Plot, colors, records, titled, tooltip
from syndet_ray.report.palette import BLUE, DIM, GREEN, INK, ORANGE, PAPER
from syndet_ray.runs.run import Run

_REAL, _BOTH, _SYNTHETIC = "real only", "with synthetic images", "synthetic only"
_HEADER = (
    "what",
    "recipe",
    "photos",
    "synthetic",
    "test_mAP",
    "low_95",
    "high_95",
    "worth",
    "worth_low_95",
    "worth_high_95",
)
_POINT = ("what", "recipe", "photos", "synthetic", "test_mAP", "low", "high")
_COLORS = {_REAL: GREEN, _BOTH: BLUE, _SYNTHETIC: ORANGE}


def exchange(run: Run) -> Plot | None:
    """Test mAP by number of photos, real images alone as a curve; from each recipe with more an
    arrow to the curve.
    """
    found = numbers.exchange(numbers.exchange_points(run))
    if not found.worths:
        return None
    noun = "real images (stand-in)" if run.stand_in else "photos"
    # none has no place on a log axis
    shown = [worth for worth in found.worths if worth.recipe.photos]
    figure = alt.layer(
        *_flat([worth for worth in found.worths if not worth.recipe.photos], found.curve),
        _curve(found, f"{noun} trained on"),
        *_points([*found.curve, *(worth.recipe for worth in shown)]),
        *_arrows([worth for worth in shown if worth.told]),
    )
    rows = [_row(scored, None) for scored in found.curve] + [
        _row(worth.recipe, worth) for worth in found.worths
    ]
    return Plot(
        figure=titled(figure, f"What synthetic images are worth in {noun}", run),
        header=_HEADER,
        rows=rows,
    )


def _what(scored: Scored) -> str:
    if not scored.synthetic:
        return _REAL
    return _BOTH if scored.photos else _SYNTHETIC


def _row(scored: Scored, worth: Worth | None) -> tuple[object, ...]:
    own = (None, None, None) if worth is None else (worth.value, worth.low, worth.high)
    bounds = (scored.score, scored.low, scored.high)
    return _what(scored), scored.name, scored.photos, scored.synthetic, *bounds, *own


def _y() -> alt.Y:
    return alt.Y("test_mAP:Q", title="mAP on the test set", scale=alt.Scale(zero=False, padding=6))


def _x(ticks: Sequence[int] = (), title: Any = alt.Undefined) -> alt.X:
    axis = alt.Axis(format="~g", values=list(ticks)) if ticks else alt.Undefined
    scale = alt.Scale(type="log", padding=24, nice=False)
    return alt.X("photos:Q", title=title, scale=scale, axis=axis)


def _records(scored: Sequence[Scored]) -> alt.Data:
    return records(
        _POINT, [(_what(s), s.name, s.photos, s.synthetic, s.score, s.low, s.high) for s in scored]
    )


def _curve(found: Exchange, title: str) -> alt.Chart:
    sizes = [scored.photos for scored in found.curve]
    rows = list(zip(sizes, found.monotone, strict=True))
    base = alt.Chart(records(("photos", "test_mAP"), rows)).mark_line(color=GREEN, strokeWidth=2)
    return base.encode(_x(sizes, title), _y())


def _points(scored: Sequence[Scored]) -> list[alt.Chart]:
    present = {
        name: color for name, color in _COLORS.items() if any(_what(s) == name for s in scored)
    }
    told = tooltip("recipe", "photos", "synthetic", test_mAP=".3f", low=".3f", high=".3f")
    base = alt.Chart(_records(scored)).encode(_x(), colors(present), tooltip=told)
    intervals = base.mark_rule(strokeWidth=1.6).encode(alt.Y("low:Q"), alt.Y2("high:Q"))
    return [intervals, base.mark_point(filled=True, size=80, opacity=1).encode(_y())]


def _arrows(worths: Sequence[Worth]) -> list[alt.Chart]:
    """From a recipe to where real images alone reach as much."""
    rows = [
        (w.recipe.photos, w.recipe.photos + w.value, w.recipe.score, f"{round(w.value):+d}")
        for w in worths
        if w.value is not None
    ]
    base = alt.Chart(records(("photos", "until", "test_mAP", "worth"), rows)).encode(_y())
    rules = base.mark_rule(color=DIM, strokeDash=[4, 3], strokeWidth=1.4).encode(
        _x(), alt.X2("until:Q")
    )
    end = base.encode(alt.X("until:Q"))
    heads = end.mark_point(shape="triangle-right", filled=True, size=60, color=DIM, opacity=1)
    rim = end.mark_text(align="left", dx=8, dy=5, stroke=PAPER, strokeWidth=4, color=PAPER).encode(
        text="worth:N"
    )
    told = end.mark_text(align="left", dx=8, dy=5, color=INK).encode(text="worth:N")
    return [rules, heads, rim, told] if rows else []


def _flat(worths: Sequence[Worth], curve: Sequence[Scored]) -> list[alt.Chart]:
    """Recipes without any photo, as lines across."""
    rows = [(worth.recipe.name, worth.recipe.score, curve[0].photos) for worth in worths]
    base = alt.Chart(records(("recipe", "test_mAP", "photos"), rows)).encode(_y())
    line = base.mark_rule(color=ORANGE, strokeDash=[6, 3], strokeWidth=1.6).encode(
        tooltip=tooltip("recipe", test_mAP=".3f")
    )
    name = base.mark_text(align="left", dx=4, color=ORANGE).encode(
        text="recipe:N", x=alt.value("width")
    )
    return [line, name] if rows else []
