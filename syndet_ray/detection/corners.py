"""Corners: recognizes boxes that are corners where left, top, width and height are expected."""

import numpy as np

_MARGIN = 0.1  # of the side of an image: so far corners may lie outside, as models do not clip all
_LEAST_OUTSIDE = 0.25  # share of all boxes; of objects that lie anywhere two thirds reach out
_LEAST_EXPECTED = 20.0  # the chance of none is then e^-20, one in 500 million


def are_corners(boxes: np.ndarray, sizes_wh: np.ndarray) -> bool:
    """True if boxes are certainly left, top, right, bottom, and not left, top, width, height.

    A detector that is only bad makes some box that cannot be corners. All of this must hold:

    - As corners, all boxes are in order and lie in their images.
    - As left, top, width, height, a quarter of them reaches beyond the image.
    - No box has a width below its left edge, though at least 20 of the different boxes would if
      their widths were exchanged at random; or the same with heights and top edges.

    boxes     (n, 4)
    sizes_wh  (n, 2) width and height of the image of each box
    """
    shares = boxes / np.tile(sizes_wh, 2)
    starts, ends = shares[:, :2], shares[:, 2:]
    in_order = (starts <= ends).all()
    if not in_order or (starts < -_MARGIN).any() or (ends > 1 + _MARGIN).any():
        return False
    reaches_out = (starts + ends > 1 + _MARGIN).any(axis=1)
    if reaches_out.sum() < _LEAST_OUTSIDE * len(boxes):
        return False
    # a model that has learned nothing may predict nearly the same boxes in all images
    _, different = np.unique(np.round(shares, 1), axis=0, return_index=True)
    expected = [_expected_below(ends[different, k], starts[different, k]) for k in range(2)]
    return max(expected) >= _LEAST_EXPECTED


def _expected_below(values: np.ndarray, limits: np.ndarray) -> float:
    """The mean number of values below their limits, over all orders of the values.

    values, limits  (n,)
    """
    if not len(values):
        return 0.0
    below = np.searchsorted(np.sort(values), limits)
    return float(below.sum() / len(values))
