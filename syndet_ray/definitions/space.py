"""SearchSpace: the settings of a recipe that a sweep varies, their bounds and conditions.

A sampler knows nothing of recipes: it moves a point along `axes`, and each is a plain number or
choice. `changes` turns a point into changes of a recipe, `point` a recipe into a point.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import RootModel, model_validator

from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Around, Axis, Choice, Float, Parameter, Simplex
from syndet_ray.definitions.recipe import Recipe, check_path, check_value, field_paths
from syndet_ray.errors import DefinitionError, nearest

SHARES = "mix.shares"  # varied by a Simplex: mix.synthetic and mix.parts at once
DIVISION = ("mix.synthetic", "mix.parts")  # settings that divide the images among the sources
_UNIT = Float(low=0.0, high=1.0)  # an axis of a Simplex
# an axis of a range whose bounds are known when its sweep begins
_ANY_NUMBER = Float(low=-sys.float_info.max, high=sys.float_info.max)
_SUM_ROUNDING = 1e-9  # by which computed shares may miss 1


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A parameter in its space.

    path       the dotted setting that it varies
    parameter  the parameter
    axes       its axes by name: one, but for a Simplex
    """

    path: str
    parameter: Parameter
    axes: dict[str, Axis]

    def exists(self, point: Mapping[str, Any]) -> bool:
        """True when the point meets all conditions of the parameter."""
        conditions = self.parameter.when.items()
        return all(path in point and point[path] in values for path, values in conditions)


class SearchSpace(RootModel[dict[str, Parameter]]):
    """Dotted settings of a recipe and the values that each may take:
    `SearchSpace({"mix.synthetic": Float(low=0, high=1)})`.

    A parameter with `when` exists only if other parameters of the space have certain values;
    otherwise the value of the recipe is used.
    """

    model_config = {"frozen": True}

    @model_validator(mode="after")
    def _fits_the_recipe(self) -> "SearchSpace":
        try:
            self.dimensions()
            for path, parameter in self.root.items():
                _check_parameter(path, parameter)
        except DefinitionError as error:
            raise ValueError(str(error)) from None
        return self

    def items(self) -> Iterator[tuple[str, Parameter]]:
        yield from self.root.items()

    def __len__(self) -> int:
        return len(self.root)

    def suggest(self, choose: Callable[[str, Axis], Any]) -> dict[str, Any]:
        """A point, axis by axis.

        choose  is called with the name of each axis that exists, given the values chosen before,
                and the axis; returns the value
        """
        point: dict[str, Any] = {}
        for dimension in self.dimensions():
            if dimension.exists(point):
                point |= {name: choose(name, axis) for name, axis in dimension.axes.items()}
        return point

    def samples(self, path: str) -> tuple[Any, ...]:
        """Values that a dotted setting may get, with the ends of ranges; () if it is not varied."""
        return self.root[path].samples() if path in self.root else ()

    def settings(self) -> list[str]:
        """The settings of a recipe that are varied."""
        settings: list[str] = []
        for path in self.root:
            settings += DIVISION if path == SHARES else [path]
        return settings

    def axes(self) -> dict[str, Axis]:
        """Every axis by its name, also those that exist only under conditions."""
        axes: dict[str, Axis] = {}
        for dimension in self.dimensions():
            axes |= dimension.axes
        return axes

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The changes of a recipe that a point stands for: dotted settings and their values."""
        changes: dict[str, Any] = {}
        for dimension in self.dimensions():
            if dimension.axes.keys() <= point.keys():
                values = [point[name] for name in dimension.axes]
                if isinstance(dimension.parameter, Simplex):
                    changes |= _divide(dimension.parameter.shares(values))
                else:
                    changes[dimension.path] = values[0]
        return changes

    def point(self, recipe: Recipe) -> dict[str, Any] | None:
        """The point of a recipe; None if the recipe lies outside the space."""
        try:
            return self.locate(recipe)
        except DefinitionError:
            return None

    def locate(self, recipe: Recipe) -> dict[str, Any]:
        """The point of a recipe.

        Raises DefinitionError, with the parameter and the value, for a recipe outside the space.
        """
        point: dict[str, Any] = {}
        for dimension in self.dimensions():
            if dimension.exists(point):
                point |= _coordinates(dimension, recipe)
        return point

    def grid(self) -> list[dict[str, Any]]:
        """Every point, in order.

        Raises DefinitionError for a parameter that has no finite number of values.
        """
        points: list[dict[str, Any]] = [{}]
        for dimension in self.dimensions():
            values = (
                None if isinstance(dimension.parameter, Simplex) else dimension.parameter.grid()
            )
            if values is None:
                rule = "must have finitely many values for a grid"
                raise DefinitionError(f"space: {dimension.path}", rule, do="Use Choice or a step.")
            points = cross(points, dimension, [{dimension.path: value} for value in values])
        return points

    @staticmethod
    def union(spaces: Mapping[str, "SearchSpace"]) -> "SearchSpace":
        """One space of several named ones. Raises DefinitionError if two vary the same setting."""
        owners: dict[str, str] = {}
        parameters: dict[str, Parameter] = {}
        for name, space in spaces.items():
            for path, parameter in space.items():
                if path in owners:
                    rule = f"{path} is already varied by {owners[path]}"
                    raise DefinitionError(f"search space {name}", rule, do="Name one.")
                owners[path] = name
                parameters[path] = parameter
        merged = SearchSpace(parameters)
        merged.check_shares()
        return merged

    def check_shares(self) -> None:
        """Raises DefinitionError if a setting that the Simplex varies is varied by itself too."""
        for path in sorted(DIVISION):
            if SHARES in self.root and path in self.root:
                rule = f"{path} is varied by {SHARES} already"
                raise DefinitionError("space", rule, do="Leave one out.")

    def dimensions(self) -> list[Dimension]:
        """The parameters, each after all that its conditions name.

        Raises DefinitionError if there is no such order.
        """
        waiting, dimensions = dict(self.root), list[Dimension]()
        while waiting:
            ready = {
                path: parameter
                for path, parameter in waiting.items()
                if not parameter.when.keys() & waiting.keys()
            }
            if not ready:
                rule = f"conditions of {sorted(waiting)} wait for one another"
                raise DefinitionError("space", rule, do="Drop one.")
            for path, parameter in ready.items():
                del waiting[path]
                axes = axes_of(path, parameter)
                dimensions.append(Dimension(path=path, parameter=parameter, axes=axes))
        return dimensions

    def conditions_met(self, path: str, recipe: Recipe) -> dict[str, Any]:
        """Values of other parameters under which one exists, as near to the recipe as possible.

        Raises DefinitionError if its conditions, and those of the parameters that they name, are
        never met together.
        """
        related = self.with_conditions([path])
        points: list[dict[str, Any]] = [{}]
        for dimension in self.dimensions():
            if dimension.path in related - {path}:
                values = self._values_asked_for(dimension, related, recipe)
                points = cross(points, dimension, [{dimension.path: value} for value in values])
        conditional = Dimension(path=path, parameter=self.root[path], axes={})
        met = [point for point in points if conditional.exists(point)]
        if not met:
            rule = "its conditions are never met together"
            raise DefinitionError(f"{path}: when", rule, do="Drop one, or give it more values.")
        return min(met, key=lambda point: _changed_settings(point, recipe))

    def _values_asked_for(
        self, dimension: Dimension, related: set[str], recipe: Recipe
    ) -> list[Any]:
        """The recipe's value of a parameter, if it may have it, and those that conditions name."""
        assert not isinstance(dimension.parameter, Simplex), "no condition can name it"
        current = recipe.get(dimension.path)
        values = [current] if dimension.parameter.holds(current) else []
        for other in related:
            values += self.root[other].when.get(dimension.path, ())
        return list(dict.fromkeys(values))

    def with_conditions(self, paths: Sequence[str]) -> set[str]:
        """Parameters, and all that their conditions name, directly or not."""
        related = set(paths)
        for path in paths:
            related |= self.with_conditions([*self.root[path].when])
        return related


def cross(
    points: Sequence[Mapping[str, Any]], dimension: Dimension, examples: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every point with each example of one more parameter.

    A point at which the parameter does not exist stays as it is.
    """
    products: list[dict[str, Any]] = []
    for point in points:
        additions = examples if dimension.exists(point) else [{}]
        products += [{**point, **addition} for addition in additions]
    return products


def axes_of(path: str, parameter: Parameter) -> dict[str, Axis]:
    """The axes of a parameter by name."""
    if isinstance(parameter, Simplex):
        return {f"{path}/{source}": _UNIT for source in parameter.sources[:-1]}
    return {path: _ANY_NUMBER if isinstance(parameter, Around) else parameter}


def _check_parameter(path: str, parameter: Parameter) -> None:
    """Raises ValueError or DefinitionError unless recipes have the setting, and all its values."""
    if isinstance(parameter, Simplex) != (path == SHARES):
        rule = f"shares of sources are varied as {SHARES!r}, by a Simplex, and by nothing else"
        raise ValueError(f"{path}: {rule}")
    settings = [*field_paths(), SHARES]
    for condition in parameter.when:
        if condition not in settings:
            rule = f"{condition!r} is not a setting of a recipe. {nearest(condition, settings)}"
            raise ValueError(f"{path}: when: {rule}")
    if path != SHARES:
        check_path(path)
    if path == "scene.match":
        rule = "cannot be searched: photos are measured once, before the search"
        raise DefinitionError(path, rule, do="Compare variants of it.")
    for value in parameter.samples():
        check_value(path, value)


def _coordinates(dimension: Dimension, recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe along the axes of a parameter.

    Raises DefinitionError for a value that the parameter cannot have.
    """
    parameter, axes = dimension.parameter, dimension.axes
    if isinstance(parameter, Simplex):
        value: Any = recipe.mix.shares
        coordinates = _simplex_coordinates(parameter, recipe)
    else:
        value = recipe.get(dimension.path)
        coordinates = (value,)
    if isinstance(parameter, Around) and parameter.holds(value):
        return {dimension.path: value}
    is_inside = coordinates is not None and all(
        axis.holds(coordinate) for axis, coordinate in zip(axes.values(), coordinates, strict=True)
    )
    if coordinates is None or not is_inside:
        raise DefinitionError(dimension.path, f"must be {parameter.words}", got=value)
    if isinstance(parameter, Choice):
        return {dimension.path: parameter.equal(value)}
    return dict(zip(axes, coordinates, strict=True))


def _simplex_coordinates(parameter: Simplex, recipe: Recipe) -> tuple[float, ...] | None:
    """The values of a recipe along a Simplex; None if other sources have a share too."""
    shares, synthetic = recipe.mix.shares, recipe.mix.synthetic
    if REAL not in parameter.sources:  # the simplex divides only the synthetic share
        shares = {name: share / synthetic for name, share in shares.items()} if synthetic else {}
    divided = {source: shares.get(source, 0.0) for source in parameter.sources}
    if abs(sum(divided.values()) - 1) > _SUM_ROUNDING:
        return None
    return parameter.at(divided)


def _changed_settings(point: Mapping[str, Any], recipe: Recipe) -> int:
    """The number of settings in which a point differs from a recipe."""
    return sum(recipe.get(path) != value for path, value in point.items())


def _divide(shares: Mapping[str, float]) -> dict[str, Any]:
    """Shares of sources as settings of a mix."""
    changes: dict[str, Any] = {}
    if REAL in shares:
        # from the real share, which is exactly 0 if nothing is real: the others are rounded, and
        # may not add up to 1
        changes["mix.synthetic"] = 1 - shares[REAL]
    synthetic = {source: share for source, share in shares.items() if source != REAL}
    total = sum(synthetic.values())
    parts: dict[str, float] = {}  # even, as in any mix: with nothing synthetic it means nothing
    if total > 0:
        parts = {source: share / total for source, share in synthetic.items()}
    return changes | {"mix.parts": parts}
