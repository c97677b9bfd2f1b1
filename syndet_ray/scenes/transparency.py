"""Transparency: cuts the transparent parts of a texture out of a mesh, as renderers of games do."""

import cv2
import numpy as np

from syndet_ray.scenes.cutouts import shrunk

_MASK_PX = 512  # longest side of the mask: finer outlines are not visible in training images
_FINEST_PX = 1.5  # a face this small, in pixels of the mask, is kept or dropped as a whole
_MOST_FACES = 60_000  # of one part; further faces are kept or dropped as a whole


def cut(corners: np.ndarray, uv: np.ndarray, opaque: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces of a mesh that the opaque part of its texture covers, divided along its outline.

    corners (f, 3, k) numbers at the corners of faces, positions and colours; uv (f, 3, 2), 0 to 1,
    u to the right and v up; opaque (h, w) bool, the texture's first row is its top. Returns corners
    and uv of the faces that remain, each divided into four until it lies on one side of the
    outline or is as small as a pixel.
    """
    mask = shrunk(np.repeat(opaque[..., None].astype(np.uint8) * 255, 3, axis=2), _MASK_PX)[..., 0]
    sums = cv2.integral((mask >= 128).astype(np.uint8))
    values = np.concatenate([corners, uv], axis=2)
    done = []
    count = 0
    while len(values):
        low, high = _pixels(values[..., -2:], mask.shape)
        total = _in_box(sums, low, high)
        area = np.prod(high - low, axis=1)
        is_small = (high - low).max(axis=1) <= np.ceil(_FINEST_PX) + 1
        is_small |= count + len(values) * 4 > _MOST_FACES
        is_kept = (total == area) | (is_small & (total * 2 >= area))
        done.append(values[is_kept])
        count += int(is_kept.sum())
        values = _in_four(values[(total > 0) & (total < area) & ~is_small])
    kept = np.concatenate(done)
    return kept[..., :-2], kept[..., -2:]


def _pixels(uv: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(f, 2) first and last, exclusive, column and row of boxes around faces with uv (f, 3, 2)."""
    size_wh = np.array(size[1::-1])
    points = np.stack([uv[..., 0], 1 - uv[..., 1]], axis=2) * size_wh
    low = np.clip(np.floor(points.min(axis=1)).astype(int), 0, size_wh - 1)
    high = np.clip(np.ceil(points.max(axis=1)).astype(int), low + 1, size_wh)
    return low, high


def _in_box(sums: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(f,) the number of opaque pixels in boxes; sums are over all pixels above and to the left."""
    left, top = low.T
    right, bottom = high.T
    below = sums[bottom, right] - sums[bottom, left]
    above = sums[top, right] - sums[top, left]
    return below - above


def _in_four(values: np.ndarray) -> np.ndarray:
    """(4 f, 3, k) faces (f, 3, k), each divided at the middles of its sides."""
    a, b, c = values[:, 0], values[:, 1], values[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(part, axis=1) for part in parts])
