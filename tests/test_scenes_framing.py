"""Objects fall where the camera looks, in as many images as were asked for."""

import numpy as np
import pytest
import trimesh

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DefinitionError
from syndet_ray.scenes import raycast
from syndet_ray.scenes.framing import Region, seen_floor, whole
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.scene import NO_CLASS

SMALL = {"image_px": 96, "size_px": (11.0, 20.0), "objects": 8, "camera_tilt_deg": 0.0}
LARGE = {"image_px": 96, "size_px": (56.0, 94.0), "objects": 2}
AHEAD = SMALL | {"camera_tilt_deg": 85.0, "distractors": 1}


def scenes_of(count=12, **fixed):
    parameters = SceneParameters(**fixed)
    return [draw_scene(parameters, 4, i) for i in range(count)], library_of(parameters)


@pytest.mark.parametrize("fixed", [SMALL, LARGE, AHEAD, AHEAD | {"aspect": 1.7}])
def test_as_many_objects_are_seen_as_were_asked_for(fixed):
    scenes, library = scenes_of(**fixed)
    counts = [len(render(scene, library)[1]) for scene in scenes]
    assert min(counts) > 0
    assert np.mean(counts) == pytest.approx(fixed["objects"], rel=0.1)


def test_the_region_is_what_the_image_shows():
    scenes, _ = scenes_of(camera_tilt_deg=60.0, image_px=96, aspect=1.5, objects=1)
    for scene in scenes:
        camera = scene.camera
        region = seen_floor(camera, 0.0)
        rng = np.random.default_rng(0)
        points = region.draw(200, rng)
        assert region.contains(points).all()
        on_floor = np.column_stack([points, np.zeros(len(points))])
        pixels = project(on_floor, camera)
        assert (pixels > -1).all() and (pixels < np.array(camera.size_wh) + 1).all()
        forward = np.array(camera.rotation)[2]
        distance = (on_floor - camera.position) @ forward
        assert distance.min() > 0 and distance.max() < 2.01 * camera.focus_m


def test_a_part_of_a_region():
    square = whole((1.0, 1.0))
    half = Region(corners=np.array([[0.0, -5], [5, -5], [5, 5], [0, 5]])).within((1.0, 1.0))
    assert np.allclose(half.corners.min(axis=0), (0, -1)) and np.allclose(half.corners.max(), 1)
    far = Region(corners=np.array([[8.0, 8], [9, 8], [9, 9]])).within((1.0, 1.0))
    assert np.allclose(far.corners, square.corners)
    points = square.draw(1000, np.random.default_rng(0))
    assert np.abs(points.mean(axis=0)).max() < 0.1 and np.abs(points).max() > 0.95


def test_a_camera_that_looks_ahead_sees_a_horizon_and_no_point_without_end():
    scenes, library = scenes_of(**AHEAD)
    has_horizon = 0
    for scene in scenes:
        rotation = np.array(scene.camera.rotation)
        right, down, forward = rotation
        rendering = raycast.render(scene, library)
        assert np.isfinite(rendering.radiance).all()
        assert scene.camera.position[2] >= 3 * library.unit_m
        if np.degrees(np.arccos(-forward[2])) > 31:
            assert abs(right[2]) < 0.1 and down[2] < 0, "held level, the right way up"
        top = rendering.radiance[0]
        has_horizon += np.allclose(top, scene.ground.horizon, rtol=1e-5)
    assert 0 < has_horizon < len(scenes)


def test_cameras_are_tilted_as_far_as_asked():
    for least, most in ((0.0, 20.0), (50.0, 60.0), (70.0, 70.0)):
        scenes, _ = scenes_of(40, objects=1, camera_tilt_deg=most, least_tilt_deg=least)
        tilts = np.degrees([np.arccos(-scene.camera.rotation[2][2]) for scene in scenes])
        assert least - 1e-6 <= tilts.min() and tilts.max() <= most + 1e-6
        assert np.ptp(tilts) >= 0.7 * (most - least)


def test_heaps_are_no_towers():
    fixed = LARGE | {"objects": 40, "distractors": 1}
    scenes, library = scenes_of(2, **fixed)
    for scene in scenes:
        placed = [body for body in scene.bodies if body.label != NO_CLASS]
        assert 2 < len(placed) < 40
        assert max(body.position[2] for body in placed) <= 4 * library.unit_m


# Poses


@pytest.fixture(scope="module")
def cans(tmp_path_factory):
    """A folder with one class: a can of 64 sides, z up."""
    folder = tmp_path_factory.mktemp("cans")
    (folder / "can").mkdir()
    trimesh.creation.cylinder(0.3, 1.0, sections=64).export(folder / "can" / "can.stl")
    return str(folder)


def upright_share(**fixed):
    """The share of objects whose +z looks up, and the share that stands on either end."""
    scenes, _ = scenes_of(30, **SMALL | {"objects": 4} | fixed)
    up = [body.rotation[2][2] for scene in scenes for body in scene.bodies]
    return np.mean(np.array(up) > 0.99), np.mean(np.abs(up) > 0.99)


def test_poses_are_as_asked(cans):
    upright, standing = upright_share(assets=cans, poses="upright")
    assert upright == standing == 1
    upright, standing = upright_share(assets=cans, poses="face_up")
    assert upright == standing > 0.5, "what lies on others may lean"
    upright, standing = upright_share(assets=cans)
    assert 0 < upright < standing < 0.5
    upright, standing = upright_share(assets=cans, poses="any")
    assert standing < 0.1


@pytest.mark.parametrize("poses", ["rest", "upright", "face_up"])
def test_layers_have_no_floor_to_stand_on(poses):
    with pytest.raises(DefinitionError, match="layers have no floor"):
        Recipe().replace({"scene.poses": poses, "scene.arrangement": "layers"})


def test_what_hardly_shows_has_no_box():
    crowd = {"image_px": 96, "size_px": (24.0, 34.0), "objects": 40}
    every, library = scenes_of(4, **crowd)
    some, _ = scenes_of(4, **crowd, least_visibility=0.4)
    for scene, limited in zip(every, some, strict=True):
        boxes, kept = render(scene, library)[1], render(limited, library)[1]
        clear = boxes.visibility >= 0.4
        assert 0 < clear.sum() < len(boxes)
        assert np.array_equal(kept.xyxy, boxes.xyxy[clear])
        assert np.array_equal(kept.visibility, boxes.visibility[clear])
