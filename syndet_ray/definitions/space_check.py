"""SpaceCheck: finds mistakes of a search space, with the recipe that it varies."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from syndet_ray.definitions.around import check_around
from syndet_ray.definitions.effect import Facts, NoEffect, deciders, no_effect, nothing_known
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Around, Axis, Choice, Float, Int, Parameter, Simplex
from syndet_ray.definitions.recipe import Recipe, field_paths
from syndet_ray.definitions.space import DIVISION, SHARES, Dimension, SearchSpace, axes_of, cross
from syndet_ray.errors import DefinitionError, nearest


def check_space(space: SearchSpace, recipe: Recipe) -> None:
    """Raises DefinitionError unless conditions, sources and values fit each other and the recipe.

    Also raises it for a parameter that trials would vary without effect, see `check_effects`.
    """
    parameters = dict(space.items())
    for path, parameter in parameters.items():
        if isinstance(parameter, Around):
            check_around(path, parameter, recipe, parameters)
        for condition, values in parameter.when.items():
            _check_condition(f"{path}: when", condition, values, parameters)
    for path, parameter in parameters.items():
        conditions = space.conditions_met(path, recipe)
        for value in parameter.samples():
            recipe.replace({**conditions, path: value})
    shares = parameters.get(SHARES)
    if isinstance(shares, Simplex):
        space.check_shares()
        _check_sources(shares, recipe)
    check_effects(space, recipe)


def check_effects(space: SearchSpace, recipe: Recipe, facts: Facts = nothing_known) -> None:
    """Raises DefinitionError for a parameter that trials would vary without effect.

    facts  about the scenes that trials may render, see `effect.no_effect`
    """
    for path, parameter in space.items():
        _check_effect(space, path, _setting(path, parameter), recipe, facts)


def effects_of_numbers(space: SearchSpace, recipe: Recipe) -> dict[str, list[str]]:
    """Parameters that have no effect at some numbers of other parameters, by the reason.

    The space may vary them, such as the hue of distractors, of which there are 0 to 4. Not listed
    is what has no effect only because a source has no images: that is everything in its images.
    """
    idle: dict[str, list[str]] = defaultdict(list)
    for path, parameter in space.items():
        setting = _setting(path, parameter)
        reasons = dict[str, None]()  # in order, each once
        for points in _points_by_choice(space, path, deciders(setting)):
            for reason in _reasons(space, setting, points, recipe, facts=nothing_known):
                if reason is not None and reason.because_of.isdisjoint(DIVISION):
                    reasons[reason.where] = None
        for where in reasons:
            idle[where].append(path)
    return dict(idle)


def _check_condition(
    place: str, condition: str, values: Sequence[Any], parameters: Mapping[str, Parameter]
) -> None:
    parameter = parameters.get(condition)
    if parameter is None:
        rule = f"{condition} is not varied by this sweep, so it cannot be a condition"
        do = nearest(condition, parameters)
        if condition in field_paths():
            do = "Set it in the recipe, and leave this condition out."
        raise DefinitionError(place, rule, do=do)
    if isinstance(parameter, Simplex):
        rule = f"{condition} cannot be a condition: it divides images, and has no values to name"
        do = "Name another setting, or leave this condition out."
        raise DefinitionError(place, rule, do=do)
    for value in values:
        if not parameter.holds(value):
            rule = f"{condition} must be able to take the value"
            raise DefinitionError(place, rule, got=value, do=_possible(parameter, value))


def _possible(parameter: Axis | Around, value: Any) -> str:
    """A hint at the values of a parameter, for a value that it cannot take."""
    samples = parameter.samples()
    names = [name for name in samples if isinstance(name, str)]
    if isinstance(value, str) and len(names) == len(samples):
        return nearest(value, names)
    return f"It is {parameter.words} here."


def _check_sources(shares: Simplex, recipe: Recipe) -> None:
    sources = {REAL, *recipe.mix.sources}
    for source in shares.sources:
        if source not in sources:
            rule = f"{source!r} is no source of the recipe's mix"
            raise DefinitionError(f"space: {SHARES}", rule, do=nearest(source, sources))


def _check_effect(
    space: SearchSpace, path: str, setting: str, recipe: Recipe, facts: Facts
) -> None:
    """Raises DefinitionError if no value of a parameter has an effect with some choice of others.

    Along a range, some value may leave it without effect, such as a share of 0: no `when` could
    name that.
    """
    others = deciders(setting)
    if not others:
        return
    groups = _points_by_choice(space, path, others)
    reasons = [_shared_reason(space, setting, points, recipe, facts) for points in groups]
    idle = [reason for reason in reasons if reason is not None]
    if idle:
        rule = f"is searched, and {idle[0].words()}"
        acts_elsewhere = len(idle) < len(groups)
        choices = _choices_of(space, idle[0]) if acts_elsewhere else []
        raise DefinitionError(path, rule, do=_do_about_effect(path, choices))


def _do_about_effect(path: str, choices: Sequence[str]) -> str:
    """A hint for a parameter without effect. choices: settings that its `when` may name."""
    if not choices:
        return f"Change that in the recipe, or leave {path} out of the space."
    values = f"the values of {' or '.join(choices)} under which it acts"
    return f"Name in its `when` {values}, or leave it out of the space."


def _choices_of(space: SearchSpace, reason: NoEffect) -> list[str]:
    """The choices of a space that leave a parameter without effect: a `when` can name values."""
    parameters = dict(space.items())
    return sorted(path for path in reason.because_of if isinstance(parameters.get(path), Choice))


def _shared_reason(
    space: SearchSpace,
    setting: str,
    points: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    facts: Facts,
) -> NoEffect | None:
    """The reason at the first point why a setting has no effect; None if it has one at any."""
    first = None
    for reason in _reasons(space, setting, points, recipe, facts=facts):
        if reason is None:
            return None
        if first is None:
            first = reason
    return first


def _reasons(
    space: SearchSpace,
    setting: str,
    points: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    *,
    facts: Facts,
) -> Iterator[NoEffect | None]:
    """The reason why a setting has no effect, at each point; None if it has one.

    Points that make no valid recipe are skipped.
    """
    for point in points:
        try:
            changed = recipe.replace(space.changes(point))
        except DefinitionError:
            continue
        yield no_effect(setting, changed, facts)


def _points_by_choice(
    space: SearchSpace, path: str, others: Collection[str]
) -> list[list[dict[str, Any]]]:
    """Points at which a parameter exists, grouped by the choices of the other parameters.

    Points of a group differ only along ranges, or in the parameter itself. Of a range there are a
    few values. Only settings in `others`, and conditions, are varied.
    """
    parameters = dict(space.items())
    decisive = [other for other in parameters if not _varies(other).isdisjoint(others)]
    related = space.with_conditions([path, *decisive])
    points: list[dict[str, Any]] = [{}]
    for dimension in space.dimensions():
        if dimension.path in related:
            points = cross(points, dimension, _examples(dimension, parameters))
    axes = axes_of(path, parameters[path])
    groups = defaultdict(list)
    for point in points:
        if axes.keys() <= point.keys():
            choices = [
                (name, value)
                for name, value in point.items()
                if name != path and isinstance(parameters.get(name), Choice)
            ]
            groups[repr(choices)].append(point)
    return list(groups.values())


def _examples(dimension: Dimension, parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Points of one parameter.

    Of a choice all values; of a range its middle, its ends, and the values that conditions name; of
    a range around a value none. Of a division among sources the even one, and those with images of
    one source only.
    """
    parameter = dimension.parameter
    if isinstance(parameter, Choice):
        return [{dimension.path: value} for value in parameter.values]
    if isinstance(parameter, Around):  # its values are looked at when they are known
        return []
    if isinstance(parameter, Simplex):
        points = [parameter.at(shares) for shares in _divisions(parameter.sources)]
        return [dict(zip(dimension.axes, point, strict=True)) for point in points]
    values = [_middle(parameter), parameter.high]
    for other in parameters.values():
        values += other.when.get(dimension.path, ())
    return [{dimension.path: value} for value in dict.fromkeys([*values, parameter.low])]


def _divisions(sources: Sequence[str]) -> list[dict[str, float]]:
    """Even shares of all sources, then all images from one source, for each."""
    divisions = [dict.fromkeys(sources, 1 / len(sources))]
    for source in sources:
        divisions.append(dict.fromkeys(sources, 0.0) | {source: 1.0})
    return divisions


def _middle(parameter: Float | Int) -> float:
    middle = (parameter.low + parameter.high) / 2
    return math.floor(middle) if isinstance(parameter, Int) else middle


def _varies(path: str) -> set[str]:
    """The settings of a recipe that a parameter varies."""
    return set(DIVISION) if path == SHARES else {path}


def _setting(path: str, parameter: Parameter) -> str:
    """The setting of a recipe that decides if a parameter has an effect."""
    if isinstance(parameter, Simplex):
        return "mix.synthetic" if REAL in parameter.sources else "mix.parts"
    return path
