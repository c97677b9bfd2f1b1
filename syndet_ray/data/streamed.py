"""Streamed: images of which those that memory has no room for are decoded each time they are
needed.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from syndet_ray.data.images import picture
from syndet_ray.data.images.encoded import Encoded, PartOfFile
from syndet_ray.data.remote.local import NodeCopy
from syndet_ray.errors import DataError, MachineError

_NO_FILE = -1  # the image lies in `in_memory`
_WHOLE = -1  # the length of an image that is a whole file


class LostPhoto(MachineError):
    """A streamed photo, `place`, cannot be read any more. No training that needs it is at fault."""


class ChangedPhoto(LostPhoto):
    """The file of a streamed photo has other bytes than when it was checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """An encoded image that was read and decoded once.

    checksum   CRC-32 of its bytes. Times of files would not do: each node's copy of a photo from S3
               has its own, and a copy that keeps times may bring an older photo
    by_opencv  True if OpenCV decodes it to the same pixels as Pillow, only faster
    """

    image: Encoded
    checksum: int
    by_opencv: bool

    @staticmethod
    def of(image: Encoded, content: bytes, rgb: np.ndarray | None, *, resized: bool) -> "Checked":
        """An image of these bytes.

        rgb  what Pillow decoded it to, (h, w, 3); None if it need not be decoded faster
        """
        return Checked(
            image=image,
            checksum=zlib.crc32(content),  # 0.02 ms for 90 kB, where decoding takes 4 ms
            by_opencv=rgb is not None and picture.is_same_by_opencv(content, rgb, resized=resized),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Streamed:
    """n encoded images, in a form that processes share like the arrays of a pool.

    As many as there is memory for may be decoded. The others are read again from the system's cache
    of files, which all trials of a node share.

    files      the paths of all files that hold images, and their bytes when they were first read
    places     (n, 3) int64: the file's position in `files`, and the image's first byte and length
    checksums  (n,) int64, see `Checked`
    by_opencv  (n,) bool, see `Checked`
    in_memory  flat uint8, images that came as bytes and from no file, still encoded
    decoded    flat uint8, decoded images, each row-major (h, w, 3)
    spans      (n, 2) int64, the first byte and the length of each image in `decoded`; length 0 for
               an image that is decoded each time
    resized    True if images are brought to the size that is asked for; else they have it
    node_copy  makes the files on a node that lacks them; None if they are only where they are
    """

    files: tuple[tuple[str, int], ...]
    places: np.ndarray
    checksums: np.ndarray
    by_opencv: np.ndarray
    in_memory: np.ndarray
    decoded: np.ndarray
    spans: np.ndarray
    resized: bool
    node_copy: NodeCopy | None = None

    @staticmethod
    def of(
        images: Sequence[Checked],
        *,
        resized: bool,
        decoded: np.ndarray | None = None,
        spans: np.ndarray | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> "Streamed":
        """Raises OSError where a file does not exist.

        decoded, spans  as the fields; None if no image is decoded
        sizes           bytes of files that were read before; a file that has changed since is
                        refused
        """
        numbers: dict[Path, int] = {}
        places: list[tuple[int, int, int]] = []
        from_bytes = bytearray()
        for checked in images:
            image = checked.image
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
            checksums=np.array([checked.checksum for checked in images], np.int64),
            by_opencv=np.array([checked.by_opencv for checked in images], bool),
            in_memory=np.frombuffer(bytes(from_bytes), np.uint8),
            decoded=np.zeros(0, np.uint8) if decoded is None else decoded,
            spans=np.zeros((len(images), 2), np.int64) if spans is None else spans,
            resized=resized,
        )

    def __len__(self) -> int:
        return len(self.places)

    def image(self, i: int, size_wh: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) uint8 RGB, at the size that the pool gives it: a view, or decoded again.

        Raises LostPhoto where this machine lacks the file, or it has changed.
        """
        start, length = self.spans[i].tolist()
        if length:
            width, height = size_wh
            return self.decoded[start : start + length].reshape(height, width, 3)
        content, place = self._content(i)
        target_wh = size_wh if self.resized else None
        return picture.pixels(content, place, target_wh, by_opencv=bool(self.by_opencv[i]))

    def encoded_image(self, i: int) -> Encoded:
        """Image i as it is stored."""
        number, start, length = self.places[i].tolist()
        if number == _NO_FILE:
            return self.in_memory[start : start + length].tobytes()
        file = Path(self.files[number][0])
        return file if length == _WHOLE else PartOfFile(file=file, start=start, length=length)

    def select(self, indices: Sequence[int]) -> "Streamed":
        """The images at `indices`, without files and bytes of others.

        Decoded images are copied only if they do not already lie one after another.
        """
        images = []
        for i in indices:
            checksum, by_opencv = int(self.checksums[i]), bool(self.by_opencv[i])
            image = self.encoded_image(i)
            images.append(Checked(image=image, checksum=checksum, by_opencv=by_opencv))
        decoded, spans = self._select_decoded(indices)
        selection = Streamed.of(
            images, resized=self.resized, decoded=decoded, spans=spans, sizes=dict(self.files)
        )
        return replace(selection, node_copy=self.node_copy)

    def _select_decoded(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The decoded ones of the images at `indices`, one after another, and where they lie."""
        spans = self.spans[np.array(indices, np.int64)]
        starts, lengths = spans.T
        new_starts = np.cumsum(lengths) - lengths
        new_spans = np.stack([new_starts, lengths], axis=1)
        is_decoded = lengths > 0
        first = int(starts[is_decoded][0]) if is_decoded.any() else 0
        if np.array_equal(starts[is_decoded] - first, new_starts[is_decoded]):
            return self.decoded[first : first + int(lengths.sum())], new_spans
        parts = [self.decoded[start : start + length] for start, length in spans.tolist()]
        return np.concatenate(parts), new_spans

    def _content(self, i: int) -> tuple[bytes, str]:
        """The bytes of image i, the same as when it was first read, and its place for errors."""
        image = self.encoded_image(i)
        if isinstance(image, bytes):
            return image, f"image {i}"
        file, size = self.files[int(self.places[i, 0])]
        fetch_missing(file, self.node_copy)
        try:
            if Path(file).stat().st_size != size:
                raise _change(file)
            content = image.read_bytes()
        except OSError as error:
            raise _absence(file, error) from None
        if zlib.crc32(content) != self.checksums[i]:
            raise _change(file)
        return content, file


def _place_in_file(image: Path | PartOfFile) -> tuple[Path, int, int]:
    """The file of an image, and the image's first byte and length there."""
    if isinstance(image, PartOfFile):
        return image.file, image.start, image.length
    return image, 0, _WHOLE


def fetch_missing(file: str, node_copy: NodeCopy | None) -> None:
    """Copies the dataset of a file to this node, if the node lacks the file. Raises SyndetError."""
    if node_copy is not None and not Path(file).exists():
        node_copy.make(_unseen)


def _unseen(name: str, done: int, total: int) -> None:
    """A NamedProgress that shows nothing."""


def check_files(files: Iterable[tuple[str, int]]) -> None:
    """Raises SyndetError unless this machine has these files of images, with these lengths."""
    for file, size in files:
        try:
            present = Path(file).stat().st_size
        except OSError as error:
            raise _absence(file, error) from None
        if present != size:
            raise DataError(file, "is another file than on the driver", got=f"{present:,} bytes")


def _absence(file: str, error: OSError) -> LostPhoto:
    rule = (
        f"cannot be read here ({error.strerror}): photos that do not fit into memory are read "
        "from their files during training"
    )
    do = "Leave the photos where they are, and on a cluster in a folder that every node sees."
    return LostPhoto(file, rule, do=do)


def _change(place: str) -> ChangedPhoto:
    rule = "has changed since the photos were checked"
    return ChangedPhoto(place, rule, do="Leave photos as they are until the run is over.")
