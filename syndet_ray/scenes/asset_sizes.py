"""Asset sizes: metres per unit of each asset, given or guessed, and whether one tray shows all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from syndet_ray.errors import DataError
from syndet_ray.scenes import units
from syndet_ray.scenes.asset_part import AssetPart
from syndet_ray.scenes.asset_settings import LARGEST_M, SIZE_M, SMALLEST_M, AssetSettings
from syndet_ray.scenes.library import Asset, Library, Mesh


def mesh_scale(mesh: Mesh, file: Path, part: AssetPart, class_name: str) -> float:
    """Metres per unit of a mesh's vertices; 1 if it must be guessed.

    Raises DataError for a size that no object of a photo has.
    """
    settings, longest = part.settings, mesh.length
    unit = settings.unit_of(class_name)
    if unit is None:
        return 1.0
    if unit == "normalised":
        return normalised_scale(mesh, part, class_name, front=False)
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


def normalised_scale(mesh: Mesh, part: AssetPart, class_name: str, *, front: bool) -> float:
    """Metres per unit of the vertices of a mesh whose own size does not matter."""
    if part.settings.has_size:
        return part.settings.size_of(class_name) / mesh.length
    part.has_equal_sizes = True
    return SIZE_M / units.apparent_size(mesh, front=front)


def in_metres(
    assets: dict[str, Asset], classes: Sequence[str], part: AssetPart
) -> dict[str, Asset]:
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
    part.size_error = _size_error(_lengths(sized, classes), part)
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


def _size_error(lengths_m: units.Lengths, part: AssetPart) -> DataError | None:
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
    if arrangement == "tray" and library.size_error is not None:
        raise library.size_error
