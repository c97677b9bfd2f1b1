"""Rest: the turns in which a mesh comes to rest on a level floor, and how likely each is.

Dropped in any turn, as likely as any other, a body first touches the floor with a face of its
convex hull: by the share of a sphere around its centre of mass that the face covers. It then rolls
over the edge beyond which its centre of mass lies, and over further ones, until the centre lies
above the face. Goldberg et al., Part Pose Statistics, IEEE Transactions on Robotics, 1999.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import QhullError  # type: ignore[import-untyped]

from syndet_ray.scenes.library import Mesh

_LEAST_SHARE = 0.02  # kinds of rest that are rarer are left out
# Poses in which the centre of mass is equally high, up to this share of the longest side, are of
# one kind: of a can there are two, standing and lying, however many sides it has.
_SAME_HEIGHT = 0.005
_FLAT = 1e-4  # thickness of a mesh without volume, as a share of its longest side


@lru_cache(maxsize=1024)
def stable_turns(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """(k, 3, 3) turns in which a mesh rests on the floor, and the chance of each when it is
    dropped.

    A mesh without volume, as a leaf, lies on either side.
    """
    vertices = mesh.vertices.astype(float)
    hull = _hull(vertices)
    if hull is None:
        normal = _normal_of_plane(vertices)
        return np.stack([_turn_down(normal), _turn_down(-normal)]), np.full(2, 0.5)
    centre = _centre_of_mass(mesh, hull)
    normals = np.asarray(hull.face_normals)
    heights = ((np.asarray(hull.triangles)[:, 0] - centre) * normals).sum(axis=1)
    first_chances = _solid_angles(np.asarray(hull.triangles) - centre) / (4 * np.pi)
    chances = _chances_at_rest(hull, centre, heights, first_chances)
    # the triangles of one side are one pose
    _, first, side = np.unique(normals.round(3), axis=0, return_index=True, return_inverse=True)
    of_sides = np.bincount(side.reshape(-1), chances)
    sides = np.flatnonzero(of_sides > 0)
    sides = sides[_is_frequent(heights[first[sides]] / mesh.length, of_sides[sides])]
    turns = [_turn_down(normal) for normal in normals[first[sides]]]
    return np.array(turns), of_sides[sides] / of_sides[sides].sum()


def _hull(vertices: np.ndarray) -> Any:
    """The convex hull, a trimesh, or None of a mesh that lies in a plane or on a line."""
    spread = np.linalg.svd(vertices - vertices.mean(axis=0), compute_uv=False)
    if spread[-1] <= _FLAT * spread[0]:
        return None
    try:
        return trimesh.convex.convex_hull(vertices)
    except QhullError:
        return None


def _normal_of_plane(vertices: np.ndarray) -> np.ndarray:
    """(3,) the direction in which the vertices spread least."""
    _, _, axes = np.linalg.svd(vertices - vertices.mean(axis=0), full_matrices=False)
    return axes[-1]


def _centre_of_mass(mesh: Mesh, hull: Any) -> np.ndarray:
    """(3,) of the mesh as a solid; of its hull if the mesh has holes or is turned inside out."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    if solid.is_watertight and solid.volume > 0:
        centre = np.asarray(solid.center_mass)
        outside = ((np.asarray(hull.triangles)[:, 0] - centre) * hull.face_normals).sum(axis=1)
        if (outside > 0).all():
            return centre
    return np.asarray(hull.center_mass)


def _solid_angles(triangles: np.ndarray) -> np.ndarray:
    """(f,) steradians that triangles (f, 3, 3) cover, seen from the origin.

    Van Oosterom and Strackee, The Solid Angle of a Plane Triangle, IEEE Transactions on Biomedical
    Engineering, 1983.
    """
    a, b, c = triangles.transpose(1, 0, 2)
    length_a, length_b, length_c = np.linalg.norm(triangles, axis=2).T
    volume = np.abs((a * np.cross(b, c)).sum(axis=1))
    spread = length_a * length_b * length_c
    spread = spread + (a * b).sum(axis=1) * length_c
    spread = spread + (b * c).sum(axis=1) * length_a + (c * a).sum(axis=1) * length_b
    return 2 * np.arctan2(volume, spread)


def _chances_at_rest(
    hull: Any, centre: np.ndarray, heights: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    """(f,) the chance that the body ends on each face of its hull, of those of its first contact.

    heights (f,) of the centre above each face. Rolling lowers the centre: so chances are handed on
    from the highest face to the lowest.
    """
    next_faces = _next_faces(hull, centre)
    result = chances.copy()
    for face in np.argsort(-heights, kind="stable").tolist():
        following = next_faces[face]
        # equal heights: two triangles of one side, of which the later one gets all
        if following >= 0 and _comes_later(heights, face, following):
            result[following] += result[face]
            result[face] = 0
    return result


def _comes_later(heights: np.ndarray, face: int, following: int) -> bool:
    """True if a face is lower than another, or in the same plane and later in the order."""
    if heights[following] == heights[face]:
        return following > face
    return bool(heights[following] < heights[face])


def _next_faces(hull: Any, centre: np.ndarray) -> np.ndarray:
    """(f,) the face onto which the body rolls from each face, -1 where it stays.

    It rolls over the edge beyond which the foot of its centre of mass lies farthest.
    """
    normals = np.asarray(hull.face_normals)
    triangles = np.asarray(hull.triangles)
    faces = np.asarray(hull.faces)
    below = ((triangles[:, 0] - centre) * normals).sum(axis=1, keepdims=True)
    foot = centre + below * normals
    starts = triangles  # (f, 3, 3): edge k goes from corner k to corner k + 1
    edges = np.roll(triangles, -1, axis=1) - starts
    outward = np.cross(edges, normals[:, None])
    outward /= np.maximum(np.linalg.norm(outward, axis=2, keepdims=True), 1e-20)
    beyond = ((foot[:, None] - starts) * outward).sum(axis=2)
    worst = beyond.argmax(axis=1)
    neighbours = _neighbours(faces)
    rows = np.arange(len(faces))
    stays = beyond[rows, worst] <= 0
    return np.where(stays, -1, neighbours[rows, worst])


def _neighbours(faces: np.ndarray) -> np.ndarray:
    """(f, 3) the face across each edge of a closed mesh, of corners k and k + 1; -1 for none."""
    starts = faces.astype(np.int64).ravel()
    ends = np.roll(faces, -1, axis=1).astype(np.int64).ravel()
    count = faces.max() + 1
    edges, reverse = starts * count + ends, ends * count + starts
    order = np.argsort(edges, kind="stable")
    # the last of equal ones
    place = np.searchsorted(edges[order], reverse, side="right") - 1
    across = order[place]
    is_met = (place >= 0) & (edges[across] == reverse)
    return np.where(is_met, across // 3, -1).reshape(-1, 3)


def _is_frequent(heights: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """(k,) True for poses whose kind, all those of about one height, is not rare."""
    order = np.argsort(heights)
    steps = np.diff(heights[order], prepend=heights[order][0])
    kinds = np.empty(len(order), int)
    kinds[order] = np.cumsum(steps > _SAME_HEIGHT)
    shares = np.bincount(kinds, chances)
    is_frequent = shares[kinds] >= _LEAST_SHARE * chances.sum()
    return is_frequent if is_frequent.any() else np.ones(len(kinds), bool)


def _turn_down(normal: np.ndarray) -> np.ndarray:
    """(3, 3) a turn that points a direction down."""
    up = -normal / np.linalg.norm(normal)
    level = np.array([-up[1], up[0], 0.0])
    length = np.linalg.norm(level)
    right = np.array([1.0, 0.0, 0.0]) if length < 1e-9 else level / length
    return np.array([right, np.cross(up, right), up])
