"""Names: of trials in MLflow and TensorBoard, and of metrics, parameters and tags in MLflow, which
does not take every name that a user may give.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from syndet_ray.runs.results import Trial

_MOST_CHARACTERS = 240  # MLflow takes 250; a number may be added

Value = TypeVar("Value")


def trial_name(trial: Trial) -> str:
    """ "trial-003", with the kind of a control or variant after it, or "again 7" of a confirmation."""
    number = f"trial-{trial.number:03d}"
    if trial.role == "search":
        return number
    if trial.role == "confirmation":
        return f"{number} again {trial.of}"
    return f"{number} {trial.kind}"


def safe_name(name: str) -> str:
    """A name that MLflow takes: letters, digits and _-. :/, and as a path of files no other name
    than it is.

    Classes may be called "a//b" or "..".
    """
    parts = re.sub(r"[^\w\-. :/]", "_", name).split("/")
    named = [part if part.strip(".") else "_" * max(1, len(part)) for part in parts]
    return "/".join(named)[:_MOST_CHARACTERS].rstrip("/")


def safe_names(values: Mapping[str, Value]) -> dict[str, Value]:
    """Values by names that MLflow takes.

    Of two names that would become one, the second gets a number.
    """
    named: dict[str, Value] = {}
    for name, value in values.items():
        safe = unique = safe_name(name)
        number = 2
        while unique in named:
            unique, number = f"{safe}_{number}", number + 1
        named[unique] = value
    return named


def registered_name(name: str) -> str:
    """A name for a registered model, which may hold less than others: no dots, slashes, colons,
    quotes or percent signs.
    """
    return re.sub(r"[./:%\"']", "_", name)
