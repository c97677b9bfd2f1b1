"""Encoded: an image as its file has it: its bytes, a file, or a part of a file of many images."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from syndet_ray.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)  # a million of them are held
class PartOfFile:
    """An image within a file of many, read only when it is needed.

    start, length  its bytes
    """

    file: Path
    start: int
    length: int

    def read_bytes(self) -> bytes:
        """The bytes of the image; fewer if the file has become shorter. Raises OSError."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def open(self) -> BinaryIO:
        """The part as a file of its own, so that a header is read without the rest.

        Raises OSError.
        """
        return cast(BinaryIO, _Window(self))


# the bytes, the path of the file that holds them and nothing else, or a part of a file
Encoded = bytes | Path | PartOfFile


def encoded_length(image: Encoded) -> int:
    """The number of bytes of an image. Raises OSError where its file does not exist."""
    if isinstance(image, bytes):
        return len(image)
    return image.length if isinstance(image, PartOfFile) else image.stat().st_size


def unreadable(place: str, error: OSError) -> DataError:
    """The error of an image that was there when the dataset was read, and cannot be read now.

    place  its place in the dataset
    """
    rule = f"the image cannot be read ({error.strerror or error})"
    do = "Replace it, or remove it from the dataset. All nodes of a cluster need it at its path."
    return DataError(place, rule, do=do)


class _Window(io.RawIOBase):
    """A part of a file, read as if there was nothing else.

    A damaged image may say that it goes on for gigabytes: no more is reserved than there is.
    """

    def __init__(self, part: PartOfFile) -> None:
        self._part = part
        self._at = 0
        self._file = part.file.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.length}
        self._at = max(0, origins[whence] + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._part.length - self._at)
        count = rest if size is None or size < 0 else min(size, rest)
        content = os.pread(self._file.fileno(), count, self._part.start + self._at)
        self._at += len(content)
        return content

    def close(self) -> None:
        self._file.close()
        super().close()
