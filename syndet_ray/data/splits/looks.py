"""Looks: the little that a search for copies keeps of photos, so that each is decoded once."""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache

import cv2
import numpy as np

from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record

_SMALL_PX = 64  # the side of a small picture
PLACE = 8  # pixels a side of a place, by which photos are compared
# Photos are compared at a third of their size, at most at _MOST_SIDE pixels. The remaining detail
# survives resizing and compression, and noise still distinguishes two exposures of one scene.
_REDUCTION = 3
_LEAST_SIDE, _MOST_SIDE = 32, 256
_CONTRAST_REDUCTION = 2  # places of contrast are twice as large as places of detail
# Decoded images that are kept: one, and all that it is compared with. So a photo without a reduced
# picture is not decoded again for each step of a comparison. More would not be bounded.
_DECODED = 8
# of reduced pictures: of some 500 photos. A photo is mostly like its neighbours, which are there
KEPT_BYTES = 2**28

_Key = tuple[Hashable, ...]


class Looks:
    """Memory of the images of any pools, for several searches.

    A small picture and a hash of each stay. Reduced pictures stay while there is room for them, and
    are made again of the image where they are needed later.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        """kept_bytes: the room for reduced pictures."""
        self._room = kept_bytes
        self._pixels: dict[int, object] = {}
        self._small: dict[_Key, np.ndarray] = {}
        self._digests: dict[_Key, bytes] = {}
        self._reduced = OrderedDict[_Key, np.ndarray]()
        self._decoded = lru_cache(_DECODED)(Pool.image)

    def small(self, pool: Pool, i: int) -> np.ndarray:
        """(64, 64) uint8 grey levels."""
        key = self._key(pool, i)
        if key not in self._small:
            self._small[key] = _small(self._decoded(pool, i))
        return self._small[key]

    def digest(self, pool: Pool, i: int) -> bytes:
        """SHA-256 of the image's size and pixels."""
        key = self._key(pool, i)
        if key not in self._digests:
            self._digests[key] = _digest(self._decoded(pool, i))
        return self._digests[key]

    def reduce(self, pool: Pool, i: int, side: int) -> np.ndarray:
        """(side, side) float32 grey levels, unrounded: faint detail must survive."""
        key = (self._key(pool, i), side)
        if key not in self._reduced:
            self._keep(key, _reduce(self._decoded(pool, i), side))
        self._reduced.move_to_end(key)  # it was needed last
        return self._reduced[key]

    def look(self, record: Record, image: np.ndarray, digest: bytes) -> None:
        """Keeps what most comparisons need of an image that is being decoded, see `decode`."""
        height, width = image.shape[:2]
        key = _file_key(digest, width, height)
        self._small[key] = _small(image)
        self._digests[key] = _digest(image)
        least_px, photo_px = min(width, height), min(record.size_wh)
        for side in {detail_side(least_px, photo_px), contrast_side(least_px, photo_px)}:
            self._keep((key, side), _reduce(image, side))

    def _key(self, pool: Pool, i: int) -> _Key:
        """The same for an image in all selections of a pool, and for no other image."""
        if pool.digests is not None:
            width, height = pool.sizes_wh[i].tolist()
            return _file_key(pool.digests[i].tobytes(), width, height)
        self._pixels[id(pool.pixels)] = pool.pixels  # held, so that its id is not used again
        return id(pool.pixels), int(pool.pixel_starts[i])

    def _keep(self, key: _Key, picture: np.ndarray) -> None:
        """Keeps a reduced picture in place of those that were not needed for longest.

        It is kept itself, even without any room: it is needed at once.
        """
        replaced = self._reduced.pop(key, None)
        self._room -= picture.nbytes - (0 if replaced is None else replaced.nbytes)
        while self._room < 0 and self._reduced:
            _, oldest = self._reduced.popitem(last=False)
            self._room += oldest.nbytes
        self._reduced[key] = picture


def detail_side(least_px: int, photo_px: int) -> int:
    """The side, px, at which an image is compared place by place, and object by object.

    least_px  its shorter side at the working scale
    photo_px  the shorter side of its photo

    Two images are compared at the smaller of their sides.
    """
    return _whole_places(min(_most_px(photo_px), least_px))


def contrast_side(least_px: int, photo_px: int) -> int:
    """The side, px, at which an image is compared in places of contrast; as `detail_side`."""
    return _whole_places(min(_most_px(photo_px), least_px / _CONTRAST_REDUCTION))


def _most_px(photo_px: int) -> float:
    return min(photo_px / _REDUCTION, _MOST_SIDE)


def _whole_places(side_px: float) -> int:
    """The side of a whole number of places that is nearest to side_px."""
    places = round(side_px / PLACE)
    return max(places * PLACE, _LEAST_SIDE)


def _file_key(digest: bytes, width: int, height: int) -> _Key:
    return digest, width, height


def _digest(image: np.ndarray) -> bytes:
    """SHA-256 of the image's size and pixels."""
    size = np.array(image.shape, np.int64).tobytes()
    sha256 = hashlib.sha256(size)
    sha256.update(np.ascontiguousarray(image).data)
    return sha256.digest()


def _small(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA)


def _reduce(image: np.ndarray, side: int) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
