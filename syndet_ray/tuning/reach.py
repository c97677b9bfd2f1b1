"""Reach: what recipes of a sweep may come to, those that it names and all that its search may propose."""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from syndet_ray.errors import DefinitionError
from syndet_ray.parameter import Simplex
from syndet_ray.recipe import REAL, Photos, Recipe, SceneParameters, Scenes
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import Library
from syndet_ray.space import SHARES
from syndet_ray.sweep import Sweep

# Settings by which a search may come to recipes that show real photos, or scenes, or none of them.
_DECIDES_SHARES = ("mix.synthetic", "mix.schedule", "mix.switch_at", "mix.real_images")

_NUMBER = "mix.synthetic_images"


class Materials(NamedTuple):
    """What scenes are drawn with, and what they are made of: settings of scenes that name something outside the sweep."""

    generator: str
    assets: str
    surroundings: str
    backgrounds: str

    def library(self) -> Library:
        """What scenes are made of. Raises DataError where a folder is no set of assets."""
        return load(self.assets, self.surroundings, self.backgrounds)


def shows_real(sweep: Sweep) -> bool:
    """Whether a recipe of the sweep trains on real photos, or the search may propose one that does."""
    if any(recipe.mix.shares[REAL] > 0 for recipe in sweep.fixed.values()):
        return True
    return bool(sweep.trials) and any(recipe.mix.shares[REAL] > 0 for recipe in _proposed_mixes(sweep))


def values(sweep: Sweep, path: str) -> set[Any]:
    """All values that a setting may have in the sweep's recipes."""
    return proposed(sweep, path) | {recipe.get(path) for recipe in sweep.fixed.values()}


def proposed(sweep: Sweep, path: str) -> set[Any]:
    """All values that a setting may have in the recipes that the search proposes."""
    return {sweep.recipe.get(path), *sweep.parameters.samples(path)}


def scenes(sweep: Sweep) -> list[SceneParameters]:
    """The scenes of all fixed recipes, and of the one that proposals start from, where there are any."""
    recipes = [*sweep.fixed.values(), *([sweep.recipe] if sweep.trials else [])]
    return [scene for recipe in recipes for scene, _ in recipe.scenes().values()]


def rendered_sets(sweep: Sweep) -> list[tuple[SceneParameters, int]]:
    """The sets of scenes that are rendered, as parameters and number of scenes: at most, and each as often as it is rendered.

    A set is rendered once, but where a search varies scenes, or how many there are, every proposal has sets of its own: those
    of the recipe, with the greatest number of scenes, stand for them.
    """
    recipes = (sweep.recipe, *sweep.fixed.values())
    distinct = {repr(rendered): rendered for recipe in recipes for rendered in recipe.scenes().values()}
    varies_scenes = any(path.startswith("scene.") or path == _NUMBER for path in sweep.parameters.settings())
    most = sweep.recipe.replace({_NUMBER: max(proposed(sweep, _NUMBER))})
    of_a_proposal = list(most.scenes().values()) if varies_scenes else []
    return [*distinct.values(), *(of_a_proposal * sweep.proposals)]


def rendered_sizes(sweep: Sweep) -> set[tuple[float, float]]:
    """Least and greatest size of objects, px, of every kind of scene that the sweep may render."""
    ranges = {scene.size_px for scene in scenes(sweep)}
    return ranges | set(sweep.parameters.samples("scene.size_px"))


def photo_folders(sweep: Sweep) -> list[str]:
    """The folders of others' photos that a recipe of the sweep may ask for."""
    recipes = (sweep.recipe, *sweep.fixed.values())
    sources = (source for recipe in recipes for source in recipe.mix.sources.values())
    return list(dict.fromkeys(source.folder for source in sources if isinstance(source, Photos)))


def materials(sweep: Sweep) -> set[Materials]:
    """What scenes of the sweep may be made with and of, by generator, assets, surroundings and backgrounds.

    A source of scenes makes its own changes to the settings of its recipe, or of the search; a source of a fixed recipe
    that has no share is not drawn.
    """
    rendered: set[Materials] = set()
    for recipe in sweep.fixed.values():
        for scene, _ in recipe.scenes().values():
            rendered.add(Materials._make(str(getattr(scene, name)) for name in Materials._fields))
    for name, source in sweep.recipe.mix.sources.items() if sweep.trials else ():
        if isinstance(source, Scenes) and _may_be_shown(name, sweep):
            choices = [_values_of(sweep, source, f"scene.{setting}") for setting in Materials._fields]
            rendered |= {Materials(*choice) for choice in product(*choices)}
    return rendered


def _may_be_shown(name: str, sweep: Sweep) -> bool:
    """Whether the search may propose a recipe in which a source has a share."""
    parts = {"mix.parts", "mix.synthetic"} <= set(sweep.parameters.settings())  # a Simplex divides them
    return parts or any(recipe.mix.shares[name] > 0 for recipe in _proposed_mixes(sweep))


def _values_of(sweep: Sweep, source: Scenes, path: str) -> set[str]:
    """The values that a setting of scenes may have in proposed recipes."""
    if path in source.changes:
        return {str(source.changes[path])}
    return {str(value) for value in proposed(sweep, path)}


def _proposed_mixes(sweep: Sweep) -> Iterator[Recipe]:
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
