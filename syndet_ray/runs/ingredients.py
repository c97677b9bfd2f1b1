"""Ingredients: hashes of the files outside a sweep that its scenes are made of and that its
detectors start from.
"""

from collections.abc import Iterator
from pathlib import Path

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import NAMED_WEIGHTS
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.files import file_hash
from syndet_ray.scenes import command
from syndet_ray.scenes.needs import scene_inputs

_WEIGHTS = "detector.weights"


def weights_hashes(sweep: LoadedSweep) -> dict[str, str]:
    """SHA-256 of each file that a recipe of the sweep may start from, by its path; "" where it
    cannot be read.

    Weights that have a name, such as COCO's, are left out: they are no files of the user's.
    """
    settings = [sweep.recipe.flat(), *sweep.variants.values(), *sweep.points]
    weights = {changes[_WEIGHTS] for changes in settings if _WEIGHTS in changes}
    weights |= set(sweep.parameters.samples(_WEIGHTS))
    return {path: hash_or_nothing(path) for path in sorted(weights - set(NAMED_WEIGHTS))}


def scenes_hashes(sweep: LoadedSweep) -> dict[str, str]:
    """SHA-256 of whatever scenes of the sweep may be made of, by setting and path, as in
    "scene.assets /home/me/screws".

    Of a folder it is over the names and bytes of all files that are read of it, of a command over
    each file that it names. Raises DataError for assets that cannot be used.
    """
    return dict(sorted(_scenes_hashes(sweep)))


def hash_or_nothing(path: str) -> str:
    """The SHA-256 of a file; "" where it cannot be read."""
    try:
        return file_hash(Path(path))
    except OSError:
        return ""


def _scenes_hashes(sweep: LoadedSweep) -> Iterator[tuple[str, str]]:
    for what in scene_inputs(sweep):
        library = what.library()
        folders = {
            "assets": what.assets,
            "surroundings": what.surroundings,
            "backgrounds": what.backgrounds,
        }
        for part, folder in folders.items():
            if folder not in BUILT_IN:
                yield f"scene.{part} {folder}", library.hashes[part]
        for file in command.files_of(what.generator):
            yield f"scene.generator {file}", hash_or_nothing(file)
