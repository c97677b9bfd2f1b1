"""Heap: drops meshes of any shape into a tray; each rests on those below and none overlap.

Bodies fall straight down onto a map of heights, which at each cell has the upper side of what lies
there already. That forbids caves, and with them every overlap.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import trimesh

from syndet_ray.scenes.framing import Region
from syndet_ray.scenes.library import Mesh, embree_of, outline
from syndet_ray.scenes.rest import stable_turns

_CELLS = 12  # of the map along an object
_FEW_VERTICES = 4000
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
    """A pose at rest: height of the centre in metres, turn (3, 3), the window of the map below, and
    the upper side (rows, columns) there in metres, -inf where the body is not."""

    height: float
    turn: np.ndarray
    window: tuple[slice, slice]
    top: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pose:
    """A mesh in a turn, seen from above.

    turn       (3, 3)
    low, high  (rows, columns) heights of its lower and upper side above its origin, metres; inf and
               -inf where it is not
    under      (rows, columns) True where it is
    may_lie_on_floor  False for a tipped turn, which needs others to lean on
    """

    turn: np.ndarray
    low: np.ndarray
    high: np.ndarray
    under: np.ndarray
    may_lie_on_floor: bool

    @staticmethod
    def of(
        mesh: Mesh, scale: float, turn: np.ndarray, cell: float, *, may_lie_on_floor: bool
    ) -> "_Pose":
        """The pose of a mesh of this scale, metres per unit, on a map of cells in metres."""
        low, high = _profile(mesh, turn, cell / scale)
        return _Pose(
            turn=turn,
            low=low * scale,
            high=high * scale,
            under=np.isfinite(low),
            may_lie_on_floor=may_lie_on_floor,
        )


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
        best: _Rest | None = None
        turn = _yaw(rng.uniform(0, 2 * np.pi)) @ draw_side(mesh, lying, rng)
        poses = [_Pose.of(mesh, scale, turn, self.cell, may_lie_on_floor=True)]
        if lying in ("rest", "face_up"):
            tipped = _turn_matrix(rng.normal(0, _TIP, 3)) @ turn
            poses.append(_Pose.of(mesh, scale, tipped, self.cell, may_lie_on_floor=False))
        for place in region.draw(_PLACES, rng):
            for pose in poses:
                rest = self._rest(pose, place)
                if rest is not None and (best is None or rest.height < best.height):
                    best = rest
        if best is None or best.height > _HIGHEST * self.unit_m:
            return None
        self.heights[best.window] = np.maximum(self.heights[best.window], best.top)
        return np.array([*self._middle(best.window), best.height]), best.turn

    def _rest(self, pose: _Pose, place: np.ndarray) -> _Rest | None:
        """A pose at rest at a place (2,) in metres; None if the tray has no room for it, or if it
        must lean on others and would lie on the floor.
        """
        window = self._window(pose.low.shape, place)
        if window is None:
            return None
        below = self.heights[window]
        if not pose.may_lie_on_floor and below[pose.under].max() == 0:
            return None
        height = float((below - pose.low)[pose.under].max())
        return _Rest(height=height, turn=pose.turn, window=window, top=pose.high + height)

    def _window(self, shape: tuple[int, ...], place: np.ndarray) -> tuple[slice, slice] | None:
        """The part of the map under a profile of this shape whose middle is at a place (2,), x and
        y in metres, or as near to it as the walls allow.
        """
        room = np.array(self.heights.shape) - shape
        if (room < 0).any():
            return None
        middle = place[::-1] / self.cell + np.array(self.heights.shape) / 2
        row, column = np.clip(np.floor(middle - np.array(shape) / 2).astype(int), 0, room)
        return slice(row, row + shape[0]), slice(column, column + shape[1])

    def _middle(self, window: tuple[slice, slice]) -> np.ndarray:
        """(2,) x and y of the middle of a window."""
        rows, columns = window
        centre = np.array([columns.start + columns.stop, rows.start + rows.stop]) / 2
        return (centre - np.array(self.heights.shape[::-1]) / 2) * self.cell


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
    x, y = np.meshgrid(across, along)
    low, high = _sides(mesh, turn, x, y)
    cells = np.floor(points[:, :2] / cell + np.array([columns, rows]) / 2).astype(int)
    flat = cells[:, 1] * columns + cells[:, 0]
    np.minimum.at(low.reshape(-1), flat, points[:, 2])
    np.maximum.at(high.reshape(-1), flat, points[:, 2])
    # each cell the extreme of itself and its eight neighbours
    return (
        cv2.erode(low, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE),
        cv2.dilate(high, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE),
    )


def _corners(mesh: Mesh) -> np.ndarray:
    """(v, 3) the vertices that rays may miss: those of the convex hull, where faces are many and
    smaller than a cell.
    """
    return mesh.vertices if len(mesh.vertices) <= _FEW_VERTICES else outline(mesh)


def _sides(
    mesh: Mesh, turn: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The heights at which vertical rays at x, y (rows, columns) meet the turned mesh first, from
    below and from above; inf and -inf where they do not.
    """
    far = mesh.radius + 1
    origins = np.empty((2, x.size, 3))
    origins[..., 0], origins[..., 1] = x.ravel(), y.ravel()
    origins[0, :, 2], origins[1, :, 2] = -far, far
    up = np.array([0.0, 0.0, 1.0]) @ turn
    directions = np.repeat(np.array([up, -up], np.float32), x.size, axis=0)
    embree, _ = embree_of(mesh)
    starts = (origins.reshape(-1, 3) @ turn).astype(np.float32)
    traced = embree.run(starts, directions, output=True)
    lengths = np.where(traced["primID"] >= 0, traced["tfar"], np.inf).astype(float)
    from_below, from_above = lengths.reshape(2, *x.shape)
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
