"""Reach: settings, scenes and photos that recipes of a sweep may have.

These are the recipes that it names, and all that its search may propose.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL, Photos, Scenes, Synthetic
from syndet_ray.definitions.parameter import Simplex
from syndet_ray.definitions.recipe import Detector, Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.space import SHARES
from syndet_ray.errors import DefinitionError

# Settings that decide if a recipe uses real photos, scenes, or neither.
_DECIDES_SHARES = ("mix.synthetic", "mix.schedule", "mix.switch_at", "mix.real_images")
# Beginnings of the names of settings that may be "auto".
MAY_BE_AUTO = ("detector.", "training.", "scene.image_px")
_NUMBER = "mix.synthetic_images"  # of the distinct scenes of a source


def shows_real(sweep: LoadedSweep) -> bool:
    """True when a recipe of the sweep, or one that it may propose, trains on real photos."""
    if any(_has_real(recipe) for recipe in sweep.fixed.values()):
        return True
    return sweep.trials > 0 and any(_has_real(recipe) for recipe in proposed_mixes(sweep))


def _has_real(recipe: Recipe) -> bool:
    return recipe.mix.shares[REAL] > 0


def values(sweep: LoadedSweep, path: str) -> set[Any]:
    """All values that a setting may have in the sweep's recipes."""
    return proposed_values(sweep, path) | {recipe.get(path) for recipe in sweep.fixed.values()}


def proposed_values(sweep: LoadedSweep, path: str) -> set[Any]:
    """All values that a setting may have in the recipes that the search proposes."""
    return {sweep.recipe.get(path), *sweep.parameters.samples(path)}


def scenes(sweep: LoadedSweep) -> list[SceneParameters]:
    """The scenes of all fixed recipes, and of the recipe that a search starts from."""
    recipes = list(sweep.fixed.values())
    if sweep.trials:
        recipes.append(sweep.recipe)
    scenes = []
    for recipe in recipes:
        scenes += [parameters for parameters, _ in recipe.scenes().values()]
    return scenes


def rendered_sets(sweep: LoadedSweep) -> list[tuple[SceneParameters, int]]:
    """The sets of scenes that are rendered at most: parameters and number of scenes.

    A set is rendered once. But if a search varies scenes, or their number, every proposal has sets
    of its own: the sets of the recipe, with the maximum number of scenes, stand for them.
    """
    distinct = {}
    for recipe in (sweep.recipe, *sweep.fixed.values()):
        for rendered in recipe.scenes().values():
            distinct[repr(rendered)] = rendered
    sets = list(distinct.values())
    varied = sweep.parameters.settings()
    if any(path.startswith("scene.") or path == _NUMBER for path in varied):
        largest = sweep.recipe.replace({_NUMBER: max(proposed_values(sweep, _NUMBER))})
        sets += list(largest.scenes().values()) * sweep.proposals
    return sets


def rendered_sizes(sweep: LoadedSweep) -> set[tuple[float, float]]:
    """Minimum and maximum size of objects, px, of every kind of scene that may be rendered."""
    ranges = {scene.size_px for scene in scenes(sweep) if not scene.pastes}
    return ranges | set(sweep.parameters.samples("scene.size_px"))


def datasets(sweep: LoadedSweep) -> dict[str, Photos | Synthetic]:
    """Other photos, and synthetic datasets made elsewhere, that a recipe of the sweep may use, by
    folder.
    """
    sources: dict[str, Photos | Synthetic] = {}
    for recipe in (sweep.recipe, *sweep.fixed.values()):
        for source in recipe.mix.sources.values():
            if not isinstance(source, Scenes):
                sources[source.folder] = source
    return sources


def proposed_mixes(sweep: LoadedSweep) -> Iterator[Recipe]:
    """The sweep's recipe with every combination of the ends that a search may give its mix."""
    choices = {path: proposed_values(sweep, path) for path in _DECIDES_SHARES}
    shares = dict(sweep.parameters.items()).get(SHARES)
    if isinstance(shares, Simplex) and REAL in shares.sources:
        choices["mix.synthetic"] |= {0.0, 1.0}
    for combination in product(*choices.values()):
        changes = dict(zip(_DECIDES_SHARES, combination, strict=True))
        try:
            yield sweep.recipe.replace(changes)
        except DefinitionError:  # each value may be proposed, but not all of them together
            continue


def detectors_of(sweep: LoadedSweep) -> list[Detector]:
    """The different detectors of a settled sweep's recipes that we build and train ourselves, see
    `recipes_of_detectors`.
    """
    detectors = dict.fromkeys(recipe.detector for recipe in recipes_of_detectors(sweep))
    return [detector for detector in detectors if not detector.program]


def programs_of(sweep: LoadedSweep) -> dict[str, Recipe]:
    """A recipe of each training program that recipes of a sweep may have, by its command."""
    recipes: dict[str, Recipe] = {}
    for recipe in recipes_of_detectors(sweep):
        if recipe.detector.program:
            recipes.setdefault(recipe.detector.program, recipe)
    return recipes


def recipes_of_detectors(sweep: LoadedSweep) -> list[Recipe]:
    """The sweep's recipes, and those that a search may propose, one setting changed at a time.

    Only settings that may be "auto" are changed.
    """
    recipes = [sweep.recipe, *sweep.fixed.values()]
    for path, parameter in sweep.parameters.items():
        if path.startswith(MAY_BE_AUTO):
            conditions = sweep.parameters.conditions_met(path, sweep.recipe)
            for value in parameter.samples():
                recipes.append(sweep.recipe.replace({**conditions, path: value}))
    return recipes
