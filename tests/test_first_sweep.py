"""A sweep for the user's photos and objects: what is measured on photos is what they were made of."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import trimesh
from made_photos import write_photos

from syndet_ray.data import backgrounds
from syndet_ray.data.classes import new_classes
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import photos_used, save_part
from syndet_ray.data.read import read
from syndet_ray.data.splits.cut import hold_out
from syndet_ray.data.splits.divide import split_photos
from syndet_ray.data.splits.groups import image_hashes
from syndet_ray.data.splits.read_for_sweep import read_for_sweep
from syndet_ray.data.write import write_dataset
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.inspection import pose_match
from syndet_ray.inspection.look_match import looks_of_photos, match_look, plain_classes
from syndet_ray.inspection.pose_match import match_poses
from syndet_ray.inspection.scene_match import measured_scene
from syndet_ray.inspection.whole_boxes import WholeBoxes
from syndet_ray.scenes.assets import load as load_assets
from syndet_ray.scenes.generate import generate
from syndet_ray.scenes.sensor import MOST_BLUR_PX
from syndet_ray.tuning import first_sweep
from syndet_ray.tuning.first_sweep import remove_parts, write_first_sweep


def quiet(name, done, total):
    pass


def meshes_in(folder):
    """A folder of two classes: tall cones and flat plates, z up."""
    shapes = {"cone": trimesh.creation.cone(0.3, 1.0), "plate": trimesh.creation.box((1, 0.8, 0.1))}
    for name, shape in shapes.items():
        (folder / name).mkdir(parents=True)
        shape.export(folder / name / f"{name}.stl")
    return folder


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    return meshes_in(tmp_path_factory.mktemp("meshes"))


@pytest.fixture(scope="module")
def photos_of(meshes, tmp_path_factory):
    """Writes scenes of the meshes as photos, and returns their folder."""

    def make(**settings):
        out = tmp_path_factory.mktemp("photos") / "photos"
        common = {"assets": str(meshes), "image_px": 160, "objects": 5, "size_px": (30, 45)}
        common |= {"least_visibility": 0.9, "object_scale": 0.0, "noise": 0.0}
        pool = generate(SceneParameters(**common | settings), 10, 0, out.with_name("cache"))
        write_dataset(pool, out)
        return out

    return make


@pytest.fixture(scope="module")
def standing(photos_of):
    return photos_of(poses="upright", least_tilt_deg=55, camera_tilt_deg=65, aspect=1.6)


def test_standing_objects_and_the_tilt_are_told_from_boxes(standing, meshes):
    train = read(standing).splits["train"]
    match = match_poses(WholeBoxes.of(train), load_assets(str(meshes)), seed=0)
    assert match.poses in ("upright", "face_up")
    assert match.tilt_deg[0] <= 60 <= match.tilt_deg[1]
    assert match.distance < 0.5 * match.at_rest
    assert match.boxes <= sum(len(record.boxes) for record in train.records)


def test_objects_that_rest_as_they_fall_are_told_too(photos_of, meshes):
    train = read(photos_of(camera_tilt_deg=10.0)).splits["train"]
    assert match_poses(WholeBoxes.of(train), load_assets(str(meshes)), seed=0).poses == "rest"


def test_photos_may_have_other_names_for_the_classes_of_meshes(standing, meshes, monkeypatch):
    monkeypatch.setattr(pose_match, "_TILTS_DEG", (20, 60))  # others take seconds
    train, library = read(standing).splits["train"], load_assets(str(meshes))
    names = [f"a {name}" for name in library.classes]
    renamed = replace(train, classes=tuple(f"a {name}" for name in train.classes))
    assert match_poses(WholeBoxes.of(renamed), library, 0) is None
    assert match_poses(WholeBoxes.of(renamed), library, 0, names) == match_poses(
        WholeBoxes.of(train), library, 0
    )


@pytest.fixture(scope="module")
def square(photos_of):
    return photos_of(box_square=True, size_px=(20, 24))


def test_square_boxes_tell_nothing(square, meshes):
    train = read(square).splits["train"]
    inside = [record.boxes.xyxy[:, 2:] - record.boxes.xyxy[:, :2] for record in train.records]
    assert np.ptp(np.concatenate(inside), axis=1).mean() < 1
    assert match_poses(WholeBoxes.of(train), load_assets(str(meshes)), seed=0) is None


def test_settings_are_those_of_the_photos(standing, meshes):
    train = read(standing).splits["train"]
    base = SceneParameters(assets=str(meshes))
    measured = measured_scene(train, base, 160, 0, quiet, seen_px=427)
    values = {item.path.removeprefix("scene."): item.value for item in measured}
    assert values["aspect"] == 1.6 and values["image_px"] == 160
    assert abs(values["objects"] - 4) <= 1
    assert values["size_px"][0] < 40 < values["size_px"][1]
    assert values["noise"] < 0.2
    assert 0.2 < values["object_color"] <= 1.0
    assert all(item.words for item in measured)
    assert SceneParameters(assets=str(meshes), **values)


@pytest.mark.parametrize(
    ("seen_px", "aspect", "image_px"), [(160, 1.6, 160), (130, 1.3, 130), (80, 1.0, 80)]
)
def test_scenes_are_as_large_as_what_training_sees(standing, meshes, seen_px, aspect, image_px):
    train = read(standing).splits["train"]  # photos of 160 x 100 px
    base = SceneParameters(assets=str(meshes), poses="upright", size_px=(20, 30), blur=0.0)
    measured = measured_scene(train, base, 160, 0, quiet, seen_px=seen_px)
    values = {item.name: item.value for item in measured}
    assert values["image_px"] == image_px
    assert values["aspect"] == pytest.approx(aspect, abs=0.01)


@pytest.mark.parametrize(("image_px", "aspect", "most_px"), [(160, 1.6, 150), ("auto", 1.3, 130)])
def test_scenes_of_a_given_size_show_as_much_of_photos(meshes, tmp_path, image_px, aspect, most_px):
    large = write_photos(
        tmp_path / "p", names=("cone", "plate"), size=(160, 100), box=(2, 2, 150, 90), train=[0]
    )
    train = read(large).splits["train"]
    base = SceneParameters(assets=str(meshes), poses="upright", blur=0.0, image_px=image_px)
    measured = measured_scene(train, base, 160, 0, quiet, seen_px=130)
    values = {item.name: item.value for item in measured}
    assert "image_px" not in values
    assert values["aspect"] == pytest.approx(aspect, abs=0.01)
    assert values["size_px"] == (most_px, most_px)


def test_the_camera_of_the_photos_is_measured(photos_of, meshes):
    camera = {"brightness": -0.7, "contrast": 1.6, "color_cast": (0.8, 1.15), "blur": 0.9}
    constant = {"exposure": 0.0, "light_color": 0.0, "floor_color": 0.0, "object_color": 0.0}
    looks = looks_of_photos(read(photos_of(**camera, **constant)).splits["train"], 160, 0, quiet)
    scenes = SceneParameters(
        assets=str(meshes), image_px=160, objects=5, size_px=(20, 30), object_scale=0.0, **constant
    )
    match = match_look(looks, scenes, load_assets(str(meshes)), 0, quiet)
    assert match.brightness == pytest.approx(-0.7, abs=0.25)
    assert match.contrast == pytest.approx(1.6, abs=0.25)
    assert match.color_cast == pytest.approx((0.8, 1.15), abs=0.1)
    assert match.distance < 0.5 * match.at_first
    # scenes are blurred by up to twice the mean
    assert match.blur_px == pytest.approx(0.9 * MOST_BLUR_PX / 2, abs=0.25)
    assert match.size_ratio == pytest.approx(1.5, abs=0.15)


def test_things_whose_meshes_tell_no_colour_say_nothing_about_the_light(photos_of, tmp_path):
    folder = meshes_in(tmp_path / "meshes")
    (folder / "assets.json").write_text('{"color": {"cone": "#e6e6e6"}}', encoding="utf-8")
    constant = {"exposure": 0.0, "light_color": 0.0, "floor_color": 0.0, "object_color": 0.0}
    looks = looks_of_photos(read(photos_of(**constant)).splits["train"], 160, 0, quiet)
    red = np.where(looks.classes == "plate", 0.2, 1.0).astype(np.float32)
    looks.patches[..., 1:] *= red[:, None, None, None]
    scenes = SceneParameters(
        assets=str(folder), image_px=160, objects=5, size_px=(30, 45), object_scale=0.0, **constant
    )
    library = load_assets(str(folder))
    match = match_look(looks, scenes, library, 0, quiet)
    assert plain_classes(library, library.classes) == ["plate"]
    assert match.color_cast == pytest.approx((1.0, 1.0), abs=0.1)
    assert match.colored_boxes == (looks.classes == "cone").sum() < match.boxes


def test_photos_of_other_classes_have_no_look(standing, meshes):
    looks = looks_of_photos(read(standing).splits["train"], 160, 0, quiet)
    renamed = replace(looks, classes=np.full(len(looks.classes), "tree"))
    scenes = SceneParameters(assets=str(meshes), image_px=160)
    assert match_look(renamed, scenes, load_assets(str(meshes)), 0, quiet) is None


def test_photos_that_tell_no_poses_and_have_no_floors(tmp_path, monkeypatch, square, meshes):
    monkeypatch.setattr(backgrounds, "LEAST_PX", 500)
    result = first(tmp_path, monkeypatch, square, meshes, hold_out=0.2)
    assert any("boxes do not tell how objects lie" in note for note in result.notes)
    assert load("first").recipe.scene.poses == "auto"
    assert load("first").recipe.scene.backgrounds == ""
    assert not (tmp_path / "sweeps" / "first_backgrounds").exists()
    assert "backgrounds" not in result.path.read_text(encoding="utf-8")


def first(tmp_path, monkeypatch, photos, assets, out="first", hold_out=None, **labels):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pose_match, "_TILTS_DEG", (20, 60))  # others take seconds
    options = LabelOptions(**labels)
    return write_first_sweep(photos, assets, out, options, 0, quiet, hold_out=hold_out, force=False)


def with_test_split(photos, folder):
    """Copies photos into a folder, and splits them there."""
    shutil.copytree(photos, folder)
    split_photos(folder, {"test": 0.2}, 0, quiet)
    return folder


def test_photos_without_a_test_split_are_refused(tmp_path, monkeypatch, standing, meshes):
    with pytest.raises(DataError, match=r"must have a test split.*Add `hold_out` 0.2"):
        first(tmp_path, monkeypatch, standing, meshes)
    assert not (tmp_path / "sweeps").exists(), "nothing is left behind"


def test_scenes_show_nothing_of_photos_that_the_sweep_holds_out(
    tmp_path, monkeypatch, standing, meshes
):
    train = read(standing).splits["train"]
    test = hold_out(read(standing), 0.2, quiet).splits["test"]
    result = first(tmp_path, monkeypatch, standing, meshes, hold_out=0.2)
    assert result.dataset.splits["test"].image_ids() == test.image_ids()
    left = len(result.dataset.splits["train"]) + len(result.dataset.splits["val"])
    assert left == len(train) - len(test) < len(train)
    used = photos_used(tmp_path / "sweeps" / "first_backgrounds")
    assert used and not used.keys() & set(image_hashes(test))


def test_the_sweep_can_be_run_as_it_stands(tmp_path, monkeypatch, standing, meshes):
    standing = with_test_split(standing, tmp_path / "photos")
    result = first(tmp_path, monkeypatch, standing, meshes)
    sweep = load("first")
    assert sweep.recipe.scene.assets == str(meshes)
    assert sweep.recipe.scene.poses in ("upright", "face_up")
    assert sweep.recipe.scene.stretch == 1.0
    text = result.path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert max(map(len, lines)) <= 100
    comments = " ".join(line.strip(" #") for line in lines)
    for item in result.measured:
        assert item.words in comments
        assert sweep.recipe.get(item.path) == item.value
    with pytest.raises(DefinitionError, match=r"first.py: exists"):
        first(tmp_path, monkeypatch, standing, meshes)
    backgrounds = tmp_path / "sweeps" / "first_backgrounds"
    assert sweep.recipe.scene.backgrounds == str(backgrounds) and any(backgrounds.iterdir())
    with pytest.raises(DefinitionError, match="would hide the sweep of this name"):
        first(tmp_path, monkeypatch, standing, meshes, out="obstruction")


def test_objects_of_other_classes_are_refused(tmp_path, monkeypatch, standing, meshes):
    standing = with_test_split(standing, tmp_path / "photos")
    renamed_meshes, more_meshes = meshes_in(tmp_path / "renamed"), meshes_in(tmp_path / "more")
    (renamed_meshes / "cone").rename(renamed_meshes / "tree")
    shutil.copytree(more_meshes / "cone", more_meshes / "cup")
    with pytest.raises(DataError, match=r"cone .* only in the real data; tree only in the assets"):
        first(tmp_path, monkeypatch, standing, renamed_meshes)
    with pytest.raises(
        DataError, match=r"must have the same classes; found cup only in the assets"
    ):
        first(tmp_path, monkeypatch, standing, more_meshes)
    assert not (tmp_path / "sweeps").exists(), "nothing is left behind"


def test_new_names_of_classes_hold_for_photos_and_objects(tmp_path, monkeypatch, standing, meshes):
    standing = with_test_split(standing, tmp_path / "photos")
    renamed = {"cone": "tree", "plate": "tile"}
    result = first(tmp_path, monkeypatch, standing, meshes, classes=renamed)
    assert result.dataset.classes == ("tree", "tile")
    poses = {item.path: item.value for item in result.measured}["scene.poses"]
    assert poses in ("upright", "face_up"), "the meshes are compared with boxes of their new names"


@pytest.fixture(scope="module")
def photos_to_cut(photos_of):
    return photos_of(size_px=(40, 60), objects=2, floor_texture=0.0, blur=0.0)


def test_without_meshes_objects_are_cut_out_of_the_photos(tmp_path, monkeypatch, photos_to_cut):
    photos = with_test_split(photos_to_cut, tmp_path / "photos")
    result = first(tmp_path, monkeypatch, photos, None)
    names = [path.name for path in (tmp_path / "sweeps" / "first_cutouts").iterdir()]
    assert sorted(names) == ["cone", "plate"] and result.assets.name == "first_cutouts"
    assert not any("how objects lie" in note for note in result.notes), "cut-outs lie flat"
    scene = load("first").recipe.scene
    assert scene.assets == str(tmp_path / "sweeps" / "first_cutouts") and scene.stretch == 0


@pytest.mark.parametrize(
    ("classes", "folders"),
    [
        ({"cone": "plate", "plate": "cone"}, ["cone", "plate"]),
        ({"cone": "plate", "plate": "tile"}, ["cone", "tile"]),
        ({"cone": "tile", "plate": "tile"}, ["tile"]),
    ],
)
def test_cut_outs_get_new_names_of_classes_once(
    tmp_path, monkeypatch, photos_to_cut, classes, folders
):
    monkeypatch.setattr(first_sweep, "measured_scene", lambda *_, **__: [])
    result = first(tmp_path, monkeypatch, photos_to_cut, None, hold_out=0.2, classes=classes)
    assert sorted(path.name for path in result.assets.iterdir()) == folders
    assert set(new_classes(folders, classes)) == set(result.dataset.classes), "as in the sweep"
    cones = photos_used(result.assets / folders[0])
    with_cones = []
    for record in read(photos_to_cut).splits["train"].records:
        if 0 in record.boxes.labels or len(folders) == 1:
            with_cones.append(sha256(record.image_bytes()).hexdigest())
    assert cones and set(cones) <= set(with_cones), "the folder of cones has cones"


def test_classes_of_which_nothing_can_be_cut_out_are_named_and_nothing_is_left_behind(
    tmp_path, monkeypatch, photos_to_cut
):
    folder = with_test_split(photos_to_cut, tmp_path / "photos")
    in_val = read_for_sweep(folder, LabelOptions(), None, quiet).splits["val"].image_ids()
    file = folder / "annotations.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["categories"].append({"id": 7, "name": "rare"})
    names = {image["id"]: f"images/{image['file_name']}" for image in content["images"]}
    for box in content["annotations"]:
        if names[box["image_id"]] in in_val:
            box["category_id"] = 7
    file.write_text(json.dumps(content), encoding="utf-8")
    for _ in range(2):  # parts of the first call are not in the way of the second
        with pytest.raises(DataError, match=r"rare .* only in the real.*could be cut out there"):
            first(tmp_path, monkeypatch, folder, None)
    assert not list((tmp_path / "sweeps").iterdir())


def test_photos_without_training_photos_are_refused(tmp_path, monkeypatch, standing, meshes):
    annotations = json.loads((standing / "annotations.json").read_text(encoding="utf-8"))
    (tmp_path / "photos" / "annotations").mkdir(parents=True)
    (tmp_path / "photos" / "images").symlink_to(standing / "images")
    folder = tmp_path / "photos"
    for path in (standing / "images").iterdir():
        (folder / "annotations" / path.name).write_bytes(path.read_bytes())
    target = folder / "annotations" / "instances_test.json"
    target.write_text(json.dumps(annotations), encoding="utf-8")
    with pytest.raises(DataError, match="has no training photos"):
        first(tmp_path, monkeypatch, folder, meshes)


def test_only_what_an_earlier_call_wrote_is_replaced(tmp_path, photos_of):
    photos = read(photos_of(size_px=(40, 60), objects=2)).splits["train"]
    folder = tmp_path / "first_backgrounds"
    folder.mkdir()
    pixels = np.zeros((8, 8, 3), np.uint8)
    save_part(pixels, photos.records[0], folder, "0")
    (folder / "mine.txt").write_text("precious", encoding="utf-8")
    remove_parts(folder)
    assert (folder / "mine.txt").exists()
    (folder / "mine.txt").unlink()
    remove_parts(folder)
    assert not folder.exists()
    remove_parts(folder)
