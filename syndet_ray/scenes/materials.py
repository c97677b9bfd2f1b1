"""Materials: what colour a point of a scene is, before any light falls on it."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes.dice import die_faces, pip_coverage
from syndet_ray.scenes.library import Library, Mesh
from syndet_ray.scenes.scene import Body, Die, Ground

# What a ray can meet besides a body, whose index is 0 or more.
TABLE, FLOOR, WALL = -3, -2, -1
# Octaves of noise, in cells across a texture, by its name.
_OCTAVES = {"plain": (8,), "speckle": (8, 128), "cloth": (8, 128), "wood": (8, 64)}
_TEXTURE_PX = 256
# Linear light of each sRGB byte, by the power that `sensor` undoes.
_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)
# Stands where a body is no die, so that every array has a column for every body.
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
    """Where m rays met bodies.

    rays (m,) which of all rays; local (3, m) where, in the frame of a body of scale 1; face (m,)
    the row of `dice.FACE_AXES` that the body's surface faces most in that frame; triangles (m,) of
    the whole scene, and weights (2, m) of their second and third corner there.
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
        self._ground_colors = _columns([ground.table_color, ground.floor_color, ground.wall_color])
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
        self._bodies, self._library = bodies, library
        each = np.array(
            [0 if body.die else len(library.assets[body.asset].mesh.faces) for body in bodies], int
        )
        self._first_face = np.concatenate(
            [[0], np.cumsum(np.where(self._is_die, len(die_faces()), each))]
        )

    def ground(self, what: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(3, n) colours at points (3, n) of the table, the floor or a wall, as `what` (n,) says."""
        colors = self._ground_colors.take(what - TABLE, axis=1)
        side = self._texture.shape[0]
        per_metre = np.float32(side / self._ground.texture_scale)
        x, y = (points[:2] * per_metre).astype(np.int32) & (side - 1)
        if self._texture.ndim == 2:
            pattern = self._texture.take(y * side + x)
            pattern[what == WALL] = 1
            return colors * pattern
        share = np.float32(self._ground.texture_contrast) * (what != WALL)
        image = self._texture.reshape(-1, 3).take(y * side + x, axis=0).T
        return colors + (image - colors) * share

    def bodies(self, which: np.ndarray, surface: Surface, pixel_m: float) -> np.ndarray:
        """(3, m) colours at points on bodies (m,); pixel_m is how wide a pixel is there, in metres."""
        if self._is_die.all():
            return self._on_dice(which, surface.local, surface.face, pixel_m)
        colors = np.empty((3, len(which)), np.float32)
        dice = np.flatnonzero(self._is_die.take(which))
        if len(dice):
            local = surface.local.take(dice, axis=1)
            colors[:, dice] = self._on_dice(
                which.take(dice), local, surface.face.take(dice), pixel_m
            )
        for body in np.unique(np.delete(which, dice)):
            at = np.flatnonzero(which == body)
            triangles = surface.triangles.take(at) - self._first_face[body]
            found = mesh_colors(self._mesh(body), triangles, surface.weights.take(at, axis=1))
            colors[:, at] = tinted(found, self._bodies[body])
        return colors

    def _mesh(self, body: int) -> Mesh:
        return self._library.assets[self._bodies[body].asset].mesh

    def _on_dice(
        self, which: np.ndarray, local: np.ndarray, face: np.ndarray, pixel_m: float
    ) -> np.ndarray:
        """(3, n) colours at points (3, n) in the frames of dice (n,) of edge 1; face as in
        `pip_coverage`.
        """
        colors = self._colors.take(which, axis=1)
        swirled = np.flatnonzero(self._swirls.take(which))
        share = self._swirl(which.take(swirled), local.take(swirled, axis=1))
        _mix(colors, swirled, self._swirl_colors.take(which.take(swirled), axis=1), share)
        soft = pixel_m / float(self._scales[self._is_die].mean())
        painted = pip_coverage(
            local, face, self._radii.take(which), self._offsets.take(which), soft
        )
        pips = np.flatnonzero(painted)
        _mix(colors, pips, self._pip_colors.take(which.take(pips), axis=1), painted.take(pips))
        return colors

    def _swirl(self, which: np.ndarray, local: np.ndarray) -> np.ndarray:
        """(n,) share of the swirled colour: bands through the body, bent by other bands."""
        phase = self._phases.take(which, axis=1)
        bent = (
            local[0] * 4 + np.sin(local[1] * 7 + phase[1]) + 1.5 * np.sin(local[2] * 5 + phase[2])
        )
        return np.clip(0.5 + np.sin(bent + phase[0]) * 1.2, 0, 1) * np.minimum(
            1, 0.4 + self._swirls.take(which)
        )


def mesh_colors(mesh: Mesh, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3, n) linear colours of points on a mesh; weights (2, n) of their triangles' second and
    third corner.
    """
    u, v = weights
    shares = np.stack([1 - u - v, u, v])
    corners = mesh.faces[triangles]
    colors = np.einsum("kn,nkc->cn", shares, mesh.colors[corners])
    if mesh.uv is None or mesh.texture is None:
        return colors
    at = np.einsum("kn,nkc->cn", shares, mesh.uv[corners]) % 1
    height, width = mesh.texture.shape[:2]
    x = np.minimum((at[0] * width).astype(int), width - 1)
    y = np.minimum(((1 - at[1]) * height).astype(int), height - 1)
    return colors * _LINEAR.take(mesh.texture[y, x]).T


def tinted(colors: np.ndarray, body: Body) -> np.ndarray:
    """(3, n) linear colours with the body's tint and then its turn of hue.

    Hue is turned about the grey axis, which keeps the mean of the three channels (Haeberli, 1993).
    """
    colors = colors * np.array(body.tint, np.float32)[:, None]
    if body.hue_turn:
        angle = 2 * np.pi * body.hue_turn
        cos, sin = np.cos(angle), np.sin(angle)
        across = (1 - cos) / 3 * np.ones((3, 3)) + cos * np.eye(3)
        turn = across + sin / np.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
        colors = np.clip(turn.astype(np.float32) @ colors, 0, 1)
    return colors


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
    if ground.texture not in _OCTAVES:
        return _image_texture(ground.texture)
    if ground.texture_contrast == 0:
        return np.ones((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    rng = seeds.generator(ground.texture_seed, "texture")
    found = np.zeros((_TEXTURE_PX, _TEXTURE_PX), np.float32)
    for cells in _OCTAVES[ground.texture]:
        # A grain, for wood: cells are longer one way than the other.
        coarse = rng.standard_normal((cells, 4 if ground.texture == "wood" else cells), np.float32)
        found += _enlarged(coarse)
    return np.clip(1 + ground.texture_contrast * found / float(found.std()), 0.25, 1.75).astype(
        np.float32
    )


@lru_cache(maxsize=64)
def _image_texture(path: str) -> np.ndarray:
    """An image file as linear colours (side, side, 3), mirrored both ways so that it repeats
    without a seam.
    """
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    assert pixels is not None, path  # the library has read it before
    half = cv2.resize(pixels, (_TEXTURE_PX, _TEXTURE_PX), interpolation=cv2.INTER_AREA)[..., ::-1]
    across = np.concatenate([half, half[:, ::-1]], axis=1)
    return _LINEAR.take(np.concatenate([across, across[::-1]]))


def _enlarged(cells: np.ndarray) -> np.ndarray:
    """A periodic texture from random cells: they are repeated at the borders before they are
    interpolated.
    """
    height, width = cells.shape
    padded = np.pad(cells, 2, mode="wrap")
    step_y, step_x = _TEXTURE_PX // height, _TEXTURE_PX // width
    # Cells divide the texture: `_OCTAVES` are powers of two.
    large = cv2.resize(
        padded, (padded.shape[1] * step_x, padded.shape[0] * step_y), interpolation=cv2.INTER_CUBIC
    )
    return large[2 * step_y : -2 * step_y, 2 * step_x : -2 * step_x]
