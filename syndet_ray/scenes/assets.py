"""Assets: the built-in six-sided die: its mesh, its classes and the pips on its faces."""

from collections.abc import Callable
from functools import cache

import numpy as np
import trimesh

CLASSES = ("one", "two", "three", "four", "five", "six")

# Face values by outward axis, +x -x +y -y +z -z: opposite faces sum to 7, as on every standard die.
FACE_AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
FACE_VALUES = np.array([2, 5, 3, 4, 1, 6])

# A pip off the centre lies this far along each axis, in half edges.
_OFF = 0.5
# Radius of the rounded edges, as a share of the die's edge.
ROUNDING = 0.14


@cache
def die_mesh() -> trimesh.Trimesh:
    """A closed convex die of edge 1 around the origin: a cube whose edges and corners are rounded by `ROUNDING`.

    Every face carries a grid that is fine along its borders; the points of a sharp cube are then pulled onto the rounded
    one, which is the set of points `ROUNDING` away from a smaller cube.
    """
    inner = 0.5 - ROUNDING
    angles = np.linspace(0, np.pi / 4, 3)
    bevel = inner + ROUNDING * np.tan(angles)
    ticks = np.concatenate([-bevel[::-1], bevel])
    u, v = (grid.ravel() for grid in np.meshgrid(ticks, ticks, indexing="ij"))
    n = len(ticks)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    quads = np.stack([corner, corner + n, corner + n + 1, corner + 1], axis=1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    meshes = []
    for axis in range(3):
        for sign in (1, -1):
            points = np.empty((n * n, 3))
            points[:, axis], points[:, (axis + 1) % 3], points[:, (axis + 2) % 3] = 0.5 * sign, u, v * sign
            meshes.append(trimesh.Trimesh(points, faces, process=False))
    cube = trimesh.util.concatenate(meshes)
    cube.merge_vertices()
    core = np.clip(cube.vertices, -inner, inner)
    outward = cube.vertices - core
    cube.vertices = core + ROUNDING * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return cube


def up_face(rotation: np.ndarray) -> int:
    """The value, 1 to 6, of the face that points most upward (+z) under a (3, 3) rotation."""
    return int(FACE_VALUES[np.argmax((FACE_AXES @ rotation.T)[:, 2])])


def normals(local: np.ndarray) -> np.ndarray:
    """(n, 3) outward normals at points (n, 3) on the surface of a die of edge 1."""
    outward = local - np.clip(local, -0.5 + ROUNDING, 0.5 - ROUNDING)
    return outward / np.sqrt(np.maximum(np.einsum("ni,ni->n", outward, outward), 1e-18))[:, None]


def pip_coverage(local: np.ndarray, radius: np.ndarray, softness: np.ndarray) -> np.ndarray:
    """(n,) how much of each point (n, 3) on a die of edge 1 is painted as a pip: 0 to 1, soft over `softness` edges."""
    axis = np.abs(local).argmax(axis=1)
    rows = np.arange(len(local))
    u, v = local[rows, (axis + 1) % 3] * 2, local[rows, (axis + 2) % 3] * 2
    values = FACE_VALUES[axis * 2 + (local[rows, axis] < 0)]
    nearest = np.full_like(u, 9.0)
    for value, distance in _PIP_DISTANCE.items():
        on = np.flatnonzero(values == value)
        nearest[on] = distance(u[on], v[on])
    return np.clip((radius * 2 - nearest) / np.maximum(softness * 4, 1e-6) + 0.5, 0, 1)


def _centre(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v)


def _corners(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - _OFF, np.abs(v) - _OFF)


def _diagonal(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(np.hypot(u - _OFF, v - _OFF), np.hypot(u + _OFF, v + _OFF))


def _sides(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(np.abs(u) - _OFF, v)


# Distance to the centre of the nearest pip, in half edges, on a face that spans -1 to 1, by the value of the face.
_PIP_DISTANCE: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    1: _centre,
    2: _diagonal,
    3: lambda u, v: np.minimum(_diagonal(u, v), _centre(u, v)),
    4: _corners,
    5: lambda u, v: np.minimum(_corners(u, v), _centre(u, v)),
    6: lambda u, v: np.minimum(_corners(u, v), _sides(u, v)),
}
