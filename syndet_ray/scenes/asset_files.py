"""Asset files: the folders of classes, and the meshes and cut-outs among their files."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from syndet_ray.data.images.unlabelled import SUFFIXES as IMAGE_SUFFIXES
from syndet_ray.errors import DataError
from syndet_ray.folder_names import is_aside, name_of
from syndet_ray.scenes import cutouts, meshes
from syndet_ray.scenes.asset_settings import SETTINGS_FILE
from syndet_ray.scenes.neighbours import below, dead_links

MOST_NAMED = 8  # files in a message: enough to see what kind of folder it is

# Models of other programs, which are not read: images beside them are their textures.
_FOREIGN = (
    ".3ds",
    ".blend",
    ".dae",
    ".fbx",
    ".ma",
    ".max",
    ".mb",
    ".usd",
    ".usda",
    ".usdc",
    ".usdz",
)
_TEXTURE_FOLDERS = ("maps", "texture", "textures")


def named_folder(path: str) -> Path:
    """The folder that a setting names. Raises DataError if it is none."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        rule = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(path, rule, do="Give a folder, or a built-in name.")
    return folder


def class_folders(folder: Path) -> list[Path]:
    """The folders of classes in a folder of assets or cut-outs, in order."""
    folders = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_aside(path.name):
            folders.append(path)
    return folders


def asset_folders(folder: Path) -> list[Path]:
    """The folders of classes in a folder of assets, at least one, in order.

    Raises DataError if there is none, and for settings that lie in one of them.
    """
    paths = [path for path in sorted(folder.iterdir()) if not is_aside(path.name)]
    # a class, or the settings of all, would be missing without a word
    _refuse_links(path for path in paths if not path.exists())
    folders = class_folders(folder)
    if not folders:
        raise _no_classes(folder)
    for path in folders:
        _check_settings_above(path, folder)
    return folders


def _no_classes(folder: Path) -> DataError:
    """An error for a folder of assets without folders of classes."""
    rule = "a folder of assets must hold folders, each with the name of a class"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    models = [name for name in names if Path(name).suffix.lower() in meshes.SUFFIXES]
    do = "Give each class a folder, which holds its meshes or cut-outs"
    if models:
        do += f": move {models[0]} to {folder / Path(models[0]).stem / models[0]}"
    return DataError(folder, rule, got=names[:MOST_NAMED], do=f"{do}.")


def _check_settings_above(class_folder: Path, folder: Path) -> None:
    """Raises DataError for an assets.json in the folder of a class, where it has no effect.

    Next to an image of the same name it is a polygon, see `cutouts`.
    """
    for file in below(class_folder):
        is_polygon = any(file.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)
        if file.name == SETTINGS_FILE and not is_polygon:
            rule = "holds for all classes, and cannot lie in the folder of one"
            raise DataError(file, rule, do=f"Move it to {(folder / SETTINGS_FILE).absolute()}.")


def check_links(folder: Path) -> None:
    """Raises DataError for a link in a folder that leads to nothing."""
    _refuse_links(dead_links(folder))


def _refuse_links(links: Iterable[Path]) -> None:
    for link in links:
        rule = "is a link to a file that does not exist"
        raise DataError(link, rule, got=str(link.readlink()), do="Correct it, or remove it.")


def mesh_files(files: Sequence[Path]) -> list[Path]:
    """The meshes among files."""
    return [file for file in files if file.suffix.lower() in meshes.SUFFIXES]


def cut_out_files(files: Sequence[Path], needed: Mapping[Path, list[Path]]) -> list[Path]:
    """The images that are cut-outs: no textures of meshes, and no masks of other images.

    Beside meshes a folder "textures" holds theirs, used or not.

    needed  the textures and other files that each mesh among the files is read from
    """
    textures = {file.resolve() for file in chain.from_iterable(needed.values())}
    images = [file for file in files if is_image(file) and file.resolve() not in textures]
    if needed:
        images = [file for file in images if file.parent.name.lower() not in _TEXTURE_FOLDERS]
    masks = {cutouts.shape_file(file) for file in images}
    return [file for file in images if file not in masks]


def check_foreign(folder: Path, files: Sequence[Path]) -> None:
    """Raises DataError for a model of a format that is not read, in the folder of a class without
    meshes. Beside meshes it may be what they were exported from.
    """
    if mesh_files(files):
        return
    for file in files:
        if file.suffix.lower() in _FOREIGN:
            rule = f"the class {name_of(folder.name)} has a model of a format that is not read"
            do = "Export it as GLB, with its textures packed."
            raise DataError(file, rule, got=file.suffix, do=do)


def is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES
