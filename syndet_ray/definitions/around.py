"""Around: ranges around values of the recipe, turned into ranges of their own."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_args

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Around, Choice, Float, Int, Parameter
from syndet_ray.definitions.recipe import Recipe, check_value
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.errors import DefinitionError
from syndet_ray.progress import Note

_DIGITS = 6  # of a bound: fewer than arithmetic keeps, far more than any setting can resolve
_LEAST_TILT, _MOST_TILT = "scene.least_tilt_deg", "scene.camera_tilt_deg"
_OTHER_TILT = {_LEAST_TILT: _MOST_TILT, _MOST_TILT: _LEAST_TILT}


def check_around(
    path: str, relative: Around, recipe: Recipe, parameters: Mapping[str, Parameter]
) -> None:
    """Raises DefinitionError for a range that cannot lie around the value of a setting.

    Of a value that is measured when the sweep begins, only its kind is known.

    parameters  all that are searched
    """
    if not recipe.is_measured(path):
        range_around(path, relative, recipe, parameters)
        return
    value = recipe.get(path)
    if _is_pair(value):
        _check_pairs(path, relative)
    elif not _is_number(value) and path != "scene.image_px":  # "auto", once measured a number
        raise _no_number(path, value)
    elif relative.by == "factor" and _limits(path, recipe, parameters)[0] < 0:
        rule = "may be measured below 0, and can be searched by offset alone"
        raise DefinitionError(path, rule, got=relative.by, do='Write by="offset".')
    if path in _OTHER_TILT:
        _check_other_tilt(path, parameters)


def _check_other_tilt(path: str, parameters: Mapping[str, Parameter]) -> None:
    """Raises DefinitionError if the other end of the range of tilts is searched from fixed bounds:
    neither end is measured then.
    """
    other = _OTHER_TILT[path]
    if other in parameters and not isinstance(parameters[other], Around):
        rule = f"is searched around its value, which is not measured where {other} is searched"
        raise DefinitionError(path, rule, do="Search both by Around, or none.")


def searched_values(path: str, sweep: LoadedSweep) -> tuple[Any, ...]:
    """Values that the search may propose for a setting, with the minimum and the maximum.

    Around a value that is not measured yet, there are none.
    """
    parameters = dict(sweep.parameters.items())
    parameter = parameters.get(path)
    if isinstance(parameter, Around) and not sweep.recipe.is_measured(path):
        return range_around(path, parameter, sweep.recipe, parameters).samples()
    return sweep.parameters.samples(path)


def with_ranges(sweep: LoadedSweep, note: Note) -> LoadedSweep:
    """The sweep, which searches ranges of their own instead of those around values of its recipe.

    note  receives each of them, in words

    Raises DefinitionError for a setting around whose value there is no range.
    """
    parameters = dict(sweep.parameters.items())
    around = {path: item for path, item in parameters.items() if isinstance(item, Around)}
    ranges: dict[str, Parameter] = {}
    for path, relative in around.items():
        settled = range_around(path, relative, sweep.recipe, parameters)
        words = _range_words(settled, path, relative, sweep.recipe, parameters)
        note(f"{path} is searched {words}")
        ranges[path] = settled
    return sweep.replace({"space": (SearchSpace(parameters | ranges),)}) if around else sweep


def range_around(
    path: str, relative: Around, recipe: Recipe, parameters: Mapping[str, Parameter]
) -> Float | Int | Choice:
    """The range around the value of a recipe, cut to what the setting may be.

    A pair, such as minimum and maximum, is multiplied as a whole, by five factors; pairs that the
    recipe does not allow are left out. Raises DefinitionError for a value that has no range of this
    kind around it.

    parameters  all that are searched
    """
    value = recipe.get(path)
    if _is_pair(value):
        return _pairs(path, relative, recipe)
    if not _is_number(value):
        raise _no_number(path, value)
    low, high = _bounds(path, relative, value)
    least, most = _limits(path, recipe, parameters)
    return _range(path, relative, value, (max(low, least), min(high, most)))


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _no_number(path: str, value: Any) -> DefinitionError:
    rule = "is searched around its value, which must be a number or a pair of numbers"
    return DefinitionError(path, rule, got=value, do="Give it one, or search a Choice.")


def _check_pairs(path: str, relative: Around) -> None:
    if relative.by != "factor":
        rule = "is a pair, and can be searched by factors alone"
        raise DefinitionError(path, rule, got=relative.by, do='Write by="factor".')


def _pairs(path: str, relative: Around, recipe: Recipe) -> Choice:
    """The pairs that the recipe allows: of objects no larger than the image, for example."""
    _check_pairs(path, relative)
    low, high = recipe.get(path)
    allowed = []
    for factor in _factors(relative):
        pair = (_round(factor * low), _round(factor * high))
        with suppress(DefinitionError):
            recipe.replace({path: pair})
            allowed.append(pair)
    if len(allowed) < 2:
        rule = "has no other pair around its value that its rule allows"
        raise DefinitionError(path, rule, got=(low, high), do="Widen it.")
    return Choice(values=tuple(allowed), when=relative.when)


def _factors(relative: Around) -> list[float]:
    low, high = relative.low, relative.high
    return list(dict.fromkeys((low, math.sqrt(low), 1.0, math.sqrt(high), high)))


def _bounds(path: str, relative: Around, value: float) -> tuple[float, float]:
    """Minimum and maximum before they are cut."""
    if relative.by == "offset":
        return _round(value + relative.low), _round(value + relative.high)
    if value <= 0:
        rule = "is searched by factors of its value, which must be above 0"
        do = 'Write by="offset", or leave it out of the space.'
        raise DefinitionError(path, rule, got=value, do=do)
    return _round(value * relative.low), _round(value * relative.high)


def _range(path: str, relative: Around, value: float, bounds: tuple[float, float]) -> Float | Int:
    """A range on the scale that suits it, of whole numbers if the value is one."""
    is_log, is_whole = relative.by == "factor", isinstance(value, int)
    low, high = (round(bound) for bound in bounds) if is_whole else bounds
    if not low < high:
        rule = f"has no range around its value {value:g} that its rule allows"
        raise DefinitionError(path, rule, got=f"{low:g} to {high:g}", do="Widen it.")
    for bound in (low, high):
        check_value(path, bound)
    if is_whole:
        return Int(low=max(low, 1) if is_log else low, high=high, log=is_log, when=relative.when)
    return Float(low=low, high=high, log=is_log, when=relative.when)


def _limits(path: str, recipe: Recipe, parameters: Mapping[str, Parameter]) -> tuple[float, float]:
    """The least and the greatest value that a setting may have by its own rule.

    No end of the range of tilts passes the other; if both are searched, they meet halfway.
    """
    least, most = -math.inf, math.inf
    for rule in _rules(path):
        least = getattr(rule, "ge", least)
        most = getattr(rule, "le", most)
    if path in _OTHER_TILT:
        other = _OTHER_TILT[path]
        tilt = float(recipe.get(other))
        bound = (tilt + recipe.get(path)) / 2 if other in parameters else tilt
        return (least, bound) if path == _LEAST_TILT else (bound, most)
    return least, most


def _rules(path: str) -> list[Any]:
    """The rules for the value of a setting, also those for its numbers if it may be "auto", too."""
    part, field = path.split(".")
    info = Recipe.model_fields[part].annotation.model_fields[field]  # type: ignore[union-attr]
    rules = list(info.metadata)
    for alternative in get_args(info.annotation):
        for annotation in getattr(alternative, "__metadata__", ()):
            rules += annotation.metadata
    return rules


def _range_words(
    parameter: Float | Int | Choice,
    path: str,
    relative: Around,
    recipe: Recipe,
    parameters: Mapping[str, Parameter],
) -> str:
    value = recipe.get(path)
    if isinstance(parameter, Choice):
        words = f"from {parameter.values[0]} to {parameter.values[-1]}, around its value {value}"
        pairs = len(_factors(relative))
        left_out = pairs - len(parameter.values)
        if left_out:
            words += f"; a rule forbids {left_out} of {pairs} pairs"
        return words
    words = f"{parameter.words}, around its value {value:g}"
    asked = _bounds(path, relative, value)
    least, most = _limits(path, recipe, parameters)
    if asked[0] < least or asked[1] > most:
        words += f": {asked[0]:g} to {asked[1]:g} is cut to what it may be"
    return words


def _round(bound: float) -> float:
    return float(f"{bound:.{_DIGITS}g}")
