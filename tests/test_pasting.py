"""Photos for pasted images: a run prepares its own training photos, and nothing of val and test."""

import shutil
from pathlib import Path

import pytest
from made_photos import write_photos
from test_scenes_paste import cutout

from syndet_ray import Choice, Mix, Recipe, SceneParameters, Scenes, SearchSpace
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.runs.ingredients import scenes_hashes
from syndet_ray.scenes.generate import generate
from syndet_ray.scenes.needs import paste_inputs, scene_inputs
from syndet_ray.scenes.stock import load_stock
from syndet_ray.tuning.pasting import restore_photos, with_training_photos
from syndet_ray.tuning.photo_check import real_data

PASTE = {"scene.arrangement": "paste", "scene.objects": 2, "scene.image_px": 96}
SPACE = SearchSpace({"mix.synthetic": Choice(values=(0.2, 0.5))})


def quiet(what, done, total):
    """Shows no progress."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of two classes, and a cut-out of one of them."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(
        folder / "real",
        size=(96, 80),
        box=(20, 20, 40, 40),
        train=range(8),
        val=range(20, 23),
        test=range(30, 34),
    )
    cutout(folder / "cut", "cat")
    return folder


def sweep(folder, variants, **fields):
    recipe = Recipe(scene=SceneParameters(cutouts=str(folder / "cut")))
    given = {"question": "?", "trials": 0, "controls": (), "recipe": recipe, "variants": variants}
    return LoadedSweep(**{**given, **fields})


def settled(asked, folder, cache):
    data = real_data(folder / "real", asked, quiet)
    notes = []
    return with_training_photos(asked, data, cache, quiet, notes.append), data, notes


def test_nothing_of_val_and_test_is_pasted_or_pasted_on(folder, tmp_path):
    asked = sweep(folder, {"alone": {"mix.schedule": "real_only"}, "pasted": PASTE})
    assert not scene_inputs(asked), "no assets are asked for"
    ready, data, notes = settled(asked, folder, tmp_path)
    (inputs,) = paste_inputs(ready)
    stock = inputs.stock()
    assert sorted(stock.photos.image_ids) == sorted(data.pools["train"].image_ids)
    shut = {data.pools[split].image(i).tobytes() for split in ("val", "test") for i in range(3)}
    shown = {stock.photos.image(i).tobytes() for i in range(len(stock.photos))}
    assert len(shown) == 8 and not shown & shut
    assert notes == [
        "pasted on 8 training photos: 1 cut-out of 1 class",
        "never pasted, as there is no cut-out: dog; `data cutouts` with masks of the photos makes "
        "more",
    ]


def test_swapped_names_of_classes_are_refused_beside_a_folder_of_cut_outs(folder, tmp_path):
    swapped = {"cat": "dog", "dog": "cat"}
    asked = sweep(folder, {"pasted": PASTE}, classes=swapped)
    with pytest.raises(DefinitionError, match="since names of cut-outs may be old or new"):
        settled(asked, folder, tmp_path)
    renamed = sweep(folder, {"pasted": PASTE}, classes={"mouse": "cat"})
    assert settled(renamed, folder, tmp_path)[2], "names that are given once leave no doubt"


def test_a_recipe_of_few_photos_sees_nothing_of_the_others(folder, tmp_path):
    few = PASTE | {"mix.real_images": 3}
    asked = sweep(
        folder, {"few": few, "many": PASTE, "few, less cut off": few | {"scene.crop": 0.1}}
    )
    ready, _, _ = settled(asked, folder, tmp_path)
    of_few = load_stock(ready.fixed["few"].scene.photos, str(folder / "cut")).photos
    of_many = load_stock(ready.fixed["many"].scene.photos, str(folder / "cut")).photos
    assert len(of_few) == 3 and len(of_many) == 8
    assert ready.fixed["few, less cut off"].scene.photos == ready.fixed["few"].scene.photos


def test_the_same_photos_are_written_once_and_again_if_they_are_lost(folder, tmp_path):
    asked = sweep(folder, {"pasted": PASTE})
    ready, data, _ = settled(asked, folder, tmp_path)
    (photos,) = (inputs.photos for inputs in paste_inputs(ready))
    again, _, _ = settled(asked, folder, tmp_path)
    assert again == ready and [path.name for path in tmp_path.iterdir()] == [Path(photos).name]
    scene, _ = ready.fixed["pasted"].scenes()["synthetic"]
    before = generate(scene, 4, 0, tmp_path / "sets").pixels.copy()
    shutil.rmtree(photos)
    restore_photos(ready, data, tmp_path, quiet)
    load_stock.cache_clear()
    assert (generate(scene, 4, 0, tmp_path / "other sets").pixels == before).all()
    shutil.rmtree(photos)
    with pytest.raises(DataError, match="it held the training photos that images are pasted on"):
        restore_photos(ready, data, tmp_path / "elsewhere", quiet)


def test_a_run_records_what_it_pastes(folder, tmp_path):
    asked = sweep(folder, {"pasted": PASTE})
    assert scenes_hashes(asked) == {}, "before its photos are known"
    ready, _, _ = settled(asked, folder, tmp_path)
    (inputs,) = paste_inputs(ready)
    hashes = inputs.stock().hashes
    assert scenes_hashes(ready) == {
        f"scene.cutouts {folder / 'cut'}": hashes["cutouts"],
        f"scene.photos {inputs.photos}": hashes["photos"],
    }


def test_sources_and_searches_may_paste(folder, tmp_path):
    mix = Mix(sources={"pasted": Scenes(changes=PASTE)})
    asked = sweep(folder, {}, trials=2, space=(SPACE,)).replace({"points": ()})
    asked = asked.replace({"recipe": asked.recipe.replace({"mix.sources": mix.sources})})
    ready, _, _ = settled(asked, folder, tmp_path)
    (inputs,) = paste_inputs(ready)
    assert len(inputs.stock().photos) == 8


def test_photos_that_a_sweep_names_itself_are_refused(folder, tmp_path):
    asked = sweep(folder, {"pasted": PASTE | {"scene.photos": str(folder / "real")}})
    with pytest.raises(DefinitionError, match=r"scene.photos: is named by a run: it pastes on its"):
        settled(asked, folder, tmp_path)


def test_a_search_for_the_number_of_photos_is_refused(folder, tmp_path):
    recipe = Recipe(scene=SceneParameters(cutouts=str(folder / "cut"))).replace(PASTE)
    space = SearchSpace({"mix.real_images": Choice(values=(3, 5))})
    asked = sweep(folder, {}, trials=2, recipe=recipe, space=(space,))
    with pytest.raises(DefinitionError, match=r"mix.real_images: cannot be searched where images"):
        settled(asked, folder, tmp_path)


def test_options_on_photos_are_refused_where_nothing_is_pasted(syndet_here, folder, tmp_path):
    done = syndet_here("render", tmp_path / "out", "--real", folder / "real")
    assert done.returncode == 1
    assert "--real: changes nothing: nothing is pasted on photos" in done.stderr
    assert "Leave it out, or set scene.arrangement=paste." in done.stderr


def test_a_project_says_whether_bad_labels_are_left_out(syndet_here, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "syndet.toml").write_text('real = "empty"\nskip-bad = true\n', encoding="utf-8")
    done = syndet_here("render", tmp_path / "out", "--set", "scene.arrangement=paste")
    assert done.returncode == 1 and "holds no" in done.stderr
    assert "project  syndet.toml: real empty, skip-bad True" in done.stdout
