"""Scene: all that a renderer needs for one image, as a plain value; it decides nothing itself."""

import json
from dataclasses import asdict, dataclass

import numpy as np

Vector = tuple[float, float, float]
Color = tuple[float, float, float]  # linear RGB, 0 to 1

# The label of a body that is no object to detect: background, distractor, occluder.
NO_CLASS = -1


@dataclass(frozen=True, kw_only=True)
class Die:
    """The properties in which dice differ.

    rounding of its edges, pip_radius and pip_offset from a face's centre lines as shares of the
    edge. swirl_color runs through color if `swirl`, 0 to 1, is above 0, in a pattern that
    swirl_phase (radians) picks.
    """

    rounding: float
    pip_radius: float
    pip_offset: float
    color: Color
    pip_color: Color
    swirl_color: Color
    swirl: float
    swirl_phase: Vector


@dataclass(frozen=True, kw_only=True)
class Body:
    """A die or a mesh of the library, at a pose.

    asset is "die" (then `die` describes it) or a name in the library's `assets`. label indexes the
    library's classes, or is NO_CLASS. position (metres) is where the asset's origin, the middle of
    its bounding box, lies; rotation is a row-major 3x3, local to world; scale is metres per unit
    of the asset's vertices, for a die its edge. gloss, 0 to 1, is the share that it mirrors; tint
    factors on the asset's linear colours, which are then turned round the hue circle by hue_turn,
    0 to 1.
    """

    asset: str
    label: int
    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    scale: float
    gloss: float
    tint: Color = (1.0, 1.0, 1.0)
    hue_turn: float = 0.0
    die: Die | None = None


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The tray on its table; the top of both floors is z = 0. Lengths in metres.

    wall_height 0 is a tray without walls. texture is one of `looks.TEXTURES`, or the path of an
    image; it is repeated every texture_scale, on the floor and on the table. With texture_scale 0
    the floor is a board: the image lies on it once, its upper side along +y, and not on the table.
    A pattern's brightness varies by texture_contrast (standard deviation, as a share) in a way that
    texture_seed picks; an image replaces the colours of floor and table and is mixed with them by
    texture_contrast, 1 being the image alone.
    horizon is the light that comes from beyond the table, where a camera looks that far.
    """

    half_width: float
    half_depth: float
    wall_height: float
    wall_thickness: float
    floor_color: Color
    wall_color: Color
    table_color: Color
    horizon: Color
    texture: str
    texture_scale: float
    texture_contrast: float
    texture_seed: int

    @property
    def half_size(self) -> tuple[float, float]:
        """The distances that the floor reaches from the origin along x and y, metres."""
        return self.half_width, self.half_depth

    @property
    def is_board(self) -> bool:
        """True if the floor shows an image once, and not a texture that is repeated."""
        return self.texture_scale == 0


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A distant lamp: a unit direction towards it, its angular radius in radians, and the light
    that it alone throws on a level white floor.
    """

    direction: Vector
    radius: float
    color: Color


@dataclass(frozen=True, kw_only=True)
class Light:
    """Lamps and a sky.

    sky_color is the light that the sky alone throws on a level white floor. slope is the share by
    which all light grows per metre along x and y, as it does near a lamp.
    """

    lamps: tuple[Lamp, ...]
    sky_color: Color
    slope: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera: position in metres, a row-major rotation with rows right, down and forward, focal
    length and size of the image, width and height, in pixels.

    aperture_m is the diameter of the lens and focus_m the distance at which it is sharp, along the
    forward axis; 0 is a pinhole. Only the path tracer renders what is out of focus.
    """

    position: Vector
    rotation: tuple[Vector, Vector, Vector]
    focal_px: float
    size_wh: tuple[int, int]
    aperture_m: float = 0.0
    focus_m: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """The electronics of a camera.

    exposure a factor on linear light; white_balance factors on its colours; contrast the slope of
    the tone curve at middle grey; blur_sigma_px of a Gaussian; noise_sigma as a share of full
    scale; jpeg_quality 1 to 100, or 0 for an image that was never compressed.
    """

    exposure: float
    white_balance: Color
    contrast: float = 1.0
    blur_sigma_px: float
    noise_sigma: float
    jpeg_quality: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class LabelStyle:
    """The habits of people who place boxes.

    padding by which a box is wider and higher than the visible part of the object, as a share;
    padding_spread its standard deviation from box to box; jitter that of the box's middle, in
    shares of its width and height. square boxes are as high as they are wide. All 0: exactly around
    the visible part. Objects of which less than least_visibility shows, as a share, have no box.
    """

    padding: float = 0.0
    padding_spread: float = 0.0
    jitter: float = 0.0
    square: bool = False
    least_visibility: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Poses, materials, light, camera, sensor and labels.

    jitter seeds the directions of rays that a renderer draws at random.
    """

    bodies: tuple[Body, ...]
    ground: Ground
    light: Light
    camera: Camera
    sensor: Sensor
    label_style: LabelStyle
    jitter: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def rotations(bodies: tuple[Body, ...]) -> np.ndarray:
    """(n, 3, 3), local to world."""
    return np.array([body.rotation for body in bodies], float).reshape(-1, 3, 3)


def matrix(rows: np.ndarray) -> tuple[Vector, Vector, Vector]:
    """A (3, 3) array as plain values."""
    a, b, c = rows.tolist()
    return tuple(a), tuple(b), tuple(c)


def vector(values: np.ndarray) -> Vector:
    """A (3,) array as plain values."""
    x, y, z = np.asarray(values, float).tolist()
    return x, y, z
