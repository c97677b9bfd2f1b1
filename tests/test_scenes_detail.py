"""Meshes are drawn with as many triangles as can be seen, and look as they did."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import looks
from syndet_ray.scenes.detail import at_size, light_mesh
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.scenes.library import Asset, Library, Mesh, corner_normals, embree_scene
from syndet_ray.scenes.paint import mesh_colors
from syndet_ray.scenes.raycast import render as raycast
from syndet_ray.scenes.scene import NO_CLASS


def mesh_of(solid, **paint):
    vertices = np.asarray(solid.vertices, np.float32)
    faces = np.asarray(solid.faces, np.int32)
    return Mesh(vertices=vertices, faces=faces, **({"colors": np.ones_like(vertices)} | paint))


def sphere(subdivisions=5):
    return mesh_of(trimesh.creation.icosphere(subdivisions))


def panel(side=80):
    """A square sheet of two textures side by side, red and blue, split at the seam between them."""
    halves = []
    for left in (0.0, 1.0):
        u, v = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
        points = np.column_stack([u.ravel() + left - 1, 2 * v.ravel() - 1, np.zeros(u.size)])
        points[:, 2] = 0.15 * np.sin(3 * points[:, 0]) * np.cos(2 * points[:, 1])
        # the left half's texture lies to the right
        uv = np.column_stack([0.02 + 0.46 * u.ravel() + 0.5 * (1 - left), v.ravel()])
        halves.append((points, uv))
    cell = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    triangles = np.concatenate(
        [
            np.stack([cell, cell + 1, cell + side], axis=1),
            np.stack([cell + 1, cell + side + 1, cell + side], axis=1),
        ]
    )
    vertices = np.concatenate([points for points, _ in halves]).astype(np.float32)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:, :32, 2], texture[:, 32:, 0] = 255, 255
    return Mesh(
        vertices=vertices,
        faces=np.concatenate([triangles, triangles + side * side]).astype(np.int32),
        colors=np.ones_like(vertices),
        uv=np.concatenate([uv for _, uv in halves]).astype(np.float32),
        texture=texture,
    )


def seen(mesh, size_px, turn=None):
    """Triangles (n, n), -1 for none, and weights (2, n, n) where rays, one a pixel, meet a mesh."""
    turn = np.eye(3) if turn is None else turn
    steps = np.arange(-0.6, 0.6, 1 / size_px) * mesh.length
    x, y = np.meshgrid(steps, steps)
    origins = np.stack([x, y, np.full(x.shape, 2 * mesh.length)], axis=-1).reshape(-1, 3) @ turn
    directions = np.tile(np.array([0.0, 0, -1]) @ turn, (len(origins), 1))
    embree, _keep = embree_scene(mesh)
    traced = embree.run(origins.astype(np.float32), directions.astype(np.float32), output=True)
    weights = np.stack([traced["u"], traced["v"]]).reshape(2, *x.shape)
    return traced["primID"].reshape(x.shape), weights


def within_a_pixel(silhouette, other):
    """True if one silhouette lies within another that is a pixel larger all round."""
    padded = np.pad(other, 1)
    n, m = other.shape
    larger = np.zeros_like(other)
    for y in range(3):
        for x in range(3):
            larger |= padded[y : y + n, x : x + m]
    return not (silhouette & ~larger).any()


@pytest.mark.parametrize("size_px", [32.0, 128.0])
def test_a_ball_has_fewer_faces_the_same_silhouette_and_round_normals(size_px):
    whole = sphere()
    light = at_size(whole, size_px)
    assert len(light.faces) < len(whole.faces) / 4
    ours, _ = seen(light, size_px)
    all_, _ = seen(whole, size_px)
    assert within_a_pixel(ours >= 0, all_ >= 0) and within_a_pixel(all_ >= 0, ours >= 0)
    outward = light.vertices[light.faces]
    outward /= np.linalg.norm(outward, axis=2, keepdims=True)
    assert (corner_normals(light) * outward).sum(axis=2).min() > np.cos(np.radians(5))


def test_larger_objects_keep_more_faces():
    counts = [len(at_size(sphere(), size_px).faces) for size_px in (16.0, 400.0)]
    assert counts[0] < counts[1]


def test_edges_stay_sharp():
    box = trimesh.creation.box((1, 1, 1))
    for _ in range(4):
        box = box.subdivide()
    light = at_size(mesh_of(box), 64.0)
    assert len(light.faces) < len(box.faces)
    normals = corner_normals(light).reshape(-1, 3)
    is_along_an_axis = np.abs(normals).max(axis=1) > 0.99
    assert is_along_an_axis.mean() > 0.99, "hardly any between two sides"


def test_textures_do_not_smear_over_their_seams():
    whole = panel()
    light = at_size(whole, 96.0)
    assert len(light.faces) < len(whole.faces) / 3
    assert light.texture is whole.texture
    triangles, weights = seen(light, 96.0)
    rows, columns = np.nonzero(triangles >= 0)
    colors = mesh_colors(light, triangles[rows, columns], weights[:, rows, columns])
    x = np.arange(-0.6, 0.6, 1 / 96)[columns] * whole.length
    of_left, of_right = colors[:, x < -0.01], colors[:, x > 0.01]
    assert of_left[0].min() > 0.99 and of_left[2].max() == 0
    assert of_right[2].min() > 0.99 and of_right[0].max() == 0


def test_painted_vertices_keep_their_colours():
    whole = sphere()
    stripes = (np.sin(4 * whole.vertices) / 2 + 0.5).astype(np.float32)
    light = at_size(replace(whole, colors=stripes), 64.0)
    assert len(light.faces) < len(whole.faces)
    unit = light.vertices / np.linalg.norm(light.vertices, axis=1, keepdims=True)
    assert np.abs(light.colors - (np.sin(4 * unit) / 2 + 0.5)).max() < 0.1


def test_vertices_that_no_face_uses_change_nothing():
    whole = sphere()
    more = np.concatenate([whole.vertices, whole.vertices[:500] * 0.999]).astype(np.float32)
    strewn = replace(whole, vertices=more, colors=np.ones_like(more))
    light = at_size(strewn, 64.0)
    assert len(light.faces) < len(whole.faces) and len(light.vertices) < len(whole.vertices)
    assert np.abs(np.linalg.norm(light.vertices, axis=1) - 1).max() < 0.02


def test_the_lighter_mesh_is_the_same_every_time():
    first, second = (at_size(sphere(), 64.0) for _ in range(2))
    assert first is not second
    for name in ("vertices", "faces", "colors", "normals"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_what_is_light_already_or_of_unknown_size_stays_untouched():
    small, large = sphere(3), sphere(5)
    assert light_mesh(Asset(label=0, mesh=small, scale=1.0, most_px=8.0)) is small
    assert light_mesh(Asset(label=0, mesh=large, scale=1.0)) is large
    assert light_mesh(Asset(label=0, mesh=large, scale=1.0, most_px=30.0)) is not large


def test_a_mesh_whose_triangles_all_show_stays_whole():
    """Noise on a ball is as large as its pixels: nothing of fewer faces looks alike."""
    whole = sphere(4)
    noise = np.random.default_rng(0).uniform(0.8, 1, (len(whole.vertices), 1)).astype(np.float32)
    rough = replace(whole, vertices=whole.vertices * noise)
    assert at_size(rough, 180.0) is rough


def test_scenes_ask_for_the_detail_of_their_largest_objects():
    library = Library(
        classes=("ball", "pea"),
        assets={
            "ball": Asset(label=0, mesh=sphere(1), scale=0.02),
            "pea": Asset(label=1, mesh=sphere(1), scale=0.005),
            "leaf": Asset(label=NO_CLASS, mesh=sphere(1), scale=0.02),
        },
    )

    def most_px(name, **settings):
        parameters = SceneParameters(**{"size_px": (20.0, 40.0)} | settings)
        return looks.most_px(parameters, library, library.assets[name])

    assert most_px("ball") > 40 and most_px("ball") == pytest.approx(4 * most_px("pea"))
    assert most_px("ball", size_px=(20.0, 80.0)) > 1.5 * most_px("ball")
    assert most_px("ball", focal_length=1.0) > most_px("ball")
    assert most_px("ball", camera_tilt_deg=70.0) > most_px("ball")
    assert most_px("leaf", background_scale=(1.0, 3.0)) > most_px("leaf")
    assert most_px("leaf", arrangement="layers") >= 80


def test_scenes_of_lighter_meshes_have_the_same_ids_up_to_a_pixel(tmp_path):
    (tmp_path / "ball").mkdir()
    trimesh.creation.icosphere(5).export(tmp_path / "ball" / "a.ply")
    parameters = SceneParameters(
        assets=str(tmp_path), objects=4, image_px=96, size_px=(20.0, 30.0), noise=0.0, blur=0.0
    )
    scene, library = draw_scene(parameters, 0, 0), library_of(parameters)
    assert len(light_mesh(library.assets["ball/a.ply"]).faces) < 20_480 / 4
    whole = {name: replace(asset, most_px=None) for name, asset in library.assets.items()}
    ids, all_ids = raycast(scene, library).ids, raycast(scene, replace(library, assets=whole)).ids
    assert (ids >= 0).any() and (ids != all_ids).mean() < 0.01
    image, boxes = render(scene, library)
    other_image, other_boxes = render(scene, replace(library, assets=whole))
    assert np.abs(boxes.xyxy - other_boxes.xyxy).max() <= 1
    assert np.abs(image.astype(int) - other_image).mean() < 1
