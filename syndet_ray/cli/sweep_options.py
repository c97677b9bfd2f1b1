"""Sweep options: the options of sweep, check and resume as a value, and what they stand for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.options import class_map, runs_folder, scene_texts
from syndet_ray.errors import DataError
from syndet_ray.files import reading

if TYPE_CHECKING:
    from syndet_ray.cli.project import Project
    from syndet_ray.tuning.options import Options


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The options of sweep, check and resume; None or False for one that was not given, None if a
    project may give it.

    real, address, storage, tracking, local, ...  as in `tuning.options.Options`
    trials, seed, classes  instead of the sweep's own; classes is a file
    assets, backgrounds, generator, synthetic, settings
                           instead of the recipe's own; settings are texts such as "scene.blur=0.2"
    project                options of the folder's syndet.toml; `with_project` takes those that were
                           not given, and `taken` has their names
    """

    runs: Path | None
    real: str | None = None
    trials: int | None = None
    hours: float | None = None
    images: int | None = None
    seed: int | None = None
    parallel: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    storage: str | None = None
    tracking: str | None = None
    gpu_hour_price: float | None = None
    core_hour_price: float | None = None
    local: bool = False
    tensorboard: bool = False
    allow_near_copies: bool = False
    format: str | None = None
    skip_bad: bool | None = None
    classes: Path | None = None
    hold_out: float | None = None
    stream: bool = False
    assets: Path | None = None
    backgrounds: Path | None = None
    generator: str | None = None
    synthetic: Path | None = None
    settings: list[str] | None = None
    project: "Project | None" = None
    taken: tuple[str, ...] = ()

    def with_project(self, project: "Project | None") -> "SweepOptions":
        """The same, with a project's options where none were given."""
        if project is None:
            return self
        taken = project.options_for(vars(self))
        return replace(self, project=project, taken=tuple(taken), **taken)

    def for_sweep(self) -> dict[str, Any]:
        """The fields of the sweep that were given instead of its own, and "settings" of its recipe.

        Raises DataError for a class map or an address of photos that cannot be used, and for
        objects, floors or images that are not there: that is known before anything is loaded.
        """
        _place(self.real)
        names = None if self.classes is None else class_map(self.classes)
        return _given_options(
            {
                "trials": self.trials,
                "seed": self.seed,
                "classes": names,
                "settings": self._settings() or None,
            }
        )

    def _settings(self) -> dict[str, Any]:
        """The settings of recipes that were given, by their dotted paths."""
        from syndet_ray.definitions.assignments import settings_of

        _check_folders(self.assets, self.backgrounds, self.synthetic)
        texts = [*scene_texts(self.assets, self.backgrounds, self.generator)]
        settings = settings_of([*texts, *(self.settings or ())], Path.cwd())
        if self.synthetic is None:
            return settings
        from syndet_ray.cli.project import synthetic_source

        sources = synthetic_source(Path.cwd() / self.synthetic.expanduser())
        return {"mix.sources": sources} | settings

    def for_run(self) -> "Options":
        """The options by which a run is carried out."""
        from syndet_ray.tuning.options import Options

        return Options(
            runs=runs_folder(self.runs),
            real=_place(self.real),
            parallel=self.parallel,
            gpus_per_trial=self.gpus_per_trial,
            address=self.address,
            storage=self.storage,
            tracking=self.tracking,
            hours=self.hours,
            images=self.images,
            gpu_hour_price=self.gpu_hour_price,
            core_hour_price=self.core_hour_price,
            local=self.local,
            tensorboard=self.tensorboard,
            allow_near_copies=self.allow_near_copies,
            format=self.format,
            skip_bad=bool(self.skip_bad),
            classes_file=self.classes,
            hold_out=self.hold_out,
            stream=self.stream,
        )

    def for_resume(self) -> dict[str, Any]:
        """The options of a run that were given again, instead of those it began with."""
        return _given_options(
            {
                "trials": self.trials,
                "hours": self.hours,
                "images": self.images,
                "parallel": self.parallel,
                "address": self.address,
                "real": _place(self.real),
                "tracking": self.tracking,
                "gpus_per_trial": self.gpus_per_trial,
                "gpu_hour_price": self.gpu_hour_price,
                "core_hour_price": self.core_hour_price,
                "tensorboard": self.tensorboard or None,
                "allow_near_copies": self.allow_near_copies or None,
                "stream": self.stream or None,
            }
        )


def _place(words: str | None) -> "Path | str | None":
    """A path, or an address as it is; None, as if none is given, for the word "stand-in"."""
    from syndet_ray.data.remote.address import photo_place
    from syndet_ray.data.stand_in import STAND_IN

    return None if words in (None, STAND_IN) else photo_place(words)


def _check_folders(*folders: Path | None) -> None:
    """Raises DataError for a folder that was given and is not there."""
    from syndet_ray.definitions.scene_parameters import BUILT_IN

    for folder in folders:
        if folder is None or str(folder) in BUILT_IN:
            continue
        with reading(folder):
            exists = folder.expanduser().exists()
        if not exists:
            do = "Correct the path, or leave the option out."
            raise DataError(folder, "does not exist", do=do)


def _given_options(values: dict[str, Any]) -> dict[str, Any]:
    """The values that were given on the command line."""
    return {name: value for name, value in values.items() if value is not None}
