"""Raycast: draw a scene by casting rays against its meshes (Embree), with soft shadows and sky occlusion."""

from dataclasses import dataclass

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from syndet_ray import seeds
from syndet_ray.scenes.assets import die_mesh, normals, pip_coverage
from syndet_ray.scenes.scene import Camera, Ground, Light, Scene, rotations

# Rays are cast at every pixel's centre, and where neighbouring pixels see different things at these offsets too.
_EDGE_OFFSETS = ((-0.3, 0.15), (0.3, -0.15))
# One shadow ray and one sky ray leave every other pixel of every other row; those of so many such neighbours, in a square
# window of this side, stand in for many of a pixel's own.
_SHADOW_WINDOW, _SKY_WINDOW = 3, 5
# Shadow rays start this far, in metres, off the surface they leave.
_LIFT = 1e-4
_TABLE, _FLOOR, _WALL = -3, -2, -1


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the rays saw. radiance (h, w, 3) linear light; ids (h, w) index of the die at each pixel's centre, -1 where none."""

    radiance: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True, eq=False)
class _Hits:
    """Where n rays ended: points (n, 3) in the world, normals (n, 3), what (n,): a die's index, _WALL, _FLOOR or _TABLE."""

    points: np.ndarray
    normals: np.ndarray
    what: np.ndarray
    towards_eye: np.ndarray

    def select(self, index: np.ndarray) -> "_Hits":
        return _Hits(self.points[index], self.normals[index], self.what[index], self.towards_eye[index])


def draw(scene: Scene) -> Drawing:
    """Draws a scene. Deterministic: the jitter of the shadow rays follows from the sensor's seed."""
    size = scene.camera.size_px
    world = _World(scene)
    y, x = (axis.ravel().astype(np.float32) + np.float32(0.5) for axis in np.mgrid[0:size, 0:size])
    hits = world.cast(x, y)
    shade = _visibility(world, hits, scene.light, size, seeds.generator(scene.sensor.seed, "shadow"))
    light = world.shade(hits, shade)
    ids = hits.what.reshape(size, size)
    edge = np.flatnonzero(_edges(ids, hits.normals.reshape(size, size, 3)))
    if len(edge):
        for dx, dy in _EDGE_OFFSETS:
            light[edge] += world.shade(world.cast(x[edge] + np.float32(dx), y[edge] + np.float32(dy)), shade[edge])
        light[edge] /= 1 + len(_EDGE_OFFSETS)
    return Drawing(light.reshape(size, size, 3), np.maximum(ids, -1))


def silhouettes(scene: Scene) -> np.ndarray:
    """(n,) pixels whose centre lies in each die's whole silhouette, as if it were alone and the image endless.

    A die is convex, so its silhouette is the convex hull of its projected vertices; its pixels are counted row by row.
    """
    camera = scene.camera
    points = _die_vertices(scene) - np.array(camera.position)
    seen = points @ np.array(camera.rotation).T
    pixels = seen[..., :2] / seen[..., 2:] * camera.focal_px + camera.size_px / 2
    return np.array(
        [_pixels_inside(cv2.convexHull(hull.astype(np.float32))[:, 0].astype(float)) for hull in pixels], int
    )


class _World:
    """A scene's meshes in Embree, and its materials as arrays."""

    def __init__(self, scene: Scene) -> None:
        self._scene, ground = scene, scene.ground
        self._rotations = rotations(scene.dice).astype(np.float32)
        self._centres = np.array([die.position for die in scene.dice], np.float32).reshape(-1, 3)
        self._edges = np.array([die.edge for die in scene.dice], np.float32)
        mesh = die_mesh()
        self._triangles = len(mesh.faces)
        dice = _die_vertices(scene).reshape(-1, 3)
        walls, wall_faces = _walls(ground)
        n = len(scene.dice)
        faces = np.concatenate([mesh.faces + i * len(mesh.vertices) for i in range(n)] + [wall_faces + len(dice)])
        self._embree = EmbreeScene()
        self._mesh = TriangleMesh(
            self._embree, np.concatenate([dice, walls]).astype(np.float32), faces.astype(np.int32)
        )
        self._texture = _texture(ground)
        self._colors = np.array([die.color for die in scene.dice], np.float32).reshape(-1, 3)
        self._pip_colors = np.array([die.pip_color for die in scene.dice], np.float32).reshape(-1, 3)
        self._pip_radii = np.array([die.pip_radius for die in scene.dice], np.float32)
        self._gloss = np.array([die.gloss for die in scene.dice], np.float32)

    def cast(self, x: np.ndarray, y: np.ndarray) -> _Hits:
        """Where the rays through the pixel coordinates x, y (n,) end."""
        camera = self._scene.camera
        eye = np.array(camera.position, np.float32)
        directions = _directions(camera, x, y)
        origins = np.broadcast_to(eye, directions.shape)
        found = self._embree.run(np.ascontiguousarray(origins), directions, output=True)
        hit = found["primID"] >= 0
        # Whatever meets no mesh meets the ground: the camera looks down at an endless table.
        distance = np.where(hit, found["tfar"], -eye[2] / np.minimum(directions[:, 2], -1e-6)).astype(np.float32)
        points = eye + directions * distance[:, None]
        what = np.where(hit, found["primID"] // self._triangles, _FLOOR)
        what = np.where(hit & (what >= len(self._edges)), _WALL, what)
        ground = self._scene.ground
        outside = (np.abs(points[:, 0]) > ground.half_width) | (np.abs(points[:, 1]) > ground.half_depth)
        what = np.where(~hit & outside, _TABLE, what)
        return _Hits(points, self._normals(points, what, found["Ng"], directions), what, -directions)

    def occluded(self, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(n,) whether something lies in these directions from these points."""
        found = self._embree.run(np.ascontiguousarray(points), np.ascontiguousarray(directions), query="OCCLUDED")
        return found == 0

    def shade(self, hits: _Hits, visible: np.ndarray) -> np.ndarray:
        """(n, 3) light that leaves the hits for the eye; visible (n, 2) are the shares of key light and sky they receive."""
        light = self._scene.light
        albedo, gloss = self._albedo(hits)
        towards = np.array(light.direction, np.float32)
        facing = np.maximum(hits.normals @ towards, 0)
        # A sky that is brighter above than at the horizon, and a ground that returns a fifth of it.
        sky = (0.6 + 0.4 * hits.normals[:, 2]) * visible[:, 1]
        received = (facing * visible[:, 0])[:, None] * np.array(light.color, np.float32)
        received = received + sky[:, None] * np.array(light.sky_color, np.float32)
        found = albedo * received
        shiny = np.flatnonzero(gloss)
        halfway = _unit(hits.towards_eye[shiny] + towards)
        shine = np.maximum(_dot(hits.normals[shiny], halfway), 0) ** 60  # Blinn-Phong
        found[shiny] += (shine * gloss[shiny] * visible[shiny, 0])[:, None] * np.array(light.color, np.float32)
        return found

    def _normals(
        self, points: np.ndarray, what: np.ndarray, geometric: np.ndarray, directions: np.ndarray
    ) -> np.ndarray:
        found = np.zeros_like(points)
        found[:, 2] = 1
        dice = np.flatnonzero(what >= 0)
        turned = np.einsum("nij,nj->ni", self._rotations[what[dice]], normals(self._local(points[dice], what[dice])))
        found[dice] = turned
        walls = np.flatnonzero(what == _WALL)
        flat = _unit(geometric[walls])
        found[walls] = np.where(_dot(flat, directions[walls])[:, None] > 0, -flat, flat)
        return found

    def _local(self, points: np.ndarray, dice: np.ndarray) -> np.ndarray:
        """Points in the frame of their die, of edge 1."""
        moved = (points - self._centres[dice]) / self._edges[dice, None]
        return np.einsum("nji,nj->ni", self._rotations[dice], moved)

    def _albedo(self, hits: _Hits) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) colours and (n,) strengths of the highlight."""
        ground = self._scene.ground
        colors = np.array([ground.table_color, ground.floor_color, ground.wall_color], np.float32)
        albedo, gloss = colors[np.minimum(hits.what, -1) + 3], np.zeros(len(hits.what), np.float32)
        flat = np.flatnonzero(hits.what < _WALL)
        albedo[flat] *= self._pattern(hits.points[flat])[:, None]
        dice = np.flatnonzero(hits.what >= 0)
        which = hits.what[dice]
        camera = self._scene.camera
        pixel = np.float32(np.linalg.norm(camera.position) / camera.focal_px)  # metres that a pixel spans on the tray
        local = self._local(hits.points[dice], which)
        painted = pip_coverage(local, self._pip_radii[which], pixel / self._edges[which])[:, None]
        albedo[dice] = self._colors[which] * (1 - painted) + self._pip_colors[which] * painted
        gloss[dice] = self._gloss[which]
        return albedo, gloss

    def _pattern(self, points: np.ndarray) -> np.ndarray:
        side = len(self._texture)
        at = (points[:, :2] * (side / self._scene.ground.texture_scale)).astype(int) % side
        return self._texture[at[:, 1], at[:, 0]]


def _directions(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, 3) float32 unit directions of the rays through pixel coordinates."""
    middle, focal = np.float32(camera.size_px / 2), np.float32(camera.focal_px)
    seen = np.stack([(x - middle) / focal, (y - middle) / focal, np.ones_like(x)], axis=1)
    return _unit(seen @ np.array(camera.rotation, np.float32))


def _visibility(world: _World, hits: _Hits, light: Light, size: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) the share of the key light, and of the sky, that reaches each hit: few random rays, smoothed."""
    some = np.arange(size * size).reshape(size, size)[::2, ::2]
    normals = hits.normals[some.ravel()]
    lifted = hits.points[some.ravel()] + normals * np.float32(_LIFT)
    jitter = rng.standard_normal(lifted.shape, np.float32)
    key = ~world.occluded(lifted, np.array(light.direction, np.float32) + jitter * np.float32(light.radius / 2))
    # The normal plus a point of the unit sphere is distributed as the cosine: Lambert's law by sampling.
    sky = ~world.occluded(lifted, normals * np.float32(1.001) + _unit(jitter[::-1]))
    on_dice = hits.what.reshape(size, size) >= 0
    shadow = _spread(key.reshape(some.shape), on_dice, _SHADOW_WINDOW)
    return np.stack([shadow, 0.25 + 0.75 * _spread(sky.reshape(some.shape), on_dice, _SKY_WINDOW)], axis=1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) of two (n, 3)."""
    return np.einsum("ni,ni->n", a, b)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(n, 3), each of length 1."""
    return vectors / np.sqrt(np.maximum(_dot(vectors, vectors), 1e-18))[:, None]


def _spread(values: np.ndarray, on_dice: np.ndarray, window: int) -> np.ndarray:
    """Values at every other pixel, (h/2, w/2), smoothed and brought to all (h * w,); dice and ground are kept apart."""
    height, width = on_dice.shape
    found = np.ones(on_dice.shape, np.float32)
    for mask in (on_dice, ~on_dice):
        weight = mask[::2, ::2].astype(np.float32)
        near = cv2.blur(weight, (window, window))
        mixed = np.where(near > 1e-6, cv2.blur(values * weight, (window, window)) / np.maximum(near, 1e-6), 1)
        found[mask] = cv2.resize(mixed, (width, height), interpolation=cv2.INTER_LINEAR)[mask]
    return found.ravel()


def _edges(ids: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """(h, w) where a pixel and its neighbour see different things, or different faces of one."""
    found = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        here, there = (
            (slice(None, -1), slice(1, None))
            if axis == 0
            else ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))
        )
        differ = (ids[here] != ids[there]) | (np.einsum("yxi,yxi->yx", facing[here], facing[there]) < 0.8)
        found[here] |= differ
        found[there] |= differ
    return found


def _die_vertices(scene: Scene) -> np.ndarray:
    """(n, v, 3) vertices of every die in the world."""
    edges = np.array([die.edge for die in scene.dice])[:, None, None]
    centres = np.array([die.position for die in scene.dice]).reshape(-1, 1, 3)
    return np.einsum("nij,vj->nvi", rotations(scene.dice), die_mesh().vertices) * edges + centres


def _walls(ground: Ground) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of the tray's four walls."""
    w, d, t, h = ground.half_width, ground.half_depth, ground.wall_thickness, ground.wall_height
    if h <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3), int)
    boxes = ((-w - t, w + t, d, d + t), (-w - t, w + t, -d - t, -d), (-w - t, -w, -d, d), (w, w + t, -d, d))
    vertices = [[(x, y, z) for x in (x1, x2) for y in (y1, y2) for z in (0, h)] for x1, x2, y1, y2 in boxes]
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))
    faces = [[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)]
    return np.array(vertices).reshape(-1, 3), np.concatenate([np.array(faces) + 8 * i for i in range(4)])


def _texture(ground: Ground, side: int = 256) -> np.ndarray:
    """(side, side) brightness factors around 1: noise in octaves, stretched to a grain for "wood", finest for "cloth"."""
    rng = seeds.generator(ground.texture_seed, "texture")
    found = np.zeros((side, side), np.float32)
    for cells in {"plain": (2, 4), "speckle": (4, 64, 128), "wood": (4, 32, 64), "cloth": (8, 128)}[ground.texture]:
        coarse = rng.normal(size=(cells, 2 if ground.texture == "wood" else cells)).astype(np.float32)
        found += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(1 + ground.texture_contrast * found / max(1e-6, float(found.std())), 0.2, 1.8)


def _pixels_inside(hull: np.ndarray) -> int:
    """Pixel centres inside a convex polygon (m, 2): in each row, those between its left and right border."""
    rows = np.arange(np.floor(hull[:, 1].min() - 0.5), np.ceil(hull[:, 1].max()) + 1) + 0.5
    start, end = hull, np.roll(hull, -1, axis=0)
    crosses = (start[:, 1] <= rows[:, None]) != (end[:, 1] <= rows[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        x = start[:, 0] + (rows[:, None] - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
    left, right = np.where(crosses, x, np.inf).min(axis=1), np.where(crosses, x, -np.inf).max(axis=1)
    inside = np.isfinite(left)
    return int((np.floor(right[inside] - 0.5) - np.ceil(left[inside] - 0.5) + 1).clip(0).sum())
