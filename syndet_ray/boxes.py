"""Boxes: the labelled objects of one image."""

from dataclasses import dataclass

import numpy as np

ANY_CLASS = -1  # the label of a region in which objects of any class may be
_LEAST_UNION = 1e-9  # square pixels; boxes without area have the overlap 0 instead of 0 / 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes:
    """n labelled boxes in absolute pixels, origin top-left, continuous edges (x2 and y2 exclusive).

    xyxy        (n, 4) float64, x1 < x2 and y1 < y2
    labels      (n,) int64, 0-based index into the classes of the source the image belongs to
    visibility  (n,) float32, visible share of the whole silhouette, 0 to 1; NaN where unknown
    crowd       (n,) bool, COCO's iscrowd: a region of uncounted objects, neutral in scores, never
                trained on
    """

    xyxy: np.ndarray
    labels: np.ndarray
    visibility: np.ndarray
    crowd: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        assert self.xyxy.shape == (n, 4), self.xyxy.shape
        for column in (self.labels, self.visibility, self.crowd):
            assert column.shape == (n,), column.shape

    @staticmethod
    def of(
        xyxy: object,
        labels: object,
        visibility: object | None = None,
        crowd: object | None = None,
    ) -> "Boxes":
        """Boxes from anything array-like; visibility is unknown and crowd false by default."""
        corners = np.asarray(xyxy, np.float64).reshape(-1, 4)
        n = len(corners)
        if visibility is None:
            visibility = np.full(n, np.nan)
        if crowd is None:
            crowd = np.zeros(n)
        return Boxes(
            xyxy=corners,
            labels=np.asarray(labels, np.int64).reshape(n),
            visibility=np.asarray(visibility, np.float32).reshape(n),
            crowd=np.asarray(crowd, bool).reshape(n),
        )

    @staticmethod
    def none() -> "Boxes":
        """No objects: a negative image."""
        return Boxes.of([], [])

    def __len__(self) -> int:
        return len(self.xyxy)

    @property
    def areas(self) -> np.ndarray:
        """(n,) float64, square pixels."""
        return _areas(self.xyxy)

    def part(self, start: int, end: int) -> "Boxes":
        """The boxes from `start` up to `end`, as views."""
        return Boxes(
            xyxy=self.xyxy[start:end],
            labels=self.labels[start:end],
            visibility=self.visibility[start:end],
            crowd=self.crowd[start:end],
        )

    def select(self, index: np.ndarray) -> "Boxes":
        """The boxes at `index` (integers or a boolean mask), in that order."""
        return Boxes(
            xyxy=self.xyxy[index],
            labels=self.labels[index],
            visibility=self.visibility[index],
            crowd=self.crowd[index],
        )


def spread_regions(boxes: Boxes, classes: int) -> tuple[Boxes, np.ndarray]:
    """Boxes of which each of label ANY_CLASS has become one crowd of each class, since scores are
    computed by class; and (m,) int64, the box that each of them was.
    """
    is_region = boxes.labels == ANY_CLASS
    rows = np.repeat(np.arange(len(boxes)), np.where(is_region, classes, 1))
    spread = boxes.select(rows)
    of_region = is_region[rows]
    spread.labels[of_region] = np.tile(np.arange(classes), int(is_region.sum()))
    spread.crowd[of_region] = True
    return spread, rows


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) intersection over union of boxes (n, 4) and (m, 4)."""
    shared = _shared_areas(a, b)
    union = _areas(a)[:, None] + _areas(b)[None] - shared
    return shared / np.maximum(union, _LEAST_UNION)


def inside_shares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) the share of each box of a (n, 4) that lies in each box of b (m, 4).

    It is the overlap of a detection with a crowd in COCO's scores.
    """
    return _shared_areas(a, b) / np.maximum(_areas(a)[:, None], _LEAST_UNION)


def _shared_areas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) areas of what boxes (n, 4) and (m, 4) have in common."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    areas: np.ndarray = (bottom_right - top_left).clip(0).prod(axis=2)
    return areas


def _areas(xyxy: np.ndarray) -> np.ndarray:
    """(n,) areas of boxes (n, 4), square pixels."""
    x1, y1, x2, y2 = xyxy.T
    return (x2 - x1) * (y2 - y1)
