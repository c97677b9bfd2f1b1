"""Layers and heaps: overlap, crop and cover as asked, nothing inside anything else, and never a
hang.
"""

import logging
from functools import partial

import numpy as np
import pytest
import scipy.stats
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DefinitionError
from syndet_ray.scenes import layers, raycast
from syndet_ray.scenes.annotate import annotate, apply_style, silhouettes
from syndet_ray.scenes.framing import whole
from syndet_ray.scenes.generate import draw_scene, generate, library_of, render
from syndet_ray.scenes.heap import Heap
from syndet_ray.scenes.library import Mesh
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.rest import stable_turns
from syndet_ray.scenes.scene import NO_CLASS, LabelStyle, Scene
from syndet_ray.scenes.tracing import world_vertices

AROUND = whole((0.06, 0.06))  # more than the trays here
FRAME = (0, 0, 160, 160)
LAYERS = {"arrangement": "layers", "image_px": 160, "size_px": (20.0, 34.0), "objects": 8}


def scene_of(index=0, count=1, seed=3, **fixed):
    parameters = SceneParameters(**LAYERS | fixed)
    return draw_scene(parameters, seed, index, count), library_of(parameters)


def seen_boxes(scene, library, labelled):
    """(n, 4) the whole projected boxes of labelled bodies, or of the others."""
    found = []
    for body, vertices in zip(scene.bodies, world_vertices(scene, library), strict=True):
        if (body.label != NO_CLASS) == labelled:
            outline = project(vertices, scene.camera)
            found.append([*outline.min(axis=0), *outline.max(axis=0)])
    return np.array(found)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_objects_overlap_and_are_cut_by_no_more_than_asked(seed):
    scene, library = scene_of(seed=seed, overlap=0.2, crop=0.4)
    boxes = seen_boxes(scene, library, labelled=True)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    inside = np.clip(boxes, 0, 160)
    # Perspective makes a box seen at a slant a little larger than the one that was placed.
    assert (np.prod(inside[:, 2:] - inside[:, :2], axis=1) >= (1 - 0.4 - 0.1) * areas).all()
    for i in range(len(boxes)):
        for j in range(i):
            common = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            assert np.prod(np.maximum(common, 0)) <= (0.2 + 0.1) * min(areas[i], areas[j])


def test_a_border_cuts_off_at_most_three_quarters_and_as_much_as_that():
    """A box is symmetric about its middle, which lies in the image: in a corner a quarter of it is
    left.
    """

    def first_places(crop):
        box, nothing = np.array([-30.0, -30, 30, 30]), np.zeros((0, 4))
        place = partial(layers.free_place, box, nothing, np.zeros(0), crop=crop, frame=FRAME)
        return [place(rng=np.random.default_rng(k)) for k in range(300)]

    greatest = first_places(0.75)
    drawn = [np.random.default_rng(k).uniform(0, 160, 2) for k in range(300)]
    assert np.array_equal(greatest, drawn), "no place is refused"
    assert not np.array_equal(first_places(0.6), drawn), "a smaller value refuses some"


def test_clutter_covers_the_whole_background():
    for seed in range(3):
        scene, library = scene_of(seed=seed)
        assert (raycast.render(scene, library).ids < 0).mean() < 0.01


@pytest.mark.parametrize(
    "fixed", [{"background_scale": (0.3, 0.5)}, {"image_px": 400}, {"size_px": (10.0, 16.0)}]
)
def test_clutter_that_is_small_covers_it_too(fixed):
    scene, library = scene_of(**fixed)
    assert (raycast.render(scene, library).ids < 0).mean() < 0.04


def test_clutter_too_small_to_cover_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="syndet_ray"):
        generate(SceneParameters(**LAYERS | {"background_scale": (0.05, 0.06)}), 1, 0, tmp_path)
    assert "of the pictures bare" in caplog.text


def test_zoom_makes_all_larger_and_nothing_sinks_into_the_ground():
    scenes = [
        scene_of(i, focal_length=1.0, camera_height=1.0, size_px=(10.0, 16.0)) for i in range(12)
    ]
    for scene, library in scenes:
        assert min(vertices[:, 2].min() for vertices in world_vertices(scene, library)) > 0
    widths = [np.ptp(seen_boxes(*found, labelled=True)[:, ::2], axis=1).mean() for found in scenes]
    assert max(widths) / min(widths) > 1.2


def test_flat_things_make_no_giant_occluders(tmp_path):
    import cv2

    picture = np.zeros((40, 200, 4), np.uint8)
    picture[4:36, 4:196] = 255
    cv2.imwrite(str(tmp_path / "strip.png"), picture)
    scene, library = scene_of(occluders=1.0, surroundings=str(tmp_path))
    occluders = [
        i
        for i, body in enumerate(scene.bodies[-8:], len(scene.bodies) - 8)
        if body.label == NO_CLASS
    ]
    assert len(occluders) == 8
    for i in occluders:
        outline = project(world_vertices(scene, library)[i], scene.camera)
        assert np.ptp(outline, axis=0).max() < 34 * 1.3
        assert scene.bodies[i].rotation[2][2] > 0.4, "it shows its front"


def test_occluders_change_nothing_but_themselves():
    plain, _ = scene_of()
    hidden, _ = scene_of(occluders=1.0)
    assert hidden.bodies[: len(plain.bodies)] == plain.bodies


def test_background_scale_is_the_clutter_s_size_against_the_objects():
    sizes = {}
    for scale in ((0.3, 0.5), (1.0, 1.5)):
        scene, library = scene_of(background_scale=scale)
        boxes = seen_boxes(scene, library, labelled=False)
        sizes[scale] = np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)) / 27
        assert scale[0] * 0.9 < sizes[scale] < scale[1] * 1.1


def test_objects_are_as_wide_as_asked():
    scene, library = scene_of(objects=12)
    boxes = seen_boxes(scene, library, labelled=True)
    widths = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert widths.min() > 20 * 0.9
    assert widths.max() < 34 * 1.15


def test_occluders_hide_a_part_of_their_targets():
    plain, library = scene_of()
    hidden, _ = scene_of(occluders=1.0)
    assert len(hidden.bodies) == len(plain.bodies) + 8
    visible = [
        annotate(scene, raycast.render(scene, library).ids, library).visibility.mean()
        for scene in (plain, hidden)
    ]
    assert 0.03 < visible[0] - visible[1] < 0.35


def test_a_curriculum_leads_from_near_to_far_through_all_poses_and_objects():
    poses = layers.curriculum(range(3), (20.0, 40.0), 0, total := 6 * len(layers.turns()) * 3, ())
    schedule = [next(poses) for _ in range(total)]
    widths = [width for _, _, width in schedule]
    assert widths[0] == 40
    assert widths[-1] == 20
    assert widths == sorted(widths, reverse=True)
    assert len({(asset, turn.tobytes(), width) for asset, turn, width in schedule}) == total
    assert layers.turns().shape == (42 * 36, 3, 3)
    np.testing.assert_allclose(np.linalg.det(layers.turns()), 1)


def test_a_curriculum_of_few_scenes_strides_through_the_whole_schedule():
    first, library = scene_of(0, 20, poses="curriculum", crop=0.0, overlap=0.0)
    last, _ = scene_of(19, 20, poses="curriculum", crop=0.0, overlap=0.0)
    widths = [
        (boxes[:, 2:] - boxes[:, :2]).max(axis=1).mean()
        for boxes in (seen_boxes(scene, library, labelled=True) for scene in (first, last))
    ]
    assert widths[0] > 30 > 24 > widths[1]


def test_a_curriculum_in_a_tray_is_refused():
    with pytest.raises(DefinitionError, match='needs arrangement "layers"'):
        Recipe().replace({"scene.poses": "curriculum"})


def test_a_scene_that_cannot_be_arranged_has_fewer_objects_and_says_so(tmp_path, caplog):
    parameters = SceneParameters(**LAYERS | {"objects": 100, "overlap": 0.0, "crop": 0.0})
    with caplog.at_level(logging.WARNING, logger="syndet_ray"):
        generate(parameters, 2, 0, tmp_path)
    assert len(caplog.records) == 1
    assert "of 200 objects found no place in 2 scenes" in caplog.text


def test_scenes_with_meshes_survive_json_and_draw_the_same():
    for fixed in ({}, {"arrangement": "tray", "distractors": 5}):
        scene, library = scene_of(**fixed)
        again = TypeAdapter(Scene).validate_json(scene.to_json())
        assert again == scene
        np.testing.assert_array_equal(render(again, library)[0], render(scene, library)[0])


def test_visibility_of_meshes_is_that_counted_by_drawing_each_alone():
    from dataclasses import replace

    scene, library = scene_of(objects=6, distractors=6, arrangement="tray")
    ids = raycast.render(scene, library).ids
    every = np.ones(len(scene.bodies), bool)
    alone = np.array(
        [
            (raycast.render(replace(scene, bodies=(body,)), library).ids == 0).sum()
            for body in scene.bodies
        ]
    )
    whole = silhouettes(scene, library, every)
    outlines = seen_boxes(scene, library, labelled=False)
    assert (outlines > 0).all(axis=1).any(), "no distractor is inside the image"
    for i, body in enumerate(scene.bodies):
        if (
            body.asset != "die"
            and alone[i]
            and not (ids[[0, -1]] == i).any()
            and not (ids[:, [0, -1]] == i).any()
        ):
            assert whole[i] == pytest.approx(alone[i], abs=1)


# Heaps


def _box(x, y, z):
    solid = trimesh.creation.box((x, y, z))
    vertices = np.asarray(solid.vertices, np.float32)
    return Mesh(
        vertices=vertices, faces=np.asarray(solid.faces, np.int32), colors=np.ones_like(vertices)
    )


def test_a_thing_stands_as_often_as_it_would_if_it_fell():
    # of a cereal box the widest sides are likeliest, and the others are seen too
    box, rng = _box(1, 0.7, 0.3), np.random.default_rng(0)
    turns, chances = stable_turns(box)
    up = [int(np.abs(turn[2]).argmax()) for turn in turns]
    expected = np.bincount(up, chances, minlength=3)
    heap_of_one = partial(Heap, half_width=0.05, half_depth=0.05, unit_m=0.02)
    fallen = [heap_of_one().drop(box, 0.02, AROUND, rng)[1] for _ in range(300)]
    counts = np.bincount([int(np.abs(turn[2]).argmax()) for turn in fallen], minlength=3)
    assert scipy.stats.chisquare(counts, 300 * expected).pvalue > 0.01
    assert (counts > 0).all()


def test_a_ball_of_many_corners_lies_as_high_as_its_radius():
    """Of a hull of many corners only some are looked at."""
    solid = trimesh.creation.icosphere(5)
    vertices = np.asarray(solid.vertices, np.float32)
    ball = Mesh(vertices=vertices, faces=solid.faces, colors=np.ones_like(vertices))
    heap = Heap(half_width=0.05, half_depth=0.05, unit_m=0.02)
    centre, _ = heap.drop(ball, 0.01, AROUND, np.random.default_rng(0), lying="any")
    assert centre[2] == pytest.approx(0.01, rel=0.002)


def test_nothing_is_in_anything_else_and_everything_rests():
    library = library_of(SceneParameters())
    rng = np.random.default_rng(0)
    heap = Heap(half_width=0.06, half_depth=0.06, unit_m=0.03)
    solids, lowest = [], []
    for name in library.names_of(NO_CLASS) * 2:
        mesh = library.assets[name].mesh
        before = heap.heights.copy()
        centre, turn = heap.drop(mesh, 0.03, AROUND, rng)
        placed = mesh.vertices @ turn.T * 0.03 + centre
        assert np.abs(placed[:, :2]).max() <= 0.06 + 1e-9
        assert placed[:, 2].min() > -2 * heap.cell
        lowest.append(placed[:, 2].min() - before.max())
        solids.append(trimesh.Trimesh(placed, mesh.faces, process=False))
    assert min(lowest) < 0
    assert max(solid.bounds[1, 2] for solid in solids) > 0.045, "it never piled up"
    for i, solid in enumerate(solids):
        for other in solids[:i]:
            if (solid.bounds[0] < other.bounds[1]).all() and (
                other.bounds[0] < solid.bounds[1]
            ).all():
                # What touches may do so exactly: a tenth of a millimetre apart nothing meets.
                apart = np.array([0, 0, 1e-4])
                for outer, inner, moved in ((other, solid, apart), (solid, other, -apart)):
                    points = np.concatenate([inner.vertices, inner.triangles_center]) + moved
                    assert not outer.contains(points).any()


def test_a_picture_never_lies_on_its_face():
    heap, rng = Heap(half_width=0.05, half_depth=0.05, unit_m=0.02), np.random.default_rng(1)
    fallen = [heap.drop(_box(1, 0.7, 0.02), 0.02, AROUND, rng, "face_up")[1] for _ in range(25)]
    assert min(turn[2, 2] for turn in fallen) > 0
    assert (layers.turns(front=True)[:, 2, 2] >= 0.5 - 1e-9).all()
    poses = layers.random_poses([[0], [1, 2, 3]], (20.0, 30.0), rng, {1, 2, 3})
    shown = [(asset, turn[2, 2]) for asset, turn, _ in (next(poses) for _ in range(60))]
    assert min(up for asset, up in shown if asset > 0) >= 0.5 - 1e-9
    assert min(up for asset, up in shown if asset == 0) < 0
    assert 18 <= sum(asset == 0 for asset, _ in shown) <= 42, (
        "every class is as likely as any other"
    )


def test_a_thing_wider_than_the_tray_finds_no_place():
    heap = Heap(half_width=0.01, half_depth=0.01, unit_m=0.03)
    assert heap.drop(_box(1, 1, 1), 0.03, AROUND, np.random.default_rng(0)) is None


# Label styles


def test_exact_boxes_stay_exact():
    boxes = np.array([[3, 4, 20, 30]])
    assert apply_style(boxes, LabelStyle(seed=5), (64, 64)) is boxes


def test_boxes_are_drawn_wide_square_and_uneven_as_people_draw_them():
    boxes = np.tile([[100.0, 100.0, 130.0, 120.0]], (4000, 1))
    drawn = apply_style(
        boxes,
        LabelStyle(padding=0.2, padding_spread=0.1, jitter=0.05, square=True, seed=1),
        (400, 400),
    )
    sizes, middles = drawn[:, 2:] - drawn[:, :2], (drawn[:, :2] + drawn[:, 2:]) / 2
    np.testing.assert_allclose(sizes[:, 0], sizes[:, 1])
    assert sizes.mean() == pytest.approx(36, rel=0.02)
    assert sizes[:, 0].std() == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(middles.mean(axis=0), [115, 110], atol=0.2)
    np.testing.assert_allclose(middles.std(axis=0), 1.5, rtol=0.1)


@settings(max_examples=50, deadline=None)
@given(
    corner=st.tuples(st.integers(0, 62), st.integers(0, 62)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    style=st.builds(
        LabelStyle,
        padding=st.floats(-0.3, 1),
        padding_spread=st.floats(0, 0.5),
        jitter=st.floats(0, 0.3),
        square=st.booleans(),
        seed=st.integers(0, 9),
    ),
)
def test_drawn_boxes_stay_inside_the_image_and_have_an_area(corner, size, style):
    box = np.array([[*corner, *np.minimum(np.add(corner, size), 64)]], float)
    drawn = apply_style(box, style, (64, 64))
    assert (drawn >= 0).all()
    assert (drawn <= 64).all()
    assert (drawn[:, 2:] - drawn[:, :2] >= 1 - 1e-9).all()
