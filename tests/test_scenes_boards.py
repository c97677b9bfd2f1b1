"""A picture with a width is a board: it lies on the floor once, right way up, under the objects."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError
from syndet_ray.scenes import boards, raycast
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.dice import EDGE_M
from syndet_ray.scenes.generate import draw_scene, library_of, render_index, scene_hash
from syndet_ray.scenes.made_from import made_from
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.scene import Camera
from syndet_ray.scenes.sensor import DISPLAY_POWER

# Of the quarters of a picture, as rows from its upper side: red and green above blue and white.
QUARTERS = (((200, 20, 20), (20, 200, 20)), ((20, 20, 200), (200, 200, 200)))
WIDTH_M = 0.2
PLAIN = {"image_px": 96, "objects": 4, "floor_texture": 1.0, "floor_color": 0.0}
STRAIGHT_DOWN = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))


def quarters(size_wh):
    """A picture of four colours."""
    colors = np.array(QUARTERS, np.uint8)
    return Image.fromarray(colors).resize(size_wh, Image.Resampling.NEAREST)


@pytest.fixture
def folder(tmp_path):
    """A folder with one picture, twice as wide as high, without a width."""
    quarters((256, 128)).save(tmp_path / "board.png")
    return tmp_path


def give_width(folder, **width_m):
    names = {f"{name}.png": width for name, width in width_m.items()}
    (folder / "backgrounds.json").write_text(json.dumps({"width_m": names}))
    load.cache_clear()


def parameters_of(folder, **fixed):
    return SceneParameters(backgrounds=str(folder), **PLAIN | fixed)


def from_above(scene):
    """The empty ground of a scene, from high enough to see all of the board and the table around,
    in the light of the sky alone.
    """
    height = 0.4
    camera = Camera(
        position=(0.0, 0.0, height),
        rotation=STRAIGHT_DOWN,
        focal_px=96 * height / (1.5 * WIDTH_M),
        size_wh=(96, 96),
    )
    light = replace(scene.light, lamps=(), sky_color=(1.0,) * 3, slope=(0.0, 0.0))
    return replace(scene, bodies=(), camera=camera, light=light)


def seen_at(scene, points):
    """(n, 3) light from points (n, 2) of the ground."""
    radiance = raycast.render(scene).radiance
    on_ground = np.column_stack([points, np.zeros(len(points))])
    x, y = project(on_ground, scene.camera).astype(int).T
    return radiance[y, x]


def test_a_board_lies_once_in_its_size_and_right_way_up(folder):
    give_width(folder, board=WIDTH_M)
    scene = from_above(draw_scene(parameters_of(folder), 0, 0))
    assert scene.ground.half_size == pytest.approx((WIDTH_M / 2, WIDTH_M / 4))
    assert scene.ground.wall_height == 0
    expected = (np.array(QUARTERS) / 255) ** DISPLAY_POWER
    for row, y in enumerate((1, -1)):
        for column, x in enumerate((-1, 1)):
            # near the middle and near the corner of a quarter
            shares = np.array([[0.06], [0.5], [0.94]])
            points = shares * [x * WIDTH_M / 2, y * WIDTH_M / 4]
            lit = seen_at(scene, points)
            assert np.allclose(lit, expected[row, column], rtol=0.02)


def test_the_table_around_a_board_is_plain(folder):
    give_width(folder, board=WIDTH_M)
    scene = from_above(draw_scene(parameters_of(folder, floor_color=1.0), 0, 0))
    beside, above = (0.53 * WIDTH_M, 0.0), (0.0, 0.28 * WIDTH_M)
    corner = (-0.7 * WIDTH_M, -0.7 * WIDTH_M)
    lit = seen_at(scene, np.array([beside, above, corner]))
    assert np.allclose(lit, scene.ground.table_color, rtol=1e-3)
    assert not np.allclose(scene.ground.table_color, scene.ground.floor_color, rtol=0.1)


def test_a_weaker_texture_mixes_the_board_with_the_floor(folder):
    give_width(folder, board=WIDTH_M)
    whole, half = (
        from_above(draw_scene(parameters_of(folder, floor_texture=strength), 0, 0))
        for strength in (1.0, 0.5)
    )
    assert half.ground.half_size == whole.ground.half_size
    points = np.array([[-0.05, 0.03]])
    mean = (seen_at(whole, points) + whole.ground.floor_color) / 2
    assert np.allclose(seen_at(half, points), mean, rtol=0.01)


@pytest.mark.parametrize("distractors", [0, 2])
def test_objects_lie_on_the_part_of_the_board_that_the_camera_sees(folder, distractors):
    give_width(folder, board=WIDTH_M)
    parameters = parameters_of(folder, camera_tilt_deg=60.0, distractors=distractors)
    for index in range(8):
        scene = draw_scene(parameters, 1, index)
        places = np.array([body.position for body in scene.bodies])
        assert len(places) == PLAIN["objects"] + distractors
        assert (np.abs(places[:, :2]) < scene.ground.half_size).all()
        pixels = project(places, scene.camera)
        is_seen = (pixels > 0).all(axis=1) & (pixels < scene.camera.size_wh).all(axis=1)
        assert is_seen.mean() > 0.7
        focus = np.array(scene.camera.position)
        focus += np.array(scene.camera.rotation)[2] * scene.camera.focus_m
        assert (np.abs(focus[:2]) <= np.array(scene.ground.half_size)).all()


def test_a_board_changes_the_floor_and_no_other_draw(folder):
    parameters = parameters_of(folder, floor_color=0.7, light_direction=0.0)
    tiled = draw_scene(parameters, 2, 0)
    assert not tiled.ground.is_board and tiled.ground.texture == str(folder / "board.png")
    give_width(folder, board=WIDTH_M)
    scene = draw_scene(parameters, 2, 0)
    assert scene.ground.is_board
    assert (scene.light, scene.sensor) == (tiled.light, tiled.sensor)
    for name in ("rotation", "focal_px", "focus_m"):
        assert getattr(scene.camera, name) == getattr(tiled.camera, name)
    for name in ("floor_color", "horizon", "texture", "texture_contrast", "texture_seed"):
        assert getattr(scene.ground, name) == getattr(tiled.ground, name)


def test_images_without_a_width_stay_as_they_were(folder):
    quarters((80, 80)).save(folder / "cloth.png")
    parameters = parameters_of(folder)
    before = {i: draw_scene(parameters, 3, i) for i in range(12)}
    give_width(folder, board=WIDTH_M)
    after = {i: draw_scene(parameters, 3, i) for i in range(12)}
    tiled = [i for i, scene in before.items() if scene.ground.texture.endswith("cloth.png")]
    assert 0 < len(tiled) < 12
    assert [i for i, scene in after.items() if not scene.ground.is_board] == tiled
    assert all(before[i] == after[i] for i in tiled)


def test_layers_and_floors_without_texture_have_no_board(folder):
    settings = ({"arrangement": "layers"}, {"floor_texture": 0.0})
    before = [draw_scene(parameters_of(folder, **fixed), 0, 0) for fixed in settings]
    give_width(folder, board=WIDTH_M)
    assert [draw_scene(parameters_of(folder, **fixed), 0, 0) for fixed in settings] == before
    assert not any(scene.ground.is_board for scene in before)


def test_a_copy_of_assets_elsewhere_makes_the_same_set(folder, tmp_path_factory):
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("elsewhere") / "copy")
    here, there = parameters_of(folder), parameters_of(copy)
    assert scene_hash(here, 2, 0) == scene_hash(there, 2, 0)
    assert np.array_equal(render_index(here, 0, 1, 2)[0], render_index(there, 0, 1, 2)[0])
    assert scene_hash(here, 2, 0) != scene_hash(SceneParameters(), 2, 0), "no folder at all"
    own = {"generator": "command:true"}  # which may read anything in the folders that it is given
    keys = {scene_hash(parameters_of(path, **own), 2, 0) for path in (folder, copy)}
    assert len(keys) == 2


def test_the_hash_of_a_library_covers_the_widths(folder):
    parameters = parameters_of(folder)
    keys = [scene_hash(parameters, 2, 0)]
    for width_m in (0.2, 0.3):
        give_width(folder, board=width_m)
        keys.append(scene_hash(parameters, 2, 0))
    assert len(set(keys)) == 3
    (folder / "backgrounds.json").unlink()
    load.cache_clear()
    assert scene_hash(parameters, 2, 0) == keys[0]
    assert "backgrounds" in made_from(parameters)


def test_a_folder_in_the_place_of_the_widths_is_named(folder):
    (folder / "backgrounds.json").mkdir()
    load.cache_clear()
    with pytest.raises(DataError, match=r"backgrounds.json: is a folder"):
        load("dice", backgrounds=str(folder))


def test_small_squares_far_away_show_their_mean(folder):
    squares = np.indices((128, 256)).sum(axis=0) % 2 * 255
    Image.fromarray(squares.astype(np.uint8)).save(folder / "fine.png")
    give_width(folder, fine=WIDTH_M)
    (folder / "board.png").unlink()
    load.cache_clear()
    ground = draw_scene(parameters_of(folder), 0, 0).ground
    points = np.random.default_rng(0).uniform(-0.04, 0.04, (3, 50)).astype(np.float32)
    texel_m = WIDTH_M / 256
    for texels, spread in ((1.0, 0.05), (8.0, 0.0), (1e6, 0.0)):
        colors = boards.floor_colors(ground, points, np.full(50, texels * texel_m))
        if spread:
            assert colors.std() > spread
        else:
            assert np.allclose(colors, 0.5, atol=0.01)


def test_a_large_picture_keeps_its_shape(folder):
    quarters((3000, 1000)).save(folder / "board.png")
    give_width(folder, board=WIDTH_M)
    ground = draw_scene(parameters_of(folder), 0, 0).ground
    assert boards.floor_texture(ground).shape == (341, 1024, 3)
    assert ground.half_depth == pytest.approx(ground.half_width / 3)


# Bad settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", 'must be JSON such as {"width_m": {"board.jpg": 0.45}}: .* It may hold "width_m"'),
        ("[]", "must be JSON such as"),
        ('{"width": {"board.png": 1}}', r"width: Extra inputs.* It may hold"),
        ('{"width_m": 0.45}', r"width_m: .*got 0.45\. It may hold"),
        ('{"width_m": {"board.png": "45 cm"}}', r"width_m\.board\.png: .*got '45 cm'"),
        ('{"width_m": {"bord.png": 0.45}}', "not in this folder, got 'bord.png'.*'board.png'"),
        ('{"width_m": {"../board.png": 0.45}}', "not in this folder, got '../board.png'"),
        ('{"width_m": {"board.png": 45}}', r"width_m\.board\.png must be .* to 10 metres, got 45"),
        ('{"width_m": {"board.png": 0}}', "must be 0.0001 to 10 metres, got 0"),
        ('{"width_m": {"board.png": NaN}}', "must be 0.0001 to 10 metres, got nan"),
    ],
)
def test_widths_that_are_none(folder, content, message):
    (folder / "backgrounds.json").write_text(content)
    with pytest.raises(DataError, match=f"{re.escape(str(folder))}/backgrounds.json: .*{message}"):
        load("dice", "", str(folder))


def test_widths_in_a_folder_below_are_named(folder):
    (folder / "boards").mkdir()
    quarters((256, 128)).save(folder / "boards" / "board.png")
    give_width(folder / "boards", board=WIDTH_M)
    with pytest.raises(
        DataError, match=r"boards/backgrounds.json: holds for .*Move it to .* name images"
    ):
        load("dice", "", str(folder))
    assert load("dice", "", str(folder / "boards")).boards


@pytest.mark.parametrize("name", ["backgrounds.json", "other.png"])
def test_a_link_that_leads_nowhere_is_named(folder, name):
    (folder / name).symlink_to("/no/such/store")
    with pytest.raises(DataError, match=f"{name}: is a link to a file that does not exist"):
        load("dice", "", str(folder))


@pytest.mark.parametrize(
    ("width_m", "words"), [(1.9 * EDGE_M, "30.4 mm x 15.2 mm"), (9.0, "9 m x 4.5 m")]
)
def test_a_board_of_another_size_than_the_objects_is_named(folder, width_m, words):
    give_width(folder, board=width_m)
    rule = f"board.png: a board must have sides of 32 mm to 3.2 m, .*got '{words}'.*width_m"
    with pytest.raises(DataError, match=rule):
        library_of(parameters_of(folder))
    assert library_of(parameters_of(folder, arrangement="layers")).boards
