"""Needs: the generators, folders of assets and images that the scenes of a sweep need."""

from itertools import product
from typing import NamedTuple

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.reach import proposed_mixes, proposed_values
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import Library


class SceneInputs(NamedTuple):
    """The settings of scenes that name something outside the sweep: the generator, and the folders
    of what scenes are made of.
    """

    generator: str
    assets: str
    surroundings: str
    backgrounds: str

    def library(self) -> Library:
        """The library of these folders. Raises DataError where a folder is no set of assets."""
        return load(self.assets, self.surroundings, self.backgrounds)


def scene_inputs(sweep: LoadedSweep) -> set[SceneInputs]:
    """All inputs that scenes of the sweep may have.

    A source of scenes makes its own changes to the settings of its recipe, or of the search. A
    source of a fixed recipe that has no share is not rendered.
    """
    inputs: set[SceneInputs] = set()
    for recipe in sweep.fixed.values():
        for scene, _ in recipe.scenes().values():
            values = [str(getattr(scene, name)) for name in SceneInputs._fields]
            inputs.add(SceneInputs._make(values))
    if not sweep.trials:
        return inputs
    for name, source in sweep.recipe.mix.sources.items():
        if isinstance(source, Scenes) and _may_be_shown(name, sweep):
            choices = [_values_of(sweep, source, f"scene.{field}") for field in SceneInputs._fields]
            inputs |= {SceneInputs(*choice) for choice in product(*choices)}
    return inputs


def _may_be_shown(name: str, sweep: LoadedSweep) -> bool:
    """True if the search may propose a recipe in which a source has a share."""
    # A Simplex divides these two.
    is_divided = {"mix.parts", "mix.synthetic"} <= set(sweep.parameters.settings())
    return is_divided or any(recipe.mix.shares[name] > 0 for recipe in proposed_mixes(sweep))


def _values_of(sweep: LoadedSweep, source: Scenes, path: str) -> set[str]:
    """The values that a setting of scenes may have in proposed recipes."""
    if path in source.changes:
        return {str(source.changes[path])}
    return {str(value) for value in proposed_values(sweep, path)}
