"""Labels: the output of every reader. Classes are names, and boxes may leave their image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.data.encoded import Encoded


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledImage:
    """One image with its n boxes, as the annotation describes it.

    xyxy        (n, 4) float64, finite, in the annotated frame, in pixels, or in shares of its sides
                if `relative`
    names       n class names
    visibility  (n,) 0 to 1, NaN where unknown
    crowd       (n,) bool
    wh          size of the annotated frame in pixels, None if the annotation does not give it
    place       where the image is annotated; box_places: where each box is
    """

    image_id: str
    image: Encoded
    xyxy: np.ndarray
    names: Sequence[str]
    visibility: np.ndarray
    crowd: np.ndarray
    wh: tuple[int, int] | None
    relative: bool
    place: str
    box_places: Sequence[str]

    def __post_init__(self) -> None:
        # Clipped to its image, an infinite box would become a box of the whole image, and NaN any.
        assert np.isfinite(self.xyxy).all(), self.place


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A whole dataset.

    classes  in the format's own order
    splits   the images of each split
    notes    what was left out, in words
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[LabelledImage]]
    notes: tuple[str, ...] = ()
