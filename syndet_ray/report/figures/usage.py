"""Usage: the figure of how many trials trained over time, against how many could have."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from syndet_ray.analysis.usage import Step, usage
from syndet_ray.report.figures.plot import Plot, add_title, colors, records
from syndet_ray.report.palette import INK, SKY
from syndet_ray.runs.run import Run

_TRAINED, _COULD = "trials that trained", "trials that could have"
_HUES = {_TRAINED: SKY, _COULD: INK}
_HEADER = ("start_h", "end_h", "could_have_trained", "trained")
_HEIGHT = 200
_MOST_STEPS = 1000  # more do not fit beside one another: their means are plotted
_MEANS = 500
_MOST_TICKS = 6
# units of the time axis, and from how many hours on each is used
_UNITS = (("hours", 1, 2.0), ("minutes", 60, 2 / 60), ("seconds", 3600, 0.0))


def trials_at_once(run: Run) -> Plot | None:
    """The trials that trained as an area, and those that could have as a line; None for a run whose
    ledger does not have its nodes.
    """
    numbers = usage(run)
    if numbers is None or not numbers.steps:
        return None
    rows = [(step.start_h, step.end_h, step.slots, step.training) for step in numbers.steps]
    end = numbers.steps[-1].end_h
    name, factor = next((name, factor) for name, factor, least in _UNITS if end >= least)
    title = f"{name} since the run began"
    axes = (
        alt.X("time:Q", title=title, scale=alt.Scale(domain=[0, end * factor], nice=False)),
        alt.Y("trials:Q", title="trials", axis=_whole_ticks(numbers.steps)),
    )
    chart = alt.layer(*_layers(_points(numbers.steps, factor))).encode(*axes)
    figure = add_title(chart.interactive(name="zoom"), "Trials at once", run, height=_HEIGHT)
    return Plot(figure=figure, header=_HEADER, rows=rows)


def _whole_ticks(steps: Sequence[Step]) -> alt.Axis:
    """A tick for each number of trials, or for every second, third, ... if they are many."""
    most = max(max(step.slots, step.training) for step in steps)
    return alt.Axis(values=list(range(0, most + 1, 1 + most // _MOST_TICKS)), format=",d")


def _layers(points: Sequence[tuple[float, float, float]]) -> list[alt.Chart]:
    header = ("time", "trials", "what")
    trained = [(time, training, _TRAINED) for time, _, training in points]
    could = [(time, most, _COULD) for time, most, _ in points]
    area = alt.Chart(records(header, trained)).mark_area(interpolate="step-after", opacity=1)
    line = alt.Chart(records(header, could)).mark_line(interpolate="step-after", strokeWidth=2)
    return [area.encode(colors(_HUES)), line.encode(colors(_HUES))]


def _points(steps: Sequence[Step], factor: float) -> list[tuple[float, float, float]]:
    """Times, trials that could train and that trained from each on; the last time is the end."""
    if len(steps) > _MOST_STEPS:
        return _means(steps, factor)
    last = steps[-1]
    points: list[tuple[float, float, float]] = [
        (step.start_h * factor, step.slots, step.training) for step in steps
    ]
    return [*points, (last.end_h * factor, last.slots, last.training)]


def _means(steps: Sequence[Step], factor: float) -> list[tuple[float, float, float]]:
    """The same for equal parts of the time: the mean of each."""
    edges = np.linspace(0.0, steps[-1].end_h, _MEANS + 1)
    lengths = np.array([step.end_h - step.start_h for step in steps])
    ends = np.concatenate([[0.0], np.cumsum(lengths)])

    def means(counts: Sequence[int]) -> Any:
        totals = np.concatenate([[0.0], np.cumsum(np.array(counts) * lengths)])
        parts = np.diff(np.interp(edges, ends, totals)) / np.diff(edges)
        return [*parts.tolist(), parts[-1].item()]

    slots = means([step.slots for step in steps])
    training = means([step.training for step in steps])
    return list(zip((edges * factor).tolist(), slots, training, strict=True))
