"""Materials: the colour of each point of a scene, before any light falls on it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.data.images import picture
from syndet_ray.scenes.detail import light_meshes
from syndet_ray.scenes.dice import pip_coverage
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.paint import LINEAR, mesh_colors
from syndet_ray.scenes.scene import Body, Die, Ground

# Targets that a ray can meet besides a body, whose index is 0 or more. HORIZON is all that lies
# beyond the table.
HORIZON, TABLE, FLOOR, WALL = -4, -3, -2, -1
# Octaves of noise, in cells across a texture, by its name.
_OCTAVES = {"plain": (8,), "speckle": (8, 128), "cloth": (8, 128), "wood": (8, 64)}
_TEXTURE_PX = 256  # a power of two, as `Materials.ground` and `_enlarge` need
# Stands for a body that is no die, so that every array has a column for every body.
_NO_DIE = Die(
    rounding=0.1,
    pip_radius=0.1,
    pip_offset=0.25,
    color=(0.0,) * 3,
    pip_color=(0.0,) * 3,
    swirl_color=(0.0,) * 3,
    swirl=0.0,
    swirl_phase=(0.0,) * 3,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Surface:
    """The points at which m rays met bodies.

    rays (m,) their indices among all rays; local (3, m) the points in the frame of a body of scale
    1; face (m,) the row of `dice.FACE_AXES` that the body's surface faces most in that frame;
    triangles (m,) of the body's mesh, and weights (2, m) of their second and third corner there.
    """

    rays: np.ndarray
    local: np.ndarray
    face: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray


class Materials:
    """The materials of a scene as arrays, one column per body.

    Points and colours are (3, n), as in `raycast`.
    """

    def __init__(self, bodies: tuple[Body, ...], ground: Ground, library: Library) -> None:
        dice = [body.die or _NO_DIE for body in bodies]
        self._ground, self._texture = ground, _texture(ground)
        self._ground_colors = _columns(
            [ground.horizon, ground.table_color, ground.floor_color, ground.wall_color]
        )
        self._colors = _columns([die.color for die in dice])
        self._pip_colors = _columns([die.pip_color for die in dice])
        self._swirl_colors = _columns([die.swirl_color for die in dice])
        self._swirls = _columns([die.swirl for die in dice])
        self._phases = _columns([die.swirl_phase for die in dice])
        self._radii = _columns([die.pip_radius for die in dice])
        self._offsets = _columns([die.pip_offset for die in dice])
        self._scales = _columns([body.scale for body in bodies])
        self.roundings = _columns([die.rounding for die in dice])
        self.gloss = _columns([body.gloss for body in bodies])
        self._is_die = np.array([body.die is not None for body in bodies], bool)
        self._tints = _columns([body.tint for body in bodies])
        self._turns_hue = np.array([body.hue_turn != 0 for body in bodies], bool)
        hue_turns = [_hue_matrix(body.hue_turn) if body.hue_turn else np.eye(3) for body in bodies]
        self._hue_turns = np.array(hue_turns, np.float32).reshape(-1, 3, 3).transpose(1, 2, 0)
        self._meshes, self._mesh_of = light_meshes(bodies, library)

    def ground(self, targets: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(3, n) colours at points (3, n) of the targets (n,): HORIZON, TABLE, FLOOR or WALL.

        The floor of a board is plain: its picture is of `boards`.
        """
        colors = self._ground_colors.take(targets - HORIZON, axis=1)
        if self._ground.is_board:
            return colors
        is_level = (targets == TABLE) | (targets == FLOOR)
        side = self._texture.shape[0]
        per_metre = np.float32(side / self._ground.texture_scale)
        x, y = (points[:2] * per_metre).astype(np.int32) & (side - 1)
        texel = y * side + x
        if self._texture.ndim == 2:
            pattern = self._texture.take(texel)
            pattern[~is_level] = 1
            return colors * pattern
        share = np.float32(self._ground.texture_contrast) * is_level
        image = self._texture.reshape(-1, 3).take(texel, axis=0).T
        return colors + (image - colors) * share

    def bodies(self, bodies: np.ndarray, surface: Surface, pixel_m: float) -> np.ndarray:
        """(3, m) colours at points on bodies (m,); pixel_m is a pixel's width there, metres."""
        if not len(bodies):  # no body is in view
            return np.empty((3, 0), np.float32)
        if self._is_die.all():
            return self._on_dice(bodies, surface.local, surface.face, pixel_m)
        colors = np.empty((3, len(bodies)), np.float32)
        is_on_die = self._is_die.take(bodies)
        dice, others = np.flatnonzero(is_on_die), np.flatnonzero(~is_on_die)
        if len(dice):
            local, face = surface.local.take(dice, axis=1), surface.face.take(dice)
            colors[:, dice] = self._on_dice(bodies.take(dice), local, face, pixel_m)
        triangles, weights = surface.triangles.take(others), surface.weights.take(others, axis=1)
        colors[:, others] = self._on_meshes(bodies.take(others), triangles, weights)
        return colors

    def _on_meshes(
        self, bodies: np.ndarray, triangles: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """(3, n) colours at points of triangles (n,) of the meshes of bodies (n,), whose second and
        third corner have weights (2, n) there.
        """
        meshes = self._mesh_of.take(bodies)
        by_mesh = np.argsort(meshes, kind="stable")
        ends = np.searchsorted(meshes.take(by_mesh), np.arange(len(self._meshes)), side="right")
        colors = np.empty((3, len(bodies)), np.float32)
        for mesh, points in zip(self._meshes, np.split(by_mesh, ends[:-1]), strict=True):
            if len(points):
                on_mesh = triangles.take(points), weights.take(points, axis=1)
                colors[:, points] = mesh_colors(mesh, *on_mesh)
        colors *= self._tints.take(bodies, axis=1)
        turned = np.flatnonzero(self._turns_hue.take(bodies))
        turns = self._hue_turns.take(bodies.take(turned), axis=2)
        colors[:, turned] = np.clip((turns * colors.take(turned, axis=1)).sum(axis=1), 0, 1)
        return colors

    def _on_dice(
        self, bodies: np.ndarray, local: np.ndarray, face: np.ndarray, pixel_m: float
    ) -> np.ndarray:
        """(3, n) colours at points (3, n) in the frames of dice (n,) of edge 1; face as in
        `pip_coverage`.
        """
        colors = self._colors.take(bodies, axis=1)
        swirled = np.flatnonzero(self._swirls.take(bodies))
        share = self._swirl(bodies.take(swirled), local.take(swirled, axis=1))
        swirl_colors = self._swirl_colors.take(bodies.take(swirled), axis=1)
        _mix(colors, swirled, swirl_colors, share)
        soft = pixel_m / float(self._scales[self._is_die].mean())
        radii, offsets = self._radii.take(bodies), self._offsets.take(bodies)
        painted = pip_coverage(local, face, radii, offsets, soft)
        pips = np.flatnonzero(painted)
        pip_colors = self._pip_colors.take(bodies.take(pips), axis=1)
        _mix(colors, pips, pip_colors, painted.take(pips))
        return colors

    def _swirl(self, bodies: np.ndarray, local: np.ndarray) -> np.ndarray:
        """(n,) share of the swirled colour: bands through the body, bent by other bands."""
        x, y, z = local
        phase = self._phases.take(bodies, axis=1)
        bent = x * 4 + np.sin(y * 7 + phase[1]) + 1.5 * np.sin(z * 5 + phase[2])
        bands = np.clip(0.5 + np.sin(bent + phase[0]) * 1.2, 0, 1)
        return bands * np.minimum(1, 0.4 + self._swirls.take(bodies))


def tint_colors(colors: np.ndarray, body: Body) -> np.ndarray:
    """(3, n) linear colours with the body's tint and then its turn of hue."""
    colors = colors * np.array(body.tint, np.float32)[:, None]
    if body.hue_turn:
        colors = np.clip(_hue_matrix(body.hue_turn).astype(np.float32) @ colors, 0, 1)
    return colors


def _hue_matrix(hue_turn: float) -> np.ndarray:
    """(3, 3) the matrix that turns the hue of a linear colour, by a share of the whole circle.

    It turns about the grey axis, which keeps the mean of the three channels (Haeberli, 1993).
    """
    angle = 2 * np.pi * hue_turn
    cos, sin = np.cos(angle), np.sin(angle)
    grey_axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # cross product with it
    across = (1 - cos) / 3 * np.ones((3, 3)) + cos * np.eye(3)
    return across + sin / np.sqrt(3) * grey_axis


def _mix(colors: np.ndarray, at: np.ndarray, others: np.ndarray, share: np.ndarray) -> None:
    """Moves the colours (3, n) `at` (m,) towards others (3, m) by share (m,), in place."""
    before = colors.take(at, axis=1)
    colors[:, at] = before + (others - before) * share


def _columns(values: list) -> np.ndarray:
    """(n,) of n numbers, (3, n) of n vectors."""
    return np.ascontiguousarray(np.array(values, np.float32).T)


def _texture(ground: Ground) -> np.ndarray:
    """The ground's texture, seamless: brightness factors (side, side) around 1, or linear colours
    (side, side, 3).
    """
    if ground.is_board:
        return np.ones((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    if ground.texture not in _OCTAVES:
        return _image_texture(ground.texture)
    if ground.texture_contrast == 0:
        return np.ones((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    rng = seeds.generator(ground.texture_seed, "texture")
    noise = np.zeros((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    for cells in _OCTAVES[ground.texture]:
        # A grain, for wood: cells are longer one way than the other.
        columns = 4 if ground.texture == "wood" else cells
        noise += _enlarge(rng.standard_normal((cells, columns), np.float32))
    factors = 1 + ground.texture_contrast * noise / float(noise.std())
    return np.clip(factors, 0.25, 1.75).astype(np.float32)


@lru_cache(maxsize=64)
def _image_texture(path: str) -> np.ndarray:
    """An image file as linear colours (side, side, 3), mirrored both ways so that it repeats
    without a seam.
    """
    rgb = picture.pixels(Path(path), path)
    half = cv2.resize(rgb, (_TEXTURE_PX, _TEXTURE_PX), interpolation=cv2.INTER_AREA)
    across = np.concatenate([half, half[:, ::-1]], axis=1)
    return LINEAR.take(np.concatenate([across, across[::-1]]))


def _enlarge(cells: np.ndarray) -> np.ndarray:
    """A periodic texture from random cells: they are repeated at the borders before they are
    interpolated.
    """
    height, width = cells.shape
    padded = np.pad(cells, 2, mode="wrap")
    step_y, step_x = _TEXTURE_PX // height, _TEXTURE_PX // width
    # Cells divide the texture: `_OCTAVES` are powers of two.
    size = padded.shape[1] * step_x, padded.shape[0] * step_y
    large = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
    return large[2 * step_y : -2 * step_y, 2 * step_x : -2 * step_x]
