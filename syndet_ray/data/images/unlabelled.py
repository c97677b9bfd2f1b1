"""Unlabelled: image files that a user names, one by one or by folder, each under a unique name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.errors import DataError
from syndet_ray.files import reading

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_LOOKED = f"Looked for files that end in {', '.join(SUFFIXES)}."


@dataclass(frozen=True)
class ImageFile:
    """name: of the files that are written about the image.

    It is unique, also on file systems that ignore upper and lower case.
    """

    path: Path
    name: str


def find(paths: Sequence[Path]) -> tuple[ImageFile, ...]:
    """The image files at paths, in the order of these; for a folder the images in it, sorted.

    Folders inside a folder are not searched. A file that is named several times counts once. Raises
    DataError for a path that does not exist, and where there is no image at all, and MachineError
    for a folder that cannot be read. Files are not opened: some may be unreadable.
    """
    files: dict[Path, Path] = {}  # by the path that links lead to
    for path in paths:
        with reading(path):
            for file in _files(path):
                files.setdefault(file.resolve(), file)
    if not files:
        place = ", ".join(map(str, paths)) or "IMAGES"
        raise DataError(place, "there are no images", do=_LOOKED)
    return tuple(_with_unique_names(files.values()))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if _is_image(file))
    if not path.exists():
        raise DataError(path, "does not exist", do="Give image files, or folders that hold them.")
    return [path]


def _is_image(file: Path) -> bool:
    """True for a file with an image's ending, unless it is hidden, such as ._x.jpg of macOS."""
    has_suffix = file.suffix.lower() in SUFFIXES
    return has_suffix and not file.name.startswith(".") and file.is_file()


def _with_unique_names(files: Iterable[Path]) -> Iterator[ImageFile]:
    """Files by their stem; the second of a stem is called <stem>-2, and so on."""
    used: set[str] = set()
    for file in files:
        name, number = file.stem, 2
        while name.casefold() in used:
            name, number = f"{file.stem}-{number}", number + 1
        used.add(name.casefold())
        yield ImageFile(path=file, name=name)
