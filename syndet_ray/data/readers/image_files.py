"""Image files: the file that an annotation means by a name, never outside the dataset."""

import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

from syndet_ray.data.images.unlabelled import SUFFIXES
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.spellings import (
    as_uploaded,
    base_names,
    is_possible,
    is_uploaded,
    local_part,
    other_spellings,
    plain,
    shared_end,
)
from syndet_ray.data.readers.splits import splits_named

_LONGEST_NAME = 4096  # characters, of a path on any system
_MOST_COMPARED = 2000  # names, with each of some that are missing: a tenth of a second
_MOST_LISTED = 3  # images in a message, and missing ones that they are compared with


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
        self._named = array("q")  # hashes of found paths: the paths of a million images are large
        self._missing_names: list[str] = []
        self._folders_of_missing: set[Path] = set()

    def find(
        self, name: str, folders: Sequence[Path], place: str, *, anywhere: bool = True
    ) -> Path | None:
        """The image file of that name, or None, with a problem among the remarks.

        folders   where it is expected, nearest first
        place     the annotation that names it
        anywhere  False where images of many folders have one name: then it is in `folders` alone
        """
        if "\0" in name or len(name) > _LONGEST_NAME:
            self._remarks.problem(place, "its image file must have a possible name", got=name[:80])
            return None
        file = self._first(folders, [name])
        if file is None:
            file = self._first(folders, list(other_spellings(name)))
            self._count(file, "images found under another spelling of their name", place, name)
        if file is None and anywhere:
            file = self._by_base_name(name, folders)
            self._count(file, "images found by their base name alone", place, name)
        if file is None:
            self.miss(name, folders)
            self._remarks.problem(place, self._missing(name, folders, anywhere), got=name)
            return None
        self._named.append(_path_hash(file))
        return file

    def miss(self, name: str, folders: Iterable[Path]) -> None:
        """Remembers an image that labels name and that is in none of these folders."""
        self._missing_names.append(name)
        self._folders_of_missing.update(folders)

    @property
    def renamed_words(self) -> str:
        """A sentence on images that no label names, where others are missing: they may be these,
        renamed. Call it after all labels are read.

        "" if no image is missing, or no other one is there.
        """
        unnamed = self._ids_without_label()
        if not unnamed:
            return ""
        listed = ", ".join(unnamed[:_MOST_LISTED])
        if len(unnamed) == 1:
            return f"1 image that no label names may be a missing one, renamed: {listed}."
        more = len(unnamed) - _MOST_LISTED
        ending = f" and {more} more" if more > 0 else ""
        images = f"{len(unnamed)} images that no label names"
        return f"{images} may be missing ones, renamed: {listed}{ending}."

    def _ids_without_label(self) -> list[str]:
        """The ids of images that no label names; those that are called like missing ones first."""
        if not self._missing_names:
            return []
        stem_of = {}
        for file in self._files_without_label():
            stem_of[self.id_of(file)] = file.stem
        stems = list(stem_of.values())[:_MOST_COMPARED]
        near = []
        for name in self._missing_names[:_MOST_LISTED]:
            near += get_close_matches(Path(base_names(name)[-1]).stem, stems, n=1)
        return sorted(stem_of, key=lambda image_id: stem_of[image_id] not in near)

    def _files_without_label(self) -> list[Path]:
        """The images that no label names, beside others or where missing ones were looked for.

        Other folders hold masks and the like.
        """
        hashes = set(self._named)
        folders = set(self._folders_of_missing)
        unnamed = []
        for file in sorted(chain.from_iterable(self._by_name.values())):
            if _path_hash(file) in hashes:
                folders.add(file.parent)
            else:
                unnamed.append(file)
        return [file for file in unnamed if file.parent in folders]

    def with_stem(self, stem: str, folders: Iterable[Path]) -> Path | None:
        """The image file whose name without ending is `stem`, in the first folder that has one.

        Without any it is the only one of that name in another case, or in other Unicode. It then
        counts as named by a label.
        """
        file = self._with_stem(stem, list(folders))
        if file is not None:
            self._named.append(_path_hash(file))
        return file

    def _with_stem(self, stem: str, candidates: Sequence[Path]) -> Path | None:
        for folder in candidates:
            names = self._by_stem(folder).get(stem, [])
            if len(names) > 1:
                event = "images of one name with several endings, of which the first is read"
                self._remarks.count(event, f"{self.id_of(folder / names[0])} and {names[1]}")
            if names:
                return folder / names[0]
        for folder in candidates:
            names = self._by_plain_stem(folder).get(plain(stem), [])
            if len(names) == 1:
                return folder / names[0]
        return None

    def in_folder(self, folder: Path) -> list[Path]:
        """The image files in a folder, sorted; [] for a folder that does not exist."""
        return [folder / name for names in self._by_stem(folder).values() for name in names]

    def holds(self, path: Path) -> bool:
        """True for a file that exists within the dataset, of any kind; it counts as named then."""
        is_held = self._holds(path)
        if is_held:
            self._named.append(_path_hash(path))
        return is_held

    def _holds(self, path: Path) -> bool:
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

    def of_base_name(self, name: str) -> list[Path]:
        """The image files in the dataset that have this base name, in any case."""
        return self._by_name.get(plain(name), [])

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
        for name in filter(is_possible, names):
            for folder in folders:
                path = folder / name
                if self._holds(path):
                    return Path(os.path.normpath(path)) if ".." in path.parts else path
        return None

    def _is_inside(self, path: Path) -> bool:
        """True if a path lies in the dataset's folder, wherever links lead."""
        real = self._real_path(path)
        if os.path.islink(real):
            real = os.path.realpath(real)
        return self._is_below_root(real)

    def _is_link_outside(self, path: Path) -> bool:
        """True if a file is in the dataset's folder only by a link, its own or one of a folder."""
        lies_below = Path(os.path.normpath(path)).is_relative_to(self.root)
        return lies_below and os.path.lexists(path) and not self._is_inside(path)

    def _real_path(self, path: Path) -> str:
        """A path without the links of its folders; it may itself be a link."""
        folder, name = os.path.split(path)
        return os.path.join(self._real_folder(folder), name)

    def _is_below_root(self, real: str) -> bool:
        return real.startswith(self._real_root + os.sep)

    def _by_base_name(self, name: str, folders: Sequence[Path]) -> Path | None:
        """The only file under the root that has the base name, in any case; else None.

        Of several it is the one that has most of the name's folders too. It is none of another
        split: images of train and val may have the same names.
        """
        splits = self.splits_of(folders) | _splits_of(Path(local_part(name)).parts[:-1])
        for namesakes in self._namesakes(name):
            files = [
                file for file in namesakes if not splits or self.splits_of([file.parent]) <= splits
            ]
            end_of = {file: shared_end(local_part(name), file.as_posix()) for file in files}
            longest = [file for file in files if end_of[file] == max(end_of.values())]
            if len(longest) == 1:
                return longest[0]
        return None

    def _namesakes(self, name: str) -> Iterator[list[Path]]:
        """The files under the root that have one of the base names that a name may mean."""
        bases = base_names(name)
        for base in bases:
            files = self._by_name.get(plain(base), [])
            if not files and is_uploaded(bases[0]):
                files = self._by_uploaded_name.get(plain(base), [])
            yield files

    def splits_of(self, folders: Iterable[Path]) -> set[str]:
        """The splits that folders in the dataset are named for."""
        inside = [folder for folder in folders if folder.is_relative_to(self.root)]
        return _splits_of(part for folder in inside for part in folder.relative_to(self.root).parts)

    def _missing(self, name: str, folders: Sequence[Path], anywhere: bool) -> str:
        if any(self._is_link_outside(folder / name) for folder in folders):
            return "its image file is a link that leads outside the dataset's folder; copy it there"
        for files in self._namesakes(name) if anywhere else ():
            others = [self.id_of(file) for file in files]
            if len(files) > 1:
                listed = f"{len(files)} others have its base name: {', '.join(others[:2])}"
                return f"its image file does not exist, and {listed}"
            if files:
                return (
                    f"its image file does not exist; {others[0]} is in the folder of another split"
                )
        outside = [folder for folder in folders if not self._is_inside(folder / name)]
        if len(outside) == len(folders):
            place = "the dataset's folder, links included"
            return f"its image file must lie in {place}, and no file of its name does"
        looked = ", ".join(dict.fromkeys(self._from_parent(folder) for folder in folders))
        return f"its image file does not exist (looked in {looked})"

    def _from_parent(self, folder: Path) -> str:
        return os.path.relpath(folder, self.root.parent)

    def _count(self, file: Path | None, event: str, place: str, name: str) -> None:
        if file is not None:
            self._remarks.count(event, f"{place}, {name!r} is {self.id_of(file)!r}")

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """All image files under the root by their plain base name."""
        files: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in sorted(names):
                path = Path(folder, name)
                if _is_image(name) and self._is_inside(path) and path.is_file():
                    files.setdefault(plain(name), []).append(path)
        return files

    @cached_property
    def _by_uploaded_name(self) -> dict[str, list[Path]]:
        """The same by the name that Label Studio gives an upload: "foto_9.jpg" for "Foto 9.jpg"."""
        files: dict[str, list[Path]] = {}
        for name, of_name in self._by_name.items():
            files.setdefault(as_uploaded(name), []).extend(of_name)
        return files

    @cache  # noqa: B019 - as long as one dataset is read
    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        """Names of the image files in a folder, by their stem; inside the dataset alone."""
        names: dict[str, list[str]] = {}
        if not is_possible(str(folder)) or not folder.is_dir() or not self._is_inside(folder / "x"):
            return names
        with os.scandir(folder) as entries:
            files = sorted(entry.name for entry in entries if _is_image_file(entry))
        for name in files:
            if self._is_inside(folder / name):
                names.setdefault(Path(name).stem, []).append(name)
        return names

    @cache  # noqa: B019 - as long as one dataset is read
    def _by_plain_stem(self, folder: Path) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for stem, of_stem in self._by_stem(folder).items():
            names.setdefault(plain(stem), []).extend(of_stem)
        return names


def _path_hash(path: Path) -> int:
    """A hash of a path. Two paths that share one only leave an image out of a message."""
    text = str(path)
    return hash(os.path.normpath(text) if ".." in text else text)


def _splits_of(names: Iterable[str]) -> set[str]:
    return {split for name in names for split in splits_named(name)}


def is_hidden(name: str) -> bool:
    """True for what a Mac puts beside files, and for other hidden files."""
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _is_image_file(entry: os.DirEntry[str]) -> bool:
    """False for folders and pipes that are named like images: a pipe would be read for ever."""
    return _is_image(entry.name) and entry.is_file()
