"""Heap: drops meshes of any shape into a tray; each rests on those below and none overlap.

Bodies fall straight down onto a map of heights, which at each cell has the upper side of what lies
there already. That forbids caves, and with them every overlap.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np
import trimesh
from numpy.lib.stride_tricks import sliding_window_view

from syndet_ray.scenes.framing import Region
from syndet_ray.scenes.library import Mesh, embree_of, outline
from syndet_ray.scenes.rest import stable_turns

_CELLS = 12  # of the map along an object
_FEW_VERTICES = 4000
# Directions all round in which a hull of more corners is sampled: between two of them a ball is too
# low by a thousandth of its radius at most.
_DIRECTIONS = 2000
# A body that would rest higher, in objects, finds no place: heaps are no towers, and never reach
# the camera.
_HIGHEST = 4.0
# Places tried for a body; it takes the one at which it rests lowest.
_PLACES = 10
_FACES_UP = 0.7  # cosine: a side that looks up is at most 45 degrees off
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_TIP = 0.35  # radians by which a body that fell on others is tipped, standard deviation


@dataclass(frozen=True, eq=False, kw_only=True)
class _Rest:
    """A pose at rest at one of the places tried: height of the centre in metres, turn (3, 3), the
    window of the map below, and the upper side (rows, columns) there in metres, -inf where the body
    is not."""

    place: int
    height: float
    turn: np.ndarray
    window: tuple[slice, slice]
    top: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pose:
    """A mesh of a scale, metres per unit, in a turn (3, 3). A tipped one may not lie on the floor:
    it needs others to lean on.
    """

    mesh: Mesh
    scale: float
    turn: np.ndarray
    is_tipped: bool

    @property
    def least_height(self) -> float:
        """The height of its centre on a level floor, metres: it rests nowhere lower."""
        return -self.scale * float((_corners(self.mesh) @ self.turn[2]).min())

    def profile(self, cell: float) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) heights of its lower and upper side above its origin, seen from above on
        a map of cells, all in metres; inf and -inf where it is not.
        """
        low, high = _profile(self.mesh, self.turn, cell / self.scale)
        return low * self.scale, high * self.scale


@dataclass(kw_only=True)
class Heap:
    """A tray that reaches half_width and half_depth metres from the origin, and the bodies in it.

    unit_m is the size of an object; heights (rows, columns) metres, rows along y and columns along
    x.
    """

    half_width: float
    half_depth: float
    unit_m: float
    heights: np.ndarray = field(init=False)
    cell: float = field(init=False)

    def __post_init__(self) -> None:
        self.cell = self.unit_m / _CELLS
        shape = round(2 * self.half_depth / self.cell), round(2 * self.half_width / self.cell)
        self.heights = np.zeros(shape)

    def drop(
        self,
        mesh: Mesh,
        scale: float,
        region: Region,
        rng: np.random.Generator,
        lying: str = "rest",
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Drops a mesh of this scale (metres per unit) onto a region of the tray; the centre (3,)
        and turn (3, 3) at which it comes to rest.

        lying  "rest": on a side on which it rests, by the chance of each when it falls; "face_up":
               likewise, of those on which its +z looks up; "upright": +z is up; "any": any turn

        The side on which it lies and its turn are drawn first, then the place: among the sides, the
        flattest would nearly always be the lowest. None if it is wider than the tray, or would lie
        on top of a tower.
        """
        turn = _yaw(rng.uniform(0, 2 * np.pi)) @ draw_side(mesh, lying, rng)
        flat = _Pose(mesh=mesh, scale=scale, turn=turn, is_tipped=False)
        poses = [flat]
        if lying in ("rest", "face_up"):
            tipped = _turn_matrix(rng.normal(0, _TIP, 3)) @ turn
            poses.append(replace(flat, turn=tipped, is_tipped=True))
        places = region.draw(_PLACES, rng)
        best: _Rest | None = None
        for pose in poses:
            # a profile takes long: most tipped poses are higher than one that lies flat
            if best is None or pose.least_height <= best.height:
                best = _lower(best, self._rest(pose, places))
        if best is None or best.height > _HIGHEST * self.unit_m:
            return None
        self.heights[best.window] = np.maximum(self.heights[best.window], best.top)
        return np.array([*self._middle(best.window), best.height]), best.turn

    def _rest(self, pose: _Pose, places: np.ndarray) -> _Rest | None:
        """A pose at rest at the one of the places (k, 2), x and y in metres, at which it lies
        lowest, the first of those that are equal.

        Each is as near to its place as the walls allow. None if the tray has no room for it, or if
        it must lean on others and would lie on the floor everywhere.
        """
        low, high = pose.profile(self.cell)
        shape = np.array(low.shape)
        room = np.array(self.heights.shape) - shape
        if (room < 0).any():
            return None
        middles = places[:, ::-1] / self.cell + np.array(self.heights.shape) / 2
        first = np.clip(np.floor(middles - shape / 2).astype(int), 0, room)
        windows = sliding_window_view(self.heights, low.shape)
        below = windows[first[:, 0], first[:, 1]]  # (k, rows, columns)
        heights = _heights(low, below, must_lean=pose.is_tipped)
        k = int(heights.argmin())
        if not np.isfinite(heights[k]):
            return None
        (row, column), (rows, columns) = first[k], shape
        return _Rest(
            place=k,
            height=float(heights[k]),
            turn=pose.turn,
            window=(slice(row, row + rows), slice(column, column + columns)),
            top=high + heights[k],
        )

    def _middle(self, window: tuple[slice, slice]) -> np.ndarray:
        """(2,) x and y of the middle of a window."""
        rows, columns = window
        centre = np.array([columns.start + columns.stop, rows.start + rows.stop]) / 2
        return (centre - np.array(self.heights.shape[::-1]) / 2) * self.cell


def _heights(low: np.ndarray, below: np.ndarray, *, must_lean: bool) -> np.ndarray:
    """(k,) the heights at which a body rests, of its lower side (rows, columns) and what is below
    it at each of k places (k, rows, columns); inf where it must lean and would lie on the floor.
    """
    heights = (below - low).max(axis=(1, 2))
    if not must_lean:
        return heights
    leans = np.where(np.isfinite(low), below, 0).max(axis=(1, 2)) > 0
    return np.where(leans, heights, np.inf)


def _lower(one: _Rest | None, other: _Rest | None) -> _Rest | None:
    """The lower of two bodies at rest; of equal ones that of the first place tried, or `one`."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other, key=lambda rest: (rest.height, rest.place))


def _profile(mesh: Mesh, turn: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper side of a turned mesh, heights (rows, columns) around its origin; infinite
    where it is not.

    Rays go through every cell's middle. The mesh's vertices, which rays may miss, count too; each
    cell then takes the extreme of its neighbours, for what lies between. All in the mesh's units.
    """
    points = _corners(mesh) @ turn.T
    half = np.abs(points[:, :2]).max(axis=0)
    columns, rows = (2 * np.ceil(half / cell + 1)).astype(int)
    across = (np.arange(columns) - (columns - 1) / 2) * cell
    along = (np.arange(rows) - (rows - 1) / 2) * cell
    low, high = _sides(mesh, turn, across, along)
    cells = np.floor(points[:, :2] / cell + np.array([columns, rows]) / 2).astype(int)
    flat = cells[:, 1] * columns + cells[:, 0]
    np.minimum.at(low.reshape(-1), flat, points[:, 2])
    np.maximum.at(high.reshape(-1), flat, points[:, 2])
    # each cell the extreme of itself and its eight neighbours
    return (
        cv2.erode(low, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE),
        cv2.dilate(high, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE),
    )


@lru_cache(maxsize=1024)
def _corners(mesh: Mesh) -> np.ndarray:
    """(v, 3) the vertices that rays may miss: those of the convex hull, where faces are many and
    smaller than a cell; of a hull of as many, those that lie farthest in any direction.
    """
    if len(mesh.vertices) <= _FEW_VERTICES:
        return mesh.vertices
    corners = outline(mesh)
    if len(corners) <= _FEW_VERTICES:
        return corners
    farthest = [int((corners @ direction).argmax()) for direction in _all_round(_DIRECTIONS)]
    return corners[np.unique(farthest)]


def _all_round(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci's spiral)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = np.pi * (1 + np.sqrt(5)) * k
    flat = np.sqrt(1 - z * z)
    return np.column_stack([flat * np.cos(angle), flat * np.sin(angle), z])


def _sides(
    mesh: Mesh, turn: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The heights (rows, columns) at which vertical rays at x (columns,) and y (rows,) meet the
    turned mesh first, from below and from above; inf and -inf where they do not.
    """
    far = mesh.radius + 1
    origins = np.empty((2, len(y), len(x), 3))
    origins[..., 0], origins[..., 1] = x, y[:, None]
    origins[0, ..., 2], origins[1, ..., 2] = -far, far
    up = np.array([0.0, 0.0, 1.0]) @ turn
    directions = np.repeat(np.array([up, -up], np.float32), len(x) * len(y), axis=0)
    embree, _ = embree_of(mesh)
    starts = (origins.reshape(-1, 3) @ turn).astype(np.float32)
    traced = embree.run(starts, directions, output=True)
    lengths = np.where(traced["primID"] >= 0, traced["tfar"], np.inf).astype(float)
    from_below, from_above = lengths.reshape(2, len(y), len(x))
    return from_below - far, far - from_above


def draw_side(mesh: Mesh, lying: str, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) the turn of a mesh on a level floor before any turn about the vertical.

    lying  as in `Heap.drop`
    """
    return _SIDES[lying](mesh, rng)


def _draw_rest(mesh: Mesh, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) a turn in which the mesh stays on a level floor, by its chance."""
    turns, chances = stable_turns(mesh)
    return turns[rng.choice(len(turns), p=chances)]


def _draw_face_up(mesh: Mesh, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) a turn in which the mesh rests and its side +z looks up; upright if there is none."""
    turns, chances = stable_turns(mesh)
    chances = chances * (turns[:, 2, 2] > _FACES_UP)
    if chances.sum() <= 0:
        return np.eye(3)
    return turns[rng.choice(len(turns), p=chances / chances.sum())]


def _draw_any(mesh: Mesh, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) any turn, each as likely as any other (a random unit quaternion: Shoemake, 1992)."""
    quaternion = rng.standard_normal(4)
    return trimesh.transformations.quaternion_matrix(quaternion)[:3, :3]


_SIDES = {
    "rest": _draw_rest,
    "face_up": _draw_face_up,
    "upright": lambda mesh, rng: np.eye(3),
    "any": _draw_any,
}


def _yaw(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _turn_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) a turn about a vector, by its length in radians."""
    return trimesh.transformations.rotation_matrix(np.linalg.norm(vector), vector)[:3, :3]
