"""Materials: what colour a point of a scene is, before any light falls on it."""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes.assets import pip_coverage
from syndet_ray.scenes.scene import Die, Ground

# What a ray can meet besides a die, whose index is 0 or more.
TABLE, FLOOR, WALL = -3, -2, -1
# Octaves of noise, in cells across a texture, by its name.
_OCTAVES = {"plain": (8,), "speckle": (8, 128), "cloth": (8, 128), "wood": (8, 64)}
_TEXTURE_PX = 256


class Materials:
    """The materials of a scene as arrays, one column per die. Points and colours are (3, n), as in `raycast`."""

    def __init__(self, dice: tuple[Die, ...], ground: Ground) -> None:
        self._ground, self._texture = ground, _texture(ground)
        self._ground_colors = _columns([ground.table_color, ground.floor_color, ground.wall_color])
        self._colors = _columns([die.color for die in dice])
        self._pip_colors = _columns([die.pip_color for die in dice])
        self._swirl_colors = _columns([die.swirl_color for die in dice])
        self._swirls = _columns([die.swirl for die in dice])
        self._phases = _columns([die.swirl_phase for die in dice])
        self._radii = _columns([die.pip_radius for die in dice])
        self._offsets = _columns([die.pip_offset for die in dice])
        self.roundings = _columns([die.rounding for die in dice])
        self.gloss = _columns([die.gloss for die in dice])

    def ground(self, what: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(3, n) colours at points (3, n) of the table, the floor or a wall, as `what` (n,) says."""
        per_metre = np.float32(_TEXTURE_PX / self._ground.texture_scale)
        x, y = (points[:2] * per_metre).astype(np.int32) & (_TEXTURE_PX - 1)
        pattern = self._texture.take(y * _TEXTURE_PX + x)
        pattern[what == WALL] = 1
        return self._ground_colors.take(what - TABLE, axis=1) * pattern

    def dice(self, which: np.ndarray, local: np.ndarray, face: np.ndarray, soft: float) -> np.ndarray:
        """(3, n) colours at points (3, n) in the frames of dice (n,) of edge 1; face and soft as in `pip_coverage`."""
        colors = self._colors.take(which, axis=1)
        swirled = np.flatnonzero(self._swirls.take(which))
        share = self._swirl(which.take(swirled), local.take(swirled, axis=1))
        _mix(colors, swirled, self._swirl_colors.take(which.take(swirled), axis=1), share)
        painted = pip_coverage(local, face, self._radii.take(which), self._offsets.take(which), soft)
        pips = np.flatnonzero(painted)
        _mix(colors, pips, self._pip_colors.take(which.take(pips), axis=1), painted.take(pips))
        return colors

    def _swirl(self, which: np.ndarray, local: np.ndarray) -> np.ndarray:
        """(n,) share of the swirled colour: bands through the body, bent by other bands."""
        phase = self._phases.take(which, axis=1)
        bent = local[0] * 4 + np.sin(local[1] * 7 + phase[1]) + 1.5 * np.sin(local[2] * 5 + phase[2])
        return np.clip(0.5 + np.sin(bent + phase[0]) * 1.2, 0, 1) * np.minimum(1, 0.4 + self._swirls.take(which))


def _mix(colors: np.ndarray, at: np.ndarray, others: np.ndarray, share: np.ndarray) -> None:
    """Moves the colours (3, n) `at` (m,) towards others (3, m) by share (m,), in place."""
    before = colors.take(at, axis=1)
    colors[:, at] = before + (others - before) * share


def _columns(values: list) -> np.ndarray:
    """(n,) of n numbers, (3, n) of n vectors."""
    return np.ascontiguousarray(np.array(values, np.float32).T)


def _texture(ground: Ground) -> np.ndarray:
    """(side, side) brightness factors around 1: octaves of noise, seamless, stretched to a grain for wood."""
    if ground.texture_contrast == 0:
        return np.ones((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    rng = seeds.generator(ground.texture_seed, "texture")
    found = np.zeros((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    for cells in _OCTAVES[ground.texture]:
        coarse = rng.standard_normal((cells, 4 if ground.texture == "wood" else cells), np.float32)
        found += _enlarged(coarse)
    return np.clip(1 + ground.texture_contrast * found / float(found.std()), 0.25, 1.75).astype(np.float32)


def _enlarged(cells: np.ndarray) -> np.ndarray:
    """A periodic texture from random cells: they are repeated at the borders before they are interpolated."""
    height, width = cells.shape
    padded = np.pad(cells, 2, mode="wrap")
    step_y, step_x = _TEXTURE_PX // height, _TEXTURE_PX // width
    # Cells divide the texture: `_OCTAVES` are powers of two.
    large = cv2.resize(padded, (padded.shape[1] * step_x, padded.shape[0] * step_y), interpolation=cv2.INTER_CUBIC)
    return large[2 * step_y : -2 * step_y, 2 * step_x : -2 * step_x]
