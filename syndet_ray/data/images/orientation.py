"""Orientation: how an image is turned to be shown, as its metadata say.

Only this one entry is read. Cameras and editors write others that break rules; neither an error nor
the orientation must depend on them, so Pillow's EXIF reader, which reads and writes all entries, is
not used.
"""

import re
import struct
from typing import IO

import cv2
import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

AS_STORED = 1
_TAG = 0x0112
# struct's letters for the whole numbers of TIFF 6.0, section 2, that fit into an entry
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_ENTRY_BYTES = 12
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of(image: Image.Image) -> int:
    """1 to 8, from EXIF or else XMP; 1 where both are silent, or say anything else."""
    orientation = _from_exif(image)
    if orientation is None:
        orientation = _from_xmp(image)
    if orientation is None or not 1 <= orientation <= 8:
        return AS_STORED  # as browsers take any other value
    return orientation


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An image (h, w) or (h, w, n) as it is shown. Source: Exif 2.32, section 4.6.4."""
    if orientation == 2:
        return cv2.flip(pixels, 1)
    if orientation == 3:
        return cv2.rotate(pixels, cv2.ROTATE_180)
    if orientation == 4:
        return cv2.flip(pixels, 0)
    if orientation == 5:
        return cv2.transpose(pixels)
    if orientation == 6:
        return cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
    if orientation == 7:
        return cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180))
    if orientation == 8:
        return cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return pixels


def exif_of(orientation: int) -> bytes:
    """EXIF that holds the orientation alone."""
    start = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1)  # one entry, at byte 8 of the TIFF
    return start + struct.pack("<HHII", _TAG, 3, 1, orientation) + bytes(4)


def _from_exif(image: Image.Image) -> int | None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        value = image.tag_v2.get(_TAG)
        return int(value) if isinstance(value, int | float) and value == value // 1 else None
    exif = image.info.get("exif")
    if exif is None:
        exif = _from_text(image.info.get("Raw profile type exif"))
    if exif is None and isinstance(image, PngImagePlugin.PngImageFile):
        exif = _behind_pixels(image)
    if not isinstance(exif, bytes):
        return None
    try:
        return _parse(exif)
    except struct.error:  # the segment is cut off
        return None


def _from_text(profile: object) -> bytes | None:
    """EXIF that ImageMagick writes into a PNG as text: three lines of words, then hex digits."""
    if not isinstance(profile, str):
        return None
    digits = "".join(profile.split("\n")[3:])
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None


def _behind_pixels(image: PngImagePlugin.PngImageFile) -> bytes | None:
    """EXIF that follows the pixels of a PNG, where ExifTool puts it.

    Pillow would decode the image to get there. Source: PNG 3, section 5.3 (chunk layout).
    """
    file = image.fp
    if file is None:
        return None
    position = file.tell()
    try:
        return _exif_chunk(file)
    finally:
        file.seek(position)


def _exif_chunk(file: IO[bytes]) -> bytes | None:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return file.read(length)
        if kind == b"IEND":
            return None
        file.seek(length + 4, 1)  # its checksum follows
    return None


def _parse(exif: bytes) -> int | None:
    """The orientation in the first directory of EXIF (TIFF 6.0, section 2). Raises struct.error."""
    tiff = exif
    while tiff.startswith(b"Exif\0\0"):
        tiff = tiff[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for i in range(count):
        at = start + 2 + i * _ENTRY_BYTES
        tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, at)
        if tag == _TAG and values >= 1 and kind in _WHOLE:
            (value,) = struct.unpack_from(f"{order}{_WHOLE[kind]}", tiff, at + 8)
            return int(value)
    return None


def _from_xmp(image: Image.Image) -> int | None:
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode(errors="replace")
    match = _XMP.search(xmp) if isinstance(xmp, bytes) else None
    return None if match is None else int(match[1])
