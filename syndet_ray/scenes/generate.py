"""Generate: scenes from parameters, and rendered sets, each drawn once and kept."""

import colorsys
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.annotate import annotate
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.assets import CLASSES
from syndet_ray.scenes.raycast import draw, silhouettes
from syndet_ray.scenes.scene import Camera, Color, Die, Ground, Light, Scene, Sensor, matrix, vector
from syndet_ray.scenes.sensor import photograph

# Counts towards the cache's key: raise it whenever a scene with the same parameters would look different.
RENDERER_VERSION = 1

EDGE_M = 0.016
_TRAY_M = 0.064  # half the inner side of the tray, whatever it holds
# The box around a die that lies at any yaw and is seen from nearly above is on average this much wider than its edge.
_BOX_PER_EDGE = 1.33

# Dice as they are sold: sRGB colours of bodies, each with the pips usually painted on it.
_WHITE, _BLACK, _RED, _YELLOW, _ORANGE = (236, 232, 224), (28, 27, 30), (196, 30, 36), (238, 204, 32), (235, 120, 30)
_PAIRS = (
    (_WHITE, _BLACK), (_WHITE, _BLACK), (_WHITE, _RED), (_BLACK, _WHITE), (_BLACK, _RED), (_BLACK, _YELLOW),
    (_RED, _WHITE), (_RED, _WHITE), (_RED, _YELLOW), (_YELLOW, _BLACK), (_ORANGE, _BLACK), ((18, 140, 80), _WHITE),
    ((18, 140, 80), _YELLOW), ((30, 60, 150), _WHITE), ((40, 50, 120), _YELLOW), ((40, 110, 160), _RED), ((70, 35, 95), _WHITE),
    ((110, 45, 60), _WHITE), ((120, 80, 40), _BLACK), ((225, 130, 160), _BLACK), ((90, 95, 105), _WHITE), ((60, 60, 75), _ORANGE),
)  # fmt: skip
_TEXTURES = ("plain", "speckle", "wood", "cloth")

Progress = Callable[[int, int], None]


def draw_scene(parameters: SceneParameters, seed: int, index: int) -> Scene:
    """Scene `index` of a set: a function of its arguments alone, the same on any worker.

    Each property draws from a generator of its own, so that changing one strength changes nothing else.
    """

    def rng(purpose: str) -> np.random.Generator:
        return seeds.generator(seed, f"scene/{purpose}", index)

    return Scene(
        _dice(parameters, rng("pose"), rng("dice color")),
        _ground(parameters.floor, rng("floor")),
        _light(parameters, rng("light direction"), rng("light color")),
        _camera(parameters, rng("camera")),
        _sensor(parameters, rng("sensor")),
    )


def render(scene: Scene) -> tuple[np.ndarray, Boxes]:
    """A scene as a picture, (h, w, 3) uint8 sRGB, and its labels (indices into `CLASSES`)."""
    drawing = draw(scene)
    return photograph(drawing.radiance, scene.sensor), annotate(scene, drawing.ids, silhouettes(scene))


def set_hash(parameters: SceneParameters, count: int, seed: int) -> str:
    """The name of a rendered set: equal exactly where the pictures are."""
    key = [parameters.model_dump(), count, seed, RENDERER_VERSION]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]


def generate(parameters: SceneParameters, count: int, seed: int, cache: Path, progress: Progress | None = None) -> Pool:
    """`count` rendered scenes as a pool, from `cache` where they have been rendered before.

    Of several processes that ask at once, one renders and the others wait for it.
    """
    folder = cache / set_hash(parameters, count, seed)
    return _kept(folder, lambda: _rendered("synthetic", [parameters] * count, seed, progress, synthetic=True))


def stand_in(cache: Path, progress: Progress | None = None) -> dict[str, Pool]:
    """Pictures that take the place of photos where the user has none: "train", "val" and "test".

    Our own renderer, with a fixed look that the defaults do not contain: crowded and sparse scenes together, stronger
    colour, coarser sensor. Every figure made with it says "stand-in".
    """
    total, passed, pools = sum(_STAND_IN_COUNTS.values()), 0, {}
    for k, (split, count) in enumerate(_STAND_IN_COUNTS.items()):
        looks = [_stand_in_look(i) for i in range(count)]
        folder = cache / f"stand-in-{split}-{count}-{RENDERER_VERSION}"
        step = None if progress is None else lambda done, _, passed=passed: progress(passed + done, total)  # type: ignore[misc]
        pools[split] = _kept(folder, lambda: _rendered("stand-in", looks, _STAND_IN_SEED + k, step, synthetic=False))  # noqa: B023
        passed += count
    return pools


_STAND_IN_COUNTS = {"train": 120, "val": 30, "test": 50}
_STAND_IN_SEED = 990_000


def _stand_in_look(index: int) -> SceneParameters:
    return SceneParameters(
        objects=(2, 5, 9, 16, 28, 45)[index % 6],
        light_color=1.0,
        light_direction=1.0,
        blur=0.9,
        noise=0.8,
        floor=1.0,
        object_color=1.0,
    )


def _rendered(
    name: str, looks: list[SceneParameters], seed: int, progress: Progress | None, *, synthetic: bool
) -> Pool:
    images, boxes = [], []
    for i, parameters in enumerate(looks):
        image, labelled = render(draw_scene(parameters, seed, i))
        images.append(image)
        boxes.append(labelled)
        if progress is not None:
            progress(i + 1, len(looks))
    ids = [f"{name}-{seed}-{i}" for i in range(len(looks))]
    return Pool.of(name, CLASSES, images, boxes, ids, synthetic=synthetic, stand_in=not synthetic)


def _kept(folder: Path, make: Callable[[], Pool]) -> Pool:
    if not (folder / "pool.json").exists():
        with _alone(folder):
            if not (folder / "pool.json").exists():
                make().save(folder)
    return Pool.load(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process of this machine at a time; the lock goes with its process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _dice(parameters: SceneParameters, rng: np.random.Generator, colors: np.random.Generator) -> tuple[Die, ...]:
    edges = EDGE_M * rng.uniform(0.85, 1.15, parameters.objects)
    poses = drop(edges, _TRAY_M, _TRAY_M, rng)
    return tuple(
        Die(
            position=vector(pose[:3]),
            rotation=matrix(_yaw(pose[3]) @ _ROLLS[rng.integers(len(_ROLLS))]),
            edge=float(edge),
            **_paint(parameters.object_color, colors),
        )
        for edge, pose in zip(edges, poses, strict=True)
    )


def _yaw(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


# Turns that bring each of the six faces up.
_ROLLS = tuple(
    np.array(rows, float)
    for rows in (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    )
)


def _paint(strength: float, rng: np.random.Generator) -> dict[str, object]:
    """Colours of one die. 0: ivory with black pips. Up to 0.5: ever more of them from dice as sold; beyond: any hue."""
    body, pips = _PAIRS[rng.integers(len(_PAIRS))]
    drawn, hue, value, radius, gloss = rng.random(5)
    if drawn >= 2 * strength:
        body, pips = _PAIRS[0]
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in body))
    h, v = h + strength * (hue - 0.5) * 0.16, np.clip(v * (1 + strength * (value - 0.5) * 0.5), 0, 1)
    return {
        "color": _linear(colorsys.hsv_to_rgb(h % 1, s, float(v))),
        "pip_color": _linear(tuple(c / 255 for c in pips)),
        "pip_radius": 0.085 + 0.04 * radius,
        "gloss": 0.1 + 0.6 * gloss,
    }


def _ground(strength: float, rng: np.random.Generator) -> Ground:
    """0: plain light grey. 1: any colour, strong pattern, walls of any height."""
    grey = rng.uniform(-1, 1, 3)
    colors = [np.array([0.55, 0.54, 0.52]) * (1 + 0.25 * strength * g) for g in grey]
    for i in range(3):
        other = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.8)))
        share = strength * rng.random()
        colors[i] = colors[i] * (1 - share) + other * share
    return Ground(
        _TRAY_M,
        _TRAY_M,
        EDGE_M * (0.8 + strength * rng.uniform(-0.8, 0.8)),
        0.003,
        vector(colors[0]),
        vector(colors[1]),
        vector(colors[2]),
        _TEXTURES[rng.integers(len(_TEXTURES))] if strength > 0 else "plain",
        float(rng.uniform(0.04, 0.2)),
        float(strength * rng.uniform(0, 0.25)),
        int(rng.integers(2**31)),
    )


def _light(parameters: SceneParameters, where: np.random.Generator, color: np.random.Generator) -> Light:
    """Direction 0: a soft lamp at 55 degrees; 1: anywhere above 25 degrees, hard or soft. Colour 0: white; 1: any tint."""
    s = parameters.light_direction
    up, around, soft, balance = where.uniform(-1, 1, 4)
    elevation, azimuth = np.radians(55 + 30 * s * up), np.pi * (0.25 + s * around)
    tint = 1 + parameters.light_color * color.uniform(-0.3, 0.3, (2, 3))
    key = 0.75 + 0.35 * s * balance
    flat = np.cos(elevation)
    return Light(
        vector(np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])),
        float(0.15 + 0.13 * s * soft),
        vector(key * tint[0]),
        vector((1.25 - key) * tint[1] * 1.3),
    )


def _camera(parameters: SceneParameters, rng: np.random.Generator) -> Camera:
    """Looks down at the tray, up to 22 degrees off the vertical, from where a die is as wide as `size_px` asks."""
    least, greatest = parameters.size_px
    # A die's own edge varies by 15 % within a scene: the scene's scale stays that far from the bounds, where there is room.
    low, high = sorted((least * 1.1, greatest * 0.9)) if greatest > 1.3 * least else (least, greatest)
    edge_px = rng.uniform(low, high) / _BOX_PER_EDGE
    distance = EDGE_M * rng.uniform(16, 32)
    tilt, heading, roll = np.radians(rng.uniform(0, 22)), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    forward = np.array([np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading), -np.cos(tilt)])
    right = np.cross(forward, [np.cos(roll), np.sin(roll), 0.0])
    right /= np.linalg.norm(right)
    target = np.array([*rng.uniform(-0.35, 0.35, 2) * _TRAY_M, 0.0])
    rows = np.stack([right, np.cross(forward, right), forward])
    return Camera(
        vector(target - forward * distance), matrix(rows), float(edge_px / EDGE_M * distance), parameters.image_px
    )


def _sensor(parameters: SceneParameters, rng: np.random.Generator) -> Sensor:
    exposure, blur, noise = rng.random(3)
    return Sensor(
        float(0.75 + 0.5 * exposure),
        float(parameters.blur * blur * 1.5),
        float(parameters.noise * noise * 0.06),
        int(rng.integers(2**31)),
    )


def _linear(srgb: tuple[float, ...]) -> Color:
    r, g, b = (c**2.2 for c in srgb)
    return r, g, b
