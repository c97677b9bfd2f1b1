"""Pareto: the figure of what accuracy costs, where a sweep has several goals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from syndet_ray.report.drawing import (
    BLUE,
    DIM,
    INK,
    ROLE_COLORS,
    Drawing,
    legend_below,
    spread,
    validation_label,
    zero_based,
)
from syndet_ray.report.response import Front, Offer, front
from syndet_ray.report.tables import is_stand_in
from syndet_ray.report.words import COSTS, role_name
from syndet_ray.results import RunFolder

_LOG_FROM = 8  # the largest cost in smallest ones, from which a linear axis would crowd the small ones
_MOST_TICKS = 8
_MOST_NUMBERED = 20


def pareto(folder: RunFolder) -> Drawing | None:
    """Accuracy against each cost, one above the other; None for a sweep with one goal."""
    found = front(folder.trials(), folder.sweep)
    if found is None:
        return None
    figure = Figure(figsize=(6.2, 0.8 + 3.7 * len(found.costs)), layout="constrained")
    for k, name in enumerate(found.costs):
        axes = figure.add_subplot(len(found.costs), 1, k + 1)
        axes.set(xlabel=COSTS[name], ylabel=validation_label(folder))
        _draw_offers(axes, found, k)
    figure.axes[0].set_title(f"What accuracy costs{' (stand-in)' if is_stand_in(folder) else ''}")
    legend_below(figure.axes[0], columns=2)
    header = ("trial", "kind", *found.costs, "val_mAP", "on_front", "confirmed_mean", "standard_error")
    rows = [(o.trial, o.kind, *o.costs, o.value, o.efficient, o.mean, o.error) for o in found.offers]
    return Drawing(figure, header, rows)


def _draw_offers(axes: Axes, found: Front, k: int) -> None:
    """Every offer at its cost number k: the front in blue, joined where it is one line, all else dim."""
    rest = [offer for offer in found.offers if not offer.efficient]
    axes.scatter(
        *_places(rest, k), s=36, color=DIM, alpha=0.55, linewidths=0, zorder=2, label="beaten at no greater cost"
    )
    for offer in rest:
        if offer.kind in ROLE_COLORS:
            axes.scatter(
                *_places([offer], k), s=60, color=ROLE_COLORS[offer.kind], zorder=3, label=role_name(offer.kind)
            )
    best = found.efficient
    axes.scatter(*_places(best, k), s=70, color=BLUE, edgecolors=INK, linewidths=0.7, zorder=4, label="on the front")
    _scale(axes, [offer.costs[k] for offer in found.offers])
    zero_based(axes, [offer.value for offer in found.offers])
    if len(found.costs) == 1:
        costs, values = _places(best, k)
        axes.step(
            [*costs, axes.get_xlim()[1]], [*values, values[-1]], where="post", color=BLUE, linewidth=1.2, zorder=1
        )
    _name(axes, best[:_MOST_NUMBERED], k)
    _draw_means(axes, found.offers, k)


def _name(axes: Axes, offers: Sequence[Offer], k: int) -> None:
    """The numbers of trials beside their points; those of one cost are moved apart."""
    for cost in {offer.costs[k] for offer in offers}:
        there = [offer for offer in offers if offer.costs[k] == cost]
        heights = spread([offer.value for offer in there], 0.055 * axes.get_ylim()[1])
        for offer, height in zip(there, heights, strict=True):
            axes.annotate(
                str(offer.trial), (cost, height), xytext=(8, 0), textcoords="offset points", va="center",
                fontsize=10, fontweight="bold", color=BLUE,
            )  # fmt: skip


def _draw_means(axes: Axes, offers: Sequence[Offer], k: int) -> None:
    """What trainings from other seeds made of the offers that were confirmed."""
    found = [(o.costs[k], o.mean, o.error) for o in offers if o.mean is not None and o.error is not None]
    if found:
        costs, means, errors = np.array(found).T
        axes.errorbar(
            costs, means, errors, fmt="D", markersize=5, markerfacecolor="white", color=INK, linewidth=1.2, capsize=3,
            zorder=5, label="trained anew: mean ± SE",
        )  # fmt: skip


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """A log axis where costs differ by much, with room for nothing at all; a tick for each where they are few."""
    positive = [cost for cost in costs if cost > 0]
    if positive and max(positive) >= _LOG_FROM * min(positive):
        axes.set_xscale("symlog", linthresh=min(positive), linscale=0.3)
        axes.xaxis.set_minor_locator(NullLocator())
    if len(set(costs)) <= _MOST_TICKS:
        axes.set_xticks(sorted(set(costs)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    low, high = min(costs), max(costs)
    room = 0.05 * (high - low) or 1.0
    logarithmic = axes.get_xscale() != "linear"
    axes.set_xlim(low - (0.3 * min(positive) if logarithmic else room), high * 1.25 if logarithmic else high + room)


def _places(offers: Sequence[Offer], k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([offer.costs[k] for offer in offers]), np.array([offer.value for offer in offers])
