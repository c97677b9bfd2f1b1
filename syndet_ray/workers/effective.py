"""Effective: compares the effective settings of a trial with the proposed ones."""

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Any

from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.mix import Mix, Scenes
from syndet_ray.definitions.program import PROGRAM_SETTINGS, program_name
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.schedule import images_until
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.errors import SyndetError
from syndet_ray.metrics import (
    BACKBONE_STAGES,
    DRAWN,
    IMAGES_SEEN,
    OPTIMIZER,
    POOLS,
    RATE_SET_AT,
    REAL_IMAGES_THERE,
    SCENES,
    TRAINABLE_BACKBONE,
)
from syndet_ray.scenes.made_from import facts, made_from

DO_BY_PROGRAM = (
    'Let the program use it and report its value in "effective", or take it out of the space.'
)
_DO_ABOUT_REPORT = (
    "Let the program use the proposed value, and report the one that it uses, read from the object "
    "that uses it, such as the optimizer."
)

# Far above the rounding of doubles, far below any difference between two proposals.
_RELATIVE_ROUNDING, _ABSOLUTE_ROUNDING = 1e-9, 1e-12

_DO_ABOUT_SEARCHED = (
    "Take it out of the space, or name in its `when` "
    "the values of other settings under which it acts."
)


def check_settings(
    recipe: Recipe, effective: Mapping[str, Any], *, searched: Collection[str] = ()
) -> None:
    """Raises SyndetError unless the effective settings are those that were proposed.

    The error names the setting.

    recipe     as proposed
    effective  the effective settings, by dotted path, and other facts, see Trainer.effective
    searched   the settings that the search varies: all must be effective
    """
    proposed = recipe.flat()
    for path in searched:
        if not _is_effective(path, recipe, effective):
            rule = "is searched, and nothing in this training acts on it"
            do = DO_BY_PROGRAM if recipe.detector.program else _DO_ABOUT_SEARCHED
            raise SyndetError(f"trial: {path}", rule, got=proposed[path], do=do)
    for path, value in proposed.items():
        is_left_open = value == "auto"  # a program of the user has chosen a value
        if path in effective and not is_left_open:
            expected = _expected_value(path, value, recipe, effective)
            if recipe.detector.program and path.startswith(PROGRAM_SETTINGS):
                _check_reported(path, expected, effective[path], recipe.detector.program)
            else:
                _check(path, expected, effective[path])


def check_effective(
    recipe: Recipe, effective: Mapping[str, Any], *, searched: Collection[str] = ()
) -> None:
    """Raises SyndetError if a training did not do what follows from its settings.

    The training has begun. It checks the settings like check_settings, the sources and how they
    were rendered, how often each was drawn, and the learning rate of the last step.
    """
    check_program(recipe, effective, searched=searched)
    _check_optimizer(recipe, effective)


def check_program(
    recipe: Recipe, effective: Mapping[str, Any], *, searched: Collection[str] = ()
) -> None:
    """As check_effective, for a program of the user, whose optimizer is not ours to look at.

    A setting that is searched and that the program does not report raises SyndetError too.
    """
    check_settings(recipe, effective, searched=searched)
    _check_sources(recipe, effective)
    _check_drawn(recipe, effective)


def effective_scenes(mix: Mix, rendered: Mapping[str, SceneParameters]) -> dict[str, Any]:
    """Returns the settings of scenes that had an effect, by dotted path.

    Each comes from the first source that does not override it. A setting without effect is left
    out, such as occluders in a tray.

    rendered  the parameters of each source whose scenes were rendered
    """
    settings: dict[str, Any] = {}
    for name, parameters in rendered.items():
        source = mix.sources[name]
        assert isinstance(source, Scenes), name
        for field, value in made_from(parameters).items():
            path = f"scene.{field}"
            if not source.overrides(path):
                settings.setdefault(path, value)
    return settings


def _is_effective(path: str, recipe: Recipe, effective: Mapping[str, Any]) -> bool:
    """True if a searched setting has an effect and is reported, or is excused.

    A setting is excused if a number leaves it without effect. A search that divides images among
    sources also proposes shares of 0, with which no setting of real images, or of the scenes that
    take it from the recipe, has an effect. And it depends on the backbone with how many frozen
    stages no parameter is left to train.
    """
    reason = no_effect(path, recipe, facts)
    if reason is not None:
        return reason.by_number
    if path == "detector.backbone_rate" and effective.get(TRAINABLE_BACKBONE) == 0:
        return True
    return path in effective


def _expected_value(path: str, value: Any, recipe: Recipe, effective: Mapping[str, Any]) -> Any:
    """Returns a proposed value in the form in which it is effective, such as a number for "all"."""
    if path == "mix.real_images":
        return recipe.mix.real_count(effective[REAL_IMAGES_THERE])
    if path == "detector.frozen_stages" and value == "all":
        return effective.get(BACKBONE_STAGES, value)  # a program may count no stages
    if path == "detector.anchor_px" and value != "auto":
        return sorted(set(value))
    return value


def _check(setting: str, proposed: Any, effective: Any) -> None:
    if not _same(proposed, effective):
        rule = f"was proposed as {proposed!r}, but the effective value differs"
        raise SyndetError(f"trial: {setting}", rule, got=effective)


def _check_reported(setting: str, proposed: Any, reported: Any, program: str) -> None:
    """Raises SyndetError for a value of a setting that a program of the user reports as another."""
    if not _same(proposed, reported):
        rule = f"was proposed as {proposed!r}, but {program_name(program)} reports another value"
        raise SyndetError(f"trial: {setting}", rule, got=reported, do=_DO_ABOUT_REPORT)


def _same(proposed: Any, effective: Any) -> bool:
    """True if two plain values are equal: numbers up to rounding, a tuple as a list."""
    if isinstance(proposed, Mapping):
        if not isinstance(effective, Mapping) or proposed.keys() != effective.keys():
            return False
        return all(_same(value, effective[key]) for key, value in proposed.items())
    if isinstance(proposed, (list, tuple)):
        if not isinstance(effective, (list, tuple)) or len(proposed) != len(effective):
            return False
        return all(map(_same, proposed, effective))
    if isinstance(proposed, float) and isinstance(effective, (int, float)):
        try:
            return math.isclose(
                proposed, effective, rel_tol=_RELATIVE_ROUNDING, abs_tol=_ABSOLUTE_ROUNDING
            )
        except OverflowError:  # an integer that no float can hold
            return False
    return bool(effective == proposed)


def _check_sources(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError unless images come from exactly the sources with a share.

    They must be rendered with the scene parameters of the recipe.
    """
    pools, scenes = effective[POOLS], effective[SCENES]
    with_a_share = [name for name, share in recipe.mix.shares.items() if share > 0]
    _check("mix.sources", sorted(with_a_share), sorted(pools))
    for name, (parameters, count) in recipe.scenes().items():
        _check(f"mix.sources.{name}.images", count, pools[name]["images"])
        _check(f"mix.sources.{name}.changes", parameters_hash(parameters), scenes.get(name))


def _check_drawn(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError if a source was drawn more or less often than in exact batches.

    See Trainer.
    """
    images, counts = effective[IMAGES_SEEN], effective[DRAWN]
    tolerance = max(1, len(counts) - 1)
    plan = images_until(recipe.mix, images, recipe.training.images)
    for source, planned in plan.items():
        count = counts.get(source, 0)
        if abs(count - planned) >= tolerance:
            rule = (
                f"{source} must be {planned:.2f} of {images} images, "
                f"with a difference of less than {tolerance}"
            )
            raise SyndetError("trial: mix", rule, got=count)


def _check_optimizer(recipe: Recipe, effective: Mapping[str, Any]) -> None:
    """Raises SyndetError unless the last step of all parameters had the rates of the recipe."""
    training = recipe.training
    images = effective[RATE_SET_AT]
    factor = RateSchedule.of(recipe).factor(images)
    for name, group in effective[OPTIMIZER].items():
        place = f"({name}, after {images} images)"
        part = recipe.detector.backbone_rate if name.startswith("backbone_") else 1.0
        rate = training.learning_rate * part
        decay = training.weight_decay if name.endswith("weights") else 0.0
        _check(f"training.learning_rate ({name})", rate, group["initial_lr"])
        _check(f"training.learning_rate {place}", rate * factor, group["lr"])
        _check(f"training.weight_decay ({name})", decay, group["weight_decay"])
        if training.optimizer == "sgd":
            _check(f"training.momentum ({name})", training.momentum, group["momentum"])


def parameters_hash(parameters: SceneParameters) -> str:
    """Returns 16 hexadecimal digits of a SHA-256, the same for equal scene parameters."""
    text = parameters.settle().model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()[:16]
