"""Backgrounds: the images for floors in a folder, with the boards that some of them show."""

from pathlib import Path

from syndet_ray.data.backgrounds import LEAST_PX
from syndet_ray.data.images import picture
from syndet_ray.errors import DataError
from syndet_ray.scenes.asset_files import IMAGE_SUFFIXES, MOST_NAMED, check_links, is_image
from syndet_ray.scenes.asset_part import AssetPart
from syndet_ray.scenes.board_sizes import read_boards
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.neighbours import below


def read_backgrounds(
    folder: Path, part: AssetPart
) -> tuple[tuple[str, ...], dict[str, tuple[float, float]]]:
    """The images in a folder, and width and depth in metres of the boards that some of them show;
    what is read is added to `part`.
    """
    check_links(folder)
    images = [file.absolute() for file in below(folder) if is_image(file)]
    if not images:
        got = sorted(path.name for path in folder.iterdir())[:MOST_NAMED]
        do = f"Images are {', '.join(IMAGE_SUFFIXES)}."
        raise DataError(folder, "holds no images for backgrounds", got=got, do=do)
    sizes_wh = {}
    for image in images:
        name = image.relative_to(folder.absolute()).as_posix()
        sizes_wh[name] = picture.header(image, str(image)).shown_wh
        _check_size(image, sizes_wh[name])
        part.files[f"background:{name}"] = image
    boards = read_boards(folder, sizes_wh, part.files)
    by_path = {str(folder.absolute() / name): size_m for name, size_m in boards.items()}
    return tuple(map(str, images)), by_path


def _check_size(image: Path, size_wh: tuple[int, int]) -> None:
    """Raises DataError for a background that is too small."""
    if min(size_wh) < LEAST_PX:
        rule = f"a background must have at least {LEAST_PX} px on each side: it fills a floor"
        do = "Replace it by a larger image, or remove it."
        raise DataError(image, rule, got=f"{size_wh[0]} x {size_wh[1]}", do=do)


def check_backgrounds(library: Library) -> None:
    """Raises DataError for an image of a library that cannot be decoded, such as half a file.

    To load a library reads headers alone: a process that renders decodes the images it shows.
    """
    for image in library.backgrounds:
        picture.pixels(Path(image), image)
