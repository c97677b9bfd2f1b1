"""Recognize: which tool a file or folder of settings is of, and the experiments in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syndet_ray.errors import DefinitionError
from syndet_ray.files import reading
from syndet_ray.importing import datasetinsights, protobuf_text, tao_runner, tao_spec, yaml_text
from syndet_ray.importing.experiment import Experiment
from syndet_ray.importing.settings import Settings, read_text
from syndet_ray.wording import printable

TAO_RUNNER, TAO, UNITY = "Tao-Runner", "NVIDIA TAO Faster R-CNN", "Unity datasetinsights"
_PROJECT_FILE = "experiments.yml"
_SPECS_FOLDER = "specs"  # of NVIDIA's notebooks and Rendered.ai's example, in the project's folder
_YAML = (".yml", ".yaml")
_SUFFIXES = (*_YAML, ".txt")  # of the files of a folder that may be settings
_MOST_FILES = 100  # a folder of more holds labels, one file an image
_MESSAGE = re.compile(r"^\s*\w+\s*:?\s*[{<]", re.MULTILINE)
_DO = (
    "Give an experiments.yml of Tao-Runner, a Faster R-CNN spec of NVIDIA TAO, or a "
    "faster_rcnn.yaml of Unity datasetinsights; or a folder of them."
)


class _Unknown(DefinitionError):
    """A file is of no tool that is known."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """The settings that were read.

    name         for the sweep, from the file or its folder
    experiments  at least one
    other_files  of the folder, with the reason why they were not read
    """

    tool: str
    name: str
    files: tuple[Path, ...]
    experiments: tuple[Experiment, ...]
    other_files: tuple[str, ...]


def read(path: Path, images_per_epoch: int | None) -> Import:
    """Reads a file of settings, or the files of a folder.

    Raises DefinitionError, with the line, for settings that are wrong, or of no tool that is known.
    """
    with reading(path):
        names = sorted(path.iterdir()) if path.is_dir() else None
    if names is None:
        return _import([path], path, images_per_epoch)
    if path / _PROJECT_FILE in names:
        return _import([path / _PROJECT_FILE], path / _PROJECT_FILE, images_per_epoch)
    files = [file for file in names if file.suffix.lower() in _SUFFIXES and file.is_file()]
    if not files and _SPECS_FOLDER in [name.name for name in names if name.is_dir()]:
        return read(path / _SPECS_FOLDER, images_per_epoch)
    if not files or len(files) > _MOST_FILES:
        count = "no" if not files else f"more than {_MOST_FILES}"
        raise DefinitionError(printable(str(path)), f"has {count} files of settings", do=_DO)
    return _import(files, path, images_per_epoch)


def _import(files: list[Path], path: Path, images_per_epoch: int | None) -> Import:
    by_tool: dict[str, list[tuple[Path, Settings]]] = {}
    others = []
    for file in files:
        try:
            tool, settings = _tool(file)
        except _Unknown as error:
            if len(files) == 1:
                raise
            others.append(f"{printable(file.name)} {error.rule}")
            continue
        by_tool.setdefault(tool, []).append((file, settings))
    if not by_tool:
        raise DefinitionError(printable(str(path)), "has no settings that can be imported", do=_DO)
    if len(by_tool) > 1:
        tools = " and ".join(by_tool)
        raise DefinitionError(printable(str(path)), f"has settings of {tools}", do="Give one file.")
    ((tool, pairs),) = by_tool.items()
    experiments = tuple(_experiments(tool, pairs, images_per_epoch))
    return Import(
        tool=tool,
        name=_name(tool, path, experiments),
        files=tuple(file for file, _ in pairs),
        experiments=experiments,
        other_files=tuple(others),
    )


def _tool(file: Path) -> tuple[str, Settings]:
    """The tool of a file, and its settings. Raises DefinitionError if it is none that is known."""
    is_yaml = file.suffix.lower() in _YAML
    if is_yaml or not _MESSAGE.search(read_text(file)):
        return _yaml_tool(file, is_yaml)
    settings = Settings(protobuf_text.read(file))
    if tao_spec.is_training(settings) or tao_spec.is_tfrecords(settings):
        return TAO, settings
    raise _unknown(file)


def _yaml_tool(file: Path, is_yaml: bool) -> tuple[str, Settings]:
    try:
        settings = Settings(yaml_text.read(file))
    except DefinitionError:
        if is_yaml:
            raise
        raise _unknown(file) from None
    if tao_runner.is_project(settings):
        return TAO_RUNNER, settings
    if datasetinsights.is_config(settings):
        return UNITY, settings
    raise _unknown(file)


def _unknown(file: Path) -> _Unknown:
    rule = "is not a file of settings that can be imported"
    return _Unknown(printable(str(file)), rule, do=_DO)


def _experiments(
    tool: str, pairs: list[tuple[Path, Settings]], images_per_epoch: int | None
) -> Iterator[Experiment]:
    if tool == TAO:
        yield from _tao_experiments(pairs, images_per_epoch)
        return
    for file, settings in pairs:
        if tool == TAO_RUNNER:
            yield from tao_runner.experiments(file, settings, images_per_epoch)
        else:
            experiment = Experiment(name=file.stem, file=file)
            datasetinsights.put_config(experiment, settings, images_per_epoch)
            yield experiment


def _tao_experiments(
    pairs: list[tuple[Path, Settings]], images_per_epoch: int | None
) -> Iterator[Experiment]:
    """An experiment for each training spec; the first has what the tfrecords specs say."""
    conversions = [pair for pair in pairs if not tao_spec.is_training(pair[1])]
    trainings = [pair for pair in pairs if tao_spec.is_training(pair[1])]
    for position, (file, settings) in enumerate(trainings or conversions[:1]):
        experiment = Experiment(name=file.stem, file=file)
        experiment.put_common()
        if trainings:
            tao_spec.put_training(experiment, settings, images_per_epoch)
        if position == 0:
            for _, conversion in conversions:
                tao_spec.put_tfrecords(experiment, conversion)
        yield experiment


def _name(tool: str, path: Path, experiments: tuple[Experiment, ...]) -> str:
    """A name for the sweep: of the only experiment of its file, else of the folder."""
    if tool == TAO_RUNNER:
        name = path.resolve().parent.name
    elif len(experiments) == 1:
        name = experiments[0].file.stem
    else:
        name = path.resolve().name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:60] or "imported"
