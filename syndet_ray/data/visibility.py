"""Visibility: the visible share of each object, measured or estimated from boxes, and its bins."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool

Kind = Literal["measured", "estimated"]
_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUANTILES = 4  # as many as bins of equal width


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Objects of similar visibility: low <= visibility < high, and a bin up to 1 includes 1.

    objects  the number of a pool's objects in it, without crowds
    mean     of their visibility; None if there are none
    """

    low: float
    high: float
    objects: int
    mean: float | None

    @property
    def name(self) -> str:
        return f"{self.low:.2f}-{self.high:.2f}"

    def holds(self, values: np.ndarray) -> np.ndarray:
        """(n,) bool for (n,) visibilities; NaN is in no bin."""
        is_below = values < self.high
        if self.high == 1:
            is_below |= values == 1
        return (values >= self.low) & is_below


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """The objects of a pool in bins of visibility, as plain values.

    bins           four, of equal width
    quantiles      four, of about as many objects each, from 0 to 1; fewer if many objects are
                   equally visible
    minimum        a bin with fewer objects is too small to be scored
    class_objects  the number of objects of each class in each of `bins`; empty if not counted
    """

    kind: Kind
    bins: tuple[Bin, ...]
    quantiles: tuple[Bin, ...]
    minimum: int
    class_objects: dict[str, tuple[int, ...]] = field(default_factory=dict)


def visibility(pool: Pool) -> tuple[np.ndarray, Kind]:
    """(boxes,) float64 visible share of every box of the pool, 0 to 1, and its kind.

    NaN for crowds. It is measured if the data give it for every object; otherwise all values are
    estimated, since the two kinds must not be mixed.
    """
    of_objects = pool.visibility[~pool.crowd]
    if np.isfinite(of_objects).all():
        measured = pool.visibility.astype(np.float64)
        return np.where(pool.crowd, np.nan, measured), "measured"
    estimates = [_estimate(pool.boxes(i)) for i in range(len(pool))]
    return np.concatenate(estimates), "estimated"


def bins_of(pool: Pool, minimum: int = 20) -> Visibility:
    """The non-crowd objects of the pool, each in one of the bins and in one of the quantiles."""
    values, kind = visibility(pool)
    objects = values[~pool.crowd]
    bins = _bins(objects, _EDGES)
    return Visibility(
        kind=kind,
        bins=bins,
        quantiles=_bins(objects, _quantile_edges(objects)),
        minimum=minimum,
        class_objects=_class_objects(pool, values, bins),
    )


def _class_objects(
    pool: Pool, values: np.ndarray, bins: tuple[Bin, ...]
) -> dict[str, tuple[int, ...]]:
    counts = []
    for visibility_bin in bins:
        labels = pool.labels[visibility_bin.holds(values)]
        counts.append(np.bincount(labels, minlength=len(pool.classes)))
    rows = map(tuple, np.array(counts).T.tolist())
    return dict(zip(pool.classes, rows, strict=True))


def covered_shares(xyxy: np.ndarray) -> np.ndarray:
    """(n,) exact share of each box that lies under the union of the others.

    xyxy: (n, 4) pixels, of one image. The edges of all boxes cut the image into a grid whose cells
    are wholly inside or outside each box; a cell of a box is covered if at least two boxes hold it.
    """
    x1, y1, x2, y2 = xyxy.T[:, :, None]  # each (n, 1)
    x = np.unique(xyxy[:, [0, 2]])
    y = np.unique(xyxy[:, [1, 3]])
    columns = (x1 <= x[:-1]) & (x[1:] <= x2)
    rows = (y1 <= y[:-1]) & (y[1:] <= y2)
    boxes_in_cell = rows.T.astype(np.int64) @ columns
    cell_areas = np.diff(y)[:, None] * np.diff(x)
    shared_areas = np.where(boxes_in_cell > 1, cell_areas, 0.0)
    in_rows = rows @ shared_areas
    covered = (in_rows * columns).sum(axis=1)
    areas = ((x2 - x1) * (y2 - y1))[:, 0]
    return np.clip(covered / areas, 0.0, 1.0)


def _estimate(boxes: Boxes) -> np.ndarray:
    """(n,) 1 - covered share / 2, so 0.5 to 1; NaN for crowds, which hide nothing.

    Boxes do not show which of two overlapping objects lies in front: each is behind in one of two
    cases, so a covered area counts half. The area between box and silhouette is neglected.
    """
    values = np.full(len(boxes), np.nan)
    objects = ~boxes.crowd
    values[objects] = 1 - 0.5 * covered_shares(boxes.xyxy[objects])
    return values


def _bins(values: np.ndarray, edges: tuple[float, ...]) -> tuple[Bin, ...]:
    return tuple(_bin(low, high, values) for low, high in pairwise(edges))


def _bin(low: float, high: float, values: np.ndarray) -> Bin:
    empty = Bin(low=low, high=high, objects=0, mean=None)
    inside = values[empty.holds(values)]
    if not len(inside):
        return empty
    return replace(empty, objects=len(inside), mean=float(inside.mean()))


def _quantile_edges(values: np.ndarray) -> tuple[float, ...]:
    """Edges of bins of about as many objects each, from 0 to 1.

    Inner edges are visibilities that occur, above the smallest and below 1: so no bin is empty.
    """
    if len(values) == 0:
        return ()
    ordered = np.sort(values)
    positions = [len(ordered) * k // _QUANTILES for k in range(1, _QUANTILES)]
    edges = {float(ordered[position]) for position in positions}
    inner = sorted(edge for edge in edges if ordered[0] < edge < 1)
    return (0.0, *inner, 1.0)
