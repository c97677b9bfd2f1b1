"""Streamed: images that are read and decoded each time they are needed, not kept in memory."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.images.encoded import Encoded, PartOfFile
from syndet_ray.errors import DataError, MachineError

_NO_FILE = -1  # the image lies in `in_memory`
_WHOLE = -1  # the length of an image that is a whole file


@dataclass(frozen=True, eq=False, kw_only=True)
class Streamed:
    """n encoded images, in a form that processes share like the arrays of a pool.

    No decoded image is kept: what is read again comes from the system's cache of files, which all
    trials of a node share.

    files      the paths of all files that hold images, and their bytes when they were first read
    places     (n, 3) int64: the file's position in `files`, and the image's first byte and length
    checksums  (n,) int64, the CRC-32 of each encoded image when it was first read. Times of files
               would not do: each node's copy of a photo from S3 has its own, and a copy that keeps
               times may bring an older one
    in_memory  flat uint8, images that came as bytes and from no file, still encoded
    resized    True if images are brought to the size that is asked for; else they have it
    """

    files: tuple[tuple[str, int], ...]
    places: np.ndarray
    checksums: np.ndarray
    in_memory: np.ndarray
    resized: bool

    @staticmethod
    def of(
        images: Iterable[Encoded],
        checksums: Sequence[int] | np.ndarray,
        *,
        resized: bool,
        sizes: Mapping[str, int] | None = None,
    ) -> "Streamed":
        """Raises OSError where a file does not exist.

        checksums  those of the images when they were checked, see `checksum`
        sizes      bytes of files that were read before; a file that has changed since is refused
        """
        numbers: dict[Path, int] = {}
        places: list[tuple[int, int, int]] = []
        from_bytes = bytearray()
        for image in images:
            if isinstance(image, bytes):
                places.append((_NO_FILE, len(from_bytes), len(image)))
                from_bytes += image
                continue
            file, start, length = _place_in_file(image)
            number = numbers.setdefault(file.absolute(), len(numbers))
            places.append((number, start, length))
        sizes = sizes or {}
        files = []
        for file in numbers:
            size = sizes[str(file)] if str(file) in sizes else file.stat().st_size
            files.append((str(file), size))
        return Streamed(
            files=tuple(files),
            places=np.array(places, np.int64).reshape(-1, 3),
            checksums=np.array(checksums, np.int64),
            in_memory=np.frombuffer(bytes(from_bytes), np.uint8),
            resized=resized,
        )

    def __len__(self) -> int:
        return len(self.places)

    def image(self, i: int, size_wh: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) uint8 RGB, decoded again, at the size that the pool gives it.

        Raises MachineError where this machine lacks the file, and DataError where it has changed.
        """
        content, place = self._content(i)
        target_wh = size_wh if self.resized else None
        return picture.pixels(content, place, target_wh)

    def encoded_image(self, i: int) -> Encoded:
        """Image i as it is stored."""
        number, start, length = self.places[i].tolist()
        if number == _NO_FILE:
            return self.in_memory[start : start + length].tobytes()
        file = Path(self.files[number][0])
        return file if length == _WHOLE else PartOfFile(file=file, start=start, length=length)

    def select(self, indices: Sequence[int]) -> "Streamed":
        """The images at `indices`, without files and bytes of others."""
        images = [self.encoded_image(i) for i in indices]
        checksums = self.checksums[np.array(indices, np.int64)]
        return Streamed.of(images, checksums, resized=self.resized, sizes=dict(self.files))

    def _content(self, i: int) -> tuple[bytes, str]:
        """The bytes of image i, the same as when it was first read, and its place for errors."""
        image = self.encoded_image(i)
        if isinstance(image, bytes):
            return image, f"image {i}"
        file, size = self.files[int(self.places[i, 0])]
        try:
            if Path(file).stat().st_size != size:
                raise _change(file)
            content = image.read_bytes()
        except OSError as error:
            raise _absence(file, error) from None
        if checksum(content) != self.checksums[i]:
            raise _change(file)
        return content, file


def checksum(content: bytes) -> int:
    """CRC-32 of an encoded image: 0.02 ms for a photo of 90 kB, where decoding takes 4 ms."""
    return zlib.crc32(content)


def _place_in_file(image: Path | PartOfFile) -> tuple[Path, int, int]:
    """The file of an image, and the image's first byte and length there."""
    if isinstance(image, PartOfFile):
        return image.file, image.start, image.length
    return image, 0, _WHOLE


def check_files(files: Iterable[tuple[str, int]]) -> None:
    """Raises SyndetError unless this machine has these files of images, with these lengths."""
    for file, size in files:
        try:
            present = Path(file).stat().st_size
        except OSError as error:
            raise _absence(file, error) from None
        if present != size:
            raise DataError(file, "is another file than on the driver", got=f"{present:,} bytes")


def _absence(file: str, error: OSError) -> MachineError:
    rule = (
        f"cannot be read here ({error.strerror}): photos that do not fit into memory are read "
        "from their files during training"
    )
    do = "Leave the photos where they are, and on a cluster in a folder that every node sees."
    return MachineError(file, rule, do=do)


def _change(place: str) -> DataError:
    rule = "has changed since the photos were checked"
    return DataError(place, rule, do="Leave photos as they are until the run is over.")
