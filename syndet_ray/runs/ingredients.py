"""Ingredients: hashes of the files that scenes are made from, and that trainings start with."""

from collections.abc import Iterator
from pathlib import Path

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.program import files_of
from syndet_ray.definitions.reach import programs_of
from syndet_ray.definitions.recipe import NAMED_WEIGHTS
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.files import file_hash
from syndet_ray.scenes import command
from syndet_ray.scenes.needs import paste_inputs, scene_inputs

_PROGRAM, _WEIGHTS = "detector.program", "detector.weights"


def weights_hashes(sweep: LoadedSweep) -> dict[str, str]:
    """Returns the SHA-256 of each weights file that a recipe of the sweep may start from, by path.

    It is "" for a file that cannot be read. Weights with a name, such as COCO's, are left out: they
    are not files of the user.
    """
    settings = [sweep.recipe.flat(), *sweep.variants.values(), *sweep.points]
    weights = {changes[_WEIGHTS] for changes in settings if _WEIGHTS in changes}
    weights |= set(sweep.parameters.samples(_WEIGHTS))
    return {path: hash_or_nothing(path) for path in sorted(weights - set(NAMED_WEIGHTS))}


def program_hashes(sweep: LoadedSweep) -> dict[str, str]:
    """Returns the SHA-256 of each file that training programs of the sweep are started with, by
    path; "" for one that cannot be read.
    """
    files = set[str]()
    for program in programs_of(sweep):
        files.update(files_of(program, _PROGRAM))
    return {path: hash_or_nothing(path) for path in sorted(files)}


def scenes_hashes(sweep: LoadedSweep) -> dict[str, str]:
    """Returns the SHA-256 of everything that scenes of the sweep may be made of.

    The keys are a setting and a path, as in "scene.assets /home/me/screws". The hash of a folder
    covers the names and bytes of all its files that are read. A command has one for each file that
    it names. Photos that are pasted on, with their cut-outs, are left out until a run has named
    them. Raises DataError for assets that cannot be used.
    """
    return dict(sorted(_scenes_hashes(sweep)))


def hash_or_nothing(path: str) -> str:
    """Returns the SHA-256 of a file; "" if it cannot be read."""
    try:
        return file_hash(Path(path))
    except OSError:
        return ""


def _scenes_hashes(sweep: LoadedSweep) -> Iterator[tuple[str, str]]:
    for scene in scene_inputs(sweep):
        library = scene.library()
        folders = {
            "assets": scene.assets,
            "surroundings": scene.surroundings,
            "backgrounds": scene.backgrounds,
        }
        for part, folder in folders.items():
            if folder not in BUILT_IN:
                yield f"scene.{part} {folder}", library.hashes[part]
        for file in command.files_of(scene.generator):
            yield f"scene.generator {file}", hash_or_nothing(file)
    for pasted in paste_inputs(sweep):
        if not pasted.photos:
            continue  # the run has not named them yet
        hashes = pasted.stock().hashes
        for part, folder in pasted._asdict().items():
            if folder:
                yield f"scene.{part} {folder}", hashes[part]
