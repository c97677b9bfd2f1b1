"""Given: settings that a person gives a sweep, in place of those of its recipe."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from syndet_ray.definitions import reach
from syndet_ray.definitions.effect import Facts, NoEffect, no_effect
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import BUILT_IN, COMMAND
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.space_check import check_space
from syndet_ray.errors import DefinitionError

SOURCES = "mix.sources"
# Settings that say what scenes are made of; without scenes they have no effect.
MATERIALS = ("scene.assets", "scene.backgrounds", "scene.generator")
# Settings for which there is an option of its own, by its name.
_OPTIONS = {SOURCES: "synthetic"} | {path: path.removeprefix("scene.") for path in MATERIALS}
_FLIPS = ("training.flip_vertical", "training.transpose")  # for photos from above
_DO_ABOUT_SYNTHETIC = (
    "A synthetic dataset takes the place of rendered scenes: choose a sweep that asks nothing "
    "about scenes, such as learning_rate or annotation_budget, or leave `synthetic` out."
)


def with_given(sweep: LoadedSweep, given: Mapping[str, Any]) -> LoadedSweep:
    """The sweep with what its user gave instead of its own.

    given  fields of the sweep, and "settings" of its recipe by their dotted paths

    With other objects, it no longer searches what acts on the built-in dice alone. Raises
    DefinitionError for a value that breaks a rule, and by name for a setting that the sweep
    searches, that has no effect in any of its recipes, or that leaves another without effect.
    """
    fields = {name: value for name, value in given.items() if name != "settings"}
    changed = sweep.replace(fields)
    settings = given.get("settings", {})
    return _with_settings(changed, settings) if settings else changed


def place_of(path: str) -> str:
    """The place of a given setting in an error: its option where it has one."""
    return f"`{_OPTIONS[path]}` ({path})" if path in _OPTIONS else path


def _with_settings(sweep: LoadedSweep, settings: Mapping[str, Any]) -> LoadedSweep:
    _check_not_searched(sweep, settings)
    left_out = dice_parameters(sweep, settings)
    parameters = {
        path: parameter for path, parameter in sweep.parameters.items() if path not in left_out
    }
    try:
        recipe = _recipe_with(sweep.recipe, settings)
        changed = sweep.replace({"recipe": recipe, "space": (SearchSpace(parameters),)})
        check_space(changed.parameters, changed.recipe)
        changed.check()
    except DefinitionError as error:
        if SOURCES not in settings:
            raise
        do = _DO_ABOUT_SYNTHETIC
        raise DefinitionError(error.place, error.rule, got=error.got, do=do) from None
    for path, reason in _idle_reasons(changed, settings).items():
        raise DefinitionError(place_of(path), f"is given, and {reason.words()}", do="Leave it out.")
    return changed


def defaults_for(
    sweep: LoadedSweep, defaults: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings of a project that a sweep takes: what it searches, what has no effect in it and what
    its user gave otherwise is left out.

    defaults  the settings of the project
    settings  what the user gave
    """
    left = _without_given(defaults, settings)
    searched = set(sweep.parameters.settings())
    left = {path: value for path, value in left.items() if path not in searched}
    changed = sweep.replace({"recipe": _recipe_with(sweep.recipe, {**left, **settings})})
    idle = _idle_reasons(changed, left)
    return {path: value for path, value in left.items() if path not in idle}


def scene_defaults(
    defaults: Mapping[str, Any], settings: Mapping[str, Any], facts: Facts
) -> dict[str, Any]:
    """Settings of a project that scenes alone take, as `defaults_for` a sweep."""
    left = _without_given(defaults, settings)
    left = {path: value for path, value in left.items() if path.startswith("scene.")}
    left.pop("scene.match", None)  # it needs photos, and there are none
    recipe = Recipe().replace({**left, **settings})
    return {path: value for path, value in left.items() if no_effect(path, recipe, facts) is None}


def without_flips(sweep: LoadedSweep, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that turn off upside-down flips and swapped axes, if the sweep is given other
    objects than the built-in dice that its file names.

    Dice photographed from above look alike whichever way they are turned; other things may have an
    upper side. Flips that the user gives, or that the file of a sweep of other objects has, stay.
    """
    if not _has_other_objects(settings) or not _has_dice(sweep):
        return {}
    kept = {*settings, *sweep.parameters.settings()}
    return {path: 0.0 for path in _FLIPS if path not in kept and sweep.recipe.get(path) > 0}


def dice_parameters(sweep: LoadedSweep, settings: Mapping[str, Any]) -> list[str]:
    """The searched settings that act on the built-in dice alone, if the sweep is given others."""
    if SOURCES in settings or not _has_other_objects(settings):
        return []
    recipe = sweep.recipe.replace(settings)
    idle = []
    for path, _ in sweep.parameters.items():
        reason = no_effect(path, recipe) if path.startswith("scene.") else None
        if reason is not None and reason.because_of == {"scene.assets"}:
            idle.append(path)
    return idle


def _has_other_objects(settings: Mapping[str, Any]) -> bool:
    """True if settings name objects that are not built in, or let others make them."""
    if SOURCES in settings or settings.get("scene.assets", "dice") not in BUILT_IN:
        return True
    return settings.get("scene.generator", "").startswith(COMMAND)


def _has_dice(sweep: LoadedSweep) -> bool:
    """True if all scenes of a sweep, as its file has it, show the built-in dice."""
    return all(scene.assets in BUILT_IN for scene in reach.scenes(sweep))


def _recipe_with(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with other settings; other sources share evenly what it divided among its own."""
    parts = {} if SOURCES in settings else recipe.mix.parts
    return recipe.replace({"mix.parts": parts, **settings})


def _without_given(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a project that its user did not replace.

    Objects that are given take the place of the project's synthetic dataset.
    """
    left = {path: value for path, value in defaults.items() if path not in settings}
    if not settings.keys().isdisjoint(MATERIALS):
        left.pop(SOURCES, None)
    return left


def _check_not_searched(sweep: LoadedSweep, settings: Mapping[str, Any]) -> None:
    for path in settings:
        if path in sweep.parameters.settings():
            rule = f"{path} is what this sweep searches"
            raise DefinitionError("`settings`", rule, do="Change its range in the sweep's file.")


def _idle_reasons(sweep: LoadedSweep, paths: Collection[str]) -> dict[str, NoEffect]:
    """The settings that have no effect in any recipe of a sweep, each with the reason in one."""
    recipes = list(sweep.fixed.values())
    if sweep.trials:
        recipes.append(sweep.recipe)
    searched = sweep.parameters.settings()
    idle = {}
    for path in paths:
        reasons = _reasons(path, recipes)
        if len(reasons) == len(recipes) and all(
            reason.because_of.isdisjoint(searched) for reason in reasons
        ):
            idle[path] = reasons[-1]
    return idle


def _reasons(path: str, recipes: Sequence[Recipe]) -> list[NoEffect]:
    """The reasons why a setting has no effect, of the recipes in which it has none."""
    reasons = [no_effect(path, recipe) for recipe in recipes]
    return [reason for reason in reasons if reason is not None]
