"""Effect: finds settings of a recipe that have no effect with certain values of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters

Predicate = Callable[[Any], bool]
Facts = Callable[[SceneParameters], Mapping[str, bool]]

# Facts about the assets of scenes, which can only be learned from their folders; and the settings
# that name the folders.
OBJECTS_ARE_SOLID, SURROUNDINGS_ARE_SOLID = "objects are solid", "surroundings are solid"
_SETTING_OF_FACT = {OBJECTS_ARE_SOLID: "scene.assets", SURROUNDINGS_ARE_SOLID: "scene.surroundings"}


@dataclass(frozen=True, kw_only=True)
class NoEffect:
    """The reason why a setting has no effect in a recipe.

    where       in words, such as "training.optimizer is adamw"
    by_number   True when a number decides it, such as a share of 0: a search reaches that along a
                range, or while it divides images among sources, and a `when` cannot name it
    because_of  dotted settings that would have to change for the setting to have an effect
    """

    where: str
    by_number: bool = False
    because_of: frozenset[str] = frozenset()

    def words(self, setting: str = "it") -> str:
        """The reason as part of a sentence: "nothing acts on it where ..."."""
        return f"nothing acts on {setting} where {self.where}"


@dataclass(frozen=True)
class _Idle:
    """Conditions that together leave a setting without effect.

    where      tests of other settings, by dotted path, and of facts
    by_number  as in NoEffect
    """

    where: Mapping[str, Predicate]
    by_number: bool = False


def _is(*values: Any) -> Predicate:
    return lambda value: value in values


def _is_not(*values: Any) -> Predicate:
    return lambda value: value not in values


def _has_one_value(bounds: tuple[float, float]) -> bool:
    return bounds[0] == bounds[1]


# An external program may use any parameter: its settings always count as having an effect.
_OURS = {"scene.generator": _is("raycast", "blender")}
# A training program may use any setting too, except the one that names ours.
_OUR_DETECTOR = {"detector.program": _is("")}
_IN_TRAY = _OURS | {"scene.arrangement": _is("tray")}
_OF_3D = (_Idle(_OURS | {"scene.arrangement": _is("paste")}),)
_OF_PASTE = (_Idle(_OURS | {"scene.arrangement": _is_not("paste")}),)
_OF_LAYERS = (_Idle(_OURS | {"scene.arrangement": _is_not("layers")}),)
_OF_TRAY = (_Idle(_OURS | {"scene.arrangement": _is_not("tray")}),)
_NOT_OF_TRAY = (_Idle(_IN_TRAY),)
_NOT_OF_LAYERS = (_Idle(_OURS | {"scene.arrangement": _is("layers")}),)
_OF_SURROUNDINGS = (_Idle(_IN_TRAY | {"scene.distractors": _is(0)}, by_number=True),)
# The mirror images of a photographed object are in its photo: only meshes mirror the scene.
_OF_CUT_OUTS = (
    _Idle(_OURS | {OBJECTS_ARE_SOLID: _is(False), SURROUNDINGS_ARE_SOLID: _is(False)}),
    _Idle(_IN_TRAY | {OBJECTS_ARE_SOLID: _is(False), "scene.distractors": _is(0)}, by_number=True),
)
_OF_MESHES = (
    _Idle(_OURS | {"scene.assets": _is("dice")}),
    _Idle(_OURS | {OBJECTS_ARE_SOLID: _is(False)}),
)
_OF_ONE = _OURS | {
    "scene.arrangement": _is("layers"),
    "scene.objects": _is(1),
    "scene.distractors": _is(0),
}
_OF_STAGES = _Idle({"mix.schedule": _is_not("staged")})
_OF_ANCHORS = (_Idle(_OUR_DETECTOR | {"detector.architecture": _is("fcos")}),)
_WITHOUT_REAL = _Idle({"mix.synthetic": _is(1.0)}, by_number=True)
_OF_SYNTHETIC = (
    _Idle({"mix.schedule": _is("real_only")}),
    _Idle({"mix.synthetic": _is(0.0)}, by_number=True),
)
_AT_ANY_TIME = {"mix.schedule": _is("mixed", "staged", "annealed")}

# Settings that have no effect with certain values of others; settings not named here always have
# one. `_of_scenes` has the rules for all settings of scenes.
_IDLE: Mapping[str, tuple[_Idle, ...]] = {
    "mix.synthetic": (
        _Idle({"mix.schedule": _is("real_only", "synthetic_only")}),
        _Idle({"mix.schedule": _is("staged"), "mix.switch_at": _is_not(None)}),
        _Idle({"mix.real_images": _is(0)}, by_number=True),
    ),
    "mix.schedule": (
        _Idle(_AT_ANY_TIME | {"mix.synthetic": _is(1.0)}, by_number=True),
        _Idle(
            _AT_ANY_TIME | {"mix.synthetic": _is(0.0), "training.rate_after_switch": _is(1.0)},
            by_number=True,
        ),
    ),
    "mix.switch_at": (_OF_STAGES, _WITHOUT_REAL),
    "mix.anneal": (
        _Idle({"mix.schedule": _is_not("annealed")}),
        _Idle({"mix.synthetic": _is(0.0, 1.0)}, by_number=True),
    ),
    "mix.real_images": (_Idle({"mix.schedule": _is("synthetic_only")}), _WITHOUT_REAL),
    "mix.parts": _OF_SYNTHETIC,
    "mix.sources": _OF_SYNTHETIC,
    "detector.architecture": (_Idle({"detector.program": _is_not("")}),),
    "detector.backbone_rate": (_Idle(_OUR_DETECTOR | {"detector.frozen_stages": _is("all")}),),
    "detector.anchor_px": _OF_ANCHORS,
    "detector.aspect_ratios": _OF_ANCHORS,
    "training.momentum": (_Idle(_OUR_DETECTOR | {"training.optimizer": _is_not("sgd")}),),
    "training.rate_after_switch": (_OF_STAGES, _WITHOUT_REAL),
    "scene.surroundings": _OF_SURROUNDINGS,
    "scene.background_scale": _OF_SURROUNDINGS,
    "scene.hue": _OF_SURROUNDINGS,
    "scene.backgrounds": (_Idle(_OURS | {"scene.floor_texture": _is(0.0)}, by_number=True),),
    "scene.object_shape": (_Idle(_OURS | {"scene.assets": _is_not("dice")}),),
    # dice are poured: they rest on any of their sides
    "scene.poses": (_Idle(_IN_TRAY | {"scene.assets": _is("dice")}),),
    "scene.occluders": _OF_LAYERS,
    "scene.overlap": (*_NOT_OF_TRAY, _Idle(_OF_ONE, by_number=True)),
    "scene.crop": _NOT_OF_TRAY,
    "scene.photos": _OF_PASTE,
    "scene.cutouts": _OF_PASTE,
    "scene.scale_range": _OF_PASTE,
    "scene.gloss": _OF_CUT_OUTS,
    "scene.stretch": _OF_MESHES,
    "scene.profile": _OF_MESHES,
    "scene.proportions": _OF_MESHES,
    "scene.objects_spread": _NOT_OF_LAYERS,
    "scene.camera_tilt_deg": _OF_TRAY,
    "scene.least_tilt_deg": _OF_TRAY,
    "scene.object_scale": (
        *_OF_TRAY,
        _Idle(_OURS | {"scene.size_px": _has_one_value}, by_number=True),
    ),
}

# What a pasted image is made from. Photos bring their own light, camera and boxes; the style of
# labels acts on cut-outs that do not say how people labelled them.
_ACTS_IN_PASTE = frozenset(
    {
        *("generator", "arrangement", "photos", "cutouts", "objects", "objects_spread"),
        *("scale_range", "overlap", "crop", "image_px", "aspect", "least_visibility"),
        *("box_padding", "box_padding_spread", "box_jitter", "box_square"),
    }
)
_IDLE_IN_PASTE = frozenset(
    f"scene.{name}" for name in SceneParameters.model_fields if name not in _ACTS_IN_PASTE
)


def nothing_known(parameters: SceneParameters) -> Mapping[str, bool]:
    """No facts, as before the folders of scenes are read: settings that need one have an effect."""
    return {}


def no_effect(path: str, recipe: Recipe, facts: Facts = nothing_known) -> NoEffect | None:
    """The reason why a setting has no effect in a recipe; None if it has one, or may have one.

    If both a word and a number are a reason, it is the word.

    path   the setting, dotted
    facts  returns the facts about scenes with certain parameters, by name; called only if the
           setting depends on one
    """
    if _is_of_scenes(path):
        return _of_scenes(path, recipe, facts)
    return _reason(path, recipe.flat())


def deciders(path: str) -> frozenset[str]:
    """The settings that decide if a setting has an effect."""
    settings = {_SETTING_OF_FACT.get(name, name) for name in _conditions(path)}
    if _is_of_scenes(path):
        settings |= {"mix.schedule", "mix.synthetic", "mix.parts"}
    return frozenset(settings - {path})


def _is_of_scenes(path: str) -> bool:
    return path.startswith("scene.") or path == "mix.synthetic_images"


def _conditions(path: str) -> set[str]:
    """The settings and facts that decide if a setting has an effect."""
    conditions = set[str]()
    for idle in _idles(path):
        conditions.update(idle.where)
    return conditions


def _idles(path: str) -> tuple[_Idle, ...]:
    """All conditions under which a setting has no effect."""
    idles = _IDLE.get(path, ())
    return (*_OF_3D, *idles) if path in _IDLE_IN_PASTE else idles


def _of_scenes(path: str, recipe: Recipe, facts: Facts) -> NoEffect | None:
    """As `no_effect`, for a setting of scenes.

    It has an effect if any source takes it from the recipe, and uses it.
    """
    if recipe.mix.schedule == "real_only":
        return NoEffect(where="mix.schedule is real_only", because_of=frozenset({"mix.schedule"}))
    takers = _takers(path, recipe)
    if not takers:
        where = "no source of mix.sources renders scenes and takes it from the recipe"
        return NoEffect(where=where, because_of=frozenset({"mix.sources"}))
    rendered = recipe.scenes()
    scenes = [rendered[name][0] for name in takers if name in rendered]
    if not scenes:
        where = f"{', '.join(takers)} has no share of the images"
        shares = frozenset({"mix.synthetic", "mix.parts"})
        return NoEffect(where=where, by_number=True, because_of=shares)
    needs_facts = not _conditions(path).isdisjoint(_SETTING_OF_FACT)
    settings = recipe.flat()
    reasons = []
    for parameters in scenes:
        scene_settings = {f"scene.{name}": value for name, value in parameters.model_dump().items()}
        scene_facts = facts(parameters) if needs_facts else {}
        reasons.append(_reason(path, {**settings, **scene_settings, **scene_facts}))
    return None if None in reasons else reasons[0]


def _takers(path: str, recipe: Recipe) -> list[str]:
    """Names of the sources that render scenes and take a setting from the recipe."""
    takers = []
    for name, source in recipe.mix.sources.items():
        if isinstance(source, Scenes) and not source.overrides(path):
            takers.append(name)
    return takers


def _reason(path: str, settings: Mapping[str, Any]) -> NoEffect | None:
    """The reason why a setting has no effect; None if it has one.

    settings  all settings, by dotted path, and the facts that are available
    """
    for idle in sorted(_idles(path), key=lambda idle: idle.by_number):
        needed_facts = idle.where.keys() & _SETTING_OF_FACT.keys()
        if not needed_facts <= settings.keys():
            continue
        if all(test(settings[name]) for name, test in idle.where.items()):
            names = [name for name in idle.where if not _is_ours(name, settings[name])]
            where = " and ".join(_words(name, settings[name]) for name in names)
            because_of = frozenset(_SETTING_OF_FACT.get(name, name) for name in names)
            return NoEffect(where=where, by_number=idle.by_number, because_of=because_of)
    return None


def _is_ours(name: str, value: Any) -> bool:
    """True for a condition that only says that our own code renders or trains: no reason by
    itself.
    """
    return name == "scene.generator" or (name == "detector.program" and not value)


def _words(name: str, value: Any) -> str:
    if name in _SETTING_OF_FACT:
        return f"{_SETTING_OF_FACT[name]} holds no mesh"
    return f"{name} is {value}"
