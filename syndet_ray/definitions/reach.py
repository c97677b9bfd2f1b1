"""Reach: what recipes of a sweep may come to, those that it names and all that its search may
propose.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL, Photos
from syndet_ray.definitions.parameter import Simplex
from syndet_ray.definitions.recipe import Detector, Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.space import SHARES
from syndet_ray.errors import DefinitionError

# Settings by which a search may come to recipes that show real photos, or scenes, or none of them.
_DECIDES_SHARES = ("mix.synthetic", "mix.schedule", "mix.switch_at", "mix.real_images")


# What names of settings that may be "auto" begin with.
MAY_BE_AUTO = ("detector.", "training.", "scene.image_px")
_NUMBER = "mix.synthetic_images"


def shows_real(sweep: LoadedSweep) -> bool:
    """Whether a recipe of the sweep trains on real photos, or the search may propose one that does."""
    if any(recipe.mix.shares[REAL] > 0 for recipe in sweep.fixed.values()):
        return True
    return bool(sweep.trials) and any(
        recipe.mix.shares[REAL] > 0 for recipe in proposed_mixes(sweep)
    )


def values(sweep: LoadedSweep, path: str) -> set[Any]:
    """All values that a setting may have in the sweep's recipes."""
    return proposed(sweep, path) | {recipe.get(path) for recipe in sweep.fixed.values()}


def proposed(sweep: LoadedSweep, path: str) -> set[Any]:
    """All values that a setting may have in the recipes that the search proposes."""
    return {sweep.recipe.get(path), *sweep.parameters.samples(path)}


def scenes(sweep: LoadedSweep) -> list[SceneParameters]:
    """The scenes of all fixed recipes, and of the one that proposals start from, where there are
    any.
    """
    recipes = [*sweep.fixed.values(), *([sweep.recipe] if sweep.trials else [])]
    return [scene for recipe in recipes for scene, _ in recipe.scenes().values()]


def rendered_sets(sweep: LoadedSweep) -> list[tuple[SceneParameters, int]]:
    """The sets of scenes that are rendered, as parameters and number of scenes: at most, and each
    as often as it is rendered.

    A set is rendered once, but where a search varies scenes, or how many there are, every proposal
    has sets of its own: those of the recipe, with the greatest number of scenes, stand for them.
    """
    recipes = (sweep.recipe, *sweep.fixed.values())
    distinct = {
        repr(rendered): rendered for recipe in recipes for rendered in recipe.scenes().values()
    }
    varies_scenes = any(
        path.startswith("scene.") or path == _NUMBER for path in sweep.parameters.settings()
    )
    most = sweep.recipe.replace({_NUMBER: max(proposed(sweep, _NUMBER))})
    of_a_proposal = list(most.scenes().values()) if varies_scenes else []
    return [*distinct.values(), *(of_a_proposal * sweep.proposals)]


def rendered_sizes(sweep: LoadedSweep) -> set[tuple[float, float]]:
    """Least and greatest size of objects, px, of every kind of scene that the sweep may render."""
    ranges = {scene.size_px for scene in scenes(sweep)}
    return ranges | set(sweep.parameters.samples("scene.size_px"))


def photo_folders(sweep: LoadedSweep) -> list[str]:
    """The folders of others' photos that a recipe of the sweep may ask for."""
    recipes = (sweep.recipe, *sweep.fixed.values())
    sources = (source for recipe in recipes for source in recipe.mix.sources.values())
    return list(dict.fromkeys(source.folder for source in sources if isinstance(source, Photos)))


def proposed_mixes(sweep: LoadedSweep) -> Iterator[Recipe]:
    """The sweep's recipe with the ends of all that its search may make of the mix."""
    choices = {path: proposed(sweep, path) for path in _DECIDES_SHARES}
    shares = dict(sweep.parameters.items()).get(SHARES)
    if isinstance(shares, Simplex) and REAL in shares.sources:
        choices["mix.synthetic"] |= {0.0, 1.0}
    for point in product(*choices.values()):
        try:
            yield sweep.recipe.replace(dict(zip(_DECIDES_SHARES, point, strict=True)))
        except DefinitionError:  # each value may be proposed, but not all of them together
            continue


def detectors_of(sweep: LoadedSweep) -> list[Detector]:
    """The different detectors of a settled sweep's recipes, and those that its search may propose,
    one setting at a time.
    """
    return list(dict.fromkeys(recipe.detector for recipe in recipes_of_detectors(sweep)))


def recipes_of_detectors(sweep: LoadedSweep) -> list[Recipe]:
    recipes = [sweep.recipe, *sweep.fixed.values()]
    for path, parameter in sweep.parameters.items():
        if path.startswith(MAY_BE_AUTO):
            conditions = sweep.parameters.conditions_met(path, sweep.recipe)
            recipes += [
                sweep.recipe.replace({**conditions, path: value}) for value in parameter.samples()
            ]
    return recipes
