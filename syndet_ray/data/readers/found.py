"""Found: what every reader hands back, classes still by name and boxes not yet held against the
image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """One image with its n boxes, as the annotation tells it.

    xyxy        (n, 4) float64, finite, in the annotated frame, in pixels, or in shares of its sides
                where `relative`
    names       n class names
    visibility  (n,) 0 to 1, NaN where unknown
    crowd       (n,) bool
    wh          size of the annotated frame in pixels, None where the annotation does not tell
    place       where the image is annotated; box_places: where each box is
    """

    image_id: str
    image: bytes | Path
    xyxy: np.ndarray
    names: Sequence[str]
    visibility: np.ndarray
    crowd: np.ndarray
    wh: tuple[int, int] | None
    relative: bool
    place: str
    box_places: Sequence[str]

    def __post_init__(self) -> None:
        # Clipped to its image, an infinite box would pass for one of the whole image, and NaN for
        # any.
        assert np.isfinite(self.xyxy).all(), self.place


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A whole dataset: its classes in the format's own order, the images of each split, and what
    was noteworthy.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Found]]
    notes: tuple[str, ...] = ()
