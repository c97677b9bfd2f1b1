"""Coordinates: every searched trial as a line across the axes of what the search varied, as plain
values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from syndet_ray.analysis.importance import Importances
from syndet_ray.analysis.varied import Setting, searched, settings
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.results import Trial
from syndet_ray.wording import number

MOST_AXES = 8  # beside that of the score
ABSENT = -0.12  # where a line passes an axis that a trial does not have, below its low end
_SCORE = "validation mAP"


@dataclass(frozen=True)
class AxisMark:
    """A value written at an axis. position: 0 to 1, or ABSENT."""

    position: float
    text: str


@dataclass(frozen=True, kw_only=True)
class CoordinateAxis:
    """One axis, upright. of_choices: whether its marks are all the values that there are, not just
    the ends.
    """

    key: str
    name: str
    marks: tuple[AxisMark, ...]
    of_choices: bool


@dataclass(frozen=True, kw_only=True)
class TrialLine:
    """One trial. positions: on each axis, 0 to 1 or ABSENT; texts: its values in words; value:
    `Trial.score`.
    """

    trial: int
    state: str
    value: float
    positions: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """All axes, the score's the last, and the lines across them, the worst trial first. left_out:
    settings without an axis.
    """

    axes: tuple[CoordinateAxis, ...]
    lines: tuple[TrialLine, ...]
    left_out: int


def coordinates(
    sweep: LoadedSweep, trials: Sequence[Trial], important: Importances
) -> Coordinates | None:
    """The most important settings, in the order of the sweep; None where no trial reported or
    nothing was varied.
    """
    found = sorted(searched(trials), key=lambda trial: (trial.score or 0, -trial.number))
    every = settings(sweep)
    kept = sorted(every, key=lambda setting: important.rank(setting.path))[:MOST_AXES]
    shown = [setting for setting in every if setting in kept]
    if not found or not shown:
        return None
    scores = [trial.score or 0.0 for trial in found]
    axes = [_upright(setting, found) for setting in shown]
    lines = tuple(_line(trial, shown, min(scores), max(scores)) for trial in found)
    ends = (AxisMark(0.0, number(min(scores))), AxisMark(1.0, number(max(scores))))
    return Coordinates(
        axes=(*axes, CoordinateAxis(key="val_mAP", name=_SCORE, marks=ends, of_choices=False)),
        lines=lines,
        left_out=len(every) - len(shown),
    )


def _upright(setting: Setting, trials: Sequence[Trial]) -> CoordinateAxis:
    absent = any(setting.of(trial) is None for trial in trials)
    places = setting.axis.values if setting.is_choice else (setting.axis.low, setting.axis.high)  # type: ignore[union-attr]
    marks = [AxisMark(setting.position(value), setting.text(value)) for value in places]
    below = [AxisMark(ABSENT, "not set")] if absent else []
    return CoordinateAxis(
        key=setting.key,
        name=setting.name,
        marks=(*dict.fromkeys(marks), *below),
        of_choices=setting.is_choice,
    )


def _line(trial: Trial, shown: Sequence[Setting], low: float, high: float) -> TrialLine:
    values = [setting.of(trial) for setting in shown]
    pairs = list(zip(shown, values, strict=True))
    positions = [ABSENT if value is None else setting.position(value) for setting, value in pairs]
    score = trial.score or 0.0
    own = 0.5 if low == high else (score - low) / (high - low)
    texts = tuple("not set" if value is None else setting.text(value) for setting, value in pairs)
    return TrialLine(
        trial=trial.number, state=trial.state, value=score, positions=(*positions, own), texts=texts
    )
