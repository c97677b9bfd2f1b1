"""Assets: folders of meshes, cut-outs and background images, read into a Library.

    WHERE/assets.json            optional: {"unit": ..., "size_m": ..., "open": ...}
    WHERE/<class>/**.glb         a mesh: GLB, OBJ, PLY or STL
    WHERE/<class>/**.png         a cut-out: PNG with transparency, or a picture with NAME_mask.png
                                 or NAME.json beside it

unit is "normalised", the default: a mesh's longest side is size_m long; or "metres" or
"millimetres", what the numbers in its file are. size_m, 0.05 unless told, holds for all classes or
by class ({"apple": 0.08}); cut-outs, which have no size of their own, are always that long. Where
open is true, meshes may have holes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from syndet_ray.data import picture
from syndet_ray.errors import DataError, nearest
from syndet_ray.files import file_hash
from syndet_ray.scenes import cutouts, meshes, shapes
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.scene import NO_CLASS

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_SETTINGS = "assets.json"
_SIZE_M = 0.05
_SMALLEST_M, _LARGEST_M = 1e-4, 10.0
# of the longest sides of meshes: less is lost in how much sizes vary within scenes
_LIKE_SIZES = 1.3
_METRES = {"metres": 1.0, "millimetres": 1e-3}
_KINDS = f"Meshes are {', '.join(meshes.SUFFIXES)}; cut-outs are images."


class _Settings(BaseModel):
    """What assets.json may say. `file` is where it says it, or would."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    unit: Literal["normalised", "metres", "millimetres"] = "normalised"
    size_m: float | dict[str, float] = _SIZE_M
    open: bool = False
    _file: Path = PrivateAttr(default=Path(_SETTINGS))

    @property
    def file(self) -> Path:
        return self._file

    @property
    def makes_all_equally_long(self) -> bool:
        """Whether all meshes are drawn equally long, and nobody has asked for that."""
        return "unit" not in self.model_fields_set and not isinstance(self.size_m, dict)

    def size_of(self, name: str) -> float:
        return self.size_m.get(name, _SIZE_M) if isinstance(self.size_m, dict) else self.size_m


@cache
def load(where: str, surroundings: str = "shapes", backgrounds: str = "") -> Library:
    """The library of the classes in a folder, or of the built-in "dice", and of what surrounds
    them.

    surroundings is "shapes", the built-in ones, or a folder of meshes and cut-outs without classes,
    or "" for none; backgrounds is a folder of images or "". It is read once per process. Its hash
    is over the names and bytes of all files read, its hashes are over those of each part. Raises
    DataError for folders and files that cannot be used.
    """
    files: dict[str, dict[str, Path]] = {"assets": {}, "surroundings": {}, "backgrounds": {}}
    classes, assets, notes = (
        (CLASSES, {}, ()) if where == "dice" else _classes(_folder(where), files["assets"])
    )
    if surroundings == "shapes":
        assets |= _shapes(files["surroundings"])
    elif surroundings:
        assets |= _surroundings(_folder(surroundings), files["surroundings"])
    images = _backgrounds(_folder(backgrounds), files["backgrounds"]) if backgrounds else ()
    contents = {part: _contents(read) for part, read in files.items()}
    hashes = {part: _hash((), of_part) for part, of_part in contents.items()}
    whole = contents["assets"] | contents["surroundings"] | contents["backgrounds"]
    return Library(
        classes=classes,
        assets=assets,
        backgrounds=images,
        hash=_hash(classes, whole),
        hashes=hashes,
        notes=notes,
    )


def _classes(
    folder: Path, read: dict[str, Path]
) -> tuple[tuple[str, ...], dict[str, Asset], tuple[str, ...]]:
    """The classes, their assets, and what a reader should know of their sizes; what was read is
    added to `read`.
    """
    folders = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )
    if len(folders) < 2:
        rule = "a folder of assets must hold two classes or more, each a folder that has the name of the class"
        do = "Give each class a folder; what is not to be found belongs into a folder of surroundings."
        raise DataError(folder, rule, got=[path.name for path in folders], do=do)
    for path in folders:
        _check_settings_above(path, folder)
    classes = tuple(path.name for path in folders)
    settings = _settings(folder, classes, read)
    assets: dict[str, Asset] = {}
    for label, path in enumerate(folders):
        assets |= _assets(path, f"{path.name}/", label, settings, read)
    return classes, assets, _notes_on_sizes(assets.values(), settings)


def _check_settings_above(class_folder: Path, folder: Path) -> None:
    """Raises DataError for an assets.json in the folder of a class, where nothing it says would
    count.

    One beside a picture of its name says what of that is the thing.
    """
    for file in _files(class_folder):
        is_of_a_picture = any(file.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)
        if file.name == _SETTINGS and not is_of_a_picture:
            rule = "holds for all classes, and cannot stand in the folder of one"
            raise DataError(file, rule, do=f"Move it to {(folder / _SETTINGS).absolute()}.")


def _notes_on_sizes(assets: Iterable[Asset], settings: _Settings) -> tuple[str, ...]:
    """A note where meshes are of different sizes in their files, and are drawn equally long for
    want of a unit.
    """
    longest = [asset.mesh.length for asset in assets if not asset.picture]
    if not longest or not settings.makes_all_equally_long:
        return ()
    least, most = min(longest), max(longest)
    if most <= _LIKE_SIZES * least:
        return ()
    keep = '{"unit": "metres"} or {"unit": "millimetres"}'
    return (
        f"the longest sides of meshes are {least:.3g} to {most:.3g} in their files, and all are drawn equally long: "
        f'{keep} in {settings.file} keeps their sizes, {{"unit": "normalised"}} says that it is meant',
    )


def _surroundings(folder: Path, read: dict[str, Path]) -> dict[str, Asset]:
    return _assets(folder, "surroundings:", NO_CLASS, _settings(folder, (), read), read)


def _shapes(read: dict[str, Path]) -> dict[str, Asset]:
    read["shapes"] = Path(shapes.__file__)  # they are what their code says
    return {
        f"shapes/{i}": Asset(label=NO_CLASS, mesh=mesh, scale=_SIZE_M)
        for i, mesh in enumerate(shapes.shapes())
    }


def _assets(
    folder: Path, prefix: str, label: int, settings: _Settings, read: dict[str, Path]
) -> dict[str, Asset]:
    """All meshes and cut-outs in a folder and below it, by prefix and path; what was read is added
    to `read`.
    """
    files = list(_files(folder))
    models = {
        file: meshes.references(file) for file in files if file.suffix.lower() in meshes.SUFFIXES
    }
    textures = {file.resolve() for found in models.values() for file in found}
    pictures = [file for file in files if _is_image(file) and file.resolve() not in textures]
    masks = {cutouts.beside(file) for file in pictures}
    assets = {}
    for file in files:
        name = prefix + file.relative_to(folder).as_posix()
        if file in models:
            mesh = meshes.read(file, may_be_open=settings.open, settings=settings.file)
            assets[name] = Asset(
                label=label, mesh=mesh, scale=_scale(mesh, file, settings, folder.name)
            )
            parts = [file, *models[file]]
        elif file in pictures and file not in masks:
            assets[name] = Asset(
                label=label,
                mesh=cutouts.read(file),
                scale=settings.size_of(folder.name),
                picture=True,
            )
            parts = [file, *filter(None, [cutouts.beside(file)])]
        else:
            continue
        read |= {f"{name}|{k}": part for k, part in enumerate(parts)}
    if not assets:
        raise DataError(
            folder, "holds no mesh and no cut-out", got=[file.name for file in files][:8], do=_KINDS
        )
    return assets


def _scale(mesh: Mesh, file: Path, settings: _Settings, class_name: str) -> float:
    """Metres per unit of a mesh's vertices.

    Raises DataError for a size that no object of a photo has.
    """
    longest = mesh.length
    if settings.unit == "normalised":
        return settings.size_of(class_name) / longest
    scale = _METRES[settings.unit]
    if not _SMALLEST_M <= longest * scale <= _LARGEST_M:
        rule = f"its longest side must be {_SMALLEST_M} to {_LARGEST_M:.0f} m"
        if longest * scale > _LARGEST_M and settings.unit == "metres":
            rule += "; mesh units look like millimetres"
        do = f'Set another "unit" in {settings.file}: "metres", "millimetres" or "normalised".'
        raise DataError(file, rule, got=float(f"{longest * scale:.3g}"), do=do)
    return scale


def _settings(folder: Path, classes: tuple[str, ...], read: dict[str, Path]) -> _Settings:
    path = folder / _SETTINGS
    settings = _said(path) if path.is_file() else _Settings()
    settings._file = path.absolute()
    if not path.is_file():
        return settings
    read[f"{path.name} of {'classes' if classes else 'surroundings'}"] = path
    sizes = settings.size_m if isinstance(settings.size_m, dict) else {"all": settings.size_m}
    for name, size in sizes.items():
        if isinstance(settings.size_m, dict) and name not in classes:
            raise DataError(
                path, "size_m names a class that is no folder", got=name, do=nearest(name, classes)
            )
        if not _SMALLEST_M <= size <= _LARGEST_M:
            raise DataError(
                path, f"size_m must be {_SMALLEST_M} to {_LARGEST_M:.0f} metres", got=size
            )
    return settings


def _said(path: Path) -> _Settings:
    """What an assets.json says. Raises DataError for what it may not say."""
    try:
        return _Settings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        do = 'It may hold "unit" ("normalised", "metres" or "millimetres"), "size_m" (metres) and "open".'
        raise DataError(path, f"{place}: {found['msg']}", got=found["input"], do=do) from None


def _backgrounds(folder: Path, read: dict[str, Path]) -> tuple[str, ...]:
    images = [file.absolute() for file in _files(folder) if _is_image(file)]
    if not images:
        got = sorted(path.name for path in folder.iterdir())[:8]
        raise DataError(
            folder,
            "holds no images for backgrounds",
            got=got,
            do=f"Known: {', '.join(IMAGE_SUFFIXES)}.",
        )
    for image in images:
        picture.header(image, str(image))
        read[f"background:{image.relative_to(folder.absolute()).as_posix()}"] = image
    return tuple(map(str, images))


def _folder(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        rule = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(path, rule, do="Give a folder, or the name of what is built in.")
    return folder


def _files(folder: Path) -> Iterator[Path]:
    """All files in a folder and below it, in order, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            yield path


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _contents(read: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {name: file_hash(path) for name, path in read.items()}


def _hash(classes: tuple[str, ...], contents: Mapping[str, str]) -> str:
    """SHA-256 over names and contents, wherever the files lie."""
    digest = hashlib.sha256("/".join(classes).encode())
    for name, content in sorted(contents.items()):
        digest.update(f"\n{name} {content}".encode())
    return digest.hexdigest()
