"""Scenes: dice rest and never meet, pictures and labels agree, and each strength moves one property
alone.
"""

import hashlib
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import generate as generating
from syndet_ray.scenes import raycast
from syndet_ray.scenes.annotate import annotate, silhouettes
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.dice import (
    CLASSES,
    EDGE_M,
    FACE_AXES,
    FACE_VALUES,
    die_faces,
    die_vertices,
    pip_coverage,
    up_face,
)
from syndet_ray.scenes.framing import whole
from syndet_ray.scenes.generate import draw_scene, generate, library_of, render, scene_hash
from syndet_ray.scenes.looks import draw_count
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.scene import Scene, rotations
from syndet_ray.scenes.sensor import photograph
from syndet_ray.scenes.tracing import world_vertices

# Strengths that move one property alone. Size and shape of objects also change their places, and
# the camera's settings depend on one another: they have their own tests.
STRENGTHS = (
    "light_color", "light_direction", "light_intensity", "hue", "floor_color", "floor_texture",
    "object_color", "gloss", "exposure", "white_balance", "blur", "noise", "jpeg",
)  # fmt: skip
SMALL = {"image_px": 96, "objects": 6}
MIXED = SMALL | {"distractors": 3, "light_color": 0.0}
TRAY_HALF_M = 4 * EDGE_M
HALF_SIZE = TRAY_HALF_M, TRAY_HALF_M


def pile_of(n, seed):
    rng = np.random.default_rng(seed)
    edges = EDGE_M * rng.uniform(0.84, 1.16, n)
    return drop(edges, rng.uniform(0.07, 0.22, n), HALF_SIZE, whole(HALF_SIZE), rng)


def overlaps(pile, scale, moved=0.0):
    """(n, n) True where dice, scaled about their centres, meet once the first is moved down by
    `moved` metres.

    Separating axes, pair by pair in plain loops, of smaller cubes that are grown by their rounding.
    """
    n = len(pile)
    found = np.zeros((n, n), bool)
    for a in range(n):
        for b in range(n):
            if a == b:
                continue
            own, other = pile.rotations[a].T, pile.rotations[b].T
            crossed = [
                c / np.linalg.norm(c)
                for u in own
                for v in other
                if np.linalg.norm(c := np.cross(u, v)) > 1e-6
            ]
            axes = np.array([*own, *other, *crossed])
            between = pile.centres[b] - pile.centres[a] + [0, 0, moved]
            reach = sum(
                scale
                * pile.edges[i]
                * (
                    (0.5 - pile.roundings[i]) * np.abs(axes @ turn.T).sum(axis=1)
                    + pile.roundings[i]
                )
                for i, turn in ((a, own), (b, other))
            )
            found[a, b] = (np.abs(axes @ between) < reach).all()
    return found


def lowest(pile):
    reach = np.abs(pile.rotations[:, 2]).sum(axis=1) * (0.5 - pile.roundings) + pile.roundings
    return pile.centres[:, 2] - reach * pile.edges


def scenes_of(n, count=6, **fixed):
    return [draw_scene(SceneParameters(objects=n, **fixed), 3, i) for i in range(count)]


def test_a_die_is_closed_convex_and_of_edge_one():
    for rounding in (0.07, 0.22):
        mesh = trimesh.Trimesh(die_vertices(np.array([rounding]))[0], die_faces(), process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
        # The corners' patches are not quite flat: far less than a pixel.
        assert mesh.volume == pytest.approx(mesh.convex_hull.volume, rel=1e-3)
        np.testing.assert_allclose(mesh.extents, 1)


def test_opposite_faces_sum_to_seven_and_every_face_shows_as_many_pips_as_its_value():
    assert all(FACE_VALUES[i] + FACE_VALUES[i + 1] == 7 for i in (0, 2, 4))
    u, v = (
        grid.ravel()
        for grid in np.meshgrid(np.linspace(-0.45, 0.45, 181), np.linspace(-0.45, 0.45, 181))
    )
    for face, value in enumerate(FACE_VALUES):
        axis = face // 2
        local = np.empty((3, len(u)))
        local[axis], local[(axis + 1) % 3], local[(axis + 2) % 3] = (
            0.5 * FACE_AXES[face, axis],
            u,
            v,
        )
        radii, offsets, faces = (np.full(len(u), value) for value in (0.1, 0.26, face))
        coverage = pip_coverage(local, faces, radii, offsets, 0.005)
        painted = coverage.sum() * 0.005**2
        assert painted == pytest.approx(value * np.pi * 0.1**2, rel=0.02), value


@pytest.mark.parametrize("value", range(1, 7))
def test_the_label_is_the_face_that_is_up_even_where_a_die_leans(value):
    up = FACE_AXES[list(FACE_VALUES).index(value)]
    turn = trimesh.geometry.align_vectors(up, [0.3, -0.4, 1.0])[:3, :3]
    assert up_face(turn) == value


def test_labels_of_dice_in_a_tray_and_in_layers_are_their_upper_faces():
    for arrangement in ("tray", "layers"):
        scene = scenes_of(30, 1, image_px=96, size_px=(10, 20), arrangement=arrangement)[0]
        dice = [body for body in scene.bodies if body.asset == "die"]
        assert [body.label for body in dice] == [
            up_face(np.array(body.rotation)) - 1 for body in dice
        ]
        assert len({body.label for body in dice}) == 6
        _, boxes = render(scene, library_of(SceneParameters()))
        assert len(boxes)


@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 30), seed=st.integers(0, 10_000))
def test_dice_do_not_meet_and_each_rests_on_the_floor_or_on_another(n, seed):
    pile = pile_of(n, seed)
    low = lowest(pile)
    assert not overlaps(pile, 1 - 1e-6).any()
    assert low.min() > -1e-9
    touching = overlaps(pile, 1, moved=1e-5 * EDGE_M).any(axis=1) | (low < 1e-9)
    assert touching.all()


def test_a_crowded_pile_stays_in_its_tray_does_not_tower_and_leans():
    pile = pile_of(100, 1)
    assert not overlaps(pile, 1 - 1e-6).any()
    assert np.abs(pile.centres[:, :2]).max() < TRAY_HALF_M
    assert pile.tops.max() < 6.5 * EDGE_M
    assert 0 < pile.flat.sum() < 100
    assert pile_of(5, 1).flat.all()


def test_a_tray_smaller_than_a_die_is_refused():
    half = 0.01, 0.01
    with pytest.raises(ValueError, match="does not fit into a tray"):
        drop(np.array([0.02]), np.array([0.1]), half, whole(half), np.random.default_rng(0))


def test_more_dice_hide_more_of_one_another():
    means = []
    for n in (10, 40, 70, 100):
        shares = []
        for scene in scenes_of(n, 4, image_px=128, size_px=(14, 26)):
            boxes = annotate(scene, raycast.render(scene).ids)
            shares.append(boxes.visibility.sum() / n)
        means.append(np.mean(shares))
    assert all(more > less + 0.05 for more, less in pairwise(means)), means


def test_visible_pixels_are_those_of_each_die_alone_that_no_other_covers():
    scene = scenes_of(30, 1, image_px=160, size_px=(20, 34))[0]
    ids = raycast.render(scene).ids
    alone = np.stack(
        [raycast.render(replace(scene, bodies=(die,))).ids == 0 for die in scene.bodies]
    )
    # No die is seen where it would not be seen alone, and where any would be seen alone, one is.
    np.testing.assert_array_equal(ids >= 0, alone.any(axis=0))
    assert all(alone[i][ids == i].all() for i in range(30))
    boxes = annotate(scene, ids)
    assert ((boxes.visibility > 0) & (boxes.visibility <= 1)).all()
    visible = [i for i in range(30) if (ids == i).any()]
    assert len(boxes) == len(visible)
    for box, visibility, i in zip(boxes.xyxy, boxes.visibility, visible, strict=True):
        y, x = np.nonzero(ids == i)
        np.testing.assert_array_equal(box, [x.min(), y.min(), x.max() + 1, y.max() + 1])
        outline = project(world_vertices(scene)[i], scene.camera)
        if outline.min() > 0 and outline.max() < 160:
            assert visibility == pytest.approx((ids == i).sum() / alone[i].sum(), abs=0.005)


def test_a_die_cut_by_the_border_is_as_visible_as_the_part_inside():
    scene = scenes_of(1, 1)[0]
    die = replace(scene.bodies[0], position=(0.0, 0.0, EDGE_M / 2))
    straight = replace(
        scene.camera, position=(0, 0, 0.4), rotation=((1, 0, 0), (0, -1, 0), (0, 0, -1))
    )
    # The right border of the image runs through the die's middle.
    aside = replace(
        straight,
        position=(-straight.size_wh[0] / 2 / straight.focal_px * (0.4 - EDGE_M / 2), 0, 0.4),
    )
    whole, half = (
        render(replace(scene, bodies=(die,), camera=camera))[1] for camera in (straight, aside)
    )
    assert whole.visibility[0] == pytest.approx(1, abs=0.01)
    assert half.visibility[0] == pytest.approx(0.5, abs=0.1)
    assert half.xyxy[0, 2] == straight.size_wh[0]


def test_a_hidden_die_has_no_box():
    scene = scenes_of(1, 1)[0]
    above = replace(scene.bodies[0], position=(0.0, 0.0, 0.03), scale=0.03)
    below = replace(scene.bodies[0], position=(0.0, 0.0, 0.005), scale=0.005)
    camera = replace(
        scene.camera, position=(0, 0, 0.4), rotation=((1, 0, 0), (0, -1, 0), (0, 0, -1))
    )
    _, boxes = render(replace(scene, bodies=(below, above), camera=camera))
    assert len(boxes) == 1
    assert silhouettes(replace(scene, bodies=(below, above), camera=camera))[0] > 0


def test_dice_are_as_wide_as_asked():
    widths = []
    for scene in scenes_of(8, 12):
        boxes = annotate(scene, raycast.render(scene).ids)
        widths += (boxes.xyxy[:, 2] - boxes.xyxy[:, 0])[boxes.visibility > 0.98].tolist()
    low, high = np.percentile(widths, [10, 90])
    assert low >= 27
    assert high <= 55
    assert np.median(widths) == pytest.approx(41, abs=5)


def test_a_scene_is_the_same_on_any_worker():
    parameters = SceneParameters(**SMALL)
    image, boxes = render(draw_scene(parameters, 5, 3))
    code = (
        "import hashlib; from syndet_ray.definitions.scene_parameters import SceneParameters as P;"
        "from syndet_ray.scenes.generate import *;"
        f"print(hashlib.sha256(render(draw_scene(P(**{SMALL}), 5, 3))[0].tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert hashlib.sha256(image.tobytes()).hexdigest() == other
    assert (image != render(draw_scene(parameters, 5, 4))[0]).any()
    assert (image != render(draw_scene(parameters, 6, 3))[0]).any()
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    assert len(boxes)


@pytest.mark.parametrize("size", [64, 97])
def test_a_scene_survives_json_and_renders_at_any_size(size):
    scene = draw_scene(SceneParameters(image_px=size, objects=5), 0, 0)
    again = TypeAdapter(Scene).validate_json(scene.to_json())
    assert again == scene
    np.testing.assert_array_equal(render(again)[0], render(scene)[0])
    assert render(scene)[0].shape == (size, size, 3)


@pytest.mark.parametrize("aspect", [0.5, 16 / 9])
@pytest.mark.parametrize("arrangement", ["tray", "layers"])
def test_an_image_has_the_aspect_that_was_asked(aspect, arrangement):
    size_wh = (96, 54) if aspect > 1 else (48, 96)
    parameters = SceneParameters(image_px=96, aspect=aspect, objects=9, arrangement=arrangement)
    wide = parameters.model_copy(update={"size_px": (9.0, 14.0)})
    labels = []
    for i in range(4):
        scene = draw_scene(wide, 2, i)
        image, boxes = render(scene, library_of(wide))
        assert image.shape == (*size_wh[::-1], 3)
        labels.append(boxes.xyxy)
        ids = raycast.render(scene, library_of(wide)).ids
        if arrangement == "layers":
            assert (ids < 0).mean() < 0.05, "clutter covers all of the image"
    xyxy = np.concatenate(labels)
    assert (xyxy[:, :2] >= 0).all() and (xyxy[:, 2:] <= size_wh).all()
    assert (xyxy[:, 2:].max(axis=0) > np.array(size_wh) * 0.8).all(), "objects reach both borders"


def properties(scene):
    """The values that each strength may change, by its name, and "rest": those that none may."""
    lamps, sky, sensor, ground = (
        scene.light.lamps,
        scene.light.sky_color,
        scene.sensor,
        scene.ground,
    )
    dice = [body.die for body in scene.bodies if body.die is not None]
    tints = [
        np.round(np.divide(color, sum(color)), 9).tolist()
        for color in (*(lamp.color for lamp in lamps), sky)
    ]
    kinds = [
        (body.asset, body.label, body.position, body.rotation, body.scale) for body in scene.bodies
    ]
    return {
        "light_color": tints,
        "light_direction": ([(lamp.direction, lamp.radius) for lamp in lamps], scene.light.slope),
        "light_intensity": round(sum(sum(lamp.color) for lamp in lamps) / sum(sky), 6),
        "hue": [body.hue_turn for body in scene.bodies],
        "floor_color": (
            ground.floor_color,
            ground.wall_color,
            ground.table_color,
            ground.wall_height,
        ),
        "floor_texture": (
            ground.texture,
            ground.texture_scale,
            ground.texture_contrast,
            ground.texture_seed,
        ),
        "object_color": [
            (die.color, die.pip_color, die.swirl_color, die.swirl, die.swirl_phase) for die in dice
        ],
        "gloss": [body.gloss for body in scene.bodies],
        "exposure": sensor.exposure,
        "white_balance": sensor.white_balance,
        "blur": sensor.blur_sigma_px,
        "noise": (sensor.noise_sigma, sensor.seed),
        "jpeg": sensor.jpeg_quality,
        "rest": (
            kinds,
            scene.camera,
            [(die.rounding, die.pip_radius) for die in dice],
            scene.label_style,
            scene.jitter,
        ),
    }


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_strength_moves_its_property_and_nothing_else(strength):
    off = SceneParameters(**MIXED | {strength: 0.0})
    on = SceneParameters(**MIXED | {strength: 1.0})
    for i in range(3):
        before, after = (properties(draw_scene(parameters, 0, i)) for parameters in (off, on))
        moved = [name for name in before if before[name] != after[name]]
        # A lamp's tint also makes it brighter or darker.
        assert moved == [strength] or (
            strength == "light_color" and set(moved) == {"light_color", "light_intensity"}
        )


@pytest.mark.parametrize("strength", STRENGTHS)
def test_strength_zero_is_off_in_every_scene(strength):
    parameters = SceneParameters(**MIXED | {strength: 0.0})
    one, other = (properties(draw_scene(parameters, seed, 1))[strength] for seed in (1, 2))
    if isinstance(one, list):
        assert len({str(value) for value in one + other}) == 1
    else:
        assert one == other


def test_tones_of_all_images_move_as_asked():
    plain = draw_scene(SceneParameters(**SMALL, noise=0.0), 3, 0)
    grey = np.full((8, 8, 3), 0.5**2.2, np.float32)

    def toned(**settings):
        scene = draw_scene(SceneParameters(**SMALL, noise=0.0, exposure=0.0, **settings), 3, 0)
        return photograph(grey, scene.sensor)[0, 0]

    before = toned()
    assert np.ptp(before) == 0 and abs(int(before[0]) - 128) <= 1
    np.testing.assert_allclose(toned(contrast=2.0), before, atol=1)
    assert toned(brightness=-1.0)[0] == round(before[0] * 2 ** (-1 / 2.2))
    assert toned(brightness=-1.0, contrast=2.0)[0] < toned(brightness=-1.0)[0]
    red, green, blue = toned(color_cast=(1.2, 0.8)).tolist()
    assert blue < green < red and green == before[1]
    assert plain.sensor.contrast == 1.0


@pytest.mark.parametrize("gains", [(0.4, 1.0), (1.0, 2.1)])
def test_a_colour_cast_beyond_cameras_is_refused(gains):
    with pytest.raises(ValidationError, match=r"color_cast must be two gains of 0.5 to 2.0, got"):
        SceneParameters(color_cast=gains)


def test_numbers_of_objects_spread_evenly_about_their_mean():
    parameters = SceneParameters(objects=8, objects_spread=0.5, image_px=96)
    rng = np.random.default_rng(0)
    counts = [draw_count(parameters, rng) for _ in range(500)]
    assert (min(counts), max(counts)) == (4, 12)
    assert np.mean(counts) == pytest.approx(8, abs=0.4)
    alike = SceneParameters(objects=8, image_px=96)
    assert {draw_count(alike, rng) for _ in range(20)} == {8}
    widest = SceneParameters(objects=100, objects_spread=1.0, image_px=96)
    assert all(1 <= draw_count(widest, rng) <= 100 for _ in range(200))


def test_nothing_clips_and_pips_show_at_default_strengths():
    images = np.stack([render(scene)[0] for scene in scenes_of(20, 6)])
    assert (images == 255).all(axis=-1).mean() < 0.01
    assert (images == 0).all(axis=-1).mean() < 0.02
    assert images.mean(axis=(1, 2, 3)).std() > 5


def test_rotations_are_turns():
    turns = rotations(scenes_of(40, 1)[0].bodies)
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1)


# Kept sets


def test_a_set_is_rendered_once_and_then_read(tmp_path, monkeypatch):
    calls = []
    parameters = SceneParameters(**SMALL)
    first = generate(parameters, 3, 1, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr(generating, "render", lambda *_: pytest.fail("rendered again"))
    again = generate(parameters, 3, 1, tmp_path, lambda done, total: calls.append((done, total)))
    assert len(calls) == 3
    assert first.hash == again.hash
    assert isinstance(again.pixels, np.memmap)
    assert (again.name, again.classes, again.synthetic, again.stand_in) == (
        "synthetic",
        CLASSES,
        True,
        False,
    )


def test_the_key_of_a_set_covers_all_that_shapes_it(monkeypatch):
    base = scene_hash(SceneParameters(), 10, 0)
    others = [
        scene_hash(SceneParameters(noise=0.1), 10, 0),
        scene_hash(SceneParameters(), 11, 0),
        scene_hash(SceneParameters(), 10, 1),
    ]
    monkeypatch.setattr(generating, "RENDERER_VERSION", -1)
    others.append(scene_hash(SceneParameters(), 10, 0))
    assert len({base, *others}) == 5


def test_two_processes_that_ask_at_once_render_once(tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from syndet_ray.definitions.scene_parameters import SceneParameters;"
        "from syndet_ray.scenes.generate import generate;"
        f"parameters, folder = SceneParameters(**{SMALL}), Path(sys.argv[1]);"
        "progress = lambda done, total: print('rendered', done);"
        "pool = generate(parameters, 4, 0, folder, progress);"
        "print(pool.hash)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=-1, text=True)
        for _ in range(2)
    ]
    one, other = (process.communicate()[0].split("\n") for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert sum(line.startswith("rendered") for line in one + other) == 4
    assert one[-2] == other[-2]


def test_scenes_need_nothing_that_trains():
    code = (
        "import sys, syndet_ray.scenes.generate; heavy = ('torch', 'ray', 'mlflow', 'optuna');"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
