"""Effective: whether the settings that a trial found in force are those that were proposed."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from syndet_ray.detection.train import rate_factor
from syndet_ray.errors import SyndetError
from syndet_ray.recipe import REAL, Recipe, SceneParameters
from syndet_ray.schedule import images_until, switch_at


def check_effective(proposed: Mapping[str, Any], effective: Mapping[str, Any]) -> None:
    """Raises SyndetError, naming the setting, unless all that a trial found in force is what was proposed.

    Settings are compared as such; what follows from them (the rate of the last step, the number of images of each source,
    how often each was drawn) with what it should be by now.
    """
    for path, value in proposed.items():
        _check(path, value, effective.get(path, value))
    recipe = Recipe().replace(proposed)
    _check_sources(recipe, effective)
    _check_drawn(recipe, effective)
    _check_optimizer(recipe, effective)


def _check(setting: str, wanted: Any, found: Any) -> None:
    if not _same(wanted, found):
        raise SyndetError(f"trial: {setting}", f"was proposed as {wanted!r} but is not in force so", got=found)


def _same(wanted: Any, found: Any) -> bool:
    """Whether two plain values mean the same: numbers to within rounding, a tuple as a list."""
    if isinstance(wanted, Mapping):
        same_keys = isinstance(found, Mapping) and wanted.keys() == found.keys()
        return same_keys and all(_same(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return isinstance(found, (list, tuple)) and len(wanted) == len(found) and all(map(_same, wanted, found))
    if isinstance(wanted, float) and isinstance(found, (int, float)):
        return math.isclose(wanted, found, rel_tol=1e-9, abs_tol=1e-12)
    return bool(found == wanted)


def _check_sources(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError unless exactly the sources with a share are drawn from, and they are what was asked for."""
    shares, mix = recipe.mix.shares, recipe.mix
    _check("mix.sources", sorted(name for name in shares if shares[name] > 0), sorted(effective["pools"]))
    if shares[REAL] > 0:
        _check("mix.real_images", mix.real_count(effective["real_images_there"]), effective["real_images"])
    for name, (parameters, count) in recipe.scenes().items():
        _check(f"mix.sources.{name}.images", count, effective["pools"][name]["images"])
        _check(f"mix.sources.{name}.changes", parameters_hash(parameters), effective["scenes"].get(name))


def _check_drawn(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError where a source was drawn more often or more seldom than exact batches allow (see Trainer)."""
    seen, drawn = effective["images_seen"], effective["drawn"]
    leeway = max(1, len(drawn) - 1)
    for source, wanted in images_until(recipe.mix, seen, recipe.training.images).items():
        found = drawn.get(source, 0)
        if abs(found - wanted) >= leeway:
            rule = f"{source} was to be {wanted:.2f} of {seen} images, to within less than {leeway}"
            raise SyndetError("trial: mix", rule, got=found)


def _check_optimizer(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError unless every group of parameters was stepped as the recipe says for this moment."""
    training = recipe.training
    factor = rate_factor(effective["rate_set_at"], training, switch_at(recipe.mix))
    for name, group in effective["optimizer"].items():
        place = f"({name}, after {effective['rate_set_at']} images)"
        rate = training.learning_rate * (recipe.detector.backbone_rate if name.startswith("backbone_") else 1.0)
        decay = training.weight_decay if name.endswith("weights") else 0.0
        _check(f"training.learning_rate ({name})", rate, group["initial_lr"])
        _check(f"training.learning_rate {place}", rate * factor, group["lr"])
        _check(f"training.weight_decay ({name})", decay, group["weight_decay"])
        if training.optimizer == "sgd":
            _check("training.momentum", training.momentum, group["momentum"])


def parameters_hash(parameters: SceneParameters) -> str:
    """A short name of scene parameters: equal parameters have equal ones."""
    return hashlib.sha256(parameters.settled().model_dump_json().encode()).hexdigest()[:16]
