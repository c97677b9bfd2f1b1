"""Dice: the built-in six-sided die: its shape, its classes and the pips on its faces."""

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np

CLASSES = ("one", "two", "three", "four", "five", "six")

# Face values by outward axis, +x -x +y -y +z -z: opposite faces sum to 7, as on every standard die.
FACE_AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
FACE_VALUES = np.array([2, 5, 3, 4, 1, 6])

EDGE_M = 0.016  # an ordinary die
# The box around a die that lies at any yaw and is seen from nearly above is on average this much
# wider than its edge.
BOX_PER_EDGE = 1.3

# Faces of moulded dice are a little domed. It keeps a face from flashing all at once under a lamp.
_DOME = 0.12


@cache
def _rounded_cube() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (v, 3) of -1 and 1, outward unit vectors (v, 3), and faces (f, 3) counter-clockwise
    seen from outside.

    A rounded cube is the set of points `rounding` away from a smaller cube. Each vertex belongs to
    one corner of that smaller cube and lies `rounding` away from it; seven per corner give an edge
    one chamfer between its two faces.
    """
    keys: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    grid = np.meshgrid([-2, -1, 1, 2], [-2, -1, 1, 2], indexing="ij")
    u, v = (values.ravel() for values in grid)
    corner = (np.arange(3)[:, None] * 4 + np.arange(3)).ravel()
    quads = np.stack([corner, corner + 4, corner + 5, corner + 1], axis=1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    for axis, sign in product(range(3), (1, -1)):
        # 2 where the vertex lies on the face across that axis, 1 where it does not
        key = np.empty((16, 3), int)
        key[:, axis], key[:, (axis + 1) % 3], key[:, (axis + 2) % 3] = 2 * sign, u, v * sign
        faces.append(triangles + 16 * len(keys))
        keys.append(key)
    unique, index = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    corners = np.sign(unique)
    outward = corners * (np.abs(unique) == 2)
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return corners.astype(float), outward, index.reshape(-1)[np.concatenate(faces)]


def die_vertices(roundings: np.ndarray) -> np.ndarray:
    """(n, v, 3) vertices of closed convex dice of edge 1 around the origin; roundings (n,) are
    radii in edges.
    """
    corners, outward, _ = _rounded_cube()
    rounding = np.asarray(roundings, float)[:, None, None]
    return corners * (0.5 - rounding) + outward * rounding


def die_faces() -> np.ndarray:
    """(f, 3) vertex indices of a die's triangles, counter-clockwise seen from outside."""
    return _rounded_cube()[2]


def up_face(rotation: np.ndarray) -> int:
    """The value, 1 to 6, of the face that points most upward (+z) under a (3, 3) rotation, even if
    the die leans.
    """
    upward = (FACE_AXES @ rotation.T)[:, 2]
    return int(FACE_VALUES[np.argmax(upward)])


def normals(local: np.ndarray, roundings: np.ndarray) -> np.ndarray:
    """(3, n) outward normals at points (3, n) on dice of edge 1 and of these roundings (n,)."""
    inner = 0.5 - roundings
    outward = local - np.clip(local, -inner, inner) + local * (_DOME * roundings)
    return outward / np.sqrt((outward * outward).sum(axis=0))


def face_axis(local: np.ndarray) -> np.ndarray:
    """(n,) row of `FACE_AXES` of the face on which each point (3, n) of a die lies."""
    x, y, z = np.abs(local)
    below = local < 0
    on_y_or_z = np.where(y >= z, 2 + below[1], 4 + below[2])
    return np.where((x >= y) & (x >= z), below[0], on_y_or_z)


def pip_coverage(
    local: np.ndarray, face: np.ndarray, radius: np.ndarray, offset: np.ndarray, soft: float
) -> np.ndarray:
    """(n,) the share, 0 to 1, to which each point (3, n) on a die of edge 1 is painted as a pip.

    face (n,) from `face_axis`; radius (n,), offset (n,) of a pip from the centre line and soft, the
    width of a pip's border, in edges.
    """
    distance = np.empty_like(radius)
    for row, value in enumerate(FACE_VALUES):
        points = np.flatnonzero(face == row)
        axis = row // 2
        u, v = (local[(axis + k) % 3].take(points) for k in (1, 2))
        distance[points] = _PIP_DISTANCE[int(value)](u, v, offset.take(points))
    return np.clip((radius - distance) / soft + 0.5, 0, 1)


def _centre(u: np.ndarray, v: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.hypot(u, v)


def _corners(u: np.ndarray, v: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - offset, np.abs(v) - offset)


def _diagonal(u: np.ndarray, v: np.ndarray, offset: np.ndarray) -> np.ndarray:
    one, other = np.hypot(u - offset, v - offset), np.hypot(u + offset, v + offset)
    return np.minimum(one, other)


def _sides(u: np.ndarray, v: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - offset, v)


_Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _nearest(one: _Distance, other: _Distance) -> _Distance:
    return lambda u, v, offset: np.minimum(one(u, v, offset), other(u, v, offset))


# Distance to the centre of the nearest pip, in edges from the middle of the face, by the value of
# the face.
_PIP_DISTANCE: dict[int, _Distance] = {
    1: _centre,
    2: _diagonal,
    3: _nearest(_diagonal, _centre),
    4: _corners,
    5: _nearest(_corners, _centre),
    6: _nearest(_corners, _sides),
}
