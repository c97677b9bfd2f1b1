"""Paint: the colours of points on a mesh, from its vertices and its texture."""

import numpy as np

from syndet_ray.scenes.library import Mesh
from syndet_ray.scenes.sensor import DISPLAY_POWER

# linear light of each sRGB byte
LINEAR = ((np.arange(256) / 255) ** DISPLAY_POWER).astype(np.float32)


def mesh_colors(mesh: Mesh, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3, n) linear colours of points on a mesh; weights (2, n) of their triangles' second and
    third corner.
    """
    u, v = weights
    shares = np.stack([1 - u - v, u, v])
    corners = mesh.faces[triangles]
    colors = np.einsum("kn,nkc->cn", shares, mesh.colors[corners])
    if mesh.uv is None or mesh.texture is None:
        return colors
    u, v = np.einsum("kn,nkc->cn", shares, mesh.uv[corners]) % 1
    height, width = mesh.texture.shape[:2]
    x = np.minimum((u * width).astype(int), width - 1)
    y = np.minimum(((1 - v) * height).astype(int), height - 1)
    return colors * LINEAR.take(mesh.texture[y, x]).T
