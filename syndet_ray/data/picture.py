"""Picture: an encoded image file, its size and frame, and its pixels as a person would see them."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from syndet_ray.errors import DataError

# What Pillow raises for broken files, by format; some PNGs raise SyntaxError.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_DO = "Replace the image, or remove it from the dataset."


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    stored_wh    pixels, before EXIF orientation
    orientation  EXIF's, 1 to 8; 5 to 8 swap width and height
    """

    stored_wh: tuple[int, int]
    orientation: int

    @property
    def shown_wh(self) -> tuple[int, int]:
        """The size after EXIF orientation: what viewers and labelling tools show, and what we train
        on.
        """
        return self.stored_wh if self.orientation < 5 else self.stored_wh[::-1]

    def shown(self, xyxy: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) of the stored frame in the frame that is shown, for the orientations that
        swap the sides.
        """
        assert self.orientation >= 5
        width, height = self.stored_wh
        x1, y1, x2, y2 = xyxy.T
        turned = {
            5: (y1, x1, y2, x2),
            6: (height - y2, x1, height - y1, x2),
            7: (height - y2, width - x2, height - y1, width - x1),
            8: (y1, width - x2, y2, width - x1),
        }
        return np.stack(turned[self.orientation], axis=1)


def header(image: bytes | Path, place: str) -> Header:
    """Reads the header of an image file only. Raises DataError where it is no image."""
    with _opened(image, place) as picture:
        return _header(picture)


def pixels(image: bytes | Path, place: str, size_wh: tuple[int, int] | None = None) -> np.ndarray:
    """(h, w, 3) uint8 RGB, turned as EXIF says, of whatever modes and depths Pillow reads. Raises
    DataError.

    size_wh  what the shown image is resized to, pixels; None leaves it as it is
    """
    with _opened(image, place) as picture:
        if size_wh is not None:
            _decode_small(picture, size_wh)
        upright = ImageOps.exif_transpose(picture)
        # 16 bits a pixel: Pillow's own conversion would cut at 255, not scale
        if upright.mode.startswith("I"):
            high_bytes = np.asarray(upright).astype(np.int64) >> 8
            upright = Image.fromarray(high_bytes.clip(0, 255).astype(np.uint8))
        rgb = np.asarray(upright.convert("RGB"))
    return rgb if size_wh is None else _resized(rgb, size_wh)


def _header(picture: Image.Image) -> Header:
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    # Pillow, like browsers, takes any other value for "as stored".
    orientation = orientation if orientation in range(1, 9) else 1
    # Pillow gives the size of a TIFF as it is shown
    swapped = picture.format == "TIFF" and orientation >= 5
    return Header(picture.size[::-1] if swapped else picture.size, orientation)


def _decode_small(picture: Image.Image, size_wh: tuple[int, int]) -> None:
    """Sets a JPEG to be decoded at a half, a quarter or an eighth of its sides, which are still at
    least the shown size_wh.

    Four times less to decode at each halving. Other formats, and whatever is to be enlarged, are
    decoded whole.
    """
    sides_swap = _header(picture).orientation >= 5
    picture.draft(None, size_wh[::-1] if sides_swap else size_wh)  # None keeps the mode


def _resized(rgb: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 of exactly size_wh: means over the pixels' areas where it shrinks, bilinear
    where it grows.
    """
    height, width = rgb.shape[:2]
    if (width, height) == size_wh:
        return rgb
    shrinks = size_wh[0] * size_wh[1] < width * height
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@contextmanager
def _opened(image: bytes | Path, place: str) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as picture:
            yield picture
    except UnidentifiedImageError:
        raise DataError(
            place, "the image cannot be read (not a format that Pillow knows)", do=_DO
        ) from None
    except _BROKEN as error:
        raise DataError(place, f"the image cannot be read ({error})", do=_DO) from None
