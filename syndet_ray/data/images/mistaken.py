"""Mistaken: files that hold something else than their name says, told by their first bytes."""

from pathlib import Path

from syndet_ray.errors import DataError

START_BYTES = 512  # as many of a file are enough to recognise it
# the first words of a pointer: git-lfs's specification, and that of its first release
_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_ANNEX = b"/annex/objects/"
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
_WEB_PAGE = "is an HTML page: the download failed"
_TEXT = bytes(range(32, 127)) + b"\t\r\n\f"

_JPEG = "convert it to JPEG"
_RAW = "export it from your raw converter as JPEG or TIFF"
_VIDEO = "extract its frames as JPEG"
_UNPACK = "unpack it"
# what a file is called and what to do about it, by its first bytes
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF document", "export its pages as PNG"),
    (b"%!PS", "a PostScript file", "export it as PNG"),
    (b"\xff\x0a", "a JPEG XL image", _JPEG),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", _JPEG),
    (b"FUJIFILMCCD-RAW", "a camera raw file", _RAW),
    (b"IIRO", "a camera raw file", _RAW),
    (b"IIRS", "a camera raw file", _RAW),
    (b"IIU\0", "a camera raw file", _RAW),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video", _VIDEO),
    (b"\0\0\x01\xba", "an MPEG video", _VIDEO),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"\x1f\x8b", "a file compressed with gzip", _UNPACK),
    (b"\x89HDF", "an HDF5 file", "export it as PNG"),
    (b"\x93NUMPY", "a NumPy array", "save it as PNG"),
    (b"\0\x05\x16\x07", "metadata of macOS, without the image", "remove it"),
    (b"<?xml", "an XML document", "the download may have failed"),
    (b"<svg", "a drawing (SVG)", "export it as PNG"),
)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


def pointer(start: bytes) -> str | None:
    """Words for a file that only stands for another one, and what to do; None for others.

    start  the first bytes of the file, or all of it
    """
    if start.startswith(_LFS):
        return "is a git-lfs pointer: run `git lfs pull`"
    if start.startswith(_ANNEX):
        return "is a git-annex pointer: run `git annex get`"
    return None


def _is_web_page(start: bytes) -> bool:
    words = start[:START_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    return words.lower().startswith(_HTML)


def check_pointer(file: Path) -> None:
    """Raises DataError for a file that only stands for another one, or for a failed download."""
    with file.open("rb") as opened:
        start = opened.read(START_BYTES)
    rule = pointer(start)
    if rule is None and _is_web_page(start):
        rule = _WEB_PAGE
    if rule is not None:
        raise DataError(file, rule)


def no_image(start: bytes) -> str | None:
    """Words for a file that is no image, and what to do; None if it is not recognised.

    start  the first bytes of the file, or all of it
    """
    if not start:
        return "is empty"
    if _is_web_page(start):
        return _WEB_PAGE
    kind = _kind(start)
    if kind is not None:
        name, do = kind
        return f"is {name}: {do}"
    if start[257:262] == b"ustar":
        return f"is a TAR archive: {_UNPACK}"
    if not start[:START_BYTES].strip(_TEXT):
        return "is a text"
    return None


def _kind(start: bytes) -> tuple[str, str] | None:
    """The name of the kind of a file, and what to do about it."""
    for signature, name, do in _SIGNATURES:
        if start.startswith(signature):
            return name, do
    if start[4:8] == b"ftyp":
        return _kind_of_container(start[8:12])
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "an AVI video", _VIDEO
    if start[128:132] == b"DICM":
        return "a DICOM file", "export it as PNG"
    return None


def _kind_of_container(brand: bytes) -> tuple[str, str]:
    """The kind of an ISO base media file by its major brand (ISO/IEC 14496-12)."""
    if brand in _HEIC:
        return "a HEIC photo", _JPEG
    if brand in _AVIF:
        return "an AVIF image", _JPEG
    if brand == b"crx ":
        return "a camera raw file (CR3)", _RAW
    return "a video (MP4, MOV)", _VIDEO
