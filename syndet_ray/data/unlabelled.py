"""Unlabelled: image files as a user names them, one by one or by folder, each once and under a name
of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_KNOWN = f"Looked for files that end in {', '.join(SUFFIXES)}."


@dataclass(frozen=True)
class ImageFile:
    """name: what is written about the image is called so; no other has it, whatever case a file
    system ignores.
    """

    path: Path
    name: str


def find(given: Sequence[Path]) -> tuple[ImageFile, ...]:
    """The files in the order given, and in place of a folder the images that lie in it, sorted; not
    in folders of it.

    A file counts once, however often it is given. Raises DataError for a path that does not exist,
    and where there is no image at all. Whether a file can be read is not looked at.
    """
    once: dict[Path, Path] = {}
    for path in (file for one in given for file in _files(one)):
        once.setdefault(path.resolve(), path)
    if not once:
        raise DataError(", ".join(map(str, given)) or "IMAGES", "there are no images", do=_KNOWN)
    return tuple(_named(once.values()))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = [
            file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
        ]
        # ._x.jpg of macOS is no image
        return sorted(file for file in inside if not file.name.startswith("."))
    if not path.exists():
        raise DataError(path, "does not exist", do="Give image files, or folders that hold them.")
    return [path]


def _named(files: Iterable[Path]) -> Iterator[ImageFile]:
    """Files by their stem; the second of a stem is called <stem>-2, and so on."""
    taken: set[str] = set()
    for file in files:
        name, number = file.stem, 2
        while name.casefold() in taken:
            name, number = f"{file.stem}-{number}", number + 1
        taken.add(name.casefold())
        yield ImageFile(file, name)
