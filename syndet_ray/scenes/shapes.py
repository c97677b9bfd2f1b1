"""Shapes: built-in things that are nothing to be found: distractors and occluders for whoever has no models of them."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import trimesh

from syndet_ray.scenes.cutouts import prism
from syndet_ray.scenes.library import Mesh


@cache
def shapes() -> tuple[Mesh, ...]:
    """Closed white meshes, longest side 1, the same on every machine: a scene tints them."""
    return tuple(_white(*shape) for shape in (*_solids(), *_prisms()))


def _white(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - (low + high) / 2) / (high - low).max()
    return Mesh(
        vertices=vertices.astype(np.float32),
        faces=np.asarray(faces, np.int32),
        colors=np.ones((len(vertices), 3), np.float32),
    )


def _solids() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    make = trimesh.creation
    for solid in (
        make.box((1, 1, 1)),
        make.box((1, 0.6, 0.35)),
        make.box((1, 0.15, 0.15)),
        make.cylinder(0.5, 1.0, sections=32),
        make.cylinder(0.5, 0.12, sections=40),
        make.cylinder(0.08, 1.0, sections=20),
        make.icosphere(3),
        make.cone(0.5, 1.0, sections=32),
        make.cone(0.5, 0.7, sections=4),  # a pyramid
        make.capsule(0.6, 0.2, count=(16, 24)),
        make.torus(0.36, 0.14, major_sections=32, minor_sections=16),
        make.torus(0.45, 0.05, major_sections=40, minor_sections=10),
        make.annulus(0.2, 0.5, 0.5, sections=32),
    ):
        yield np.asarray(solid.vertices), np.asarray(solid.faces)


def _prisms() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield prism([_polar(3, (0.5,))], 1.0)
    yield prism([_polar(6, (0.5,))], 0.4)
    yield prism([_polar(10, (0.5, 0.22))], 0.2)  # stars
    yield prism([_polar(16, (0.5, 0.36))], 0.5)
    yield prism([_polar(32, (0.5, 0.5, 0.4, 0.4)), _polar(24, (0.18,))], 0.2)  # a gear
    yield prism([np.array([[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]])], 1.0)
    yield prism(
        [np.array([[1, 0], [2, 0], [2, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3], [1, 2], [0, 2], [0, 1], [1, 1]])],
        1.0,
    )
    yield prism([_bent(np.pi / 2)], 0.9)  # sheets
    yield prism([_bent(1.5 * np.pi)], 0.6)
    yield prism([_wave()], 0.7)


def _polar(corners: int, radii: tuple[float, ...]) -> np.ndarray:
    """(corners, 2) around the origin, whose radii take turns."""
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.resize(radii, corners)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def _bent(angle: float, thickness: float = 0.04) -> np.ndarray:
    """(48, 2), the edge of a sheet bent along a circle of radius 0.5."""
    along = np.linspace(0, angle, 24)
    arc = np.column_stack([np.cos(along), np.sin(along)])
    return np.concatenate([arc * 0.5, arc[::-1] * (0.5 - thickness)])


def _wave(thickness: float = 0.04) -> np.ndarray:
    """(64, 2), the edge of a sheet that waves."""
    x = np.linspace(0, 1, 32)
    line = np.column_stack([x, 0.12 * np.sin(x * 4 * np.pi)])
    return np.concatenate([line, line[::-1] + np.array([0, thickness])])
