"""Neighbours: finds materials and textures by the names that mesh files have for them."""

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

# Options such as "-s 1 1 1" stand before a texture's name.
_OPTIONS = re.compile(r"^(?:-\w+(?:\s+(?:-?[\d.]+(?:e-?\d+)?|on|off))*\s+)+", re.IGNORECASE)
_LIBRARY_SUFFIX = re.compile(r"(?<=\.mtl)\s+", re.IGNORECASE)


class Neighbours:
    """The files below a folder, as a mesh file in it names them.

    A name is tried as it stands, with `%20` and backslashes read as spaces and slashes, and last
    by its base name in any case, where one file alone below the folder has it: downloads name
    textures by paths of another computer. What lies outside the folder is never read, unless a
    link in it leads there. trimesh asks it for the content of materials and textures.
    """

    def __init__(self, mesh_file: Path, root: Path) -> None:
        self._folder = mesh_file.parent
        self._root = root

    @cached_property
    def _files(self) -> list[Path]:
        return below(self._root)

    def find(self, name: str) -> Path:
        """The file of this name; it may not exist, then it lies next to the mesh."""
        for spelling in (name, unquote(name)):
            relative = spelling.replace("\\", "/")
            path = Path(os.path.normpath(self._folder / relative))
            is_inside = path.is_relative_to(os.path.normpath(self._root))
            if is_inside and path.is_file():
                return path
        base = unquote(name).replace("\\", "/").rsplit("/", 1)[-1]
        same = [file for file in self._files if file.name.casefold() == base.casefold()]
        beside = [file for file in same if file.parent == self._folder]
        for candidates in (beside, same):
            if len(candidates) == 1:
                return candidates[0]
        return self._folder / base

    def find_texture(self, value: str) -> Path:
        """The file of a texture as an MTL file names it, after options such as "-s 1 1 1"."""
        whole = self.find(value)
        return whole if whole.is_file() else self.find(_OPTIONS.sub("", value))

    def find_libraries(self, value: str) -> list[Path]:
        """The files of the material libraries in a line of an OBJ file, which may name several."""
        whole = self.find(value)
        if whole.is_file():
            return [whole]
        return [self.find(name) for name in _LIBRARY_SUFFIX.split(value)]

    def get(self, key: str) -> bytes:
        """The content of the files of a name in a mesh file. Raises OSError."""
        if ".mtl" in key.lower():
            return b"\n".join(file.read_bytes() for file in self.find_libraries(key))
        return self.find_texture(key).read_bytes()

    def __getitem__(self, key: str) -> bytes:
        return self.get(key)


def below(folder: Path) -> list[Path]:
    """All files in a folder and below it, in order, without hidden ones; links are followed."""
    return sorted(path for path in _all_below(folder) if path.is_file())


def dead_links(folder: Path) -> list[Path]:
    """Links in a folder and below it that lead to nothing, in order."""
    return sorted(path for path in _all_below(folder) if not path.exists())


def _all_below(folder: Path) -> Iterator[Path]:
    """All in a folder and below it that is no folder. A link that leads to a folder above is not
    followed: what else lies there, such as another class, is not below.
    """
    parent = folder.absolute().parent.resolve()
    above = {*folder.resolve().parents, parent, *parent.parents}
    return _walk(folder, visited=above - {folder.resolve()})


def _walk(folder: Path, visited: set[Path]) -> Iterator[Path]:
    """All in a folder and below it that is no folder."""
    place = folder.resolve()
    if place in visited:  # a link that leads back to where it lies, or above
        return
    visited.add(place)
    # Folders before links to them: files have the same paths on every machine.
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path.name)):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, visited)
        else:
            yield path
