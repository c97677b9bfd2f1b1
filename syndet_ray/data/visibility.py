"""Visibility: how much of each object can be seen, measured or estimated from boxes, and objects in
bins of it.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool

Kind = Literal["measured", "estimated"]
_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUANTILES = 4


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Objects of like visibility: low <= visibility < high, and a bin up to 1 includes 1.

    objects  how many of a pool there are in it, without crowds
    mean     of their visibility; None where there are none
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
        return (values >= self.low) & ((values < self.high) | ((values == 1) & (self.high == 1)))


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """The objects of a pool in bins of visibility; plain values throughout.

    bins       four, of equal width
    quantiles  four, of about as many objects each, from 0 to 1; fewer where many objects are
               visible alike
    minimum    a bin with fewer objects tells too little to be scored
    class_objects  how many objects of each class there are in each of `bins`; empty where it was
                   not counted
    """

    kind: Kind
    bins: tuple[Bin, ...]
    quantiles: tuple[Bin, ...]
    minimum: int
    class_objects: dict[str, tuple[int, ...]] = field(default_factory=dict)


def visibility(pool: Pool) -> tuple[np.ndarray, Kind]:
    """(boxes,) float64 visible share of every box of the pool, 0 to 1, and how it is known. NaN for
    crowds.

    Measured where the data tell it of every object; otherwise all are estimated, since the two
    kinds must not be mixed.
    """
    if np.isfinite(pool.visibility[~pool.crowd]).all():
        return np.where(pool.crowd, np.nan, pool.visibility.astype(np.float64)), "measured"
    return np.concatenate([_estimated(pool.boxes(i)) for i in range(len(pool))]), "estimated"


def bins_of(pool: Pool, minimum: int = 20) -> Visibility:
    """The non-crowd objects of the pool, each in one of the bins and in one of the quantiles."""
    values, kind = visibility(pool)
    known = values[~pool.crowd]
    bins = _bins(known, _EDGES)
    return Visibility(
        kind=kind,
        bins=bins,
        quantiles=_bins(known, _quantile_edges(known)),
        minimum=minimum,
        class_objects=_class_objects(pool, values, bins),
    )


def _class_objects(
    pool: Pool, values: np.ndarray, bins: tuple[Bin, ...]
) -> dict[str, tuple[int, ...]]:
    counts = np.array(
        [np.bincount(pool.labels[one.holds(values)], minlength=len(pool.classes)) for one in bins]
    )
    return {
        name: tuple(column) for name, column in zip(pool.classes, counts.T.tolist(), strict=True)
    }


def covered_shares(xyxy: np.ndarray) -> np.ndarray:
    """(n,) share of each box that lies under the union of the others, exact. xyxy (n, 4) pixels, of
    one image.

    All edges together cut the image into a grid whose cells are wholly inside or outside each box;
    a cell of a box is covered where at least two boxes hold it.
    """
    x, y = np.unique(xyxy[:, [0, 2]]), np.unique(xyxy[:, [1, 3]])
    columns = (xyxy[:, [0]] <= x[:-1]) & (x[1:] <= xyxy[:, [2]])
    rows = (xyxy[:, [1]] <= y[:-1]) & (y[1:] <= xyxy[:, [3]])
    held = rows.T.astype(np.int64) @ columns
    shared = np.where(held > 1, np.diff(y)[:, None] * np.diff(x), 0.0)
    covered = ((rows @ shared) * columns).sum(axis=1)
    return np.clip(covered / ((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])), 0.0, 1.0)


def _estimated(boxes: Boxes) -> np.ndarray:
    """(n,) 1 - covered share / 2, so 0.5 to 1; NaN for crowds, which hide nothing.

    Boxes do not tell which of two overlapping objects lies in front: each is behind in one of two
    cases, so what is covered counts half. What lies between box and silhouette is neglected.
    """
    values = np.full(len(boxes), np.nan)
    values[~boxes.crowd] = 1 - 0.5 * covered_shares(boxes.xyxy[~boxes.crowd])
    return values


def _bins(values: np.ndarray, edges: tuple[float, ...]) -> tuple[Bin, ...]:
    return tuple(_bin(low, high, values) for low, high in pairwise(edges))


def _bin(low: float, high: float, values: np.ndarray) -> Bin:
    inside = values[Bin(low=low, high=high, objects=0, mean=None).holds(values)]
    return Bin(
        low=low, high=high, objects=len(inside), mean=float(inside.mean()) if len(inside) else None
    )


def _quantile_edges(values: np.ndarray) -> tuple[float, ...]:
    """Inner edges are visibilities that occur, above the least and below 1: so no bin is empty."""
    if len(values) == 0:
        return ()
    ordered = np.sort(values)
    inner = {float(ordered[len(ordered) * k // _QUANTILES]) for k in range(1, _QUANTILES)}
    return (0.0, *sorted(edge for edge in inner if ordered[0] < edge < 1), 1.0)
