"""Pareto: the figure of what accuracy costs, where a sweep has several goals."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.response import Front, Offer, front
from syndet_ray.report.figures.plot import (
    HEIGHT,
    WIDTH,
    Plot,
    from_zero,
    label_positions,
    records,
    titled,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import BLUE, INK, PALE, PAPER, ROLE_COLORS
from syndet_ray.runs.names import COSTS, role_name
from syndet_ray.runs.run import Run

_BEATEN, _FRONT, _ANEW = "beaten at no greater cost", "on the front", "trained anew: mean ± SE"
# By what an offer is, from those that lie under all to those on top: fill, outline, shape and size.
_LOOKS: dict[str, tuple[str, str, str, int]] = {
    _BEATEN: (PALE, PALE, "circle", 50),
    **{
        role_name(kind): (color, color, "circle", 80)
        for kind, color in ROLE_COLORS.items()
        if kind != "best"
    },
    _FRONT: (BLUE, INK, "circle", 90),
    _ANEW: (PAPER, INK, "diamond", 70),
}
# the largest cost in smallest ones, from which a linear axis would crowd the small ones
_LOG_FROM = 8
_MOST_TICKS = 8
_MOST_NUMBERED = 20
_NUMBER_GAP, _NUMBER_WIDTH = 0.055, 0.04  # of the numbers of trials, of the axes


def pareto(run: Run) -> Plot | None:
    """Accuracy against each cost, one above the other; None for a sweep with one goal."""
    found = front(run.trials, run.sweep)
    if found is None:
        return None
    views = [_view(found, k, run) for k in range(len(found.costs))]
    header = (
        "trial",
        "kind",
        *found.costs,
        "val_mAP",
        "on_front",
        "confirmed_mean",
        "standard_error",
    )
    rows = [
        (o.trial, o.kind, *o.costs, o.value, o.efficient, o.mean, o.error) for o in found.offers
    ]
    return Plot(figure=_stacked(views, run), header=header, rows=rows)


def _stacked(views: Sequence[alt.LayerChart], run: Run) -> Any:
    title = "What accuracy costs"
    if len(views) == 1:
        return titled(views[0], title, run)
    marked = f"{title} (stand-in)" if run.stand_in else title
    return alt.vconcat(
        *[view.properties(width=WIDTH, height=HEIGHT) for view in views], title=marked
    )


def _view(found: Front, k: int, run: Run) -> alt.LayerChart:
    """Every offer at its cost number k: the front in blue, joined where it is one line."""
    costs = [offer.costs[k] for offer in found.offers]
    heights = from_zero([offer.value for offer in found.offers])
    across = alt.X("cost:Q", axis=_ticks(costs, COSTS[found.costs[k]]), scale=_scale(costs))
    up = alt.Y("val_mAP:Q", title=validation_label(run), scale=alt.Scale(domain=heights))
    joined = [_steps(found.efficient, k, max(_span(costs)))] if len(found.costs) == 1 else []
    named = _readable(found.efficient[:_MOST_NUMBERED], k, costs, _NUMBER_GAP * heights[1])
    numbers = _numbers(named, k, _NUMBER_GAP * heights[1])
    return (
        alt.layer(*joined, *_marks(found.offers, k), numbers)
        .encode(across, up)
        .interactive(name=f"zoom_{k}")
    )


def _marks(offers: Sequence[Offer], k: int) -> list[alt.Chart]:
    """A mark for each offer, and for what trainings from other seeds made of it."""
    anew: list[tuple[Any, ...]] = [
        (_ANEW, o.trial, o.costs[k], o.mean, o.error)
        for o in offers
        if o.mean is not None and o.error is not None
    ]
    rows = sorted(
        [(_what(offer), offer.trial, offer.costs[k], offer.value, None) for offer in offers] + anew,
        key=lambda row: list(_LOOKS).index(row[0]),
    )
    base = alt.Chart(records(("what", "trial", "cost", "val_mAP", "standard_error"), rows))
    present = {name: look for name, look in _LOOKS.items() if any(row[0] == name for row in rows)}
    marks = base.mark_point(filled=True, opacity=1, strokeWidth=1).encode(
        *_looks(present),
        tooltip=tooltip("what", "trial", cost=",", val_mAP=".3f", standard_error=".3f"),
    )
    return [*_errors([row[2:] for row in anew]), marks]


def _what(offer: Offer) -> str:
    """What an offer is called in the legend."""
    if offer.efficient:
        return _FRONT
    return role_name(offer.kind) if offer.kind in ROLE_COLORS else _BEATEN


def _looks(present: dict[str, tuple[str, str, str, int]]) -> tuple[Any, ...]:
    names = list(present)
    fill, stroke, shape, size = (
        alt.Scale(type="ordinal", domain=names, range=[look[k] for look in present.values()])
        for k in range(4)
    )
    return (
        alt.Fill("what:N", scale=fill, sort=names, legend=alt.Legend(columns=2)),
        alt.Stroke("what:N", scale=stroke, sort=names),
        alt.Shape("what:N", scale=shape, sort=names),
        alt.Size("what:N", scale=size, sort=names),
    )


def _errors(means: Sequence[Sequence[Any]]) -> list[alt.Chart]:
    """A standard error to either side of each mean."""
    rows = [(cost, mean - error, mean + error) for cost, mean, error in means]
    rules = alt.Chart(records(("cost", "lowest", "highest"), rows)).mark_rule(strokeWidth=1.4)
    return [rules.encode(alt.Y("lowest:Q"), y2="highest:Q")] if rows else []


def _steps(best: Sequence[Offer], k: int, right: float) -> alt.Chart:
    """The front as what one can have for so much; beyond its last offer nothing is gained."""
    places = [(offer.costs[k], offer.value) for offer in best]
    data = records(("cost", "val_mAP"), [*places, (right, places[-1][1])])
    return alt.Chart(data).mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.2)


def _readable(offers: Sequence[Offer], k: int, costs: Sequence[float], gap: float) -> list[Offer]:
    """Those whose numbers do not lie on one another, from the most accurate down."""
    kept: list[tuple[Offer, float]] = []
    for offer in sorted(offers, key=lambda offer: -offer.value):
        at = _place(offer.costs[k], costs)
        if all(
            at == x or abs(at - x) > _NUMBER_WIDTH or abs(offer.value - o.value) > 0.8 * gap
            for o, x in kept
        ):
            kept.append((offer, at))
    return [offer for offer, _ in kept]


def _numbers(offers: Sequence[Offer], k: int, gap: float) -> alt.Chart:
    """The numbers of trials on that side of their points where no offer can lie; those of one cost
    are moved apart.
    """
    rows: list[tuple[Any, ...]] = []
    for cost in dict.fromkeys(offer.costs[k] for offer in offers):
        there = [offer for offer in offers if offer.costs[k] == cost]
        heights = label_positions([offer.value for offer in there], gap)
        rows += [
            (str(offer.trial), cost, height) for offer, height in zip(there, heights, strict=True)
        ]
    chart = alt.Chart(records(("trial", "cost", "val_mAP"), rows))
    return chart.mark_text(align="right", dx=-7, dy=-7, color=BLUE, fontWeight="bold").encode(
        text="trial:N"
    )


def _scale(costs: Sequence[float]) -> alt.Scale:
    """A log axis where costs differ by much, with room for nothing at all."""
    domain = list(_span(costs))
    if not _logarithmic(costs):
        return alt.Scale(domain=domain, zero=False, nice=False)
    return alt.Scale(type="symlog", constant=_least(costs), domain=domain, nice=False)


def _span(costs: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest cost, and room for marks and numbers."""
    low, high = min(costs), max(costs)
    if _logarithmic(costs):
        return low - 0.5 * _least(costs), 1.3 * high
    room = 0.07 * (high - low) or 1.0
    return low - room, high + room


def _ticks(costs: Sequence[float], title: str) -> alt.Axis:
    """A tick for each cost where they are few; else, on a log axis, one for each power of ten and
    thrice that.
    """
    values: Any = alt.Undefined
    if len(set(costs)) <= _MOST_TICKS:
        values = sorted(set(costs))
    elif _logarithmic(costs):
        powers = range(math.floor(math.log10(_least(costs))), math.ceil(math.log10(max(costs))) + 1)
        values = [0, *(scale * 10**power for power in powers for scale in (1, 3))]
    return alt.Axis(
        title=title,
        values=values,
        format=",.0f",
        tickCount=6,
        labelOverlap="greedy",
        labelFlush=False,
    )


def _place(cost: float, costs: Sequence[float]) -> float:
    """Where a cost lies across the axis, from 0 to 1."""
    scaled = [
        math.log1p(x / _least(costs)) if _logarithmic(costs) else x for x in (*_span(costs), cost)
    ]
    return (scaled[2] - scaled[0]) / (scaled[1] - scaled[0])


def _logarithmic(costs: Sequence[float]) -> bool:
    return max(costs) > 0 and max(costs) >= _LOG_FROM * _least(costs)


def _least(costs: Sequence[float]) -> float:
    """The least cost above nothing."""
    return min(cost for cost in costs if cost > 0)
