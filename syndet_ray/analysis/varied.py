"""Varied: the settings that a search varied, each as an axis to draw or to reckon along."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from syndet_ray import wording
from syndet_ray.definitions.parameter import Axis, Choice, Float, Simplex
from syndet_ray.definitions.space import SHARES, SearchSpace
from syndet_ray.definitions.sweep import Sweep
from syndet_ray.runs import names
from syndet_ray.runs.results import Trial

_PERCENT = ("mix.synthetic", "mix.switch_at")
_LONGEST = 60  # characters of a file's name


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting that a search varied.

    path    dotted, or mix.shares/<source>, the share of a source in all images seen
    suffix  tells its key from that of another setting of the sweep
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
        """The path as a name for files and columns, of which no two settings of a sweep have the
        same.
        """
        return re.sub(r"\W+", "_", self.path)[:_LONGEST] + self.suffix

    @property
    def is_choice(self) -> bool:
        return isinstance(self.axis, Choice)

    @property
    def log(self) -> bool:
        return not isinstance(self.axis, Choice) and self.axis.log

    @property
    def percent(self) -> bool:
        """Whether its values are read as per cent."""
        return self.path in _PERCENT or self.path.startswith(f"{SHARES}/")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice, in words, in the order of the space; of a number none."""
        return (
            tuple(dict.fromkeys(map(self.text, self.axis.values)))
            if isinstance(self.axis, Choice)
            else ()
        )

    def text(self, value: Any) -> str:
        """A value in words."""
        return wording.percent(value) if self.percent else names.setting_value(self.path, value)

    def of(self, trial: Trial) -> Any:
        """What a trial of the search had; None where the setting did not exist for it."""
        if self.path.startswith(f"{SHARES}/"):
            return trial.recipe.mix.shares[self.path.removeprefix(f"{SHARES}/")]
        return trial.params.get(self.path)

    def position(self, value: Any) -> float:
        """Where a value lies between the ends of the setting's range, 0 to 1; on a log scale where
        the search had one.
        """
        if isinstance(self.axis, Choice):
            return self.choices.index(self.text(value)) / max(1, len(self.choices) - 1)
        low, high, value = (
            math.log(v) if self.log else float(v) for v in (self.axis.low, self.axis.high, value)
        )
        return (value - low) / (high - low)


def settings(sweep: Sweep) -> tuple[Setting, ...]:
    """What the sweep varies, in its order; nothing of a space that is only named and was never
    looked up.
    """
    found: list[Setting] = []
    for space in sweep.space:
        for path, parameter in space.items() if isinstance(space, SearchSpace) else ():
            if isinstance(parameter, Simplex):
                found += [
                    Setting(path=f"{path}/{source}", axis=Float(low=0, high=1))
                    for source in parameter.sources
                ]
            else:
                found.append(Setting(path=path, axis=parameter))
    return _apart(found)


def _apart(found: Sequence[Setting]) -> tuple[Setting, ...]:
    """The settings, those numbered whose keys another one before them has."""
    kept: dict[str, Setting] = {}
    for setting in found:
        numbered = (replace(setting, suffix="" if k == 1 else f"_{k}") for k in count(1))
        own = next(each for each in numbered if each.key not in kept)
        kept[own.key] = own
    return tuple(kept.values())


def searched(trials: Sequence[Trial]) -> list[Trial]:
    """The trials of the search that reported, or diverged."""
    return [
        trial
        for trial in trials
        if trial.role == "search" and (trial.value is not None or trial.diverged)
    ]
