"""Options: the arguments and options that several verbs share, and the exit statuses."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.data.label_options import LabelOptions

# 130 is the shell's status for Ctrl-C; 3 tells a script that the budget, not the run, has ended.
INTERRUPTED, FAILED, SPENT = 130, 1, 3

# The options that messages of the library name, by the argument that they are in Python.
_NAMES = (
    *("real", "trials", "hours", "images", "parallel", "gpus_per_trial", "address", "storage"),
    *("format", "skip_bad", "classes", "to"),
    *("tracking", "local", "allow_near_copies", "force", "runs", "split", "out", "pruner", "port"),
    *("images_per_epoch", "assets", "backgrounds", "synthetic", "generator", "masks"),
    *("hold_out", "test", "val", "by", "resplit", "cluster"),
    *("gpu_hour_price", "core_hour_price"),
)
FLAGS = {name: f"--{name.replace('_', '-')}" for name in _NAMES} | {"settings": "--set"}


def with_flags(message: str) -> str:
    """A message of the library as the command line says it: `real` becomes --real.

    The library names an option by its argument in Python, in backquotes.
    """
    return re.sub(r"`(\w+)`", lambda match: FLAGS.get(match[1], match[0]), message)


def _more_than_0(number: float | None) -> float | None:
    """Returns the number. Raises BadParameter, before anything is loaded, for 0 and less.

    A range of typer's includes its ends, so it cannot say this.
    """
    if number is not None and not number > 0:
        raise typer.BadParameter(f"{number:g} is not more than 0.")
    return number


def _price(number: float | None) -> float | None:
    """Returns the number. Raises BadParameter unless it is a price: finite, and at least 0."""
    from syndet_ray.runs.prices import is_price

    if number is not None and not is_price(number):
        raise typer.BadParameter(f"{number:g} is not a finite number of at least 0.")
    return number


def _share(number: float | None) -> float | None:
    """Returns the number. Raises BadParameter unless it is between 0 and 1."""
    if number is not None and not 0 < number < 1:
        raise typer.BadParameter(f"{number:g} is not more than 0 and less than 1.")
    return number


def _server(uri: str | None) -> str | None:
    """Returns the address of an MLflow server, given that of one of its pages in a browser."""
    from syndet_ray.tracking.address import server_address

    return None if uri is None else server_address(uri)


def _cluster_address(address: str | None) -> str | None:
    """Returns the address of a Ray cluster. Raises MachineError, before anything is loaded, for one
    at which there can be none.
    """
    from syndet_ray.workers.head import check_form

    if address is not None:
        check_form(address)
    return address


def class_map(file: Path) -> "dict[str, str | None]":
    """New names of classes, from a file that a person wrote. Raises DataError."""
    from syndet_ray.data.class_map import read_class_map

    return read_class_map(file)


def label_options(format: str | None, skip_bad: bool, classes: Path | None) -> "LabelOptions":
    """The options by which a verb on data reads labels. Raises DataError for a bad class map."""
    from syndet_ray.data.label_options import LabelOptions

    names = {} if classes is None else class_map(classes)
    return LabelOptions(format=format, skip_bad=skip_bad, classes=names, classes_file=classes)


def _photos_again(words: str) -> str:
    """The place of photos. Raises BadParameter for the word "stand-in"."""
    from syndet_ray.data.stand_in import STAND_IN

    if words == STAND_IN:
        reason = "a run continues with the photos, or the stand-in set, that it began with"
        raise typer.BadParameter(f"{reason}. Leave it out.")
    return _checked_place(words)


def photos_with_labels(words: str) -> str:
    """The place of labelled photos; that of the stand-in set for the word "stand-in"."""
    from syndet_ray.data.stand_in import FOLDER, STAND_IN

    return str(FOLDER) if words == STAND_IN else _checked_place(words)


def _checked_place(words: str) -> str:
    """The words. Raises DataError, before anything is loaded, for an address that cannot be
    used.
    """
    from syndet_ray.data.remote.address import photo_place

    photo_place(words)
    return words


def local_photos(place: str, runs: Path, display: "Plain | Bar") -> Path:
    """The folder of a dataset that is given as a folder or an address; it is fetched if need be."""
    from syndet_ray.data.remote.address import for_messages, photo_place
    from syndet_ray.data.remote.local import local_folder

    checked = photo_place(place)
    if isinstance(checked, Path):
        return checked
    with display.step(f"looking at {for_messages(checked)}"):
        return local_folder(checked, runs.resolve() / "cache", display.progress)


def _runs_here(context: typer.Context, runs: Path) -> Path:
    """The folder for runs, of this folder's syndet.toml unless it was given on the command line.

    Raises DefinitionError for a syndet.toml that cannot be used.
    """
    from syndet_ray.cli.project import read_project

    source = context.get_parameter_source("runs")
    if source is None or source.name != "DEFAULT":
        return runs
    project = read_project(Path.cwd())
    if project is None or "runs" not in project.options:
        return runs
    print(project.words(["runs"], []), file=sys.stderr)
    return cast(Path, project.options["runs"])


Name = Annotated[
    str, typer.Argument(metavar="SWEEP", help="Name of a sweep, or the path of its file.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, under runs/.")]
RunAddress = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a run, or its s3:// address.")
]
Real = Annotated[
    str | None,
    typer.Option(
        metavar="<place>",
        help="Real, labelled photos: a folder, s3:// or https:// address. Default: a stand-in set.",
    ),
]
_AS_BEGUN = "Default: as when the run began."
RealAgain = Annotated[
    str | None,
    typer.Option(
        "--real",
        metavar="<place>",
        parser=_photos_again,
        help=f"Where the same photos are now. {_AS_BEGUN}",
    ),
]
AddressAgain = Annotated[
    str | None,
    typer.Option("--address", callback=_cluster_address, help=f"Ray cluster to join. {_AS_BEGUN}"),
]
TrackingAgain = Annotated[
    str | None, typer.Option("--tracking", callback=_server, help=f"MLflow server. {_AS_BEGUN}")
]
_RUNS = "Folder for runs, rendered scenes and MLflow's store."
Runs = Annotated[Path, typer.Option(callback=_runs_here, help=_RUNS)]
ProjectRuns = Annotated[Path | None, typer.Option(help=f"{_RUNS} Default: runs.")]
RunsAgain = Annotated[Path, typer.Option("--runs", help=_RUNS)]
Parallel = Annotated[
    int | None, typer.Option(min=1, help="Trials at once. Default: one per core, or one per GPU.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Proposed recipes, instead of the sweep's own number.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed, instead of the sweep's own.")]
Gpus = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="GPUs of a trial: a share of one, or a whole number. Default: 1 if there are any.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        callback=_cluster_address,
        help="Ray cluster to join, such as auto. Default: this machine alone.",
    ),
]
Cluster = Annotated[
    Path | None,
    typer.Option(metavar="<file>", help="File of a cluster that is up, see `ray up`: run there."),
]
CheckedCluster = Annotated[
    Path | None,
    typer.Option("--cluster", metavar="<file>", help="File for `ray up`: check that cluster too."),
]
Storage = Annotated[
    str | None, typer.Option(help="s3://bucket/prefix for checkpoints and a copy of the run.")
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking", callback=_server, help="MLflow server. Default: sqlite under --runs."
    ),
]
Hours = Annotated[
    float | None,
    typer.Option(callback=_more_than_0, help="Hours that the whole run may take, more than 0."),
]
Images = Annotated[int | None, typer.Option(min=1, help="Images that all trials together may see.")]
GpuHourPrice = Annotated[
    float | None,
    typer.Option(callback=_price, help="Price of one hour of a GPU, in any currency."),
]
CoreHourPrice = Annotated[
    float | None,
    typer.Option(callback=_price, help="Price of one hour of a core, in the same currency."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Run even if the budget is too small, or something has changed."),
]
Local = Annotated[
    bool, typer.Option("--local", help="Run in this process, one trial at a time, without Ray.")
]
Board = Annotated[
    bool, typer.Option("--tensorboard", help="Write event files too, in the run's folder.")
]
NearCopies = Annotated[
    bool,
    typer.Option("--allow-near-copies", help="Accept photos that are alike in two splits."),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="<name>",
        help="Format of the labels: coco, voc, yolo, cvat, another of docs/guide.md (Formats), or "
        "datumaro:NAME. Default: recognized.",
    ),
]
_SKIP_BAD = "Leave out labels and photos that cannot be used."
SkipBad = Annotated[bool, typer.Option("--skip-bad", help=_SKIP_BAD)]
# of a command that a project may give it to
ProjectSkipBad = Annotated[
    bool | None, typer.Option("--skip-bad/--no-skip-bad", help=_SKIP_BAD, show_default=False)
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="<file>", help="YAML file of new names of classes: rename, merge, drop."),
]
ShareOption = Annotated[
    float | None, typer.Option(callback=_share, help="Share of the images, such as 0.2.")
]
PastedOn = Annotated[
    str | None,
    typer.Option(
        "--real", metavar="<place>", help="Photos to paste on. Default: those of the project, "
        "or a stand-in set.",
    ),
]  # fmt: skip
HoldOut = Annotated[
    float | None,
    typer.Option(
        callback=_share,
        help="Share of train that becomes the test split, such as 0.2, if the photos have none.",
    ),
]
Stream = Annotated[
    bool,
    typer.Option("--stream", help="Decode photos when needed, as if memory were too small."),
]
Points = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Propose the best recipes of this run first.")
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="New folder, or an empty one.")]
Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        parser=photos_with_labels,
        help='Labelled photos: a folder, s3:// or https:// address, or "stand-in".',
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Setting, such as scene.blur=0.2; may be repeated."),
]
Assets = Annotated[
    Path | None,
    typer.Option(help="Objects of scenes: a folder of classes, each of meshes or cut-outs."),
]
Backgrounds = Annotated[Path | None, typer.Option(help="Floors of scenes: a folder of images.")]
SyntheticFolder = Annotated[
    Path | None,
    typer.Option("--synthetic", help="Labelled images in place of rendered scenes."),
]
Generator = Annotated[
    str | None,
    typer.Option(metavar="<name>", help='raycast, blender or "command:PROGRAM ARG...".'),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Scenes rendered at once. Default: one per core.")
]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Run, champion, checkpoint, or models:/NAME@champion."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]


def runs_folder(runs: Path | None) -> Path:
    """The folder for runs that was given, or the default."""
    return Path("runs") if runs is None else runs


def scene_texts(
    assets: Path | None, backgrounds: Path | None, generator: str | None = None
) -> list[str]:
    """Settings of scenes, as text, for what they are made of."""
    values = {"assets": assets, "backgrounds": backgrounds, "generator": generator}
    return [f"scene.{name}={value}" for name, value in values.items() if value is not None]
