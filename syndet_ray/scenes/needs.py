"""Needs: what the scenes of a sweep are rendered with and made of."""

from itertools import product
from typing import NamedTuple

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.reach import proposed, proposed_mixes
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import Library


class Materials(NamedTuple):
    """What scenes are drawn with, and what they are made of: settings of scenes that name something
    outside the sweep.
    """

    generator: str
    assets: str
    surroundings: str
    backgrounds: str

    def library(self) -> Library:
        """What scenes are made of. Raises DataError where a folder is no set of assets."""
        return load(self.assets, self.surroundings, self.backgrounds)


def materials(sweep: LoadedSweep) -> set[Materials]:
    """What scenes of the sweep may be made with and of, by generator, assets, surroundings and
    backgrounds.

    A source of scenes makes its own changes to the settings of its recipe, or of the search; a
    source of a fixed recipe that has no share is not drawn.
    """
    rendered: set[Materials] = set()
    for recipe in sweep.fixed.values():
        for scene, _ in recipe.scenes().values():
            rendered.add(Materials._make(str(getattr(scene, name)) for name in Materials._fields))
    for name, source in sweep.recipe.mix.sources.items() if sweep.trials else ():
        if isinstance(source, Scenes) and _may_be_shown(name, sweep):
            choices = [
                _values_of(sweep, source, f"scene.{setting}") for setting in Materials._fields
            ]
            rendered |= {Materials(*choice) for choice in product(*choices)}
    return rendered


def _may_be_shown(name: str, sweep: LoadedSweep) -> bool:
    """Whether the search may propose a recipe in which a source has a share."""
    # a Simplex divides them
    parts = {"mix.parts", "mix.synthetic"} <= set(sweep.parameters.settings())
    return parts or any(recipe.mix.shares[name] > 0 for recipe in proposed_mixes(sweep))


def _values_of(sweep: LoadedSweep, source: Scenes, path: str) -> set[str]:
    """The values that a setting of scenes may have in proposed recipes."""
    if path in source.changes:
        return {str(source.changes[path])}
    return {str(value) for value in proposed(sweep, path)}
