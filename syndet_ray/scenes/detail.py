"""Detail: meshes with as many triangles as can be seen at their size in the image.

A mesh is simplified once, for the greatest size at which scenes show it. Both versions are then
looked at from twelve sides, a ray for each pixel: the first that looks alike is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import trimesh

from syndet_ray.scenes.layers import turn_to_camera
from syndet_ray.scenes.library import (
    Asset,
    Library,
    Mesh,
    corner_normals,
    embree_scene,
    unit_vectors,
)
from syndet_ray.scenes.paint import mesh_colors
from syndet_ray.scenes.scene import Body
from syndet_ray.scenes.simplify import Simplifier
from syndet_ray.scenes.stretch import stretch_mesh

_LIGHT = 2000  # faces of a mesh that costs little as it is
_FEWEST = 750  # faces tried first; then twice as many, and so on
_LEAST_GAIN = 0.7  # a mesh of a greater share of the faces is not worth it
_CELL_PX = 0.15  # vertices that are closer are one
_STEPS_PER_OCTAVE = 2  # of sizes: all within a step share a mesh
# What may differ: the outline, in pixels on average; the share of its pixels that are farther off
# than one; normals, as the length of the difference (0.1 is 6 degrees), and linear colours on
# average.
_MOST_SHIFT_PX, _MOST_FAR, _MOST_TURN, _MOST_COLOR = 0.15, 0.005, 0.11, 0.02
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_MOST_RAYS = 192  # along a mesh; larger ones are not looked at in every pixel


def light_mesh(asset: Asset) -> Mesh:
    """The mesh of an asset as scenes show it. Where things are, and how large, follows from the
    whole mesh.
    """
    if asset.most_px is None or len(asset.mesh.faces) <= _LIGHT:
        return asset.mesh
    step = int(np.ceil(_STEPS_PER_OCTAVE * np.log2(asset.most_px)))
    size_px = 2.0 ** (step / _STEPS_PER_OCTAVE)
    if asset.original is None:
        return at_size(asset.mesh, size_px)
    # simplifying takes seconds, stretching nothing
    return stretch_mesh(at_size(asset.original, size_px), asset.stretch)


def light_meshes(bodies: Sequence[Body], library: Library) -> tuple[list[Mesh], np.ndarray]:
    """The meshes of bodies as scenes show them, each once, and (bodies,) the index there of each
    body's, -1 for dice.
    """
    indices: dict[Mesh, int] = {}
    mesh_of = np.full(len(bodies), -1, np.int16)
    for i, body in enumerate(bodies):
        if body.die is None:
            mesh = light_mesh(library.assets[body.asset])
            mesh_of[i] = indices.setdefault(mesh, len(indices))
    return list(indices), mesh_of


@lru_cache(maxsize=1024)
def at_size(mesh: Mesh, size_px: float) -> Mesh:
    """A mesh that looks as this one where its longest side has so many pixels; the same if none of
    fewer faces does.
    """
    pixel = mesh.length / size_px
    step_px = max(1.0, size_px / _MOST_RAYS)
    rays = _rays(mesh, step_px * pixel)
    simplifier = Simplifier(mesh, _CELL_PX * pixel)
    whole = _view(mesh, rays)
    faces = _FEWEST
    while faces < 2 * simplifier.most:
        light = simplifier.simplify(faces)
        if len(light.faces) > _LEAST_GAIN * len(mesh.faces):
            break
        if _is_alike(whole, _view(light, rays), step_px):
            return light
        # more than were asked for where fewer are not possible
        faces = 2 * faces * 2 ** max(0, int(np.log2(len(light.faces) / faces)))
    return mesh


@dataclass(frozen=True, eq=False, kw_only=True)
class _View:
    """A mesh seen from all sides: is_seen (k, h, w) bool; normals and linear colors (n, 3) where it
    is seen.
    """

    is_seen: np.ndarray
    normals: np.ndarray
    colors: np.ndarray


def _rays(mesh: Mesh, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions (k, n, n, 3) float32 of parallel rays, `step` apart, from k sides."""
    radius = mesh.radius
    steps = np.arange(-radius, radius + step, step)
    x, y = np.meshgrid(steps, steps)
    origins, directions = [], []
    for backward in trimesh.creation.icosphere(subdivisions=0).vertices:
        right, down, _ = turn_to_camera(backward)
        origins.append(x[..., None] * right + y[..., None] * down + 2 * radius * backward)
        directions.append(np.broadcast_to(-backward, origins[-1].shape))
    return np.array(origins, np.float32), np.array(directions, np.float32)


def _view(mesh: Mesh, rays: tuple[np.ndarray, np.ndarray]) -> _View:
    origins, directions = rays
    embree, _keep = embree_scene(mesh)
    traced = embree.run(origins.reshape(-1, 3), directions.reshape(-1, 3), output=True)
    hits = np.flatnonzero(traced["primID"] >= 0)
    triangles = traced["primID"][hits]
    weights = np.stack([traced["u"][hits], traced["v"][hits]])
    shares = np.stack([1 - weights.sum(axis=0), *weights])
    normals = unit_vectors(np.einsum("kn,nkc->nc", shares, corner_normals(mesh)[triangles]))
    away = (normals * directions.reshape(-1, 3)[hits]).sum(axis=1) > 0
    normals[away] *= -1
    return _View(
        is_seen=(traced["primID"] >= 0).reshape(origins.shape[:3]),
        normals=normals,
        colors=mesh_colors(mesh, triangles, weights).T,
    )


def _is_alike(whole: _View, light: _View, step_px: float) -> bool:
    """True if the views look alike; their rays are step_px pixels from one another."""
    both = whole.is_seen & light.is_seen
    if not both.any():
        return False
    of_whole, of_light = both[whole.is_seen], both[light.is_seen]
    turns = np.linalg.norm(whole.normals[of_whole] - light.normals[of_light], axis=1)
    colors = np.abs(whole.colors[of_whole] - light.colors[of_light])
    border = sum(int(np.count_nonzero(mask != _narrower(mask))) for mask in whole.is_seen)
    differs = np.count_nonzero(whole.is_seen != light.is_seen)
    far = _beyond(whole, light) + _beyond(light, whole)
    return bool(
        differs * step_px <= _MOST_SHIFT_PX * border
        and far <= _MOST_FAR * border
        and turns.mean() <= _MOST_TURN
        and colors.mean() <= _MOST_COLOR
    )


def _beyond(view: _View, other: _View) -> int:
    """The number of rays that meet one mesh, but not the other, nor do their neighbours."""
    pairs = zip(view.is_seen, other.is_seen, strict=True)
    return sum(int(np.count_nonzero(mask & _narrower(~other_mask))) for mask, other_mask in pairs)


def _narrower(mask: np.ndarray) -> np.ndarray:
    """(h, w) True where all neighbours are true too."""
    return cv2.erode(mask.astype(np.uint8), _NEIGHBOURS).astype(bool)
