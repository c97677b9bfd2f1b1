"""Proposal: a recipe that is proposed as a trial, and the recipe at a point of the search space."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DefinitionError
from syndet_ray.runs.results import Role, kind_of

# The fields of a proposal that the ledger keeps as they are.
_KEPT = (
    "params",
    "point",
    "of",
    "replica",
    "seed_number",
    "impossible",
    "discarded",
    "point_index",
)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe that is proposed as trial `number`.

    role, name   as of a trial, see `results.Trial`
    params       settings of the recipe that the search varied
    point        the same as the sampler knows it
    of           the trial that a confirmation repeats
    replica      which training of its recipe it is, from 0
    seed_number  which of the sweep's seeds it starts from, see `LoadedSweep.seed_number`
    impossible   why no recipe can be made of the point, in words; recipe is then the sweep's own
    discarded    points that the sampler drew before this one, of which no recipe can be made
    point_index  the index of this point among the named points of the sweep or its grid; None if
                 the sampler drew it
    """

    number: int
    role: Role
    params: dict[str, Any]
    recipe: Recipe
    name: str = ""
    point: dict[str, Any] = field(default_factory=dict)
    of: int | None = None
    replica: int = 0
    seed_number: int = 0
    impossible: str = ""
    discarded: tuple[dict[str, Any], ...] = ()
    point_index: int | None = None

    @property
    def kind(self) -> str:
        """Its role and name in one word, see `kind_of`."""
        return kind_of(self.role, self.name, self.replica)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that the ledger keeps of it."""
        facts = {name: getattr(self, name) for name in _KEPT}
        return {"recipe": self.recipe.flat(), "kind": self.kind, **facts}


def proposal_at(sweep: LoadedSweep, point: dict[str, Any], number: int) -> Proposal:
    """Returns the proposal of a point; it says if no recipe can be made of the point."""
    changes = sweep.parameters.changes(point)
    try:
        recipe = sweep.recipe.replace(changes)
        recipe.check_shares()
    except DefinitionError as error:  # each value is valid, but not all of them together
        return Proposal(
            number=number,
            role="search",
            params=changes,
            recipe=sweep.recipe,
            point=point,
            impossible=str(error),
        )
    settings = recipe.flat()  # a schedule may have replaced a proposed value
    params = {path: settings[path] for path in changes}
    return Proposal(number=number, role="search", params=params, recipe=recipe, point=point)


def current_point(
    sweep: LoadedSweep, recorded: Mapping[str, Any], recipe: Recipe
) -> Mapping[str, Any]:
    """Returns the point of a recipe: the recorded one, or another if this version makes another
    recipe of that.

    An earlier version mapped the axes of a simplex to shares in another way, under the same names.
    """
    try:
        remade = sweep.recipe.replace(sweep.parameters.changes(recorded))
    except DefinitionError:
        return recorded
    if remade.mix.shares == recipe.mix.shares:
        return recorded
    return sweep.parameters.point(recipe) or recorded
