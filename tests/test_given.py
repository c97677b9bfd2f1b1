"""What a sweep is given replaces its own settings: objects, synthetic images, single settings."""

import pytest

from syndet_ray import Choice, Recipe, Scenes, SearchSpace, Simplex, Synthetic
from syndet_ray.definitions.given import (
    defaults_for,
    dice_parameters,
    scene_defaults,
    with_given,
    without_flips,
)
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import available, load
from syndet_ray.errors import DefinitionError

MESHES = {"scene.assets": "/meshes"}
SOURCES = {"mix.sources": {"synthetic": {"kind": "synthetic", "folder": "/images"}}}


def sweep_of(recipe=None, **space):
    names = {name.replace("__", "."): values for name, values in space.items()}
    parameters = {name: Choice(values=values) for name, values in names.items()}
    return LoadedSweep(
        question="?", recipe=Recipe().replace(recipe or {}), space=(SearchSpace(parameters),)
    )


@pytest.mark.parametrize("name", sorted(set(available()) - {"photos_alone"}))
def test_every_sweep_of_scenes_takes_other_objects(name):
    sweep = load(name)
    flips = without_flips(sweep, MESHES)
    assert flips == {"training.flip_vertical": 0.0, "training.transpose": 0.0}
    changed = with_given(sweep, {"settings": {**MESHES, **flips}})
    for recipe in changed.fixed.values():
        assert recipe.training.flip_vertical == recipe.training.transpose == 0
        assert {scene.assets for scene, _ in recipe.scenes().values()} <= {"/meshes"}


@pytest.mark.parametrize(
    ("settings", "flips"),
    [
        (SOURCES, True),
        ({"scene.generator": "command:draw"}, True),
        ({"scene.generator": "blender"}, False),
        ({"scene.assets": "dice"}, False),
        ({"scene.blur": 0.1}, False),
    ],
)
def test_flips_suit_the_dice_alone(settings, flips):
    assert bool(without_flips(load("learning_rate"), settings)) is flips


def test_flips_that_were_asked_for_stay():
    both = without_flips(load("obstruction"), {**MESHES, "training.transpose": 0.3})
    assert both == {"training.flip_vertical": 0.0}
    own = {"scene.assets": "/screws", "training.flip_vertical": 0.5}
    assert without_flips(sweep_of(own, mix__synthetic=(0.0, 1.0)), MESHES) == {}
    searched = sweep_of({"training.transpose": 0.2}, training__transpose=(0.2, 0.5))
    assert without_flips(searched, MESHES) == {}


def test_what_acts_on_dice_alone_is_no_longer_searched():
    joint = load("joint")
    assert dice_parameters(joint, MESHES) == ["scene.object_shape"]
    assert dice_parameters(joint, {"scene.blur": 0.2}) == []
    changed = with_given(joint, {"settings": MESHES})
    left = set(joint.parameters.settings()) - set(changed.parameters.settings())
    assert left == {"scene.object_shape"}


@pytest.mark.parametrize("name", ["learning_rate", "annotation_budget", "smoke"])
def test_a_synthetic_dataset_takes_the_place_of_scenes(name):
    changed = with_given(load(name), {"settings": SOURCES})
    assert changed.recipe.mix.sources == {"synthetic": Synthetic(folder="/images")}
    assert not any(recipe.scenes() for recipe in changed.fixed.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("obstruction", r"scene\.objects: is searched, and nothing acts on it"),
        ("mix", "'sparse' is no source"),
        ("randomization", r"variants: no light colour: .*scene\.light_color"),
        ("curriculum", r"variants: curriculum: .*scene\.poses"),
    ],
)
def test_a_sweep_that_asks_about_scenes_refuses_a_synthetic_dataset(name, message):
    with pytest.raises(DefinitionError, match=rf"{message}.*leave `synthetic` out"):
        with_given(load(name), {"settings": SOURCES})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("photos_alone", MESHES, r"`assets` \(scene\.assets\): is given, .* real_only"),
        ("photos_alone", SOURCES, r"`synthetic` \(mix\.sources\): is given, .* real_only\. Leave"),
        ("smoke", {**SOURCES, "scene.blur": 0.2}, r"scene\.blur: is given, and nothing acts"),
        ("smoke", {"training.momentum": 0.8}, r"training\.momentum: is given.*optimizer is adamw"),
    ],
)
def test_a_given_setting_without_effect_is_refused(name, settings, message):
    with pytest.raises(DefinitionError, match=message):
        with_given(load(name), {"settings": settings})


def test_a_setting_acts_where_the_search_may_make_it_act():
    sweep = sweep_of(training__optimizer=("adamw", "sgd"))
    changed = with_given(sweep, {"settings": {"training.momentum": 0.8}})
    assert changed.recipe.training.momentum == 0.8


def test_parts_of_other_sources_are_not_kept():
    mix = {"mix.sources": {"a": Scenes(), "b": Scenes()}, "mix.parts": {"a": 0.2, "b": 0.8}}
    changed = with_given(sweep_of(mix, mix__synthetic=(0.5, 1.0)), {"settings": SOURCES})
    assert changed.recipe.mix.shares == {"real": 0.5, "synthetic": 0.5}
    simplex = SearchSpace({"mix.shares": Simplex(sources=("real", "a", "b"))})
    sweep = LoadedSweep(question="?", recipe=Recipe().replace(mix), space=(simplex,))
    with pytest.raises(DefinitionError, match="'a' is no source"):
        with_given(sweep, {"settings": SOURCES})


def test_of_a_projects_settings_a_sweep_takes_those_that_it_can():
    project = {**MESHES, "scene.objects": 12, "scene.blur": 0.2, "training.momentum": 0.5}
    taken = defaults_for(load("obstruction"), project, {"scene.blur": 0.1})
    assert taken == MESHES, "objects are searched, blur is given, momentum has no effect"
    assert defaults_for(load("photos_alone"), project, {}) == {}
    assert defaults_for(load("photos_alone"), SOURCES, {}) == {}
    assert defaults_for(load("smoke"), project, SOURCES) == {}
    assert defaults_for(load("smoke"), SOURCES, MESHES) == {}


def test_of_a_projects_settings_scenes_take_their_own():
    project = {**SOURCES, **MESHES, "training.images": 9, "scene.occluders": 0.2, "scene.blur": 1}
    taken = scene_defaults(project, {"scene.blur": 0.5}, lambda parameters: {})
    assert taken == MESHES, "occluders are of layers"
