"""Exchanges: the figure of how many photos synthetic images are worth."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis import exchange as numbers
from syndet_ray.analysis.exchange import Exchange, ExchangeScore, PhotoValue, exchange_points
from syndet_ray.report.figures.plot import (
    SCORE_ROOM,
    Plot,
    add_title,
    colors,
    records,
    score_limits,
    tooltip,
)
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
    """Test mAP by number of photos: real images alone as a curve, and an arrow to the curve from
    each recipe with synthetic images.
    """
    values = numbers.exchange(exchange_points(run))
    if not values.photo_values:
        return None
    noun = "real images (stand-in)" if run.stand_in else "photos"
    # A log axis has no place for 0 photos.
    with_photos = [photo_value for photo_value in values.photo_values if photo_value.recipe.photos]
    without_photos = [
        photo_value for photo_value in values.photo_values if not photo_value.recipe.photos
    ]
    figure = alt.layer(
        *_flat(without_photos, values.curve),
        _curve(values, f"{noun} trained on", _heights(values)),
        *_points([*values.curve, *(photo_value.recipe for photo_value in with_photos)]),
        *_arrows([photo_value for photo_value in with_photos if photo_value.is_bounded]),
    )
    rows = [_row(scored, None) for scored in values.curve]
    rows += [_row(photo_value.recipe, photo_value) for photo_value in values.photo_values]
    title = f"What synthetic images are worth in {noun}"
    return Plot(
        figure=add_title(figure, title, run),
        header=_HEADER,
        rows=rows,
    )


def _legend_name(scored: ExchangeScore) -> str:
    if not scored.synthetic:
        return _REAL
    return _BOTH if scored.photos else _SYNTHETIC


def _row(scored: ExchangeScore, photo_value: PhotoValue | None) -> tuple[object, ...]:
    in_photos = (
        (None, None, None)
        if photo_value is None
        else (photo_value.value, photo_value.low, photo_value.high)
    )
    return (*_point(scored), *in_photos)


def _point(scored: ExchangeScore) -> tuple[object, ...]:
    recipe = (scored.name, scored.photos, scored.synthetic)
    return _legend_name(scored), *recipe, scored.score, scored.low, scored.high


def _heights(values: Exchange) -> list[float]:
    """The ends of the axis of mAP."""
    scores = [*values.monotone]
    for scored in [*values.curve, *(photo_value.recipe for photo_value in values.photo_values)]:
        scores.append(scored.score)
        if scored.photos:  # a recipe without photos is a line without an interval
            scores += [scored.low, scored.high]
    return score_limits(scores, SCORE_ROOM)


def _y(scale: Any = alt.Undefined) -> alt.Y:
    return alt.Y("test_mAP:Q", title="mAP on the test set", scale=scale)


def _x(ticks: Sequence[int] = (), title: Any = alt.Undefined) -> alt.X:
    axis = alt.Axis(format="~g", values=list(ticks)) if ticks else alt.Undefined
    scale = alt.Scale(type="log", padding=24, nice=False)
    return alt.X("photos:Q", title=title, scale=scale, axis=axis)


def _curve(values: Exchange, title: str, heights: Sequence[float]) -> alt.Chart:
    sizes = [scored.photos for scored in values.curve]
    rows = list(zip(sizes, values.monotone, strict=True))
    base = alt.Chart(records(("photos", "test_mAP"), rows)).mark_line(color=GREEN, strokeWidth=2)
    scale = alt.Scale(domain=list(heights), nice=True, zero=False)
    return base.encode(_x(sizes, title), _y(scale))


def _points(scored: Sequence[ExchangeScore]) -> list[alt.Chart]:
    names = {_legend_name(recipe) for recipe in scored}
    present = {name: color for name, color in _COLORS.items() if name in names}
    shown = tooltip("recipe", "photos", "synthetic", test_mAP=".3f", low=".3f", high=".3f")
    data = records(_POINT, [_point(recipe) for recipe in scored])
    base = alt.Chart(data).encode(_x(), colors(present), tooltip=shown)
    intervals = base.mark_rule(strokeWidth=1.6, clip=True).encode(alt.Y("low:Q"), alt.Y2("high:Q"))
    return [intervals, base.mark_point(filled=True, size=80, opacity=1).encode(_y())]


def _arrows(photo_values: Sequence[PhotoValue]) -> list[alt.Chart]:
    """An arrow from each recipe to the point of the curve that has the same score."""
    rows = []
    for photo_value in photo_values:
        if photo_value.value is not None:
            photos = photo_value.recipe.photos
            score = photo_value.recipe.score
            rows.append(
                (photos, photos + photo_value.value, score, f"{round(photo_value.value):+d}")
            )
    if not rows:
        return []
    base = alt.Chart(records(("photos", "until", "test_mAP", "worth"), rows)).encode(_y())
    shafts = base.mark_rule(color=DIM, strokeDash=[4, 3], strokeWidth=1.4)
    end = base.encode(alt.X("until:Q"))
    heads = end.mark_point(
        shape="triangle-right",
        filled=True,
        size=60,
        color=DIM,
        opacity=1,
    )
    place: dict[str, Any] = {"align": "left", "dx": 8, "dy": 5}
    rim = end.mark_text(
        stroke=PAPER,
        strokeWidth=4,
        color=PAPER,
        **place,
    ).encode(text="worth:N")
    text = end.mark_text(color=INK, **place).encode(text="worth:N")
    return [shafts.encode(_x(), alt.X2("until:Q")), heads, rim, text]


def _flat(photo_values: Sequence[PhotoValue], curve: Sequence[ExchangeScore]) -> list[alt.Chart]:
    """A line across for each recipe without photos."""
    if not photo_values:
        return []
    rows = [
        (photo_value.recipe.name, photo_value.recipe.score, curve[0].photos)
        for photo_value in photo_values
    ]
    base = alt.Chart(records(("recipe", "test_mAP", "photos"), rows)).encode(_y())
    line = base.mark_rule(
        color=ORANGE,
        strokeDash=[6, 3],
        strokeWidth=1.6,
    )
    name = base.mark_text(align="left", dx=4, color=ORANGE)
    return [
        line.encode(tooltip=tooltip("recipe", test_mAP=".3f")),
        name.encode(text="recipe:N", x=alt.value("width")),
    ]
