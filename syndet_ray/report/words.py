"""Words: what trials, roles and scores are called wherever a reader meets them."""

import math
from typing import Any

from syndet_ray.results import TestScores, Trial

_ROLES = {"best": "best recipe", "real_only": "real only", "synthetic_only": "synthetic only"}
_SETTINGS = {"mix.synthetic": "synthetic share", "scene.objects": "objects per scene"}
_TOLD_AS_DATA = tuple(_SETTINGS)
STAND_IN = "Stand-in images took the place of photos: this says nothing about real photos."


def role_name(role: str) -> str:
    return _ROLES.get(role, role.replace("_", " "))


def where(test: TestScores) -> str:
    """What the test set is, in words that never let a stand-in pass for photos."""
    noun = "stand-in test image" if test.stand_in else "real test photo"
    return f"{test.images} {noun}{'' if test.images == 1 else 's'}"


def setting_name(path: str) -> str:
    """A dotted setting of a recipe, in words: training.learning_rate is "learning rate"."""
    return _SETTINGS.get(path, path.rsplit(".", 1)[-1].replace("_", " "))


def setting_value(path: str, value: Any) -> str:
    if value is None:
        return "n/a"
    if path == "mix.synthetic":
        return percent(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def recipe_words(trial: Trial) -> str:
    """What a trial trained on, and what else its search varied.

    "40 % synthetic at 10 objects per scene, learning rate 0.002".
    """
    varied = [
        f"{setting_name(path)} {setting_value(path, value)}"
        for path, value in trial.params.items()
        if path not in _TOLD_AS_DATA
    ]
    return ", ".join([_data_words(trial), *varied])


def percent(share: float) -> str:
    """40 %. What is not nothing is never shown as 0 %, and what is not all never as 100 %."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1 %"
    return "> 99 %" if whole == 100 and share < 1 else f"{whole} %"


def number(value: float | None, digits: int = 3) -> str:
    """A score with so many decimals; "n/a" for none, for NaN and for COCO's -1 (no such object in the set)."""
    return "n/a" if value is None or math.isnan(value) or value < 0 else f"{value:.{digits}f}"


def decimals(score: float) -> int:
    """Two are what a small test set can tell; a score below .1 needs the third to say anything."""
    return 2 if score >= 0.1 else 3


def duration(seconds: float) -> str:
    """41 s, 12 min 5 s or 3 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _data_words(trial: Trial) -> str:
    share = trial.recipe["mix.synthetic"]
    if share == 0:
        return "real images only"
    data = "synthetic images only" if share == 1 else f"{percent(share)} synthetic"
    return f"{data} at {trial.recipe['scene.objects']} objects per scene"
