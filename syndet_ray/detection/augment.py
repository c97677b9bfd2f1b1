"""Augment: random crops and changes of training images, with their boxes."""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.definitions.recipe import Training

# The share of crops that are placed on an object; the others may fall anywhere, so that empty
# ground is seen too.
_ON_OBJECT = 0.9
# The object's middle then lies within this part of the crop's width and height.
_OBJECT_RANGE = (0.1, 0.9)
# An object that keeps less of its box inside the crop is no training target: to find it from a
# sliver would be a guess.
_LEAST_INSIDE = 0.3
# The border of an image that is smaller than the crop: about the mean of ImageNet's photos.
_FILL = (114, 114, 114)
# The share of each of red, green and blue in the grey of a pixel (Rec. 601).
_GREY_WEIGHTS = (0.299, 0.587, 0.114)


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
    """Cuts training images out of larger ones and changes them; fields as in Training."""

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
        settings = {field.name: getattr(training, field.name) for field in fields(Augmenter)}
        return Augmenter(**settings)

    def __call__(self, image: np.ndarray, boxes: Boxes, rng: np.random.Generator) -> Example:
        """A random square crop, resized, flipped and recoloured.

        Objects of which a crop leaves less than 30 % are ignored, as crowds are.
        """
        probabilities = (self.flip_horizontal, self.flip_vertical, self.transpose)
        image, boxes = _crop(image, boxes, self.crop_px, self.scale_jitter, rng)
        image, boxes = _flip(image, boxes, probabilities, rng)
        image = _recolor(image, self.color_jitter, rng)
        objects = boxes.select(~boxes.crowd)
        return Example(image=image, boxes=objects, ignored=boxes.xyxy[boxes.crowd])


def _crop(
    image: np.ndarray, boxes: Boxes, side: int, jitter: float, rng: np.random.Generator
) -> tuple[np.ndarray, Boxes]:
    """The crop, and the boxes that reach into it.

    Boxes that are mostly outside are marked as crowds.

    side    of the crop, pixels
    jitter  greatest relative change of the scale
    """
    scale = rng.uniform(1 - jitter, 1 + jitter)
    objects = boxes.select(~boxes.crowd)
    x, y = _corner(image, objects, side / scale, rng)
    half = (scale - 1) / 2  # boxes count from a pixel's edge, OpenCV from its middle
    shift_x = half - x * scale
    shift_y = half - y * scale
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
    crop = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=_FILL)
    moved = boxes.xyxy - (x, y, x, y)
    whole = replace(boxes, xyxy=moved * scale)
    inside = replace(whole, xyxy=np.clip(whole.xyxy, 0, side))
    is_cut_off = inside.areas < _LEAST_INSIDE * whole.areas
    marked = replace(inside, crowd=inside.crowd | is_cut_off)
    return crop, marked.select(inside.areas > 0)


def _corner(
    image: np.ndarray, boxes: Boxes, side: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Top-left corner of a square of `side` source pixels, usually over an object.

    The square lies inside the image if it fits.
    """
    height, width = image.shape[:2]
    room_x, room_y = width - side, height - side
    if len(boxes) and rng.random() < _ON_OBJECT:
        target = rng.integers(len(boxes))
        x1, y1, x2, y2 = boxes.xyxy[target]
        position_x = rng.uniform(*_OBJECT_RANGE) * side
        position_y = rng.uniform(*_OBJECT_RANGE) * side
        x = (x1 + x2) / 2 - position_x
        y = (y1 + y2) / 2 - position_y
    else:
        x = rng.uniform(0, max(0.0, room_x))
        y = rng.uniform(0, max(0.0, room_y))
    return _inside(x, room_x, rng), _inside(y, room_y, rng)


def _inside(position: float, room: float, rng: np.random.Generator) -> float:
    """The position, moved inside 0..room.

    If the square is larger than the image (room < 0), the image lies anywhere inside it.
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
    side = image.shape[0]
    x1, y1, x2, y2 = boxes.xyxy.T
    horizontal, vertical, transposed = rng.random(3) < probabilities
    if horizontal:
        image = image[:, ::-1]
        x1, x2 = side - x2, side - x1
    if vertical:
        image = image[::-1]
        y1, y2 = side - y2, side - y1
    if transposed:
        image = image.transpose(1, 0, 2)
        x1, y1, x2, y2 = y1, x1, y2, x2
    flipped = np.stack([x1, y1, x2, y2], axis=1)
    return image, replace(boxes, xyxy=flipped)


def _recolor(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The image with another brightness, contrast, saturation and white balance.

    Each changes by up to `strength` of itself, white balance by a third of that.
    """
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    balance = rng.uniform(1 - strength / 3, 1 + strength / 3, 3)
    # One affine map of the colours: saturation moves each colour away from its grey.
    grey = np.tile(np.array(_GREY_WEIGHTS), (3, 1))
    saturated = saturation * np.eye(3) + (1 - saturation) * grey
    gains = brightness * contrast * balance
    offset = (1 - contrast) * brightness * image.mean()
    matrix = saturated * gains[:, None]
    offsets = np.full((3, 1), offset)
    table = np.concatenate([matrix, offsets], axis=1)
    return cv2.transform(np.ascontiguousarray(image), table)
