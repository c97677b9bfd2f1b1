"""Annotate: the modal box and the visibility of every object, and boxes as people place them."""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.scenes.library import DICE, Library
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.scene import NO_CLASS, LabelStyle, Scene
from syndet_ray.scenes.tracing import silhouette_alone, world_vertices


def annotate(
    scene: Scene, ids: np.ndarray, library: Library = DICE, alone: np.ndarray | None = None
) -> Boxes:
    """Boxes of all objects of which at least one pixel is visible. ids (h, w) the body at each
    pixel, -1 where none; alone, what is known of silhouettes, as `Rendering` has it.

    The box is modal: it bounds the visible pixels, in the scene's label style. Visibility is
    visible pixels / pixels of the whole silhouette, and the silhouette goes on outside the image:
    an object that the image's border cuts in half is half visible. An object without a visible
    pixel has no box, nor has one of which less than the label style's least visibility shows.
    Bodies of no class have no box.
    """
    pixels, boxes = modal_boxes(ids, len(scene.bodies))
    labels = np.array([body.label for body in scene.bodies], int)
    visible = (pixels > 0) & (labels != NO_CLASS)
    xyxy = boxes[visible]
    # Silhouettes of dice follow the exact outline, pixels Embree's single precision: they may
    # differ by a pixel.
    whole = np.maximum(silhouettes(scene, library, visible, alone), 1)
    visibility = np.minimum(1.0, pixels[visible] / whole)
    is_labelled = visibility >= scene.label_style.least_visibility
    styled = apply_style(xyxy[is_labelled], scene.label_style, ids.shape)
    return Boxes.of(styled, labels[visible][is_labelled], visibility[is_labelled])


def modal_boxes(ids: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the visible pixels of each of n bodies, and (n, 4) int64 boxes around them, of no use
    for a body without any. ids (h, w) the body at each pixel, -1 where none.
    """
    y, x = np.nonzero(ids >= 0)
    bodies = ids[y, x]
    left, top = _least(x, bodies, n), _least(y, bodies, n)
    right, bottom = _most(x, bodies, n) + 1, _most(y, bodies, n) + 1
    return np.bincount(bodies, minlength=n), np.stack([left, top, right, bottom], axis=1)


def apply_style(xyxy: np.ndarray, style: LabelStyle, size_hw: tuple[int, ...]) -> np.ndarray:
    """Exact boxes (n, 4) as people would place them, at least a pixel wide and inside the image of
    `size_hw`.
    """
    if style == LabelStyle(seed=style.seed, least_visibility=style.least_visibility):
        return xyxy
    rng = seeds.generator(style.seed, "label style")
    moved = rng.normal(0, style.jitter, (len(xyxy), 2))
    grown = rng.normal(0, style.padding_spread, (len(xyxy), 1))
    size = (xyxy[:, 2:] - xyxy[:, :2]).astype(float)
    if style.square:
        size = np.repeat(size.max(axis=1, keepdims=True), 2, axis=1)
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + moved * size
    # People do not place a box that leaves half of its object outside.
    factor = np.maximum(1 + style.padding + grown, 0.6)
    half = np.maximum(size * factor, 1) / 2
    bounds = np.array([size_hw[1], size_hw[0]])
    low = np.clip(middle - half, 0, bounds - 1)
    high = np.clip(middle + half, low + 1, bounds)
    return np.concatenate([low, high], axis=1)


def silhouettes(
    scene: Scene,
    library: Library = DICE,
    wanted: np.ndarray | None = None,
    alone: np.ndarray | None = None,
) -> np.ndarray:
    """(k,) pixels whose centre lies in the whole silhouette of each of k wanted bodies, as if it
    were alone and the image endless.

    wanted (n,) bool, by default all bodies; alone as in `annotate`. A die is convex, so its
    silhouette is the convex hull of its projected vertices; that of a mesh is measured by rays.
    """
    chosen = range(len(scene.bodies)) if wanted is None else np.flatnonzero(wanted).tolist()
    counts = np.zeros(len(chosen), int)
    dice = [k for k, i in enumerate(chosen) if scene.bodies[i].die]
    for k, i in enumerate(chosen):
        if not scene.bodies[i].die:
            counted = -1 if alone is None else int(alone[i])
            counts[k] = counted if counted >= 0 else silhouette_alone(scene, i, library)
    if dice:
        vertices = world_vertices(scene, library)
        of_dice = np.array([vertices[chosen[k]] for k in dice])
        counts[dice] = _hull_pixels(project(of_dice, scene.camera))
    return counts


def _hull_pixels(outlines: np.ndarray) -> np.ndarray:
    """(n,) pixel centres inside the convex hulls of outlines (n, v, 2)."""
    hulls = [cv2.convexHull(outline.astype(np.float32))[:, 0].astype(float) for outline in outlines]
    # A last corner repeated makes sides of no length, which cross no row.
    corners = np.arange(max(len(hull) for hull in hulls))
    padded = [hull[np.minimum(corners, len(hull) - 1)] for hull in hulls]
    return _pixels_inside(np.array(padded))


def _pixels_inside(hulls: np.ndarray) -> np.ndarray:
    """(n,) pixel centres inside convex polygons (n, m, 2): in each row, those between its left and
    right border.
    """
    y = hulls[..., 1]
    first = np.floor(y.min(axis=1))
    count = int(np.ceil((y.max(axis=1) - first).max())) + 1
    rows = (first[:, None] + np.arange(count) + 0.5)[:, :, None]  # (n, rows, 1)
    # (n, 1, m) of each side
    start_x, start_y = np.moveaxis(hulls[:, None], -1, 0)
    end_x, end_y = np.moveaxis(np.roll(hulls, -1, axis=1)[:, None], -1, 0)
    crosses = (start_y <= rows) != (end_y <= rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = start_x + (rows - start_y) * (end_x - start_x) / (end_y - start_y)
    left = np.where(crosses, x, np.inf).min(axis=2)
    right = np.where(crosses, x, -np.inf).max(axis=2)
    inside = np.isfinite(left)
    left, right = np.where(inside, left, 0), np.where(inside, right, -1)
    pixels = np.floor(right - 0.5) - np.ceil(left - 0.5) + 1
    return pixels.clip(0).sum(axis=1).astype(int)


def _least(values: np.ndarray, bodies: np.ndarray, n: int) -> np.ndarray:
    """(n,) the least of the values of each body."""
    least = np.full(n, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(least, bodies, values)
    return least


def _most(values: np.ndarray, bodies: np.ndarray, n: int) -> np.ndarray:
    """(n,) the greatest of the values of each body, -1 if it has none."""
    most = np.full(n, -1, np.int64)
    np.maximum.at(most, bodies, values)
    return most
