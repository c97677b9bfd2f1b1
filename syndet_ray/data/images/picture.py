"""Picture: an encoded image file, its size and frame, and its pixels as a person would see them."""

import io
import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from syndet_ray.data.images import depth, mistaken, orientation
from syndet_ray.data.images.encoded import Encoded, PartOfFile
from syndet_ray.errors import DataError

# 15000 x 15000: decoded and converted, they take 9 bytes each, together 2 GB. Satellites and
# scanners write 200 million.
_MOST_PIXELS = 225_000_000
_MOST_PIXELS_COSTLY = _MOST_PIXELS // 2  # of formats and modes that take up to 17 bytes each
_COSTLY_FORMATS = ("AVIF", "GIF", "JPEG2000", "WEBP")
# Pillow refuses twice as many, before it decodes anything.
Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
# JPEG comes first: it is the most frequent. Left out are formats that call other programs (EPS,
# WMF), and those that hold no photos.
_FORMATS = (
    *("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "AVIF", "JPEG2000", "PPM"),
    *("DDS", "PCX", "PSD", "QOI", "SGI", "TGA"),
)
_MODES = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "F", "I")
)
_CUT_SHORT = ("truncated", "broken data stream", "unexpected end")  # words of Pillow's errors
_NEW_SUBFILE_TYPE, _TILE_WIDTH, _TILE_LENGTH, _DNG_VERSION = 254, 322, 323, 50706  # tags of TIFF
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS_PER_SAMPLE, _PLANAR = 256, 257, 258, 284
# Pillow raises these for broken files, depending on the format; their words say enough
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
# OpenCV's flags that shrink a JPEG as Pillow's draft does. It has no name for these in RGB, but
# takes them together with the flag for RGB.
_SHRINKING = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_AS_STORED_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_START_OF_JPEG = b"\xff\xd8\xff"
_EXIF_TIME = "%Y:%m:%d %H:%M:%S"
_DO = "Replace the image, or remove it from the dataset."

# what is unusual about an image, and the sentence for one or several of them
DEEP, TRANSPARENT, ANIMATED, CMYK = "deep", "transparent", "animated", "cmyk"
_UNUSUAL = {
    DEEP: (
        "image of more than 8 bits a colour",
        "images of more than 8 bits a colour",
        "scaled to 8",
    ),
    TRANSPARENT: ("image with transparency", "images with transparency", "composed on white"),
    ANIMATED: (
        "image of several frames or pages",
        "images of several frames or pages",
        "the first only",
    ),
    CMYK: ("image in CMYK", "images in CMYK", "converted without its colour profile"),
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """Size and orientation from the header of an image file.

    stored_wh    pixels, before EXIF orientation
    orientation  EXIF's, 1 to 8; 5 to 8 swap width and height
    unusual      what a photo seldom has and `pixels` decides about: words of `unusual_notes`
    """

    stored_wh: tuple[int, int]
    orientation: int
    unusual: tuple[str, ...] = ()

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


def quantization(image: Encoded, place: str) -> list[int] | None:
    """The 64 steps to which a JPEG rounds the luminance of its blocks, in any order; None for an
    image of another format.

    Reads only the header. Raises DataError where it is no image.
    """
    with _open_image(image, place, whole=False) as picture:
        tables = getattr(picture, "quantization", None)
    return list(tables[min(tables)]) if tables else None


def unusual_notes(headers: Iterable[Header]) -> list[str]:
    """Counts of what is unusual about images: "3 images with transparency: composed on white"."""
    counts = Counter(word for head in headers for word in head.unusual)
    notes = []
    for word, (one, several, what) in _UNUSUAL.items():
        count = counts[word]
        if count:
            notes.append(f"{count} {one if count == 1 else several}: {what}")
    return notes


def time_taken(image: Encoded, place: str) -> datetime | None:
    """The time at which a photo was taken, by its camera's clock; None if it does not say.

    It is EXIF's DateTimeOriginal. Raises DataError where the file is no image.
    """
    with _open_image(image, place) as picture:
        exif = picture.getexif().get_ifd(ExifTags.IFD.Exif)
    text = str(exif.get(ExifTags.Base.DateTimeOriginal, ""))
    try:
        return datetime.strptime(text.strip("\0 "), _EXIF_TIME)
    except ValueError:  # cameras without a clock write spaces or zeros
        return None


def pixels(
    image: Encoded,
    place: str,
    size_wh: tuple[int, int] | None = None,
    *,
    by_opencv: bool = False,
) -> np.ndarray:
    """(h, w, 3) uint8 RGB, turned as EXIF says, from any mode and depth that Pillow reads.

    More than 8 bits are scaled (see `depth`), and what is transparent is composed on white. Of
    several frames or pages the first one is taken.

    size_wh    the shown image is resized to it, pixels; None leaves it as it is
    by_opencv  True if OpenCV may decode the bytes of a JPEG, which is a fifth faster. It decodes a
               damaged one to something, and nothing but a comparison shows that sound ones are
               the same: only for images that `is_same_by_opencv`

    Raises DataError where the file cannot be read.
    """
    colors, is_deep, turned = _decode(image, place, size_wh, by_opencv=by_opencv)
    rgb = _from_deep(image, place, colors) if is_deep else colors
    upright = orientation.turn(rgb, turned)
    return upright if size_wh is None else _resize(upright, size_wh)


def is_same_by_opencv(content: bytes, rgb: np.ndarray, *, resized: bool) -> bool:
    """True if OpenCV decodes an image to these pixels, (h, w, 3) uint8, to the last bit.

    resized  True if their size was asked for
    """
    if not content.startswith(_START_OF_JPEG):
        return False  # Pillow would decode it a second time
    height, width = rgb.shape[:2]
    try:
        by_opencv = pixels(content, "", (width, height) if resized else None, by_opencv=True)
        return np.array_equal(by_opencv, rgb)
    except DataError:
        return False


def rgba(image: Encoded, place: str) -> np.ndarray:
    """(h, w, 4) uint8, turned as EXIF says: colours as they are stored, and their alpha.

    Alpha is 255 where nothing is transparent. Raises DataError where the file cannot be read.
    """
    with _open_image(image, place) as picture:
        turned = _pending_turn(picture)
        if picture.has_transparency_data or not depth.is_deep(picture):
            colors = np.asarray(picture.convert("RGBA"))
        else:
            rgb = depth.to_rgb(picture)
            colors = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    return orientation.turn(colors, turned)


def _header(picture: ImageFile) -> Header:
    stored_wh = picture.size
    turned = orientation.orientation_of(picture)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):  # Pillow gives its size as it is shown
        stored_wh = (picture.tag_v2[_IMAGE_WIDTH], picture.tag_v2[_IMAGE_LENGTH])
    return Header(stored_wh=stored_wh, orientation=turned, unusual=_unusual(picture))


def _unusual(picture: ImageFile) -> tuple[str, ...]:
    if picture.format == "JPEG" and picture.mode != "CMYK":
        return ()
    # a photo of a phone may hold a preview or its depths as further frames (MPO)
    is_animated = picture.format != "MPO" and getattr(picture, "is_animated", False)
    words = {
        DEEP: depth.is_deep(picture),
        TRANSPARENT: picture.has_transparency_data,
        ANIMATED: is_animated,
        CMYK: picture.mode == "CMYK",
    }
    return tuple(word for word, applies in words.items() if applies)


def _pending_turn(picture: ImageFile) -> int:
    """The orientation to be applied to the decoded image."""
    turned = orientation.orientation_of(picture)
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return turned
    # Pillow turns a TIFF while it decodes it, and stumbles over other bad entries: hide them
    picture.info["exif"] = orientation.exif_of(turned)
    return orientation.AS_STORED


def _decode(
    image: Encoded, place: str, size_wh: tuple[int, int] | None, *, by_opencv: bool
) -> tuple[np.ndarray, bool, int]:
    """(h, w, 3) uint8 RGB, False, and the orientation to be applied.

    Of 16-bit colours it is the high bytes, (h, w, 3 or 4), and True. Pillow's copy of the image
    ends with this function: two copies of the largest images would not fit.
    """
    with _open_image(image, place) as picture:
        turned = _pending_turn(picture)
        if size_wh is not None:
            _decode_small(picture, size_wh)
        if by_opencv and isinstance(image, bytes):
            rgb = _jpeg_by_opencv(picture, image)
            if rgb is not None:
                return rgb, False, turned
        if not depth.has_low_bytes(picture):
            return depth.to_rgb(picture), False, turned
        picture.load()
        return np.asarray(picture), True, turned


def _from_deep(image: Encoded, place: str, high: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 of an image of 16-bit colours, given their high bytes, (h, w, 3 or 4).

    The image is decoded a second time where the high bytes are not enough.
    """
    colors = high
    if depth.needs_low_bytes(high):
        with _open_image(image, place) as picture:
            _pending_turn(picture)
            depth.read_low_bytes(picture)
            picture.load()
            colors = depth.join(high, picture)
    return colors if colors.shape[2] == 3 else depth.to_rgb(Image.fromarray(colors))


def _decode_small(picture: ImageFile, size_wh: tuple[int, int]) -> None:
    """Sets a JPEG to be decoded at a half, a quarter or an eighth of its sides.

    The result is still at least as large as the shown size_wh. Each halving leaves a quarter to
    decode. Other formats, and images that will be enlarged, are decoded whole.
    """
    if not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return
    stored_wh = size_wh[::-1] if _header(picture).swaps_sides else size_wh
    picture.draft(None, stored_wh)  # None keeps the mode


def _jpeg_by_opencv(picture: ImageFile, content: bytes) -> np.ndarray | None:
    """(h, w, 3) uint8 RGB, as stored, shrunk as Pillow would; None for other kinds of images.

    Both programs call libjpeg, but OpenCV writes straight into the array.
    """
    if not isinstance(picture, JpegImagePlugin.JpegImageFile) or picture.mode != "RGB":
        return None
    shrunk = picture.decoderconfig[0] if picture.decoderconfig else 1
    rgb = cv2.imdecode(np.frombuffer(content, np.uint8), _SHRINKING[shrunk] | _AS_STORED_RGB)
    return rgb if rgb is not None and rgb.shape[1::-1] == picture.size else None


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
def _open_image(image: Encoded, place: str, *, whole: bool = True) -> Iterator[ImageFile]:
    """The image, opened. Raises DataError for errors while it is opened or decoded.

    whole  True if it will be decoded, and not only its header read
    """
    try:
        with warnings.catch_warnings(), _source(image, whole=whole) as file:
            # on bad metadata that do not matter, and on sizes that are checked here
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as picture:
                _check(picture, place)
                yield picture
    except DataError:
        raise
    except UnidentifiedImageError:
        raise _unknown_file(_start(image), place) from None
    except Image.DecompressionBombError:
        raise _too_large(place, _MOST_PIXELS) from None
    except MemoryError:
        do = "Free memory, or raise the limit of this process or container."
        raise DataError(place, "memory is too small to decode the image", do=do) from None
    except Exception as error:  # broken files make Pillow's decoders raise almost anything
        raise DataError(place, _rule(error), do=_DO) from None


def _rule(error: Exception) -> str:
    """The sentence for an error of Pillow."""
    words = str(error) if isinstance(error, _BROKEN) else f"{type(error).__name__}: {error}"
    if any(word in words.lower() for word in _CUT_SHORT):
        words = f"it is cut short: {words}"
    return f"the image cannot be read ({words})"


def _unknown_file(start: bytes, place: str) -> DataError:
    """The error for a file that Pillow does not know, by its first bytes."""
    pointer = mistaken.pointer(start)
    if pointer is not None:
        return DataError(place, f"the image cannot be read (it {pointer})")
    no_image = mistaken.no_image(start)
    reason = "not a format that Pillow knows" if no_image is None else f"it {no_image}"
    return DataError(place, f"the image cannot be read ({reason})", do=_DO)


def _source(image: Encoded, *, whole: bool) -> AbstractContextManager[BinaryIO | Path]:
    """A file or path for Pillow, which itself closes only the files of paths.

    A part of a file is read at once if it is needed whole: piece by piece takes longer.
    """
    if isinstance(image, Path):
        return nullcontext(image)
    if isinstance(image, PartOfFile) and not whole:
        return image.open()
    return io.BytesIO(image if isinstance(image, bytes) else image.read_bytes())


def _start(image: Encoded) -> bytes:
    """The first bytes of an image file."""
    if isinstance(image, bytes):
        return image[: mistaken.START_BYTES]
    with image.open() if isinstance(image, PartOfFile) else image.open("rb") as file:
        return file.read(mistaken.START_BYTES)


def _check(picture: ImageFile, place: str) -> None:
    """Raises DataError for an image that would be decoded wrongly, or to more than memory has."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        _check_tiff(picture, place)
    if picture.mode not in _MODES and not picture.mode.startswith("I;16"):
        rule = f"its colours are of a kind that cannot be read, {picture.mode}"
        raise DataError(place, rule, do="Save it in RGB.")
    width, height = picture.size
    if width * height > _MOST_PIXELS_COSTLY:
        most = _MOST_PIXELS_COSTLY if _is_costly(picture) else _MOST_PIXELS
        if width * height > most:
            raise _too_large(place, most, got=(width, height))


def _is_costly(picture: ImageFile) -> bool:
    is_progressive = "progressive" in picture.info
    is_wide = picture.mode in ("F", "I") or depth.has_low_bytes(picture)
    return picture.format in _COSTLY_FORMATS or is_wide or is_progressive


def _too_large(place: str, most: int, got: Any = ...) -> DataError:
    rule = f"the image must have at most {most // 10**6} million pixels"
    return DataError(place, rule, got=got, do="Cut it into tiles, or remove it from the dataset.")


def _check_tiff(picture: TiffImagePlugin.TiffImageFile, place: str) -> None:
    tags = picture.tag_v2
    is_preview = bool(tags.get(_NEW_SUBFILE_TYPE, 0) & 1)
    if is_preview or _DNG_VERSION in tags:
        rule = "the image cannot be read (it is a camera raw file, only its preview could be)"
        raise DataError(place, rule, do="Export it as JPEG or TIFF.")
    tile_px = tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1)
    if tile_px > _MOST_PIXELS:
        raise _too_large(place, _MOST_PIXELS)
    bottom = max((tile.extents[3] for tile in picture.tile if tile.extents), default=0)
    if bottom < tags[_IMAGE_LENGTH]:  # Pillow would leave the rest black
        rule = f"the image cannot be read (it is cut short: {bottom} of its rows are there)"
        raise DataError(place, rule, do=_DO)
    if tags.get(_PLANAR, 1) == 2 and max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8:
        rule = "is a TIFF of 16-bit colours in separate planes, which Pillow reads wrongly"
        raise DataError(place, rule, do="Save it with interleaved colours, or as PNG.")
