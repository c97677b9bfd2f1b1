"""Needs: the generators, folders of assets, photos and images that the scenes of a sweep need."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.reach import proposed_mixes, proposed_values
from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.stock import Stock, load_stock


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


class PasteInputs(NamedTuple):
    """The settings of pasted images that name folders. photos is "" before a run names them."""

    photos: str
    cutouts: str

    def stock(self) -> Stock:
        """The photos and cut-outs. Raises DataError for folders that cannot be used."""
        return load_stock(self.photos, self.cutouts)


def scene_inputs(sweep: LoadedSweep) -> set[SceneInputs]:
    """All inputs that scenes of the sweep may have; pasted images have others, see `paste_inputs`.

    A source of scenes makes its own changes to the settings of its recipe, or of the search. A
    source of a fixed recipe that has no share is not rendered.
    """
    inputs = set[SceneInputs]()
    for arrangement, *values in _inputs(sweep, ("arrangement", *SceneInputs._fields)):
        materials = SceneInputs._make(values)
        if arrangement != "paste" or materials.generator.startswith(COMMAND):
            inputs.add(materials)
    return inputs


def paste_inputs(sweep: LoadedSweep) -> set[PasteInputs]:
    """All inputs that pasted images of the sweep may have, as `scene_inputs`."""
    fields = ("arrangement", "generator", *PasteInputs._fields)
    inputs = set[PasteInputs]()
    for arrangement, generator, *values in _inputs(sweep, fields):
        if arrangement == "paste" and not generator.startswith(COMMAND):
            inputs.add(PasteInputs._make(values))
    return inputs


def _inputs(sweep: LoadedSweep, fields: Sequence[str]) -> set[tuple[str, ...]]:
    """The values that these settings may have together in scenes of the sweep."""
    inputs: set[tuple[str, ...]] = set()
    for recipe in sweep.fixed.values():
        for scene, _ in recipe.scenes().values():
            inputs.add(tuple(str(getattr(scene, name)) for name in fields))
    if not sweep.trials:
        return inputs
    for name, source in sweep.recipe.mix.sources.items():
        if isinstance(source, Scenes) and _may_be_shown(name, sweep):
            choices = [_values_of(sweep, source, f"scene.{field}") for field in fields]
            inputs |= set(product(*choices))
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
