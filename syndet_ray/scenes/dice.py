"""Dice: the built-in six-sided die: its shape, its classes and the pips on its faces."""

from collections.abc import Callable
from functools import cache

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
    """corners (v, 3) of -1 and 1, outward (v, 3) unit and faces (f, 3) counter-clockwise seen from
    outside.

    A rounded cube is the set of points `rounding` away from a smaller cube. Each vertex belongs to
    one corner of that smaller cube and lies `rounding` away from it; seven per corner give an edge
    one chamfer between its two faces.
    """
    keys: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for sign in (1, -1):
            u, v = (
                grid.ravel() for grid in np.meshgrid([-2, -1, 1, 2], [-2, -1, 1, 2], indexing="ij")
            )
            # 2 where the vertex lies on the face across that axis, 1 where it does not
            key = np.empty((16, 3), int)
            key[:, axis], key[:, (axis + 1) % 3], key[:, (axis + 2) % 3] = 2 * sign, u, v * sign
            corner = (np.arange(3)[:, None] * 4 + np.arange(3)).ravel()
            quads = np.stack([corner, corner + 4, corner + 5, corner + 1], axis=1)
            faces.append(
                np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]) + 16 * len(keys)
            )
            keys.append(key)
    unique, where = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    outward = np.sign(unique) * (np.abs(unique) == 2)
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return np.sign(unique).astype(float), outward, where.reshape(-1)[np.concatenate(faces)]


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
    """The value, 1 to 6, of the face that points most upward (+z) under a (3, 3) rotation, however
    the die leans.
    """
    return int(FACE_VALUES[np.argmax((FACE_AXES @ rotation.T)[:, 2])])


def normals(local: np.ndarray, roundings: np.ndarray) -> np.ndarray:
    """(3, n) outward normals at points (3, n) on dice of edge 1 and of these roundings (n,)."""
    inner = 0.5 - roundings
    outward = local - np.clip(local, -inner, inner) + local * (_DOME * roundings)
    return outward / np.sqrt((outward * outward).sum(axis=0))


def face_axis(local: np.ndarray) -> np.ndarray:
    """(n,) row of `FACE_AXES` of the face on which each point (3, n) of a die lies."""
    x, y, z = np.abs(local)
    below = local < 0
    return np.where((x >= y) & (x >= z), below[0], np.where(y >= z, 2 + below[1], 4 + below[2]))


def pip_coverage(
    local: np.ndarray, face: np.ndarray, radius: np.ndarray, offset: np.ndarray, soft: float
) -> np.ndarray:
    """(n,) how much of each point (3, n) on a die of edge 1 is painted as a pip: 0 to 1.

    face (n,) from `face_axis`; radius (n,), offset (n,) of a pip from the centre line and soft, the
    width of a pip's border, in edges.
    """
    distance = np.empty_like(radius)
    for row, value in enumerate(FACE_VALUES):
        on = np.flatnonzero(face == row)
        u, v = (local[(row // 2 + k) % 3].take(on) for k in (1, 2))
        distance[on] = _PIP_DISTANCE[int(value)](u, v, offset.take(on))
    return np.clip((radius - distance) / soft + 0.5, 0, 1)


def _centre(u: np.ndarray, v: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.hypot(u, v)


def _corners(u: np.ndarray, v: np.ndarray, off: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - off, np.abs(v) - off)


def _diagonal(u: np.ndarray, v: np.ndarray, off: np.ndarray) -> np.ndarray:
    return np.minimum(np.hypot(u - off, v - off), np.hypot(u + off, v + off))


def _sides(u: np.ndarray, v: np.ndarray, off: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - off, v)


_Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _nearest(*kinds: _Distance) -> _Distance:
    return lambda u, v, off: np.minimum(*(kind(u, v, off) for kind in kinds))


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
