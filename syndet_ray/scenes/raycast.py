"""Raycast: renders a scene by casting rays against its meshes (Embree), with soft shadows."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes import boards
from syndet_ray.scenes.detail import light_meshes
from syndet_ray.scenes.dice import die_faces, face_axis, normals
from syndet_ray.scenes.library import DICE, Library, corner_normals
from syndet_ray.scenes.materials import FLOOR, HORIZON, TABLE, WALL, Materials, Surface
from syndet_ray.scenes.projection import directions, unit
from syndet_ray.scenes.scene import Body, Color, Scene, rotations
from syndet_ray.scenes.tracing import NOTHING, PixelRays, Traced, Tracer

# Rays are cast at every pixel's centre, and at these offsets too where neighbouring pixels see
# different bodies.
_EDGE_OFFSETS = ((-0.3, 0.15), (0.3, -0.15))
# One shadow ray and one sky ray leave every other pixel of every other row. Each of the 4 x 4 that
# neighbour one another aims at its own 16th of the lamp and the sky, and a pixel averages the 16
# around it (interleaved sampling, Keller and Heidrich, 2001): smooth shadows for half a ray per
# pixel.
_TILE = 4
# Shadow rays start this far, in metres, off the surface they leave.
_LIFT = 1e-4
# The table reaches this many times as far as the camera's focus and the tray together.
_REACH = 4.0
# How much a level mirror reflects of what it faces, and how much brighter than its surroundings the
# lamp looks in it.
_MIRROR, _LAMP_GLARE = 0.05, 14.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Rendering:
    """The rays' result: radiance (h, w, 3) linear light; ids (h, w) the body at each pixel's
    centre, -1 where none.

    alone (bodies,) is the number of pixels whose centre would lie on each body if it were alone and
    the image endless, -1 for those of which that is not known; None if it is known of none.
    """

    radiance: np.ndarray
    ids: np.ndarray
    alone: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Hits:
    """The ends of n rays. Vectors are (3, n): NumPy is several times faster along long rows than
    across short ones.

    points, normals, towards_eye (3, n) in the world; targets (n,) a body's index, WALL, FLOOR or
    TABLE; codes (n,) equal where points lie on the same side of the same target; surface, of those
    rays that met bodies; met (bodies,) as in `Traced`.
    """

    points: np.ndarray
    normals: np.ndarray
    towards_eye: np.ndarray
    targets: np.ndarray
    codes: np.ndarray
    surface: Surface
    met: np.ndarray


def render(scene: Scene, library: Library = DICE) -> Rendering:
    """Renders a scene: a function of the scene alone, as the jitter of its rays follows from
    `scene.jitter`.
    """
    _keep_memory()
    width, height = scene.camera.size_wh
    world = _World(scene, library)
    y, x = np.indices((height, width), np.float32).reshape(2, -1) + np.float32(0.5)
    every = np.arange(height * width)
    hits = world.cast(x, y, every)
    open_to = _openness(world, hits, scene)
    light = world.shade(hits, open_to)
    # Pixels at borders are the mean of several rays.
    edge = np.flatnonzero(_borders(hits.targets.reshape(height, width)))
    count = len(_EDGE_OFFSETS)
    dx, dy = np.array(_EDGE_OFFSETS, np.float32).T[:, :, None]
    extra_hits = world.cast((x[edge] + dx).ravel(), (y[edge] + dy).ravel(), edge)
    extra_light = world.shade(extra_hits, np.tile(open_to[:, edge], count))
    light[:, edge] += extra_light.reshape(3, count, -1).sum(axis=1)
    light[:, edge] /= 1 + count
    radiance = np.ascontiguousarray(light.T).reshape(height, width, 3)
    ids = np.maximum(hits.targets, -1).reshape(height, width)
    return Rendering(radiance=radiance, ids=ids, alone=hits.met)


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
        bodies = scene.bodies
        self._scene = scene
        self._turns = np.ascontiguousarray(rotations(bodies).transpose(1, 2, 0), np.float32)
        positions = np.array([body.position for body in bodies], np.float32)
        self._centres = positions.reshape(-1, 3).T
        self._scales = np.array([body.scale for body in bodies], np.float32)
        self._is_die = np.array([body.asset == "die" for body in bodies], bool)
        self._materials = Materials(bodies, scene.ground, library)
        # Normals of the corners of each mesh's triangles in its frame; those of dice follow from
        # their shape.
        self._corner_normals = None
        if not self._is_die.all():
            self._corner_normals = _CornerNormals(bodies, library)
        self._tracer = Tracer(scene, library)

    def cast(self, x: np.ndarray, y: np.ndarray, pixels: np.ndarray) -> _Hits:
        """Casts the rays through the pixel coordinates x, y (n,).

        pixels  (m,) those in which the first m rays lie, by their index in the image; so do the
                next m, and so on
        """
        camera = self._scene.camera
        eye = np.array(camera.position, np.float32)
        towards = directions(camera, x, y)
        rays = PixelRays(directions=towards, pixels=pixels, size_wh=camera.size_wh)
        traced = self._tracer.nearest(rays)
        # A ray that meets no mesh meets the table, or what lies beyond it.
        to_ground = -eye[2] / np.minimum(towards[2], np.float32(-1e-6))
        to_ground = np.minimum(to_ground, np.float32(reach_m(self._scene)))
        distance = np.where(traced.bodies != NOTHING, traced.distances, to_ground)
        points = eye[:, None] + towards * distance
        targets = self._targets(traced.bodies, points)
        on_body, on_wall = np.flatnonzero(targets >= 0), np.flatnonzero(targets == WALL)
        body_normals, surface = self._body_hits(on_body, targets.take(on_body), points, traced)
        # Smooth normals may look away where their triangle does not.
        if self._corner_normals is not None:
            body_normals = _towards(body_normals, -towards.take(on_body, axis=1))
        outward = np.zeros_like(points)
        outward[2] = 1  # of the ground
        outward[:, on_body] = body_normals
        outward[:, on_wall] = _towards(unit(traced.flat[on_wall].T), -towards[:, on_wall])
        codes = targets * 6  # sides of a body or of the walls
        codes[on_body] += surface.face
        codes[on_wall] += face_axis(outward[:, on_wall])
        return _Hits(
            points=points,
            normals=outward,
            towards_eye=-towards,
            targets=targets,
            codes=codes,
            surface=surface,
            met=traced.met,
        )

    def _body_hits(
        self, rays: np.ndarray, bodies: np.ndarray, points: np.ndarray, traced: Traced
    ) -> tuple[np.ndarray, Surface]:
        """World normals (3, m) and the surface at rays (m,) that met bodies (m,).

        points (3, n) and traced are those of all rays.
        """
        turns = self._turns.take(bodies, axis=2)
        from_centre = points.take(rays, axis=1) - self._centres.take(bodies, axis=1)
        moved = from_centre / self._scales.take(bodies)
        local = (turns * moved[:, None]).sum(axis=0)
        triangles = traced.triangles.take(rays)
        weights = traced.weights.take(rays, axis=1)
        upright, face = self._orient(bodies, local, triangles, weights)
        surface = Surface(rays=rays, local=local, face=face, triangles=triangles, weights=weights)
        return (turns * upright).sum(axis=1), surface

    def _orient(
        self, bodies: np.ndarray, local: np.ndarray, triangles: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normals (3, m) in their bodies' frames, and the side (m,) of the body, of points on its
        surface.
        """
        roundings = self._materials.roundings.take(bodies)
        if self._corner_normals is None:
            return normals(local, roundings), face_axis(local)
        u, v = weights
        corners = self._corner_normals.take(bodies, triangles)
        outward = unit(corners[0] * (1 - u - v) + corners[1] * u + corners[2] * v)
        face = face_axis(outward)
        dice = np.flatnonzero(self._is_die.take(bodies))
        on_dice = local.take(dice, axis=1)
        outward[:, dice] = normals(on_dice, roundings.take(dice))
        face[dice] = face_axis(on_dice)
        return outward, face

    def _targets(self, bodies: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) a body's index, WALL, FLOOR or TABLE at points (3, n), of the bodies (n,) met."""
        ground = self._scene.ground
        x, y = np.abs(points[:2])
        on_floor = (x <= ground.half_width) & (y <= ground.half_depth)
        level = np.where(on_floor, FLOOR, TABLE)
        level[points[2] > _LIFT] = HORIZON  # the ray ended above the table
        return np.where(bodies == NOTHING, level, bodies)

    def is_occluded(self, points: np.ndarray, towards: np.ndarray) -> np.ndarray:
        """(n,) True where something lies in these directions (3, n) from these points (3, n)."""
        return self._tracer.is_occluded(points, towards)

    def shade(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, n) light that leaves the hits for the eye.

        open_to (k + 1, n) are the shares of each of k lamps, and of the sky, that they receive.
        """
        light = self._scene.light
        near = np.clip(1 + np.array(light.slope, np.float32) @ hits.points[:2], 0.5, 1.5)
        # The sky is brighter above than at the horizon.
        above = np.float32(0.65) + np.float32(0.35) * hits.normals[2]
        amounts = [above * open_to[-1] * near]
        for lamp, share in zip(light.lamps, open_to, strict=False):
            towards = np.array(lamp.direction, np.float32)
            facing = np.maximum((towards / towards[2]) @ hits.normals, 0)
            amounts.append(facing * share * near)
        leaving = self._albedo(hits)
        is_lit = hits.targets != HORIZON
        leaving *= np.where(is_lit, self._colored_light(amounts), np.float32(1))
        bodies = hits.surface.rays
        leaving[:, bodies] += self._mirrored_light(hits, open_to.take(bodies, axis=1))
        return leaving

    def _albedo(self, hits: _Hits) -> np.ndarray:
        camera = self._scene.camera
        albedo = self._materials.ground(np.minimum(hits.targets, WALL), hits.points)
        if self._scene.ground.is_board:
            floor = np.flatnonzero(hits.targets == FLOOR)
            albedo[:, floor] = self._board_colors(hits, floor)
        # A pip's border is as soft as the pixel that sees it is wide.
        pixel_m = float(np.linalg.norm(camera.position) / camera.focal_px)
        rays = hits.surface.rays
        bodies = hits.targets.take(rays)
        albedo[:, rays] = self._materials.bodies(bodies, hits.surface, pixel_m)
        return albedo

    def _board_colors(self, hits: _Hits, rays: np.ndarray) -> np.ndarray:
        """(3, m) colours of a board at rays (m,) that met it."""
        camera = self._scene.camera
        points = hits.points.take(rays, axis=1)
        distances = np.linalg.norm(points - np.array(camera.position)[:, None], axis=0)
        # On a slanted board a pixel is longer than it is wide: this is the root of its area.
        slant = np.maximum(hits.towards_eye[2].take(rays), 1e-3)
        pixels_m = distances / camera.focal_px / np.sqrt(slant)
        return boards.floor_colors(self._scene.ground, points, pixels_m)

    def _mirrored_light(self, hits: _Hits, open_to: np.ndarray) -> np.ndarray:
        """(3, m) light of lamps and sky that bodies mirror: more where they are seen at a slant
        (Schlick, 1994).
        """
        rays = hits.surface.rays
        facing, eye = hits.normals.take(rays, axis=1), hits.towards_eye.take(rays, axis=1)
        slant = (facing * eye).sum(axis=0)
        mirrored = 2 * slant * facing - eye
        grazing = 1 - np.clip(slant, 0, 1)
        grazing_2 = grazing * grazing
        reflected = _MIRROR + (1 - _MIRROR) * grazing_2 * grazing_2 * grazing
        share = reflected * self._materials.gloss.take(hits.targets.take(rays))
        amounts = [share * np.clip(mirrored[2], 0, 1) * open_to[-1]]
        for lamp, lit in zip(self._scene.light.lamps, open_to, strict=False):
            # Between directions that are an angle a apart lies a chord of 2 sin(a / 2).
            cosine = np.array(lamp.direction, np.float32) @ mirrored
            off = np.sqrt(np.maximum(2 - 2 * cosine, 0))
            # The lamp's border is 0.1 rad soft.
            within = np.clip((lamp.radius - off) / 0.1 + 0.5, 0, 1)
            amounts.append(share * within * _LAMP_GLARE * lit)
        return self._colored_light(amounts)

    def _colored_light(self, amounts: list[np.ndarray]) -> np.ndarray:
        """(3, n) light of amounts (n,) of the sky and of each lamp."""
        light = self._scene.light
        colors: list[Color] = [light.sky_color, *(lamp.color for lamp in light.lamps)]
        return np.array(colors, np.float32).T @ np.stack(amounts)


class _CornerNormals:
    """The normals at the corners of the triangles of all bodies; dice have none."""

    def __init__(self, bodies: tuple[Body, ...], library: Library) -> None:
        of_a_die = np.zeros((len(die_faces()), 3, 3), np.float32)
        meshes, mesh_of = light_meshes(bodies, library)
        parts = [of_a_die, *map(corner_normals, meshes)]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        self._normals = np.concatenate(parts)
        self._first = starts[mesh_of + 1]  # that of a die is 0

    def take(self, bodies: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(corner, 3, m) of triangles (m,) of the meshes of bodies (m,)."""
        numbers = self._first.take(bodies) + triangles
        return self._normals.take(numbers, axis=0).transpose(1, 2, 0)


def reach_m(scene: Scene) -> float:
    """The distance from the camera, metres, beyond which there is no table."""
    ground = scene.ground
    return _REACH * (scene.camera.focus_m + max(ground.half_width, ground.half_depth))


def _openness(world: _World, hits: _Hits, scene: Scene) -> np.ndarray:
    """(k + 1, n) the share of each of k lamps, and of the sky, that reaches each hit."""
    width, height = scene.camera.size_wh
    rng = seeds.generator(scene.jitter, "shadow")
    sampled = np.arange(width * height).reshape(height, width)[::2, ::2]
    rows, columns = np.indices(sampled.shape)
    cell = (rows % _TILE * _TILE + columns % _TILE).ravel()
    facing = hits.normals.take(sampled.ravel(), axis=1)
    lifted = hits.points.take(sampled.ravel(), axis=1) + facing * np.float32(_LIFT)
    lit = []
    for lamp in scene.light.lamps:
        aims = np.array(lamp.direction)[:, None] + lamp.radius * _ball(rng)
        rays = aims.astype(np.float32).take(cell, axis=1)
        lit.append(~world.is_occluded(lifted, rays))
    # A normal plus a point of the unit sphere is distributed as the cosine: Lambert's law by
    # sampling. The normal is a little longer, so that their sum is never 0.
    sky = _sphere(rng).astype(np.float32).take(cell, axis=1)
    lit.append(~world.is_occluded(lifted, facing * np.float32(1.001) + sky))
    samples = np.reshape(lit, (-1, *sampled.shape))
    shares = _average(samples, hits.codes.reshape(height, width))
    # Light that is kept out is partly replaced by what the surroundings throw back.
    shares[-1] = 0.2 + 0.8 * shares[-1]
    return shares


def _sphere(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly over the unit sphere (Fibonacci's spiral), turned at random, in
    random order.
    """
    k = np.arange(_TILE**2) + 0.5
    z = 1 - 2 * k / _TILE**2
    angle = np.pi * (1 + np.sqrt(5)) * k + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - z * z)
    points = np.stack([flat * np.cos(angle), flat * np.sin(angle), z])
    return rng.permutation(points, axis=1)


def _ball(rng: np.random.Generator) -> np.ndarray:
    """(3, 16) points spread evenly through the unit ball: a lamp of that radius, seen from
    anywhere.
    """
    radius = (rng.permutation(_TILE**2) + 0.5) / _TILE**2
    return _sphere(rng) * np.cbrt(radius)


def _average(lit: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(k, h * w) averages at each pixel over the tile around it, of lit (k, h/2, w/2) bool, which
    is sampled at every other pixel.

    Only neighbours of the same code (h, w) count: light does not leak from face to face.
    """
    # Counts that each reach 16 travel in one integer, 5 bits each, so that one pass sums them all.
    k, height, width = lit.shape
    kind = np.uint16 if k <= 2 else np.uint32
    bits = [kind(1 << 5 * i) for i in range(k + 1)]
    packed = np.full((height, width), bits[-1])
    for samples, bit in zip(lit, bits, strict=False):
        packed += samples.astype(kind) * bit
    packed = _pad(packed)
    # The four pixels that share a sample, each as a plane (h/2, w/2) of its own: whole rows at a
    # time instead of steps of two.
    odd = [(0, side % 2) for side in codes.shape]
    even = np.pad(codes, odd, mode="edge").astype(np.int16)
    planes = np.stack([even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]])
    neighbours = _pad(planes[0])
    total = np.zeros(planes.shape, kind)
    for y in range(_TILE):
        for x in range(_TILE):
            window = slice(y, y + height), slice(x, x + width)
            total += packed[window] * (planes == neighbours[window]).astype(kind)
    by_row = total.reshape(2, 2, height, width).transpose(2, 0, 3, 1)
    whole = by_row.reshape(2 * height, 2 * width)
    sums = whole[: codes.shape[0], : codes.shape[1]].ravel()
    counts = np.stack([sums >> kind(5 * i) & kind(31) for i in range(k)]).astype(np.float32)
    number = (sums >> kind(5 * k)).astype(np.float32)
    # A face so small that no ray left it is taken to be open.
    return np.where(number == 0, np.float32(1), counts / np.maximum(number, 1))


def _pad(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (_TILE // 2 - 1, _TILE // 2), mode="edge")


def _borders(targets: np.ndarray) -> np.ndarray:
    """(h, w) True where a pixel and its neighbour see different targets (h, w)."""
    borders = np.zeros(targets.shape, bool)
    across, down = targets[:, 1:] != targets[:, :-1], targets[1:] != targets[:-1]
    borders[:, 1:] |= across
    borders[:, :-1] |= across
    borders[1:] |= down
    borders[:-1] |= down
    return borders


def _towards(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(3, n) vectors, turned round where they point away from the others."""
    return np.where((vectors * others).sum(axis=0) < 0, -vectors, vectors)
