"""Large meshes are traced in frames of their own, and rays meet what they met in one scene."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import tracing
from syndet_ray.scenes.annotate import annotate, silhouettes
from syndet_ray.scenes.generate import draw_scene, library_of
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.projection import directions
from syndet_ray.scenes.raycast import render


@pytest.fixture
def assets(tmp_path):
    """A folder of a ball and a ring, which are large, and of a block, which is not."""
    for name, solid in (
        ("ball", trimesh.creation.icosphere(3)),
        ("ring", trimesh.creation.torus(0.7, 0.3)),
        ("block", trimesh.creation.box((1, 0.6, 0.4))),
    ):
        (tmp_path / name).mkdir()
        solid.export(tmp_path / name / "a.ply")
    return str(tmp_path)


def drawn(assets, **settings):
    parameters = SceneParameters(
        **{"assets": assets, "objects": 12, "image_px": 96, "size_px": (16.0, 30.0)} | settings
    )
    return draw_scene(parameters, 1, 0), library_of(parameters)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"camera_tilt_deg": 70.0, "distractors": 4},
        {"arrangement": "layers", "objects": 4, "distractors": 2},
        {"assets": "dice", "distractors": 6},
    ],
    ids=["tray", "tilted", "layers", "dice"],
)
def test_all_is_seen_as_in_one_scene(assets, settings, monkeypatch):
    scene, library = drawn(**{"assets": assets} | settings)
    many = [i for i, body in enumerate(scene.bodies) if tracing._is_large(body, library)]
    assert many, "nothing is large"
    shared = render(scene, library)
    monkeypatch.setattr(tracing, "_LARGE", np.inf)
    alike = render(scene, library)
    assert (alike.alone == -1).all()
    assert set(np.flatnonzero(shared.alone >= 0)) <= set(many)
    # rays that touch an outline may fall to either side of it
    assert (shared.ids != alike.ids).mean() < 1e-3
    assert (np.abs(shared.radiance - alike.radiance).max(axis=2) > 0.01).mean() < 2e-3
    boxes = annotate(scene, shared.ids, library, shared.alone)
    others = annotate(scene, alike.ids, library)
    assert np.abs(boxes.xyxy - others.xyxy).max() <= 1
    assert np.abs(boxes.visibility - others.visibility).max() < 0.03


def test_what_the_rays_counted_are_the_silhouettes(assets):
    """Also of bodies that others hide, or that the image's border cuts."""
    scene, library = drawn(assets, objects=30, size_px=(20.0, 50.0))
    rendering = render(scene, library)
    counted = silhouettes(scene, library, alone=rendering.alone)
    measured = silhouettes(scene, library)
    is_counted = rendering.alone >= 0
    assert is_counted.any() and not is_counted.all()
    assert (rendering.alone[is_counted] == measured[is_counted]).all()
    assert counted.tolist() == measured.tolist()


def test_a_body_that_reaches_behind_the_camera_is_seen():
    solid = trimesh.creation.icosphere(3)
    mesh = Mesh(
        vertices=np.asarray(solid.vertices, np.float32),
        faces=np.asarray(solid.faces, np.int32),
        colors=np.ones((len(solid.vertices), 3), np.float32),
    )
    library = Library(classes=("ball",), assets={"ball": Asset(label=0, mesh=mesh, scale=0.01)})
    scene, _ = drawn("dice", objects=1)
    body = replace(scene.bodies[0], asset="ball", label=0, die=None, position=scene.camera.position)
    around = replace(scene, bodies=(replace(body, scale=0.05),))
    assert (render(around, library).ids == 0).all()


def test_no_ball_that_a_ray_meets_is_missed(assets):
    scene, library = drawn(assets)
    tracer = tracing.Tracer(scene, library)
    centres = np.array([instance.centre for instance in tracer._instances], float)
    radii = np.array([instance.radius for instance in tracer._instances])
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.2, 0.2, (3, 500)).astype(np.float32)
    towards = rng.standard_normal((3, 500)).astype(np.float32)
    along = (towards / np.linalg.norm(towards, axis=0)).astype(float)
    to_centres = centres[:, :, None] - points
    feet = (to_centres * along).sum(axis=1, keepdims=True) * along
    distances = np.linalg.norm(to_centres - feet, axis=1)
    is_near = tracing._are_near(tracer._ball_terms, points, towards)
    inside = distances < radii[:, None]
    assert inside.any() and is_near[inside].all()
    assert (is_near & ~inside).mean() < 0.01


def test_rays_of_a_window_are_all_that_go_through_its_pixels(assets):
    scene, _ = drawn(assets)
    width, height = scene.camera.size_wh
    pixels = np.array([5, width + 7, 3 * width + 5])
    y, x = np.divmod(np.tile(pixels, 2), width)
    towards = directions(scene.camera, x.astype(np.float32), y.astype(np.float32))
    rays = tracing.PixelRays(directions=towards, pixels=pixels, size_wh=scene.camera.size_wh)
    assert sorted(rays.within((slice(0, 3), slice(5, 8))).tolist()) == [0, 1, 3, 4]
    assert len(rays.within((slice(0, height), slice(0, 5)))) == 0
