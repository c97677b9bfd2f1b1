"""Varied: the settings that a search varied, as axes of figures and of computations."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from syndet_ray import wording
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Around, Axis, Choice, Float, Simplex
from syndet_ray.definitions.space import SHARES
from syndet_ray.runs import names
from syndet_ray.runs.results import Trial

_PERCENT = ("mix.synthetic", "mix.switch_at")  # shares, which readers expect in per cent
_LONGEST = 60  # characters of a key: file systems allow 255 for a name, with its ending


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting that a search varied.

    path    dotted, or mix.shares/<source>, the share of a source in all images seen
    suffix  makes its key differ from that of another setting of the sweep
    """

    path: str
    axis: Axis
    suffix: str = ""

    @property
    def name(self) -> str:
        source = self.path.removeprefix(f"{SHARES}/")
        return names.setting_name(self.path) if source == self.path else f"share of {source}"

    @property
    def key(self) -> str:
        """The path as a name for files and columns, unique within a sweep."""
        return re.sub(r"\W+", "_", self.path)[:_LONGEST] + self.suffix

    @property
    def is_choice(self) -> bool:
        return isinstance(self.axis, Choice)

    @property
    def log(self) -> bool:
        return not isinstance(self.axis, Choice) and self.axis.log

    @property
    def percent(self) -> bool:
        """True if its values are shown in per cent."""
        return self.path in _PERCENT or self.path.startswith(f"{SHARES}/")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice as texts, in the order of the space; () for a number."""
        if not isinstance(self.axis, Choice):
            return ()
        return tuple(dict.fromkeys(map(self.text, self.axis.values)))

    def text(self, value: Any) -> str:
        """A value as text."""
        return wording.percent(value) if self.percent else names.setting_value(self.path, value)

    def of(self, trial: Trial) -> Any:
        """The value in a trial of the search; None if the setting did not exist for it."""
        if self.path.startswith(f"{SHARES}/"):
            return trial.recipe.mix.shares[self.path.removeprefix(f"{SHARES}/")]
        return trial.params.get(self.path)

    def position(self, value: Any) -> float:
        """The place of a value between the ends of the setting's range, 0 to 1; on a log scale if
        the search had one.
        """
        if isinstance(self.axis, Choice):
            return self.choices.index(self.text(value)) / max(1, len(self.choices) - 1)
        scaled = math.log if self.log else float
        low, high = scaled(self.axis.low), scaled(self.axis.high)
        return (scaled(value) - low) / (high - low)


def settings(sweep: LoadedSweep) -> tuple[Setting, ...]:
    """The settings that the sweep varies, in its order."""
    varied: list[Setting] = []
    for space in sweep.space:
        for path, parameter in space.items():
            if isinstance(parameter, Simplex):
                for source in parameter.sources:
                    share = Float(low=0, high=1)
                    varied.append(Setting(path=f"{path}/{source}", axis=share))
            else:
                assert not isinstance(parameter, Around), "the sweep of a run has ranges of its own"
                varied.append(Setting(path=path, axis=parameter))
    return _with_unique_keys(varied)


def _with_unique_keys(varied: Sequence[Setting]) -> tuple[Setting, ...]:
    """The settings; one whose key an earlier one has is numbered."""
    kept: dict[str, Setting] = {}
    for setting in varied:
        unique = setting
        number = 1
        while unique.key in kept:
            number += 1
            unique = replace(setting, suffix=f"_{number}")
        kept[unique.key] = unique
    return tuple(kept.values())


def searched_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials of the search that reported, or diverged."""
    return [
        trial
        for trial in trials
        if trial.role == "search" and (trial.value is not None or trial.diverged)
    ]
