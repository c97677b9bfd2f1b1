"""Tracing: finds what rays meet in a scene (Embree).

To hand a large mesh to Embree takes longer than to cast rays at it. So each lies in an Embree scene
of its own, which all scenes share, and rays are cast in the frame of every body of this mesh:
those through the pixels around it, or those that come near it. Dice, walls and small meshes lie in
one Embree scene, which is made for each scene.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from syndet_ray.scenes.detail import light_mesh
from syndet_ray.scenes.dice import die_faces, die_vertices
from syndet_ray.scenes.library import DICE, Library, Mesh, embree_of, outline
from syndet_ray.scenes.materials import HORIZON, WALL
from syndet_ray.scenes.projection import directions, project, unit
from syndet_ray.scenes.scene import Body, Camera, Ground, Scene

# Faces of a mesh that takes as long to hand to Embree as rays take to be cast in one more frame.
_LARGE = 500
# Share by which single precision may err on the squares of lengths in a scene.
_ROUNDING = np.float32(1e-5)
# Bodies that reach nearer to the camera's plane than this, in metres, may cover any pixel.
_NEAREST_M = 1e-6
# What a ray meets that meets no body and no wall.
NOTHING = HORIZON - 1
# Coordinates of a point, each with each: the products in the square of a product of vectors.
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelRays:
    """n rays from the camera along directions (3, n), unit vectors, through pixels (m,) of an
    image, by their index in it: m rays through one pixel each, then m rays again, and so on.
    """

    directions: np.ndarray
    pixels: np.ndarray
    size_wh: tuple[int, int]

    @cached_property
    def _first(self) -> np.ndarray:
        """(h, w) the first ray through each pixel, -1 where there is none."""
        width, height = self.size_wh
        first = np.full(height * width, -1)
        first[self.pixels] = np.arange(len(self.pixels))
        return first.reshape(height, width)

    def within(self, window: tuple[slice, slice]) -> np.ndarray:
        """(k,) the rays through the pixels of a window, rows and columns."""
        first = self._first[window].ravel()
        first = first[first >= 0]
        starts = np.arange(0, self.directions.shape[1], max(1, len(self.pixels)))
        return (first + starts[:, None]).ravel()


@dataclass(frozen=True, eq=False, kw_only=True)
class Traced:
    """The ends of n rays: what each met first.

    bodies     (n,) index of the body, WALL or NOTHING
    distances  (n,) metres; triangles (n,) of the body's mesh, and weights (2, n) of their second
               and third corner; any number where a ray met nothing
    flat       (n, 3) normals, of any length, of the walls
    met        (bodies,) the number of rays that met each body, or what hides it; -1 where that is
               not counted, or the image's border cuts the body
    """

    bodies: np.ndarray
    distances: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray
    flat: np.ndarray
    met: np.ndarray


class Tracer:
    """The meshes of a scene's bodies, and its walls, ready for rays."""

    def __init__(self, scene: Scene, library: Library) -> None:
        self._camera = scene.camera
        large: list[int] = []
        small: list[int] = []
        for i, body in enumerate(scene.bodies):
            (large if _is_large(body, library) else small).append(i)
        self._pile = _Pile(scene, library, small)
        self._instances = [_Instance.of(scene, i, library) for i in large]
        self._number_of_bodies = len(scene.bodies)
        self._ball_terms = _ball_terms(self._instances) if large else None

    def nearest(self, rays: PixelRays) -> Traced:
        """The ends of the rays."""
        eye = np.array(self._camera.position, np.float32)
        traced = self._pile.nearest(eye, rays.directions)
        met = np.full(self._number_of_bodies, -1)
        for instance in self._instances:
            count = instance.meet(rays, traced)
            met[instance.body] = count if instance.is_inside else -1
        return replace(traced, met=met)

    def is_occluded(self, points: np.ndarray, towards: np.ndarray) -> np.ndarray:
        """(n,) True where something lies in these directions (3, n) from these points (3, n)."""
        occluded = self._pile.is_occluded(points, towards)
        if self._ball_terms is None:
            return occluded
        is_near = _are_near(self._ball_terms, points, towards)
        for instance, near in zip(self._instances, is_near, strict=True):
            rays = np.flatnonzero(near & ~occluded)
            if len(rays):
                from_points = points.take(rays, axis=1)
                hits = instance.occludes(from_points, towards.take(rays, axis=1))
                occluded[rays[hits]] = True
        return occluded


class _Pile:
    """Dice, small meshes and walls in one Embree scene."""

    def __init__(self, scene: Scene, library: Library, small: list[int]) -> None:
        bodies = tuple(scene.bodies[i] for i in small)
        wall_vertices, wall_faces = walls(scene.ground)
        vertices = [*world_vertices(replace(scene, bodies=bodies), library), wall_vertices]
        faces = [*(body_faces(body, library) for body in bodies), wall_faces]
        counts = [len(triangles) for triangles in faces]
        self._owner = np.repeat([*small, WALL], counts)
        self._number = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
        if not len(self._owner):
            return
        first = np.cumsum([0, *(len(points) for points in vertices[:-1])])
        triangles = [f + start for f, start in zip(faces, first, strict=True)]
        self._embree = EmbreeScene()
        # Embree reads the arrays for as long as the mesh lives.
        self._mesh = TriangleMesh(
            self._embree,
            np.concatenate(vertices).astype(np.float32),
            np.concatenate(triangles).astype(np.int32),
        )

    def nearest(self, eye: np.ndarray, towards: np.ndarray) -> Traced:
        """The ends of rays from the eye (3,) in directions (3, n); no body counts them."""
        if not len(self._owner):
            return _nothing_met(towards.shape[1])
        traced = _run(self._embree, eye, towards)
        triangles = traced["primID"]
        return Traced(
            bodies=np.where(triangles >= 0, self._owner.take(triangles, mode="clip"), NOTHING),
            distances=traced["tfar"],  # of rays that meet nothing it is huge
            triangles=self._number.take(triangles, mode="clip"),
            weights=np.stack([traced["u"], traced["v"]]),
            flat=traced["Ng"],
            met=np.zeros(0, int),
        )

    def is_occluded(self, points: np.ndarray, towards: np.ndarray) -> np.ndarray:
        """(n,) True where any of them lies in these directions (3, n) from these points (3, n)."""
        if not len(self._owner):
            return np.zeros(points.shape[1], bool)
        return _run(self._embree, points.T, towards, query="OCCLUDED") == 0


def _nothing_met(n: int) -> Traced:
    """The ends of n rays where there is nothing."""
    return Traced(
        bodies=np.full(n, NOTHING),
        distances=np.full(n, np.inf, np.float32),
        triangles=np.zeros(n, np.int32),
        weights=np.zeros((2, n), np.float32),
        flat=np.zeros((n, 3), np.float32),
        met=np.zeros(0, int),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Instance:
    """A body whose mesh lies in an Embree scene that it shares with others.

    window  the pixels of the image around it, rows and columns; is_inside if all of it is there
    inward  (3, 3) float32, from the world's directions to its frame; eye (3,) the camera's place
            there; centre (3,) float32 of its frame in the world, scale metres per unit
    radius  of a ball around the centre that holds it, metres
    """

    body: int
    embree: EmbreeScene
    window: tuple[slice, slice]
    is_inside: bool
    inward: np.ndarray
    eye: np.ndarray
    centre: np.ndarray
    scale: np.float32
    radius: float

    @staticmethod
    def of(scene: Scene, index: int, library: Library) -> "_Instance":
        body = scene.bodies[index]
        mesh = light_mesh(library.assets[body.asset])
        turn = np.array(body.rotation)
        embree, _ = embree_of(mesh)
        window, is_inside = _window(_outline_m(body, mesh), scene.camera)
        return _Instance(
            body=index,
            embree=embree,
            window=window,
            is_inside=is_inside,
            inward=turn.T.astype(np.float32),
            eye=_eye_in(body, scene.camera),
            centre=np.array(body.position, np.float32),
            scale=np.float32(body.scale),
            radius=float(np.linalg.norm(outline(mesh), axis=1).max()) * body.scale,
        )

    def meet(self, rays: PixelRays, traced: Traced) -> int:
        """Enters this body into `traced` where it lies before what rays met so far.

        Returns the number of rays that meet it, also behind something else.
        """
        around = rays.within(self.window)
        if not len(around):
            return 0
        hits = _run(self.embree, self.eye, self.inward @ rays.directions.take(around, axis=1))
        distances = hits["tfar"] * self.scale
        is_met = hits["primID"] >= 0
        first = np.flatnonzero(is_met & (distances < traced.distances.take(around)))
        visible = around.take(first)
        traced.bodies[visible] = self.body
        traced.distances[visible] = distances.take(first)
        traced.triangles[visible] = hits["primID"].take(first)
        traced.weights[0, visible] = hits["u"].take(first)
        traced.weights[1, visible] = hits["v"].take(first)
        return int(np.count_nonzero(is_met))

    def occludes(self, points: np.ndarray, towards: np.ndarray) -> np.ndarray:
        """(n,) True where it lies in these directions (3, n) from these points (3, n)."""
        starts = self.inward @ ((points - self.centre[:, None]) / self.scale)
        return _run(self.embree, starts.T, self.inward @ towards, query="OCCLUDED") == 0


def _ball_terms(instances: list[_Instance]) -> np.ndarray:
    """(k, 11) float32 terms of the balls around bodies, see `_are_near`."""
    centres = np.array([instance.centre for instance in instances])
    radii = np.array([instance.radius for instance in instances], np.float32)
    lengths_2 = (centres * centres).sum(axis=1) * (1 - _ROUNDING)
    least = lengths_2 - radii * radii * (1 + _ROUNDING)
    crossed = [-centres[:, i] * centres[:, j] * (1 if i == j else 2) for i, j in _PAIRS]
    return np.column_stack([-2 * centres, np.ones_like(least), least, *crossed])


def _are_near(ball_terms: np.ndarray, points: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """(k, n) True where the line through a point (3, n) along a direction (3, n) meets each of k
    balls.

    With p the foot of the perpendicular from the origin to the line, of unit direction d, the
    square of the distance of a point c is |c|^2 + |p|^2 - 2 c p - (c d)^2: a sum of products of
    terms of c and terms of the line, which one product of matrices computes for all pairs.
    """
    along = unit(towards)
    foot = points - along * (points * along).sum(axis=0)
    foot_2 = (foot * foot).sum(axis=0) * (1 - _ROUNDING)
    crossed = [along[i] * along[j] for i, j in _PAIRS]
    line_terms = np.stack([*foot, foot_2, np.ones_like(foot_2), *crossed])
    return ball_terms @ line_terms < 0


def silhouette_alone(scene: Scene, index: int, library: Library) -> int:
    """The number of pixels whose centre lies on a body, as if it were alone and the image endless,
    by the same rays as `render`.
    """
    body, camera = scene.bodies[index], scene.camera
    mesh = light_mesh(library.assets[body.asset])
    corners = project(_outline_m(body, mesh), camera)
    # An object so near that it spans many images is cut at four of them on each side.
    size_wh = np.array(camera.size_wh)
    least, most = -4 * size_wh, 5 * size_wh
    low = np.clip(np.floor(corners.min(axis=0)), least, most).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), least, most).astype(int)
    pixels = np.mgrid[low[1] : high[1], low[0] : high[0]].reshape(2, -1)
    y, x = pixels.astype(np.float32) + np.float32(0.5)
    if not len(x):
        return 0
    towards = directions(camera, x, y)
    embree, _ = embree_of(mesh)
    inward = np.array(body.rotation).T.astype(np.float32)
    distances = _run(embree, _eye_in(body, camera), inward @ towards, query="OCCLUDED")
    return int((distances == 0).sum())


def body_faces(body: Body, library: Library) -> np.ndarray:
    """(f, 3) vertex indices of a body's triangles, counter-clockwise seen from outside."""
    return die_faces() if body.asset == "die" else light_mesh(library.assets[body.asset]).faces


def world_vertices(scene: Scene, library: Library = DICE) -> list[np.ndarray]:
    """The vertices (v, 3) of every body in the world, metres."""
    roundings = [body.die.rounding for body in scene.bodies if body.die is not None]
    dice = iter(die_vertices(np.array(roundings)))
    in_world = []
    for body in scene.bodies:
        is_die = body.die is not None
        local = next(dice) if is_die else light_mesh(library.assets[body.asset]).vertices
        turn = np.array(body.rotation).T * body.scale
        in_world.append(local @ turn + np.array(body.position))
    return in_world


def walls(ground: Ground) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (32, 3) and triangles (48, 3) of the tray's four walls; empty where it has none."""
    w, d, t, h = ground.half_width, ground.half_depth, ground.wall_thickness, ground.wall_height
    if h <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3), int)
    boxes = (
        (-w - t, w + t, d, d + t),
        (-w - t, w + t, -d - t, -d),
        (-w - t, -w, -d, d),
        (w, w + t, -d, d),
    )
    vertices = [list(product((x1, x2), (y1, y2), (0, h))) for x1, x2, y1, y2 in boxes]
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))
    faces = []
    for a, b, c, d in quads:
        faces += [[a, b, c], [a, c, d]]
    of_each_box = [np.array(faces) + 8 * i for i in range(len(boxes))]
    return np.array(vertices).reshape(-1, 3), np.concatenate(of_each_box)


def _is_large(body: Body, library: Library) -> bool:
    return body.die is None and len(light_mesh(library.assets[body.asset]).faces) >= _LARGE


def _outline_m(body: Body, mesh: Mesh) -> np.ndarray:
    """(v, 3) the corners of a body's convex hull in the world."""
    return outline(mesh) @ (np.array(body.rotation).T * body.scale) + np.array(body.position)


def _window(corners: np.ndarray, camera: Camera) -> tuple[tuple[slice, slice], bool]:
    """The rows and columns of the image in which a body may be, of the corners (v, 3) of its hull
    in the world; and whether all of it is in the image.
    """
    width, height = camera.size_wh
    depths = (corners - np.array(camera.position)) @ np.array(camera.rotation)[2]
    if depths.min() < _NEAREST_M:
        return (slice(0, height), slice(0, width)), False
    outline_px = project(corners, camera)
    least, most = np.floor(outline_px.min(axis=0)), np.ceil(outline_px.max(axis=0))
    low = np.clip(least, 0, camera.size_wh).astype(int)
    high = np.clip(most, 0, camera.size_wh).astype(int)
    is_inside = bool((low == least).all() and (high == most).all())
    return (slice(low[1], high[1]), slice(low[0], high[0])), is_inside


def _eye_in(body: Body, camera: Camera) -> np.ndarray:
    """(3,) float32 the camera's place in a body's frame."""
    from_body = np.array(camera.position) - body.position
    return (from_body @ np.array(body.rotation) / body.scale).astype(np.float32)


def _run(
    embree: EmbreeScene, origins: np.ndarray, directions: np.ndarray, query: str = "INTERSECT"
) -> Any:
    """Casts rays from origins, (n, 3) or (3,) for all, along directions (3, n).

    Returns Embree's arrays by name, or for "OCCLUDED" (n,) 0 where something is hit.
    """
    rays = np.ascontiguousarray(directions.T)
    starts = np.empty_like(rays)
    starts[:] = origins
    return embree.run(starts, rays, query=query, output=query == "INTERSECT")
