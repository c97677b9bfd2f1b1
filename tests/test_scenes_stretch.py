"""Stretched meshes: objects of one class differ in shape, and only they."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes.detail import light_mesh
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.library import Mesh, Stretch, corner_normals
from syndet_ray.scenes.stretch import MOST, MOST_PROFILE, stretch_mesh


@pytest.fixture(scope="module")
def eggs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eggs") / "egg"
    folder.mkdir()
    egg = trimesh.creation.icosphere(subdivisions=5)
    egg.apply_scale((0.5, 0.5, 0.7))
    egg.export(folder / "egg.stl")
    return str(folder.parent)


def parameters(eggs, **settings):
    return SceneParameters(
        assets=eggs, objects=6, image_px=96, size_px=(20, 30), surroundings="", **settings
    )


def test_objects_have_five_shapes_each_as_likely(eggs):
    settings = parameters(eggs, stretch=1.0)
    sides = {
        name: np.ptp(asset.mesh.vertices, axis=0)
        for name, asset in library_of(settings).assets.items()
    }
    plain = sides.pop("egg/egg.stl")
    factors = sorted((side / plain).tolist() for side in sides.values())
    low, high = 1 / MOST, MOST
    wanted = [[low, low, 1], [1, 1, low], [1, 1, high], [high, high, 1]]
    np.testing.assert_allclose(factors, wanted, rtol=1e-5)
    drawn = Counter()
    for index in range(60):
        drawn.update(body.asset for body in draw_scene(settings, 0, index).bodies)
    assert len(drawn) == 5 and min(drawn.values()) > 0.6 * max(drawn.values())


def test_without_strength_the_scene_is_the_same(eggs):
    assert list(library_of(parameters(eggs)).assets) == ["egg/egg.stl"]
    assert library_of(parameters(eggs, stretch=1.0)).unit_m == library_of(parameters(eggs)).unit_m


def test_a_class_has_twelve_profiles_however_many_meshes(eggs, tmp_path):
    settings = parameters(eggs, profile=1.0)
    assets = library_of(settings).assets
    plain = assets["egg/egg.stl"].mesh.vertices
    assert len(assets) == 13
    for name, asset in assets.items():
        ratios = np.ptp(asset.mesh.vertices, axis=0) / np.ptp(plain, axis=0)
        assert ratios[2] == pytest.approx(1.0), f"{name}: height is what stretch varies"
        assert 1 / MOST_PROFILE <= ratios[0] <= MOST_PROFILE
    (tmp_path / "egg").mkdir()
    for name in ("a", "b", "c"):
        trimesh.creation.box((1, 1, 2)).export(tmp_path / "egg" / f"{name}.stl")
    assert len(library_of(parameters(str(tmp_path), profile=1.0)).assets) == 3 + 12


def test_a_profile_widens_each_height_by_its_own_factor(eggs):
    mesh = library_of(parameters(eggs)).assets["egg/egg.stl"].mesh
    factors = (1.0, 1.5, 0.8, 0.8, 1.2)
    shaped = stretch_mesh(mesh, Stretch(across=factors, along=1.0))
    heights = mesh.vertices[:, 2]
    levels = np.linspace(heights.min(), heights.max(), 5)
    radii = np.linalg.norm(mesh.vertices[:, :2], axis=1)
    shaped_radii = np.linalg.norm(shaped.vertices[:, :2], axis=1)
    for level, factor in zip(levels[1:-1], factors[1:-1], strict=True):
        near = np.abs(heights - level) < 0.01
        np.testing.assert_allclose(shaped_radii[near] / radii[near], factor, rtol=0.03)
    wide = radii > 0.05
    ratios = shaped_radii[wide] / radii[wide]
    assert ratios.min() >= 0.8 - 1e-5 and ratios.max() <= 1.5 + 1e-5, "curves do not overshoot"


SHAPES = (
    Stretch(across=(1.25,), along=1.0),
    Stretch(across=(1.0,), along=0.8),
    Stretch(across=(0.7, 1.3, 0.8, 1.5, 1.0), along=1.1),
)


@pytest.mark.parametrize("shape", SHAPES, ids=["wide", "low", "profile"])
def test_normals_of_what_is_stretched_stay_square_to_it(eggs, shape):
    plain = library_of(parameters(eggs)).assets["egg/egg.stl"].mesh
    mesh = stretch_mesh(replace(plain, normals=corner_normals(plain)), shape)
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    cosines = (corner_normals(mesh).mean(axis=1) * across).sum(axis=1)
    assert cosines.min() > 0.97


@pytest.mark.parametrize("shape", SHAPES, ids=["wide", "low", "profile"])
def test_what_lies_flat_is_stretched_too(shape):
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    mesh = Mesh(vertices=corners, faces=faces, colors=np.ones((4, 3), np.float32))
    sides = np.ptp(stretch_mesh(mesh, shape).vertices, axis=0)
    np.testing.assert_allclose(sides, [shape.across[0], shape.across[0], 0], rtol=1e-5)


def test_a_stretched_object_is_drawn_with_as_few_faces(eggs):
    library = library_of(parameters(eggs, stretch=1.0))
    counts = {len(light_mesh(asset).faces) for asset in library.assets.values()}
    assert len(counts) <= 2 and max(counts) < 2000
    image, boxes = render(draw_scene(parameters(eggs, stretch=1.0), 0, 0), library)
    assert image.shape == (96, 96, 3) and len(boxes)
