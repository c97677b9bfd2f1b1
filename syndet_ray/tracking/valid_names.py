"""Valid names: of trials, and of metrics, parameters and tags as MLflow accepts them."""

from collections.abc import Mapping
from typing import TypeVar

from syndet_ray.escapes import escape
from syndet_ray.runs.results import Trial

_MOST_CHARACTERS = 240  # MLflow takes 250; a number may be added

_FORBIDDEN = "|".join(
    (
        r"[^\w\-. :/]",  # characters that MLflow refuses
        # MLflow makes paths of names, and refuses those that normalizing would change:
        r"^/",  # an absolute path
        r"(?<=/)/",  # "a//b" is "a/b"
        r"/$",  # "a/" is "a"
        r"^\.+(?=/|$)",  # "./b" is "b"
        r"(?<=/)\.+(?=/|$)",  # "a/../b" is "b"
        r"^\.(?=\.)",  # all that begins like a path to the parent folder: "..a"
    )
)
_FORBIDDEN_IN_REGISTRY = r"[./:%\"']"

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
    """Returns a name that MLflow accepts for metrics, parameters and tags.

    It has letters, digits and _-. :/ only, and normalizing it as a path does not change it. Classes
    may be called "a//b" or "..". `escapes.unescape` gives a name back if it is not cut.
    """
    return escape(name, _FORBIDDEN)[:_MOST_CHARACTERS].rstrip("/")


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
    """Returns a name that MLflow accepts for a registered model; `escapes.unescape` reads it back.

    It has no dots, slashes, colons, quotes or percent signs, which other names may have.
    """
    return escape(name, _FORBIDDEN_IN_REGISTRY)[:_MOST_CHARACTERS]
