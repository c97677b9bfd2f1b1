"""Pareto: the figure of what accuracy costs, for a sweep with several goals."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.response import Front, Offer, front
from syndet_ray.report.figures.plot import (
    HEIGHT,
    WIDTH,
    Plot,
    add_title,
    from_zero,
    label_positions,
    records,
    tooltip,
    validation_label,
)
from syndet_ray.report.palette import BLUE, INK, PALE, PAPER, ROLE_COLORS
from syndet_ray.runs.names import COSTS, display_name
from syndet_ray.runs.run import Run

_BEATEN, _FRONT = "beaten at no greater cost", "on the front"
_AGAIN = "trained again: mean ± SE"
# Fill, outline, shape and size of an offer by its name in the legend; the last lie on top.
_LOOKS: dict[str, tuple[str, str, str, int]] = {
    _BEATEN: (PALE, PALE, "circle", 50),
    **{
        display_name(kind): (color, color, "circle", 80)
        for kind, color in ROLE_COLORS.items()
        if kind != "best"
    },
    _FRONT: (BLUE, INK, "circle", 90),
    _AGAIN: (PAPER, INK, "diamond", 70),
}
# the largest cost divided by the smallest, from which a linear axis would crowd the small ones
_LOG_FROM = 8
_MOST_TICKS = 8  # whose numbers have room side by side
_MOST_NUMBERED = 20  # offers: the numbers of more would fill the figure
_NUMBER_GAP, _NUMBER_WIDTH = 0.055, 0.04  # of the numbers of trials, shares of the axes


def pareto(run: Run) -> Plot | None:
    """Accuracy against each cost, one above the other; None for a sweep with one goal."""
    frontier = front(run.trials, run.sweep)
    if frontier is None:
        return None
    views = [_view(frontier, index, run) for index in range(len(frontier.costs))]
    scores = ("val_mAP", "on_front", "confirmed_mean", "standard_error")
    rows = []
    for o in frontier.offers:
        rows.append((o.trial, o.kind, *o.costs, o.value, o.efficient, o.mean, o.error))
    header = ("trial", "kind", *frontier.costs, *scores)
    return Plot(figure=_stack(views, run), header=header, rows=rows)


def _stack(views: Sequence[alt.LayerChart], run: Run) -> Any:
    title = "What accuracy costs"
    if len(views) == 1:
        return add_title(views[0], title, run)
    if run.stand_in:
        title = f"{title} (stand-in)"
    sized = [view.properties(width=WIDTH, height=HEIGHT) for view in views]
    return alt.vconcat(*sized, title=title)


def _view(frontier: Front, index: int, run: Run) -> alt.LayerChart:
    """Every offer at one of its costs: the front in blue, with a line if there is one cost."""
    costs = [offer.costs[index] for offer in frontier.offers]
    heights = from_zero([offer.value for offer in frontier.offers])
    gap = _NUMBER_GAP * heights[1]
    numbered = _readable(frontier.efficient[:_MOST_NUMBERED], index, costs, gap)
    layers = [*_marks(frontier.offers, index), _numbers(numbered, index, gap)]
    if len(frontier.costs) == 1:
        layers.insert(0, _steps(frontier.efficient, index, max(_span(costs))))
    across = alt.X(
        "cost:Q",
        axis=_ticks(costs, COSTS[frontier.costs[index]]),
        scale=_scale(costs),
    )
    up = alt.Y(
        "val_mAP:Q",
        title=validation_label(run),
        scale=alt.Scale(domain=heights),
    )
    return alt.layer(*layers).encode(across, up).interactive(name=f"zoom_{index}")


def _marks(offers: Sequence[Offer], index: int) -> list[alt.Chart]:
    """A mark for each offer, and for the mean of its trainings with other seeds."""
    rows: list[tuple[Any, ...]] = []
    again: list[tuple[Any, ...]] = []
    for offer in offers:
        rows.append((_legend_name(offer), offer.trial, offer.costs[index], offer.value, None))
        if offer.mean is not None and offer.error is not None:
            again.append((_AGAIN, offer.trial, offer.costs[index], offer.mean, offer.error))
    order = list(_LOOKS)
    rows = sorted(rows + again, key=lambda row: order.index(row[0]))
    base = alt.Chart(records(("what", "trial", "cost", "val_mAP", "standard_error"), rows))
    names = {row[0] for row in rows}
    present = {name: look for name, look in _LOOKS.items() if name in names}
    marks = base.mark_point(filled=True, opacity=1, strokeWidth=1).encode(
        *_looks(present),
        tooltip=tooltip("what", "trial", cost=",", val_mAP=".3f", standard_error=".3f"),
    )
    return [*_errors([row[2:] for row in again]), marks]


def _legend_name(offer: Offer) -> str:
    """The name of an offer in the legend."""
    if offer.efficient:
        return _FRONT
    return display_name(offer.kind) if offer.kind in ROLE_COLORS else _BEATEN


def _looks(present: dict[str, tuple[str, str, str, int]]) -> tuple[Any, ...]:
    names = list(present)
    fill, stroke, shape, size = (
        alt.Scale(type="ordinal", domain=names, range=list(looks))
        for looks in zip(*present.values(), strict=True)
    )
    return (
        alt.Fill(
            "what:N",
            scale=fill,
            sort=names,
            legend=alt.Legend(columns=2),
        ),
        alt.Stroke("what:N", scale=stroke, sort=names),
        alt.Shape("what:N", scale=shape, sort=names),
        alt.Size("what:N", scale=size, sort=names),
    )


def _errors(means: Sequence[Sequence[Any]]) -> list[alt.Chart]:
    """A standard error to either side of each mean."""
    if not means:
        return []
    rows = [(cost, mean - error, mean + error) for cost, mean, error in means]
    rules = alt.Chart(records(("cost", "lowest", "highest"), rows)).mark_rule(strokeWidth=1.4)
    return [rules.encode(alt.Y("lowest:Q"), y2="highest:Q")]


def _steps(best: Sequence[Offer], index: int, right: float) -> alt.Chart:
    """The front as the most that a cost buys; beyond its last offer nothing is gained."""
    places = [(offer.costs[index], offer.value) for offer in best]
    data = records(("cost", "val_mAP"), [*places, (right, places[-1][1])])
    return alt.Chart(data).mark_line(
        interpolate="step-after",
        color=BLUE,
        strokeWidth=1.2,
    )


def _readable(
    offers: Sequence[Offer], index: int, costs: Sequence[float], gap: float
) -> list[Offer]:
    """The offers whose numbers do not lie on one another, from the most accurate down."""
    kept: list[tuple[Offer, float]] = []
    for offer in sorted(offers, key=lambda offer: -offer.value):
        place = _place(offer.costs[index], costs)
        for other, taken in kept:
            # Those of one cost are moved apart later.
            is_beside = place != taken and abs(place - taken) <= _NUMBER_WIDTH
            if is_beside and abs(offer.value - other.value) <= 0.8 * gap:
                break
        else:
            kept.append((offer, place))
    return [offer for offer, _ in kept]


def _numbers(offers: Sequence[Offer], index: int, gap: float) -> alt.Chart:
    """The numbers of trials at the upper left of their marks.

    No offer can lie there, as it would beat the front. Numbers of one cost are moved apart.
    """
    rows: list[tuple[Any, ...]] = []
    for cost in dict.fromkeys(offer.costs[index] for offer in offers):
        column = [offer for offer in offers if offer.costs[index] == cost]
        heights = label_positions([offer.value for offer in column], gap, least=0.0)
        for offer, height in zip(column, heights, strict=True):
            rows.append((str(offer.trial), cost, height))
    chart = alt.Chart(records(("trial", "cost", "val_mAP"), rows))
    text = chart.mark_text(
        align="right",
        dx=-7,
        dy=-7,
        color=BLUE,
        fontWeight="bold",
    )
    return text.encode(text="trial:N")


def _scale(costs: Sequence[float]) -> alt.Scale:
    """A log axis if costs differ by much, with room for a cost of 0."""
    domain = list(_span(costs))
    if not _logarithmic(costs):
        return alt.Scale(domain=domain, zero=False, nice=False)
    return alt.Scale(
        type="symlog",
        constant=_least(costs),
        domain=domain,
        nice=False,
    )


def _span(costs: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest cost, and room for marks and numbers."""
    low = min(costs)
    high = max(costs)
    if _logarithmic(costs):
        return low - 0.5 * _least(costs), 1.3 * high
    room = 0.07 * (high - low) or 1.0
    return low - room, high + room


def _ticks(costs: Sequence[float], title: str) -> alt.Axis:
    """A tick for each cost if they are few; else, on a log axis, at 1, 3, 10, 30, ..."""
    values: Any = alt.Undefined
    if len(set(costs)) <= _MOST_TICKS:
        values = sorted(set(costs))
    elif _logarithmic(costs):
        first = math.log10(_least(costs))
        last = math.log10(max(costs))
        values = [0]
        for power in range(math.floor(first), math.ceil(last) + 1):
            values += [10**power, 3 * 10**power]
    return alt.Axis(
        title=title,
        values=values,
        format=",.0f",
        tickCount=6,
        labelOverlap="greedy",
        labelFlush=False,
    )


def _place(cost: float, costs: Sequence[float]) -> float:
    """The place of a cost across the axis, from 0 to 1."""
    low, high = _span(costs)
    if _logarithmic(costs):
        low, high, cost = (math.log1p(end / _least(costs)) for end in (low, high, cost))
    return (cost - low) / (high - low)


def _logarithmic(costs: Sequence[float]) -> bool:
    return max(costs) > 0 and max(costs) >= _LOG_FROM * _least(costs)


def _least(costs: Sequence[float]) -> float:
    """The least cost above 0."""
    return min(cost for cost in costs if cost > 0)
