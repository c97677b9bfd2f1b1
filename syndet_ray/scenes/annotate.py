"""Annotate: the modal box and the visibility of every object, from what the rays saw."""

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.scenes.assets import up_face
from syndet_ray.scenes.scene import Scene, rotations


def annotate(scene: Scene, ids: np.ndarray, silhouettes: np.ndarray) -> Boxes:
    """Boxes of all dice of which a pixel is seen, however little. ids (h, w) the die at each pixel, -1 where none.

    The box is modal: it bounds the visible pixels. Visibility is visible pixels / pixels of the whole silhouette, (n,)
    in `silhouettes`, which counts what lies outside the image as hidden too.
    """
    n = len(scene.dice)
    y, x = np.nonzero(ids >= 0)
    which = ids[y, x]
    seen = np.bincount(which, minlength=n)
    xyxy = np.stack([_least(x, which, n), _least(y, which, n), _most(x, which, n) + 1, _most(y, which, n) + 1], axis=1)
    labels = np.array([up_face(rotation) - 1 for rotation in rotations(scene.dice)], np.int64)
    visibility = np.minimum(1.0, seen / np.maximum(silhouettes, 1))
    return Boxes.of(xyxy, labels, visibility).select(seen > 0)


def _least(values: np.ndarray, which: np.ndarray, n: int) -> np.ndarray:
    found = np.full(n, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(found, which, values)
    return found


def _most(values: np.ndarray, which: np.ndarray, n: int) -> np.ndarray:
    found = np.full(n, -1, np.int64)
    np.maximum.at(found, which, values)
    return found
