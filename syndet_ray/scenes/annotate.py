"""Annotate: the modal box and the visibility of every object, from what the rays saw, and boxes as
people draw them.
"""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.scenes.library import DICE, Library
from syndet_ray.scenes.raycast import project, silhouette_alone, world_vertices
from syndet_ray.scenes.scene import NO_CLASS, LabelStyle, Scene


def annotate(scene: Scene, ids: np.ndarray, library: Library = DICE) -> Boxes:
    """Boxes of all objects of which a pixel is seen, however little. ids (h, w) the body at each
    pixel, -1 where none.

    The box is modal: it bounds the visible pixels, in the scene's label style. Visibility is
    visible pixels / pixels of the whole silhouette, and the silhouette goes on outside the image:
    an object that the image's border cuts in half is half visible. An object of which no pixel is
    seen has no box, so that the number of objects less the number of boxes is the number of hidden
    objects. Bodies of no class have no box.
    """
    n = len(scene.bodies)
    y, x = np.nonzero(ids >= 0)
    which = ids[y, x]
    seen = np.bincount(which, minlength=n)
    xyxy = np.stack(
        [_least(x, which, n), _least(y, which, n), _most(x, which, n) + 1, _most(y, which, n) + 1],
        axis=1,
    )
    labels = np.array([body.label for body in scene.bodies], int)
    found = (seen > 0) & (labels != NO_CLASS)
    # Silhouettes of dice follow the exact outline, pixels Embree's single precision: they may
    # differ by a pixel.
    visibility = np.minimum(1.0, seen[found] / np.maximum(silhouettes(scene, library, found), 1))
    return Boxes.of(styled(xyxy[found], scene.label_style, ids.shape), labels[found], visibility)


def styled(xyxy: np.ndarray, style: LabelStyle, size_hw: tuple[int, ...]) -> np.ndarray:
    """Exact boxes (n, 4) as people would draw them, at least a pixel wide and inside the image of
    `size_hw`.
    """
    if style == LabelStyle(seed=style.seed):
        return xyxy
    rng = seeds.generator(style.seed, "label style")
    moved, grown = (
        rng.normal(0, style.jitter, (len(xyxy), 2)),
        rng.normal(0, style.padding_spread, (len(xyxy), 1)),
    )
    size = (xyxy[:, 2:] - xyxy[:, :2]).astype(float)
    if style.square:
        size = np.repeat(size.max(axis=1, keepdims=True), 2, axis=1)
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + moved * size
    # Nobody draws a box that leaves half of what it means outside.
    half = np.maximum(size * np.maximum(1 + style.padding + grown, 0.6), 1) / 2
    bounds = np.array([size_hw[1], size_hw[0]])
    low = np.clip(middle - half, 0, bounds - 1)
    return np.concatenate([low, np.clip(middle + half, low + 1, bounds)], axis=1)


def silhouettes(
    scene: Scene, library: Library = DICE, wanted: np.ndarray | None = None
) -> np.ndarray:
    """Pixels whose centre lies in the whole silhouette of each wanted body, as if alone and the
    image endless.

    wanted (n,) bool, by default all bodies. A die is convex, so its silhouette is the convex hull
    of its projected vertices; that of a mesh is found by rays.
    """
    chosen = range(len(scene.bodies)) if wanted is None else np.flatnonzero(wanted).tolist()
    counts = np.array(
        [0 if scene.bodies[i].die else silhouette_alone(scene, i, library) for i in chosen], int
    )
    dice = [k for k, i in enumerate(chosen) if scene.bodies[i].die]
    if dice:
        vertices = world_vertices(scene, library)
        counts[dice] = _hull_pixels(
            project(np.array([vertices[chosen[k]] for k in dice]), scene.camera)
        )
    return counts


def _hull_pixels(outlines: np.ndarray) -> np.ndarray:
    """(n,) pixel centres inside the convex hulls of outlines (n, v, 2)."""
    hulls = [cv2.convexHull(outline.astype(np.float32))[:, 0].astype(float) for outline in outlines]
    # A last corner repeated makes sides of no length, which cross no row.
    corners = np.arange(max(len(hull) for hull in hulls))
    return _pixels_inside(np.array([hull[np.minimum(corners, len(hull) - 1)] for hull in hulls]))


def _pixels_inside(hulls: np.ndarray) -> np.ndarray:
    """(n,) pixel centres inside convex polygons (n, m, 2): in each row, those between its left and
    right border.
    """
    first = np.floor(hulls[..., 1].min(axis=1))
    count = int(np.ceil((hulls[..., 1].max(axis=1) - first).max())) + 1
    rows = (first[:, None] + np.arange(count) + 0.5)[:, :, None]
    start, end = hulls[:, None], np.roll(hulls, -1, axis=1)[:, None]
    crosses = (start[..., 1] <= rows) != (end[..., 1] <= rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = start[..., 0] + (rows - start[..., 1]) * (end[..., 0] - start[..., 0]) / (
            end[..., 1] - start[..., 1]
        )
    left, right = (
        np.where(crosses, x, np.inf).min(axis=2),
        np.where(crosses, x, -np.inf).max(axis=2),
    )
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
