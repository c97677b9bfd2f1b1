"""Settings given as text change the recipe of a sweep, or say why they cannot."""

import pytest

from syndet_ray.definitions.assignments import settings_of
from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DefinitionError


def test_values_are_json_or_text(tmp_path):
    texts = ["scene.blur=0.2", "scene.size_px=[20, 30]", "scene.poses=upright", "mix.schedule=a=b"]
    assert settings_of(texts, tmp_path) == {
        "scene.blur": 0.2,
        "scene.size_px": [20, 30],
        "scene.poses": "upright",
        "mix.schedule": "a=b",
    }


def test_pairs_may_be_typed_as_they_are_printed(tmp_path):
    texts = [
        "scene.size_px=(36.4, 93.9)",
        "scene.color_cast=0.9,1.1",
        "scene.generator=command:a,b",
    ]
    assert settings_of(texts, tmp_path) == {
        "scene.size_px": [36.4, 93.9],
        "scene.color_cast": [0.9, 1.1],
        "scene.generator": "command:a,b",
    }


def test_paths_start_from_the_folder(tmp_path):
    settings = settings_of(["scene.assets=meshes", "scene.backgrounds="], tmp_path)
    assert settings == {"scene.assets": str(tmp_path / "meshes"), "scene.backgrounds": ""}


@pytest.mark.parametrize("name", ["12", "1,2", "null", "(a)"])
def test_folders_may_have_any_name(tmp_path, name):
    for setting in ("scene.assets", "detector.weights"):
        settings = settings_of([f"{setting}={name}"], tmp_path)
        assert settings == {setting: str(tmp_path / name)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scene.blur", "must read like scene.blur=0.2, got 'scene.blur'"),
        ("scene.blurr=1", "scene.blurr: is not a setting of a recipe.*scene.blur"),
    ],
)
def test_texts_that_are_no_settings(tmp_path, text, message):
    with pytest.raises(DefinitionError, match=message):
        settings_of([text], tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "mix.sources"),
        ('{"a": 3}', "mix.sources.a"),
        ('{"a": {}}', "mix.sources.a"),
        ('{"a": {"kind": "photos", "folder": 5}}', "mix.sources.a.*folder"),
        ('{"a": {"kind": "scenes", "changes": 5}}', "mix.sources.a.*changes"),
        ('{"a": {"kind": "scenes", "changes": {"scene.assets": 5}}}', "assets"),
    ],
)
def test_sources_that_are_none_are_named(tmp_path, value, message):
    settings = settings_of([f"mix.sources={value}"], tmp_path)
    with pytest.raises(DefinitionError, match=message):
        load("mix").recipe.replace(settings)


def test_a_sweep_takes_what_it_is_given():
    sweep = load("obstruction")
    given = {"trials": 2, "settings": {"scene.blur": 0.3, "training.images": 400}}
    changed = with_given(sweep, given)
    assert changed.trials == 2
    assert changed.recipe.scene.blur == 0.3 and changed.recipe.training.images == 400
    assert changed.recipe.mix == sweep.recipe.mix and with_given(sweep, {}) == sweep


def test_what_is_searched_cannot_be_given():
    sweep = load("obstruction")
    with pytest.raises(DefinitionError, match=r"scene.objects is what this sweep searches"):
        with_given(sweep, {"settings": {"scene.objects": 5}})
