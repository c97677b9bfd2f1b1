"""Simplify: meshes of fewer triangles, with the paint and the normals of the whole ones.

Vertices within a cell of a grid become one, then edges are collapsed by their quadric error
(Garland and Heckbert, Surface Simplification Using Quadric Error Metrics, 1997). The first step is
what makes the second one work: of meshes as downloaded, half of the edges may be shorter than a
tenth of a pixel, and around those hardly any collapse is possible.
"""

from dataclasses import dataclass

import fast_simplification
import numpy as np
import trimesh
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from syndet_ray.scenes.library import Mesh, corner_normals, unit_vectors
from syndet_ray.scenes.rows import distinct_rows

_SAME_PLACE = 1e-5  # share of the longest side: vertices that are closer are one
_SAME_PAINT = 1e-4  # of colours and of texture coordinates
# Growth of the error that a pass of collapses allows. Larger is faster and less exact; with less,
# meshes of uneven triangles stay as they are.
_AGGRESSIVENESS = 5
# Vertices of the whole mesh whose faces are candidates for the nearest point of a new vertex.
_CANDIDATES = 4
# Cells by which a face may be farther off than another if it does not look the other way.
_TURNED_AWAY = 4.0


class Simplifier:
    """Makes meshes of fewer faces of one whole mesh.

    cell  the side of the cells of the grid, in the units of the mesh's vertices
    """

    def __init__(self, mesh: Mesh, cell: float) -> None:
        self._mesh, self._cell = mesh, cell
        self._whole_charts = _charts(mesh)
        self._shell = _weld(mesh, self._whole_charts, cell)
        self._used = np.unique(mesh.faces)
        self._tree = cKDTree(mesh.vertices[self._used])
        corners = mesh.faces.ravel()
        self._by_vertex = np.argsort(corners, kind="stable")
        every = np.arange(len(mesh.vertices) + 1)
        self._first_by_vertex = np.searchsorted(corners[self._by_vertex], every)
        self._face_normals = _face_normals(mesh.vertices, mesh.faces)
        self._corner_normals = corner_normals(mesh)

    @property
    def most(self) -> int:
        """The number of faces before any edge is collapsed."""
        return len(self._shell.faces)

    def simplify(self, faces: int) -> Mesh:
        """A mesh of about so many faces, painted as the whole one.

        Borders, and those of charts, stay as they are: no texture smears over its seams. If that
        leaves more faces than were asked for, it has more.
        """
        light = _collapse(self._shell, faces)
        pairs = self._near(light)
        normals = self._normals(light, pairs)
        best = pairs.least(pairs.distances)
        shares = pairs.shares[best][:, :, None]
        whole_corners = self._mesh.faces[pairs.faces[best]]
        uv = self._mesh.uv
        if uv is not None:
            uv = (shares * uv[whole_corners]).sum(axis=1).astype(np.float32)
        return Mesh(
            vertices=light.vertices.astype(np.float32),
            faces=light.faces.astype(np.int32),
            colors=(shares * self._mesh.colors[whole_corners]).sum(axis=1).astype(np.float32),
            uv=uv,
            texture=self._mesh.texture,
            normals=normals.astype(np.float32),
        )

    def _near(self, light: "_Shell") -> "_Pairs":
        """The whole mesh's faces near the vertices of a lighter one, of their own charts if any is
        near.
        """
        mesh, points = self._mesh, light.vertices
        count = min(_CANDIDATES, len(self._used))
        _, near = self._tree.query(points, k=count)
        near = self._used[near.reshape(len(points), count)]
        around = np.diff(self._first_by_vertex)[near]  # the number of faces around each vertex
        places = _ranges(self._first_by_vertex[near].ravel(), around.ravel())
        faces = self._by_vertex[places] // 3
        total = around.sum(axis=1)
        point_of = np.repeat(np.arange(len(points)), total)
        triangles = mesh.vertices[mesh.faces[faces]].astype(float)
        nearest = trimesh.triangles.closest_point(triangles, points[point_of])
        distances = np.linalg.norm(nearest - points[point_of], axis=1)
        is_foreign = self._whole_charts[mesh.faces[faces, 0]] != light.charts[point_of]
        return _Pairs(
            starts=np.cumsum(total) - total,
            faces=faces,
            shares=_shares(triangles, nearest),
            distances=distances + is_foreign * mesh.length,
        )

    def _normals(self, light: "_Shell", pairs: "_Pairs") -> np.ndarray:
        """(f, 3, 3) normals at the corners of a lighter mesh: those of the whole one, on the side
        of an edge, or of a leaf, to which the face looks.
        """
        looks_to = np.repeat(_face_normals(light.vertices, light.faces), 3, axis=0)
        of_corners, corner = pairs.take(light.faces.ravel())
        facing = (self._face_normals[of_corners.faces] * looks_to[corner]).sum(axis=1)
        best = of_corners.least(of_corners.distances / self._cell + _TURNED_AWAY * (1 - facing))
        of_whole = self._corner_normals[of_corners.faces[best]]
        mixed = (of_corners.shares[best][:, :, None] * of_whole).sum(axis=1)
        return unit_vectors(mixed).reshape(-1, 3, 3)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shell:
    """vertices (v, 3) float64; faces (f, 3) int32; charts (v,) number the parts that are painted
    without a break.
    """

    vertices: np.ndarray
    faces: np.ndarray
    charts: np.ndarray


def _weld(mesh: Mesh, charts: np.ndarray, cell: float) -> _Shell:
    """The mesh with one vertex at most for each cell of a grid.

    Where the paint breaks, each chart (v,) keeps vertices of its own, at the same places.
    """
    _, cells = distinct_rows(np.round(mesh.vertices / cell))
    counts = np.bincount(cells)
    places = [np.bincount(cells, axis) / counts for axis in mesh.vertices.T.astype(float)]
    first, welded = distinct_rows(np.column_stack([cells, charts]))
    corners = welded[mesh.faces]
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]
    once, _ = distinct_rows(np.sort(corners, axis=1))
    used, faces = np.unique(corners[np.sort(once)], return_inverse=True)
    first = first[used]
    return _Shell(
        vertices=np.column_stack(places)[cells[first]],
        faces=faces.reshape(-1, 3).astype(np.int32),
        charts=charts[first],
    )


def _collapse(shell: _Shell, faces: int) -> _Shell:
    """The shell with so many faces, or as few as can be."""
    if faces >= len(shell.faces):
        return shell
    _, _, collapses = fast_simplification.simplify(
        shell.vertices,
        shell.faces,
        target_count=faces,
        agg=_AGGRESSIVENESS,
        return_collapses=True,
        preserve_border=True,
    )
    vertices, corners, successors = fast_simplification.replay_simplification(
        shell.vertices.astype(np.float32), shell.faces, collapses
    )
    charts = np.zeros(len(vertices), int)
    charts[successors] = shell.charts
    return _Shell(vertices=vertices.astype(float), faces=corners, charts=charts)


def _charts(mesh: Mesh) -> np.ndarray:
    """(v,) a number for the part of the mesh to which each vertex belongs: parts are painted
    without a break. All is one part where the mesh has one colour.
    """
    if mesh.uv is None and np.ptp(mesh.colors, axis=0).max() < _SAME_PAINT:
        return np.zeros(len(mesh.vertices), int)
    paint = mesh.colors if mesh.uv is None else np.column_stack([mesh.colors, mesh.uv])
    places = np.round(mesh.vertices / (_SAME_PLACE * mesh.length))
    first, same = distinct_rows(np.column_stack([places, np.round(paint / _SAME_PAINT)]))
    corners = same[mesh.faces]
    ends = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]]]).T
    edges = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(len(first), len(first)))
    _, parts = connected_components(edges, directed=False)
    return parts[same]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pairs:
    """Points, each with several faces that may be the nearest; the pairs of a point are adjacent.

    starts (n,) the first pair of each point; of each pair: faces, shares (p, 3) of the face's
    corners at its point that is nearest, and the distance to that
    """

    starts: np.ndarray
    faces: np.ndarray
    shares: np.ndarray
    distances: np.ndarray

    def least(self, costs: np.ndarray) -> np.ndarray:
        """(n,) the pair of each point whose cost is the least, of costs (p,)."""
        least = np.minimum.reduceat(costs, self.starts)
        counts = np.diff(self.starts, append=len(costs))
        is_least = np.flatnonzero(costs == np.repeat(least, counts))
        point_of = np.repeat(np.arange(len(self.starts)), counts)[is_least]
        _, first = np.unique(point_of, return_index=True)
        return is_least[first]

    def take(self, points: np.ndarray) -> tuple["_Pairs", np.ndarray]:
        """The pairs of some of the points, in this order, and the place (p,) in it of each pair."""
        counts = np.diff(self.starts, append=len(self.faces))[points]
        pairs = _ranges(self.starts[points], counts)
        taken = _Pairs(
            starts=np.cumsum(counts) - counts,
            faces=self.faces[pairs],
            shares=self.shares[pairs],
            distances=self.distances[pairs],
        )
        return taken, np.repeat(np.arange(len(points)), counts)


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of each of starts (n,), so many numbers as counts (n,) say."""
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + within


def _shares(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n, 3) shares of the corners of triangles (n, 3, 3) at points on them, 1 in all."""
    with np.errstate(divide="ignore", invalid="ignore"):  # triangles without area
        shares = trimesh.triangles.points_to_barycentric(triangles, points)
    shares = np.clip(np.nan_to_num(shares, posinf=0, neginf=0), 0, 1)
    total = shares.sum(axis=1, keepdims=True)
    return np.where(total > 0.5, shares / np.maximum(total, 0.5), np.array([1.0, 0.0, 0.0]))


def _face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return unit_vectors(np.cross(b - a, c - a))
