"""Value: the base of all definitions, and how a broken rule of one is reported."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from syndet_ray.errors import DefinitionError, nearest

# When a field may hold values of several kinds, such as "a number or auto", pydantic adds the name
# of the kind to the path of an error. These names, or their beginnings, are not fields.
_NAMES_OF_KINDS = {
    "constrained-int",
    "constrained-float",
    "constrained-str",
    "int",
    "float",
    "str",
    "bool",
}
_BEGINNINGS_OF_KINDS = ("tuple[", "list[", "dict[", "literal[")


class Value(BaseModel):
    """A frozen, keyword-only definition that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def definition_error(place: object, error: ValidationError) -> DefinitionError:
    """The first broken rule of a pydantic error, in the user's words."""
    broken_rules = error.errors(include_url=False)
    # A misspelt field is also reported as missing: that it does not exist says more.
    first, *others = sorted(broken_rules, key=lambda broken: broken["type"] != "extra_forbidden")
    path = _fields(first["loc"])
    at = f"{place}: {'.'.join(map(str, path))}" if path else str(place)
    match first["type"]:
        case "extra_forbidden":
            siblings = _siblings(error.title, first["loc"])
            return DefinitionError(
                at, "is not a field", do=nearest(str(first["loc"][-1]), siblings)
            )
        case "value_error":
            return DefinitionError(at, str(first["ctx"]["error"]).rstrip("."))
        case "missing":
            return DefinitionError(at, "is missing")
        case "too_short":
            rule = f"must have at least {first['ctx']['min_length']} items"
            return DefinitionError(at, rule, got=first["input"])
    rule = first["msg"].replace("Input should be", "must be")
    for other in others:
        other_path = _fields(other["loc"])
        is_another_kind = path[: len(other_path)] == other_path
        if other["type"] == "literal_error" and is_another_kind:
            rule += f", or {other['ctx']['expected']}"
    return DefinitionError(at, rule, got=first["input"])


def _fields(path: Sequence[int | str]) -> list[int | str]:
    """Fields and positions of an error's path, without the kinds of values that pydantic tried."""
    return [step for step in path if not _is_kind(step)]


def _is_kind(step: int | str) -> bool:
    if isinstance(step, int):
        return False
    return step in _NAMES_OF_KINDS or step.startswith(_BEGINNINGS_OF_KINDS)


def _siblings(title: str, path: Sequence[int | str]) -> list[str]:
    """Field names that are valid in the place of an unknown one.

    title  the model's name, as pydantic reports it
    path   the path of the unknown field
    """
    models = {model.__name__: model for model in _subclasses(Value)}
    model: Any = models[title]
    for step in path[:-1]:
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    # a class writes its kind itself, for JSON
    return [name for name in model.model_fields if name != "kind"]


def _subclasses(base: type[Value]) -> Iterator[type[Value]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
