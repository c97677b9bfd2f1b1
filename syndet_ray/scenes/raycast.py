"""Raycast: draw a scene by casting rays against its meshes (Embree), with soft shadows and sky occlusion."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from syndet_ray import seeds
from syndet_ray.scenes.assets import die_faces, die_vertices, face_axis, normals
from syndet_ray.scenes.materials import FLOOR, TABLE, WALL, Materials
from syndet_ray.scenes.scene import Camera, Ground, Light, Scene, rotations

# Rays are cast at every pixel's centre, and where neighbouring pixels see different things at these offsets too.
_EDGE_OFFSETS = ((-0.3, 0.15), (0.3, -0.15))
# One shadow ray and one sky ray leave every other pixel of every other row. Each of the 4 x 4 that neighbour one
# another aims at its own 16th of the lamp and the sky, and a pixel averages the 16 around it (interleaved sampling,
# Keller and Heidrich, 2001): smooth shadows for half a ray per pixel.
_TILE = 4
# Shadow rays start this far, in metres, off the surface they leave.
_LIFT = 1e-4
# How much a level mirror reflects of what it faces, and how much brighter than its surroundings the lamp looks in it.
_MIRROR, _LAMP_GLARE = 0.05, 14.0


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the rays saw: radiance (h, w, 3) linear light; ids (h, w) the die at each pixel's centre, -1 where none."""

    radiance: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True, eq=False)
class _Hits:
    """Where n rays ended. Vectors are (3, n): NumPy is several times faster along long rows than across short ones.

    points, normals, towards_eye (3, n) in the world; what (n,) a die's index, WALL, FLOOR or TABLE; codes (n,) equal
    where points lie on the same face of the same thing; dice (m,) the rays that met dice, local (3, m) where, on a die
    of edge 1 in its own frame, and face (m,) on which row of `FACE_AXES`.
    """

    points: np.ndarray
    normals: np.ndarray
    towards_eye: np.ndarray
    what: np.ndarray
    codes: np.ndarray
    dice: np.ndarray
    local: np.ndarray
    face: np.ndarray


def draw(scene: Scene) -> Drawing:
    """Draws a scene: a function of the scene alone, as the jitter of its rays follows from `scene.jitter`."""
    _keep_memory()
    size = scene.camera.size_px
    world = _World(scene)
    y, x = np.indices((size, size), np.float32).reshape(2, -1) + np.float32(0.5)
    hits = world.cast(x, y)
    open_to = _openness(world, hits, scene, size)
    light = world.shade(hits, open_to)
    edge = np.flatnonzero(_borders(hits.what.reshape(size, size)))
    dx, dy = np.array(_EDGE_OFFSETS, np.float32).T[:, :, None]
    beside = world.cast((x[edge] + dx).ravel(), (y[edge] + dy).ravel())
    more = world.shade(beside, np.tile(open_to[:, edge], len(_EDGE_OFFSETS)))
    light[:, edge] += more.reshape(3, len(_EDGE_OFFSETS), -1).sum(axis=1)
    light[:, edge] /= 1 + len(_EDGE_OFFSETS)
    radiance = np.ascontiguousarray(light.T).reshape(size, size, 3)
    return Drawing(radiance, np.maximum(hits.what, -1).reshape(size, size))


@cache
def _keep_memory() -> None:
    """Makes glibc reuse the memory of our large arrays instead of handing it back after each: a tenth of all time.

    It keeps blocks up to the size of the largest one ever freed (mallopt(3), M_MMAP_THRESHOLD): free a large one, once,
    that was never touched and so never cost memory.
    """
    np.empty(24 << 20, np.uint8)


class _World:
    """A scene's meshes in Embree, and its materials as arrays."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._turns = np.ascontiguousarray(rotations(scene.dice).transpose(1, 2, 0), np.float32)
        self._centres = np.array([die.position for die in scene.dice], np.float32).T
        self._edges = np.array([die.edge for die in scene.dice], np.float32)
        self._materials = Materials(scene.dice, scene.ground)
        points, faces = world_vertices(scene), die_faces()
        n, vertices_each = points.shape[:2]
        walls, wall_faces = _walls(scene.ground)
        dice_faces = (faces[None] + np.arange(n)[:, None, None] * vertices_each).reshape(-1, 3)
        vertices = np.concatenate([points.reshape(-1, 3), walls]).astype(np.float32)
        self._triangles = len(faces)
        self._embree = EmbreeScene()
        # Embree reads the arrays for as long as the mesh lives.
        self._mesh = TriangleMesh(
            self._embree, vertices, np.concatenate([dice_faces, wall_faces + n * vertices_each]).astype(np.int32)
        )

    def cast(self, x: np.ndarray, y: np.ndarray) -> _Hits:
        """Where the rays through the pixel coordinates x, y (n,) end."""
        eye = np.array(self._scene.camera.position, np.float32)
        directions = _directions(self._scene.camera, x, y)
        rays = np.ascontiguousarray(directions.T)
        found = self._embree.run(np.ascontiguousarray(np.broadcast_to(eye, rays.shape)), rays, output=True)
        hit = found["primID"] >= 0
        # Whatever meets no mesh meets the ground: the camera looks down at an endless table.
        distance = np.where(hit, found["tfar"], -eye[2] / np.minimum(directions[2], np.float32(-1e-6)))
        points = eye[:, None] + directions * distance
        what = self._met(found["primID"], points)
        outward = np.zeros_like(points)
        outward[2] = 1
        dice, walls = np.flatnonzero(what >= 0), np.flatnonzero(what == WALL)
        which = what.take(dice)
        turns = self._turns.take(which, axis=2)
        moved = (points.take(dice, axis=1) - self._centres.take(which, axis=1)) / self._edges.take(which)
        local = (turns * moved[:, None]).sum(axis=0)
        outward[:, dice] = (turns * normals(local, self._materials.roundings.take(which))).sum(axis=1)
        outward[:, walls] = _towards(_unit(found["Ng"][walls].T), -directions[:, walls])
        face, codes = face_axis(local), what * 6
        codes[dice] += face
        codes[walls] += face_axis(outward[:, walls])
        return _Hits(points, outward, -directions, what, codes, dice, local, face)

    def _met(self, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) a die's index, WALL, FLOOR or TABLE of the triangles (n,) at points (3, n); triangle -1 is none."""
        ground = self._scene.ground
        on_floor = (np.abs(points[0]) <= ground.half_width) & (np.abs(points[1]) <= ground.half_depth)
        what = np.where(triangles < 0, np.where(on_floor, FLOOR, TABLE), triangles // self._triangles)
        what[what >= len(self._edges)] = WALL
        return what

    def occluded(self, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(n,) whether something lies in these directions (3, n) from these points (3, n)."""
        origins, rays = np.ascontiguousarray(points.T), np.ascontiguousarray(directions.T)
        return self._embree.run(origins, rays, query="OCCLUDED") == 0

    def shade(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, n) light that leaves the hits for the eye; open_to (2, n) are the shares of lamp and sky they receive."""
        light = self._scene.light
        towards = np.array(light.direction, np.float32)
        near = np.clip(1 + np.array(light.slope, np.float32) @ hits.points[:2], 0.5, 1.5)
        lamp = np.maximum((towards / towards[2]) @ hits.normals, 0) * open_to[0] * near
        # The sky is brighter above than at the horizon.
        sky = (np.float32(0.65) + np.float32(0.35) * hits.normals[2]) * open_to[1] * near
        found = self._albedo(hits)
        found *= _colored(light, lamp, sky)
        found[:, hits.dice] += self._mirrored(hits, open_to.take(hits.dice, axis=1))
        return found

    def _albedo(self, hits: _Hits) -> np.ndarray:
        camera = self._scene.camera
        albedo = self._materials.ground(np.minimum(hits.what, WALL), hits.points)
        # A pip's border is as soft as the pixel that sees it is wide.
        pixel = np.linalg.norm(camera.position) / camera.focal_px / self._edges.mean()
        albedo[:, hits.dice] = self._materials.dice(hits.what.take(hits.dice), hits.local, hits.face, float(pixel))
        return albedo

    def _mirrored(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, m) what the dice mirror of lamp and sky: more where they are seen at a slant (Schlick, 1994)."""
        light = self._scene.light
        facing, eye = hits.normals.take(hits.dice, axis=1), hits.towards_eye.take(hits.dice, axis=1)
        slant = (facing * eye).sum(axis=0)
        mirrored = 2 * slant * facing - eye
        grazing = 1 - np.clip(slant, 0, 1)
        share = _MIRROR + (1 - _MIRROR) * (grazing * grazing) * (grazing * grazing) * grazing
        share = share * self._materials.gloss.take(hits.what.take(hits.dice))
        # The lamp's border is 0.1 rad soft; between directions a angles apart lies a chord of 2 sin(a / 2).
        off = np.sqrt(np.maximum(2 - 2 * (np.array(light.direction, np.float32) @ mirrored), 0))
        lamp = np.clip((light.radius - off) / 0.1 + 0.5, 0, 1) * _LAMP_GLARE * open_to[0]
        return _colored(light, share * lamp, share * np.clip(mirrored[2], 0, 1) * open_to[1])


def _colored(light: Light, lamp: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """(3, n) light of amounts (n,) of the lamp and of the sky."""
    return np.array([light.color, light.sky_color], np.float32).T @ np.stack([lamp, sky])


def world_vertices(scene: Scene) -> np.ndarray:
    """(n, v, 3) vertices of every die in the world, metres."""
    edges = np.array([die.edge for die in scene.dice])[:, None, None]
    centres = np.array([die.position for die in scene.dice]).reshape(-1, 1, 3)
    shapes = die_vertices(np.array([die.rounding for die in scene.dice]))
    return np.einsum("nij,nvj->nvi", rotations(scene.dice), shapes) * edges + centres


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(..., 2) pixel coordinates of points (..., 3) in the world, continuous, origin at the image's top left corner."""
    seen = (points - np.array(camera.position)) @ np.array(camera.rotation).T
    return seen[..., :2] / seen[..., 2:] * camera.focal_px + camera.size_px / 2


def _directions(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(3, n) float32 unit directions of the rays through pixel coordinates: the inverse of `project`."""
    middle, focal = np.float32(camera.size_px / 2), np.float32(camera.focal_px)
    seen = np.stack([(x - middle) / focal, (y - middle) / focal, np.ones_like(x)])
    return _unit(np.array(camera.rotation, np.float32).T @ seen)


def _openness(world: _World, hits: _Hits, scene: Scene, size: int) -> np.ndarray:
    """(2, n) the share of the lamp, and of the sky, that reaches each hit."""
    rng = seeds.generator(scene.jitter, "shadow")
    some = np.arange(size * size).reshape(size, size)[::2, ::2]
    rows, columns = np.indices(some.shape)
    cell = (rows % _TILE * _TILE + columns % _TILE).ravel()
    facing = hits.normals.take(some.ravel(), axis=1)
    lifted = hits.points.take(some.ravel(), axis=1) + facing * np.float32(_LIFT)
    lamp = np.array(scene.light.direction)[:, None] + scene.light.radius * _ball(rng)
    # A normal plus a point of the unit sphere is distributed as the cosine: Lambert's law by sampling.
    sky = _sphere(rng)
    lit = ~world.occluded(lifted, lamp.astype(np.float32).take(cell, axis=1))
    lit_by_sky = ~world.occluded(lifted, facing * np.float32(1.001) + sky.astype(np.float32).take(cell, axis=1))
    codes = hits.codes.reshape(size, size)
    shares = _averaged(lit.reshape(some.shape), lit_by_sky.reshape(some.shape), codes)
    # Light that is kept out is partly replaced by what the surroundings throw back.
    shares[1] = 0.2 + 0.8 * shares[1]
    return shares


def _sphere(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly over the unit sphere (Fibonacci's spiral), turned at random, in random order."""
    k = np.arange(_TILE**2) + 0.5
    z, angle = 1 - 2 * k / _TILE**2, np.pi * (1 + np.sqrt(5)) * k + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z * z)
    return rng.permutation(np.stack([flat * np.cos(angle), flat * np.sin(angle), z]), axis=1)


def _ball(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly through the unit ball: a lamp of that radius, seen from anywhere."""
    radius = (rng.permutation(_TILE**2) + 0.5) / _TILE**2
    return _sphere(rng) * np.cbrt(radius)


def _averaged(lit: np.ndarray, lit_by_sky: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(2, h * w) averages at each pixel of what was found at every other one, (h/2, w/2) bool, in the tile around it.

    Only neighbours of the same code (h, w) count: light does not leak from face to face.
    """
    # Three counts that each reach 16 travel in one integer, 5 bits each, so that one pass sums them all.
    packed = _padded(lit.astype(np.uint16) + 32 * lit_by_sky.astype(np.uint16) + np.uint16(1024))
    # The four pixels that share a sample, each as a plane of its own: whole rows at a time instead of steps of two.
    height, width = lit.shape
    even = np.pad(codes, ((0, codes.shape[0] % 2), (0, codes.shape[1] % 2)), mode="edge").astype(np.int16)
    planes = np.stack([even[row::2, column::2] for row in (0, 1) for column in (0, 1)])
    neighbours = _padded(planes[0])
    total = np.zeros(planes.shape, np.uint16)
    for y in range(_TILE):
        for x in range(_TILE):
            window = slice(y, y + height), slice(x, x + width)
            total += packed[window] * (planes == neighbours[window]).astype(np.uint16)
    whole = total.reshape(2, 2, height, width).transpose(2, 0, 3, 1).reshape(2 * height, 2 * width)
    sums = whole[: codes.shape[0], : codes.shape[1]].ravel()
    counts = np.stack([sums & 31, sums >> 5 & 31]).astype(np.float32)
    number = (sums >> 10).astype(np.float32)
    # A face so small that no ray left it is taken to be open.
    return np.where(number == 0, np.float32(1), counts / np.maximum(number, 1))


def _padded(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (_TILE // 2 - 1, _TILE // 2), mode="edge")


def _borders(what: np.ndarray) -> np.ndarray:
    """(h, w) where a pixel and its neighbour see different things."""
    found = np.zeros(what.shape, bool)
    across, down = what[:, 1:] != what[:, :-1], what[1:] != what[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(3, n), each of length 1."""
    return vectors / np.sqrt(np.maximum((vectors * vectors).sum(axis=0), np.float32(1e-18)))


def _towards(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(3, n) vectors, turned round where they point away from the others."""
    return np.where((vectors * others).sum(axis=0) < 0, -vectors, vectors)


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
