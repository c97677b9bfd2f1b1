"""Annotate: the modal box and the visibility of every object, from what the rays saw."""

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.scenes.assets import up_face
from syndet_ray.scenes.raycast import project, world_vertices
from syndet_ray.scenes.scene import Scene, rotations


def annotate(scene: Scene, ids: np.ndarray) -> Boxes:
    """Boxes of all dice of which a pixel is seen, however little. ids (h, w) the die at each pixel, -1 where none.

    The box is modal: it bounds the visible pixels. Visibility is visible pixels / pixels of the whole silhouette, and
    the silhouette goes on outside the image: a die that the image's border cuts in half is half visible. A die of which
    no pixel is seen has no box, so that `len(scene.dice)` less the number of boxes is the number of hidden dice.
    """
    n = len(scene.dice)
    y, x = np.nonzero(ids >= 0)
    which = ids[y, x]
    seen = np.bincount(which, minlength=n)
    xyxy = np.stack([_least(x, which, n), _least(y, which, n), _most(x, which, n) + 1, _most(y, which, n) + 1], axis=1)
    labels = [up_face(rotation) - 1 for rotation in rotations(scene.dice)]
    # Silhouettes follow the exact outline, pixels Embree's single precision: they may differ by a pixel.
    visibility = np.minimum(1.0, seen / np.maximum(silhouettes(scene), 1))
    return Boxes.of(xyxy, labels, visibility).select(seen > 0)


def silhouettes(scene: Scene) -> np.ndarray:
    """(n,) pixels whose centre lies in each die's whole silhouette, as if it were alone and the image endless.

    A die is convex, so its silhouette is the convex hull of its projected vertices.
    """
    outlines = project(world_vertices(scene), scene.camera)
    hulls = [cv2.convexHull(outline.astype(np.float32))[:, 0].astype(float) for outline in outlines]
    # A last corner repeated makes sides of no length, which cross no row.
    corners = np.arange(max((len(hull) for hull in hulls), default=0))
    even = [hull[np.minimum(corners, len(hull) - 1)] for hull in hulls]
    return _pixels_inside(np.array(even).reshape(-1, len(corners), 2))


def _pixels_inside(hulls: np.ndarray) -> np.ndarray:
    """(n,) pixel centres inside convex polygons (n, m, 2): in each row, those between its left and right border."""
    if not hulls.size:
        return np.zeros(len(hulls), int)
    first = np.floor(hulls[..., 1].min(axis=1))
    count = int(np.ceil((hulls[..., 1].max(axis=1) - first).max())) + 1
    rows = (first[:, None] + np.arange(count) + 0.5)[:, :, None]
    start, end = hulls[:, None], np.roll(hulls, -1, axis=1)[:, None]
    crosses = (start[..., 1] <= rows) != (end[..., 1] <= rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = start[..., 0] + (rows - start[..., 1]) * (end[..., 0] - start[..., 0]) / (end[..., 1] - start[..., 1])
    left, right = np.where(crosses, x, np.inf).min(axis=2), np.where(crosses, x, -np.inf).max(axis=2)
    inside = np.isfinite(left)
    left, right = np.where(inside, left, 0), np.where(inside, right, -1)
    return (np.floor(right - 0.5) - np.ceil(left - 0.5) + 1).clip(0).sum(axis=1).astype(int)


def _least(values: np.ndarray, which: np.ndarray, n: int) -> np.ndarray:
    found = np.full(n, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(found, which, values)
    return found


def _most(values: np.ndarray, which: np.ndarray, n: int) -> np.ndarray:
    found = np.full(n, -1, np.int64)
    np.maximum.at(found, which, values)
    return found
