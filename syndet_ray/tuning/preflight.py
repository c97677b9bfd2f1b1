"""Preflight: everything that can be known to go wrong before the first GPU second is spent."""

import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import Dataset, check_classes, read
from syndet_ray.data.split import check_unseen, with_validation
from syndet_ray.data.stand_in import stand_in
from syndet_ray.data.storage import check_bucket
from syndet_ray.data.subset import check_enough
from syndet_ray.errors import DataError, MachineError
from syndet_ray.recipe import Photos, Scenes
from syndet_ray.scenes import blender, command
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import DICE
from syndet_ray.sweep import Sweep

_PACKAGES = ("syndet_ray", "ray", "torch", "torchvision", "optuna", "mlflow", "pycocotools", "numpy", "embreex")
_LEAST_FREE_BYTES = 2 * 1024**3

# What scenes are drawn with, and what they are made of: settings of scenes that name something outside the sweep.
_MADE_OF = ("generator", "assets", "surroundings", "backgrounds")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RealData:
    """The photos of a run, decoded.

    pools   "train", "val" and "test" of the user's own, or of the stand-in set
    notes   what was mended on the way
    others  training images of the other datasets that recipes draw from, by the folder that they name
    """

    pools: Mapping[str, Pool]
    path: str | None
    notes: tuple[str, ...] = ()
    others: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def stand_in(self) -> bool:
        return self.pools["test"].stand_in

    def describe(self) -> dict[str, Any]:
        """Facts for the record: by split, and of others' photos by folder. Equal hashes are equal data."""
        return {
            "path": self.path,
            "counts": _counts(self.pools),
            "objects": _objects(self.pools),
            "hashes": {name: pool.hash for name, pool in (*self.pools.items(), *self.others.items())},
            "others": {"counts": _counts(self.others), "objects": _objects(self.others)},
            "notes": list(self.notes),
        }


def real_data(path: Path | None, sweep: Sweep, progress: Progress) -> RealData:
    """The user's photos, or the stand-in set where there are none, and others' photos that the sweep's recipes name.

    All is read before any is decoded. Raises DataError for whatever cannot be used.
    """
    if path is None:
        place, dataset, classes = "the stand-in set (no --real given)", None, DICE.classes
    else:
        place, dataset = str(path), with_validation(read(path), sweep.seed)
        classes = dataset.classes
        _check_real_images(sweep, len(dataset.splits["train"]))
    check_assets(sweep, classes, place)
    others = {folder: _others_photos(folder, classes) for folder in _folders(sweep)}
    pools = stand_in(partial(progress, "decoding the stand-in set")) if dataset is None else _decoded(dataset, progress)
    _check_real_images(sweep, len(pools["train"]))
    found = {}
    for folder, other in others.items():
        found[folder] = decode(other.splits["train"], partial(progress, f"decoding {Path(folder).name}"))
        check_unseen(found[folder], {split: pools[split] for split in ("val", "test")}, folder)
    notes = [f"{folder}: {note}" for folder, other in others.items() for note in other.notes]
    return RealData(pools, None if path is None else place, (*(dataset.notes if dataset else ()), *notes), found)


def _decoded(dataset: Dataset, progress: Progress) -> dict[str, Pool]:
    return {
        split: decode(dataset.splits[split], partial(progress, f"decoding {split}"))
        for split in ("train", "val", "test")
    }


def _folders(sweep: Sweep) -> list[str]:
    """The folders of others' photos that a recipe of the sweep may ask for."""
    recipes = (sweep.recipe, *sweep.fixed.values())
    sources = (source for recipe in recipes for source in recipe.mix.sources.values())
    return list(dict.fromkeys(source.folder for source in sources if isinstance(source, Photos)))


def _others_photos(folder: str, classes: Sequence[str]) -> Dataset:
    """A dataset with training images of the given classes."""
    dataset = read(Path(folder))
    if not dataset.splits.get("train"):
        there = ", ".join(dataset.splits)
        raise DataError(folder, f"must have a train split with images in it, has {there}", do="Others' photos train.")
    check_classes(classes, dataset.classes, folder)
    return dataset


def _check_real_images(sweep: Sweep, there: int) -> None:
    for asked in _asked(sweep, "mix.real_images"):
        if isinstance(asked, int):
            check_enough(there, asked)


def _counts(pools: Mapping[str, Pool]) -> dict[str, int]:
    return {name: len(pool) for name, pool in pools.items()}


def _objects(pools: Mapping[str, Pool]) -> dict[str, int]:
    return {name: int(pool.box_counts.sum()) for name, pool in pools.items()}


def check_assets(sweep: Sweep, classes: Sequence[str], place: object) -> None:
    """Reads every library that a recipe of the sweep may ask for; raises DataError unless its classes are the photos'.

    What a command will write is known only once it has run: its classes are checked by the trial. Raises MachineError
    where a generator cannot be started.
    """
    rendered = _rendered(sweep)
    for generator in sorted({generator for generator, *_ in rendered}):
        _check_generator(generator)
    for generator, assets, surroundings, backgrounds in sorted(rendered):
        library = load(assets, surroundings, backgrounds)
        if not generator.startswith(command.PREFIX):
            check_classes(classes, library.classes, place)


def _rendered(sweep: Sweep) -> set[tuple[str, ...]]:
    """What scenes of the sweep may be made with and of, each as values of _MADE_OF.

    A source of scenes makes its own changes to what its recipe says, or the search; a source of a fixed recipe that has
    no share is not drawn.
    """
    found = {
        tuple(str(getattr(scene, name)) for name in _MADE_OF)
        for recipe in sweep.fixed.values()
        for scene, _ in recipe.scenes().values()
    }
    for source in sweep.recipe.mix.sources.values() if sweep.trials else ():
        if isinstance(source, Scenes):
            found |= set(product(*(_values(sweep, source, f"scene.{name}") for name in _MADE_OF)))
    return found


def _values(sweep: Sweep, source: Scenes, path: str) -> set[str]:
    """The values that a setting of scenes may have in proposed recipes."""
    if path in source.changes:
        return {str(source.changes[path])}
    return {str(value) for value in _proposed(sweep, path)}


def _asked(sweep: Sweep, path: str) -> set[Any]:
    """All values that a setting may have in the sweep's recipes."""
    return _proposed(sweep, path) | {recipe.get(path) for recipe in sweep.fixed.values()}


def _proposed(sweep: Sweep, path: str) -> set[Any]:
    """All values that a setting may have in the recipes that the search proposes."""
    parameter = dict(sweep.parameters.items()).get(path)
    return {sweep.recipe.get(path), *(parameter.samples() if parameter else ())}


def _check_generator(generator: str) -> None:
    if generator == "blender":
        blender.check()
    elif generator.startswith(command.PREFIX):
        program = command.program_of(generator)[0]
        if shutil.which(program) is None:
            raise MachineError("scene.generator", "names a program that is not there", got=program)


def check_machine(runs: Path, storage: str | None) -> None:
    """Raises MachineError where there is too little disk, or the store of the run cannot be written."""
    runs.mkdir(parents=True, exist_ok=True)
    if not os.access(runs, os.W_OK):
        raise MachineError(runs, "cannot be written", do="Run from a folder that is yours.")
    free = shutil.disk_usage(runs).free
    if free < _LEAST_FREE_BYTES:
        raise MachineError(
            runs, f"needs at least {_LEAST_FREE_BYTES / 1e9:.0f} GB of free disk", got=f"{free / 1e9:.1f} GB"
        )
    if storage is not None:
        check_bucket(storage)


def machine() -> dict[str, Any]:
    """This machine in a few words, for the record."""
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            from syndet_ray import __version__

            found[package] = __version__
    return found
