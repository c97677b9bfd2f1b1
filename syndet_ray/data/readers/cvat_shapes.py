"""CVAT shapes: the edges of the box around each kind of shape of CVAT's XML."""

from collections.abc import Callable, Mapping, Sequence
from xml.etree.ElementTree import Element

from syndet_ray.data.readers.labels import Edges, around_points
from syndet_ray.data.readers.rotation import around_ellipse, around_turned
from syndet_ray.data.readers.values import number

BOX = ("xtl", "ytl", "xbr", "ybr")  # the edges of a box, by their names in the file
WITHOUT_AREA = ("polyline", "points", "skeleton")


def _edges_of_box(shape: Element) -> Edges:
    x1, y1, x2, y2 = _numbers(shape, BOX)
    degrees = number(shape.get("rotation", "0"))
    if degrees == 0:
        return x1, y1, x2, y2
    return around_turned((x1, y1, x2, y2), degrees, ((x1 + x2) / 2, (y1 + y2) / 2))


def _edges_of_ellipse(shape: Element) -> Edges:
    x, y, width, height = _numbers(shape, ("cx", "cy", "rx", "ry"))
    return around_ellipse((x, y), (width, height), number(shape.get("rotation", "0")))


def _edges_of_polygon(shape: Element) -> Edges:
    xs, ys = [], []
    for point in shape.get("points", "").split(";"):
        x, _, y = point.partition(",")
        xs.append(number(x))
        ys.append(number(y))
    return around_points(xs, ys)


def _edges_of_mask(shape: Element) -> Edges:
    left, top, width, height = _numbers(shape, ("left", "top", "width", "height"))
    return left, top, left + width, top + height


def _edges_of_cuboid(shape: Element) -> Edges:
    corners = [f"{corner}{i}" for corner in ("tl", "tr", "bl", "br") for i in (1, 2)]
    xs = _numbers(shape, [f"x{corner}" for corner in corners])
    ys = _numbers(shape, [f"y{corner}" for corner in corners])
    return around_points(xs, ys)


EDGES_OF: Mapping[str, Callable[[Element], Edges]] = {
    "box": _edges_of_box,
    "ellipse": _edges_of_ellipse,
    "polygon": _edges_of_polygon,
    "mask": _edges_of_mask,
    "cuboid": _edges_of_cuboid,
}


def _numbers(shape: Element, keys: Sequence[str]) -> list[float]:
    return [number(shape.get(key)) for key in keys]
