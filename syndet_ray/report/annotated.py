"""Annotated: an image with the detections on it, at the image's own size."""

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from syndet_ray.detection.score import Predictions
from syndet_ray.report.fonts import lettering
from syndet_ray.report.palette import DARK_RGB, LIGHT_RGB

# Height of the text: a share of the image's mean side, and what can still be read.
_TEXT_SHARE, _LEAST_TEXT_PX = 0.022, 11
_TEXT_OF_BOX = 0.33  # of the median box: higher text would hide the objects
_LINE_OF_TEXT = 1 / 6  # width of a line, of the height of the text
# Of a label, as shares of the height of the text: around the letters, and what Latin letters take
# above the baseline and below it.
_MARGIN, _ABOVE, _BELOW = 0.12, 0.77, 0.24
# A hidden pixel of another label is worse than one of the image, which can be seen elsewhere.
_LABEL_WEIGHT = 4
_GOLDEN_RATIO = 0.618034  # of a turn of hues: steps of it never come close to an earlier one
_DARKEST_LUMA = 120  # of 255, of a ground that is light enough for dark text
Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Label:
    """The text on a box.

    mask         (h, w) uint8, the opacity of the letters
    baseline_px  from the top of the label to the lower edge of letters without a descender
    below_px     rows of the mask below that edge
    at           x1, y1, x2, y2 pixels
    """

    mask: np.ndarray
    baseline_px: int
    below_px: int
    at: Rectangle
    color: Color


def annotate_picture(
    image: np.ndarray, predictions: Predictions, classes: Sequence[str]
) -> Image.Image:
    """Returns the image with a box, class and confidence for each prediction.

    image (h, w, 3) uint8 RGB. The most confident boxes lie over the others. Labels are placed to
    hide as little as possible.
    """
    canvas = Image.fromarray(image)
    height = text_px(canvas.size, predictions.xyxy)
    pen = ImageDraw.Draw(canvas)
    boxes = np.rint(predictions.xyxy).astype(int).tolist()
    indices = predictions.labels.tolist()
    colors = [color(index) for index in indices]
    line_px = max(1, round(height * _LINE_OF_TEXT))
    for box, ink in reversed(list(zip(boxes, colors, strict=True))):
        _annotate_box(pen, box, ink, line_px)
    scores = predictions.scores.tolist()
    texts = [f"{classes[k]} {score:.2f}" for k, score in zip(indices, scores, strict=True)]
    labels = list(_labels(boxes, texts, colors, height, canvas.size))
    for label in reversed(labels):
        _write_label(canvas, label)
    return canvas


def color(label: int) -> Color:
    """Hues a golden ratio apart: neighbouring classes look different, however many there are."""
    hue = (0.55 + label * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_px(size_wh: tuple[int, int], xyxy: np.ndarray) -> int:
    """Height of the text in an image of this size with these boxes, (n, 4)."""
    height = _TEXT_SHARE * sum(size_wh) / 2
    if len(xyxy):
        median_box = float(np.median(xyxy[:, 3] - xyxy[:, 1]))
        height = min(height, max(height / 2, _TEXT_OF_BOX * median_box))
    return max(_LEAST_TEXT_PX, round(height))


def _labels(
    boxes: Sequence[Sequence[int]],
    texts: Sequence[str],
    colors: Sequence[Color],
    height_px: int,
    size_wh: tuple[int, int],
) -> Iterator[Label]:
    """A label for each box, in their order: the first has the choice of all places.

    height_px  of the text
    """
    all_boxes = np.reshape(boxes, (-1, 4))
    taken = np.zeros((0, 4), int)
    for box, text, ink in zip(boxes, texts, colors, strict=True):
        mask, below_px = lettering(text, height_px)
        width, height, baseline_px = _label_size(mask, below_px, height_px)
        places = _places(box, width, height, size_wh)
        hidden = _hidden_pixels(places, taken) * _LABEL_WEIGHT + _hidden_pixels(places, all_boxes)
        at = places[hidden.argmin()]
        taken = np.vstack([taken, at])
        yield Label(
            mask=mask,
            baseline_px=baseline_px,
            below_px=below_px,
            at=tuple(at.tolist()),
            color=ink,
        )


def _label_size(mask: np.ndarray, below_px: int, height_px: int) -> tuple[int, int, int]:
    """The width and height of a label, and the rows above its baseline, in pixels.

    Scripts with marks above or below their letters need more than Latin.
    """
    margin = _MARGIN * height_px
    above = margin + max(mask.shape[0] - below_px, _ABOVE * height_px)
    below = max(below_px, _BELOW * height_px) + margin
    width = mask.shape[1] + height_px / 2
    return round(width), round(above + below), round(above)


def _places(box: Sequence[int], width: int, height: int, size_wh: tuple[int, int]) -> np.ndarray:
    """(8, 4) places for a label, the best first: above its box, below, at its sides, and within;
    all in the image.
    """
    x1, y1, x2, y2 = box
    corners = [
        (x1, y1 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2),
        (x2, y1),
        (x1 - width, y1),
        (x1, y1),
        (x1, y2 - height),
    ]
    most = np.maximum(0, np.subtract(size_wh, (width, height)))
    starts = np.clip(corners, 0, most)
    return np.hstack([starts, np.add(starts, (width, height))])


def _hidden_pixels(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(p,) number of pixels of others (m, 4) that each of the places (p, 4) covers."""
    low = np.maximum(places[:, None, :2], others[:, :2])
    high = np.minimum(places[:, None, 2:], others[:, 2:])
    return (high - low).clip(0).prod(axis=2).sum(axis=1)


def _annotate_box(pen: ImageDraw.ImageDraw, box: Sequence[int], ink: Color, width: int) -> None:
    """A line just within the edges, with a dark one around it, visible on any ground."""
    x1, y1, x2, y2 = box
    # Pillow's ends are inclusive
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)
    pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=DARK_RGB)
    pen.rectangle((x1, y1, x2, y2), outline=ink, width=width)


def _write_label(canvas: Image.Image, label: Label) -> None:
    x1, y1, x2, y2 = label.at
    canvas.paste(label.color, (x1, y1, x2, y2))
    height, width = label.mask.shape
    left = (x1 + x2 - width) // 2
    top = y1 + label.baseline_px + label.below_px - height
    canvas.paste(_readable_on(label.color), (left, top), Image.fromarray(label.mask))


def _readable_on(ground: Color) -> Color:
    """Dark or light text: luma of ITU-R BT.601."""
    red, green, blue = ground
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return DARK_RGB if luma > _DARKEST_LUMA else LIGHT_RGB
