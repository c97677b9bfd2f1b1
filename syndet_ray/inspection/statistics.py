"""Statistics: what can be measured of every image and of every object of a source, without knowing
what they show.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Source
from syndet_ray.data.visibility import visibility
from syndet_ray.inspection.duplicates import Print, print_of

COMMON_PX = 256  # longest side at which colours and sharpness of all images are measured
TINY_PX = 16  # side of a box; smaller are "tiny" in AI-TOD (Wang et al. 2021)
_BORDER_PX = 1.0  # from the border of the image, and nearer
# Immerkaer (1996), "Fast noise variance estimation": blind to constant and linear brightness, so to
# most of the picture.
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """One number of every image, or of every object.

    group  what statistics that say nearly the same have in common
    steps  how far apart its values at least are, such as 1 for counts; None for continuous ones
    fine   a standard deviation up to which it does not vary to speak of
    span   in words, from where to where values may lie
    """

    name: str
    of: Literal["image", "object"]
    group: str
    unit: str
    tells: str
    steps: float | None = None
    fine: float = 0.0
    span: str = ""

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def scale(self) -> str:
        """The unit and the span, as the title of an axis or a column beside the values."""
        return ", ".join(part for part in (self.unit, self.span) if part)


_LAB = f"CIE L*a*b* of the image at {COMMON_PX} px"
STATISTICS = (
    Statistic(
        name="image_width",
        of="image",
        group="image size",
        unit="px",
        tells="width of the image",
        steps=1,
    ),
    Statistic(
        name="image_height",
        of="image",
        group="image size",
        unit="px",
        tells="height of the image",
        steps=1,
    ),
    Statistic(
        name="objects_per_image",
        of="image",
        group="objects per image",
        unit="objects",
        tells="labelled objects, without crowds",
        steps=1,
    ),
    Statistic(
        name="box_width",
        of="object",
        group="box size in pixels",
        unit="px",
        tells="width of the box",
    ),
    Statistic(
        name="box_height",
        of="object",
        group="box size in pixels",
        unit="px",
        tells="height of the box",
    ),
    Statistic(
        name="box_size",
        of="object",
        group="box size in pixels",
        unit="px",
        tells="square root of the box's area",
    ),
    Statistic(
        name="relative_width",
        of="object",
        group="relative box size",
        unit="of the image",
        tells="width of the box by the image's",
    ),
    Statistic(
        name="relative_height",
        of="object",
        group="relative box size",
        unit="of the image",
        tells="height of the box by the image's",
    ),
    Statistic(
        name="relative_size",
        of="object",
        group="relative box size",
        unit="of the image",
        tells="square root of the box's share of the area",
    ),
    Statistic(
        name="aspect_ratio",
        of="object",
        group="box shape",
        unit="log2 of width by height",
        tells="0 is square, 1 twice as wide as high",
        steps=None,
        fine=0.01,
    ),
    Statistic(
        name="centre_x",
        of="object",
        group="position",
        unit="of the width",
        tells="centre of the box, 0 is left",
    ),
    Statistic(
        name="centre_y",
        of="object",
        group="position",
        unit="of the height",
        tells="centre of the box, 0 is at the top",
    ),
    Statistic(
        name="visibility_measured",
        of="object",
        group="visibility, measured",
        unit="visible share",
        tells="as the data tell it",
    ),
    Statistic(
        name="visibility_estimated",
        of="object",
        group="visibility, estimated",
        unit="visible share",
        tells="estimated from boxes that overlap",
    ),
    Statistic(
        name="overlaps",
        of="object",
        group="overlaps",
        unit="boxes",
        tells="other boxes that share area with the box",
        steps=1,
    ),
    Statistic(
        name="brightness",
        of="image",
        group="brightness",
        unit="L*",
        tells=f"mean lightness, {_LAB}",
        span="0 to 100",
    ),
    Statistic(
        name="contrast",
        of="image",
        group="contrast",
        unit="L*",
        tells=f"standard deviation of lightness, {_LAB}",
    ),
    Statistic(
        name="saturation",
        of="image",
        group="saturation",
        unit="chroma",
        tells=f"mean distance from grey, {_LAB}",
    ),
    Statistic(
        name="hue_spread",
        of="image",
        group="hue",
        unit="",
        tells=f"0: one hue, 1: all or opposite ones alike, by chroma; {_LAB}",
        span="0 to 1",
    ),
    Statistic(
        name="green_to_red",
        of="image",
        group="colour cast",
        unit="a*",
        tells=f"mean a*: below 0 greener, above redder; {_LAB}",
    ),
    Statistic(
        name="blue_to_yellow",
        of="image",
        group="colour cast",
        unit="b*",
        tells=f"mean b*: below 0 bluer, above yellower; {_LAB}",
    ),
    Statistic(
        name="sharpness",
        of="image",
        group="sharpness",
        unit="log10 of levels²",
        tells=f"log10 of 1 + variance of the Laplacian of the grey image, its longest side scaled to {COMMON_PX} px",
    ),
    Statistic(
        name="noise",
        of="image",
        group="noise",
        unit="grey levels",
        tells="standard deviation at full size (Immerkaer 1996); fine texture counts as noise, JPEG lowers it",
    ),
)
# of objects, measured beside the statistics: rarely more than a few, and told as what they are
SHARES = {
    "at_border": f"within {_BORDER_PX:.0f} px of it",
    "tiny": f"below {TINY_PX} px, by the square root of the area",
}
BY_NAME = {statistic.name: statistic for statistic in STATISTICS}


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """What was measured of the n images and m objects of a source; crowds are no objects.

    values    by name of a statistic: (n,) or (m,) float64; NaN where an image is too small to tell.
              And by the names in SHARES: (m,) 0 or 1
    image_of  (m,) int64, ascending: the image that an object is on
    labels    (m,) int64, index into classes
    crowds    regions of uncounted objects
    """

    classes: tuple[str, ...]
    images: int
    crowds: int
    values: dict[str, np.ndarray]
    image_of: np.ndarray
    labels: np.ndarray
    prints: tuple[Print, ...]

    @property
    def objects(self) -> int:
        return len(self.labels)

    @property
    def empty(self) -> int:
        """How many images have no object."""
        return int((self.values["objects_per_image"] == 0).sum())

    @property
    def visibility_kind(self) -> str:
        return "measured" if "visibility_measured" in self.values else "estimated"

    def known(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values (k,) of a statistic that are known, and the image (k,) that each is of."""
        values = self.values.get(name, np.zeros(0))
        owners = np.arange(self.images) if BY_NAME[name].of == "image" else self.image_of
        known = np.isfinite(values)
        return values[known], owners[: len(values)][known]

    def share(self, name: str) -> float | None:
        """Of the objects, 0 to 1; None where there are none."""
        return float(self.values[name].mean()) if self.objects else None

    def class_counts(self, classes: tuple[str, ...]) -> np.ndarray:
        """(n, len(classes)) int64 objects of each class on each image, in the order of `classes`,
        matched by name.
        """
        counts = np.zeros((self.images, len(classes)), np.int64)
        column = np.array([classes.index(name) for name in self.classes], np.int64)
        np.add.at(counts, (self.image_of, column[self.labels]), 1)
        return counts


def measure(source: Source, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Decodes the images one after another and keeps none; `progress` is told (images done, images
    in all).

    Raises DataError naming the record whose image cannot be read.
    """
    looks, prints, sizes = [], [], []
    for done, record in enumerate(source.records, start=1):
        rgb = picture.pixels(record.image, record.place)
        looks.append(look(rgb))
        prints.append(print_of(rgb))
        sizes.append(rgb.shape[1::-1])
        if progress is not None:
            progress(done, len(source))
    sizes_wh = np.array(sizes, np.float64).reshape(-1, 2)
    boxes = [record.boxes.select(~record.boxes.crowd) for record in source.records]
    counts = np.array([len(found) for found in boxes], np.int64)
    values = {
        "image_width": sizes_wh[:, 0],
        "image_height": sizes_wh[:, 1],
        "objects_per_image": counts.astype(np.float64),
    }
    values |= {
        name: np.array([found[name] for found in looks], np.float64)
        for name in (looks[0] if looks else ())
    }
    values |= _of_objects(boxes, sizes_wh) | _visibilities(source, boxes, sizes_wh)
    crowds = sum(int(record.boxes.crowd.sum()) for record in source.records)
    labels = np.concatenate([np.zeros(0, np.int64), *(found.labels for found in boxes)])
    image_of = np.repeat(np.arange(len(boxes)), counts)
    return Measured(
        classes=source.classes,
        images=len(boxes),
        crowds=crowds,
        values=values,
        image_of=image_of,
        labels=labels,
        prints=tuple(prints),
    )


def look(rgb: np.ndarray) -> dict[str, float]:
    """Colours, sharpness and noise of an image (h, w, 3) uint8 RGB."""
    small = at_common_scale(rgb)
    return {**_colours(small), "sharpness": _sharpness(small), "noise": noise(rgb)}


def at_common_scale(rgb: np.ndarray) -> np.ndarray:
    """The image with COMMON_PX on its longest side; small ones are enlarged, and are then as
    blurred as they look.
    """
    height, width = rgb.shape[:2]
    scale = COMMON_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def noise(rgb: np.ndarray) -> float:
    """Standard deviation of the noise in grey levels, 0 to 255 (Immerkaer 1996, eq. 6); NaN below 3
    x 3 pixels.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if min(grey.shape) < 3:
        return float("nan")
    residue = cv2.filter2D(grey, -1, _NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) * np.abs(residue).mean() / 6)


def box_numbers(xyxy: np.ndarray, wh: np.ndarray) -> dict[str, np.ndarray]:
    """Size, shape and place (n,) each of the boxes (n, 4) of one image, wh its size in pixels."""
    sides = xyxy[:, 2:] - xyxy[:, :2]
    relative, centres = sides / wh, (xyxy[:, :2] + xyxy[:, 2:]) / 2 / wh
    size = np.sqrt(sides.prod(axis=1))
    return {
        "box_width": sides[:, 0],
        "box_height": sides[:, 1],
        "box_size": size,
        "relative_width": relative[:, 0],
        "relative_height": relative[:, 1],
        "relative_size": np.sqrt(relative.prod(axis=1)),
        "aspect_ratio": np.log2(sides[:, 0] / sides[:, 1]),
        "centre_x": centres[:, 0],
        "centre_y": centres[:, 1],
        "overlaps": _overlaps(xyxy),
        "at_border": ((xyxy[:, :2] <= _BORDER_PX) | (xyxy[:, 2:] >= wh - _BORDER_PX))
        .any(axis=1)
        .astype(np.float64),
        "tiny": (size < TINY_PX).astype(np.float64),
    }


def _colours(rgb: np.ndarray) -> dict[str, float]:
    lightness, a, b = np.moveaxis(
        cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), 2, 0
    ).astype(np.float64)
    chroma = np.hypot(a, b)
    # Weighted by chroma, the mean direction of hue is that of the mean a*, b*; a grey picture has
    # no hue to spread.
    one_hue = np.hypot(a.mean(), b.mean()) / chroma.mean() if chroma.mean() > 1e-3 else 1.0
    return {
        "brightness": lightness.mean(),
        "contrast": lightness.std(),
        "saturation": chroma.mean(),
        "hue_spread": max(0.0, 1 - one_hue),
        "green_to_red": a.mean(),
        "blue_to_yellow": b.mean(),
    }


def _sharpness(rgb: np.ndarray) -> float:
    return float(
        np.log10(1 + cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    )


def _of_objects(boxes: list[Boxes], sizes_wh: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of all boxes, image after image; empty arrays where there are none."""
    none = box_numbers(np.zeros((0, 4)), np.ones(2))
    found = [none, *(box_numbers(b.xyxy, wh) for b, wh in zip(boxes, sizes_wh, strict=True))]
    return {name: np.concatenate([numbers[name] for numbers in found]) for name in none}


def _overlaps(xyxy: np.ndarray) -> np.ndarray:
    """(n,) how many other boxes each of the boxes (n, 4) shares area with."""
    low, high = xyxy[:, None, :2], xyxy[:, None, 2:]
    shared = (np.maximum(low, xyxy[:, :2]) < np.minimum(high, xyxy[:, 2:])).all(axis=2)
    return shared.sum(axis=1).astype(np.float64) - 1


def _visibilities(
    source: Source, boxes: list[Boxes], sizes_wh: np.ndarray
) -> dict[str, np.ndarray]:
    """Estimated always, so that any two sources can be compared; measured where the data tell it of
    every object.
    """
    known, kind = visibility(_without_pixels(source, boxes, sizes_wh))
    if kind == "estimated" or not len(known):
        return {"visibility_estimated": known}
    unknown = [Boxes.of(found.xyxy, found.labels) for found in boxes]
    return {
        "visibility_estimated": visibility(_without_pixels(source, unknown, sizes_wh))[0],
        "visibility_measured": known,
    }


def _without_pixels(source: Source, boxes: Iterable[Boxes], sizes_wh: np.ndarray) -> Pool:
    """A pool of the boxes alone: of its images only the sizes are there."""
    named = {"synthetic": source.synthetic, "stand_in": source.stand_in}
    empty = Pool.of(source.name, source.classes, [], [], [], **named)
    every = [Boxes.none(), *boxes]
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(b, name) for b in every])
        for name in ("xyxy", "labels", "visibility", "crowd")
    }
    ids = np.array([record.image_id for record in source.records], dtype=str)
    counts = np.array([len(b) for b in every[1:]], np.int64)
    return replace(
        empty,
        pixel_starts=np.zeros(len(counts), np.int64),
        sizes_wh=sizes_wh.astype(np.int64),
        scales=np.ones((len(counts), 2)),
        box_counts=counts,
        image_ids=ids,
        **parts,
    )
