"""Augment: random crops and changes of training images, with their boxes."""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.definitions.recipe import Training

# A crop is placed on an object this often; elsewhere it may fall anywhere, so that empty ground is
# seen too.
_ON_OBJECT = 0.9
# Its middle then lies in this part of the crop, of either side.
_OBJECT_RANGE = (0.1, 0.9)
# An object that keeps less of its box inside the crop is no training target (it would be a guess
# from a sliver).
_LEAST_INSIDE = 0.3
# beside an image that is smaller than the crop: about the mean of ImageNet's photos
_FILL = (114, 114, 114)


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One image to train on.

    image    (side, side, 3) uint8 RGB
    boxes    the objects in it
    ignored  (m, 4) float64, regions that are neither object nor background: what is left of objects
             that the crop cuts off, and crowds
    """

    image: np.ndarray
    boxes: Boxes
    ignored: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Augmenter:
    """Cuts training images out of larger ones and changes them. Its fields are those of Training."""

    crop_px: int
    scale_jitter: float
    flip_horizontal: float
    flip_vertical: float
    transpose: float
    color_jitter: float

    @staticmethod
    def of(training: Training) -> "Augmenter":
        """The augmentation that a recipe asks for; its crop must be a number."""
        assert training.crop_px != "auto", "settle the recipe before it is trained"
        return Augmenter(
            **{field.name: getattr(training, field.name) for field in fields(Augmenter)}
        )

    def __call__(self, image: np.ndarray, boxes: Boxes, rng: np.random.Generator) -> Example:
        """A random square crop, resized, flipped and recoloured.

        Objects of which a crop leaves less than 30 % are ignored, as crowds are.
        """
        image, boxes = _crop(image, boxes, self.crop_px, self.scale_jitter, rng)
        image, boxes = _flip(
            image, boxes, (self.flip_horizontal, self.flip_vertical, self.transpose), rng
        )
        image = _recolor(image, self.color_jitter, rng)
        return Example(
            image=image, boxes=boxes.select(~boxes.crowd), ignored=boxes.xyxy[boxes.crowd]
        )


def _crop(
    image: np.ndarray, boxes: Boxes, side: int, jitter: float, rng: np.random.Generator
) -> tuple[np.ndarray, Boxes]:
    """The crop, and the boxes that reach into it; those that are mostly outside are marked as
    crowds.

    side    of the crop, pixels
    jitter  greatest relative change of the scale
    """
    scale = rng.uniform(1 - jitter, 1 + jitter)
    x, y = _corner(image, boxes.select(~boxes.crowd), side / scale, rng)
    half = (scale - 1) / 2  # boxes count from a pixel's edge, OpenCV from its middle
    matrix = np.array([[scale, 0, half - x * scale], [0, scale, half - y * scale]])
    crop = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=_FILL)
    xyxy = (boxes.xyxy - (x, y, x, y)) * scale
    full_areas = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    inside = replace(boxes, xyxy=np.clip(xyxy, 0, side))
    cut_off = inside.areas < _LEAST_INSIDE * full_areas
    marked = replace(inside, crowd=inside.crowd | cut_off)
    return crop, marked.select(inside.areas > 0)


def _corner(
    image: np.ndarray, boxes: Boxes, side: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Top-left corner of a square of `side` source pixels, inside the image where it fits, usually
    over an object.
    """
    height, width = image.shape[:2]
    if len(boxes) and rng.random() < _ON_OBJECT:
        x1, y1, x2, y2 = boxes.xyxy[rng.integers(len(boxes))]
        x = (x1 + x2) / 2 - rng.uniform(*_OBJECT_RANGE) * side
        y = (y1 + y2) / 2 - rng.uniform(*_OBJECT_RANGE) * side
    else:
        x = rng.uniform(0, max(0.0, width - side))
        y = rng.uniform(0, max(0.0, height - side))
    return _inside(x, width - side, rng), _inside(y, height - side, rng)


def _inside(position: float, room: float, rng: np.random.Generator) -> float:
    """The position, moved inside 0..room; where the square is larger than the image, the image lies
    anywhere inside it.
    """
    if room < 0:
        return float(rng.uniform(room, 0))
    return float(np.clip(position, 0, room))


def _flip(
    image: np.ndarray,
    boxes: Boxes,
    probabilities: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, Boxes]:
    """Horizontal flip, vertical flip and transposition, each with its own probability."""
    xyxy, side = boxes.xyxy, image.shape[0]
    horizontal, vertical, transposed = rng.random(3) < probabilities
    if horizontal:
        image = image[:, ::-1]
        xyxy = np.stack([side - xyxy[:, 2], xyxy[:, 1], side - xyxy[:, 0], xyxy[:, 3]], axis=1)
    if vertical:
        image = image[::-1]
        xyxy = np.stack([xyxy[:, 0], side - xyxy[:, 3], xyxy[:, 2], side - xyxy[:, 1]], axis=1)
    if transposed:
        image = image.transpose(1, 0, 2)
        xyxy = xyxy[:, [1, 0, 3, 2]]
    return image, replace(boxes, xyxy=xyxy)


def _recolor(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and white balance, each changed by up to `strength` of
    itself.
    """
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    balance = rng.uniform(1 - strength / 3, 1 + strength / 3, 3)
    # One affine map of the colours: saturation moves each towards the grey it would be (Rec. 601
    # weights).
    grey = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) * (brightness * contrast * balance)[
        :, None
    ]
    offset = (1 - contrast) * brightness * image.mean()
    table = np.concatenate([matrix, np.full((3, 1), offset)], axis=1)
    return cv2.transform(np.ascontiguousarray(image), table)
