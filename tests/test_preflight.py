"""Preflight: what a sweep's scenes are made of is looked at before anything is trained."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from syndet_ray.errors import DataError, MachineError
from syndet_ray.recipe import Recipe
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.space import Choice, SearchSpace
from syndet_ray.sweep import Sweep
from syndet_ray.tuning.preflight import check_assets


def sweep_of(scene=None, space=None):
    return Sweep(
        question="?",
        recipe=Recipe().replace({f"scene.{name}": value for name, value in (scene or {}).items()}),
        space=(SearchSpace(space or {"mix.synthetic": Choice(values=(0.0, 1.0))}),),
    )


@pytest.fixture
def models(tmp_path):
    """A folder of two classes, a mesh each."""
    for name, solid in {"box": trimesh.creation.box(), "ball": trimesh.creation.icosphere(1)}.items():
        (tmp_path / name).mkdir()
        solid.export(tmp_path / name / "model.ply")
    return tmp_path


def test_dice_and_their_surroundings_are_no_objection():
    check_assets(sweep_of(), CLASSES, "photos")
    check_assets(sweep_of(), tuple(reversed(CLASSES)), "photos")


def test_assets_of_other_classes_than_the_photos_are_named(models):
    with pytest.raises(DataError, match=r"photos.*(ball|box)"):
        check_assets(sweep_of({"assets": str(models)}), CLASSES, "photos")
    check_assets(sweep_of({"assets": str(models)}), ("box", "ball"), "photos")


def test_every_folder_that_the_search_may_choose_is_looked_at(models):
    space = {"scene.assets": Choice(values=("dice", str(models / "nowhere")))}
    with pytest.raises(DataError, match="nowhere"):
        check_assets(sweep_of(space=space), CLASSES, "photos")


def test_a_background_that_is_no_image_is_named_before_anything_runs(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "fine.png")
    check_assets(sweep_of({"backgrounds": str(tmp_path)}), CLASSES, "photos")
    (other := tmp_path / "other").mkdir()
    (other / "torn.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"torn\.png"):
        check_assets(sweep_of({"backgrounds": str(other)}), CLASSES, "photos")


def test_the_classes_of_a_program_are_known_only_when_it_has_run(models):
    check_assets(sweep_of({"assets": str(models), "generator": "command:true"}), CLASSES, "photos")


def test_generators_that_cannot_be_started_are_named_variants_included(monkeypatch):
    with pytest.raises(MachineError, match=r"program that is not there.*no-such-program"):
        check_assets(sweep_of({"generator": "command:no-such-program --fast"}), CLASSES, "photos")
    sweep = Sweep(question="?", trials=0, variants={"traced": {"scene.generator": "blender"}})
    monkeypatch.setenv("SYNDET_BLENDER_PYTHON", "/no/such/python")
    with pytest.raises(MachineError, match="/no/such/python"):
        check_assets(sweep, CLASSES, "photos")


def test_folders_of_variants_are_looked_at():
    sweep = Sweep(question="?", trials=0, variants={"other": {"scene.surroundings": "/no/such/folder"}})
    with pytest.raises(DataError, match="/no/such/folder"):
        check_assets(sweep, CLASSES, "photos")
