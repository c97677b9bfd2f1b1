"""Assets: reads folders of meshes, cut-outs and background images into a Library.

    FOLDER/assets.json            optional, see `asset_settings`
    FOLDER/<class>/**.glb         a mesh: GLB, glTF, OBJ, PLY or STL
    FOLDER/<class>/**.png         a cut-out: PNG with transparency, or an image next to which lies
                                  NAME_mask.png or NAME.json

`folder_names` says which class a folder has.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from syndet_ray.errors import DataError
from syndet_ray.files import file_hash, reading
from syndet_ray.folder_names import name_of
from syndet_ray.scenes import cutouts, meshes, shapes
from syndet_ray.scenes.asset_files import (
    MOST_NAMED,
    asset_folders,
    check_foreign,
    check_links,
    cut_out_files,
    mesh_files,
    named_folder,
)
from syndet_ray.scenes.asset_part import AssetPart
from syndet_ray.scenes.asset_settings import SIZE_M, AssetSettings, read_settings
from syndet_ray.scenes.asset_sizes import in_metres, mesh_scale, normalised_scale
from syndet_ray.scenes.backgrounds import read_backgrounds
from syndet_ray.scenes.board_sizes import board_error
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.neighbours import below
from syndet_ray.scenes.scene import NO_CLASS
from syndet_ray.scenes.sensor import DISPLAY_POWER

_KINDS = f"Meshes are {', '.join(meshes.SUFFIXES)}; cut-outs are images."


@cache
def load(objects: str, surroundings: str = "shapes", backgrounds: str = "") -> Library:
    """The library of the classes in a folder, or of the built-in "dice", and of their surroundings.

    surroundings is "shapes", the built-in ones, or a folder of meshes and cut-outs without classes,
    or "" for none; backgrounds is a folder of images or "". It is read once per process. Its hash
    is over the names and bytes of all files read, its hashes are over those of each part. Raises
    DataError for folders and files that cannot be used, and MachineError if the system refuses to
    read one.
    """
    with reading(Path(objects)):
        return _load(objects, surroundings, backgrounds)


def _load(objects: str, surroundings: str, backgrounds: str) -> Library:
    parts = {part: AssetPart() for part in ("assets", "surroundings", "backgrounds")}
    classes: tuple[str, ...] = CLASSES
    assets: dict[str, Asset] = {}
    if objects != "dice":
        classes, assets = _classes(named_folder(objects), parts["assets"])
    if surroundings == "shapes":
        assets |= _shapes(parts["surroundings"])
    elif surroundings:
        assets |= _surroundings(named_folder(surroundings), parts["surroundings"])
    images: tuple[str, ...] = ()
    boards: dict[str, tuple[float, float]] = {}
    if backgrounds:
        images, boards = read_backgrounds(named_folder(backgrounds), parts["backgrounds"])
    contents = {name: _contents(part.files) | part.guesses for name, part in parts.items()}
    hashes = {name: _hash((), hashes_of_files) for name, hashes_of_files in contents.items()}
    whole = contents["assets"] | contents["surroundings"] | contents["backgrounds"]
    library = Library(
        classes=classes,
        assets=assets,
        backgrounds=images,
        boards=boards,
        hash=_hash(classes, whole),
        hashes=hashes,
        notes=(*parts["assets"].notes(), *parts["surroundings"].notes()),
        size_error=parts["assets"].size_error,
    )
    return replace(library, size_error=library.size_error or board_error(library))


def _classes(folder: Path, part: AssetPart) -> tuple[tuple[str, ...], dict[str, Asset]]:
    """The classes and their assets; what is read is added to `part`."""
    folders = asset_folders(folder)
    classes = tuple(name_of(path.name) for path in folders)
    part.settings = read_settings(folder, classes, part.files)
    assets: dict[str, Asset] = {}
    for label, path in enumerate(folders):
        assets |= _assets(path, f"{path.name}/", label, part)
    return classes, in_metres(assets, classes, part)


def _surroundings(folder: Path, part: AssetPart) -> dict[str, Asset]:
    settings = read_settings(folder, (), part.files)
    if settings.unit is None:  # scenes give surroundings sizes of their own
        update = {"unit": "normalised", "size_m": settings.size_m}
        settings = settings.model_copy(update=update)
    part.settings = settings
    return _assets(folder, "surroundings:", NO_CLASS, part)


def _shapes(part: AssetPart) -> dict[str, Asset]:
    part.files["shapes"] = Path(shapes.__file__)  # their code determines them
    return {
        f"shapes/{i}": Asset(label=NO_CLASS, mesh=mesh, scale=SIZE_M)
        for i, mesh in enumerate(shapes.shapes())
    }


def _assets(folder: Path, prefix: str, label: int, part: AssetPart) -> dict[str, Asset]:
    """All meshes and cut-outs in a folder and below it, by prefix and path; what is read is added
    to `part`.
    """
    class_name = name_of(folder.name)
    check_links(folder)
    files = below(folder)
    models = mesh_files(files)
    needed = {file: meshes.references(file, folder) for file in models}
    pictures = cut_out_files(files, needed)
    check_foreign(folder, files)
    assets = {}
    for file in (*models, *pictures):
        name = prefix + file.relative_to(folder).as_posix()
        if file in needed:
            model = meshes.read(file, folder)
            part.models[name] = model
            mesh = _with_settings(model.mesh, file, part.settings, class_name)
            scale = mesh_scale(mesh, file, part, class_name)
            pose = part.settings.pose_of(class_name)
            assets[name] = Asset(label=label, mesh=mesh, scale=scale, pose=pose)
            read = [file, *needed[file]]
        else:
            mesh = cutouts.read(file)
            scale = normalised_scale(mesh, part, class_name, front=True)
            assets[name] = Asset(label=label, mesh=mesh, scale=scale, picture=True)
            read = [file, *filter(None, [cutouts.shape_file(file)])]
        part.files |= {f"{name}|{k}": path for k, path in enumerate(read)}
    if not assets:
        got = [file.name for file in files][:MOST_NAMED]
        raise DataError(folder, "holds no mesh and no cut-out", got=got, do=_KINDS)
    return {name: assets[name] for name in sorted(assets)}


def _with_settings(mesh: Mesh, file: Path, settings: AssetSettings, class_name: str) -> Mesh:
    """A mesh with +z up, in the colour that the settings name if it has no texture."""
    if settings.up_axis_of(class_name, file) == "y":
        x, y, z = mesh.vertices.T
        mesh = replace(mesh, vertices=np.column_stack([x, -z, y]))
    color = settings.color_of(class_name)
    if color is None or mesh.texture is not None:
        return mesh
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
    linear = (srgb / 255) ** DISPLAY_POWER
    return replace(mesh, colors=np.tile(linear, (len(mesh.vertices), 1)))


def _contents(read: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {name: file_hash(path) for name, path in read.items()}


def _hash(classes: tuple[str, ...], contents: Mapping[str, str]) -> str:
    """SHA-256 over names and contents, which does not depend on the place of the files."""
    digest = hashlib.sha256("/".join(classes).encode())
    for name, content in sorted(contents.items()):
        digest.update(f"\n{name} {content}".encode())
    return digest.hexdigest()
