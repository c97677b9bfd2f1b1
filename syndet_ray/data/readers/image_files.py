"""Image files: the file that an annotation means by a name, never outside the dataset."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.unlabelled import SUFFIXES

# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
_LONGEST_NAME = 4096  # characters, of a path on any system
_LONGEST_PART = 255  # bytes, of the name of a file or folder; systems raise for longer ones


class ImageFiles:
    """The image files of a dataset.

    A name is tried as it stands in each folder in which the reader expects the image, then as
    another system or tool would write it, and last as the only file of its base name in the
    dataset. Files outside the dataset's folder are never given, not even through a link.
    """

    def __init__(self, root: Path, remarks: Remarks) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)
        self._remarks = remarks
        self._real_folder = cache(os.path.realpath)

    def find(self, name: str, folders: Sequence[Path], place: str) -> Path | None:
        """The image file of that name, or None, with a problem among the remarks.

        folders  where it is expected, nearest first
        place    the annotation that names it
        """
        if "\0" in name or len(name) > _LONGEST_NAME:
            self._remarks.problem(place, "its image file must have a possible name", got=name[:80])
            return None
        file = self._first(folders, [name])
        if file is None:
            file = self._first(folders, list(_other_spellings(name)))
            self._count(file, "images found under another spelling of their name", place, name)
        if file is None:
            file = self._by_base_name(name)
            self._count(file, "images found by their base name alone", place, name)
        if file is None:
            self._remarks.problem(place, self._missing(name, folders), got=name)
        return file

    def with_stem(self, stem: str, folders: Iterable[Path]) -> Path | None:
        """The image file whose name without ending is `stem`, in the first folder that has one."""
        for folder in folders:
            names = self._by_stem(folder).get(stem, [])
            if names:
                return folder / names[0]
        return None

    def in_folder(self, folder: Path) -> list[Path]:
        """The image files in a folder, sorted; [] for a folder that does not exist."""
        return [folder / name for names in self._by_stem(folder).values() for name in names]

    def holds(self, path: Path) -> bool:
        """True for a file that exists within the dataset, of any kind."""
        real = self._real_path(path)
        if not self._is_below_root(real):
            return False
        try:
            mode = os.lstat(real).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISLNK(mode):  # almost always, and one call of the system is enough
            return stat.S_ISREG(mode)
        return self._is_inside(path) and path.is_file()

    def are_missing(self) -> bool:
        """True if the dataset has not one image file."""
        return not self._by_name

    def id_of(self, file: Path) -> str:
        """The path of an image file within the dataset, with slashes on every system."""
        text, start = str(file), str(self.root) + os.sep
        below = text.removeprefix(start)
        if len(below) == len(text) or ".." in below:
            below = os.path.relpath(file, self.root)
        return below.replace(os.sep, "/")

    def _first(self, folders: Sequence[Path], names: Sequence[str]) -> Path | None:
        for name in filter(_is_possible, names):
            for folder in folders:
                path = folder / name
                if self.holds(path):
                    return Path(os.path.normpath(path)) if ".." in path.parts else path
        return None

    def _is_inside(self, path: Path) -> bool:
        """True if a path lies in the dataset's folder, wherever links lead."""
        real = self._real_path(path)
        if os.path.islink(real):
            real = os.path.realpath(real)
        return self._is_below_root(real)

    def _real_path(self, path: Path) -> str:
        """A path without the links of its folders; it may itself be a link."""
        folder, name = os.path.split(path)
        return os.path.join(self._real_folder(folder), name)

    def _is_below_root(self, real: str) -> bool:
        return real.startswith(self._real_root + os.sep)

    def _by_base_name(self, name: str) -> Path | None:
        """The only file under the root that has the base name, in any case; else None."""
        for base in _base_names(name):
            files = self._by_name.get(base.lower(), [])
            if len(files) == 1:
                return files[0]
        return None

    def _missing(self, name: str, folders: Sequence[Path]) -> str:
        outside = [folder for folder in folders if not self._is_inside(folder / name)]
        if len(outside) == len(folders):
            return "its image file must lie in the dataset's folder, links included"
        for base in _base_names(name):
            count = len(self._by_name.get(base.lower(), []))
            if count > 1:
                return f"its image file does not exist, and {count} others have its base name"
        looked = ", ".join(dict.fromkeys(self._from_parent(folder) for folder in folders))
        return f"its image file does not exist (looked in {looked})"

    def _from_parent(self, folder: Path) -> str:
        return os.path.relpath(folder, self.root.parent)

    def _count(self, file: Path | None, event: str, place: str, name: str) -> None:
        if file is not None:
            self._remarks.count(event, f"{place}, {name!r} is {self.id_of(file)!r}")

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """All image files under the root by their base name in lower case."""
        files: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in sorted(names):
                path = Path(folder, name)
                if _is_image(name) and self._is_inside(path):
                    files.setdefault(name.lower(), []).append(path)
        return files

    @cache  # noqa: B019 - as long as one dataset is read
    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        """Names of the image files in a folder, by their stem; inside the dataset alone."""
        names: dict[str, list[str]] = {}
        if (
            not _is_possible(str(folder))
            or not folder.is_dir()
            or not self._is_inside(folder / "x")
        ):
            return names
        for name in sorted(os.listdir(folder)):
            if _is_image(name) and self._is_inside(folder / name):
                names.setdefault(Path(name).stem, []).append(name)
        return names


def _is_possible(path: str) -> bool:
    """True if no part of a path is longer than file systems allow."""
    return all(len(part.encode(errors="replace")) <= _LONGEST_PART for part in path.split("/"))


def is_hidden(name: str) -> bool:
    """True for what a Mac puts beside files, and for other hidden files."""
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _other_spellings(name: str) -> Iterator[str]:
    """The name as other systems and tools may mean it: Windows' \\, %20, another case of the
    ending, a file of Label Studio's storage, an address.
    """
    local = _local_part(name)
    for spelling in dict.fromkeys([local, unquote(local), *_without_parents(unquote(local))]):
        if spelling != name:
            yield spelling
        stem, suffix = os.path.splitext(spelling)
        endings = {suffix.lower(), suffix.upper(), *SUFFIXES} - {suffix}
        for ending in sorted(endings) if suffix.lower() in SUFFIXES else []:
            yield stem + ending
    base, *without_prefix = _base_names(name)
    if without_prefix:  # of an upload, whose folders exist in Label Studio alone
        yield from (base, *without_prefix)


def _local_part(name: str) -> str:
    """The path in an address (file:, http:, /data/local-files/?d=...), with slashes."""
    with_slashes = name.replace("\\", "/")
    try:
        parts = urlsplit(with_slashes)
    except ValueError:  # //[x
        return with_slashes
    of_storage = parse_qs(parts.query).get("d")
    if of_storage:
        return of_storage[0]
    return parts.path if len(parts.scheme) > 1 else with_slashes


def _without_parents(path: str) -> Iterator[str]:
    """A path without its first folders, one after another: ../a/b.jpg, a/b.jpg."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for first in range(len(parts) - 1):
        yield "/".join(parts[first:])


def _base_names(name: str) -> Iterator[str]:
    base = unquote(_local_part(name)).rsplit("/", 1)[-1]
    yield base
    if _UPLOADED.match(base):
        yield _UPLOADED.sub("", base, count=1)
