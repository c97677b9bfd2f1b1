"""Copies: photos of one pool that are also in another, saved again or at another size.

This is finer than duplicates.py, which compares only small pictures: those of a chess board under a
tripod correlate at .9999, even if pieces stand elsewhere. Here two photos are compared place by
place; a place is 8 x 8 pixels.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.data.splits.groups import Link
from syndet_ray.data.splits.looks import PLACE, Looks, contrast_side, detail_side
from syndet_ray.data.splits.moved import LabelledPhoto, show_different_objects
from syndet_ray.progress import Progress

# Correlation that all but a twentieth of the places with detail reach. Measured on d6_dice, chess
# and the stand-in, at working scales of a quarter of the photos and more: copies as PNG, as JPEG of
# quality 70 to 92, and at a half and a third of their size reach .85; only stand-in photos at
# quality 70 fall to .71. Two throws of dice reach .55, and the nearest two photos of all, of one
# untouched chess board, .76, or .89 at a quarter of their size.
_DETAIL = 1.0  # grey levels of deviation in a place, below which there is nothing to see
_IGNORED_SHARE = 0.05  # of the places with detail: the twentieth that may correlate less
_LEAST_DETAIL_CORRELATION = 0.82  # between copies and other photos, as measured above

# Correlation that all places with contrast reach: .93 or more in copies, much less where an object
# has moved. These places are twice as large, because a JPEG decoded at a fraction of its size may
# be a pixel longer than the same photo as PNG.
_CONTRAST = 10.0  # grey levels of deviation, above which neither compression nor noise matters
_LEAST_CONTRAST_CORRELATION = 0.9  # a little below what copies reach

# Coarse pictures give the candidates. Those of all the copies above correlate at .96 or more, each
# most with its original.
_COARSE_PX = 32
_SOFTENING = 2.0  # grey levels, added to deviations so that faint places count less
_LEAST_CANDIDATE, _MOST_CANDIDATES = 0.95, 3
_BLOCK = 512  # images compared with all others at once
# variance, grey levels squared, far below rounding: a flat place is divided by it instead of by 0
_FLAT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Copy:
    """An image of a pool that is also in another pool.

    image     its position in the pool
    part      the position of the other pool, among those that were searched
    original  the position of the original in that other pool
    exact     True if both are bit-identical at the working scale
    """

    image: int
    part: int
    original: int
    exact: bool


def copies(
    pool: Pool,
    originals: Sequence[Pool],
    progress: Progress | None = None,
    looks: Looks | None = None,
) -> list[Copy]:
    """Finds the images of a pool that are also in one of the others.

    An image is a copy if it is identical, saved again, resized, brighter or darker. Each copy is
    listed once, with one original, in the pool's order.

    Different photos of the same things are no copies, not even from a tripod, with two exceptions:
    nothing has moved and the working scale shows the photos at less than a third of their size, or
    every place is full of texture. Then noise no longer distinguishes two exposures of an untouched
    scene, and a detector that learns one knows the other. Objects too faint to distinguish two such
    photos are found by their labels, see moved.py.

    Below a fifth of the photos' size some copies are missed. Cropped, turned or mirrored photos are
    not found, nor JPEGs of a quality much below 60; of blank pictures only identical copies are
    found.

    progress  is called with (images compared, images in all) after each image
    looks     of other searches too: a streamed photo is decoded once for all of them
    """
    looks = Looks() if looks is None else looks
    places: list[tuple[int, int]] = []
    for part, other in enumerate(originals):
        places += [(part, i) for i in range(len(other))]
    others = [_Image(pool=originals[part], i=i, looks=looks) for part, i in places]
    images = [_Image(pool=pool, i=i, looks=looks) for i in range(len(pool))]
    by_small_picture = _by_small_picture(others)
    result = []
    for image, candidates in zip(images, _candidates(images, others), strict=True):
        lookalikes = by_small_picture.get(image.small.tobytes(), ())
        original = next((k for k in lookalikes if _is_identical(image, others[k])), None)
        exact = original is not None
        if original is None:
            original = next((k for k in candidates if _is_copy(image, others[k])), None)
        if original is not None:
            part, i = places[original]
            result.append(Copy(image=image.i, part=part, original=i, exact=exact))
        if progress is not None:
            progress(image.i + 1, len(pool))
    return result


def copies_within(
    pool: Pool,
    *,
    allowed: bool = False,
    progress: Progress | None = None,
    looks: Looks | None = None,
) -> list[Link]:
    """Pairs of images of one pool that are one photo, by the rules of `copies`.

    An image is compared with the few that look most like it: of many copies of one photo not all
    pairs are found, but mostly enough to link all of them.

    allowed   True if near copies are no matter: then only exact copies are found
    progress  is called with (images compared, images in all) after each image
    looks     as for `copies`
    """
    looks = Looks() if looks is None else looks
    images = [_Image(pool=pool, i=i, looks=looks) for i in range(len(pool))]
    links: dict[Link, None] = {}
    by_small_picture = _by_small_picture(images)
    for i, candidates in enumerate(_candidates(images, images, _MOST_CANDIDATES + 1)):
        lookalikes = by_small_picture[images[i].small.tobytes()]
        original = next((k for k in lookalikes if _is_identical(images[i], images[k])), i)
        if original != i:
            links[original, i] = None
        for k in () if allowed else candidates:  # the image itself is one of them
            pair = (min(i, k), max(i, k))
            if i != k and pair not in links and _is_copy(images[i], images[k]):
                links[pair] = None
        if progress is not None:
            progress(i + 1, len(pool))
    return list(links)


def is_copy(pool: Pool, i: int, other: Pool, j: int) -> bool:
    """True if image i of a pool and image j of another are one photo, by the rules of `copies`."""
    looks = Looks()
    image, original = _Image(pool=pool, i=i, looks=looks), _Image(pool=other, i=j, looks=looks)
    return _is_identical(image, original) or _is_copy(image, original)


def show_the_same(pool: Pool, i: int, other: Pool, j: int) -> bool:
    """True if neither image has an object that the other lacks, by labels and pixels.

    See moved.py.
    """
    looks = Looks()
    image, other_image = _Image(pool=pool, i=i, looks=looks), _Image(pool=other, i=j, looks=looks)
    return _show_the_same(image, other_image)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Image:
    """Image i of a pool, and the looks of the search."""

    pool: Pool
    i: int
    looks: Looks

    @property
    def small(self) -> np.ndarray:
        """(64, 64) uint8 grey levels."""
        return self.looks.small(self.pool, self.i)

    @property
    def digest(self) -> bytes:
        """SHA-256 of size and pixels."""
        return self.looks.digest(self.pool, self.i)

    @property
    def sides_px(self) -> tuple[int, int]:
        """The shorter side at the working scale, and that of the photo."""
        size_wh = self.pool.sizes_wh[self.i]
        photo_wh = np.rint(size_wh / self.pool.scales[self.i])
        return int(size_wh.min()), int(photo_wh.min())

    def labelled_photo(self, side: int) -> LabelledPhoto:
        """The image at that size and its labelled objects; crowds are no objects."""
        boxes = self.pool.boxes(self.i)
        objects = boxes.select(~boxes.crowd)
        edges = np.tile(self.pool.sizes_wh[self.i], 2)
        classes = np.array(self.pool.classes)
        return LabelledPhoto(
            grey=self.reduce(side),
            xyxy=objects.xyxy / edges,
            names=classes[objects.labels],
        )

    def reduce(self, side: int) -> np.ndarray:
        """(side, side) float32 grey levels."""
        return self.looks.reduce(self.pool, self.i, side)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Comparison:
    """The agreement of two images at m places.

    correlations  (m,) -1 to 1, of the patterns; 0 where either is flat
    concordances  (m,) the same, but less where one pattern is fainter than the other (Lin 1989,
                  without the means)
    deviations    (m,) grey levels, of the image that deviates more from the place's mean
    """

    correlations: np.ndarray
    concordances: np.ndarray
    deviations: np.ndarray


def _by_small_picture(images: Sequence[_Image]) -> dict[bytes, list[int]]:
    """Positions of images by their small pictures: identical images have the same one."""
    positions = defaultdict[bytes, list[int]](list)
    for k, image in enumerate(images):
        positions[image.small.tobytes()].append(k)
    return dict(positions)


def _candidates(
    images: Sequence[_Image], others: Sequence[_Image], most: int = _MOST_CANDIDATES
) -> Iterator[list[int]]:
    """For each image the positions of the few most similar others, by their coarse pictures.

    The most similar comes first.
    """
    patterns = _patterns(images)
    other_patterns = _patterns(others)
    for start in range(0, len(images), _BLOCK):
        correlations = patterns[start : start + _BLOCK] @ other_patterns.T
        for row in correlations:
            # a few, or all photos from one tripod: only these are sorted
            alike = np.flatnonzero(row >= _LEAST_CANDIDATE)
            order = np.argsort(-row[alike], kind="stable")
            nearest = alike[order[:most]]
            yield nearest.tolist()


def _patterns(images: Sequence[_Image]) -> np.ndarray:
    """(n, 1024) float32 of length 1: the pattern in each place, independent of its brightness.

    A blank picture has a pattern of 0.
    """
    patterns = np.zeros((len(images), _COARSE_PX**2), np.float32)
    for row, image in zip(patterns, images, strict=True):
        small = image.small.astype(np.float32)
        coarse = cv2.resize(small, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
        places = _places(coarse)
        deviations = _deviations(places)[:, None]
        normalised = places / (deviations + _SOFTENING)
        length = float(np.linalg.norm(normalised))
        if length:
            row[:] = normalised.reshape(-1) / length
    return patterns


def _is_identical(image: _Image, other: _Image) -> bool:
    return image.digest == other.digest


def _is_copy(image: _Image, other: _Image) -> bool:
    """True if two images agree in detail and in contrast, and show the same objects."""
    return (
        _agree_in_detail(image, other)
        and _agree_in_contrast(image, other)
        and _show_the_same(image, other)
    )


def _agree_in_detail(image: _Image, other: _Image) -> bool:
    """True if nearly all places with detail correlate; False without detail."""
    fine = _comparison(image, other, _fine_side(image, other))
    correlations = fine.correlations[fine.deviations > _DETAIL]
    if not len(correlations):
        return False
    return bool(np.quantile(correlations, _IGNORED_SHARE) >= _LEAST_DETAIL_CORRELATION)


def _agree_in_contrast(image: _Image, other: _Image) -> bool:
    """True if all places with contrast agree."""
    side = min(contrast_side(*image.sides_px), contrast_side(*other.sides_px))
    coarse = _comparison(image, other, side)
    concordances = coarse.concordances[coarse.deviations > _CONTRAST]
    return bool(concordances.min(initial=1.0) >= _LEAST_CONTRAST_CORRELATION)


def _show_the_same(image: _Image, other: _Image) -> bool:
    side = _fine_side(image, other)
    return not show_different_objects(image.labelled_photo(side), other.labelled_photo(side))


def _fine_side(image: _Image, other: _Image) -> int:
    """The side, px, at which two images are compared place by place, and object by object."""
    return min(detail_side(*image.sides_px), detail_side(*other.sides_px))


def _comparison(image: _Image, other: _Image, side: int) -> _Comparison:
    """Compares two images at a size of a whole number of places."""
    places = _places(image.reduce(side))
    other_places = _places(other.reduce(side))
    deviations = _deviations(places)
    other_deviations = _deviations(other_places)
    covariances = (places * other_places).mean(axis=1)
    products = deviations * other_deviations
    mean_variances = (deviations**2 + other_deviations**2) / 2
    return _Comparison(
        correlations=covariances / np.maximum(products, _FLAT),
        concordances=covariances / np.maximum(mean_variances, _FLAT),
        deviations=np.maximum(deviations, other_deviations),
    )


def _places(grey: np.ndarray) -> np.ndarray:
    """(m, 64) float32, pixels of a picture (8 k, 8 k) minus the mean of their place; m = k**2."""
    k = len(grey) // PLACE
    grid = grey.reshape(k, PLACE, k, PLACE).swapaxes(1, 2)
    places = grid.reshape(k**2, PLACE**2)
    return places - places.mean(axis=1, keepdims=True)


def _deviations(places: np.ndarray) -> np.ndarray:
    """(m,) standard deviations of places (m, 64)."""
    variances = (places * places).mean(axis=1)
    return np.sqrt(variances)
