"""Boards: the picture of a board on the floor of a scene, once, in its true size."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.scenes.paint import LINEAR
from syndet_ray.scenes.scene import Ground

# The longer side of a picture: as sharp as a board that fills the largest images.
_MOST_PX = 1024


def floor_colors(ground: Ground, points: np.ndarray, pixels_m: np.ndarray) -> np.ndarray:
    """(3, n) linear colours of the floor of a board at points (3, n).

    pixels_m (n,) are the sides, in metres, of the pixels that see them: each pixel shows the mean
    of the texels in it, or nearly, so that narrow squares far away do not flicker.
    """
    levels = _mip_levels(ground.texture)
    across = points[0] / np.float32(2 * ground.half_width) + np.float32(0.5)
    down = np.float32(0.5) - points[1] / np.float32(2 * ground.half_depth)
    texel_m = 2 * ground.half_width / levels[0].shape[1]
    steps = np.rint(np.log2(pixels_m / texel_m)).astype(int)
    level = np.clip(steps, 0, len(levels) - 1)
    image = np.empty((3, len(level)), np.float32)
    for k in np.unique(level).tolist():
        at = np.flatnonzero(level == k)
        image[:, at] = _interpolate(levels[k], across.take(at), down.take(at))
    return _on_floor(image.T, ground).T


def floor_texture(ground: Ground) -> np.ndarray:
    """(h, w, 3) linear colours of the floor of a board, whose upper side lies along +y."""
    return _on_floor(_mip_levels(ground.texture)[0].astype(np.float32), ground)


def _on_floor(image: np.ndarray, ground: Ground) -> np.ndarray:
    """Colours (..., 3) of an image, mixed with the floor's."""
    floor = np.array(ground.floor_color, np.float32)
    return floor + (image - floor) * np.float32(ground.texture_contrast)


def _interpolate(texels: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(3, n) colours, bilinear between the middles of texels (h, w, 3).

    across, down  (n,) shares of their width and height, from the upper left corner
    """
    height, width = texels.shape[:2]
    x = np.clip(across * width - np.float32(0.5), 0, width - 1)
    y = np.clip(down * height - np.float32(0.5), 0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    to_right, to_bottom = (x - left)[:, None], (y - top)[:, None]
    upper = texels[top, left] * (1 - to_right) + texels[top, right] * to_right
    lower = texels[bottom, left] * (1 - to_right) + texels[bottom, right] * to_right
    return (upper * (1 - to_bottom) + lower * to_bottom).T.astype(np.float32)


@lru_cache(maxsize=32)  # up to 8 MiB each
def _mip_levels(path: str) -> tuple[np.ndarray, ...]:
    """An image file as linear colours (h, w, 3) in half precision, then half as large, and so on,
    until one side is a single texel.
    """
    rgb = picture.pixels(Path(path), path)
    reduced = min(1.0, _MOST_PX / max(rgb.shape))
    if reduced < 1:
        rgb = _resize(rgb, reduced)
    levels = [LINEAR.take(rgb)]
    while min(levels[-1].shape[:2]) > 1:
        levels.append(_resize(levels[-1], 0.5))
    return tuple(level.astype(np.float16) for level in levels)


def _resize(image: np.ndarray, factor: float) -> np.ndarray:
    """An image (h, w, 3) whose sides are smaller by a factor, each at least one texel."""
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
