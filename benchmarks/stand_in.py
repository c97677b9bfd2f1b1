"""The stand-in photos: path-traced images of dice, with features that the raycast defaults lack.

    SYNDET_BLENDER_PYTHON=... python benchmarks/stand_in.py WORK [OUT]

They have other paints, floors that look photographed, one to three lamps of any hardness, coins and
pencils between the dice, views from as low as 45 degrees, depth of field and automatic exposure.
WORK keeps each rendering, so that a run that was stopped can continue; a scene takes about 6 s on
one core. OUT receives <split>/*.jpg and <split>/_annotations.coco.json; by default it is
syndet_ray/data/stand_in_photos.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.stand_in import FOLDER
from syndet_ray.scenes import blender
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.dice import CLASSES, up_face
from syndet_ray.scenes.framing import whole
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.raycast import Rendering
from syndet_ray.scenes.scene import (
    NO_CLASS,
    Body,
    Camera,
    Color,
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
from syndet_ray.scenes.sensor import photograph

OUT = FOLDER
SEED = 990_001  # not one of the seeds of sweeps
COUNTS = {"train": 120, "val": 40, "test": 80}
OBJECTS = (1, 2, 3, 5, 8, 12, 16, 22, 30, 40, 50, 60)
SIZE_PX, SAMPLES, JPEG_QUALITY = 256, 24, 88
AT_ONCE = 8  # scenes per process: their meshes take disk until it ends
README = """Path-traced pictures of dice that take the place of photos where a user has none; \
they are no photographs.
Made by benchmarks/stand_in.py with Blender's Cycles. License: Apache-2.0, as the rest of \
this repository.
"""

_Rng = np.random.Generator
_Rgb = tuple[int, int, int]
# Body, pips and what swirls through the body, sRGB: dice of bone, wood, metal, stone and pastel
# plastic.
PAINTS: tuple[tuple[_Rgb, _Rgb, _Rgb], ...] = (
    ((240, 231, 205), (70, 40, 20), (226, 212, 176)),
    ((182, 140, 94), (52, 28, 14), (150, 108, 66)),
    ((150, 154, 160), (18, 18, 22), (150, 154, 160)),
    ((88, 190, 196), (14, 38, 68), (88, 190, 196)),
    ((186, 168, 216), (56, 28, 86), (214, 200, 232)),
    ((190, 214, 92), (28, 46, 12), (190, 214, 92)),
    ((180, 112, 70), (240, 226, 196), (150, 84, 50)),
    ((28, 58, 48), (216, 186, 108), (44, 90, 70)),
    ((236, 112, 88), (246, 244, 240), (236, 112, 88)),
    ((72, 46, 36), (228, 212, 188), (96, 64, 46)),
    ((240, 240, 242), (22, 58, 156), (240, 240, 242)),
    ((230, 192, 204), (146, 22, 60), (244, 222, 228)),
    ((16, 26, 60), (188, 198, 218), (16, 26, 60)),
    ((240, 196, 114), (116, 30, 20), (240, 196, 114)),
    ((102, 22, 32), (236, 216, 196), (140, 44, 48)),
    ((218, 218, 212), (6, 104, 68), (190, 192, 188)),
    ((32, 32, 34), (232, 232, 226), (58, 58, 62)),
    ((196, 22, 30), (240, 238, 232), (196, 22, 30)),
)  # fmt: skip


def stand_in_scene(split: str, index: int, floors: list[Path]) -> Scene:
    """Scene `index` of a split: a function of its arguments and of SEED."""

    def rng(purpose: str) -> _Rng:
        return seeds.generator(SEED, f"{split}/{purpose}", index)

    n = OBJECTS[index % len(OBJECTS)]
    half_size = _half_size(n, rng("tray"))
    dice = _dice(n, half_size, rng("dice"), rng("poses"))
    ground, light = _ground(n, half_size, floors, rng("ground")), _light(rng("light"))
    return Scene(
        bodies=dice + (_things(dice, rng("things")) if ground.wall_height == 0 else ()),
        ground=ground,
        light=light,
        camera=_camera(dice, rng("camera")),
        sensor=_sensor(light, rng("sensor")),
        label_style=LabelStyle(),
        jitter=seeds.integer(SEED, f"{split}/jitter", index),
    )


def _half_size(n: int, rng: _Rng) -> tuple[float, float]:
    """From dice piled two deep to dice far apart, in metres."""
    side = 0.017 * np.sqrt(n * np.exp(rng.uniform(np.log(0.7), np.log(5)))) / 2
    shape = np.exp(rng.uniform(-0.3, 0.3))
    return max(float(side * shape), 0.03), max(float(side / shape), 0.03)


def _dice(n: int, half_size: tuple[float, float], rng: _Rng, poses: _Rng) -> tuple[Body, ...]:
    """A set of equal dice, or a mixed lot."""
    is_set, mixed = rng.random() < 0.4, rng.uniform(0.03, 0.14)
    edges = 0.016 * (1 + mixed * (not is_set) * rng.uniform(-1, 1, n))
    makes = [_make(rng) for _ in range(1 if is_set else max(2, n // 2))]
    chosen = [makes[k] for k in rng.integers(len(makes), size=n)]
    roundings = np.array([die.rounding for die, _ in chosen])
    pile = drop(edges, roundings, half_size, whole(half_size), poses)
    turns = [pile.rotations[i] @ _roll(poses) for i in range(n)]
    return tuple(
        Body(
            asset="die",
            label=up_face(turn) - 1,
            position=vector(centre),
            rotation=matrix(turn),
            scale=float(edge),
            gloss=gloss,
            die=die,
        )
        for turn, centre, edge, (die, gloss) in zip(turns, pile.centres, edges, chosen, strict=True)
    )


def _roll(rng: _Rng) -> np.ndarray:
    """One of the 24 turns that bring a cube onto itself."""
    turn = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    return turn * np.linalg.det(turn)


def _make(rng: _Rng) -> tuple[Die, float]:
    """A make of dice, and its gloss."""
    body, pips, second = PAINTS[rng.integers(len(PAINTS))]
    rounding, radius = float(rng.uniform(0.05, 0.28)), float(rng.uniform(0.07, 0.12))
    swirl = float(rng.random()) if second != body else 0.0
    offset = min(float(rng.uniform(0.2, 0.28)), 0.5 - radius - 0.6 * rounding)
    phase = vector(rng.uniform(0, 2 * np.pi, 3))
    color, pip_color, swirl_color = _linear(body), _linear(pips), _linear(second)
    die = Die(
        rounding=rounding,
        pip_radius=radius,
        pip_offset=offset,
        color=color,
        pip_color=pip_color,
        swirl_color=swirl_color,
        swirl=swirl,
        swirl_phase=phase,
    )
    return die, float(rng.uniform(0.15, 1))


def library() -> Library:
    """The dice, and the things between them."""
    make = trimesh.creation
    coin, pencil = make.cylinder(0.5, 0.08, sections=48), make.cylinder(0.5, 24.0, sections=6)
    token = make.cylinder(0.5, 0.3, sections=40)
    things = {"coin": (coin, 0.022), "pencil": (pencil, 0.0072), "token": (token, 0.014)}
    return Library(
        classes=CLASSES,
        assets={
            name: Asset(label=NO_CLASS, mesh=_mesh(solid), scale=scale)
            for name, (solid, scale) in things.items()
        },
    )


def _mesh(solid: Any) -> Mesh:
    vertices, faces = np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32)
    return Mesh(vertices=vertices, faces=faces, colors=np.ones_like(vertices))


_METALS: tuple[_Rgb, ...] = ((196, 150, 92), (186, 188, 190), (176, 108, 74), (214, 190, 120))
_PLASTICS: tuple[_Rgb, ...] = (
    (206, 60, 44),
    (36, 96, 170),
    (236, 190, 50),
    (50, 140, 80),
    (235, 235, 230),
    (40, 40, 44),
)


def _things(dice: tuple[Body, ...], rng: _Rng) -> tuple[Body, ...]:
    """Coins, tokens and pencils between the dice, in every other scene."""
    things: list[Body] = []
    taken = np.array([(*body.position[:2], 0.9 * body.scale) for body in dice])
    for _ in range(int(rng.integers(1, 7)) if rng.random() < 0.5 else 0):
        name = ("coin", "coin", "token", "pencil")[rng.integers(4)]
        body = _thing(name, np.abs(taken[:, :2]).max() + 0.04, rng)
        across = np.array(body.rotation)[:2, 2] * (
            0.5 * 24.0 * body.scale if name == "pencil" else 0.0
        )
        steps = np.array(body.position[:2]) + np.linspace(-1, 1, 41)[:, None] * across
        gaps = (
            np.linalg.norm(steps[:, None] - taken[:, :2], axis=2) - taken[:, 2] - 0.5 * body.scale
        )
        if gaps.min() > 0:
            things.append(body)
            reach = np.full((len(steps), 1), 0.5 * body.scale)
            taken = np.concatenate([taken, np.hstack([steps, reach])])
    return tuple(things)


def _thing(name: str, reach: float, rng: _Rng) -> Body:
    """A thing on the table, at a random place within `reach` metres."""
    asset, (cos, sin) = library().assets[name], _direction(rng)
    colors = _METALS if name == "coin" else _PLASTICS
    upright = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    # A pencil rests on a flat of its hexagon, whose height is that of an equilateral triangle.
    turn, height = (
        (upright[:, [1, 2, 0]], np.sqrt(0.75)) if name == "pencil" else (upright, _HEIGHTS[name])
    )
    place = (*rng.uniform(-reach, reach, 2), 0.5 * height * asset.scale + 1e-4)
    tint = _linear(colors[rng.integers(len(colors))])
    gloss = float(rng.uniform(0.3, 1))
    return Body(
        asset=name,
        label=NO_CLASS,
        position=vector(np.array(place)),
        rotation=matrix(turn),
        scale=asset.scale,
        gloss=gloss,
        tint=tint,
    )


_HEIGHTS = {"coin": 0.08, "token": 0.3}


def _direction(rng: _Rng) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def _ground(n: int, half_size: tuple[float, float], floors: list[Path], rng: _Rng) -> Ground:
    """A bare table, or a tray on it with a lining that shows the table's pattern.

    If dice lie on one another, walls keep them together.
    """
    w, d = half_size
    has_tray = rng.random() < 0.3 or n * 0.017**2 > 0.55 * 4 * w * d
    wood, lining = (
        rng.uniform(0.4, 1.1) * np.array([0.30, 0.17, 0.08]),
        np.array(_linear(_FELTS[rng.integers(5)])),
    )
    scale, contrast, floor = (
        rng.uniform(0.3, 0.5),
        rng.uniform(0.1, 0.3),
        floors[rng.integers(len(floors))],
    )
    table = np.array(_linear(_TABLES[rng.integers(len(_TABLES))]))
    return Ground(
        half_width=w,
        half_depth=d,
        wall_height=float(rng.uniform(0.006, 0.022)) if has_tray else 0.0,
        wall_thickness=float(rng.uniform(0.003, 0.008)),
        floor_color=vector(lining),
        wall_color=vector(wood),
        table_color=vector(table if has_tray else lining),
        horizon=vector(table if has_tray else lining),
        texture=str(floor),
        texture_scale=float(scale),
        texture_contrast=float(contrast) if has_tray else 1.0,
        texture_seed=0,
    )


_FELTS: tuple[_Rgb, ...] = ((30, 84, 54), (110, 26, 34), (28, 44, 96), (60, 58, 62), (120, 96, 70))
_TABLES: tuple[_Rgb, ...] = (
    *((206, 204, 200), (150, 112, 74), (66, 64, 68), (84, 98, 112), (178, 170, 150)),
    *((70, 48, 36), (120, 136, 120), (232, 230, 226), (44, 46, 60)),
)
_TINTS = ((1.3, 1.0, 0.62), (1.15, 1.0, 0.82), (1.0, 1.0, 1.0), (0.86, 0.98, 1.18))


def _light(rng: _Rng) -> Light:
    """A bulb or a window, often a second and a third, and what the room throws back."""
    shares = rng.dirichlet((3.0, 1.0, 0.6))[: rng.integers(1, 4)] * rng.uniform(0.55, 0.9)
    return Light(
        lamps=tuple(_lamp(float(share), rng) for share in shares),
        sky_color=vector((1.05 - shares.sum()) * np.array(_TINTS[rng.integers(1, 4)])),
        slope=(0.0, 0.0),
    )


def _lamp(share: float, rng: _Rng) -> Lamp:
    height, (cos, sin) = np.radians(rng.uniform(24, 64)), _direction(rng)
    towards = np.array([cos * np.cos(height), sin * np.cos(height), np.sin(height)])
    radius = np.exp(rng.uniform(np.log(0.02), np.log(0.4)))
    return Lamp(
        direction=vector(towards),
        radius=float(radius),
        color=vector(share * np.array(_TINTS[rng.integers(len(_TINTS))])),
    )


def _camera(dice: tuple[Body, ...], rng: _Rng) -> Camera:
    """Held in the hand: from above to 45 degrees, sharp at one of the dice."""
    edge_px = rng.uniform(24, 40) if len(dice) > 5 else rng.uniform(28, 56)
    distance = float(rng.uniform(0.24, 0.5))
    tilt, roll, (cos, sin) = (
        np.radians(45 * np.sqrt(rng.random())),
        rng.normal(0, 0.12),
        _direction(rng),
    )
    forward = np.array([np.sin(tilt) * cos, np.sin(tilt) * sin, -np.cos(tilt)])
    level = np.array([sin, -cos, 0.0])
    right = np.cos(roll) * level + np.sin(roll) * np.cross(forward, level)
    rows = np.stack([right, np.cross(forward, right), forward])
    middles = np.array([body.position for body in dice])
    target = middles[rng.integers(len(dice))] * rng.uniform(0, 0.8) + (*rng.normal(0, 0.008, 2), 0)
    position = target - forward * distance
    sharp = float(forward @ (middles[rng.integers(len(dice))] - position))
    focal_px = float(edge_px / 0.016 * distance)
    # Points 2 cm out of focus are up to 1.5 px wide.
    widest = 1.5 * distance**2 / (0.02 * focal_px)
    return Camera(
        position=vector(position),
        rotation=matrix(rows),
        focal_px=focal_px,
        size_wh=(SIZE_PX, SIZE_PX),
        aperture_m=float(widest * rng.random()),
        focus_m=sharp,
    )


def _sensor(light: Light, rng: _Rng) -> Sensor:
    """A telephone's: it mends most of the light's colour."""
    total = np.sum([lamp.color for lamp in light.lamps], axis=0) + light.sky_color
    return Sensor(
        exposure=float(2 ** rng.uniform(-0.35, 0.35)),
        white_balance=vector((total.mean() / total) ** rng.uniform(0.4, 1)),
        blur_sigma_px=float(rng.uniform(0.2, 0.7)),
        noise_sigma=float(rng.uniform(0.004, 0.022)),
        jpeg_quality=0,
        seed=int(rng.integers(2**31)),
    )


def _linear(rgb: _Rgb) -> Color:
    return vector((np.array(rgb) / 255) ** 2.2)


def rendered(scenes: list[Scene], folder: Path) -> list[Rendering]:
    """Renderings of scenes; those that were rendered before come from `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for scene in scenes:
        digest = hashlib.sha256(scene.to_json().encode()).hexdigest()
        files.append(folder / f"{digest[:16]}.npy")
    missing = [i for i, file in enumerate(files) if not file.exists()]
    for first in range(0, len(missing), AT_ONCE):
        batch = missing[first : first + AT_ONCE]
        renderings = blender.render([scenes[i] for i in batch], library(), samples=SAMPLES)
        for i, rendering in zip(batch, renderings, strict=True):
            layers = np.concatenate([rendering.radiance, rendering.ids[..., None]], axis=2)
            np.save(files[i], layers.astype(np.float32))
            print(files[i], flush=True)
    saved = [np.load(file) for file in files]
    return [Rendering(radiance=layers[..., :3], ids=layers[..., 3].astype(int)) for layers in saved]


def exposed(scene: Scene, radiance: np.ndarray) -> np.ndarray:
    """The photo, (h, w, 3) uint8, by automatic exposure, which goes most of the way to medium
    grey.
    """
    factor = float(np.clip((0.22 / np.median(radiance)) ** 0.6, 0.4, 3))
    return photograph(radiance, replace(scene.sensor, exposure=scene.sensor.exposure * factor))


def write(scenes: list[Scene], renderings: list[Rendering], folder: Path) -> None:
    """Writes JPEG files, and COCO instances with visibility in the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, (scene, rendering) in enumerate(zip(scenes, renderings, strict=True)):
        name = f"{i:03}.jpg"
        pixels = exposed(scene, rendering.radiance)
        Image.fromarray(pixels).save(folder / name, quality=JPEG_QUALITY, optimize=True)
        images.append({"id": i, "file_name": name, "width": SIZE_PX, "height": SIZE_PX})
        annotations += _annotations(annotate(scene, rendering.ids, library()), i, len(annotations))
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "_annotations.coco.json").write_text(
        json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8"
    )


def _annotations(boxes: Boxes, image: int, first: int) -> list[dict[str, Any]]:
    rows = zip(boxes.xyxy.tolist(), boxes.labels.tolist(), boxes.visibility.tolist(), strict=True)
    annotations = []
    for k, ((x1, y1, x2, y2), label, visibility) in enumerate(rows):
        annotation = {
            "id": first + k,
            "image_id": image,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "visibility": round(visibility, 3),
        }
        annotations.append(annotation)
    return annotations


# Floors: seamless images, as arrays (side, side, 3) of sRGB from 0 to 1.

FLOOR_PX = 512  # side; a power of two, for the Fourier transform


def floors(folder: Path) -> list[Path]:
    """Writes four images of each kind of floor; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, paint in _FLOORS.items():
        for k in range(4):
            pixels = paint(seeds.generator(SEED, f"floor/{kind}", k))
            paths.append(folder / f"{kind}-{k}.png")
            Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(paths[-1])
    return paths


def _cloud(rng: _Rng, slope: float, stretch: float = 1.0) -> np.ndarray:
    """(side, side) seamless noise of mean 0 and deviation 1 whose amplitudes fall as frequency to
    the power `slope`.
    """
    f = np.fft.fftfreq(FLOOR_PX) * FLOOR_PX
    radius = np.hypot(f[:, None], f[None] * stretch)
    radius[0, 0] = np.inf
    white = np.fft.fft2(rng.standard_normal((FLOOR_PX, FLOOR_PX)))
    noise = np.fft.ifft2(white * radius**-slope).real
    return noise / noise.std()


def _between(share: np.ndarray, one: _Rgb, other: _Rgb) -> np.ndarray:
    """(..., 3) colours from `one` at share 0 to `other` at 1."""
    t = np.clip(share, 0, 1)[..., None]
    return (np.array(one) * (1 - t) + np.array(other) * t) / 255


def _wood(rng: _Rng) -> np.ndarray:
    dark, light = _pick(
        rng,
        (
            ((92, 56, 32), (150, 100, 62)),
            ((150, 108, 66), (206, 164, 112)),
            ((60, 44, 36), (96, 74, 58)),
        ),
    )
    y = np.arange(FLOOR_PX)[:, None] / FLOOR_PX
    rings = np.sin(2 * np.pi * (6 * y + 0.9 * _cloud(rng, 1.8, 6.0))) * 0.22 + 0.14 * _cloud(
        rng, 0.5, 14.0
    )
    boards = np.floor(y * 4).astype(int)
    gap = np.minimum(np.abs(y * 4 % 1), 1 - y * 4 % 1) < 0.012
    share = 0.5 + rings + rng.normal(0, 0.12, 4)[boards]
    return _between(np.where(gap, -0.6, share), dark, light) * np.where(gap, 0.5, 1)[..., None]


def _felt(rng: _Rng) -> np.ndarray:
    color = _FELTS[rng.integers(len(_FELTS))]
    shade = 1 + 0.10 * _cloud(rng, 0.3) + 0.05 * _cloud(rng, 1.5)
    return np.array(color) / 255 * shade[..., None]


def _weave(rng: _Rng) -> np.ndarray:
    """Checked cloth: threads over and under, stripes both ways."""
    one, other = _pick(
        rng,
        (
            ((232, 226, 212), (170, 40, 44)),
            ((225, 228, 232), (44, 70, 130)),
            ((120, 110, 96), (60, 54, 50)),
        ),
    )
    steps = np.arange(FLOOR_PX)
    stripes = (steps // (FLOOR_PX // 8) % 2).astype(float)
    threads = np.sin(np.pi * steps / 2) * 0.5
    share = (stripes[:, None] + stripes[None]) / 2
    relief = (
        threads[:, None] * threads[None] * 0.16 + 0.04 * _cloud(rng, 0.2) + 0.03 * _cloud(rng, 1.6)
    )
    return _between(share, one, other) * (1 + relief)[..., None]


def _suede(rng: _Rng) -> np.ndarray:
    dark, light = _pick(
        rng,
        (
            ((58, 34, 24), (110, 68, 44)),
            ((24, 24, 26), (58, 56, 56)),
            ((96, 32, 28), (140, 60, 46)),
        ),
    )
    creases = np.abs(_cloud(rng, 1.0)) + 0.6 * np.abs(_cloud(rng, 0.8))
    return _between(0.15 + 0.55 * creases + 0.12 * _cloud(rng, 2), dark, light)


def _marble(rng: _Rng) -> np.ndarray:
    vein, stone = _pick(
        rng,
        (
            ((120, 122, 128), (226, 224, 220)),
            ((190, 186, 176), (44, 46, 50)),
            ((128, 100, 76), (214, 196, 168)),
        ),
    )
    veins = np.exp(-9 * np.abs(_cloud(rng, 1.9))) * 0.8 + 0.12 * np.abs(_cloud(rng, 1.4))
    return _between(1 - veins, vein, stone)


def _granite(rng: _Rng) -> np.ndarray:
    grains = _pick(
        rng,
        (
            ((70, 70, 74), (150, 146, 142), (206, 200, 194)),
            ((52, 44, 42), (128, 96, 84), (186, 160, 146)),
        ),
    )
    which = np.digitize(_cloud(rng, 0.35), (-0.5, 0.7))
    return np.array(grains)[which] / 255 * (1 + 0.05 * _cloud(rng, 0.1))[..., None]


def _paper(rng: _Rng) -> np.ndarray:
    """Squared paper, as scores are kept on."""
    line, sheet = _pick(
        rng, (((120, 150, 190), (240, 238, 230)), ((190, 140, 130), (236, 230, 214)))
    )
    steps = np.arange(FLOOR_PX) % (FLOOR_PX // 32) < 2
    ruled = (steps[:, None] | steps[None]) * 0.8
    return _between(1 - ruled + 0.03 * _cloud(rng, 1.5), line, sheet)


def _board(rng: _Rng) -> np.ndarray:
    """A game board's squares."""
    one, other = _pick(rng, (((70, 42, 28), (214, 180, 132)), ((30, 64, 48), (226, 220, 200))))
    cells = np.arange(FLOOR_PX) // (FLOOR_PX // 4)
    share = ((cells[:, None] + cells[None]) % 2).astype(float)
    return (
        _between(share + 0.06 * _cloud(rng, 1.2, 5.0), one, other)
        * (1 + 0.05 * _cloud(rng, 0.6, 8.0))[..., None]
    )


def _pick(rng: _Rng, choices: tuple[tuple[_Rgb, ...], ...]) -> tuple[_Rgb, ...]:
    return choices[rng.integers(len(choices))]


_FLOORS: dict[str, Callable[[_Rng], np.ndarray]] = {
    "wood": _wood,
    "felt": _felt,
    "weave": _weave,
    "suede": _suede,
    "marble": _marble,
    "granite": _granite,
    "paper": _paper,
    "board": _board,
}


def main(work: Path, out: Path = OUT) -> None:
    paths = floors(work / "floors")
    for split, count in COUNTS.items():
        scenes = [stand_in_scene(split, i, paths) for i in range(count)]
        write(scenes, rendered(scenes, work / split), out / split)
    (out / "README.txt").write_text(README, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
