"""Rotation: the upright box around a box that an annotator turned."""

import math

from syndet_ray.data.readers.labels import Edges


def around_turned(edges: Edges, degrees: float, pivot: tuple[float, float]) -> Edges:
    """The edges of the upright box around a box that is turned clockwise about a point.

    Clockwise as a person sees it, with y downwards.
    """
    x1, y1, x2, y2 = edges
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    xs, ys = [], []
    for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        right, down = x - pivot[0], y - pivot[1]
        xs.append(pivot[0] + right * cosine - down * sine)
        ys.append(pivot[1] + right * sine + down * cosine)
    return min(xs), min(ys), max(xs), max(ys)


def around_ellipse(
    center: tuple[float, float], radii: tuple[float, float], degrees: float
) -> Edges:
    """The edges of the upright box around an ellipse that is turned about its center."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radii[0] * cosine, radii[1] * sine)
    half_height = math.hypot(radii[0] * sine, radii[1] * cosine)
    x, y = center
    return x - half_width, y - half_height, x + half_width, y + half_height
