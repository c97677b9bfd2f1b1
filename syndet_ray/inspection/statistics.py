"""Statistics: numbers of every image and every object of a source, without knowing its content."""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.images import picture
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Source
from syndet_ray.data.visibility import visibility
from syndet_ray.inspection.duplicates import Print, print_of
from syndet_ray.progress import Progress

COMMON_PX = 256  # longest side at which colours and sharpness of all images are measured
TINY_PX = 16  # side of a box; smaller are "tiny" in AI-TOD (Wang et al. 2021)
_BORDER_PX = 1.0  # a box at most this far from the border of the image touches it
# Immerkaer (1996), "Fast noise variance estimation": constant and linear brightness, and so most of
# the picture, give 0.
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """One number of every image, or of every object.

    group    common name of statistics that say nearly the same
    meaning  a description for a reader of the page
    steps    least distance between two of its values, such as 1 for counts; None if continuous
    fine     a standard deviation up to which it counts as constant
    span     range of its values, in words
    """

    name: str
    per: Literal["image", "object"]
    group: str
    unit: str
    meaning: str
    steps: float | None = None
    fine: float = 0.0
    span: str = ""

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def scale(self) -> str:
        """The unit and the span, as the title of an axis or a column."""
        return ", ".join(part for part in (self.unit, self.span) if part)


_LAB = f"CIE L*a*b* of the image at {COMMON_PX} px"
STATISTICS = (
    Statistic(
        name="image_width",
        per="image",
        group="image size",
        unit="px",
        meaning="width of the image",
        steps=1,
    ),
    Statistic(
        name="image_height",
        per="image",
        group="image size",
        unit="px",
        meaning="height of the image",
        steps=1,
    ),
    Statistic(
        name="objects_per_image",
        per="image",
        group="objects per image",
        unit="objects",
        meaning="labelled objects, without crowds",
        steps=1,
    ),
    Statistic(
        name="box_width",
        per="object",
        group="box size in pixels",
        unit="px",
        meaning="width of the box",
    ),
    Statistic(
        name="box_height",
        per="object",
        group="box size in pixels",
        unit="px",
        meaning="height of the box",
    ),
    Statistic(
        name="box_size",
        per="object",
        group="box size in pixels",
        unit="px",
        meaning="square root of the box's area",
    ),
    Statistic(
        name="relative_width",
        per="object",
        group="relative box size",
        unit="of the image",
        meaning="width of the box by the image's",
    ),
    Statistic(
        name="relative_height",
        per="object",
        group="relative box size",
        unit="of the image",
        meaning="height of the box by the image's",
    ),
    Statistic(
        name="relative_size",
        per="object",
        group="relative box size",
        unit="of the image",
        meaning="square root of the box's share of the area",
    ),
    Statistic(
        name="aspect_ratio",
        per="object",
        group="box shape",
        unit="log2 of width by height",
        meaning="0 is square, 1 twice as wide as high",
        steps=None,
        fine=0.01,
    ),
    Statistic(
        name="centre_x",
        per="object",
        group="position",
        unit="of the width",
        meaning="centre of the box, 0 is left",
    ),
    Statistic(
        name="centre_y",
        per="object",
        group="position",
        unit="of the height",
        meaning="centre of the box, 0 is at the top",
    ),
    Statistic(
        name="visibility_measured",
        per="object",
        group="visibility, measured",
        unit="visible share",
        meaning="as the data give it",
    ),
    Statistic(
        name="visibility_estimated",
        per="object",
        group="visibility, estimated",
        unit="visible share",
        meaning="estimated from boxes that overlap",
    ),
    Statistic(
        name="overlaps",
        per="object",
        group="overlaps",
        unit="boxes",
        meaning="other boxes that share area with the box",
        steps=1,
    ),
    Statistic(
        name="brightness",
        per="image",
        group="brightness",
        unit="L*",
        meaning=f"mean lightness, {_LAB}",
        span="0 to 100",
    ),
    Statistic(
        name="contrast",
        per="image",
        group="contrast",
        unit="L*",
        meaning=f"standard deviation of lightness, {_LAB}",
    ),
    Statistic(
        name="saturation",
        per="image",
        group="saturation",
        unit="chroma",
        meaning=f"mean distance from grey, {_LAB}",
    ),
    Statistic(
        name="hue_spread",
        per="image",
        group="hue",
        unit="",
        meaning=f"0: one hue, 1: all or opposite ones alike, by chroma; {_LAB}",
        span="0 to 1",
    ),
    Statistic(
        name="green_to_red",
        per="image",
        group="colour cast",
        unit="a*",
        meaning=f"mean a*: below 0 greener, above redder; {_LAB}",
    ),
    Statistic(
        name="blue_to_yellow",
        per="image",
        group="colour cast",
        unit="b*",
        meaning=f"mean b*: below 0 bluer, above yellower; {_LAB}",
    ),
    Statistic(
        name="sharpness",
        per="image",
        group="sharpness",
        unit="log10 of levels²",
        meaning="log10 of 1 + variance of the Laplacian of the grey image, its longest side scaled "
        f"to {COMMON_PX} px",
    ),
    Statistic(
        name="noise",
        per="image",
        group="noise",
        unit="grey levels",
        meaning="standard deviation at full size (Immerkaer 1996); fine texture counts as noise, "
        "JPEG lowers it",
    ),
)
# Shares of objects: rarely more than a few percent, so a share says more than a distribution.
SHARES = {
    "at_border": f"within {_BORDER_PX:.0f} px of it",
    "tiny": f"below {TINY_PX} px, by the square root of the area",
}
BY_NAME = {statistic.name: statistic for statistic in STATISTICS}


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurements:
    """The statistics of the n images and m objects of a source; crowds are no objects.

    values    by name of a statistic: (n,) or (m,) float64; NaN when an image is too small to tell.
              Also by the names in SHARES: (m,) 0 or 1
    image_of  (m,) int64, ascending: the image of each object
    labels    (m,) int64, index into classes
    crowds    number of regions of uncounted objects
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
        """The number of images without objects."""
        return int((self.values["objects_per_image"] == 0).sum())

    @property
    def visibility_kind(self) -> str:
        return "measured" if "visibility_measured" in self.values else "estimated"

    def valid(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The values (k,) of a statistic that are not NaN, and the image (k,) of each."""
        values = self.values.get(name, np.zeros(0))
        image_of = np.arange(self.images) if BY_NAME[name].per == "image" else self.image_of
        is_valid = np.isfinite(values)
        return values[is_valid], image_of[: len(values)][is_valid]

    def share(self, name: str) -> float | None:
        """The share of objects, 0 to 1, by a name in SHARES; None without objects."""
        return float(self.values[name].mean()) if self.objects else None

    def class_counts(self, classes: tuple[str, ...]) -> np.ndarray:
        """(n, len(classes)) int64 objects of each class on each image.

        The columns are in the order of `classes`, matched by name.
        """
        counts = np.zeros((self.images, len(classes)), np.int64)
        column = np.array([classes.index(name) for name in self.classes], np.int64)
        np.add.at(counts, (self.image_of, column[self.labels]), 1)
        return counts


def measure(source: Source, progress: Progress | None = None) -> Measurements:
    """Measures a source. It decodes one image after another and keeps none of them.

    `progress` is called with (images done, images in all). Raises DataError with the record whose
    image cannot be read.
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
    counts = np.array([len(of_image) for of_image in boxes], np.int64)
    values = {
        "image_width": sizes_wh[:, 0],
        "image_height": sizes_wh[:, 1],
        "objects_per_image": counts.astype(np.float64),
        **_columns(looks),
        **_of_objects(boxes, sizes_wh),
        **_visibilities(source, boxes, sizes_wh),
    }
    return Measurements(
        classes=source.classes,
        images=len(boxes),
        crowds=sum(int(record.boxes.crowd.sum()) for record in source.records),
        values=values,
        image_of=np.repeat(np.arange(len(boxes)), counts),
        labels=np.concatenate([np.zeros(0, np.int64), *(of_image.labels for of_image in boxes)]),
        prints=tuple(prints),
    )


def look(rgb: np.ndarray) -> dict[str, float]:
    """Colours, sharpness and noise of an image (h, w, 3) uint8 RGB."""
    small = at_common_scale(rgb)
    return {**_colours(small), "sharpness": _sharpness(small), "noise": noise(rgb)}


def _columns(looks: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """The looks (n,) of all images by name."""
    columns = {}
    for name in looks[0] if looks else ():
        values = [numbers[name] for numbers in looks]
        columns[name] = np.array(values, np.float64)
    return columns


def at_common_scale(rgb: np.ndarray) -> np.ndarray:
    """The image with COMMON_PX on its longest side.

    Small images are enlarged, and are then as blurred as they look.
    """
    height, width = rgb.shape[:2]
    scale = COMMON_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def noise(rgb: np.ndarray) -> float:
    """Standard deviation of the noise in grey levels, 0 to 255 (Immerkaer 1996, eq. 6).

    NaN for an image below 3 x 3 pixels.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if min(grey.shape) < 3:
        return float("nan")
    residue = cv2.filter2D(grey, -1, _NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) * np.abs(residue).mean() / 6)


def box_numbers(xyxy: np.ndarray, wh: np.ndarray) -> dict[str, np.ndarray]:
    """Size, shape and place (n,) of the boxes (n, 4) of one image, wh its size in pixels."""
    low, high = xyxy[:, :2], xyxy[:, 2:]
    sides = high - low
    relative = sides / wh
    centres = (low + high) / 2 / wh
    size = np.sqrt(sides.prod(axis=1))
    at_border = (low <= _BORDER_PX) | (high >= wh - _BORDER_PX)
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
        "at_border": at_border.any(axis=1).astype(np.float64),
        "tiny": (size < TINY_PX).astype(np.float64),
    }


def _colours(rgb: np.ndarray) -> dict[str, float]:
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    lightness, a, b = np.moveaxis(lab, 2, 0).astype(np.float64)
    chroma = np.hypot(a, b)
    # Weighted by chroma, the mean direction of hue is that of the mean a*, b*. A grey picture has
    # no hue that could spread.
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
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return float(np.log10(1 + cv2.Laplacian(grey, cv2.CV_64F).var()))


def _of_objects(boxes: list[Boxes], sizes_wh: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of all boxes, image after image; empty arrays when there are none."""
    parts = [box_numbers(np.zeros((0, 4)), np.ones(2))]
    for of_image, wh in zip(boxes, sizes_wh, strict=True):
        parts.append(box_numbers(of_image.xyxy, wh))
    columns = {}
    for name in parts[0]:
        columns[name] = np.concatenate([numbers[name] for numbers in parts])
    return columns


def _overlaps(xyxy: np.ndarray) -> np.ndarray:
    """(n,) the number of other boxes that each of the boxes (n, 4) shares area with."""
    low, high = xyxy[:, None, :2], xyxy[:, None, 2:]
    shared = (np.maximum(low, xyxy[:, :2]) < np.minimum(high, xyxy[:, 2:])).all(axis=2)
    return shared.sum(axis=1).astype(np.float64) - 1


def _visibilities(
    source: Source, boxes: list[Boxes], sizes_wh: np.ndarray
) -> dict[str, np.ndarray]:
    """The visibility of each object, estimated always and measured when the data give it.

    Estimates make any two sources comparable.
    """
    values, kind = visibility(_without_pixels(source, boxes, sizes_wh))
    if kind == "estimated" or not len(values):
        return {"visibility_estimated": values}
    plain = [Boxes.of(of_image.xyxy, of_image.labels) for of_image in boxes]
    estimated, _ = visibility(_without_pixels(source, plain, sizes_wh))
    return {"visibility_estimated": estimated, "visibility_measured": values}


def _without_pixels(source: Source, boxes: list[Boxes], sizes_wh: np.ndarray) -> Pool:
    """A pool of the boxes alone: it has the sizes of its images, but no pixels."""
    kinds = {"synthetic": source.synthetic, "stand_in": source.stand_in}
    empty = Pool.of(source.name, source.classes, [], [], [], **kinds)
    every = [Boxes.none(), *boxes]
    counts = np.array([len(of_image) for of_image in boxes], np.int64)
    return replace(
        empty,
        pixel_starts=np.zeros(len(counts), np.int64),
        sizes_wh=sizes_wh.astype(np.int64),
        scales=np.ones((len(counts), 2)),
        box_counts=counts,
        image_ids=np.array(source.image_ids(), dtype=str),
        xyxy=np.concatenate([of_image.xyxy for of_image in every]),
        labels=np.concatenate([of_image.labels for of_image in every]),
        visibility=np.concatenate([of_image.visibility for of_image in every]),
        crowd=np.concatenate([of_image.crowd for of_image in every]),
    )
