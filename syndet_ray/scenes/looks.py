"""Looks: draws paint, ground, light, camera, sensor and labels of a scene at random.

Every function takes its own generator and its own strength. It draws the same numbers at any
strength, so that strength 0 is exactly the same in every scene and a greater strength moves the
same scene further from it.
"""

import colorsys
from dataclasses import replace
from typing import Any

import numpy as np

from syndet_ray.definitions.scene_parameters import MOST_OBJECTS, SceneParameters
from syndet_ray.scenes.library import Asset, Library
from syndet_ray.scenes.scene import (
    NO_CLASS,
    Camera,
    Color,
    Ground,
    LabelStyle,
    Lamp,
    Light,
    Sensor,
    matrix,
    vector,
)
from syndet_ray.scenes.sensor import (
    DISPLAY_POWER,
    LEAST_QUALITY,
    MOST_BLUR_PX,
    MOST_NOISE,
    MOST_QUALITY,
)

TEXTURES = ("plain", "speckle", "cloth", "wood")

# Half the inner side of the tray, in objects, and the least share of the image that it fills.
_TRAY_HALF, _TRAY_SHARE = 4.0, 0.8
# A camera that is tilted further, or that is always tilted, is held level, give or take this much:
# from above any side of an image may be its upper one.
_LEVEL_FROM_DEG, _ROLL_DEG = 30.0, 5.0
_MOST_ZOOM = 1.25  # factor on the focal length at full strength, either way
_DISTANCE = 24.0  # of the camera from its focus, in objects, at strength 0 of its height
_LEAST_HEIGHT = 3.0  # of the camera above the floor, in objects: it never looks through them

# Objects of one scene differ by up to this much in size, at full strength.
_SCALE_SPREAD = 0.32

# At strength 0: a plain light grey floor under one soft lamp.
_FLOOR_RGB = (203, 200, 196)
# The lamp's radius is in radians, its share is that of all light.
_LAMP_ELEVATION_DEG, _LAMP_RADIUS, _LAMP_SHARE = 62.0, 0.35, 0.4

_Rgb = tuple[int, int, int]
_IVORY, _WHITE, _BLACK = (232, 226, 204), (236, 236, 238), (26, 25, 28)
_RED, _GOLD, _YELLOW, _GREEN, _BLUE = (
    (200, 28, 34),
    (200, 150, 50),
    (244, 226, 40),
    (0, 140, 66),
    (28, 44, 160),
)
# Dice as they are sold: body, pips, and a colour swirled through the body or the body's colour.
_PAINTS: tuple[tuple[_Rgb, _Rgb, _Rgb], ...] = (
    (_IVORY, _BLACK, _IVORY), (_WHITE, _BLACK, _WHITE), (_WHITE, _BLACK, _WHITE),
    (_WHITE, _RED, _WHITE), (_BLACK, _WHITE, _BLACK), (_BLACK, _WHITE, _BLACK),
    ((52, 44, 46), _RED, _BLACK), (_BLACK, _RED, (52, 44, 46)), (_BLACK, _YELLOW, _BLACK),
    (_RED, _WHITE, _RED), (_RED, _WHITE, (225, 60, 40)), (_RED, _GOLD, _RED),
    (_YELLOW, _BLACK, (250, 140, 30)), (_YELLOW, _BLACK, _YELLOW),
    ((250, 150, 30), _BLACK, _YELLOW), (_GREEN, _WHITE, _GREEN),
    ((16, 120, 90), _YELLOW, (10, 60, 80)), (_BLUE, _WHITE, _BLUE),
    ((34, 40, 80), _WHITE, (34, 40, 80)), ((20, 100, 170), _RED, (20, 20, 30)),
    ((40, 150, 200), _BLACK, _BLUE), ((60, 26, 70), _WHITE, (24, 18, 34)),
    ((128, 20, 140), _WHITE, (128, 20, 140)), ((130, 24, 44), _WHITE, (170, 90, 120)),
    ((150, 105, 50), _BLACK, (95, 62, 30)), ((225, 130, 160), _BLACK, (240, 190, 205)),
    ((110, 114, 122), _WHITE, (110, 114, 122)), ((140, 200, 190), _BLACK, _WHITE),
)  # fmt: skip


def draw_shapes(strength: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rounding, pip_radius and pip_offset (n,) of dice, in edges. 0: all alike; 1: as those of all
    makers.
    """
    roundings = 0.145 + strength * rng.uniform(-0.075, 0.075, n)
    radii = 0.1025 + strength * rng.uniform(-0.0225, 0.0225, n)
    offsets = 0.245 + strength * rng.uniform(-0.035, 0.035, n)
    # Pips stay on the flat of their face, or nearly.
    greatest = 0.5 - radii - 0.6 * roundings
    return {
        "rounding": roundings,
        "pip_radius": radii,
        "pip_offset": np.minimum(offsets, greatest),
    }


def draw_count(parameters: SceneParameters, rng: np.random.Generator) -> int:
    """The number of objects in a scene of a tray, in which every number is as likely as any other.

    Strength 0: `objects` in all scenes; 1: from one to twice as many.
    """
    spread = parameters.objects_spread
    least = max(1, round(parameters.objects * (1 - spread)))
    most = min(MOST_OBJECTS, round(parameters.objects * (1 + spread)))
    return int(rng.integers(least, most, endpoint=True))


def draw_size_factors(parameters: SceneParameters, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) factors by which the objects of a scene are larger than the scene's own size."""
    return 1 + _size_spread(parameters) * rng.uniform(-1, 1, n)


def _size_spread(parameters: SceneParameters) -> float:
    """The share by which sizes within a scene differ at most, as far as size_px leaves room."""
    least, greatest = parameters.size_px
    room = 0.55 * (greatest - least) / (greatest + least)
    return min(_SCALE_SPREAD * parameters.object_scale, room) if room > 0 else 0.0


def draw_paint(strength: float, rng: np.random.Generator) -> dict[str, Any]:
    """Colours of one die, as fields of `Die`.

    0: ivory, black pips. To 0.5: more and more of those sold; to 1: more and more of any two
    colours.
    """
    choice, sold, invented, hue, value, swirl, *vivid = rng.random(12).tolist()
    body, pips, second = _PAINTS[int(choice * len(_PAINTS))]
    if sold >= 2 * strength:
        body, pips, second = _PAINTS[0]
    if invented < 2 * strength - 1:
        body, second = _vivid(*vivid[:3]), _vivid(*vivid[3:])
        pips = _contrasting(body, pips)
    shift, scale = strength * (hue - 0.5) * 0.12, 1 + strength * (value - 0.5) * 0.5
    phase = vector(rng.uniform(0, 2 * np.pi, 3))
    is_swirled = second != body
    return {
        "color": _vary(body, shift, scale),
        "pip_color": _linear(pips),
        "swirl_color": _vary(second, shift, scale),
        "swirl": swirl if is_swirled else 0.0,
        "swirl_phase": phase if is_swirled else (0.0, 0.0, 0.0),
    }


def _vivid(hue: float, saturation: float, value: float) -> _Rgb:
    """Any colour that is not too pale and not too dark; arguments 0 to 1."""
    return _rgb(colorsys.hsv_to_rgb(hue, 0.3 + 0.7 * saturation, 0.15 + 0.85 * value))


def _contrasting(body: _Rgb, pips: _Rgb) -> _Rgb:
    """The pips' colour, or black or white if it would hardly show on the body."""
    if abs(sum(body) - sum(pips)) > 240:
        return pips
    return _BLACK if sum(body) > 384 else _WHITE


def draw_tint(strength: float, rng: np.random.Generator) -> Color:
    """Factors on the colours of an object that is no die. 0: its own colours; 1: another hue, half
    as bright.
    """
    r, g, b = (1 - strength * 0.5 * rng.random(3)).tolist()
    return r, g, b


def draw_color(rng: np.random.Generator) -> Color:
    return _linear(_vivid(*rng.random(3)))


def _tray_half_m(parameters: SceneParameters, library: Library) -> float:
    """Half the inner side of the tray, metres: it fills most of the image, however small the
    objects are in it.
    """
    mean_px = float(np.mean(parameters.size_px)) / library.seen_per_unit
    seen_units = max(parameters.size_wh) / mean_px
    return library.unit_m * max(_TRAY_HALF, _TRAY_SHARE / 2 * seen_units)


def draw_ground(parameters: SceneParameters, library: Library, rng: np.random.Generator) -> Ground:
    """A floor, its tray and the table.

    Colour 0: a grey floor in a low tray of the same colour; 1: any colour, walls high or none.
    Texture 0: plain. An image of a board makes the floor a board of its size, without walls.
    """
    strength = parameters.floor_color
    floor, wall, table = _draw_ground_colors(strength, rng)
    darkness, height, walls, contrast, scale, image = rng.random(6).tolist()
    is_open = walls < 0.6 * strength
    # Many trays are dark outside: the wall is sometimes mixed towards black.
    wall = wall * (1 - 0.9 * strength * (darkness > 0.5))
    wall_height = float(library.unit_m * (0.8 + strength * (1.4 * height - 0.4)))
    amount = float(parameters.floor_texture * 0.25 * contrast**2)
    texture, seed = TEXTURES[rng.integers(len(TEXTURES))], int(rng.integers(2**31))
    if library.backgrounds and parameters.floor_texture > 0:
        texture = library.backgrounds[int(image * len(library.backgrounds))]
        amount = parameters.floor_texture
    is_textured = amount > 0
    enlarged = 3 ** (2 * scale - 1) if is_textured else 1
    # a wall, darker or brighter than the floor, or a sky
    away, light = np.array(_linear(_vivid(*rng.random(3)))), 2.0 ** rng.uniform(-2, 1)
    share = strength * rng.random()
    horizon = (1 - share) * np.array(_linear(_FLOOR_RGB)) + share * light * away
    half_m = _tray_half_m(parameters, library)
    ground = Ground(
        half_width=half_m,
        half_depth=half_m,
        wall_height=0.0 if is_open else wall_height,
        wall_thickness=0.1875 * library.unit_m,
        floor_color=vector(floor),
        wall_color=vector(wall),
        table_color=vector(floor if is_open else table),
        horizon=vector(horizon),
        texture=texture if is_textured else "plain",
        texture_scale=float(5 * library.unit_m * enlarged),
        texture_contrast=amount,
        texture_seed=seed if is_textured else 0,
    )
    # Layers have no floor: objects hang before the camera, at distances that make their sizes.
    has_floor = parameters.arrangement == "tray"
    if has_floor and texture in library.boards:
        return _with_board(ground, library.boards[texture], vector(table))
    return ground


def _with_board(ground: Ground, size_m: tuple[float, float], table_color: Color) -> Ground:
    """The ground with a board of this width and depth as its floor, around which lies the table."""
    width_m, depth_m = size_m
    return replace(
        ground,
        half_width=width_m / 2,
        half_depth=depth_m / 2,
        wall_height=0.0,
        table_color=table_color,
        texture_scale=0.0,
    )


def _draw_ground_colors(strength: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Linear colours (3,) of floor, wall and table."""
    base = np.array(_linear(_FLOOR_RGB))
    grey, share = rng.uniform(-1, 1, 3), rng.random(3) ** 2
    others = [np.array(_linear(_vivid(*rng.random(3)))) for _ in range(3)]
    colors = []
    for i, other in enumerate(others):
        brightened = (1 - strength * share[i]) * base * (1 + 0.3 * strength * grey[i])
        colors.append(brightened + strength * share[i] * other)
    return colors


def draw_light(
    parameters: SceneParameters,
    ground: Ground,
    directions: np.random.Generator,
    colors: np.random.Generator,
    intensities: np.random.Generator,
) -> Light:
    """Lamps and a sky.

    Direction 0: one lamp, from one side; 1: high or low, hard or soft, near or far. Colour 0:
    white. Further lamps stand elsewhere round the scene. All lamps share what one lamp alone would
    give.
    """
    strength = parameters.light_direction
    up, around, soft, *slope = directions.uniform(-1, 1, 5)
    tints = 1 + parameters.light_color * colors.uniform(-0.3, 0.3, (2, 3))
    varied = 0.4 * parameters.light_intensity * intensities.uniform(-1, 1)
    share = np.clip(_LAMP_SHARE + varied, 0.1, 0.9)
    count = int(directions.integers(1, parameters.lamps + 1))
    lamps = [_lamp(strength, (up, around, soft), tints[0])]
    for k in range(1, count):
        tint = 1 + parameters.light_color * colors.uniform(-0.3, 0.3, 3)
        place = tuple(directions.uniform(-1, 1, 3))
        lamps.append(_lamp(strength, place, tint, turned=2 * np.pi * k / count))
    # One lamp is the brightest, as a window or a ceiling lamp is.
    parts = share * np.array([2.0, *[1.0] * (count - 1)]) / (count + 1)
    for k, part in enumerate(parts):
        lamps[k] = replace(lamps[k], color=vector(part * np.array(lamps[k].color)))
    # Across the tray, light changes by up to a fifth either way.
    per_metre = 0.19 * strength / max(ground.half_size)
    return Light(
        lamps=tuple(lamps),
        sky_color=vector((1 - share) * tints[1]),
        slope=vector(per_metre * np.array([*slope, 0]))[:2],
    )


def draw_camera(
    parameters: SceneParameters, library: Library, ground: Ground, rng: np.random.Generator
) -> Camera:
    """A camera that looks down at the floor from a distance at which an object is as wide as
    `size_px` asks, before any zoom beyond it.
    """
    if parameters.arrangement == "layers":
        return _draw_camera_above(parameters, library, rng)
    least, greatest = parameters.size_px
    spread = _size_spread(parameters)
    # The sizes of objects vary around the scene's size, which stays that far from the bounds, or
    # midway.
    low, high = least * (1 + spread), greatest * (1 - spread)
    unit_px = rng.uniform(low, max(low, high)) / library.seen_per_unit
    distance = library.unit_m * _DISTANCE * 2 ** (parameters.camera_height * rng.uniform(-1, 1))
    # Squares are drawn evenly: as many cameras stand over each part of the disc of directions.
    squares = parameters.least_tilt_deg**2, parameters.camera_tilt_deg**2
    tilt = np.radians(np.sqrt(rng.uniform(*squares)))
    distance = max(distance, library.unit_m * _LEAST_HEIGHT / np.cos(tilt))
    heading, roll = rng.uniform(0, 2 * np.pi, 2)
    zoom = _MOST_ZOOM ** (parameters.focal_length * rng.uniform(-1, 1))
    is_level = parameters.least_tilt_deg > 0 or np.degrees(tilt) > _LEVEL_FROM_DEG
    rows = _camera_axes(float(tilt), float(heading), float(roll), is_level=bool(is_level))
    forward = rows[2]
    on_floor = rng.uniform(-0.4, 0.4, 2) * ground.half_size
    target = np.array([*on_floor, library.unit_m / 2])
    return Camera(
        position=vector(target - forward * distance),
        rotation=matrix(rows),
        focal_px=float(zoom * unit_px / library.unit_m * distance),
        size_wh=parameters.size_wh,
        focus_m=float(distance),
    )


def most_px(parameters: SceneParameters, library: Library, asset: Asset) -> float:
    """The pixels that an asset's longest side spans at most in scenes, or nearly: see `draw_camera`
    and `populate`.
    """
    zoom = _MOST_ZOOM**parameters.focal_length
    widest = parameters.size_px[1] * zoom
    is_surrounding = asset.label == NO_CLASS
    if is_surrounding:
        widest *= parameters.background_scale[1]
    if parameters.arrangement == "layers":
        # what is seen from its end is half as wide as it is long
        return 2 * max(widest, parameters.size_px[1] * zoom)
    relative = 1.0 if is_surrounding else asset.length_m / library.unit_m
    return widest * relative * _most_enlarged(parameters)


def _most_enlarged(parameters: SceneParameters) -> float:
    """The factor by which a camera sees the upper end of an object at the image's border larger
    than one in its focus.
    """
    enlarged = [1.0]
    for tilt in np.radians([parameters.least_tilt_deg, parameters.camera_tilt_deg]):
        cos, sin = np.cos(tilt), np.sin(tilt)
        # all in objects' sizes, from the height of the focus, half an object
        distance = max(_DISTANCE * 2**-parameters.camera_height, _LEAST_HEIGHT / cos)
        off_axis = np.hypot(*parameters.size_wh) / 2 / (parameters.size_px[1] * distance)
        enlarged.append(distance * (cos + sin * off_axis) / (distance * cos - 0.5))
    return float(max(enlarged))


def _camera_axes(tilt: float, heading: float, roll: float, *, is_level: bool) -> np.ndarray:
    """(3, 3) rows right, down and forward of a camera tilted off the vertical; angles in radians.

    roll, 0 to 2 pi, turns it about the forward axis, by a few degrees only if it is held level.
    """
    x, y = np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading)
    forward = np.array([x, y, -np.cos(tilt)])
    if is_level:
        off_level = np.radians(_ROLL_DEG) * (roll / np.pi - 1)
        level = np.cross(forward, [0.0, 0.0, 1.0])
        level /= np.linalg.norm(level)
        right = level * np.cos(off_level) + np.cross(forward, level) * np.sin(off_level)
    else:
        right = np.cross(forward, [np.cos(roll), np.sin(roll), 0.0])
        right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def _draw_camera_above(
    parameters: SceneParameters, library: Library, rng: np.random.Generator
) -> Camera:
    """A camera that looks straight down from a height at which all layers have room above the
    ground.
    """
    distance = _DISTANCE * 2 ** (parameters.camera_height * rng.uniform(-1, 1))
    zoom = _MOST_ZOOM ** (parameters.focal_length * rng.uniform(-1, 1))
    mean = float(np.mean(parameters.size_px))
    # As far as the smallest object, and the clutter behind it.
    deepest = distance * mean / parameters.size_px[0] + 4 * (1 + parameters.background_scale[1])
    return Camera(
        position=(0.0, 0.0, deepest * library.unit_m),
        rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
        focal_px=float(zoom * mean / library.seen_per_unit * distance),
        size_wh=parameters.size_wh,
        focus_m=distance * library.unit_m,
    )


def draw_sensor(
    parameters: SceneParameters,
    exposure: np.random.Generator,
    blur: np.random.Generator,
    noise: np.random.Generator,
    jpeg: np.random.Generator,
) -> Sensor:
    """Exposure, white balance, blur, noise and JPEG. The first two differ from image to image, as
    those of automatic cameras do.
    """
    noise_sigma = float(parameters.noise * noise.random() * MOST_NOISE)
    stops = parameters.brightness + parameters.exposure * exposure.uniform(-1, 1)
    gains = 1.25 ** (parameters.white_balance * exposure.uniform(-1, 1, 2))
    red, blue = (gains * parameters.color_cast).tolist()
    most_loss = (MOST_QUALITY - LEAST_QUALITY) * parameters.jpeg
    quality = round(MOST_QUALITY - most_loss * jpeg.random())
    return Sensor(
        exposure=float(2**stops),
        white_balance=(red, 1.0, blue),
        contrast=parameters.contrast,
        blur_sigma_px=float(parameters.blur * blur.random() * MOST_BLUR_PX),
        noise_sigma=noise_sigma,
        jpeg_quality=quality if parameters.jpeg > 0 else 0,
        seed=int(noise.integers(2**31)) if noise_sigma > 0 else 0,
    )


def draw_label_style(parameters: SceneParameters, seed: int) -> LabelStyle:
    return LabelStyle(
        padding=parameters.box_padding,
        padding_spread=parameters.box_padding_spread,
        jitter=parameters.box_jitter,
        square=parameters.box_square,
        least_visibility=parameters.least_visibility,
        seed=seed,
    )


def _lamp(
    strength: float, place: tuple[float, ...], color: np.ndarray, turned: float = 0.0
) -> Lamp:
    """A lamp from numbers of -1 to 1: its height, its place round the scene, its softness."""
    up, around, soft = place
    elevation = np.radians(np.clip(_LAMP_ELEVATION_DEG + 32 * strength * up, 22, 88))
    azimuth = np.pi * (0.25 + strength * around) + turned
    flat = np.cos(elevation)
    direction = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    return Lamp(
        direction=vector(direction),
        radius=float(_LAMP_RADIUS * 3.5 ** (strength * soft)),
        color=vector(color),
    )


def _rgb(values: tuple[float, float, float]) -> _Rgb:
    r, g, b = (round(255 * v) for v in values)
    return r, g, b


def _vary(rgb: _Rgb, hue_shift: float, value_scale: float) -> Color:
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in rgb))
    shifted, scaled = (hue + hue_shift) % 1, min(1.0, value * value_scale)
    return _linear(_rgb(colorsys.hsv_to_rgb(shifted, saturation, scaled)))


def _linear(rgb: _Rgb) -> Color:
    """Linear light of an sRGB colour, by the power that `sensor` undoes."""
    r, g, b = ((c / 255) ** DISPLAY_POWER for c in rgb)
    return r, g, b
