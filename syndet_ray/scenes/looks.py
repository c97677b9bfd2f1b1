"""Looks: how each property of a scene is drawn at random: dice, ground, light, camera and sensor.

Every sampler takes its own generator and its own strength. It draws the same numbers at any strength, so that strength
0 is exactly the look's base and a greater one moves the same scene further from it.
"""

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.scene import Camera, Color, Die, Ground, Light, Sensor, Vector, matrix, vector

TEXTURES = ("plain", "speckle", "cloth", "wood")

EDGE_M = 0.016  # an ordinary die
TRAY_HALF_M = 0.064  # half the inner side of the tray, whatever it holds
# The box around a die that lies at any yaw and is seen from nearly above is on average this much wider than its edge.
_BOX_PER_EDGE = 1.3
# Dice of one scene differ by up to this much in size, as those of several makers do.
_EDGE_SPREAD = 0.16


@dataclass(frozen=True)
class Look:
    """The base from which strengths move away.

    floor_rgb are sRGB, 0 to 255, one of which is drawn; radius is the lamp's angular radius in radians, elevation_deg
    its height over the horizon, lamp_share its share of all light, light_tint factors on linear light. blur_sigma_px
    and noise_sigma are what the sensor always does.
    """

    floor_rgb: tuple[tuple[int, int, int], ...] = ((203, 200, 196),)
    textures: tuple[str, ...] = TEXTURES
    texture_contrast: float = 0.0
    elevation_deg: float = 62.0
    radius: float = 0.35
    lamp_share: float = 0.4
    light_tint: Vector = (1.0, 1.0, 1.0)
    blur_sigma_px: float = 0.0
    noise_sigma: float = 0.0


DEFAULT_LOOK = Look()
# What the defaults do not contain: dark felt, wood and stone under one low, warm lamp, taken with a poor camera.
STAND_IN_LOOK = Look(
    floor_rgb=((38, 92, 60), (120, 82, 52), (70, 74, 84), (128, 40, 46), (176, 150, 112)),
    textures=("cloth", "wood"),
    texture_contrast=0.1,
    elevation_deg=38.0,
    radius=0.12,
    lamp_share=0.7,
    light_tint=(1.12, 1.0, 0.8),
    blur_sigma_px=0.8,
    noise_sigma=0.02,
)

_Rgb = tuple[int, int, int]
_IVORY, _WHITE, _BLACK = (232, 226, 204), (236, 236, 238), (26, 25, 28)
_RED, _GOLD, _YELLOW, _GREEN, _BLUE = (200, 28, 34), (200, 150, 50), (244, 226, 40), (0, 140, 66), (28, 44, 160)
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


def draw_dice(
    parameters: SceneParameters, shapes: np.random.Generator, poses: np.random.Generator, colors: np.random.Generator
) -> tuple[Die, ...]:
    """As many dice as asked, dropped into the tray. Where size_px leaves no room, all are of one size."""
    n = parameters.objects
    least, greatest = parameters.size_px
    edges = EDGE_M * (1 + _spread(least, greatest) * shapes.uniform(-1, 1, n))
    roundings, radii = shapes.uniform(0.07, 0.22, n), shapes.uniform(0.08, 0.125, n)
    offsets, gloss = shapes.uniform(0.21, 0.28, n), shapes.uniform(0, 1, n)
    pile = drop(edges, roundings, (TRAY_HALF_M, TRAY_HALF_M), poses)
    turns = pile.rotations @ _ROLLS[poses.integers(len(_ROLLS), size=n)]
    return tuple(
        Die(
            position=vector(pile.centres[i]),
            rotation=matrix(turns[i]),
            edge=float(edges[i]),
            rounding=float(roundings[i]),
            pip_radius=float(radii[i]),
            # Pips stay on the flat of their face, or nearly.
            pip_offset=float(min(offsets[i], 0.5 - radii[i] - 0.6 * roundings[i])),
            gloss=float(gloss[i]),
            **_paint(parameters.object_color, colors),
        )
        for i in range(n)
    )


def _spread(least: float, greatest: float) -> float:
    return min(_EDGE_SPREAD, 0.55 * (greatest - least) / (greatest + least))


# Turns that bring each of the six faces up.
_ROLLS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    ],
    float,
)


def _paint(strength: float, rng: np.random.Generator) -> dict[str, Any]:
    """Colours of one die. 0: ivory, black pips. To 0.5: ever more of those sold; to 1: ever more of any two colours."""
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


def draw_ground(strength: float, look: Look, rng: np.random.Generator) -> Ground:
    """0: the look's floor, plain, in a low tray of the same. 1: any colour, strong patterns, walls high or none."""
    base = np.array(_linear(look.floor_rgb[rng.integers(len(look.floor_rgb))]))
    grey, share = rng.uniform(-1, 1, 3), rng.random(3) ** 2
    others = [np.array(_linear(_vivid(*rng.random(3)))) for _ in range(3)]
    dark, height, walls, contrast, scale = rng.random(5)
    floor, wall, table = (
        (1 - strength * share[i]) * base * (1 + 0.3 * strength * grey[i]) + strength * share[i] * others[i]
        for i in range(3)
    )
    open_floor = walls < 0.6 * strength
    spread = float(look.texture_contrast + strength * 0.25 * contrast**2)
    texture, seed = look.textures[rng.integers(len(look.textures))], int(rng.integers(2**31))
    # Many trays are dark outside: mix the wall towards black now and then.
    wall = wall * (1 - 0.9 * strength * (dark > 0.5))
    return Ground(
        half_width=TRAY_HALF_M,
        half_depth=TRAY_HALF_M,
        wall_height=0.0 if open_floor else float(EDGE_M * (0.8 + strength * (1.4 * height - 0.4))),
        wall_thickness=0.003,
        floor_color=vector(floor),
        wall_color=vector(wall),
        table_color=vector(floor if open_floor else table),
        texture=texture if spread > 0 else "plain",
        texture_scale=float(0.08 * 3 ** (2 * scale - 1)) if spread > 0 else 0.08,
        texture_contrast=spread,
        texture_seed=seed if spread > 0 else 0,
    )


def draw_light(
    parameters: SceneParameters, look: Look, where: np.random.Generator, color: np.random.Generator
) -> Light:
    """Direction 0: the look's lamp, from one side; 1: high or low, hard or soft, near or far. Colour 0: its tint."""
    s = parameters.light_direction
    up, around, soft, balance, *slope = where.uniform(-1, 1, 6)
    elevation = np.radians(np.clip(look.elevation_deg + 32 * s * up, 22, 88))
    azimuth = np.pi * (0.25 + s * around)
    share = np.clip(look.lamp_share + 0.4 * s * balance, 0.1, 0.9)
    tints = np.array(look.light_tint) * (1 + parameters.light_color * color.uniform(-0.3, 0.3, (2, 3)))
    flat = np.cos(elevation)
    return Light(
        direction=vector(np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])),
        radius=float(look.radius * 3.5 ** (s * soft)),
        color=vector(share * tints[0]),
        sky_color=vector((1 - share) * tints[1]),
        slope=(float(3 * s * slope[0]), float(3 * s * slope[1])),
    )


def draw_camera(parameters: SceneParameters, rng: np.random.Generator) -> Camera:
    """Looks down at the tray, up to 25 degrees off the vertical, from where a die is as wide as `size_px` asks."""
    least, greatest = parameters.size_px
    spread = _spread(least, greatest)
    # Each die's own size varies around the scene's: the scene's stays that far from the bounds, or midway.
    low, high = least * (1 + spread), greatest * (1 - spread)
    edge_px = rng.uniform(low, max(low, high)) / _BOX_PER_EDGE
    distance = EDGE_M * rng.uniform(16, 32)
    tilt, heading, roll = np.radians(25 * np.sqrt(rng.random())), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    forward = np.array([np.sin(tilt) * np.cos(heading), np.sin(tilt) * np.sin(heading), -np.cos(tilt)])
    right = np.cross(forward, [np.cos(roll), np.sin(roll), 0.0])
    right /= np.linalg.norm(right)
    rows = np.stack([right, np.cross(forward, right), forward])
    target = np.array([*rng.uniform(-0.4, 0.4, 2) * TRAY_HALF_M, EDGE_M / 2])
    focal = float(edge_px / EDGE_M * distance)
    return Camera(vector(target - forward * distance), matrix(rows), focal, parameters.image_px)


def draw_sensor(
    parameters: SceneParameters,
    look: Look,
    exposure: np.random.Generator,
    blur: np.random.Generator,
    noise: np.random.Generator,
) -> Sensor:
    """Exposure differs by a quarter of a stop from picture to picture, as automatic ones do, at any strength."""
    noise_sigma = float(look.noise_sigma + parameters.noise * noise.random() * 0.06)
    return Sensor(
        exposure=float(2 ** exposure.uniform(-0.25, 0.25)),
        blur_sigma_px=float(look.blur_sigma_px + parameters.blur * blur.random() * 1.5),
        noise_sigma=noise_sigma,
        seed=int(noise.integers(2**31)) if noise_sigma > 0 else 0,
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
