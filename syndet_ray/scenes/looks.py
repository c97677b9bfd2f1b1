"""Looks: how each property of a scene is drawn at random: paint, ground, light, camera, sensor and
labels.

Every sampler takes its own generator and its own strength. It draws the same numbers at any
strength, so that strength 0 is exactly the same in every scene and a greater one moves the same
scene further from it.
"""

import colorsys
from dataclasses import replace
from typing import Any

import numpy as np

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.scene import (
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

TEXTURES = ("plain", "speckle", "cloth", "wood")

# Objects of one scene differ by up to this much in size, at full strength.
_SCALE_SPREAD = 0.32


# Where every strength is 0: a plain light grey floor under one soft lamp.
_FLOOR_RGB = (203, 200, 196)
# radius in radians; its share of all light
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
# Dice as they are sold: body, pips, and a second colour swirled through the body or the body's own.
_PAINTS: tuple[tuple[_Rgb, _Rgb, _Rgb], ...] = (
    (_IVORY, _BLACK, _IVORY), (_WHITE, _BLACK, _WHITE), (_WHITE, _BLACK, _WHITE), (_WHITE, _RED, _WHITE),
    (_BLACK, _WHITE, _BLACK), (_BLACK, _WHITE, _BLACK), ((52, 44, 46), _RED, _BLACK), (_BLACK, _RED, (52, 44, 46)),
    (_BLACK, _YELLOW, _BLACK), (_RED, _WHITE, _RED), (_RED, _WHITE, (225, 60, 40)), (_RED, _GOLD, _RED),
    (_YELLOW, _BLACK, (250, 140, 30)), (_YELLOW, _BLACK, _YELLOW), ((250, 150, 30), _BLACK, _YELLOW),
    (_GREEN, _WHITE, _GREEN), ((16, 120, 90), _YELLOW, (10, 60, 80)), (_BLUE, _WHITE, _BLUE),
    ((34, 40, 80), _WHITE, (34, 40, 80)),
    ((20, 100, 170), _RED, (20, 20, 30)), ((40, 150, 200), _BLACK, _BLUE), ((60, 26, 70), _WHITE, (24, 18, 34)),
    ((128, 20, 140), _WHITE, (128, 20, 140)), ((130, 24, 44), _WHITE, (170, 90, 120)),
    ((150, 105, 50), _BLACK, (95, 62, 30)),
    ((225, 130, 160), _BLACK, (240, 190, 205)), ((110, 114, 122), _WHITE, (110, 114, 122)),
    ((140, 200, 190), _BLACK, _WHITE),
)  # fmt: skip


def draw_shapes(strength: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rounding, pip_radius and pip_offset (n,) of dice, in edges. 0: all alike; 1: as those of all
    makers.
    """
    roundings = 0.145 + strength * rng.uniform(-0.075, 0.075, n)
    radii = 0.1025 + strength * rng.uniform(-0.0225, 0.0225, n)
    offsets = 0.245 + strength * rng.uniform(-0.035, 0.035, n)
    # Pips stay on the flat of their face, or nearly.
    return {
        "rounding": roundings,
        "pip_radius": radii,
        "pip_offset": np.minimum(offsets, 0.5 - radii - 0.6 * roundings),
    }


def size_factors(parameters: SceneParameters, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) by which each object of a scene is larger than the scene's own size."""
    return 1 + spread(parameters) * rng.uniform(-1, 1, n)


def spread(parameters: SceneParameters) -> float:
    """By how much sizes within a scene differ at most: what size_px leaves to it."""
    least, greatest = parameters.size_px
    room = 0.55 * (greatest - least) / (greatest + least)
    return min(_SCALE_SPREAD * parameters.object_scale, room) if room > 0 else 0.0


def paint(strength: float, rng: np.random.Generator) -> dict[str, Any]:
    """Colours of one die, as fields of `Die`.

    0: ivory, black pips. To 0.5: ever more of those sold; to 1: ever more of any two
    colours.
    """
    which, sold, invented, hue, value, swirl, *vivid = rng.random(12).tolist()
    body, pips, second = _PAINTS[int(which * len(_PAINTS))]
    if sold >= 2 * strength:
        body, pips, second = _PAINTS[0]
    if invented < 2 * strength - 1:
        body, second = _vivid(*vivid[:3]), _vivid(*vivid[3:])
        pips = _contrasting(body, pips)
    shift, scale = strength * (hue - 0.5) * 0.12, 1 + strength * (value - 0.5) * 0.5
    phase = rng.uniform(0, 2 * np.pi, 3)
    swirled = second != body
    return {
        "color": _varied(body, shift, scale),
        "pip_color": _linear(pips),
        "swirl_color": _varied(second, shift, scale),
        "swirl": swirl if swirled else 0.0,
        "swirl_phase": vector(phase) if swirled else (0.0, 0.0, 0.0),
    }


def _vivid(hue: float, saturation: float, value: float) -> _Rgb:
    """Any colour that is not too pale and not too dark; arguments 0 to 1."""
    return _rgb(colorsys.hsv_to_rgb(hue, 0.3 + 0.7 * saturation, 0.15 + 0.85 * value))


def _contrasting(body: _Rgb, pips: _Rgb) -> _Rgb:
    """The pips' colour, or black or white where it would hardly show on the body."""
    if abs(sum(body) - sum(pips)) > 240:
        return pips
    return _BLACK if sum(body) > 384 else _WHITE


def tint(strength: float, rng: np.random.Generator) -> Color:
    """Factors on the colours of an object that is no die. 0: its own colours; 1: another hue, half
    as bright.
    """
    r, g, b = (1 - strength * 0.5 * rng.random(3)).tolist()
    return r, g, b


def any_color(rng: np.random.Generator) -> Color:
    return _linear(_vivid(*rng.random(3)))


def draw_ground(parameters: SceneParameters, library: Library, rng: np.random.Generator) -> Ground:
    """Colour 0: a grey floor in a low tray of the same; 1: any colour, walls high or none. Texture
    0: plain.
    """
    s = parameters.floor_color
    base = np.array(_linear(_FLOOR_RGB))
    grey, share = rng.uniform(-1, 1, 3), rng.random(3) ** 2
    others = [np.array(_linear(_vivid(*rng.random(3)))) for _ in range(3)]
    dark, height, walls, contrast, scale, image = rng.random(6)
    floor, wall, table = (
        (1 - s * share[i]) * base * (1 + 0.3 * s * grey[i]) + s * share[i] * others[i]
        for i in range(3)
    )
    open_floor = walls < 0.6 * s
    amount = float(parameters.floor_texture * 0.25 * contrast**2)
    texture, seed = TEXTURES[rng.integers(len(TEXTURES))], int(rng.integers(2**31))
    if library.backgrounds and parameters.floor_texture > 0:
        texture, amount = (
            library.backgrounds[int(image * len(library.backgrounds))],
            parameters.floor_texture,
        )
    # Many trays are dark outside: mix the wall towards black now and then.
    wall = wall * (1 - 0.9 * s * (dark > 0.5))
    return Ground(
        half_width=library.tray_half_m,
        half_depth=library.tray_half_m,
        wall_height=0.0 if open_floor else float(library.unit_m * (0.8 + s * (1.4 * height - 0.4))),
        wall_thickness=0.1875 * library.unit_m,
        floor_color=vector(floor),
        wall_color=vector(wall),
        table_color=vector(floor if open_floor else table),
        texture=texture if amount > 0 else "plain",
        texture_scale=float(5 * library.unit_m * (3 ** (2 * scale - 1) if amount > 0 else 1)),
        texture_contrast=amount,
        texture_seed=seed if amount > 0 else 0,
    )


def draw_light(
    parameters: SceneParameters,
    library: Library,
    where: np.random.Generator,
    color: np.random.Generator,
    intensity: np.random.Generator,
) -> Light:
    """Direction 0: one lamp, from one side; 1: high or low, hard or soft, near or far. Colour 0:
    white.

    Further lamps stand elsewhere round the scene, and all lamps share what the one alone would
    give.
    """
    s = parameters.light_direction
    up, around, soft, *slope = where.uniform(-1, 1, 5)
    tints = 1 + parameters.light_color * color.uniform(-0.3, 0.3, (2, 3))
    share = np.clip(
        _LAMP_SHARE + 0.4 * parameters.light_intensity * intensity.uniform(-1, 1), 0.1, 0.9
    )
    count = int(where.integers(1, parameters.lamps + 1))
    lamps = [_lamp(s, (up, around, soft), tints[0])]
    for k in range(1, count):
        tinted = 1 + parameters.light_color * color.uniform(-0.3, 0.3, 3)
        lamps.append(_lamp(s, tuple(where.uniform(-1, 1, 3)), tinted, turned=2 * np.pi * k / count))
    # One lamp is the brightest, as a window or a ceiling lamp is.
    parts = share * np.array([2.0, *[1.0] * (count - 1)]) / (count + 1)
    lamps = [
        replace(lamp, color=vector(part * np.array(lamp.color)))
        for lamp, part in zip(lamps, parts, strict=True)
    ]
    return Light(
        lamps=tuple(lamps),
        sky_color=vector((1 - share) * tints[1]),
        # Across the tray, light changes by up to a fifth either way.
        slope=vector(0.19 * s / library.tray_half_m * np.array([*slope, 0]))[:2],
    )


def draw_camera(parameters: SceneParameters, library: Library, rng: np.random.Generator) -> Camera:
    """Looks down at the tray from where an object is as wide as `size_px` asks, before any zoom
    beyond it.
    """
    if parameters.arrangement == "layers":
        return _above(parameters, library, rng)
    least, greatest = parameters.size_px
    within = spread(parameters)
    # Each object's own size varies around the scene's: the scene's stays that far from the bounds,
    # or midway.
    low, high = least * (1 + within), greatest * (1 - within)
    unit_px = rng.uniform(low, max(low, high)) / library.seen_per_unit
    distance = library.unit_m * 24 * 2 ** (parameters.camera_height * rng.uniform(-1, 1))
    tilt = np.radians(parameters.camera_tilt_deg * np.sqrt(rng.random()))
    heading, roll = rng.uniform(0, 2 * np.pi, 2)
    zoom = 1.25 ** (parameters.focal_length * rng.uniform(-1, 1))
    forward = np.array(
        [np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading), -np.cos(tilt)]
    )
    right = np.cross(forward, [np.cos(roll), np.sin(roll), 0.0])
    right /= np.linalg.norm(right)
    rows = np.stack([right, np.cross(forward, right), forward])
    target = np.array([*rng.uniform(-0.4, 0.4, 2) * library.tray_half_m, library.unit_m / 2])
    focal = float(zoom * unit_px / library.unit_m * distance)
    return Camera(
        position=vector(target - forward * distance),
        rotation=matrix(rows),
        focal_px=focal,
        size_px=parameters.side_px,
        focus_m=float(distance),
    )


def _above(parameters: SceneParameters, library: Library, rng: np.random.Generator) -> Camera:
    """Looks straight down from where all layers have room above the ground."""
    distance = 24 * 2 ** (parameters.camera_height * rng.uniform(-1, 1))
    zoom = 1.25 ** (parameters.focal_length * rng.uniform(-1, 1))
    mean = float(np.mean(parameters.size_px))
    # As far as the smallest object, and the clutter behind it.
    deepest = distance * mean / parameters.size_px[0] + 4 * (1 + parameters.background_scale[1])
    focal = float(zoom * mean / library.seen_per_unit * distance)
    position = 0.0, 0.0, deepest * library.unit_m
    rows = (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)
    return Camera(
        position=position,
        rotation=rows,
        focal_px=focal,
        size_px=parameters.side_px,
        focus_m=distance * library.unit_m,
    )


def draw_sensor(
    parameters: SceneParameters,
    exposure: np.random.Generator,
    blur: np.random.Generator,
    noise: np.random.Generator,
    jpeg: np.random.Generator,
) -> Sensor:
    """Exposure and white balance differ from picture to picture, as automatic ones do; blur, noise
    and JPEG.
    """
    noise_sigma = float(parameters.noise * noise.random() * 0.06)
    stops = parameters.exposure * exposure.uniform(-1, 1)
    red, blue = (1.25 ** (parameters.white_balance * exposure.uniform(-1, 1, 2))).tolist()
    return Sensor(
        exposure=float(2**stops),
        white_balance=(red, 1.0, blue),
        blur_sigma_px=float(parameters.blur * blur.random() * 1.5),
        noise_sigma=noise_sigma,
        jpeg_quality=round(98 - 68 * parameters.jpeg * jpeg.random()) if parameters.jpeg > 0 else 0,
        seed=int(noise.integers(2**31)) if noise_sigma > 0 else 0,
    )


def draw_label_style(parameters: SceneParameters, seed: int) -> LabelStyle:
    return LabelStyle(
        padding=parameters.box_padding,
        padding_spread=parameters.box_padding_spread,
        jitter=parameters.box_jitter,
        square=parameters.box_square,
        seed=seed,
    )


def _lamp(
    strength: float, drawn: tuple[float, ...], color: np.ndarray, turned: float = 0.0
) -> Lamp:
    """A lamp from numbers drawn in -1 to 1: how high, where round the scene, how soft."""
    up, around, soft = drawn
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


def _varied(rgb: _Rgb, hue_shift: float, value_scale: float) -> Color:
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in rgb))
    return _linear(_rgb(colorsys.hsv_to_rgb((h + hue_shift) % 1, s, min(1.0, v * value_scale))))


def _linear(rgb: _Rgb) -> Color:
    """Linear light of an sRGB colour, by the power that `sensor` undoes."""
    r, g, b = ((c / 255) ** 2.2 for c in rgb)
    return r, g, b
