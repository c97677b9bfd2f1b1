"""Blender: the path tracer draws what `raycast` draws, in a process of its own that may fail and
says how.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from syndet_ray import seeds
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.scenes import blender, boards, raycast
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.dice import CLASSES, up_face
from syndet_ray.scenes.framing import whole
from syndet_ray.scenes.generate import draw_scene, library_of
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.materials import tint_colors
from syndet_ray.scenes.scene import (
    NO_CLASS,
    Body,
    Camera,
    Die,
    Ground,
    LabelStyle,
    Lamp,
    Light,
    Scene,
    Sensor,
    matrix,
    vector,
)

PYTHON = os.environ.get(blender.PYTHON_VARIABLE) or sys.executable
WHITE = (1.0, 1.0, 1.0)
SLANTED = tuple(np.array([0.5, 0.4, 0.7]) / np.sqrt(0.9))
LAMP, SKY = (0.6, 0.55, 0.4), (0.3, 0.35, 0.4)
IMPORTS_BPY = re.compile(r"^\s*(import|from) bpy", re.MULTILINE)
LAMPS = (Lamp(direction=SLANTED, radius=0.1, color=LAMP),)


@cache
def has_bpy():
    return subprocess.run([PYTHON, "-c", "import bpy"], capture_output=True).returncode == 0


@pytest.fixture
def bpy():
    if not has_bpy():
        pytest.skip(
            f"{PYTHON} has no bpy: pip install bpy, or name a Python with it in ${blender.PYTHON_VARIABLE}"
        )


def painted_box():
    """A library with a box of 1 x 2 x 0.5 of other colours at each corner and a texture of two
    halves.
    """
    corners = np.array(
        [[x, y, z] for x in (-0.5, 0.5) for y in (-1, 1) for z in (-0.25, 0.25)], np.float32
    )
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))
    faces = np.array([[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)], np.int32)
    texture = np.full((8, 8, 3), 220, np.uint8)
    texture[:4, :, 1:] = 60
    mesh = Mesh(
        vertices=corners,
        faces=faces,
        colors=0.5 + 0.5 * corners,
        uv=corners[:, :2] * (1, 0.5) + 0.5,
        texture=texture,
    )
    return Library(classes=CLASSES, assets={"box": Asset(label=NO_CLASS, mesh=mesh, scale=0.02)})


def scene(bodies=(), lamps=LAMPS, sky=SKY, ground=WHITE, **camera):
    forward = np.array([0.2, 0.1, -1]) / np.sqrt(1.05)
    right = np.cross(forward, [0, 1, 0]) / np.linalg.norm(np.cross(forward, [0, 1, 0]))
    eye = vector((0, 0, 0.01) - forward * 0.4)
    pose = matrix(np.stack([right, np.cross(forward, right), forward]))
    return Scene(
        bodies=tuple(bodies),
        ground=Ground(
            half_width=0.05,
            half_depth=0.05,
            wall_height=0.01 if bodies else 0.0,
            wall_thickness=0.003,
            floor_color=ground,
            wall_color=(0.3, 0.2, 0.1),
            table_color=ground,
            horizon=sky,
            texture="plain",
            texture_scale=0.08,
            texture_contrast=0.0,
            texture_seed=0,
        ),
        light=Light(lamps=tuple(lamps), sky_color=sky, slope=(1.0, 0.0) if bodies else (0.0, 0.0)),
        camera=Camera(position=eye, rotation=pose, focal_px=380.0, size_wh=(128, 128), **camera),
        sensor=Sensor(
            exposure=1.0,
            white_balance=WHITE,
            blur_sigma_px=0.0,
            noise_sigma=0.0,
            jpeg_quality=0,
            seed=0,
        ),
        label_style=LabelStyle(),
        jitter=7,
    )


def dice_and_box():
    rng = seeds.generator(0, "blender test")
    pile = drop(np.full(8, 0.016), np.full(8, 0.15), (0.03, 0.05), whole((0.03, 0.05)), rng)
    die = Die(
        rounding=0.15,
        pip_radius=0.1,
        pip_offset=0.24,
        color=(0.7, 0.1, 0.1),
        pip_color=(0.9, 0.9, 0.9),
        swirl_color=(0.1, 0.1, 0.7),
        swirl=0.5,
        swirl_phase=(0.0, 1.0, 2.0),
    )
    dice = [
        Body(
            asset="die",
            label=up_face(turn) - 1,
            position=vector(centre),
            rotation=matrix(turn),
            scale=0.016,
            gloss=0.5,
            die=die,
        )
        for turn, centre in zip(pile.rotations, pile.centres, strict=True)
    ]
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    box = Body(
        asset="box",
        label=NO_CLASS,
        position=(0.04, 0.0, 0.03),
        rotation=matrix(turn),
        scale=0.02,
        gloss=0.2,
        tint=(1.0, 0.9, 0.7),
        hue_turn=0.2,
    )
    return scene([*dice, box], ground=(0.2, 0.35, 0.2))


def test_both_renderers_draw_the_same_scene(bpy):
    asked, library = dice_and_box(), painted_box()
    (traced,), cast = blender.render([asked], library), raycast.render(asked, library)
    assert traced.radiance.dtype == np.float32 and traced.radiance.shape == cast.radiance.shape
    assert set(np.unique(traced.ids)) == set(range(-1, 9))
    assert (traced.ids == cast.ids).mean() >= 0.98
    ours, theirs = annotate(asked, cast.ids, library), annotate(asked, traced.ids, library)
    assert ours.labels.tolist() == theirs.labels.tolist()
    assert np.abs(ours.xyxy - theirs.xyxy).max() <= 1
    assert np.abs(ours.visibility - theirs.visibility).max() < 0.05
    for channel in range(3):
        a, b = traced.radiance[..., channel], cast.radiance[..., channel]
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9
        assert a.mean() == pytest.approx(b.mean(), rel=0.2)
    box = cast.ids == 8
    assert traced.radiance[box].mean(axis=0) == pytest.approx(
        cast.radiance[box].mean(axis=0), rel=0.25
    )


def test_layers_are_the_same_to_both_however_far_the_camera_zooms(bpy):
    settings = {
        "occluders": 0.5,
        "focal_length": 1.0,
        "camera_height": 1.0,
        "image_px": 96,
        "size_px": (12.0, 18.0),
    }
    parameters = SceneParameters(arrangement="layers", objects=5, **settings)
    library = library_of(parameters)
    scenes = [draw_scene(parameters, 3, index) for index in range(2)]
    for asked, traced in zip(scenes, blender.render(scenes, library, samples=1), strict=True):
        assert (traced.ids == raycast.render(asked, library).ids).mean() >= 0.98


def test_a_white_floor_is_as_bright_as_the_scene_says(bpy):
    overhead = replace(LAMPS[0], direction=(0.0, 0.0, 1.0))
    scenes = [scene(sky=(0.0,) * 3), scene(lamps=()), scene(lamps=(overhead, *LAMPS))]
    calls = []
    renderings = blender.render(
        scenes, Library(classes=CLASSES), samples=16, progress=lambda *done: calls.append(done)
    )
    for rendering, expected in zip(renderings, (LAMP, SKY, 2 * np.array(LAMP) + SKY), strict=True):
        assert rendering.radiance.mean(axis=(0, 1)) == pytest.approx(expected, rel=0.02)
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_lens_blurs_the_picture_and_not_the_ids(bpy):
    sharp = dice_and_box()
    blurred = replace(sharp, camera=replace(sharp.camera, aperture_m=0.05, focus_m=0.2))
    a, b = blender.render([sharp, blurred], painted_box(), samples=16)
    assert (a.ids == b.ids).all()
    assert (
        np.abs(np.diff(b.radiance, axis=1)).mean()
        < 0.5 * np.abs(np.diff(a.radiance, axis=1)).mean()
    )


@pytest.mark.parametrize("hue_turn", [0.0, 0.3])
def test_one_matrix_stands_for_tint_and_hue(hue_turn):
    body = Body(
        asset="box",
        label=0,
        position=(0, 0, 0),
        rotation=matrix(np.eye(3)),
        scale=1.0,
        gloss=0.0,
        tint=(0.5, 1.0, 0.8),
        hue_turn=hue_turn,
    )
    colors = np.array([[0.4, 0.5, 0.45]], np.float32).T
    assert blender._recolor(body) @ colors == pytest.approx(tint_colors(colors, body), abs=1e-5)


def test_a_board_lies_on_its_floor_once_as_in_the_other_renderer(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (70, 140, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "board.png")
    sized = {"half_width": 0.05, "half_depth": 0.025, "wall_height": 0.0, "texture_scale": 0.0}
    image = {"texture": str(tmp_path / "board.png"), "texture_contrast": 0.8}
    ground = replace(scene().ground, **sized, **image, table_color=(0.1, 0.2, 0.3))
    floor, table = blender.meshes(replace(scene(), ground=ground), Library(classes=CLASSES))
    assert np.abs(floor["vertices"]).max(axis=0).tolist() == [0.05, 0.025, 0]
    assert np.allclose(floor["uv"], floor["vertices"][:, :2] / (0.1, 0.05) + 0.5)
    rows, columns = np.indices((70, 140)).reshape(2, -1)
    x, y = ((columns + 0.5) / 140 - 0.5) * 0.1, (0.5 - (rows + 0.5) / 70) * 0.05
    points = np.stack([x, y, np.zeros_like(x)]).astype(np.float32)
    cast = boards.floor_colors(ground, points, np.full(len(x), 0.1 / 140))
    assert np.allclose(floor["texture"][rows, columns].T, cast, atol=1e-3)
    assert "texture" not in table and np.allclose(table["colors"], (0.1, 0.2, 0.3))


def test_nothing_of_this_package_imports_bpy():
    for path in blender.SCRIPT.parents[1].rglob("*.py"):
        assert path == blender.SCRIPT or not IMPORTS_BPY.search(path.read_text()), path
    script = blender.SCRIPT.read_text()
    assert IMPORTS_BPY.search(script) and not re.search(
        r"^\s*(import|from) syndet_ray", script, re.MULTILINE
    )


def failing(tmp_path, commands, **options):
    """The message of an interpreter that is a shell script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{commands}\n")
    python.chmod(0o755)
    with pytest.raises(MachineError) as error:
        blender.render([scene()], Library(classes=CLASSES), python=str(python), **options)
    return str(error.value)


def test_missing_bpy_says_how_to_get_it(tmp_path):
    message = failing(tmp_path, "echo \"ModuleNotFoundError: No module named 'bpy'\" >&2; exit 1")
    assert message.startswith(f"{tmp_path}/python: cannot import bpy")
    assert "pip install 'syndet_ray[blender]'" in message and "SYNDET_BLENDER_PYTHON" in message


def test_an_interpreter_that_is_none(tmp_path):
    with pytest.raises(MachineError, match="could not be started"):
        blender.render([scene()], Library(classes=CLASSES), python=str(tmp_path / "none"))


def test_a_failing_process_is_quoted(tmp_path):
    message = failing(tmp_path, "seq 100; echo out of memory >&2; exit 3")
    assert "ended with 3 after 0 of 1 scenes" in message
    assert message.endswith("99\n100\nout of memory") and "\n88\n" not in message


def test_a_process_that_writes_nothing(tmp_path):
    assert "ended with 0 after 0 of 1 scenes" in failing(tmp_path, "exit 0")


def test_a_hanging_process_is_ended(tmp_path):
    message = failing(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60", patience_s=0.5)
    assert "must finish a scene within 0.5 s" in message
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
