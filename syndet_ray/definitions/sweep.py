"""Sweep: one question, answered by many trials."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from syndet_ray.definitions.effect import Facts, NoEffect, no_effect, nothing_known
from syndet_ray.definitions.recipe import Recipe, Value, definition_error
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.errors import DefinitionError

Control = Literal["real_only", "synthetic_only"]
CONTROL_CHANGES: dict[str, dict[str, Any]] = {
    "real_only": {"mix.schedule": "mixed", "mix.synthetic": 0.0},
    "synthetic_only": {"mix.schedule": "mixed", "mix.synthetic": 1.0},
}
# What a sweep may ask for beside accuracy: less of it is better.
COSTS = ("real_images", "images")


class Pruning(Value):
    """When a trial that falls behind is stopped. Rungs are counted from 1; controls and the last
    rung never prune.

    The names are Optuna's pruners. patience, where it is not 0, makes any of them wait; "patient"
    alone stops what has stopped getting better.
    """

    name: Literal[
        "none", "median", "percentile", "successive_halving", "hyperband", "threshold", "patient"
    ] = "median"
    grace_rungs: int = Field(
        1, ge=0, description="rungs that every trial is given before it may be pruned"
    )
    startup_trials: int = Field(
        3, ge=0, description="median, percentile: finished trials before the first is pruned"
    )
    percentile: float = Field(
        25.0, gt=0, lt=100, description="percentile: the best so many per cent go on"
    )
    reduction_factor: int = Field(
        3,
        ge=2,
        description="successive_halving, hyperband: one trial in so many goes on from each rung",
    )
    least: float = Field(
        0.01, ge=0, le=1, description="threshold: a validation mAP below this is hopeless"
    )
    patience: int = Field(
        0, ge=0, description="rungs without a better score that a trial is granted"
    )

    @model_validator(mode="after")
    def _patient_waits(self) -> "Pruning":
        if self.name == "patient" and not self.patience:
            raise ValueError("patience must be at least 1 for the patient pruner, got 0")
        return self


class Confirmation(Value):
    """How the winner is found among the best of a search: trained anew, from other seeds, before
    the test set is opened.

    The best of many trials owes its place partly to luck; its second training does not.
    """

    top: int = Field(
        2, ge=1, description="recipes of the search that are trained anew, besides the controls"
    )
    seeds: int = Field(
        3, ge=0, le=20, description="how often each is; 0 takes the search's own best as it is"
    )


class Sweep(Value):
    """One question, answered by `trials` proposed recipes, the controls, and variants: recipes that
    are compared as they stand, the first of them being what the others are compared with. Controls
    and variants are never pruned.

    `space` names files of search_spaces/ (or holds spaces); `load` puts one merged SearchSpace in
    their place.
    """

    question: str = Field(min_length=1)
    recipe: Recipe = Recipe()
    space: tuple[str | SearchSpace, ...] = ()
    trials: int = Field(
        8, ge=0, description="proposed recipes, besides the controls and the variants"
    )
    controls: tuple[Control, ...] = ("real_only", "synthetic_only")
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="recipes to compare, named, by what each changes"
    )
    repeats: int = Field(
        1, ge=1, le=20, description="how often each variant is trained, each time from another seed"
    )
    rungs: int = Field(
        4, ge=1, description="how often a trial reports, evenly spaced over its training images"
    )
    sampler: Literal["tpe", "random", "grid", "nsga2"] = Field(
        "tpe", description="how recipes are proposed"
    )
    objective: tuple[Literal["val/mAP", "real_images", "images"], ...] = Field(
        ("val/mAP",),
        description="what is to be high, and after it what is to be low; several give a Pareto front",
    )
    points: tuple[dict[str, Any], ...] = Field(
        (), description="recipes to propose first, by what each changes"
    )
    pruning: Pruning = Pruning()
    confirm: Confirmation = Confirmation()
    seed: int = Field(0, ge=0)

    @field_validator("objective", "space", "controls", "points", mode="before")
    @classmethod
    def _one_alone(cls, given: Any) -> Any:
        """One may stand alone, for the comma that makes it a tuple is easily forgotten."""
        return (given,) if isinstance(given, (str, SearchSpace, Mapping)) else given

    @model_validator(mode="after")
    def _goals_in_order(self) -> "Sweep":
        if self.objective[:1] != ("val/mAP",) or len(set(self.objective)) < len(self.objective):
            raise ValueError(
                f"objective must begin with 'val/mAP' and name each goal once, got {self.objective}"
            )
        if len(self.objective) == 1 and self.sampler == "nsga2":
            raise ValueError("sampler 'nsga2' is for several goals; with one, use 'tpe'")
        for k, changes in enumerate(self.points):
            try:
                self.recipe.replace(changes)
            except DefinitionError as error:
                raise ValueError(f"points[{k}]: {error}") from None
        return self

    @model_validator(mode="after")
    def _rungs_fit(self) -> "Sweep":
        if self.rungs > self.recipe.training.images:
            raise ValueError(
                f"rungs must be at most recipe.training.images ({self.recipe.training.images}), got {self.rungs}"
            )
        return self

    @model_validator(mode="after")
    def _controls_are_what_they_say(self) -> "Sweep":
        for name in self.controls:
            changes = CONTROL_CHANGES[name]
            if self.recipe.replace(changes).mix.synthetic != changes["mix.synthetic"]:
                raise ValueError(
                    f"controls: {name} needs real images, and recipe.mix.real_images is 0"
                )
        return self

    @model_validator(mode="after")
    def _asks_something(self) -> "Sweep":
        if self.trials and not any(isinstance(space, str) or len(space) for space in self.space):
            raise ValueError(
                f"trials must be 0 where there is no space to search, got {self.trials}"
            )
        if not self.trials and not self.variants:
            raise ValueError("a sweep needs trials of a space, or variants to compare")
        for name, changes in self.variants.items():
            if name in ("search", "confirm", "best", *CONTROL_CHANGES):
                raise ValueError(f"variants: {name!r} has another meaning; choose another name")
            if (
                len({kind for other in self.variants for kind in self.variant_kinds(other)})
                < len(self.variants) * self.repeats
            ):
                raise ValueError(
                    f"variants: with {self.repeats} repeats two of {list(self.variants)} have one name"
                )
            try:
                self.recipe.replace(changes)
            except DefinitionError as error:
                raise ValueError(f"variants: {name}: {error}") from None
        return self

    def replace(self, changes: Mapping[str, Any]) -> "Sweep":
        """A copy with fields changed. Raises DefinitionError where that breaks a rule."""
        try:
            return Sweep.model_validate(self.model_dump() | dict(changes))
        except ValidationError as error:
            raise definition_error("sweep", error) from None

    @property
    def parameters(self) -> SearchSpace:
        """The one merged space of a loaded sweep; empty where it searches none."""
        if not self.space:
            return SearchSpace({})
        space = self.space[0]
        assert len(self.space) == 1 and isinstance(space, SearchSpace), "load() the sweep first"
        return space

    @property
    def proposals(self) -> int:
        """How many recipes are proposed: `trials`, or as many points as a grid has, where these are
        fewer.
        """
        return (
            min(self.trials, len(self.parameters.grid())) if self.sampler == "grid" else self.trials
        )

    def check_controls(self) -> None:
        """Raises DefinitionError where the control of synthetic images has none to show: all
        sources are photos.

        No rule of the definition itself: runs of an earlier version had such controls, of the
        photos of others.
        """
        if "synthetic_only" in self.controls and not self.recipe.mix.parts_of_scenes():
            others = tuple(name for name in self.controls if name != "synthetic_only")
            rule = (
                "synthetic_only needs a source of scenes, and all of recipe.mix.sources are photos"
            )
            raise DefinitionError("controls", rule, do=f"Write controls={others!r}.")

    def check_shares(self) -> None:
        """Raises DefinitionError for a control, variant or point in which the share of a source is
        less than one image.

        And for the sweep's own recipe where no proposal changes that.
        """
        points = {
            f"points[{k}]": self.recipe.replace(changes) for k, changes in enumerate(self.points)
        }
        decides = {
            "training.images",
            *(path for path in self.recipe.flat() if path.startswith("mix.")),
        }
        is_proposed = self.proposals > 0 and not decides.intersection(self.parameters.settings())
        proposed = {"recipe": self.recipe} if is_proposed else {}
        for name, recipe in (proposed | self.fixed | points).items():
            try:
                recipe.check_shares()
            except DefinitionError as error:
                raise DefinitionError(
                    f"{name}: {error.place}", error.rule, got=error.got, do=error.do
                ) from None

    def check_variants(self, facts: Facts = nothing_known) -> None:
        """Raises DefinitionError for a variant that changes nothing but what has no effect.

        It would be compared with what is the same recipe. A variant without changes is there to be
        compared with.

        facts  what is known of the scenes that recipes render, see `effect.no_effect`
        """
        for name, changes in self.variants.items():
            variant = self.recipe.replace(changes)
            changed = [path for path in changes if variant.get(path) != self.recipe.get(path)]
            reasons = [self._idle_reason(path, variant, facts) for path in changed]
            idle = [reason for reason in reasons if reason is not None]
            if idle and len(idle) == len(changed):
                rule = (
                    f"is the sweep's own recipe: nothing acts on {changed[0]} where {idle[0].where}"
                )
                do = "Leave it out, or change what the setting depends on."
                raise DefinitionError(f"variants: {name}", rule, do=do)

    def _idle_reason(self, path: str, variant: Recipe, facts: Facts) -> NoEffect | None:
        """Why a setting has no effect in a variant; None where it has one there or in the sweep's
        recipe.
        """
        if no_effect(path, self.recipe, facts) is None:
            return None
        return no_effect(path, variant, facts)

    def check_points(self) -> None:
        """Raises DefinitionError, with the point, the setting and its value, unless all points are
        proposed as they stand.

        The sweep must be loaded: it holds one space.
        """
        if len(self.points) > self.proposals:
            rule = f"must be at most as many as the recipes that are proposed, {self.proposals}"
            raise DefinitionError(
                "points", rule, got=len(self.points), do="Raise trials, or leave points out."
            )
        for k, changes in enumerate(self.points):
            try:
                self.check_point(changes)
            except DefinitionError as error:
                do = error.do or "Change the point, or widen the space."
                raise DefinitionError(
                    f"points[{k}]: {error.place}", error.rule, got=error.got, do=do
                ) from None

    def check_point(self, changes: Mapping[str, Any]) -> None:
        """Raises DefinitionError where a changed recipe lies outside the space.

        It also does where the recipe changes what is not varied there, and would be proposed
        without that. What has no effect in it may be lost: recipes of another sweep have settings
        that nothing acts on here.
        """
        recipe = self.recipe.replace(changes)
        recipe.check_shares()
        proposed = self._proposed_for(recipe)
        for path in recipe.flat():
            if not _same(path, recipe, proposed) and no_effect(path, recipe) is None:
                rule = f"is not varied beside the point's other settings, and would be {proposed.get(path)!r}"
                raise DefinitionError(path, rule, got=recipe.get(path))

    def check_points_act(self) -> None:
        """Raises DefinitionError for a point that changes what has no effect in it, and would be
        proposed without that.

        For points that somebody wrote: those of an earlier run are held against `check_points`
        alone.
        """
        for k, changes in enumerate(self.points):
            recipe = self.recipe.replace(changes)
            proposed = self._proposed_for(recipe)
            for path in changes:
                reason = None if _same(path, recipe, proposed) else no_effect(path, recipe)
                if reason is not None:
                    rule = f"is not varied beside the point's other settings, and nothing acts on it where {reason.where}"
                    do = "Leave it out, or change what the setting depends on."
                    raise DefinitionError(f"points[{k}]: {path}", rule, got=changes[path], do=do)

    def _proposed_for(self, recipe: Recipe) -> Recipe:
        """What is proposed where a recipe is named as a point.

        Raises DefinitionError where it lies outside the space.
        """
        return self.recipe.replace(self.parameters.changes(self.parameters.locate(recipe)))

    @property
    def first_pruned_rung(self) -> int | None:
        """The first rung, from 1, at which a trial can be pruned; None where none ever is."""
        if self.pruning.name == "none" or len(self.goals) > 1:
            return None
        first = self.pruning.grace_rungs + 1
        # Optuna compares the last patience + 1 reports with those before them
        if self.pruning.patience:
            first = max(first, self.pruning.patience + 2)
        return first if first < self.rungs else None

    @property
    def goals(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Directions of the objective, as Optuna names them."""
        return tuple("minimize" if goal in COSTS else "maximize" for goal in self.objective)

    @property
    def fixed(self) -> dict[str, Recipe]:
        """The recipes that are run as they stand, by the kind of their trial: controls, then
        variants.
        """
        controls = {name: self._control(name) for name in self.controls}
        rounds = [self._round(name, k) for k in range(self.repeats) for name in self.variants]
        return controls | {kind: self.recipe.replace(self.variants[name]) for kind, name in rounds}

    def _control(self, name: Control) -> Recipe:
        """The recipe of a control. That of synthetic images alone leaves out the photos of others."""
        control = self.recipe.replace(CONTROL_CHANGES[name])
        scenes = control.mix.parts_of_scenes()
        if not control.mix.others_photos or not scenes:
            return control
        return control.replace({"mix.parts": scenes})

    def variant_kinds(self, name: str) -> tuple[str, ...]:
        """The kinds of the trials of a variant: its name, and for each repetition its name and
        number.
        """
        return tuple(self._round(name, k)[0] for k in range(self.repeats))

    def replica(self, kind: str) -> int:
        """Which training of its recipe a control or variant is, from 0."""
        return self.kinds_alike(kind).index(kind)

    def kinds_alike(self, kind: str) -> tuple[str, ...]:
        """The kinds of all trainings of a control's or variant's recipe; of any other trial its own
        alone.
        """
        rounds = [self.variant_kinds(name) for name in self.variants]
        return next((kinds for kinds in rounds if kind in kinds), (kind,))

    def seed_number(self, replica: int, *, of_variant: bool) -> int:
        """Which seed the replica-th training of a recipe starts from: trainings with equal numbers
        meet the same chance.

        Where recipes are confirmed, the first training of a control or of a recipe of the search
        does not count, that of a variant does. So that those that count have the same seeds, a
        variant's begin with that of the first confirmation. A run whose search gets its first
        trials by `resume --trials` has variants with other seeds, and pairs of what is common.
        """
        is_confirmed = self.proposals > 0 and self.confirm.seeds > 0
        return replica + 1 if of_variant and is_confirmed else replica

    @property
    def spare_seed(self) -> int:
        """The first seed number that no recipe is planned to be trained with: seeds that are lost
        are replaced from there.
        """
        return 1 + max(self.repeats, self.confirm.seeds)

    @staticmethod
    def _round(name: str, k: int) -> tuple[str, str]:
        return (name if k == 0 else f"{name} ({k + 1})"), name


def _same(path: str, recipe: Recipe, other: Recipe) -> bool:
    """Whether two recipes agree in a setting; in that of the mix by the shares that sources have,
    up to rounding.
    """
    if path in ("mix.synthetic", "mix.parts"):
        shares = other.mix.shares
        return all(
            math.isclose(share, shares[name], abs_tol=1e-9)
            for name, share in recipe.mix.shares.items()
        )
    return bool(recipe.get(path) == other.get(path))


def rung_images(total: int, rungs: int) -> tuple[int, ...]:
    """The numbers of images seen at which a trial reports: `rungs` of them, evenly spaced, the last
    is `total`.
    """
    return tuple(total * (i + 1) // rungs for i in range(rungs))


def rung_number(images: int, total: int, rungs: int) -> int:
    """The rung, from 1, that a trial of `total` images has reached after `images` of them."""
    return bisect_left(rung_images(total, rungs), images) + 1
