"""Board sizes: the backgrounds.json of a folder of backgrounds says how wide boards are.

width_m is by the path of an image in the folder: the width in metres of the board that the image
shows from straight above, from border to border ({"width_m": {"chess.jpg": 0.45}}). Its depth
follows from the image's sides. Images without a width show no board.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from syndet_ray.errors import DataError, nearest
from syndet_ray.scenes.asset_settings import LARGEST_M, SMALLEST_M
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.neighbours import below
from syndet_ray.scenes.units import length_words

BOARDS_FILE = "backgrounds.json"
# Sides of boards, in objects: on smaller ones hardly anything finds a place, and of larger ones a
# picture has a few pixels for each object. Beyond both, units are probably mistaken.
_LEAST_OBJECTS, _MOST_OBJECTS = 2, 200
_EXAMPLE = '{"width_m": {"board.jpg": 0.45}}'


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    width_m: dict[str, float] = {}


def read_boards(
    folder: Path, sizes_wh: Mapping[str, tuple[int, int]], read: dict[str, Path]
) -> dict[str, tuple[float, float]]:
    """Width and depth in metres of the boards in a folder, by the paths of their images in it.

    sizes_wh  pixels of all images of the folder, by their paths in it
    read      receives the file, by a name

    Raises DataError for settings that are not allowed, such as those of an image that is not there,
    and for those in a folder below.
    """
    path = folder / BOARDS_FILE
    _check_above(path)
    if path.is_dir():
        raise DataError(path, "is a folder", do=f"Write a file such as {_EXAMPLE}.")
    if not path.is_file():
        return {}
    read[path.name] = path
    boards = {}
    for name, width_m in _parse(path).width_m.items():
        if name not in sizes_wh:
            rule = "width_m names an image that is not in this folder"
            raise DataError(path, rule, got=name, do=nearest(name, sizes_wh))
        if not SMALLEST_M <= width_m <= LARGEST_M:
            rule = f"width_m.{name} must be {SMALLEST_M} to {LARGEST_M:.0f} metres"
            raise DataError(path, rule, got=width_m)
        width_px, height_px = sizes_wh[name]
        boards[name] = (width_m, width_m * height_px / width_px)
    return boards


def board_error(library: Library) -> DataError | None:
    """An error for a board that is too small or too large for the objects, or None."""
    least_m, most_m = _LEAST_OBJECTS * library.unit_m, _MOST_OBJECTS * library.unit_m
    for image, (width_m, depth_m) in library.boards.items():
        if least_m <= min(width_m, depth_m) and max(width_m, depth_m) <= most_m:
            continue
        rule = (
            f"a board must have sides of {length_words(least_m)} to {length_words(most_m)}, which "
            f"are {_LEAST_OBJECTS} to {_MOST_OBJECTS} objects of {length_words(library.unit_m)}"
        )
        got = f"{length_words(width_m)} x {length_words(depth_m)}"
        do = f"Correct its width_m, metres, in {BOARDS_FILE}, or the sizes of the objects."
        return DataError(image, rule, got=got, do=do)
    return None


def _check_above(path: Path) -> None:
    """Raises DataError for a file of this name in a folder below, where it has no effect."""
    for file in below(path.parent):
        if file.name == path.name and file != path:
            rule = "holds for the images of all folders, and cannot lie in one of them"
            do = f"Move it to {path.absolute()}, and name images by their paths from there."
            raise DataError(file, rule, do=do)


def _parse(path: Path) -> _Settings:
    """The settings in a backgrounds.json. Raises DataError for settings that are not allowed."""
    try:
        return _Settings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        do = f'It may hold "width_m", the width in metres of boards by image: {_EXAMPLE}.'
        if not first["loc"]:
            rule = f"must be JSON such as {_EXAMPLE}: {first['msg']}"
            raise DataError(path, rule, do=do) from None
        place = ".".join(map(str, first["loc"]))
        raise DataError(path, f"{place}: {first['msg']}", got=first["input"], do=do) from None
