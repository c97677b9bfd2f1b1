"""Depth: 8-bit RGB from the pixels of any mode and number of bits.

Cameras write 10, 12 or 14 bits into files of 16, and no format says so reliably: PNG's sBIT and
TIFF's MaxSampleValue mean other things to other writers. So the largest value of an image tells its
depth, as the least of the depths that cameras have. The factor is then the same for all
images of a camera, except those that are dark all over; the largest value itself would make every
dark photo bright.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits
# Pillow keeps the high byte of 16-bit colours. Read in the other byte order, that is the low one.
_SWAPPED = {"B": "L", "L": "B", "N": "B"}  # N: libtiff's, in the order of this machine: little
_COLORS = ("RGB;16", "RGBX;16", "RGBA;16")
_BAND_PX = 2**22  # larger images are converted in bands, to keep few copies in memory
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF


def rawmode(image: Image.Image) -> str:
    """Pillow's word for the layout of pixels in the file; "" where the decoder needs none."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    word = args[0] if isinstance(args, tuple) and args else args
    return word if isinstance(word, str) else ""


def is_deep(image: Image.Image) -> bool:
    """True for more than 8 bits a colour. To be asked before the image is decoded."""
    return image.mode.startswith(("I", "F")) or rawmode(image)[-4:-1] == ";16"


def has_low_bytes(image: Image.Image) -> bool:
    """True for 16-bit colours whose low bytes can be read too. To be asked before decoding."""
    return rawmode(image)[:-1] in _COLORS


def read_low_bytes(image: ImageFile) -> None:
    """Sets an image that `has_low_bytes` to be decoded to these instead of the high ones."""
    tiles = []
    for tile in image.tile:
        word = rawmode(image)
        swapped = word[:-1] + _SWAPPED[word[-1]]
        args = (swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped
        tiles.append(tile._replace(args=args))
    image.tile = tiles


def needs_low_bytes(high: np.ndarray) -> bool:
    """True if the high bytes (h, w, 3 or 4) of 16-bit colours show that fewer bits are used."""
    return _bits_of_high(high[..., :3]) < 16


def join(high: np.ndarray, low: Image.Image) -> np.ndarray:
    """(h, w, n) uint8 from the high bytes, (h, w, n), and an image of the low bytes.

    Colours have one depth, alpha may have another.
    """
    shifts = np.full(high.shape[2], _bits_of_high(high[..., :3]) - 8, np.uint16)
    shifts[3:] = _bits_of_high(high[..., 3:]) - 8
    joined = np.empty_like(high)
    for rows, band in _bands(low):
        values = (high[rows].astype(np.uint16) << 8) | np.asarray(band)
        joined[rows] = values >> shifts
    return joined


def to_rgb(image: Image.Image) -> np.ndarray:
    """(h, w, 3) uint8; what is transparent is composed on white."""
    image.load()
    if image.mode.startswith(("I", "F")):
        gray = _gray(image)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.width * image.height <= _BAND_PX:
        return np.asarray(_on_white(image))
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for rows, band in _bands(image):
        rgb[rows] = np.asarray(_on_white(band))
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows of an image, and the image of these rows."""
    height = max(1, _BAND_PX // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _gray(image: Image.Image) -> np.ndarray:
    """(h, w) uint8 of an image of one channel with more than 8 bits."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        return _gray_of_floats(values)
    tags = _tags(image)
    if image.mode == "I":
        is_unsigned = tags.get(_SAMPLE_FORMAT) in (1, (1,)) and tags.get(_BITS_PER_SAMPLE) == (32,)
        values = values.view(np.uint32) if is_unsigned else values.clip(0)
    bits = _bits_of(image, int(values.max(initial=0)))
    gray = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white, which Pillow turns only where there are 8 bits
        gray = 255 - gray
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = 255
    return gray


def _gray_of_floats(values: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 0 to 1 stay what they are, whole numbers have a depth, others are stretched.

    What is not finite becomes black.
    """
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return np.zeros(values.shape, np.uint8)
    least, full = _range_of_floats(values if is_finite.all() else values[is_finite])
    scaled = np.where(is_finite, values, np.float32(least))
    scaled -= least  # in place: the image may be large
    scaled *= 255 / full
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def _range_of_floats(finite: np.ndarray) -> tuple[float, float]:
    """The value that becomes black, and how far above it white is."""
    least, largest = float(finite.min()), float(finite.max())
    if least >= 0 and largest <= 1:
        return 0.0, 1.0
    is_whole = least >= 0 and bool((finite == np.floor(finite)).all())
    if is_whole and largest < 2 ** DEPTHS[-1]:
        return 0.0, float(2 ** _bits(int(largest)) - 1)
    return least, largest - least or 1.0


def _bits_of(image: Image.Image, largest: int) -> int:
    """The depth of an image in bits."""
    if image.format not in ("PNG", "TIFF"):
        # Pillow scales what it reads from PNM and JPEG 2000 to 16 bits
        return max(16, _bits(largest))
    bits = _tags(image).get(_BITS_PER_SAMPLE)
    if isinstance(bits, tuple) and len(bits) == 1 and 8 < bits[0] < 16:
        return int(bits[0])
    return _bits(largest)


def _bits(largest: int) -> int:
    """The least of the depths that cameras have and that holds a value."""
    return next(bits for bits in DEPTHS if largest < 2**bits)


def _bits_of_high(high: np.ndarray) -> int:
    """The depth of 16-bit values, which their high bytes alone determine."""
    return _bits(int(high.max(initial=0)) << 8 | 255)


def _tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2 | dict[int, object]:
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
