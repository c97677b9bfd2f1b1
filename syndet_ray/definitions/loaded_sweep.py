"""LoadedSweep: a sweep with its one search space, and the checks that need it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from syndet_ray.definitions.effect import Facts, NoEffect, no_effect, nothing_known
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.sweep import Sweep
from syndet_ray.errors import DefinitionError

_SHARE_ROUNDING = 1e-9  # within which two shares are the same: a point is computed from them
_DO_ABOUT_EFFECT = "Leave it out, or change what the setting depends on."
_NOT_VARIED = "is not varied with the point's other settings"


class LoadedSweep(Sweep):
    """A sweep whose search spaces are looked up and merged; `load` makes it from a file.

    space  the merged search space alone, or nothing; a tuple as in a sweep, so that both have the
           same JSON
    """

    space: tuple[SearchSpace, ...] = Field((), max_length=1, description="the merged search space")

    @property
    def parameters(self) -> SearchSpace:
        """The merged search space; empty when nothing is searched."""
        return self.space[0] if self.space else SearchSpace({})

    @property
    def proposals(self) -> int:
        """The number of proposed recipes: `trials`, but at most the number of points of a grid."""
        if self.sampler != "grid":
            return self.trials
        return min(self.trials, len(self.parameters.grid()))

    def seed_number(self, replica: int, *, of_variant: bool) -> int:
        """The number of the seed from which the replica-th training of a recipe starts.

        Trainings with equal numbers have the same random values. When recipes are confirmed, the
        first training of a control or of a recipe of the search does not count, and that of a
        variant does. All trainings that count must have the same seeds, so those of a variant
        begin with the seed of the first confirmation. In a run whose search gets its first trials
        by `resume --trials`, variants have other seeds; only the common ones are paired.
        """
        is_confirmed = self.proposals > 0 and self.confirm.seeds > 0
        return replica + 1 if of_variant and is_confirmed else replica

    def check(self) -> None:
        """Raises DefinitionError for what no sweep file may ask for."""
        _ = self.proposals  # refuses a grid of parameters without a finite number of values
        self.check_controls()
        self.check_shares()
        self.check_variants()
        self.check_points_of_measures()
        self.check_points()
        self.check_points_act()

    def check_controls(self) -> None:
        """Raises DefinitionError for a control of synthetic images when all sources are photos.

        This is no rule of the type: runs of an earlier version had such controls.
        """
        if "synthetic_only" not in self.controls or self.recipe.mix.parts_without_photos():
            return
        others = tuple(name for name in self.controls if name != "synthetic_only")
        rule = "synthetic_only needs synthetic images, and all of recipe.mix.sources are photos"
        raise DefinitionError("controls", rule, do=f"Write controls={others!r}.")

    def check_shares(self) -> None:
        """Raises DefinitionError for a recipe in which the share of a source is below one image.

        Checks controls, variants and points, and the sweep's own recipe unless proposals change its
        shares.
        """
        recipes = dict(self.fixed)
        for k, changes in enumerate(self.points):
            recipes[f"points[{k}]"] = self.recipe.replace(changes)
        if self.proposals and not self._varies_shares():
            recipes = {"recipe": self.recipe} | recipes
        for name, recipe in recipes.items():
            with _at(name):
                recipe.check_shares()

    def _varies_shares(self) -> bool:
        settings = self.parameters.settings()
        return any(path.startswith("mix.") or path == "training.images" for path in settings)

    def check_variants(self, facts: Facts = nothing_known) -> None:
        """Raises DefinitionError for a variant whose changes all have no effect.

        It would be compared with the same recipe. A variant without changes is what the others are
        compared with.

        facts  about the scenes that recipes render, see `effect.no_effect`
        """
        for name, changes in self.variants.items():
            variant = self.recipe.replace(changes)
            changed = [path for path in changes if variant.get(path) != self.recipe.get(path)]
            reasons = [self._idle_reason(path, variant, facts) for path in changed]
            idle = [reason for reason in reasons if reason is not None]
            if idle and len(idle) == len(changed):
                rule = f"is the sweep's own recipe: {idle[0].words(changed[0])}"
                raise DefinitionError(f"variants: {name}", rule, do=_DO_ABOUT_EFFECT)

    def _idle_reason(self, path: str, variant: Recipe, facts: Facts) -> NoEffect | None:
        """The reason why a setting acts neither in a variant nor in the recipe; None if it does."""
        if no_effect(path, self.recipe, facts) is None:
            return None
        return no_effect(path, variant, facts)

    def check_points_of_measures(self) -> None:
        """Raises DefinitionError for a point that decides what photos are measured for.

        It would be refused when they are: it differs from the others in more than is searched.
        """
        searched = self.parameters.settings()
        for k, changes in enumerate(self.points):
            for path in changes:
                place = f"points[{k}]: {path}"
                if path == "scene.match":
                    rule = "cannot be changed by a point: photos are measured before the search"
                    raise DefinitionError(place, rule, do="Compare variants of it.")
                if self.recipe.is_measured(path) and path not in searched:
                    rule = "is measured on the photos and not searched, so no point can name it"
                    do = "Leave it out, search it, or set it in the recipe."
                    raise DefinitionError(place, rule, got=changes[path], do=do)

    def check_points(self) -> None:
        """Raises DefinitionError unless all points can be proposed as they stand.

        The error names the point, the setting and its value.
        """
        if len(self.points) > self.proposals:
            rule = f"must be at most as many as the recipes that are proposed, {self.proposals}"
            do = "Raise trials, or leave points out."
            raise DefinitionError("points", rule, got=len(self.points), do=do)
        for k, changes in enumerate(self.points):
            with _at(f"points[{k}]", do="Change the point, or widen the space."):
                self.check_point(changes)

    def check_point(self, changes: Mapping[str, Any]) -> None:
        """Raises DefinitionError for a changed recipe that cannot be proposed as it stands.

        It lies outside the space, or changes a setting that is not varied there. Settings without
        effect may differ: recipes of another sweep have settings that nothing acts on here.
        """
        recipe = self.recipe.replace(changes)
        recipe.check_shares()
        proposed = self._proposed_for(recipe)
        for path in recipe.flat():
            if not _same(path, recipe, proposed) and no_effect(path, recipe) is None:
                rule = f"{_NOT_VARIED}, and would be {proposed.get(path)!r}"
                raise DefinitionError(path, rule, got=recipe.get(path))

    def check_points_act(self) -> None:
        """Raises DefinitionError for a point that changes a setting without effect.

        It would be proposed without that change. This is for points of a sweep file; points from
        an earlier run must only pass `check_points`.
        """
        for k, changes in enumerate(self.points):
            recipe = self.recipe.replace(changes)
            proposed = self._proposed_for(recipe)
            for path, value in changes.items():
                reason = None if _same(path, recipe, proposed) else no_effect(path, recipe)
                if reason is not None:
                    rule = f"{_NOT_VARIED}, and {reason.words()}"
                    place = f"points[{k}]: {path}"
                    raise DefinitionError(place, rule, got=value, do=_DO_ABOUT_EFFECT)

    def _proposed_for(self, recipe: Recipe) -> Recipe:
        """The recipe that is proposed for a point.

        Raises DefinitionError for a point outside the space.
        """
        point = self.parameters.locate(recipe)
        return self.recipe.replace(self.parameters.changes(point))


@contextmanager
def _at(place: str, do: str = "") -> Iterator[None]:
    """Puts a place in front of a DefinitionError, and what to do if it does not say."""
    try:
        yield
    except DefinitionError as error:
        where = f"{place}: {error.place}"
        raise DefinitionError(where, error.rule, got=error.got, do=error.do or do) from None


def _same(path: str, recipe: Recipe, other: Recipe) -> bool:
    """True when two recipes agree in a setting; shares of sources may differ by rounding."""
    if path not in ("mix.synthetic", "mix.parts"):
        return bool(recipe.get(path) == other.get(path))
    others_shares = other.mix.shares
    return all(
        math.isclose(share, others_shares[name], abs_tol=_SHARE_ROUNDING)
        for name, share in recipe.mix.shares.items()
    )
