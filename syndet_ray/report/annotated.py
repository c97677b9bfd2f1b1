"""Annotated: one picture with what was found in it drawn upon it, at the picture's own size."""

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from syndet_ray.detection.score import Predictions

# text height: a share of the picture's mean side, and what can still be read
_TEXT_SHARE, _LEAST_TEXT_PX = 0.022, 11
_TEXT_OF_BOX = 0.33  # of the median box: higher text would hide what was found
_LINE_OF_TEXT = 1 / 6
# a pixel of another label is worth more than one of a picture that can be seen elsewhere
_LABEL_WEIGHT = 4
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Label:
    """The words on a box and where they stand: x1, y1, x2, y2 pixels."""

    text: str
    at: Rectangle
    color: Color


def annotated(image: np.ndarray, found: Predictions, classes: Sequence[str]) -> Image.Image:
    """The picture with a box, class and confidence for each prediction. image (h, w, 3) uint8 RGB.

    Where boxes are crowded the most confident are drawn last, over the others. Labels stand where
    they hide the least.
    """
    picture = Image.fromarray(image)
    height = text_px(picture.size, found.xyxy)
    draw, font = ImageDraw.Draw(picture), _font(height)
    boxes, colors = (
        np.rint(found.xyxy).astype(int).tolist(),
        [color(label) for label in found.labels.tolist()],
    )
    for box, ink in reversed(list(zip(boxes, colors, strict=True))):
        _draw_box(draw, box, ink, max(1, round(height * _LINE_OF_TEXT)))
    texts = [
        f"{classes[k]} {score:.2f}"
        for k, score in zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    ]
    for label in reversed(list(_labels(boxes, texts, colors, font, picture.size))):
        _draw_label(draw, label, font)
    return picture


def color(label: int) -> Color:
    """Hues a golden ratio apart: neighbouring classes look different, however many there are."""
    red, green, blue = colorsys.hsv_to_rgb((0.55 + label * 0.618034) % 1, 0.85, 1)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_px(size_wh: tuple[int, int], xyxy: np.ndarray) -> int:
    """Height of the text in a picture of this size with these boxes, (n, 4)."""
    wanted = _TEXT_SHARE * sum(size_wh) / 2
    if len(xyxy):
        wanted = min(
            wanted, max(wanted / 2, _TEXT_OF_BOX * float(np.median(xyxy[:, 3] - xyxy[:, 1])))
        )
    return max(_LEAST_TEXT_PX, round(wanted))


@cache
def _font(height_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows most alphabets; Pillow's own knows Latin
    letters alone.
    """
    return ImageFont.truetype(
        str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), height_px
    )


def _labels(
    boxes: Sequence[Sequence[int]],
    texts: Sequence[str],
    colors: Sequence[Color],
    font: ImageFont.FreeTypeFont,
    size_wh: tuple[int, int],
) -> Iterator[Label]:
    """A label for each box, in their order: the first may choose where to stand."""
    every, taken = np.reshape(boxes, (-1, 4)), np.zeros((0, 4), int)
    for box, text, ink in zip(boxes, texts, colors, strict=True):
        width, height = round(font.getlength(text) + font.size / 2), round(font.size * 1.25)
        places = _places(box, width, height, size_wh)
        worst = _hidden(places, taken) * _LABEL_WEIGHT + _hidden(places, every)
        at = places[worst.argmin()]
        taken = np.vstack([taken, at])
        yield Label(text=text, at=tuple(at.tolist()), color=ink)


def _places(box: Sequence[int], width: int, height: int, size_wh: tuple[int, int]) -> np.ndarray:
    """(8, 4) where a label may stand, best first: above its box, below, at its sides, and within;
    all in the picture.
    """
    x1, y1, x2, y2 = box
    beside = [(x2, y1), (x1 - width, y1)]
    corners = [
        (x1, y1 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2),
        *beside,
        (x1, y1),
        (x1, y2 - height),
    ]
    most = np.maximum(0, np.subtract(size_wh, (width, height)))
    starts = np.clip(corners, 0, most)
    return np.hstack([starts, np.add(starts, (width, height))])


def _hidden(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(p,) how many pixels of others (m, 4) each of the places (p, 4) covers."""
    low, high = (
        np.maximum(places[:, None, :2], others[:, :2]),
        np.minimum(places[:, None, 2:], others[:, 2:]),
    )
    return (high - low).clip(0).prod(axis=2).sum(axis=1)


def _draw_box(draw: ImageDraw.ImageDraw, box: Sequence[int], ink: Color, width: int) -> None:
    """A line just within the edges, with a dark one around it: seen on any ground."""
    # Pillow's ends are inclusive
    x1, y1, x2, y2 = box[0], box[1], max(box[2] - 1, box[0]), max(box[3] - 1, box[1])
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_DARK)
    draw.rectangle((x1, y1, x2, y2), outline=ink, width=width)


def _draw_label(draw: ImageDraw.ImageDraw, label: Label, font: ImageFont.FreeTypeFont) -> None:
    x1, y1, x2, y2 = label.at
    draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=label.color)
    draw.text(
        ((x1 + x2) / 2, (y1 + y2) / 2),
        label.text,
        fill=_readable_on(label.color),
        font=font,
        anchor="mm",
    )


def _readable_on(ground: Color) -> Color:
    """Dark or light text: luma of ITU-R BT.601."""
    red, green, blue = ground
    return _DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else _LIGHT
