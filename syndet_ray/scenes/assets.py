"""Assets: reads folders of meshes, cut-outs and background images into a Library.

    FOLDER/assets.json            optional, see `asset_settings`
    FOLDER/<class>/**.glb         a mesh: GLB, glTF, OBJ, PLY or STL
    FOLDER/<class>/**.png         a cut-out: PNG with transparency, or an image next to which lies
                                  NAME_mask.png or NAME.json

`folder_names` says which class a folder has.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from syndet_ray.data.backgrounds import LEAST_PX
from syndet_ray.data.images import picture
from syndet_ray.errors import DataError
from syndet_ray.files import file_hash, reading
from syndet_ray.folder_names import is_aside, name_of
from syndet_ray.scenes import cutouts, meshes, shapes, units
from syndet_ray.scenes.asset_settings import (
    LARGEST_M,
    SETTINGS_FILE,
    SIZE_M,
    SMALLEST_M,
    AssetSettings,
    read_settings,
)
from syndet_ray.scenes.board_sizes import misfit_board, read_boards
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.library import Asset, Library, Mesh
from syndet_ray.scenes.neighbours import below, dead_links
from syndet_ray.scenes.scene import NO_CLASS
from syndet_ray.scenes.sensor import DISPLAY_POWER

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_KINDS = f"Meshes are {', '.join(meshes.SUFFIXES)}; cut-outs are images."
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
_MOST_NAMED = 8  # files in a message: enough to see what kind of folder it is
_TEXTURE_FOLDERS = ("maps", "texture", "textures")


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


@dataclass(kw_only=True)
class _Part:
    """Files and meshes of one part of a library.

    files     by the name under which their content is hashed
    models    by the name of an asset, of meshes
    settings  of its assets.json
    units     guessed, by class
    lengths   of the meshes of these classes, in the numbers of their files
    has_equal_sizes  True if any assets are made to look equally large
    mixed_sizes      the error for sizes that no tray shows side by side
    """

    files: dict[str, Path] = field(default_factory=dict)
    models: dict[str, meshes.Model] = field(default_factory=dict)
    settings: AssetSettings = field(default_factory=AssetSettings)
    units: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, list[float]] = field(default_factory=dict)
    has_equal_sizes: bool = False
    mixed_sizes: DataError | None = None

    @property
    def guesses(self) -> dict[str, str]:
        """The guesses on which scenes depend beside files, by a name, for the hash."""
        guesses = {f"unit of {name}": unit for name, unit in self.units.items()}
        return guesses | ({"sizes": "alike"} if self.has_equal_sizes else {})

    def notes(self) -> Iterator[str]:
        """The units that were guessed, and counts of what is surprising about the meshes."""
        if self.units:
            yield (
                "no unit is given for meshes: they are taken as "
                f"{units.guess_words(self.units, self.lengths)}; "
                f'{{"unit": ...}} in {self.settings.file} gives another one, and "normalised" '
                "makes all equally large"
            )
        open_names = [name for name, model in self.models.items() if model.open_edges]
        if open_names and not self.settings.open:
            edges = self.models[open_names[0]].open_edges
            yield (
                f"{len(open_names)} of {len(self.models)} meshes have holes, the first is "
                f"{open_names[0]} ({edges} edges with a face on one side only): their inside is "
                f'rendered like their outside; {{"open": true}} in {self.settings.file} says that '
                "this is intended"
            )
        blended = [name for name, model in self.models.items() if model.is_blended]
        if blended:
            yield (
                f"{len(blended)} of {len(self.models)} meshes have parts that light shines "
                f"through, the first is {blended[0]}: what is more than half transparent is cut "
                "away, the rest is rendered opaque"
            )


def _load(objects: str, surroundings: str, backgrounds: str) -> Library:
    parts = {part: _Part() for part in ("assets", "surroundings", "backgrounds")}
    classes: tuple[str, ...] = CLASSES
    assets: dict[str, Asset] = {}
    if objects != "dice":
        classes, assets = _classes(_folder(objects), parts["assets"])
    if surroundings == "shapes":
        assets |= _shapes(parts["surroundings"])
    elif surroundings:
        assets |= _surroundings(_folder(surroundings), parts["surroundings"])
    images: tuple[str, ...] = ()
    boards: dict[str, tuple[float, float]] = {}
    if backgrounds:
        images, boards = _backgrounds(_folder(backgrounds), parts["backgrounds"])
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
        mixed_sizes=parts["assets"].mixed_sizes,
    )
    return replace(library, mixed_sizes=library.mixed_sizes or misfit_board(library))


def _classes(folder: Path, part: _Part) -> tuple[tuple[str, ...], dict[str, Asset]]:
    """The classes and their assets; what is read is added to `part`."""
    paths = [path for path in sorted(folder.iterdir()) if not is_aside(path.name)]
    # a class, or the settings of all, would be missing without a word
    _check_links(path for path in paths if not path.exists())
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        raise _no_classes(folder)
    for path in folders:
        _check_settings_above(path, folder)
    classes = tuple(name_of(path.name) for path in folders)
    part.settings = read_settings(folder, classes, part.files)
    assets: dict[str, Asset] = {}
    for label, path in enumerate(folders):
        assets |= _assets(path, f"{path.name}/", label, part)
    return classes, _in_metres(assets, classes, part)


def _check_links(dead: Iterable[Path]) -> None:
    """Raises DataError for a link that leads to nothing."""
    for link in dead:
        rule = "is a link to a file that does not exist"
        raise DataError(link, rule, got=str(link.readlink()), do="Correct it, or remove it.")


def _no_classes(folder: Path) -> DataError:
    """An error for a folder of assets without folders of classes."""
    rule = "a folder of assets must hold folders, each with the name of a class"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    models = [name for name in names if Path(name).suffix.lower() in meshes.SUFFIXES]
    do = "Give each class a folder, which holds its meshes or cut-outs"
    if models:
        do += f": move {models[0]} to {folder / Path(models[0]).stem / models[0]}"
    return DataError(folder, rule, got=names[:_MOST_NAMED], do=f"{do}.")


def _check_settings_above(class_folder: Path, folder: Path) -> None:
    """Raises DataError for an assets.json in the folder of a class, where it has no effect.

    Next to an image of the same name it is a polygon, see `cutouts`.
    """
    for file in below(class_folder):
        is_polygon = any(file.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)
        if file.name == SETTINGS_FILE and not is_polygon:
            rule = "holds for all classes, and cannot lie in the folder of one"
            raise DataError(file, rule, do=f"Move it to {(folder / SETTINGS_FILE).absolute()}.")


def _in_metres(assets: dict[str, Asset], classes: Sequence[str], part: _Part) -> dict[str, Asset]:
    """The assets, in the units that are guessed for classes without one.

    What is guessed is added to `part`, and the error for classes that are too large or too small
    beside the others. Raises DataError for classes of no sensible size in any unit.
    """
    settings = part.settings
    solid = {name: asset for name, asset in assets.items() if not asset.picture}
    for name, lengths in _lengths(solid, classes).items():
        if settings.unit_of(name) is None:
            part.lengths[name] = lengths
    part.units = _guess(part.lengths, settings) if part.lengths else {}
    sized = dict(assets)
    for name, asset in solid.items():
        unit = part.units.get(classes[asset.label])
        if unit is not None:
            sized[name] = replace(asset, scale=units.METRES[unit])
    pictures = assets.keys() - solid.keys()
    if solid and pictures and not settings.has_size:
        enlarged = _median_apparent_m([sized[name] for name in solid]) / SIZE_M
        for name in pictures:
            sized[name] = replace(sized[name], scale=sized[name].scale * enlarged)
    part.mixed_sizes = _mixed_sizes(_lengths(sized, classes), part)
    return sized


def _median_apparent_m(assets: Sequence[Asset]) -> float:
    """The median size that meshes have in images, metres."""
    sizes_m = [asset.scale * units.apparent_size(asset.mesh, front=False) for asset in assets]
    return float(np.median(sizes_m))


def _lengths(assets: Mapping[str, Asset], classes: Sequence[str]) -> dict[str, list[float]]:
    """The longest sides of the assets of each class, in metres once their units are known."""
    lengths: dict[str, list[float]] = {}
    for asset in assets.values():
        lengths.setdefault(classes[asset.label], []).append(asset.length_m)
    return lengths


def _guess(lengths: units.Lengths, settings: AssetSettings) -> dict[str, str]:
    """The unit of each class. Raises DataError where one has none."""
    guesses = units.guess(lengths)
    if guesses.keys() == lengths.keys():
        return guesses
    rule = (
        "no unit is given for meshes, and none gives sensible sizes to all classes. The longest "
        f"sides in their files are: {units.class_words(lengths, units.number_words)}"
    )
    do = (
        'Export all meshes of a class in one unit, and give "unit" in this file: "metres", '
        '"millimetres" or "centimetres", for all or by class ({"unit": {"apple": "metres"}}); '
        '"normalised" makes all equally large.'
    )
    raise DataError(settings.file, rule, do=do)


def _mixed_sizes(lengths_m: units.Lengths, part: _Part) -> DataError | None:
    """An error for classes that are too large or too small beside the others, or None."""
    names = units.classes_not_shown(lengths_m)
    if not names:
        return None
    others = {name: of_class for name, of_class in lengths_m.items() if name not in names}
    rule = (
        f"a tray shows objects {units.shown_words(lengths_m)}, and not "
        f"{units.class_words({name: lengths_m[name] for name in names}, units.length_words)}"
    )
    if others:
        rule += f" beside {units.class_words(others, units.length_words)}"
    if part.units:
        guessed = " and ".join(sorted(set(part.units.values())))
        rule += f"; no unit is given, and {guessed} were guessed"
    do = (
        'Correct "unit" or "size_m" in this file, for all or by class, or leave these out; '
        '{"unit": "normalised"} makes all equally large. scene.arrangement=layers draws all sizes.'
    )
    return DataError(part.settings.file, rule, do=do)


def check_sizes(library: Library, arrangement: str) -> None:
    """Raises DataError for a library whose objects no tray shows side by side, or not on a board.

    Only a tray shows them at their sizes: layers draw the size of each object, and have no boards.
    """
    if arrangement == "tray" and library.mixed_sizes is not None:
        raise library.mixed_sizes


def _surroundings(folder: Path, part: _Part) -> dict[str, Asset]:
    settings = read_settings(folder, (), part.files)
    if settings.unit is None:  # scenes give surroundings sizes of their own
        update = {"unit": "normalised", "size_m": settings.size_m}
        settings = settings.model_copy(update=update)
    part.settings = settings
    return _assets(folder, "surroundings:", NO_CLASS, part)


def _shapes(part: _Part) -> dict[str, Asset]:
    part.files["shapes"] = Path(shapes.__file__)  # their code determines them
    return {
        f"shapes/{i}": Asset(label=NO_CLASS, mesh=mesh, scale=SIZE_M)
        for i, mesh in enumerate(shapes.shapes())
    }


def _assets(folder: Path, prefix: str, label: int, part: _Part) -> dict[str, Asset]:
    """All meshes and cut-outs in a folder and below it, by prefix and path; what is read is added
    to `part`.
    """
    class_name = name_of(folder.name)
    _check_links(dead_links(folder))
    files = below(folder)
    models = [file for file in files if file.suffix.lower() in meshes.SUFFIXES]
    needed = {file: meshes.references(file, folder) for file in models}
    pictures = _cut_outs(files, needed)
    _check_foreign(folder, files, [*models, *pictures])
    assets = {}
    for file in (*models, *pictures):
        name = prefix + file.relative_to(folder).as_posix()
        if file in needed:
            model = meshes.read(file, folder)
            part.models[name] = model
            mesh = _with_settings(model.mesh, file, part.settings, class_name)
            scale = _scale(mesh, file, part, class_name)
            pose = part.settings.pose_of(class_name)
            assets[name] = Asset(label=label, mesh=mesh, scale=scale, pose=pose)
            read = [file, *needed[file]]
        else:
            mesh = cutouts.read(file)
            scale = _normalised_scale(mesh, part, class_name, front=True)
            assets[name] = Asset(label=label, mesh=mesh, scale=scale, picture=True)
            read = [file, *filter(None, [cutouts.shape_file(file)])]
        part.files |= {f"{name}|{k}": path for k, path in enumerate(read)}
    if not assets:
        got = [file.name for file in files][:_MOST_NAMED]
        raise DataError(folder, "holds no mesh and no cut-out", got=got, do=_KINDS)
    return {name: assets[name] for name in sorted(assets)}


def _cut_outs(files: Sequence[Path], needed: Mapping[Path, list[Path]]) -> list[Path]:
    """The images that are cut-outs: no textures of meshes, and no masks of other images.

    Beside meshes a folder "textures" holds theirs, used or not.
    """
    textures = {file.resolve() for file in chain.from_iterable(needed.values())}
    images = [file for file in files if _is_image(file) and file.resolve() not in textures]
    if needed:
        images = [file for file in images if file.parent.name.lower() not in _TEXTURE_FOLDERS]
    masks = {cutouts.shape_file(file) for file in images}
    return [file for file in images if file not in masks]


def _check_foreign(folder: Path, files: Sequence[Path], assets: Sequence[Path]) -> None:
    """Raises DataError for a model of a format that is not read, unless another file of its name,
    or a mesh in its folder, shows the same object.
    """
    for file in files:
        if file.suffix.lower() not in _FOREIGN:
            continue
        has_mesh = any(asset.suffix.lower() in meshes.SUFFIXES for asset in assets)
        if not has_mesh:
            rule = f"the class {name_of(folder.name)} has a model of a format that is not read"
            do = "Export it as GLB, with its textures packed."
            raise DataError(file, rule, got=file.suffix, do=do)


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


def _scale(mesh: Mesh, file: Path, part: _Part, class_name: str) -> float:
    """Metres per unit of a mesh's vertices; 1 if it must be guessed.

    Raises DataError for a size that no object of a photo has.
    """
    settings, longest = part.settings, mesh.length
    unit = settings.unit_of(class_name)
    if unit is None:
        return 1.0
    if unit == "normalised":
        return _normalised_scale(mesh, part, class_name, front=False)
    scale = units.METRES[unit]
    if not SMALLEST_M <= longest * scale <= LARGEST_M:
        rule = f"its longest side must be {SMALLEST_M} to {LARGEST_M:.0f} m"
        if longest * scale > LARGEST_M and unit == "metres":
            rule += "; mesh units look like millimetres"
        if longest * scale < SMALLEST_M and unit == "millimetres":
            rule += "; mesh units look like metres"
        do = (
            f'Set another "unit" in {settings.file}, for all or by class: "metres", '
            '"millimetres", "centimetres" or "normalised".'
        )
        raise DataError(file, rule, got=float(f"{longest * scale:.3g}"), do=do)
    return scale


def _normalised_scale(mesh: Mesh, part: _Part, class_name: str, *, front: bool) -> float:
    """Metres per unit of the vertices of a mesh whose own size does not matter."""
    if part.settings.has_size:
        return part.settings.size_of(class_name) / mesh.length
    part.has_equal_sizes = True
    return SIZE_M / units.apparent_size(mesh, front=front)


def _backgrounds(
    folder: Path, part: _Part
) -> tuple[tuple[str, ...], dict[str, tuple[float, float]]]:
    """The images in a folder, and width and depth in metres of the boards that some of them show;
    what is read is added to `part`.
    """
    _check_links(dead_links(folder))
    images = [file.absolute() for file in below(folder) if _is_image(file)]
    if not images:
        got = sorted(path.name for path in folder.iterdir())[:_MOST_NAMED]
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


def _folder(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        rule = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(path, rule, do="Give a folder, or a built-in name.")
    return folder


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _contents(read: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {name: file_hash(path) for name, path in read.items()}


def _hash(classes: tuple[str, ...], contents: Mapping[str, str]) -> str:
    """SHA-256 over names and contents, which does not depend on the place of the files."""
    digest = hashlib.sha256("/".join(classes).encode())
    for name, content in sorted(contents.items()):
        digest.update(f"\n{name} {content}".encode())
    return digest.hexdigest()
