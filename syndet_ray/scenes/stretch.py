"""Stretch: meshes in other shapes, for classes that look so on photos, and for chance.

Things of one class differ: one bottle has a thinner neck than another. All shapes here keep what
tells a class from others, the order of its parts from bottom to top.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]

from syndet_ray import seeds
from syndet_ray.errors import DefinitionError, nearest
from syndet_ray.scenes.library import Asset, Library, Mesh, Stretch

MOST = 1.25  # factor across and along, either way, at full strength of `stretch`
MOST_PROFILE = 1.6  # factor across at some height, either way, at full strength of `profile`
# Powers of MOST, across and along the axis that points up.
_POWERS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))
# Shapes of a class with a profile, and heights at which it has a factor of its own: foot, body,
# neck, head and what is between them.
_PROFILES, _HEIGHTS = 12, 5


def with_proportions(library: Library, proportions: Sequence[tuple[str, float, float]]) -> Library:
    """The library with the meshes of some classes wider and higher: class, across, along.

    Cut-outs stay as they are. Raises DefinitionError for a class that the library has not.
    """
    stretches = {}
    for name, across, along in proportions:
        if name not in library.classes:
            do = nearest(name, library.classes)
            rule = "names no class of the assets"
            raise DefinitionError("scene.proportions", rule, got=name, do=do)
        stretches[name] = Stretch(across=(across,), along=along)
    assets = dict(library.assets)
    for name, asset in library.assets.items():
        if asset.is_mesh_of_object and library.classes[asset.label] in stretches:
            assets[name] = _in_shape(asset, stretches[library.classes[asset.label]])
    return replace(library, assets=assets)


def with_variants(library: Library, stretch: float, profile: float) -> Library:
    """The library with copies in other shapes beside each mesh of an object.

    stretch  strength: four copies, wider, slimmer, higher and lower
    profile  strength: twelve copies of each class, each with widths of its own at five heights, and
             as high as `stretch` allows

    Cut-outs and surroundings stay as they are. The meshes as they are set the library's unit.
    """
    assets: dict[str, Asset] = {}
    for name, asset in library.assets.items():
        assets[name] = asset
        if asset.is_mesh_of_object:
            meshes = len(library.names_of(asset.label))
            shapes = [*_stretches(stretch), *_profiles(name, meshes, stretch, profile)]
            for k, shape in enumerate(shapes, start=1):
                assets[f"{name}~{k}"] = replace(_in_shape(asset, shape), is_variant=True)
    return replace(library, assets=assets)


def _stretches(strength: float) -> Iterator[Stretch]:
    if strength > 0:
        factor = MOST**strength
        for across, along in _POWERS:
            yield Stretch(across=(factor**across,), along=factor**along)


def _profiles(name: str, meshes: int, stretch: float, profile: float) -> Iterator[Stretch]:
    """Profiles of an asset, one of a number of meshes of its class."""
    if profile > 0:
        factor_along, factor_across = MOST**stretch, MOST_PROFILE**profile
        for k in range(math.ceil(_PROFILES / meshes)):
            # part of the library: the same in all scenes, whatever their seed
            rng = seeds.generator(0, f"profile/{name}", k)
            along = factor_along ** rng.uniform(-1, 1)
            across = factor_across ** rng.uniform(-1, 1, _HEIGHTS)
            yield Stretch(across=tuple(across.tolist()), along=float(along))


def _in_shape(asset: Asset, stretch: Stretch) -> Asset:
    """An asset with a stretch on top of its own, which has one factor for all heights."""
    (across,) = asset.stretch.across
    whole = Stretch(
        across=tuple(across * factor for factor in stretch.across),
        along=asset.stretch.along * stretch.along,
    )
    original = asset.mesh if asset.original is None else asset.original
    return replace(asset, mesh=stretch_mesh(original, whole), original=original, stretch=whole)


@lru_cache(maxsize=4096)
def stretch_mesh(mesh: Mesh, stretch: Stretch) -> Mesh:
    """A mesh that is wider and higher by factors, across and along its z axis.

    Between heights that have a factor of their own, factors follow a smooth curve without
    overshoot.
    """
    vertices, normals = mesh.vertices, mesh.normals
    factor, slope = _factors(stretch.across, mesh, vertices[:, 2])
    scaled = vertices * np.stack([factor, factor, np.full_like(factor, stretch.along)], axis=1)
    middle = (scaled.min(axis=0) + scaled.max(axis=0)) / 2
    if normals is not None:
        corners = vertices[mesh.faces]
        factor, slope = _factors(stretch.across, mesh, corners[..., 2])
        # Normals are multiplied by the inverse of the transposed derivative: x and y by 1 / factor,
        # and where a mesh becomes wider with height, they turn down.
        outward = (corners[..., :2] * normals[..., :2]).sum(axis=-1)
        up = (normals[..., 2] - slope / factor * outward) / stretch.along
        turned = np.stack([normals[..., 0] / factor, normals[..., 1] / factor, up], axis=-1)
        unit = turned / np.linalg.norm(turned, axis=-1, keepdims=True)
        normals = unit.astype(np.float32)
    return replace(mesh, vertices=(scaled - middle).astype(np.float32), normals=normals)


def _factors(
    across: tuple[float, ...], mesh: Mesh, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Factors across at heights z of a mesh, and how much they grow with each unit of height."""
    low, high = float(mesh.vertices[:, 2].min()), float(mesh.vertices[:, 2].max())
    if len(across) == 1 or low == high:  # what lies flat has one height
        return np.full_like(heights, across[0]), np.zeros_like(heights)
    curve = PchipInterpolator(np.linspace(low, high, len(across)), across)
    return curve(heights), curve(heights, nu=1)
