"""Preflight: everything that can be known to go wrong before the first GPU second is spent."""

import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import check_classes, read
from syndet_ray.data.split import with_validation
from syndet_ray.data.stand_in import stand_in
from syndet_ray.data.storage import check_bucket
from syndet_ray.errors import DataError, MachineError
from syndet_ray.scenes import blender, command
from syndet_ray.scenes.assets import load
from syndet_ray.scenes.library import DICE
from syndet_ray.sweep import Sweep

_PACKAGES = ("syndet_ray", "ray", "torch", "torchvision", "optuna", "mlflow", "pycocotools", "numpy", "embreex")
_LEAST_FREE_BYTES = 2 * 1024**3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RealData:
    """The real data of a run, decoded. pools: "train", "val" and "test"; notes: what was mended on the way."""

    pools: Mapping[str, Pool]
    path: str | None
    notes: tuple[str, ...] = ()

    @property
    def stand_in(self) -> bool:
        return self.pools["test"].stand_in

    def describe(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "counts": {split: len(pool) for split, pool in self.pools.items()},
            "objects": {split: int(pool.box_counts.sum()) for split, pool in self.pools.items()},
            "hashes": {split: pool.hash for split, pool in self.pools.items()},
            "notes": list(self.notes),
        }


def real_data(path: Path | None, sweep: Sweep, progress: Progress) -> RealData:
    """The user's photos, or the stand-in set where there are none. Raises DataError for whatever cannot be used."""
    if path is None:
        check_assets(sweep, DICE.classes, "the stand-in set (no --real given)")
        return RealData(stand_in(partial(progress, "decoding the stand-in set")), None)
    dataset = with_validation(read(path), sweep.seed)
    check_assets(sweep, dataset.classes, path)
    for split in ("train", "val", "test"):
        if not dataset.splits.get(split):
            raise DataError(
                path, f"must have a {split} split with images in it", do="See README, section 'Your own data'."
            )
    pools = {}
    for split in ("train", "val", "test"):
        pools[split] = decode(dataset.splits[split], partial(progress, f"decoding {split}"))
    return RealData(pools, str(path), dataset.notes)


def check_assets(sweep: Sweep, classes: Sequence[str], place: object) -> None:
    """Reads every library that a recipe of the sweep may ask for; raises DataError unless its classes are the photos'.

    What a command will write is known only once it has run: its classes are checked by the trial. Raises MachineError
    where a generator cannot be started.
    """
    for generator in sorted(_asked(sweep, "scene.generator")):
        _check_generator(str(generator))
    folders = [_asked(sweep, f"scene.{name}") for name in ("assets", "surroundings", "backgrounds")]
    for assets, surroundings, backgrounds in product(*folders):
        library = load(str(assets), str(surroundings), str(backgrounds))
        if not any(str(generator).startswith("command:") for generator in _asked(sweep, "scene.generator")):
            check_classes(classes, library.classes, place)


def _asked(sweep: Sweep, path: str) -> set[Any]:
    """All values that a setting may have in the sweep's recipes."""
    parameter = dict(sweep.parameters.items()).get(path)
    fixed = {recipe.get(path) for recipe in sweep.fixed.values()}
    return {sweep.recipe.get(path), *fixed, *(parameter.samples() if parameter else ())}


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
