"""Unpack: archives of strangers, into an empty folder and never outside it.

Refused are names that lead elsewhere, links and devices, and what grows beyond its limits while it
is unpacked. Archives inside are left as they are.
"""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from syndet_ray.data.memory import memory_words
from syndet_ray.data.remote.names import is_junk, safe_name
from syndet_ray.errors import DataError, MachineError
from syndet_ray.progress import Progress

MOST_FILES = 2_000_000
# Photos do not shrink in an archive. Labels as text shrink to a tenth, masks to a hundredth; a bomb
# of zeros to a thousandth. Small archives may do as they like.
MOST_GROWTH = 200
_SMALL_BYTES = 10**8
_CHUNK_BYTES = 1 << 20
_MOST_AT_ONCE = 1 << 26  # a header that wants more memory than this is made to harm
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_DO_AGAIN = "Make the archive again, of plain files."
_DO_TRUST = "Do not use it, unless you know who made it: then unpack it by hand."
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a method of compression
    UnicodeDecodeError,
)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpack(archive: Path, folder: Path, *, most_bytes: int, progress: Progress) -> None:
    """Unpacks a .zip, .tar, .tar.gz or .tgz into an empty folder.

    most_bytes  that all files together may have
    progress    counts megabytes of the archive

    Raises DataError for an archive that is damaged or may do harm, and MachineError for one that
    has no room. The caller deletes the folder then.
    """
    with _as_data_error(archive):
        output = _Output(archive=archive, folder=folder, most_bytes=most_bytes)
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, output, progress)
        else:
            _unpack_tar(archive, output, progress)
    if not output.names:
        raise DataError(archive.name, "holds no files", do="Check the address.")


class _Output:
    """A folder that is filled, within its limits."""

    def __init__(self, *, archive: Path, folder: Path, most_bytes: int) -> None:
        self.names: set[PurePosixPath] = set()
        self._archive, self._folder = archive, folder
        self._most_bytes = most_bytes
        self._most_growth = max(_SMALL_BYTES, MOST_GROWTH * archive.stat().st_size)
        self._bytes = 0

    def path(self, name: str) -> Path:
        """The file for a member. Raises DataError for a name that is refused, or there twice."""
        place = f"{self._archive.name}, {name}"
        inside = safe_name(name, place)
        if inside in self.names:
            raise DataError(place, "is in the archive twice", do=_DO_AGAIN)
        self.names.add(inside)
        if len(self.names) > MOST_FILES:
            rule = f"holds more than {MOST_FILES:,} files"
            raise DataError(self._archive.name, rule, do=_DO_TRUST)
        path = self._folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, size: int) -> None:
        """Counts bytes that are about to be written. Raises SyndetError beyond a limit."""
        self._bytes += size
        if self._bytes > self._most_growth:
            rule = f"grows to more than {MOST_GROWTH} times its size: it may be made to fill disks"
            raise DataError(self._archive.name, rule, do=_DO_TRUST)
        if self._bytes > self._most_bytes:
            rule = f"holds more than the {memory_words(self._most_bytes)} that there is room for"
            do = "Make room, or take a folder on a larger disk."
            raise MachineError(self._archive.name, rule, do=do)

    def write(self, name: str, content: _Readable) -> None:
        """Writes a member to its file."""
        with self.path(name).open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                self.add(len(chunk))
                file.write(chunk)


def _unpack_zip(archive: Path, output: _Output, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = [(_zip_name(member), member) for member in zipped.infolist()]
        wanted = [(name, member) for name, member in members if _is_wanted(name)]
        for name, member in wanted:
            _check_zip_member(f"{archive.name}, {name}", name, member)
        step = _megabytes(sum(member.compress_size for _, member in wanted), progress)
        packed = 0
        for name, member in wanted:
            with zipped.open(member) as content:
                output.write(name, content)
            packed += member.compress_size
            step(packed)


def _is_wanted(name: str) -> bool:
    """False for a folder, which on Windows ends with a backslash, and for junk."""
    return not name.endswith(("/", "\\")) and not is_junk(name)


def _check_zip_member(place: str, name: str, member: zipfile.ZipInfo) -> None:
    """Raises DataError before anything is written."""
    safe_name(name, place)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise DataError(place, "is a link or a device, not a file", do=_DO_AGAIN)
    if member.flag_bits & _ENCRYPTED_FLAG:
        raise DataError(place, "is encrypted", do="Unpack it by hand, and give the folder.")


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name of a member. Many programs write UTF-8 without saying so, which is read as the old
    encoding of DOS.
    """
    if member.flag_bits & _UTF8_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _unpack_tar(archive: Path, output: _Output, progress: Progress) -> None:
    with archive.open("rb") as raw:
        step = _megabytes(archive.stat().st_size, progress)
        source: BinaryIO | gzip.GzipFile = raw
        if not archive.name.lower().endswith(".tar"):
            source = gzip.GzipFile(fileobj=raw)
        stream = _Limited(source=source, place=archive.name, add=output.add)
        with tarfile.open(fileobj=stream, mode="r:") as members:  # type: ignore[call-overload]
            while (member := members.next()) is not None:
                members.members = []  # it keeps every header else
                if not member.isdir() and not is_junk(member.name):
                    _write_tar_member(f"{archive.name}, {member.name}", members, member, output)
                step(raw.tell())
        step(archive.stat().st_size)


def _write_tar_member(
    place: str, members: tarfile.TarFile, member: tarfile.TarInfo, output: _Output
) -> None:
    if not member.isreg() or member.issparse():
        raise DataError(place, "is a link or a device, not a file", do=_DO_AGAIN)
    content = members.extractfile(member)
    assert content is not None, "it is a file"
    with output.path(member.name).open("xb") as file:  # its bytes are counted as they are read
        while chunk := content.read(_CHUNK_BYTES):
            file.write(chunk)


@dataclass(kw_only=True)
class _Limited:
    """A stream of which everything that is read counts: also the headers of a tar file, which a
    bomb could blow up, and what it skips.
    """

    source: BinaryIO | gzip.GzipFile
    place: str
    add: Callable[[int], None]

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise DataError(self.place, "has a header that is far too large", do=_DO_TRUST)
        content = self.source.read(size)
        self.add(len(content))
        return content

    def tell(self) -> int:
        return self.source.tell()

    def seek(self, position: int) -> None:
        while (ahead := position - self.source.tell()) > 0:
            if not self.read(min(ahead, _CHUNK_BYTES)):
                return
        if ahead < 0:
            self.source.seek(position)


def _megabytes(total_bytes: int, progress: Progress) -> Callable[[int], None]:
    """A function that reports how many of all bytes are done."""
    total_mb = max(1, -(-total_bytes // 10**6))
    progress(0, total_mb)
    last = 0

    def step(done_bytes: int) -> None:
        nonlocal last
        done_mb = total_mb if done_bytes >= total_bytes else done_bytes // 10**6
        if done_mb != last:
            progress(done_mb, total_mb)
        last = done_mb

    return step


@contextmanager
def _as_data_error(archive: Path) -> Iterator[None]:
    """Raises errors of a damaged archive as DataError."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        rule = "uses one name for a file and a folder"
        raise DataError(archive.name, rule, do=_DO_AGAIN) from None
    except _BROKEN as error:
        rule = f"is damaged, or no such archive ({error or type(error).__name__})"
        raise DataError(archive.name, rule, do="Fetch it again, or make it again.") from None
