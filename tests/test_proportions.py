"""Proportions of classes: told from boxes alone, whatever the distance of the camera."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Record, Source
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DefinitionError
from syndet_ray.inspection.pose_match import PoseMatch, box_sides
from syndet_ray.inspection.proportions import class_boxes, match_proportions
from syndet_ray.inspection.whole_boxes import WholeBoxes
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.library import Stretch
from syndet_ray.scenes.stretch import stretch_mesh

CLASSES = ("bottle", "can", "cone")
TILT_DEG = (50.0, 60.0)
PHOTO_WH = (4000, 3000)
AS_THEY_ARE = {"bottle": (1.0, 1.0), "can": (1.0, 1.0), "cone": (1.0, 1.0)}
# the volume of all, across twice and along, is that of the meshes
OTHERS = {"bottle": (0.8, 1.25), "can": (1.25, 1.0), "cone": (1.0, 0.8)}


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    shapes = {
        "bottle": trimesh.creation.capsule(0.6, 0.2),
        "can": trimesh.creation.cylinder(0.25, 0.8),
        "cone": trimesh.creation.cone(0.3, 0.9),
    }
    for name, shape in shapes.items():
        (folder / name).mkdir()
        shape.export(folder / name / f"{name}.stl")
    return folder


def match(poses="upright"):
    return PoseMatch(
        poses=poses, tilt_deg=TILT_DEG, distance=0.0, at_rest=1.0, length=1.0, boxes=100
    )


def photos_of(meshes, factors, *, poses="upright", alone=False, count=60):
    """Boxes of photos from different distances: one of each class, or of one class each."""
    library = load(str(meshes), surroundings="")
    rng = np.random.default_rng(0)
    sides = {}
    for asset in library.assets.values():
        name = library.classes[asset.label]
        across, along = factors[name]
        mesh = stretch_mesh(asset.mesh, Stretch(across=(across,), along=along))
        sides[name] = box_sides(mesh, poses, sum(TILT_DEG) / 2, rng)
    records = []
    for i in range(count):
        px_per_unit = rng.uniform(100, 800)
        shown = [i % len(CLASSES)] if alone else range(len(CLASSES))
        boxes = []
        for label in shown:
            width, height = px_per_unit * sides[CLASSES[label]][i % 60]
            boxes.append([10 + 1000 * label, 10, 10 + 1000 * label + width, 10 + height])
        labels = np.array(list(shown))
        records.append(record(i, Boxes.of(boxes, labels)))
    return WholeBoxes.of(Source(name="train", classes=CLASSES, records=records))


def record(i, boxes):
    return Record(image_id=str(i), image=Path(), size_wh=PHOTO_WH, boxes=boxes, place="")


def test_sizes_and_shapes_of_classes_are_told_whatever_the_distance(meshes):
    factors = match_proportions(
        photos_of(meshes, OTHERS), load(str(meshes), surroundings=""), match(), seed=0
    )
    for name, wanted in OTHERS.items():
        np.testing.assert_allclose(factors[name], wanted, rtol=0.06, err_msg=name)


def test_meshes_of_the_very_things_are_left_as_they_are(meshes):
    photos = photos_of(meshes, AS_THEY_ARE)
    assert match_proportions(photos, load(str(meshes), surroundings=""), match(), seed=0) == {}


def test_classes_that_stand_alone_keep_their_size_and_get_their_shape(meshes):
    photos = photos_of(meshes, OTHERS, alone=True, count=90)
    factors = match_proportions(photos, load(str(meshes), surroundings=""), match(), seed=0)
    for name, (across, along) in OTHERS.items():
        got_across, got_along = factors[name]
        assert got_along / got_across == pytest.approx(along / across, rel=0.08), name
    assert factors["can"][0] < 1.25 / 1.05, "its size beside the others is not known"


def squares_of(groups):
    """Boxes of photos of groups of classes, each from its own distance; sides of boxes differ by class."""
    sides_px = {"tree": 400, "house": 800, "fork": 20, "knife": 40}
    rng = np.random.default_rng(0)
    records = []
    for i, group in enumerate(groups):
        factor = rng.uniform(0.5, 1.2)
        boxes = []
        for k, name in enumerate(group):
            side_px = sides_px[name] * factor
            boxes.append([10 + 1000 * k, 10, 10 + 1000 * k + side_px, 10 + side_px])
        labels = [list(sides_px).index(name) for name in group]
        records.append(record(i, Boxes.of(boxes, np.array(labels))))
    return WholeBoxes.of(Source(name="train", classes=tuple(sides_px), records=records))


def test_sizes_of_classes_that_nothing_shows_together_are_not_compared():
    apart = [("tree", "house")] * 30 + [("fork", "knife")] * 25
    boxes = class_boxes(squares_of(apart))
    assert set(boxes.sizes) == {"tree", "house"} and len(boxes.shapes) == 4
    assert boxes.sizes["house"] - boxes.sizes["tree"] == pytest.approx(np.log(2))


def test_a_few_photos_that_show_two_groups_together_tell_their_sizes():
    groups = [("tree", "house")] * 30 + [("fork", "knife")] * 25 + [("tree", "knife")] * 3
    sizes = class_boxes(squares_of(groups)).sizes
    assert sizes["tree"] - sizes["fork"] == pytest.approx(np.log(20))


def test_things_that_lie_as_they_fall_get_one_factor_for_their_size(meshes):
    even = {"bottle": (0.8, 0.8), "can": (1.25, 1.25), "cone": (1.0, 1.0)}
    photos = photos_of(meshes, even, poses="any", count=300)
    factors = match_proportions(photos, load(str(meshes), surroundings=""), match("any"), seed=0)
    for name, wanted in even.items():
        np.testing.assert_allclose(factors[name], wanted, rtol=0.1, err_msg=name)


def test_few_boxes_or_one_class_tell_nothing(meshes):
    few = photos_of(meshes, OTHERS, count=19)
    assert match_proportions(few, load(str(meshes), surroundings=""), match(), seed=0) is None
    one = replace(photos_of(meshes, OTHERS), classes=("bottle", "b", "c"))
    assert match_proportions(one, load(str(meshes), surroundings=""), match(), seed=0) is None


def test_scenes_show_meshes_in_their_proportions(meshes):
    def scene(**settings):
        return SceneParameters(
            assets=str(meshes), objects=1, image_px=96, size_px=(30, 30), surroundings="",
            poses="upright", least_tilt_deg=85, camera_tilt_deg=85, **settings,
        )  # fmt: skip

    fitted = scene(proportions=(("can", 0.5, 1.0), ("cone", 0.5, 1.0), ("bottle", 0.5, 1.0)))
    plain, narrow = library_of(scene()).assets, library_of(fitted).assets
    for name, asset in plain.items():
        ratio = np.ptp(narrow[name].mesh.vertices, axis=0) / np.ptp(asset.mesh.vertices, axis=0)
        np.testing.assert_allclose(ratio, [0.5, 0.5, 1.0], rtol=1e-5)
    shapes = []
    for parameters in (scene(), fitted):
        _, boxes = render(draw_scene(parameters, 0, 0), library_of(parameters))
        (sides,) = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
        shapes.append(sides[1] / sides[0])
    assert shapes[1] > 1.6 * shapes[0]


def test_stretched_copies_are_of_the_class_in_its_proportions(meshes):
    parameters = SceneParameters(
        assets=str(meshes), surroundings="", stretch=1.0, proportions=(("can", 0.5, 2.0),)
    )
    sides = [
        np.ptp(asset.mesh.vertices, axis=0)
        for name, asset in library_of(parameters).assets.items()
        if name.startswith("can/")
    ]
    assert len(sides) == 5
    np.testing.assert_allclose(np.median(sides, axis=0), [0.25, 0.25, 1.6], rtol=0.01)


@pytest.mark.parametrize(
    ("proportions", "message"),
    [
        ([["can", 0.4, 1]], "must be factors of 0.5 to 2, got 0.4, 1.0 for can"),
        ([["can", 1, 2.1]], "must be factors of 0.5 to 2, got 1.0, 2.1 for can"),
        ([["can", 1, 1], ["can", 1, 1.5]], "must name a class once, got can again"),
    ],
)
def test_wrong_proportions_are_refused(proportions, message):
    with pytest.raises(ValueError, match=message):
        SceneParameters(proportions=proportions)


def test_proportions_of_no_class_of_the_assets_are_refused(meshes):
    parameters = SceneParameters(assets=str(meshes), proportions=(("cann", 1.0, 1.1),))
    message = "scene.proportions: names no class of the assets, got 'cann'. Did you mean 'can'?"
    with pytest.raises(DefinitionError) as error:
        library_of(parameters)
    assert str(error.value) == message
