"""SearchSpace: which settings of a recipe a sweep varies, within which bounds, and under which
conditions.

A sampler knows nothing of recipes: it moves a point along `axes`, each a plain number or choice.
`changes` says what a point means for a recipe, and `point` where a recipe lies.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import RootModel, model_validator

from syndet_ray.definitions.effect import Facts, NoEffect, deciders, no_effect, nothing_known
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Axis, Choice, Float, Int, Parameter, Simplex
from syndet_ray.definitions.recipe import Recipe, check_path, check_value, field_paths
from syndet_ray.errors import DefinitionError, nearest

SHARES = "mix.shares"  # what a Simplex varies: mix.synthetic and mix.parts at once
_DIVISION = {"mix.synthetic", "mix.parts"}  # of the images among the sources
_UNIT = Float(low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a parameter stands in a space: its dotted setting, and the names and kinds of its axes."""

    path: str
    parameter: Parameter
    axes: dict[str, Axis]


class SearchSpace(RootModel[dict[str, Parameter]]):
    """Dotted settings of a recipe and the values each may take:
    `SearchSpace({"mix.synthetic": Float(low=0, high=1)})`.

    A parameter with `when` exists only where other parameters of the space have certain values;
    elsewhere the recipe's own value stands.
    """

    model_config = {"frozen": True}

    @model_validator(mode="after")
    def _fits_the_recipe(self) -> "SearchSpace":
        try:
            self._places()
        except DefinitionError as error:
            raise ValueError(str(error)) from None
        for path, parameter in self.root.items():
            if isinstance(parameter, Simplex) != (path == SHARES):
                raise ValueError(
                    f"{path}: shares of sources are varied as {SHARES!r}, by a Simplex, and by nothing else"
                )
            for condition in parameter.when:
                _check_known(condition, f"{path}: when")
            try:
                if path != SHARES:
                    check_path(path)
                for value in parameter.samples():
                    check_value(path, value)
            except DefinitionError as error:
                raise ValueError(str(error)) from None
        return self

    def items(self) -> Iterator[tuple[str, Parameter]]:
        yield from self.root.items()

    def __len__(self) -> int:
        return len(self.root)

    def check(self, recipe: Recipe) -> None:
        """Raises DefinitionError unless conditions, sources and values fit one another and the
        recipe.

        It also does where trials would vary a parameter that has no effect in them, see `effect`.
        """
        for path, parameter in self.root.items():
            for condition, values in parameter.when.items():
                self._check_condition(f"{path}: when", condition, values)
        for path, parameter in self.root.items():
            conditions = self.conditions_met(path, recipe)
            for value in parameter.samples():
                recipe.replace({**conditions, path: value})
        if SHARES in self.root:
            self._check_sources(recipe)
        self.check_effects(recipe)

    def check_effects(self, recipe: Recipe, facts: Facts = nothing_known) -> None:
        """Raises DefinitionError where trials would vary a parameter that has no effect in them.

        facts  what is known of the scenes that trials may render, see `effect.no_effect`
        """
        for path in self.root:
            self._check_effect(path, recipe, facts)

    def effects_of_numbers(self, recipe: Recipe) -> dict[str, list[str]]:
        """Parameters that a number leaves without an effect, by why: the space may vary them all
        the same.

        Such as the hue of distractors, of which there are 0 to 4. What a source without images
        leaves so is not told: that is all that is in its images.
        """
        idle: dict[str, list[str]] = defaultdict(list)
        for path, parameter in self.root.items():
            setting = _setting(path, parameter)
            points = [
                point
                for group in self._points_by_choice(path, deciders(setting))
                for point in group
            ]
            reasons = self._reasons(setting, points, recipe, nothing_known)
            told = [
                reason.where
                for reason in reasons
                if reason is not None and not reason.because_of & _DIVISION
            ]
            for where in dict.fromkeys(told):
                idle[where].append(path)
        return dict(idle)

    def suggest(self, choose: Callable[[str, Axis], Any]) -> dict[str, Any]:
        """A point, axis by axis: `choose(name, axis)` is asked for each that exists, given what was
        chosen before.
        """
        point: dict[str, Any] = {}
        for place in self._places():
            if self._exists(place.parameter, point):
                point |= {name: choose(name, axis) for name, axis in place.axes.items()}
        return point

    def samples(self, path: str) -> tuple[Any, ...]:
        """Values that a setting, by dotted path, may get, least and greatest among them; () where
        it is not varied.
        """
        return self.root[path].samples() if path in self.root else ()

    def settings(self) -> list[str]:
        """The settings of a recipe that are varied."""
        shares = ["mix.synthetic", "mix.parts"]
        return [path for varied in self.root for path in (shares if varied == SHARES else [varied])]

    def axes(self) -> dict[str, Axis]:
        """Every axis by its name, whether or not it exists everywhere."""
        return {name: axis for place in self._places() for name, axis in place.axes.items()}

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What a point means for the recipe: dotted settings and their values."""
        found: dict[str, Any] = {}
        for place in self._places():
            if place.axes.keys() <= point.keys():
                values = [point[name] for name in place.axes]
                if isinstance(place.parameter, Simplex):
                    found |= _divided(place.parameter.shares(values))
                else:
                    found[place.path] = values[0]
        return found

    def point(self, recipe: Recipe) -> dict[str, Any] | None:
        """Where a recipe lies; None where it lies outside."""
        try:
            return self.locate(recipe)
        except DefinitionError:
            return None

    def locate(self, recipe: Recipe) -> dict[str, Any]:
        """Where a recipe lies.

        Raises DefinitionError, with the parameter and the value, for one that lies outside.
        """
        found: dict[str, Any] = {}
        for place in self._places():
            if not self._exists(place.parameter, found):
                continue
            values = _values(place.parameter, place.path, recipe)
            if values is None or not all(
                a.holds(v) for a, v in zip(place.axes.values(), values, strict=True)
            ):
                value = recipe.mix.shares if place.path == SHARES else recipe.get(place.path)
                raise DefinitionError(place.path, f"must be {place.parameter.words}", got=value)
            axes = zip(place.axes.items(), values, strict=True)
            found |= {
                name: axis.own(v) if isinstance(axis, Choice) else v for (name, axis), v in axes
            }
        return found

    def grid(self) -> list[dict[str, Any]]:
        """Every point, in order.

        Raises DefinitionError where a parameter has no finite number of values.
        """
        points: list[dict[str, Any]] = [{}]
        for place in self._places():
            values = None if isinstance(place.parameter, Simplex) else place.parameter.grid()
            if values is None:
                raise DefinitionError(
                    f"space: {place.path}",
                    "must have finitely many values for a grid",
                    do="Use Choice or a step.",
                )
            points = self._crossed(points, place, [{place.path: value} for value in values])
        return points

    @staticmethod
    def union(spaces: Mapping[str, "SearchSpace"]) -> "SearchSpace":
        """One space of several named ones. Raises DefinitionError where two vary the same setting."""
        owners: dict[str, str] = {}
        for name, space in spaces.items():
            for path, _ in space.items():
                if path in owners:
                    rule = f"{path} is already varied by {owners[path]}"
                    raise DefinitionError(f"search space {name}", rule, do="Name one.")
                owners[path] = name
        merged = SearchSpace(
            {path: parameter for space in spaces.values() for path, parameter in space.items()}
        )
        merged._check_shares()
        return merged

    def _places(self) -> list[_Place]:
        """The parameters, each after all that its conditions ask for.

        Raises DefinitionError where there is no such order.
        """
        left, placed = dict(self.root), list[_Place]()
        while left:
            ready = [
                path for path, parameter in left.items() if not parameter.when.keys() & left.keys()
            ]
            if not ready:
                raise DefinitionError(
                    "space", f"conditions of {sorted(left)} wait for one another", do="Drop one."
                )
            placed += [
                _Place(path=path, parameter=left[path], axes=_axes(path, left.pop(path)))
                for path in ready
            ]
        return placed

    def _exists(self, parameter: Any, point: Mapping[str, Any]) -> bool:
        return all(
            path in point and point[path] in values for path, values in parameter.when.items()
        )

    def conditions_met(self, path: str, recipe: Recipe) -> dict[str, Any]:
        """Values of other parameters under which one exists, as near to the recipe as can be.

        Raises DefinitionError where its conditions, and those of the parameters that they name, are
        never met together.
        """
        asking = self._with_conditions([path])
        points: list[dict[str, Any]] = [{}]
        for place in self._places():
            if place.path in asking - {path}:
                assert not isinstance(place.parameter, Simplex), "no condition can name it"
                own = recipe.get(place.path)
                asked = [
                    value for other in asking for value in self.root[other].when.get(place.path, ())
                ]
                values = dict.fromkeys([own, *asked] if place.parameter.holds(own) else asked)
                examples = [{place.path: value} for value in values]
                points = self._crossed(points, place, examples)
        met = [point for point in points if self._exists(self.root[path], point)]
        if not met:
            rule = "its conditions are never met together"
            raise DefinitionError(f"{path}: when", rule, do="Drop one, or give it more values.")
        return min(
            met, key=lambda point: sum(recipe.get(other) != value for other, value in point.items())
        )

    def _crossed(
        self,
        points: Sequence[Mapping[str, Any]],
        place: _Place,
        examples: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        """Every point with each example of one more parameter; the point as it is where that does
        not exist there.
        """
        crossed: list[dict[str, Any]] = []
        for point in points:
            additions = examples if self._exists(place.parameter, point) else [{}]
            crossed += [{**point, **addition} for addition in additions]
        return crossed

    def _check_condition(self, place: str, condition: str, values: tuple[Any, ...]) -> None:
        parameter = self.root.get(condition)
        if parameter is None:
            is_setting = condition in field_paths()
            do = (
                "Set it in the recipe, and leave this condition out."
                if is_setting
                else nearest(condition, self.root)
            )
            raise DefinitionError(
                place,
                f"{condition} is not varied by this sweep, so it cannot be a condition",
                do=do,
            )
        if isinstance(parameter, Simplex):
            rule = (
                f"{condition} cannot be a condition: it divides images, and has no values to name"
            )
            raise DefinitionError(
                place, rule, do="Name another setting, or leave this condition out."
            )
        for value in values:
            if not parameter.holds(value):
                rule = f"{condition} must be able to take the value"
                raise DefinitionError(place, rule, got=value, do=_possible(parameter, value))

    def _check_effect(self, path: str, recipe: Recipe, facts: Facts) -> None:
        """Raises DefinitionError where no value of a parameter has an effect beside some choice of
        the others.

        Along a range some value may leave it without effect, such as a share of 0: no `when` could
        name that.
        """
        setting = _setting(path, self.root[path])
        beside = deciders(setting)
        if not beside:
            return
        groups = self._points_by_choice(path, beside)
        reasons = [self._shared_reason(setting, points, recipe, facts) for points in groups]
        idle = [reason for reason in reasons if reason is not None]
        if idle:
            rule = f"is searched, and nothing acts on it where {idle[0].where}"
            acts_elsewhere = len(idle) < len(groups)
            choices = self._choices_of(idle[0]) if acts_elsewhere else []
            raise DefinitionError(path, rule, do=_do_about_effect(path, choices))

    def _choices_of(self, reason: NoEffect) -> list[str]:
        """The choices of this space that leave a parameter without an effect: their values a `when`
        can name.
        """
        return sorted(path for path in reason.because_of if isinstance(self.root.get(path), Choice))

    def _shared_reason(
        self, setting: str, points: Sequence[Mapping[str, Any]], recipe: Recipe, facts: Facts
    ) -> NoEffect | None:
        """Why a setting has no effect at any of several points, in the words for the first; None
        where it has at one.
        """
        reasons = self._reasons(setting, points, recipe, facts)
        first = next(reasons, None)
        return first if all(reason is not None for reason in reasons) else None

    def _reasons(
        self, setting: str, points: Sequence[Mapping[str, Any]], recipe: Recipe, facts: Facts
    ) -> Iterator[NoEffect | None]:
        """Why a setting has no effect at each point, None where it has; points that no recipe can
        be made of are skipped.
        """
        for point in points:
            try:
                changed = recipe.replace(self.changes(point))
            except DefinitionError:
                continue
            yield no_effect(setting, changed, facts)

    def _points_by_choice(self, path: str, beside: Collection[str]) -> list[list[dict[str, Any]]]:
        """Points at which a parameter exists, together those that differ along ranges only, or in
        the parameter itself.

        Of a range there are a few values. Parameters that neither are `beside` it nor a condition
        of one that is are left out.
        """
        wanted = self._with_conditions(
            [path, *(other for other in self.root if _varies(other) & set(beside))]
        )
        points: list[dict[str, Any]] = [{}]
        for place in self._places():
            if place.path in wanted:
                points = self._crossed(points, place, self._examples(place))
        own = _axes(path, self.root[path])
        together = defaultdict(list)
        for point in points:
            if own.keys() <= point.keys():
                choices = {
                    name: value
                    for name, value in point.items()
                    if isinstance(self.root.get(name), Choice)
                }
                choices.pop(path, None)
                together[repr(choices)].append(point)
        return list(together.values())

    def _with_conditions(self, paths: Sequence[str]) -> set[str]:
        """Parameters, and all that their conditions ask for."""
        found = set(paths)
        for path in paths:
            found |= self._with_conditions([*self.root[path].when])
        return found

    def _examples(self, place: _Place) -> list[dict[str, Any]]:
        """Points of one parameter: all values of a choice; of a range its middle, its ends, and
        what conditions ask for.

        Of a division among sources the even one, and those that have images of one source alone.
        """
        parameter = place.parameter
        if isinstance(parameter, Choice):
            return [{place.path: value} for value in parameter.values]
        if isinstance(parameter, Simplex):
            nothing = dict.fromkeys(parameter.sources, 0.0)
            even = dict.fromkeys(parameter.sources, 1 / len(parameter.sources))
            divisions = [even, *(nothing | {source: 1.0} for source in parameter.sources)]
            return [
                dict(zip(place.axes, parameter.at(shares), strict=True)) for shares in divisions
            ]
        middle = (parameter.low + parameter.high) / 2
        values = [math.floor(middle) if isinstance(parameter, Int) else middle, parameter.high]
        for other in self.root.values():
            values += other.when.get(place.path, ())
        return [{place.path: value} for value in dict.fromkeys([*values, parameter.low])]

    def _check_shares(self) -> None:
        """Raises DefinitionError where what a Simplex varies is varied by itself too."""
        for also in sorted(_DIVISION):
            if SHARES in self.root and also in self.root:
                raise DefinitionError(
                    "space", f"{also} is varied by {SHARES} already", do="Leave one out."
                )

    def _check_sources(self, recipe: Recipe) -> None:
        self._check_shares()
        known = {REAL, *recipe.mix.sources}
        for source in self.root[SHARES].sources:  # type: ignore[union-attr]
            if source not in known:
                raise DefinitionError(
                    f"space: {SHARES}",
                    f"{source!r} is no source of the recipe's mix",
                    do=nearest(source, known),
                )


def _do_about_effect(path: str, choices: Sequence[str]) -> str:
    """What to do about a parameter without an effect. choices: what its `when` may name."""
    if not choices:
        return f"Change that in the recipe, or leave {path} out of the space."
    return f"Name in its `when` the values of {' or '.join(choices)} under which it acts, or leave it out of the space."


def _possible(parameter: Axis, value: Any) -> str:
    """A hint at what a parameter may be, for a value that it cannot take."""
    names = [name for name in parameter.samples() if isinstance(name, str)]
    if isinstance(value, str) and len(names) == len(parameter.samples()):
        return nearest(value, names)
    return f"It is {parameter.words} here."


def _varies(path: str) -> set[str]:
    """The settings of a recipe that a parameter varies."""
    return _DIVISION if path == SHARES else {path}


def _setting(path: str, parameter: Parameter) -> str:
    """The setting of a recipe by which it is known whether a parameter has an effect."""
    if isinstance(parameter, Simplex):
        return "mix.synthetic" if REAL in parameter.sources else "mix.parts"
    return path


def _axes(path: str, parameter: Parameter) -> dict[str, Axis]:
    if isinstance(parameter, Simplex):
        return {f"{path}/{source}": _UNIT for source in parameter.sources[:-1]}
    return {path: parameter}


def _values(parameter: Parameter, path: str, recipe: Recipe) -> Sequence[Any] | None:
    """A recipe's place along the axes of a parameter; None where the parameter cannot express it."""
    if not isinstance(parameter, Simplex):
        return (recipe.get(path),)
    shares = recipe.mix.shares
    if REAL not in parameter.sources:  # the simplex divides the synthetic share alone
        shares = {
            name: share / recipe.mix.synthetic
            for name, share in shares.items()
            if recipe.mix.synthetic
        }
    if abs(sum(shares.get(source, 0.0) for source in parameter.sources) - 1) > 1e-9:
        return None
    return parameter.at({source: shares.get(source, 0.0) for source in parameter.sources})


def _divided(shares: Mapping[str, float]) -> dict[str, Any]:
    """Shares of sources as settings of a mix."""
    synthetic = {source: share for source, share in shares.items() if source != REAL}
    total = sum(synthetic.values())
    # Of the real share, which is exactly 0 where nothing is real: the others are rounded, and may
    # not add up to 1.
    found: dict[str, Any] = {"mix.synthetic": 1 - shares[REAL]} if REAL in shares else {}
    # Where nothing is synthetic, how it is divided means nothing: evenly, as a mix has it.
    return found | {
        "mix.parts": {source: share / total for source, share in synthetic.items()}
        if total > 0
        else {}
    }


def _check_known(path: str, place: str) -> None:
    valid = [*field_paths(), SHARES]
    if path not in valid:
        raise ValueError(f"{place}: {path!r} is not a setting of a recipe. {nearest(path, valid)}")
