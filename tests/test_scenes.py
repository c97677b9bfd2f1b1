"""Scenes: dice that rest where dice could, pictures that are the same everywhere, labels that tell the truth."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray import SceneParameters
from syndet_ray.scenes import generate as generating
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.assets import FACE_AXES, FACE_VALUES, die_mesh, pip_coverage, up_face
from syndet_ray.scenes.generate import draw_scene, generate, render, set_hash, stand_in
from syndet_ray.scenes.raycast import draw, silhouettes
from syndet_ray.scenes.scene import Scene, rotations

STRENGTHS = ("light_color", "light_direction", "blur", "noise", "floor", "object_color")
PLAIN = SceneParameters(objects=12, image_px=96, size_px=(20, 26))


def corners(scene):
    """(n, 8, 3) corners of the sharp cubes around the dice."""
    unit = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    edges = np.array([die.edge for die in scene.dice])[:, None, None]
    centres = np.array([die.position for die in scene.dice])[:, None]
    return np.einsum("nij,vj->nvi", rotations(scene.dice), unit) * edges + centres


def penetration(a, b, axes):
    """How deep two convex sets of corners are in each other along the axis that shows it least; below 0: apart."""
    depths = []
    for axis in axes:
        if np.linalg.norm(axis) > 1e-6:
            pa, pb = a @ axis / np.linalg.norm(axis), b @ axis / np.linalg.norm(axis)
            depths.append(min(pa.max(), pb.max()) - max(pa.min(), pb.min()))
    return min(depths)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6))
def test_dice_never_stand_in_one_another_and_always_on_something(objects, seed):
    scene = draw_scene(SceneParameters(objects=objects), seed, 0)
    found, turns = corners(scene), rotations(scene.dice)
    for i in range(objects):
        touches = found[i, :, 2].min() < 1e-6
        for j in range(objects):
            if i == j or np.linalg.norm(found[i].mean(axis=0) - found[j].mean(axis=0)) > 0.035:
                continue
            axes = [*turns[i].T, *turns[j].T, *(np.cross(u, v) for u in turns[i].T for v in turns[j].T)]
            depth = penetration(found[i], found[j], axes)
            assert depth < 1e-6, f"dice {i} and {j} overlap by {depth} m"
            touches |= abs(depth) < 1e-6 and found[i, :, 2].min() > 1e-4
        assert touches, f"die {i} floats"


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 100), st.integers(0, 10**6))
def test_dice_lie_inside_the_tray(objects, seed):
    poses = drop(np.full(objects, 0.016), 0.064, 0.064, np.random.default_rng(seed))
    reach = 0.008 * (np.abs(np.cos(poses[:, 3])) + np.abs(np.sin(poses[:, 3])))
    assert (np.abs(poses[:, :2]) + reach[:, None] <= 0.064 + 1e-9).all()


def test_a_die_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit into a tray"):
        drop(np.array([0.2]), 0.064, 0.064, np.random.default_rng(0))


def test_the_die_is_a_real_die():
    mesh = die_mesh()
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    np.testing.assert_allclose(mesh.extents, 1)
    assert 0.9 < mesh.volume < 1
    opposite = [FACE_VALUES[k] + FACE_VALUES[k ^ 1] for k in range(6)]
    assert opposite == [7] * 6


@pytest.mark.parametrize("k", range(6))
def test_each_face_carries_as_many_pips_as_its_value(k):
    ticks = np.linspace(-0.5, 0.5, 201)
    u, v = np.meshgrid(ticks, ticks)
    local = np.zeros((u.size, 3))
    axis = k // 2
    local[:, axis] = FACE_AXES[k][axis] / 2
    local[:, (axis + 1) % 3], local[:, (axis + 2) % 3] = u.ravel() * 0.99, v.ravel() * 0.99
    painted = pip_coverage(local, np.full(u.size, 0.09), np.full(u.size, 1e-6)) > 0.5
    import cv2

    count, _ = cv2.connectedComponents(painted.reshape(u.shape).astype(np.uint8))
    assert count - 1 == FACE_VALUES[k]


def test_the_label_is_the_face_that_is_up():
    scene = draw_scene(SceneParameters(objects=40), 1, 0)
    for rotation in rotations(scene.dice):
        up = FACE_AXES[list(FACE_VALUES).index(up_face(rotation))] @ rotation.T
        np.testing.assert_allclose(up, [0, 0, 1], atol=1e-9)
    assert len({up_face(rotation) for rotation in rotations(scene.dice)}) == 6


def test_a_scene_is_the_same_wherever_it_is_drawn_and_survives_json():
    scene = draw_scene(PLAIN, 5, 7)
    assert scene == draw_scene(PLAIN, 5, 7)
    assert Scene.from_json(scene.to_json()) == scene
    (first, boxes), (second, again) = render(scene), render(Scene.from_json(scene.to_json()))
    assert first.tobytes() == second.tobytes()
    assert boxes.xyxy.tobytes() == again.xyxy.tobytes()
    assert draw_scene(PLAIN, 5, 8) != scene
    assert draw_scene(PLAIN, 6, 7) != scene


PARTS = {
    "light_color": lambda s: (s.light.color, s.light.sky_color),
    "light_direction": lambda s: (s.light.direction, s.light.radius),
    "blur": lambda s: s.sensor.blur_sigma_px,
    "noise": lambda s: s.sensor.noise_sigma,
    "floor": lambda s: s.ground,
    "object_color": lambda s: tuple((d.color, d.pip_color) for d in s.dice),
}


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_strength_changes_its_own_property_and_no_other(strength):
    off, full = (draw_scene(PLAIN.model_copy(update={strength: value}), 3, 2) for value in (0.0, 1.0))
    changed = {name for name, part in PARTS.items() if part(off) != part(full)}
    # The key light's brightness goes with its direction: a low lamp is a dim one.
    assert changed - ({"light_color"} if strength == "light_direction" else set()) == {strength}
    assert [d.position for d in off.dice] == [d.position for d in full.dice]
    assert off.camera == full.camera


def test_strength_0_is_off():
    off = PLAIN.model_copy(update=dict.fromkeys(STRENGTHS, 0.0))
    scenes = [draw_scene(off, 4, index) for index in range(4)]
    assert {(s.sensor.blur_sigma_px, s.sensor.noise_sigma) for s in scenes} == {(0.0, 0.0)}
    assert len({(s.light.direction, s.light.radius, s.light.color, s.light.sky_color) for s in scenes}) == 1
    assert len({(d.color, d.pip_color) for s in scenes for d in s.dice}) == 1
    assert len({(s.ground.floor_color, s.ground.wall_color, s.ground.texture_contrast) for s in scenes}) == 1


def test_density_makes_obstruction():
    means = []
    for objects in (10, 40, 70, 100):
        seen = [render(draw_scene(SceneParameters(objects=objects), 1, index))[1].visibility for index in range(4)]
        means.append(np.sum(np.concatenate(seen)) / (4 * objects))
    assert means == sorted(means, reverse=True)
    assert means[0] - means[3] > 0.3


def test_visibility_is_what_a_die_alone_would_show():
    """Against an independent count: rays at one die's own mesh, with and without the others."""
    scene = draw_scene(SceneParameters(objects=50, image_px=160, size_px=(20, 26)), 2, 1)
    drawing = draw(scene)
    whole = silhouettes(scene)
    for i, die in enumerate(scene.dice):
        alone = draw(replace(scene, dice=(die,), ground=replace(scene.ground, wall_height=0.0)))
        inside = (alone.ids >= 0).sum()
        y, x = np.nonzero(alone.ids >= 0)
        if inside and x.min() > 0 and y.min() > 0 and x.max() < 159 and y.max() < 159:
            assert abs(int(whole[i]) - int(inside)) <= 2, "only rays through a facet's rim may differ"
    boxes = render(scene)[1]
    seen = np.unique(drawing.ids[drawing.ids >= 0])
    assert len(boxes) == len(seen)
    assert ((boxes.visibility > 0) & (boxes.visibility <= 1)).all()
    for k, i in enumerate(seen):
        y, x = np.nonzero(drawing.ids == i)
        assert boxes.xyxy[k].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert boxes.visibility[k] == pytest.approx(min(1, len(x) / whole[i]), abs=1e-6)


def test_dice_are_as_wide_as_asked():
    widths = []
    for index in range(8):
        boxes = render(draw_scene(SceneParameters(objects=6), 1, index))[1]
        inside = (boxes.xyxy.min(axis=1) > 0) & (boxes.xyxy.max(axis=1) < 256) & (boxes.visibility > 0.99)
        widths += (boxes.xyxy[inside, 2] - boxes.xyxy[inside, 0]).tolist()
    assert np.percentile(widths, 5) > 24
    assert np.percentile(widths, 95) < 60


def test_a_second_call_renders_nothing(tmp_path, monkeypatch):
    first = generate(PLAIN, 3, 1, tmp_path)

    def never(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr(generating, "draw_scene", never)
    second = generate(PLAIN, 3, 1, tmp_path)
    assert first.hash == second.hash
    assert isinstance(second.pixels, np.memmap)
    with pytest.raises(AssertionError, match="rendered again"):
        generate(PLAIN, 4, 1, tmp_path)


def test_a_renderer_that_changed_renders_anew(monkeypatch):
    before = set_hash(PLAIN, 3, 1)
    monkeypatch.setattr(generating, "RENDERER_VERSION", 999)
    assert set_hash(PLAIN, 3, 1) != before


def _generate_and_count(cache, queue):
    calls = []
    generate(PLAIN, 4, 9, cache, progress=lambda done, total: calls.append(done))
    queue.put(len(calls))


def test_of_two_processes_that_ask_at_once_one_renders(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    workers = [spawn.Process(target=_generate_and_count, args=(tmp_path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    counts = sorted(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert counts == [0, 4]


def test_the_stand_in_set_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(generating, "_STAND_IN_COUNTS", {"train": 3, "val": 1, "test": 2})
    pools = stand_in(tmp_path)
    assert {split: len(pool) for split, pool in pools.items()} == {"train": 3, "val": 1, "test": 2}
    assert all(pool.stand_in and not pool.synthetic for pool in pools.values())
    assert len({pool.hash for pool in pools.values()}) == 3


def first_hits(origin, rays, triangles):
    """(n,) index of the first triangle (m, 3, 3) that each ray (n, 3) meets, -1 where none (Moller & Trumbore 1997)."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(rays[:, None], ac)
    det = (p * ab).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((origin - a) * p).sum(axis=-1) / det
        q = np.cross(origin - a, ab)
        v = (rays[:, None] * q).sum(axis=-1) / det
        t = (q * ac).sum(axis=-1) / det
    t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
    return np.where(np.isfinite(t.min(axis=1)), t.argmin(axis=1), -1)


def test_pixels_agree_with_an_independent_ray_caster():
    scene = draw_scene(SceneParameters(objects=8, image_px=64, size_px=(12, 14)), 1, 1)
    mesh = die_mesh()
    dice = zip(scene.dice, rotations(scene.dice), strict=True)
    triangles = np.concatenate([(mesh.vertices * die.edge @ turn.T + die.position)[mesh.faces] for die, turn in dice])
    camera = scene.camera
    y, x = (axis.ravel() + 0.5 for axis in np.mgrid[0:64:4, 0:64:4])
    rays = np.stack([(x - 32) / camera.focal_px, (y - 32) / camera.focal_px, np.ones(len(x))], axis=1)
    found = first_hits(np.array(camera.position), rays @ np.array(camera.rotation), triangles)
    expected = np.where(found >= 0, found // len(mesh.faces), -1)
    drawn = draw(replace(scene, ground=replace(scene.ground, wall_height=0.0))).ids[0:64:4, 0:64:4].ravel()
    assert (drawn == expected).mean() > 0.99
    assert (expected >= 0).any()
