"""Copies: photos of one pool that are also in another, saved again or at another size.

Finer than duplicates.py, which compares only small pictures: those of a chess board under a tripod
correlate at .9999, whichever piece stands where. Here two photos are compared place by place, 8 x 8
pixels each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from syndet_ray.data.moved import View, show_different_objects
from syndet_ray.data.pool import Pool

_PLACE = 8  # pixels a side
# Photos are compared at a third of their size, at most at _MOST_SIDE pixels. What is left there
# survives when a photo is resized and compressed, and noise still tells two exposures of one scene
# apart.
_REDUCTION = 3
_LEAST_SIDE, _MOST_SIDE = 32, 256

# Correlation that all but a twentieth of the places with detail reach. Measured on d6_dice, chess
# and the stand-in, at working scales of a quarter of the photos and more: copies as PNG, as JPEG of
# quality 70 to 92, and at a half and a third of their size reach .85; only stand-in photos at
# quality 70 fall to .71. Two throws of dice reach .55, and the nearest two photos of all, of one
# untouched chess board, .76, or .89 at a quarter of their size.
_DETAIL = 1.0  # grey levels of deviation in a place, below which there is nothing to see
_MOST_PLACES = 0.05
_LEAST_OF_MOST = 0.82

# Correlation that all places with contrast reach: of copies .93 or more, where an object has moved
# much less. They are twice as large: a JPEG decoded at a fraction of its size may be a pixel longer
# than the same photo as PNG.
_CONTRAST = 10.0  # grey levels of deviation, above which neither compression nor noise matters
_CONTRAST_REDUCTION = 2
_LEAST_OF_CONTRAST = 0.9

# Coarse pictures give the candidates. Those of all the copies above correlate at .96 or more, each
# most with its original.
_SMALL_PX, _COARSE_PX = 64, 32
_SOFTENING = 2.0  # grey levels, by which faint places count less
_LEAST_CANDIDATE, _MOST_CANDIDATES = 0.95, 3
_BLOCK = 512  # images compared with all others at once
# variance, grey levels squared, far below rounding: a flat place is divided by it instead of by 0
_FLAT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Copy:
    """An image of a pool that is also among others.

    image     its position in the pool
    part      the position of the pool that the original is of
    original  the position of the original in that pool
    exact     whether they are the same to the last bit, at the working scale
    """

    image: int
    part: int
    original: int
    exact: bool


def copies(
    pool: Pool, originals: Sequence[Pool], progress: Callable[[int, int], None] | None = None
) -> list[Copy]:
    """Finds the images of a pool that are also in one of the others: exactly, saved again, resized,
    brighter or darker.

    Each is listed once, with one original, in the pool's order. Different photos of the same things
    are no copies, not even from a tripod, unless nothing has moved and the working scale shows them
    at less than a third of their size, or every place is full of texture: noise no longer tells two
    exposures of an untouched scene apart then, and a detector learns the one from the other.
    Objects too faint to tell two such photos apart are known by their labels, see moved.py. Below a
    fifth some copies are missed. Cropped, turned or mirrored photos are not found, nor JPEGs of a
    quality much below 60; of blank pictures only exact copies are. `progress` is told (images
    looked at, images in all) after each.
    """
    places = [(part, i) for part, original in enumerate(originals) for i in range(len(original))]
    others = [_Image(originals[part], i) for part, i in places]
    images = [_Image(pool, i) for i in range(len(pool))]
    by_small_picture = _by_small_picture(others)
    result = []
    for image, candidates in zip(images, _candidates(images, others), strict=True):
        twins = by_small_picture.get(image.small.tobytes(), ())
        original = next((k for k in twins if _is_identical(image, others[k])), None)
        exact = original is not None
        if original is None:
            original = next((k for k in candidates if _is_copy(image, others[k])), None)
        if original is not None:
            part, i = places[original]
            result.append(Copy(image=image.i, part=part, original=i, exact=exact))
        if progress is not None:
            progress(image.i + 1, len(pool))
    return result


def is_copy(pool: Pool, i: int, other: Pool, j: int) -> bool:
    """Whether image i of a pool and image j of another are one photo, as `copies` judges those that
    look alike.
    """
    image, original = _Image(pool, i), _Image(other, j)
    return _is_identical(image, original) or _is_copy(image, original)


def show_the_same(pool: Pool, i: int, other: Pool, j: int) -> bool:
    """Whether labels, and what is seen there, name no object that is in one of two images alone;
    see moved.py.
    """
    image, original = _Image(pool, i), _Image(other, j)
    side = _fine_side(image, original)
    return not show_different_objects(image.view(side), original.view(side))


@dataclass(frozen=True, eq=False)
class _Image:
    """Image i of a pool."""

    pool: Pool
    i: int

    @property
    def rgb(self) -> np.ndarray:
        return self.pool.image(self.i)

    @property
    def least_px(self) -> int:
        """The shorter side at the working scale."""
        return int(self.pool.sizes_wh[self.i].min())

    @property
    def photo_px(self) -> float:
        """The shorter side of the photo."""
        return float(self.pool.photo_sizes_wh[self.i].min())

    @cached_property
    def small(self) -> np.ndarray:
        """(64, 64) uint8 grey levels."""
        grey = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA)

    def view(self, side: int) -> View:
        """It and its labelled objects; crowds are no objects."""
        boxes = self.pool.boxes(self.i)
        objects = boxes.select(~boxes.crowd)
        xyxy = objects.xyxy / np.tile(self.pool.sizes_wh[self.i], 2)
        return View(
            grey=self.reduced(side), xyxy=xyxy, names=np.array(self.pool.classes)[objects.labels]
        )

    def reduced(self, side: int) -> np.ndarray:
        """(side, side) float32 grey levels, unrounded: faint detail must survive."""
        grey = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Comparison:
    """How far two images agree, at m places.

    correlations  (m,) -1 to 1, of the patterns; 0 where either is flat
    concordances  (m,) the same, and less where one pattern is fainter than the other (Lin 1989,
                  without the means)
    deviations    (m,) grey levels, of whichever deviates more from the place's mean
    """

    correlations: np.ndarray
    concordances: np.ndarray
    deviations: np.ndarray


def _by_small_picture(images: Sequence[_Image]) -> dict[bytes, list[int]]:
    """Positions of images by small pictures: where these differ, so do the images."""
    positions = defaultdict[bytes, list[int]](list)
    for k, image in enumerate(images):
        positions[image.small.tobytes()].append(k)
    return dict(positions)


def _candidates(images: Sequence[_Image], others: Sequence[_Image]) -> Iterator[list[int]]:
    """For each image the positions of the few others whose coarse pictures are most similar, the
    most similar first.
    """
    patterns, other_patterns = _patterns(images), _patterns(others)
    for start in range(0, len(images), _BLOCK):
        correlations = patterns[start : start + _BLOCK] @ other_patterns.T
        for row in correlations:
            # A few, or all of those from one tripod: the rest is not sorted.
            alike = np.flatnonzero(row >= _LEAST_CANDIDATE)
            nearest = alike[np.argsort(-row[alike], kind="stable")[:_MOST_CANDIDATES]]
            yield nearest.tolist()


def _patterns(images: Sequence[_Image]) -> np.ndarray:
    """(n, 1024) float32 of length 1: what is seen in each place, whatever its brightness; 0 of a
    blank picture.
    """
    patterns = np.zeros((len(images), _COARSE_PX**2), np.float32)
    for row, image in zip(patterns, images, strict=True):
        small = image.small.astype(np.float32)
        coarse = cv2.resize(small, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
        places = _places(coarse)
        normalised = places / (_deviations(places)[:, None] + _SOFTENING)
        length = float(np.linalg.norm(normalised))
        if length:
            row[:] = normalised.reshape(-1) / length
    return patterns


def _is_identical(image: _Image, other: _Image) -> bool:
    return np.array_equal(image.rgb, other.rgb)


def _is_copy(image: _Image, other: _Image) -> bool:
    """Whether two images agree in nearly all places with detail and in all places with contrast,
    and show the same objects.
    """
    side = _fine_side(image, other)
    fine = _compared(image, other, side)
    detailed = fine.correlations[fine.deviations > _DETAIL]
    if not len(detailed) or np.quantile(detailed, _MOST_PLACES) < _LEAST_OF_MOST:
        return False
    working_px = min(image.least_px, other.least_px)
    coarse_px = min(_most_px(image, other), working_px / _CONTRAST_REDUCTION)
    coarse = _compared(image, other, _whole_places(coarse_px))
    contrasting = coarse.concordances[coarse.deviations > _CONTRAST]
    if contrasting.min(initial=1.0) < _LEAST_OF_CONTRAST:
        return False
    return not show_different_objects(image.view(side), other.view(side))


def _fine_side(image: _Image, other: _Image) -> int:
    """The side, px, at which two images are compared place by place, and object by object."""
    return _whole_places(min(_most_px(image, other), image.least_px, other.least_px))


def _most_px(image: _Image, other: _Image) -> float:
    return min(min(image.photo_px, other.photo_px) / _REDUCTION, _MOST_SIDE)


def _whole_places(side_px: float) -> int:
    """About side_px: the side of a whole number of places."""
    return max(round(side_px / _PLACE) * _PLACE, _LEAST_SIDE)


def _compared(image: _Image, other: _Image, side: int) -> _Comparison:
    """Compares two images at a size of a whole number of places."""
    places, other_places = _places(image.reduced(side)), _places(other.reduced(side))
    deviations, other_deviations = _deviations(places), _deviations(other_places)
    covariances = (places * other_places).mean(axis=1)
    products = deviations * other_deviations
    mean_variances = (deviations**2 + other_deviations**2) / 2
    return _Comparison(
        correlations=covariances / np.maximum(products, _FLAT),
        concordances=covariances / np.maximum(mean_variances, _FLAT),
        deviations=np.maximum(deviations, other_deviations),
    )


def _places(grey: np.ndarray) -> np.ndarray:
    """(m, 64) float32, how the pixels of each place of a picture (8 k, 8 k) differ from the place's
    mean; m = k**2.
    """
    k = len(grey) // _PLACE
    places = grey.reshape(k, _PLACE, k, _PLACE).swapaxes(1, 2).reshape(k**2, _PLACE**2)
    return places - places.mean(axis=1, keepdims=True)


def _deviations(places: np.ndarray) -> np.ndarray:
    """(m,) standard deviations of places (m, 64)."""
    return np.sqrt((places * places).mean(axis=1))
