"""Valid names: of trials, and of metrics, parameters and tags as MLflow accepts them."""

import re
from collections.abc import Mapping
from typing import TypeVar

from syndet_ray.runs.results import Trial

_MOST_CHARACTERS = 240  # MLflow takes 250; a number may be added

Value = TypeVar("Value")


def trial_name(trial: Trial) -> str:
    """The name "trial-003", with the kind of a control or variant, or with "again 7"."""
    number = f"trial-{trial.number:03d}"
    if trial.role == "search":
        return number
    if trial.role == "confirmation":
        return f"{number} again {trial.of}"
    return f"{number} {trial.kind}"


def safe_name(name: str) -> str:
    """Returns a name that MLflow accepts.

    It has letters, digits and _-. :/ only, and normalizing it as a path does not change it. Classes
    may be called "a//b" or "..".
    """
    safe_parts: list[str] = []
    for part in re.sub(r"[^\w\-. :/]", "_", name).split("/"):
        is_only_dots = not part.strip(".")
        safe_parts.append("_" * max(1, len(part)) if is_only_dots else part)
    return "/".join(safe_parts)[:_MOST_CHARACTERS].rstrip("/")


def safe_names(values: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the values by names that MLflow accepts.

    If two names become the same name, the second one gets a number.
    """
    renamed: dict[str, Value] = {}
    for name, value in values.items():
        safe = safe_name(name)
        unique = safe
        number = 2
        while unique in renamed:
            unique = f"{safe}_{number}"
            number += 1
        renamed[unique] = value
    return renamed


def registered_name(name: str) -> str:
    """Returns a name that MLflow accepts for a registered model.

    It has no dots, slashes, colons, quotes or percent signs, which other names may have.
    """
    return re.sub(r"[./:%\"']", "_", name)
