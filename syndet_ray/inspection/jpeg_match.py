"""JPEG match: how strongly photos are compressed, at the size that training sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.record import Source
from syndet_ray.scenes.sensor import LEAST_QUALITY, MOST_QUALITY
from syndet_ray.seeds import generator

_PHOTOS = 200  # whose headers are read
# Sum of the 64 steps of luminance at quality 50: ITU-T T.81, table K.1.
_SUM_AT_50 = 3688
_STEPS, _MOST_STEP = 64, 255  # a step is a byte
_BEST = 100  # quality at which every step is 1
# What is lost when a photo is made smaller by a factor is less by this power of it: of 20 photos at
# qualities 30 to 95, see docs/results.md.
_LOSS_POWER = 3.0


@dataclass(frozen=True, kw_only=True)
class JpegMatch:
    """The compression of photos.

    jpegs    the number of photos that are JPEG files, of `photos`
    quality  the median of these, on libjpeg's scale of 1 to 100; None without any
    at_size  the quality that loses as much in an image of the size that training sees, median over
             all photos; 100 for those of other formats
    scale    median factor by which photos are made smaller; at most 1
    """

    jpegs: int
    photos: int
    quality: float | None
    at_size: float
    scale: float

    @property
    def strength(self) -> float:
        """The value of `scene.jpeg`: scenes lose from nothing to twice as much as the photos."""
        loss = max(0.0, MOST_QUALITY - self.at_size)
        return min(1.0, 2 * loss / (MOST_QUALITY - LEAST_QUALITY))


def match_jpeg(photos: Source, scales: np.ndarray, seed: int) -> JpegMatch:
    """The compression of up to 200 photos in random order.

    scales  (n,) factors by which photos are resized; larger photos than these lose nothing more

    Raises DataError for a photo that cannot be read.
    """
    order = generator(seed, "jpeg match").permutation(len(photos.records))[:_PHOTOS]
    qualities, at_sizes = [], []
    for i in order.tolist():
        record = photos.records[i]
        steps = picture.quantization(record.image, record.place)
        quality = _BEST if steps is None else quality_of(steps)
        if steps is not None:
            qualities.append(quality)
        at_sizes.append(_BEST - (_BEST - quality) * min(1.0, scales[i]) ** _LOSS_POWER)
    return JpegMatch(
        jpegs=len(qualities),
        photos=len(order),
        quality=float(np.median(qualities)) if qualities else None,
        at_size=float(np.median(at_sizes)),
        scale=float(min(1.0, np.median(scales[order]))),
    )


def quality_of(steps: Sequence[int]) -> int:
    """The quality, 1 to 100, at which libjpeg rounds as much as these steps do, in all.

    Cameras have tables of their own: theirs is the nearest.
    """
    return min(range(1, _BEST + 1), key=lambda quality: abs(_sum_of_steps(quality) - sum(steps)))


def _sum_of_steps(quality: int) -> float:
    """The sum of libjpeg's 64 steps of luminance, but for rounding (jcparam.c)."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(float(_STEPS * _MOST_STEP), max(float(_STEPS), _SUM_AT_50 * percent / 100))
