"""Raycast: draw a scene by casting rays against its meshes (Embree), with soft shadows and sky
occlusion.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from syndet_ray import seeds
from syndet_ray.scenes.dice import die_faces, die_vertices, face_axis, normals
from syndet_ray.scenes.library import DICE, Library, corner_normals
from syndet_ray.scenes.materials import FLOOR, TABLE, WALL, Materials, Surface
from syndet_ray.scenes.scene import Body, Camera, Color, Ground, Scene, rotations

# Rays are cast at every pixel's centre, and where neighbouring pixels see different things at these
# offsets too.
_EDGE_OFFSETS = ((-0.3, 0.15), (0.3, -0.15))
# One shadow ray and one sky ray leave every other pixel of every other row. Each of the 4 x 4 that
# neighbour one another aims at its own 16th of the lamp and the sky, and a pixel averages the 16
# around it (interleaved sampling, Keller and Heidrich, 2001): smooth shadows for half a ray per
# pixel.
_TILE = 4
# Shadow rays start this far, in metres, off the surface they leave.
_LIFT = 1e-4
# How much a level mirror reflects of what it faces, and how much brighter than its surroundings the
# lamp looks in it.
_MIRROR, _LAMP_GLARE = 0.05, 14.0


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the rays saw: radiance (h, w, 3) linear light; ids (h, w) the body at each pixel's
    centre, -1 where none.
    """

    radiance: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class _Hits:
    """Where n rays ended. Vectors are (3, n): NumPy is several times faster along long rows than
    across short ones.

    points, normals, towards_eye (3, n) in the world; what (n,) a body's index, WALL, FLOOR or
    TABLE; codes (n,) equal where points lie on the same side of the same thing; surface, of those
    rays that met bodies.
    """

    points: np.ndarray
    normals: np.ndarray
    towards_eye: np.ndarray
    what: np.ndarray
    codes: np.ndarray
    surface: Surface


def draw(scene: Scene, library: Library = DICE) -> Drawing:
    """Draws a scene: a function of the scene alone, as the jitter of its rays follows from
    `scene.jitter`.
    """
    _keep_memory()
    size = scene.camera.size_px
    world = _World(scene, library)
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
    """Makes glibc reuse the memory of our large arrays instead of handing it back after each: a
    tenth of all time.

    It keeps blocks up to the size of the largest one ever freed (mallopt(3), M_MMAP_THRESHOLD):
    free a large one, once, that was never touched and so never cost memory.
    """
    np.empty(24 << 20, np.uint8)


class _World:
    """A scene's meshes in Embree, and its materials as arrays."""

    def __init__(self, scene: Scene, library: Library) -> None:
        self._scene = scene
        self._turns = np.ascontiguousarray(rotations(scene.bodies).transpose(1, 2, 0), np.float32)
        self._centres = (
            np.array([body.position for body in scene.bodies], np.float32).reshape(-1, 3).T
        )
        self._scales = np.array([body.scale for body in scene.bodies], np.float32)
        self._is_die = np.array([body.asset == "die" for body in scene.bodies], bool)
        points = world_vertices(scene, library)
        faces = [body_faces(body, library) for body in scene.bodies]
        self._materials = Materials(scene.bodies, scene.ground, library)
        wall_vertices, wall_faces = walls(scene.ground)
        self._owner = np.repeat(
            np.append(np.arange(len(faces)), WALL), [*map(len, faces), len(wall_faces)]
        )
        # Normals of each triangle's corners in its body's frame; those of dice follow from their
        # shape.
        self._corner_normals = _corner_normals(scene.bodies, library)
        first = np.cumsum([0, *map(len, points)])
        triangles = [f + start for f, start in zip([*faces, wall_faces], first, strict=True)]
        self._embree = EmbreeScene()
        # Embree reads the arrays for as long as the mesh lives.
        self._mesh = TriangleMesh(
            self._embree,
            np.concatenate([*points, wall_vertices]).astype(np.float32),
            np.concatenate(triangles).astype(np.int32),
        )

    def cast(self, x: np.ndarray, y: np.ndarray) -> _Hits:
        """Where the rays through the pixel coordinates x, y (n,) end."""
        eye = np.array(self._scene.camera.position, np.float32)
        directions = _directions(self._scene.camera, x, y)
        rays = np.ascontiguousarray(directions.T)
        found = self._embree.run(
            np.ascontiguousarray(np.broadcast_to(eye, rays.shape)), rays, output=True
        )
        hit = found["primID"] >= 0
        # Whatever meets no mesh meets the ground: the camera looks down at an endless table.
        distance = np.where(
            hit, found["tfar"], -eye[2] / np.minimum(directions[2], np.float32(-1e-6))
        )
        points = eye[:, None] + directions * distance
        what = self._met(found["primID"], points)
        outward = np.zeros_like(points)
        outward[2] = 1
        bodies, walls = np.flatnonzero(what >= 0), np.flatnonzero(what == WALL)
        which = what.take(bodies)
        turns = self._turns.take(which, axis=2)
        moved = (
            points.take(bodies, axis=1) - self._centres.take(which, axis=1)
        ) / self._scales.take(which)
        local = (turns * moved[:, None]).sum(axis=0)
        weights = np.stack([found["u"].take(bodies), found["v"].take(bodies)])
        triangles = found["primID"].take(bodies)
        upright, face = self._oriented(which, local, triangles, weights)
        outward[:, bodies] = (turns * upright).sum(axis=1)
        # smooth normals may look away where their triangle does not
        if self._corner_normals is not None:
            outward[:, bodies] = _towards(
                outward.take(bodies, axis=1), -directions.take(bodies, axis=1)
            )
        outward[:, walls] = _towards(_unit(found["Ng"][walls].T), -directions[:, walls])
        codes = what * 6
        codes[bodies] += face
        codes[walls] += face_axis(outward[:, walls])
        return _Hits(
            points=points,
            normals=outward,
            towards_eye=-directions,
            what=what,
            codes=codes,
            surface=Surface(
                rays=bodies, local=local, face=face, triangles=triangles, weights=weights
            ),
        )

    def _oriented(
        self, which: np.ndarray, local: np.ndarray, triangles: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normals (3, m) in their bodies' frames, and the side (m,) of the body, of points on its
        surface.
        """
        if self._corner_normals is None:
            return normals(local, self._materials.roundings.take(which)), face_axis(local)
        u, v = weights
        corners = self._corner_normals.take(triangles, axis=0).transpose(1, 2, 0)
        outward = _unit(corners[0] * (1 - u - v) + corners[1] * u + corners[2] * v)
        face = face_axis(outward)
        dice = np.flatnonzero(self._is_die.take(which))
        on_dice = local.take(dice, axis=1)
        outward[:, dice] = normals(on_dice, self._materials.roundings.take(which.take(dice)))
        face[dice] = face_axis(on_dice)
        return outward, face

    def _met(self, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) a body's index, WALL, FLOOR or TABLE of the triangles (n,) at points (3, n);
        triangle -1 is none.
        """
        ground = self._scene.ground
        on_floor = (np.abs(points[0]) <= ground.half_width) & (
            np.abs(points[1]) <= ground.half_depth
        )
        if not len(self._owner):
            return np.where(on_floor, FLOOR, TABLE)
        return np.where(
            triangles < 0,
            np.where(on_floor, FLOOR, TABLE),
            self._owner.take(triangles, mode="clip"),
        )

    def occluded(self, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(n,) whether something lies in these directions (3, n) from these points (3, n)."""
        origins, rays = np.ascontiguousarray(points.T), np.ascontiguousarray(directions.T)
        return self._embree.run(origins, rays, query="OCCLUDED") == 0

    def shade(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, n) light that leaves the hits for the eye.

        open_to (k + 1, n) are the shares of each of k lamps, and of the sky, that they receive.
        """
        light = self._scene.light
        near = np.clip(1 + np.array(light.slope, np.float32) @ hits.points[:2], 0.5, 1.5)
        # The sky is brighter above than at the horizon.
        amounts = [(np.float32(0.65) + np.float32(0.35) * hits.normals[2]) * open_to[-1] * near]
        for lamp, share in zip(light.lamps, open_to, strict=False):
            towards = np.array(lamp.direction, np.float32)
            amounts.append(np.maximum((towards / towards[2]) @ hits.normals, 0) * share * near)
        found = self._albedo(hits)
        found *= self._colored(amounts)
        bodies = hits.surface.rays
        found[:, bodies] += self._mirrored(hits, open_to.take(bodies, axis=1))
        return found

    def _albedo(self, hits: _Hits) -> np.ndarray:
        camera = self._scene.camera
        albedo = self._materials.ground(np.minimum(hits.what, WALL), hits.points)
        # A pip's border is as soft as the pixel that sees it is wide.
        pixel = np.linalg.norm(camera.position) / camera.focal_px
        bodies = hits.surface.rays
        albedo[:, bodies] = self._materials.bodies(
            hits.what.take(bodies), hits.surface, float(pixel)
        )
        return albedo

    def _mirrored(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, m) what bodies mirror of lamps and sky: more where they are seen at a slant (Schlick,
        1994).
        """
        bodies = hits.surface.rays
        facing, eye = hits.normals.take(bodies, axis=1), hits.towards_eye.take(bodies, axis=1)
        slant = (facing * eye).sum(axis=0)
        mirrored = 2 * slant * facing - eye
        grazing = 1 - np.clip(slant, 0, 1)
        share = _MIRROR + (1 - _MIRROR) * (grazing * grazing) * (grazing * grazing) * grazing
        share = share * self._materials.gloss.take(hits.what.take(bodies))
        amounts = [share * np.clip(mirrored[2], 0, 1) * open_to[-1]]
        for lamp, lit in zip(self._scene.light.lamps, open_to, strict=False):
            # The lamp's border is 0.1 rad soft; between directions a angles apart lies a chord of 2
            # sin(a / 2).
            off = np.sqrt(np.maximum(2 - 2 * (np.array(lamp.direction, np.float32) @ mirrored), 0))
            amounts.append(
                share * np.clip((lamp.radius - off) / 0.1 + 0.5, 0, 1) * _LAMP_GLARE * lit
            )
        return self._colored(amounts)

    def _colored(self, amounts: list[np.ndarray]) -> np.ndarray:
        """(3, n) light of amounts (n,) of the sky and of each lamp."""
        light = self._scene.light
        colors: list[Color] = [light.sky_color, *(lamp.color for lamp in light.lamps)]
        return np.array(colors, np.float32).T @ np.stack(amounts)


def _corner_normals(bodies: tuple[Body, ...], library: Library) -> np.ndarray | None:
    """(t, 3, 3) normals of the corners of every triangle of bodies; None where all are dice, which
    need none.
    """
    if all(body.asset == "die" for body in bodies):
        return None
    none = np.zeros((len(die_faces()), 3, 3), np.float32)
    each = [
        none if body.asset == "die" else corner_normals(library.assets[body.asset].mesh)
        for body in bodies
    ]
    return np.concatenate(each)


def body_faces(body: Body, library: Library) -> np.ndarray:
    """(f, 3) vertex indices of a body's triangles, counter-clockwise seen from outside."""
    return die_faces() if body.asset == "die" else library.assets[body.asset].mesh.faces


def world_vertices(scene: Scene, library: Library = DICE) -> list[np.ndarray]:
    """Of every body the vertices (v, 3) in the world, metres."""
    dice = [body.die.rounding for body in scene.bodies if body.die is not None]
    shapes = iter(die_vertices(np.array(dice)))
    return [
        (next(shapes) if body.die is not None else library.assets[body.asset].mesh.vertices)
        @ (np.array(body.rotation).T * body.scale)
        + np.array(body.position)
        for body in scene.bodies
    ]


def silhouette_alone(scene: Scene, which: int, library: Library) -> int:
    """Pixels whose centre lies on the body, as if it were alone and the image endless, by the same
    rays as `draw`.
    """
    vertices = world_vertices(replace(scene, bodies=(scene.bodies[which],)), library)[0]
    outline = project(vertices, scene.camera)
    # An object so near that it spans many images is cut at four of them on each side.
    size = scene.camera.size_px
    low = np.clip(np.floor(outline.min(axis=0)), -4 * size, 5 * size).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)), -4 * size, 5 * size).astype(int)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].reshape(2, -1).astype(
        np.float32
    ) + np.float32(0.5)
    if not len(x):
        return 0
    embree = EmbreeScene()
    faces = body_faces(scene.bodies[which], library)
    # lives as long as this name
    kept = TriangleMesh(embree, vertices.astype(np.float32), faces.astype(np.int32))
    rays = np.ascontiguousarray(_directions(scene.camera, x, y).T)
    eye = np.ascontiguousarray(
        np.broadcast_to(np.array(scene.camera.position, np.float32), rays.shape)
    )
    count = int((embree.run(eye, rays, query="OCCLUDED") == 0).sum())
    del kept
    return count


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(..., 2) pixel coordinates of points (..., 3) in the world, continuous, origin at the image's
    top left corner.
    """
    seen = (points - np.array(camera.position)) @ np.array(camera.rotation).T
    return seen[..., :2] / seen[..., 2:] * camera.focal_px + camera.size_px / 2


def _directions(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(3, n) float32 unit directions of the rays through pixel coordinates: the inverse of
    `project`.
    """
    middle, focal = np.float32(camera.size_px / 2), np.float32(camera.focal_px)
    seen = np.stack([(x - middle) / focal, (y - middle) / focal, np.ones_like(x)])
    return _unit(np.array(camera.rotation, np.float32).T @ seen)


def _openness(world: _World, hits: _Hits, scene: Scene, size: int) -> np.ndarray:
    """(k + 1, n) the share of each of k lamps, and of the sky, that reaches each hit."""
    rng = seeds.generator(scene.jitter, "shadow")
    some = np.arange(size * size).reshape(size, size)[::2, ::2]
    rows, columns = np.indices(some.shape)
    cell = (rows % _TILE * _TILE + columns % _TILE).ravel()
    facing = hits.normals.take(some.ravel(), axis=1)
    lifted = hits.points.take(some.ravel(), axis=1) + facing * np.float32(_LIFT)
    found = []
    for lamp in scene.light.lamps:
        towards = np.array(lamp.direction)[:, None] + lamp.radius * _ball(rng)
        found.append(~world.occluded(lifted, towards.astype(np.float32).take(cell, axis=1)))
    # A normal plus a point of the unit sphere is distributed as the cosine: Lambert's law by
    # sampling.
    sky = _sphere(rng)
    found.append(
        ~world.occluded(
            lifted, facing * np.float32(1.001) + sky.astype(np.float32).take(cell, axis=1)
        )
    )
    shares = _averaged(np.reshape(found, (-1, *some.shape)), hits.codes.reshape(size, size))
    # Light that is kept out is partly replaced by what the surroundings throw back.
    shares[-1] = 0.2 + 0.8 * shares[-1]
    return shares


def _sphere(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly over the unit sphere (Fibonacci's spiral), turned at random, in
    random order.
    """
    k = np.arange(_TILE**2) + 0.5
    z, angle = 1 - 2 * k / _TILE**2, np.pi * (1 + np.sqrt(5)) * k + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z * z)
    return rng.permutation(np.stack([flat * np.cos(angle), flat * np.sin(angle), z]), axis=1)


def _ball(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly through the unit ball: a lamp of that radius, seen from
    anywhere.
    """
    radius = (rng.permutation(_TILE**2) + 0.5) / _TILE**2
    return _sphere(rng) * np.cbrt(radius)


def _averaged(lit: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(k, h * w) averages at each pixel of what was found at every other one, (k, h/2, w/2) bool,
    in the tile around it.

    Only neighbours of the same code (h, w) count: light does not leak from face to face.
    """
    # Counts that each reach 16 travel in one integer, 5 bits each, so that one pass sums them all.
    kind = np.uint16 if len(lit) <= 2 else np.uint32
    bits = [kind(1 << 5 * i) for i in range(len(lit) + 1)]
    packed = np.full(lit.shape[1:], bits[-1])
    for found, bit in zip(lit, bits, strict=False):
        packed += found.astype(kind) * bit
    packed = _padded(packed)
    # The four pixels that share a sample, each as a plane of its own: whole rows at a time instead
    # of steps of two.
    _, height, width = lit.shape
    even = np.pad(codes, ((0, codes.shape[0] % 2), (0, codes.shape[1] % 2)), mode="edge").astype(
        np.int16
    )
    planes = np.stack([even[row::2, column::2] for row in (0, 1) for column in (0, 1)])
    neighbours = _padded(planes[0])
    total = np.zeros(planes.shape, kind)
    for y in range(_TILE):
        for x in range(_TILE):
            window = slice(y, y + height), slice(x, x + width)
            total += packed[window] * (planes == neighbours[window]).astype(kind)
    whole = total.reshape(2, 2, height, width).transpose(2, 0, 3, 1).reshape(2 * height, 2 * width)
    sums = whole[: codes.shape[0], : codes.shape[1]].ravel()
    counts = np.stack([sums >> kind(5 * i) & kind(31) for i in range(len(lit))]).astype(np.float32)
    number = (sums >> kind(5 * len(lit))).astype(np.float32)
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


def walls(ground: Ground) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of the tray's four walls."""
    w, d, t, h = ground.half_width, ground.half_depth, ground.wall_thickness, ground.wall_height
    if h <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3), int)
    boxes = (
        (-w - t, w + t, d, d + t),
        (-w - t, w + t, -d - t, -d),
        (-w - t, -w, -d, d),
        (w, w + t, -d, d),
    )
    vertices = [
        [(x, y, z) for x in (x1, x2) for y in (y1, y2) for z in (0, h)] for x1, x2, y1, y2 in boxes
    ]
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))
    faces = [[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)]
    return np.array(vertices).reshape(-1, 3), np.concatenate(
        [np.array(faces) + 8 * i for i in range(4)]
    )
