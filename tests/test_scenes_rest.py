"""Meshes rest on the floor as bodies do, by chances that depend on their shape alone."""

import cv2
import numpy as np
import pytest
import trimesh

from syndet_ray.scenes.library import Mesh
from syndet_ray.scenes.rest import stable_turns


def mesh_of(solid):
    vertices = np.asarray(solid.vertices, np.float32)
    faces = np.asarray(solid.faces, np.int32)
    return Mesh(vertices=vertices, faces=faces, colors=np.ones_like(vertices))


def share_that_stands(mesh, axis):
    """The chance that one of the mesh's axes is vertical."""
    turns, chances = stable_turns(mesh)
    assert chances.sum() == pytest.approx(1)
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-6)
    return chances[np.abs(turns[:, 2, axis]) > 0.99].sum()


def test_the_sides_of_a_cube_are_equally_likely():
    turns, chances = stable_turns(mesh_of(trimesh.creation.box((1, 1, 1))))
    assert len(turns) == 6 and np.allclose(chances, 1 / 6)


@pytest.mark.parametrize("sections", [8, 64, 500])
def test_chances_do_not_depend_on_how_finely_a_mesh_is_cut(sections):
    can = mesh_of(trimesh.creation.cylinder(0.033, 0.12, sections=sections))
    # the solid angle of a disc at a distance, over that of the sphere
    expected = 1 - 0.06 / np.hypot(0.06, 0.033)
    assert share_that_stands(can, axis=2) == pytest.approx(expected, abs=0.03)


def test_a_ball_shows_all_its_sides():
    turns, _ = stable_turns(mesh_of(trimesh.creation.icosphere(3)))
    down = -turns[:, 2]  # the direction of the mesh that points down
    assert len(turns) > 300 and np.abs(down.mean(axis=0)).max() < 0.05


def test_what_is_heavy_below_stands_more_often():
    stem = trimesh.creation.cylinder(0.1, 1.0)
    foot = trimesh.creation.cylinder(0.5, 0.1)
    foot.apply_translation((0, 0, -0.5))
    shape = trimesh.util.concatenate([stem, foot])
    whole = trimesh.convex.convex_hull(shape.vertices)
    upright = []
    for solid in (shape, whole):
        turns, chances = stable_turns(mesh_of(solid))
        upright.append(chances[turns[:, 2, 2] > 0.99].sum())
    assert upright[0] > 1.3 * upright[1]


@pytest.mark.parametrize("points", [[(0, 0), (1, 0), (1, 0.6)], [(0, 0), (1, 0), (1, 1), (0, 1)]])
def test_a_leaf_lies_on_either_side(points):
    vertices = np.array([(x, 0.3 * x, y) for x, y in points], np.float32)  # a plane that leans
    faces = np.array([(0, k, k + 1) for k in range(1, len(points) - 1)], np.int32)
    leaf = Mesh(vertices=vertices, faces=faces, colors=np.ones_like(vertices))
    turns, chances = stable_turns(leaf)
    assert chances.tolist() == [0.5, 0.5]
    for turn in turns:
        assert np.ptp(vertices @ turn.T, axis=0)[2] < 1e-5
    assert np.allclose(turns[0, 2], -turns[1, 2])


@pytest.mark.parametrize("thickness", [1e-7, 1e-4])
def test_a_sheet_of_nearly_no_thickness_lies_on_either_side(thickness):
    sheet = mesh_of(trimesh.creation.box((1, 0.6, thickness)))
    assert share_that_stands(sheet, axis=2) == pytest.approx(1, abs=0.01)


def test_two_leaves_in_one_plane_lie_on_either_side():
    corners = [(0, 0), (1, 0), (1, 0.6), (3, 0), (4, 0), (4, 0.6)]
    vertices = np.array([(x, y, 0) for x, y in corners], np.float32)
    faces = np.array([(0, 1, 2), (3, 4, 5)], np.int32)
    leaves = Mesh(vertices=vertices, faces=faces, colors=np.ones_like(vertices))
    assert stable_turns(leaves)[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(5))
def test_a_rock_rests_where_its_centre_lies_above_a_face(seed):
    rng = np.random.default_rng(seed)
    rock = trimesh.convex.convex_hull(rng.normal(size=(40, 3)) * (1, 0.7, 0.5))
    turns, chances = stable_turns(mesh_of(rock))
    centre = np.asarray(rock.center_mass)
    assert chances.sum() == pytest.approx(1) and (chances > 0).all()
    for turn in turns:
        placed = rock.vertices @ turn.T
        lowest = placed[placed[:, 2] < placed[:, 2].min() + 1e-4]
        assert len(lowest) >= 3
        outline = cv2.convexHull(np.float32(lowest[:, :2] * 1000))
        x, y = (turn @ centre * 1000)[:2].tolist()
        assert cv2.pointPolygonTest(outline, (x, y), measureDist=True) > -0.1
