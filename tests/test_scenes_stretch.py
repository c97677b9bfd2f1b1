"""Stretched meshes: objects of one class differ in shape, and only they."""

from collections import Counter

import numpy as np
import pytest
import trimesh

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes.detail import light_mesh
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.library import corner_normals
from syndet_ray.scenes.stretch import MOST, stretch_mesh


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


def test_normals_of_what_is_stretched_stay_square_to_it(eggs):
    asset = next(iter(library_of(parameters(eggs)).assets.values()))
    light = light_mesh(asset)
    assert light.normals is not None and len(light.faces) < len(asset.mesh.faces)
    for factors in ((1.25, 1.0), (1.0, 0.8)):
        mesh = stretch_mesh(light, factors)
        corners = mesh.vertices[mesh.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        cosines = (corner_normals(mesh).mean(axis=1) * across).sum(axis=1)
        assert cosines.min() > 0.95


def test_a_stretched_object_is_drawn_with_as_few_faces(eggs):
    library = library_of(parameters(eggs, stretch=1.0))
    counts = {len(light_mesh(asset).faces) for asset in library.assets.values()}
    assert len(counts) <= 2 and max(counts) < 2000
    image, boxes = render(draw_scene(parameters(eggs, stretch=1.0), 0, 0), library)
    assert image.shape == (96, 96, 3) and len(boxes)
