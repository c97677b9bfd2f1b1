"""Sweep: one question, answered by many trials."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.value import Value, definition_error
from syndet_ray.errors import DefinitionError

Control = Literal["real_only", "synthetic_only"]
CONTROL_CHANGES: dict[str, dict[str, Any]] = {
    "real_only": {"mix.schedule": "mixed", "mix.synthetic": 0.0},
    "synthetic_only": {"mix.schedule": "mixed", "mix.synthetic": 1.0},
}
# Goals of a sweep next to accuracy: less is better.
COSTS = ("real_images", "images")
# Names that a variant cannot have: trials and finalists are called so.
_TAKEN_NAMES = ("search", "confirm", "best", *CONTROL_CHANGES)


class Pruning(Value):
    """Rules by which a trial that falls behind is stopped.

    Rungs are counted from 1; controls, and any trial at the last rung, are never pruned. The names
    are Optuna's pruners. patience, unless it is 0, makes any of them wait; "patient" alone stops
    trials that no longer improve.
    """

    name: Literal[
        "none", "median", "percentile", "successive_halving", "hyperband", "threshold", "patient"
    ] = Field("median", description="Optuna's pruner, or none")
    grace_rungs: int = Field(
        1, ge=0, description="rungs that every trial reaches before it may be pruned"
    )
    startup_trials: int = Field(
        3, ge=0, description="median, percentile: finished trials before the first is pruned"
    )
    percentile: float = Field(
        25.0, gt=0, lt=100, description="percentile: this percentage of trials, the best, continues"
    )
    reduction_factor: int = Field(
        3,
        ge=2,
        description="successive_halving, hyperband: one of this many trials continues at each rung",
    )
    least: float = Field(
        0.01, ge=0, le=1, description="threshold: a trial below this validation mAP is pruned"
    )
    patience: int = Field(
        0,
        ge=0,
        description="rungs without a better score before a trial is pruned; 0: does not wait",
    )

    def first_rung(self, rungs: int) -> int | None:
        """The first rung, from 1, at which it can prune a trial of this many; None if none is."""
        if self.name == "none":
            return None
        first = self.grace_rungs + 1
        # Optuna compares the last patience + 1 reports with those before them
        if self.patience:
            first = max(first, self.patience + 2)
        return first if first < rungs else None

    @model_validator(mode="after")
    def _patient_waits(self) -> "Pruning":
        if self.name == "patient" and not self.patience:
            raise ValueError("patience must be at least 1 for the patient pruner, got 0")
        return self


class Confirmation(Value):
    """Training the best recipes of a search again with other seeds, before the test set is opened.

    The best of many trials owes its place partly to luck; its second training does not.
    """

    top: int = Field(
        2, ge=1, description="recipes of the search that are trained again, besides the controls"
    )
    seeds: int = Field(
        3,
        ge=0,
        le=20,
        description="trainings of each of these recipes; 0: the best of the search is taken as is",
    )


class Sweep(Value):
    """One question, and the trials that answer it.

    There are three kinds of trials: `trials` recipes that a search proposes; controls; and
    variants, which are compared as they stand, all with the first. Controls and variants are never
    pruned.

    `space` names files of search_spaces/, or holds search spaces. `load` merges them into one, see
    `LoadedSweep`.
    """

    question: str = Field(min_length=1, description="the question that the sweep answers")
    recipe: Recipe = Field(Recipe(), description="the recipe that all trials start from")
    space: tuple[str | SearchSpace, ...] = Field(
        (), description="search spaces, or names of files in search_spaces/"
    )
    trials: int = Field(
        8, ge=0, description="proposed recipes, besides the controls and the variants"
    )
    controls: tuple[Control, ...] = Field(
        ("real_only", "synthetic_only"), description="recipes that every search is compared with"
    )
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="recipes to compare, by name; each is given by its changes of the recipe"
    )
    repeats: int = Field(
        1, ge=1, le=20, description="trainings of each variant, every time with another seed"
    )
    rungs: int = Field(
        4, ge=1, description="reports of a trial, evenly spaced over its training images"
    )
    sampler: Literal["tpe", "random", "grid", "nsga2"] = Field(
        "tpe", description="how recipes are proposed"
    )
    objective: tuple[Literal["val/mAP", "real_images", "images"], ...] = Field(
        ("val/mAP",),
        description="val/mAP, which is maximized, and costs, which are minimized; "
        "several give a Pareto front",
    )
    points: tuple[dict[str, Any], ...] = Field(
        (), description="recipes to propose first; each is given by its changes of the recipe"
    )
    pruning: Pruning = Field(Pruning(), description="when a trial that falls behind is stopped")
    confirm: Confirmation = Field(
        Confirmation(), description="how the best recipes are trained again"
    )
    seed: int = Field(0, ge=0, description="all random values of the sweep derive from it")
    classes: dict[str, str | None] = Field(
        {},
        description="new names of classes, in photos and scenes, by their old ones; "
        "equal names merge, None drops a class",
    )

    @field_validator("objective", "space", "controls", "points", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        """One may stand alone: the comma that makes it a tuple is easily forgotten."""
        return (value,) if isinstance(value, (str, SearchSpace, Mapping)) else value

    @model_validator(mode="after")
    def _goals_in_order(self) -> Self:
        if self.objective[:1] != ("val/mAP",) or len(set(self.objective)) < len(self.objective):
            rule = "objective must begin with 'val/mAP' and name each goal once"
            raise ValueError(f"{rule}, got {self.objective}")
        if len(self.objective) == 1 and self.sampler == "nsga2":
            raise ValueError("sampler 'nsga2' is for several goals; with one, use 'tpe'")
        return self

    @model_validator(mode="after")
    def _points_are_recipes(self) -> Self:
        for k, changes in enumerate(self.points):
            self._check_changes(f"points[{k}]", changes)
        return self

    @model_validator(mode="after")
    def _rungs_fit(self) -> Self:
        images = self.recipe.training.images
        if self.rungs > images:
            rule = f"rungs must be at most recipe.training.images ({images})"
            raise ValueError(f"{rule}, got {self.rungs}")
        return self

    @model_validator(mode="after")
    def _controls_have_their_images(self) -> Self:
        for name in self.controls:
            changes = CONTROL_CHANGES[name]
            if self.recipe.replace(changes).mix.synthetic != changes["mix.synthetic"]:
                rule = f"{name} needs real images, and recipe.mix.real_images is 0"
                raise ValueError(f"controls: {rule}")
        return self

    @model_validator(mode="after")
    def _has_trials(self) -> Self:
        is_searched = any(isinstance(space, str) or len(space) for space in self.space)
        if self.trials and not is_searched:
            rule = "trials must be 0 when there is no space to search"
            do = "leave it out, or give the sweep a space"
            raise ValueError(f"{rule}, got {self.trials}; {do}")
        if not self.trials and not self.variants:
            raise ValueError("a sweep needs trials of a space, or variants to compare")
        return self

    @model_validator(mode="after")
    def _variants_are_recipes(self) -> Self:
        kinds = set[str]()
        for name in self.variants:
            kinds.update(self.variant_kinds(name))
        if len(kinds) < len(self.variants) * self.repeats:
            rule = f"with {self.repeats} repeats two of {list(self.variants)} have one name"
            raise ValueError(f"variants: {rule}")
        for name, changes in self.variants.items():
            if name in _TAKEN_NAMES:
                raise ValueError(f"variants: {name!r} has another meaning; choose another name")
            self._check_changes(f"variants: {name}", changes)
        return self

    def _check_changes(self, place: str, changes: Mapping[str, Any]) -> None:
        try:
            self.recipe.replace(changes)
        except DefinitionError as error:
            raise ValueError(f"{place}: {error}") from None

    def replace(self, changes: Mapping[str, Any]) -> Self:
        """A copy with fields changed. Raises DefinitionError when that breaks a rule."""
        try:
            # as JSON, the recipe would forget which of its settings were given
            fields = self.model_dump(exclude={"recipe"}) | {"recipe": self.recipe}
            return type(self).model_validate(fields | dict(changes))
        except ValidationError as error:
            raise definition_error("sweep", error) from None

    @property
    def first_pruned_rung(self) -> int | None:
        """The first rung, from 1, at which a trial can be pruned; None if there is none."""
        return None if len(self.goals) > 1 else self.pruning.first_rung(self.rungs)

    @property
    def goals(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Directions of the objective, as Optuna names them."""
        return tuple("minimize" if goal in COSTS else "maximize" for goal in self.objective)

    @property
    def fixed(self) -> dict[str, Recipe]:
        """The recipes that are trained as they stand, by the kind of their trial.

        Controls come first, then all variants, then their second training, and so on.
        """
        recipes: dict[str, Recipe] = {name: self._control(name) for name in self.controls}
        for k in range(self.repeats):
            for name, changes in self.variants.items():
                recipes[_variant_kind(name, k)] = self.recipe.replace(changes)
        return recipes

    def _control(self, name: Control) -> Recipe:
        """The recipe of a control; with synthetic images only, it leaves out other photos."""
        control = self.recipe.replace(CONTROL_CHANGES[name])
        parts = control.mix.parts_without_photos()
        if not control.mix.others_photos or not parts:
            return control
        return control.replace({"mix.parts": parts})

    def variant_kinds(self, name: str) -> tuple[str, ...]:
        """The kinds of a variant's trials: its name, then its name with a number from 2."""
        return tuple(_variant_kind(name, k) for k in range(self.repeats))

    def replica(self, kind: str) -> int:
        """The number, from 0, of a control's or variant's trial among those of its recipe."""
        return self.kinds_alike(kind).index(kind)

    def kinds_alike(self, kind: str) -> tuple[str, ...]:
        """The kinds of all trials that train a control's or variant's recipe.

        For any other trial, only its own kind.
        """
        for name in self.variants:
            kinds = self.variant_kinds(name)
            if kind in kinds:
                return kinds
        return (kind,)

    @property
    def spare_seed(self) -> int:
        """The first seed number that no recipe plans to use; it replaces a lost one."""
        return 1 + max(self.repeats, self.confirm.seeds)


def _variant_kind(name: str, k: int) -> str:
    return name if k == 0 else f"{name} ({k + 1})"


def rung_images(total: int, rungs: int) -> tuple[int, ...]:
    """The numbers of images seen at which a trial reports, evenly spaced; the last is `total`."""
    return tuple(total * (i + 1) // rungs for i in range(rungs))


def rung_number(images: int, total: int, rungs: int) -> int:
    """The rung, from 1, that a trial of `total` images has reached after `images` of them."""
    return bisect_left(rung_images(total, rungs), images) + 1
