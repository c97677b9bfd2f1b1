"""Labels: the output of every reader. Classes are names, and boxes are as they were drawn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syndet_ray.data.images.encoded import Encoded

Edges = tuple[float, float, float, float]
NO_EDGES: Edges = (math.nan, math.nan, math.nan, math.nan)  # of a box that cannot be read


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class LabelledBox:
    """One box, as the annotation describes it. It may leave its image, or be no box at all.

    xyxy        continuous edges in the annotated frame (x2 and y2 exclusive), in pixels, or in
                shares of the frame's sides if the image is `relative`
    name        its class, a problem if it is blank; None for a region in which objects of any
                class are not labelled
    place       where it stands in the annotation of its image: "annotation 7", "object 2"
    visibility  0 to 1, NaN where unknown
    crowd       True for a region of uncounted objects, neutral in scores, never trained on
    is_bad      True if a problem of the remarks says what is wrong with it, as with its class
    """

    xyxy: Edges
    name: str | None
    place: str
    visibility: float = math.nan
    crowd: bool = False
    is_bad: bool = False


def around(edges: Sequence[Edges]) -> Edges:
    """The edges around all of these, at least one; NaN if one of them is."""
    lefts, tops, rights, bottoms = zip(*edges, strict=True)
    return around_points([*lefts, *rights], [*tops, *bottoms])


def around_points(xs: Sequence[float], ys: Sequence[float]) -> Edges:
    """The edges around points; NaN without points, or if a coordinate is NaN, which `min` hides."""
    if not xs or any(map(math.isnan, (*xs, *ys))):
        return NO_EDGES
    return min(xs), min(ys), max(xs), max(ys)


def unusable(xyxy: Edges, place: str) -> LabelledBox:
    """A box of which a field is wrong, which is a problem of the remarks: a region to ignore."""
    return LabelledBox(xyxy=xyxy, name=None, place=place, crowd=True, is_bad=True)


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class LabelledImage:
    """One image with its boxes, as the annotation describes it.

    image_id  unique within the dataset, and the same in any folder; None for an image file, whose
              path within the dataset's folder becomes its id
    image     the encoded bytes, the path of their file, or a part of a file
    wh        size of the annotated frame in pixels, None if the annotation does not give it
    relative  True if boxes are in shares of the frame's sides
    as_shown  True if boxes are in the frame that is shown, also where `wh` is the size as stored
    place     where the image is annotated
    """

    image: Encoded
    boxes: Sequence[LabelledBox]
    place: str
    image_id: str | None = None
    wh: tuple[int, int] | None = None
    relative: bool = False
    as_shown: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A whole dataset.

    splits   the images of each split, read while they are iterated over, once
    classes  in the format's own order; None if only the boxes name them: then they are sorted
    images   in all splits, for the progress; 0 if that is not known beforehand
    """

    splits: Mapping[str, Iterable[LabelledImage]]
    classes: tuple[str, ...] | None = None
    images: int = 0
