"""Settle: what a sweep leaves to "auto", decided from its photos and from what its trials run on."""

from collections.abc import Callable
from typing import Any

from syndet_ray.errors import DefinitionError
from syndet_ray.recipe import Recipe
from syndet_ray.sweep import Sweep
from syndet_ray.tuning.preflight import RealData
from syndet_ray.tuning.task import Resources


def settled(sweep: Sweep, use: Resources, data: RealData, note: Callable[[str], None]) -> Sweep:
    """The sweep with nothing left to "auto" in its recipe, from which controls, variants and proposals derive.

    `note` is told, in words, what the machine decided. Raises SyndetError for a detector that cannot be built, or whose
    weights cannot be had.
    """
    from syndet_ray.detection.settle import settled as settled_detector

    detector, words = settled_detector(sweep.recipe.detector, bool(use.gpus))
    if words:
        note(words)
    # The detector first: some starting weights fit their own anchors only.
    recipe = sweep.recipe.model_copy(update={"detector": detector})
    found = sweep.model_copy(update={"recipe": recipe.replace(_from_the_photos(recipe, data))})
    _check_detectors(found, data.pools["train"].classes)
    return found


def _check_detectors(sweep: Sweep, classes: tuple[str, ...]) -> None:
    """Builds every detector that a recipe of the sweep may ask for. Raises SyndetError for one that cannot be built."""
    from syndet_ray.detection.models import build

    recipes = [sweep.recipe, *sweep.fixed.values()]
    for path, parameter in sweep.parameters.items():
        if path.startswith("detector."):
            recipes += [sweep.recipe.replace({path: value}) for value in parameter.samples()]
    for recipe in recipes:
        _check_settled(recipe)
    distinct = {recipe.detector.model_dump_json(): recipe.detector for recipe in recipes}
    for detector in distinct.values():
        build(detector, classes, seed=0)


def _check_settled(recipe: Recipe) -> None:
    """Raises DefinitionError for a recipe that changes a setting on which others were settled, and not those."""
    for path, value in recipe.flat().items():
        if path.startswith(("detector.", "training.")) and value == "auto":
            rule = "cannot be auto in a variant or a search: it is settled once, for the sweep's own recipe"
            raise DefinitionError(path, rule, do="Give its value.")
    if recipe.detector.weights == "none" and recipe.detector.frozen_stages != 0:
        do = "Set detector.frozen_stages to 0 beside it."
        raise DefinitionError("detector.weights", "random weights cannot be frozen", got="none", do=do)


def _from_the_photos(recipe: Recipe, data: RealData) -> dict[str, Any]:
    """Changes to the recipe: each setting about sizes that it leaves open, as the training objects ask for."""
    fitting = {
        "detector.working_px": data.scale.longest_px,
        "detector.anchor_px": data.anchor_px,
        "detector.aspect_ratios": data.aspect_ratios,
        "training.crop_px": data.scale.crop_px,
    }
    return {path: value for path, value in fitting.items() if recipe.get(path) == "auto"}
