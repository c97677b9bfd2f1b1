"""Scene: everything that a renderer needs to know to draw one picture, as a plain value. Whoever draws it decides nothing."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Vector = tuple[float, float, float]
Color = tuple[float, float, float]  # linear RGB, 0 to 1


@dataclass(frozen=True)
class Die:
    """position of the centre and edge in metres; rotation as a row-major 3x3; pip_radius as a share of the edge."""

    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    edge: float
    color: Color
    pip_color: Color
    pip_radius: float
    gloss: float


@dataclass(frozen=True)
class Ground:
    """The tray on its table; the top of both floors is z = 0. texture_seed and contrast make the floors' patterns."""

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
    """A distant key light and a sky. direction points towards the light; radius is its angular radius in radians."""

    direction: Vector
    radius: float
    color: Color
    sky_color: Color


@dataclass(frozen=True)
class Camera:
    """A pinhole: position in metres, row-major rotation whose rows are right, down and forward; focal length in pixels."""

    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    focal_px: float
    size_px: int


@dataclass(frozen=True)
class Sensor:
    """blur_sigma_px of a Gaussian; noise_sigma as a share of full scale; exposure a factor on linear light."""

    exposure: float
    blur_sigma_px: float
    noise_sigma: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """Poses, materials, light, camera and sensor."""

    dice: tuple[Die, ...]
    ground: Ground
    light: Light
    camera: Camera
    sensor: Sensor

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
