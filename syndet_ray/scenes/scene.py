"""Scene: all that a renderer needs to know to draw one picture, as a plain value. Whoever draws it decides nothing."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Vector = tuple[float, float, float]
Color = tuple[float, float, float]  # linear RGB, 0 to 1


@dataclass(frozen=True)
class Die:
    """One die.

    position of the centre and edge in metres; rotation as a row-major 3x3, local to world; rounding of its edges,
    pip_radius and pip_offset from a face's centre lines as shares of the edge. swirl_color runs through color where
    `swirl`, 0 to 1, is above 0, in a pattern that swirl_phase (radians) picks. gloss, 0 to 1, is how much it mirrors.
    """

    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    edge: float
    rounding: float
    pip_radius: float
    pip_offset: float
    gloss: float
    color: Color
    pip_color: Color
    swirl_color: Color
    swirl: float
    swirl_phase: Vector


@dataclass(frozen=True)
class Ground:
    """The tray on its table; the top of both floors is z = 0. Lengths in metres.

    wall_height 0 is a tray without walls. texture is one of `looks.TEXTURES`, repeated every texture_scale; its
    brightness varies by texture_contrast (standard deviation, as a share) in a pattern that texture_seed picks.
    """

    half_width: float
    half_depth: float
    wall_height: float
    wall_thickness: float
    floor_color: Color
    wall_color: Color
    table_color: Color
    texture: str
    texture_scale: float
    texture_contrast: float
    texture_seed: int


@dataclass(frozen=True)
class Light:
    """A distant lamp and a sky.

    direction is unit and points towards the lamp; radius is the lamp's angular radius in radians. color and sky_color
    are the light that each alone throws on a level white floor. slope is by how much of itself all light grows per
    metre along x and y, as it does near a lamp.
    """

    direction: Vector
    radius: float
    color: Color
    sky_color: Color
    slope: tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole: position in metres, a row-major rotation with rows right, down and forward, focal length in pixels."""

    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    focal_px: float
    size_px: int


@dataclass(frozen=True)
class Sensor:
    """exposure a factor on linear light; blur_sigma_px of a Gaussian; noise_sigma as a share of full scale."""

    exposure: float
    blur_sigma_px: float
    noise_sigma: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """Poses, materials, light, camera and sensor. jitter seeds the rays that a renderer draws at random."""

    dice: tuple[Die, ...]
    ground: Ground
    light: Light
    camera: Camera
    sensor: Sensor
    jitter: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Scene":
        found = _tuples(json.loads(text))
        return Scene(
            tuple(Die(**die) for die in found["dice"]),
            Ground(**found["ground"]),
            Light(**found["light"]),
            Camera(**found["camera"]),
            Sensor(**found["sensor"]),
            found["jitter"],
        )


def rotations(dice: tuple[Die, ...]) -> np.ndarray:
    """(n, 3, 3), local to world."""
    return np.array([die.rotation for die in dice], float).reshape(-1, 3, 3)


def matrix(rows: np.ndarray) -> tuple[Vector, Vector, Vector]:
    """A (3, 3) array as plain values."""
    a, b, c = rows.tolist()
    return tuple(a), tuple(b), tuple(c)


def vector(values: np.ndarray) -> Vector:
    """A (3,) array as plain values."""
    x, y, z = np.asarray(values, float).tolist()
    return x, y, z


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
