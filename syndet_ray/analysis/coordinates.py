"""Coordinates: every searched trial as a line across the axes of the searched settings, as plain
values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from syndet_ray.analysis.importance import Importances
from syndet_ray.analysis.varied import Setting, searched_trials, settings
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Choice
from syndet_ray.runs.results import Trial
from syndet_ray.wording import number

MOST_AXES = 8  # besides that of the score: the names of more would overlap
ABSENT = -0.12  # position on an axis that a trial does not have, below the low end
_MIDDLE = 0.5  # position on the axis of scores if all are equal
_SCORE = "validation mAP"
_NOT_SET = "not set"


@dataclass(frozen=True)
class AxisMark:
    """A value written at an axis. position: 0 to 1, or ABSENT."""

    position: float
    text: str


@dataclass(frozen=True, kw_only=True)
class CoordinateAxis:
    """One vertical axis. of_choices: True if its marks are all possible values, not the ends."""

    key: str
    name: str
    marks: tuple[AxisMark, ...]
    of_choices: bool


@dataclass(frozen=True, kw_only=True)
class TrialPath:
    """One trial.

    value      `Trial.score`
    positions  on each axis, 0 to 1 or ABSENT
    texts      its values as texts
    """

    trial: int
    state: str
    value: float
    positions: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """All axes and the lines across them.

    axes      the score's is the last
    lines     the worst trial first
    left_out  number of settings without an axis
    """

    axes: tuple[CoordinateAxis, ...]
    lines: tuple[TrialPath, ...]
    left_out: int


def coordinates(
    sweep: LoadedSweep, trials: Sequence[Trial], important: Importances
) -> Coordinates | None:
    """The most important settings, in the order of the sweep; None if no trial reported or nothing
    was varied.
    """
    ranked = sorted(searched_trials(trials), key=lambda trial: (trial.score or 0, -trial.number))
    varied = settings(sweep)
    kept = sorted(varied, key=lambda setting: important.rank(setting.path))[:MOST_AXES]
    shown = [setting for setting in varied if setting in kept]
    if not ranked or not shown:
        return None
    low, high = ranked[0].score or 0.0, ranked[-1].score or 0.0
    axes = [_axis(setting, ranked) for setting in shown]
    score_axis = CoordinateAxis(
        key="val_mAP", name=_SCORE, marks=_score_marks(low, high), of_choices=False
    )
    return Coordinates(
        axes=(*axes, score_axis),
        lines=tuple(_line(trial, shown, low, high) for trial in ranked),
        left_out=len(varied) - len(shown),
    )


def _score_marks(low: float, high: float) -> tuple[AxisMark, ...]:
    """The ends of the axis of scores; one mark, where the lines are, if all scores are equal."""
    if low == high:
        return (AxisMark(_MIDDLE, number(low)),)
    return AxisMark(0.0, number(low)), AxisMark(1.0, number(high))


def _axis(setting: Setting, trials: Sequence[Trial]) -> CoordinateAxis:
    axis = setting.axis
    values = axis.values if isinstance(axis, Choice) else (axis.low, axis.high)
    marks = [AxisMark(setting.position(value), setting.text(value)) for value in values]
    if any(setting.of(trial) is None for trial in trials):
        marks.append(AxisMark(ABSENT, _NOT_SET))
    return CoordinateAxis(
        key=setting.key,
        name=setting.name,
        marks=tuple(dict.fromkeys(marks)),
        of_choices=setting.is_choice,
    )


def _line(trial: Trial, shown: Sequence[Setting], low: float, high: float) -> TrialPath:
    positions, texts = [], []
    for setting in shown:
        value = setting.of(trial)
        is_set = value is not None
        positions.append(setting.position(value) if is_set else ABSENT)
        texts.append(setting.text(value) if is_set else _NOT_SET)
    score = trial.score or 0.0
    positions.append(_MIDDLE if low == high else (score - low) / (high - low))
    return TrialPath(
        trial=trial.number,
        state=trial.state,
        value=score,
        positions=tuple(positions),
        texts=tuple(texts),
    )
