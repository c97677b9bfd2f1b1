"""Picture: an encoded image file, its size and frame, and its pixels as a person would see them."""

import io
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from syndet_ray.data.encoded import Encoded, PartOfFile
from syndet_ray.errors import DataError

# Pillow raises these for broken files, depending on the format; some PNGs raise SyntaxError.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_DO = "Replace the image, or remove it from the dataset."


@dataclass(frozen=True)
class Header:
    """Size and orientation from the header of an image file.

    stored_wh    pixels, before EXIF orientation
    orientation  EXIF's, 1 to 8; 5 to 8 swap width and height
    """

    stored_wh: tuple[int, int]
    orientation: int

    @property
    def shown_wh(self) -> tuple[int, int]:
        """The size after EXIF orientation.

        Viewers and labelling tools show this frame, and detectors are trained on it.
        """
        return self.stored_wh[::-1] if self.swaps_sides else self.stored_wh

    @property
    def swaps_sides(self) -> bool:
        """True if the orientation exchanges width and height."""
        return self.orientation >= 5

    def turn_boxes(self, xyxy: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) of the stored frame in the frame that is shown.

        Only for orientations that swap the sides.
        """
        assert self.swaps_sides
        width, height = self.stored_wh
        x1, y1, x2, y2 = xyxy.T
        turned = {
            5: (y1, x1, y2, x2),
            6: (height - y2, x1, height - y1, x2),
            7: (height - y2, width - x2, height - y1, width - x1),
            8: (y1, width - x2, y2, width - x1),
        }
        return np.stack(turned[self.orientation], axis=1)


def header(image: Encoded, place: str) -> Header:
    """Reads only the header of an image file. Raises DataError where it is no image."""
    with _open_image(image, place, whole=False) as picture:
        return _header(picture)


def pixels(image: Encoded, place: str, size_wh: tuple[int, int] | None = None) -> np.ndarray:
    """(h, w, 3) uint8 RGB, turned as EXIF says, from any mode and depth that Pillow reads.

    size_wh  the shown image is resized to it, pixels; None leaves it as it is

    Raises DataError where the file cannot be read.
    """
    with _open_image(image, place, whole=True) as picture:
        if size_wh is not None:
            _decode_small(picture, size_wh)
        # in place, and converted only from other modes: a copy takes a tenth as long as decoding
        ImageOps.exif_transpose(picture, in_place=True)
        upright: Image.Image = picture
        # 16 bits a pixel: Pillow's own conversion would clip at 255 instead of scaling
        if upright.mode.startswith("I"):
            high_bytes = np.asarray(upright).astype(np.int64) >> 8
            upright = Image.fromarray(high_bytes.clip(0, 255).astype(np.uint8))
        rgb = np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    return rgb if size_wh is None else _resize(rgb, size_wh)


def _header(picture: Image.Image) -> Header:
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation not in range(1, 9):
        orientation = 1  # Pillow, like browsers, takes any other value for "as stored"
    as_opened = Header(stored_wh=picture.size, orientation=orientation)
    if picture.format == "TIFF":  # Pillow gives its size as it is shown
        return Header(stored_wh=as_opened.shown_wh, orientation=orientation)
    return as_opened


def _decode_small(picture: Image.Image, size_wh: tuple[int, int]) -> None:
    """Sets a JPEG to be decoded at a half, a quarter or an eighth of its sides.

    The result is still at least as large as the shown size_wh. Each halving leaves a quarter to
    decode. Other formats, and images that will be enlarged, are decoded whole.
    """
    stored_wh = size_wh[::-1] if _header(picture).swaps_sides else size_wh
    picture.draft(None, stored_wh)  # None keeps the mode


def _resize(rgb: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 of exactly size_wh.

    A smaller image gets means over the pixels' areas, a larger one is interpolated bilinearly.
    """
    height, width = rgb.shape[:2]
    if (width, height) == size_wh:
        return rgb
    shrinks = size_wh[0] * size_wh[1] < width * height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(rgb, size_wh, interpolation=method)


@contextmanager
def _open_image(image: Encoded, place: str, *, whole: bool) -> Iterator[Image.Image]:
    """The image, opened. Raises DataError for errors while it is opened or decoded.

    whole  True if it will be decoded, and not only its header read
    """
    try:
        with _source(image, whole=whole) as source, Image.open(source) as picture:
            yield picture
    except UnidentifiedImageError:
        rule = "the image cannot be read (not a format that Pillow knows)"
        raise DataError(place, rule, do=_DO) from None
    except _BROKEN as error:
        raise DataError(place, f"the image cannot be read ({error})", do=_DO) from None


def _source(image: Encoded, *, whole: bool) -> AbstractContextManager[BinaryIO | Path]:
    """A file or path for Pillow, which itself closes only the files of paths.

    A part of a file is read at once if it is needed whole: piece by piece takes longer.
    """
    if isinstance(image, Path):
        return nullcontext(image)
    if isinstance(image, PartOfFile) and not whole:
        return image.open()
    return io.BytesIO(image if isinstance(image, bytes) else image.read_bytes())
