"""Effective: whether the settings that a trial found in force are those that were proposed."""

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.errors import SyndetError
from syndet_ray.recipe import REAL, Mix, Recipe, SceneParameters, Scenes
from syndet_ray.schedule import images_until

# Settings of what only a training with real images has.
_OF_REAL = ("mix.real_images", "mix.switch_at", "training.rate_after_switch")


def check_settings(
    proposed: Mapping[str, Any], effective: Mapping[str, Any], *, searched: Collection[str] = ()
) -> None:
    """Raises SyndetError, naming the setting, unless what a trial found in force is what was proposed.

    proposed   every setting by dotted path
    effective  those in force, by dotted path, and facts beside them, see Trainer.effective
    searched   those that the search has chosen: each must be in force
    """
    recipe = Recipe().replace(proposed)
    for path in searched:
        if path not in effective and _is_about_something(path, recipe, effective):
            rule = "is searched, and nothing in this training acts on it"
            do = "Take it out of the space, or name in its `when` the values of other settings under which it acts."
            raise SyndetError(f"trial: {path}", rule, got=proposed[path], do=do)
    for path, value in proposed.items():
        if path in effective:
            _check(path, _meant(path, value, recipe, effective), effective[path])


def check_effective(
    proposed: Mapping[str, Any], effective: Mapping[str, Any], *, searched: Collection[str] = ()
) -> None:
    """Raises SyndetError as check_settings does, and unless what follows from the settings came about.

    That is, in a training that has begun: which sources there are and how they were rendered, how often each was drawn, and
    the rate of the last step.
    """
    check_settings(proposed, effective, searched=searched)
    recipe = Recipe().replace(proposed)
    _check_sources(recipe, effective)
    _check_drawn(recipe, effective)
    _check_optimizer(recipe, effective)


def scenes_in_force(mix: Mix, given: Mapping[str, SceneParameters]) -> dict[str, Any]:
    """Settings of scenes by dotted path, as generators were given them, from the first source that makes no change to them.

    given  the parameters of each source whose scenes were rendered
    """
    settings: dict[str, Any] = {}
    for name, parameters in given.items():
        source = mix.sources[name]
        assert isinstance(source, Scenes), name
        for field, value in parameters.model_dump(mode="json").items():
            path = f"scene.{field}"
            if path not in source.changes:
                settings.setdefault(path, value)
    return settings


def working_px_in_force(photos: Iterable[Pool]) -> int | list[int]:
    """The longer side of all photos, in pixels of the images that a detector sees; where photos differ, all that there are."""
    longer_sides = np.concatenate([pool.sizes_wh.max(axis=1, initial=0) for pool in photos])
    sides_px = np.unique(longer_sides).tolist()
    return sides_px[0] if len(sides_px) == 1 else sides_px


def _is_about_something(path: str, recipe: Recipe, effective: Mapping[str, Any]) -> bool:
    """False for a setting of what this recipe has none of, where no `when` of a search can tell.

    A search that divides images among sources comes upon shares of nothing: then nothing is said of real images, or of the
    scenes that take a setting from the recipe. And which number of frozen stages is all of them depends on the backbone.
    """
    if path.startswith("scene.") or path == "mix.synthetic_images":
        return _shows_scenes(path, recipe)
    if path == "detector.backbone_rate" and recipe.detector.frozen_stages != "all":
        return bool(effective["detector.frozen_stages"] < effective["backbone_stages"])
    return path not in _OF_REAL or recipe.mix.shares[REAL] > 0


def _shows_scenes(path: str, recipe: Recipe) -> bool:
    """Whether scenes have a share, and not only those that have a value of their own for a setting that others follow."""
    sources = {name: source for name, source in recipe.mix.sources.items() if isinstance(source, Scenes)}
    following = {name for name, source in sources.items() if not _has_its_own(source, path)}
    shown = recipe.scenes().keys()
    return bool(shown & following if following else shown)


def _has_its_own(source: Scenes, path: str) -> bool:
    """Whether a source says itself what a setting of scenes, or their number, is."""
    return source.images is not None if path == "mix.synthetic_images" else path in source.changes


def _meant(path: str, value: Any, recipe: Recipe, effective: Mapping[str, Any]) -> Any:
    """What a proposed value comes to, as it is found in force."""
    if path == "mix.real_images":
        return recipe.mix.real_count(effective["real_images_there"])
    if path == "detector.frozen_stages" and value == "all":
        return effective["backbone_stages"]
    if path == "detector.anchor_px" and value != "auto":
        return sorted(set(value))
    return value


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
    shares = recipe.mix.shares
    _check("mix.sources", sorted(name for name in shares if shares[name] > 0), sorted(effective["pools"]))
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
    factor = RateSchedule.of(recipe).factor(effective["rate_set_at"])
    for name, group in effective["optimizer"].items():
        place = f"({name}, after {effective['rate_set_at']} images)"
        rate = training.learning_rate * (recipe.detector.backbone_rate if name.startswith("backbone_") else 1.0)
        decay = training.weight_decay if name.endswith("weights") else 0.0
        _check(f"training.learning_rate ({name})", rate, group["initial_lr"])
        _check(f"training.learning_rate {place}", rate * factor, group["lr"])
        _check(f"training.weight_decay ({name})", decay, group["weight_decay"])
        if training.optimizer == "sgd":
            _check(f"training.momentum ({name})", training.momentum, group["momentum"])


def parameters_hash(parameters: SceneParameters) -> str:
    """A short name of scene parameters: equal parameters have equal ones."""
    return hashlib.sha256(parameters.settled().model_dump_json().encode()).hexdigest()[:16]
