"""Stretch: meshes that are also taller, lower, slimmer and wider, as things of one class differ."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.scene import NO_CLASS

MOST = 1.25  # factor, either way, at full strength
# Powers of that factor, across and along the axis that points up.
_POWERS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


def with_stretched(library: Library, strength: float) -> Library:
    """The library with four stretched meshes beside each mesh of an object.

    Cut-outs and surroundings stay as they are. The meshes as they are set the library's unit.
    """
    assets: dict[str, Asset] = {}
    for name, asset in library.assets.items():
        assets[name] = asset
        if strength > 0 and asset.label != NO_CLASS and not asset.picture:
            assets |= _stretched_assets(name, asset, MOST**strength)
    return replace(library, assets=assets)


def _stretched_assets(name: str, asset: Asset, factor: float) -> Mapping[str, Asset]:
    assets = {}
    for k, (across, along) in enumerate(_POWERS, start=1):
        factors = factor**across, factor**along
        mesh = stretch_mesh(asset.mesh, factors)
        assets[f"{name}~{k}"] = replace(asset, mesh=mesh, original=asset.mesh, stretch=factors)
    return assets


@lru_cache(maxsize=1024)
def stretch_mesh(mesh: Mesh, factors: tuple[float, float]) -> Mesh:
    """A mesh that is wider and higher by factors, across and along its z axis."""
    across, along = factors
    scales = np.array([across, across, along], np.float32)
    normals = mesh.normals
    if normals is not None:
        # normals of a plane that is stretched turn the other way
        turned = normals / scales
        normals = turned / np.linalg.norm(turned, axis=-1, keepdims=True)
    return replace(mesh, vertices=mesh.vertices * scales, normals=normals)
