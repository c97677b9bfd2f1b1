"""Around: ranges around values of the recipe, turned into ranges of their own."""

import math
from typing import Any

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Around, Choice, Float, Int, Parameter
from syndet_ray.definitions.recipe import Recipe, check_value
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.errors import DefinitionError
from syndet_ray.progress import Note

_DIGITS = 6  # of a bound: fewer than arithmetic keeps, far more than any setting can resolve


def is_open(path: str, recipe: Recipe) -> bool:
    """True if the value of a setting is not known before photos are measured."""
    part, field = path.split(".")
    return part == "scene" and recipe.scene.is_measured(field)


def with_ranges(sweep: LoadedSweep, note: Note) -> LoadedSweep:
    """The sweep, which searches ranges of their own instead of those around values of its recipe.

    note  receives each of them, in words

    Raises DefinitionError for a setting around whose value there is no range.
    """
    parameters = dict(sweep.parameters.items())
    around = {path: item for path, item in parameters.items() if isinstance(item, Around)}
    for path, relative in around.items():
        parameters[path] = range_around(path, relative, sweep.recipe)
        value = sweep.recipe.get(path)
        note(f"{path} is searched {_range_words(parameters[path], path, relative, value)}")
    return sweep.replace({"space": (SearchSpace(parameters),)}) if around else sweep


def range_around(path: str, relative: Around, recipe: Recipe) -> Parameter:
    """The range around the value of a recipe, cut to what the setting may be.

    A pair, such as minimum and maximum, is multiplied as a whole, by five factors. Raises
    DefinitionError for a value that has no range of this kind around it.
    """
    value = recipe.get(path)
    if _is_pair(value):
        return _pairs(path, relative, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        rule = "is searched around its value, which must be a number or a pair of numbers"
        raise DefinitionError(path, rule, got=value, do="Give it one, or search a Choice.")
    low, high = _bounds(path, relative, value)
    least, most = _limits(path)
    return _range(path, relative, value, (max(low, least), min(high, most)))


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def _pairs(path: str, relative: Around, pair: tuple[float, float]) -> Choice:
    if relative.by != "factor":
        rule = "is a pair, and can be searched by factors alone"
        raise DefinitionError(path, rule, got=relative.by, do='Write by="factor".')
    factors = (relative.low, math.sqrt(relative.low), 1.0, math.sqrt(relative.high), relative.high)
    scaled = []
    for factor in dict.fromkeys(factors):
        scaled.append((_round(factor * pair[0]), _round(factor * pair[1])))
    return Choice(values=tuple(scaled), when=relative.when)


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


def _limits(path: str) -> tuple[float, float]:
    """The least and the greatest value that a setting may have by its own rule."""
    part, field = path.split(".")
    info = Recipe.model_fields[part].annotation.model_fields[field]  # type: ignore[union-attr]
    least, most = -math.inf, math.inf
    for rule in info.metadata:
        least = getattr(rule, "ge", least)
        most = getattr(rule, "le", most)
    return least, most


def _range_words(parameter: Parameter, path: str, relative: Around, value: Any) -> str:
    if isinstance(parameter, Choice):
        first, last = parameter.values[0], parameter.values[-1]
        return f"from {first} to {last}, around its value {value}"
    words = f"{parameter.words}, around its value {value:g}"
    asked = _bounds(path, relative, value)
    least, most = _limits(path)
    if asked[0] < least or asked[1] > most:
        words += f": {asked[0]:g} to {asked[1]:g} is cut to what it may be"
    return words


def _round(bound: float) -> float:
    return float(f"{bound:.{_DIGITS}g}")
