"""Submit: starts a sweep on the cluster of a file, and sends what only this machine has of it."""

import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.on_cluster import follow
from syndet_ray.cli.options import runs_folder
from syndet_ray.cli.remote_submission import RemoteSubmission, head_and_facts, project_name, start
from syndet_ray.cli.screen import LOADING, open_display
from syndet_ray.cli.sending import check_room, send, write_origins
from syndet_ray.cli.sent_options import check_options, option_words
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import MachineError
from syndet_ray.files import check_writable, temporary_folder

if TYPE_CHECKING:
    from syndet_ray.cli.sweep_request import SweepRequest
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.clusters.bundle import Bundle
    from syndet_ray.clusters.description import ClusterFile

_POINT_FILES = ("sweep.json", "run.json", "ledger.jsonl")  # files of a run that --points reads
# Variables that are not sent: they may hold secrets, or name folders of this machine.
_OUR_PREFIX = "SYNDET_"
_STORE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_TRACKING_VARIABLES = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)


def submit(
    name: str,
    options: SweepOptions,
    request: "SweepRequest",
    *,
    file: Path,
    points: Path | None,
    force: bool,
) -> None:
    """Sends a sweep to a cluster that is up, and shows it until it ends; brings the report back.

    Raises SystemExit with the exit status of the run, and SyndetError for whatever can be known
    before.
    """
    from syndet_ray.cli import terminal
    from syndet_ray.clusters.definition_files import write_definitions

    console = terminal.console()
    check_options(options)
    with open_display(console) as display, temporary_folder() as staged:
        cluster = _read_cluster(file, display)
        _check_nodes(cluster, options)
        check_writable(runs_folder(options.runs))  # the report is brought there
        # first: it answers in seconds, to load PyTorch takes longer, and to read photos minutes
        submission, facts = _new_submission(name, cluster, display)
        _check_here(request, options, display, force=force)
        _check_photos(request, options, display)
        earlier = None if points is None else _copy_of_run(points, staged)
        with display.step("looking at the files that go along"):
            bundle = _bundle(request, options, cluster, submission.folder, points=earlier)
            sweep = write_definitions(name, request.given, bundle, staged / "definitions")
            write_origins(bundle, staged / "definitions", earlier)
        if earlier is not None:
            _move_paths(earlier, bundle)
        check_room(facts, bundle, submission)
        where = f"cluster  {cluster.cluster_name}, head {submission.head.target}"
        terminal.print_lines(console, [where, *_sent_lines(bundle, options)])
        send(staged / "definitions", submission, bundle, facts, display)
    command = _sweep_words(sweep, options, request, bundle, earlier, force=force)
    start(submission, [*command, "--runs", str(submission.runs)])
    follow(submission, runs_folder(options.runs), console)


def _read_cluster(file: Path, display: "Plain | Bar") -> "ClusterFile":
    with display.step(f"reading {file}"):
        from syndet_ray.clusters.description import read_cluster_file

        return read_cluster_file(file)


def _new_submission(
    name: str, cluster: "ClusterFile", display: "Plain | Bar"
) -> tuple[RemoteSubmission, dict[str, Any]]:
    """Finds the head. Returns the folder of a new submission on it, and facts about it."""
    with display.step(f"looking for the head of {cluster.cluster_name}"):
        from syndet_ray.clusters.submission import SUBMITTED

        head, facts = head_and_facts(cluster)
    folder = PurePosixPath(facts["root"]) / project_name() / SUBMITTED / _new_id(name)
    return RemoteSubmission(head=head, folder=folder), facts


def rehearse(
    name: str,
    request: "SweepRequest",
    options: SweepOptions,
    cluster: "ClusterFile",
    display: "Plain | Bar",
) -> list[str]:
    """Looks at everything that would be sent, before there is a head. Returns lines on it.

    Raises SyndetError for what could not be sent, or not be used there.
    """
    from syndet_ray.clusters.definition_files import write_definitions

    _check_nodes(cluster, options)
    with display.step("looking at the files that go along"), temporary_folder() as folder:
        bundle = _bundle(request, options, cluster, PurePosixPath("/submission"))
        write_definitions(name, request.given, bundle, folder)
    return _sent_lines(bundle, options)


def _sent_lines(bundle: "Bundle", options: SweepOptions) -> list[str]:
    """Lines on what goes along, and what does not."""
    from syndet_ray.clusters.imports import import_notes

    sent = f"sends    this code, sweeps{', ' if bundle.items else ''}{bundle.words}"
    imports = [f"note     {note}" for note in import_notes(bundle)]
    return [sent, *imports, *_variable_notes(options)]


def _variable_notes(options: SweepOptions) -> list[str]:
    """A line on variables of the environment that act here, and stay here."""
    places = (options.real or "", options.storage or "")
    names = {name for name in os.environ if name.startswith(_OUR_PREFIX)}
    if any(place.startswith("s3://") for place in places):
        names.update(_STORE_VARIABLES)
    if options.tracking is not None:
        names.update(_TRACKING_VARIABLES)
    names &= os.environ.keys()
    if not names:
        return []
    words = ", ".join(sorted(names))
    return [f"note     not sent: {words}; set in ~/.bashrc of the nodes what they need of it"]


def _check_nodes(cluster: "ClusterFile", options: SweepOptions) -> None:
    """Raises MachineError if nodes may join that could not see what they must read or write, and if
    none could train a trial.
    """
    from syndet_ray.clusters.check import storage_errors, trial_errors

    errors = storage_errors(cluster, options.storage)
    errors += trial_errors(cluster, options.gpus_per_trial)
    if errors:
        raise errors[0]
    if options.stream and cluster.workers and _photos(options) is not None:
        rule = "decodes photos on each node, and nodes that join have no photos of this machine"
        raise MachineError("`stream`", rule, do="Put them into a bucket, and give its address.")


def _check_here(
    request: "SweepRequest", options: SweepOptions, display: "Plain | Bar", *, force: bool
) -> None:
    """Makes the checks of the sweep that need neither a cluster nor photos."""
    with display.step(LOADING):
        from syndet_ray.tuning.cost import check_images
        from syndet_ray.tuning.run import check_sweep
    for_run = options.for_run()
    check_sweep(request.definition, for_run)
    if not force:
        check_images(request.definition, for_run.budget)


def _check_photos(request: "SweepRequest", options: SweepOptions, display: "Plain | Bar") -> None:
    """Reads the photos. Those at an address the head reads, and perhaps this machine cannot."""
    from syndet_ray.data.remote.address import is_address
    from syndet_ray.tuning.run import read_data

    for_run = options.for_run()
    if for_run.real is None or not is_address(for_run.real):
        read_data(request.definition, for_run, display)


def _new_id(name: str) -> str:
    """A name for a submission: another terminal may send the same sweep in the same second."""
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem)
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _bundle(
    request: "SweepRequest",
    options: SweepOptions,
    cluster: "ClusterFile",
    folder: PurePosixPath,
    *,
    points: Path | None = None,
) -> "Bundle":
    """All that only this machine has of a sweep.

    folder  that of the submission on the head
    points  a copy of the run whose recipes are proposed first

    Raises as `bundle` does.
    """
    from syndet_ray.clusters.bundle import bundle
    from syndet_ray.clusters.here import mounts

    paths = (_photos(options), options.classes, points)
    others = [path for path in paths if path is not None]
    mounted = [local for remote, local in mounts(cluster).items() if Path(remote) == local]
    return bundle(request.definition, others, folder, mounted)


def _photos(options: SweepOptions) -> Path | None:
    """The folder of photos here; None for an address, and for the stand-in set."""
    from syndet_ray.data.remote.address import photo_place
    from syndet_ray.data.stand_in import STAND_IN

    if options.real in (None, STAND_IN):
        return None
    place = photo_place(str(options.real))
    return place if isinstance(place, Path) else None


def _copy_of_run(run: Path, folder: Path) -> Path:
    """Copies what the proposals of a sweep are taken from: a whole run has gigabytes more."""
    from syndet_ray.runs.folder import RunFolder

    RunFolder.open(run)
    copy = folder / run.resolve().name
    copy.mkdir()
    for name in _POINT_FILES:
        shutil.copy(run / name, copy)
    return copy


def _move_paths(run: Path, bundle: "Bundle") -> None:
    """Gives the recipes of a copied run the places of the cluster for paths of this machine."""
    for name in _POINT_FILES:
        file = run / name
        text = file.read_text(encoding="utf-8")
        values = text.split("\n") if file.suffix == ".jsonl" else [text]
        file.write_text("\n".join(_moved_json(value, bundle) for value in values), encoding="utf-8")


def _moved_json(text: str, bundle: "Bundle") -> str:
    """The text of a value of JSON with the places of the cluster; itself for another one, such as
    the last line of a ledger whose writer was killed.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return json.dumps(bundle.translate_recorded(value))


def _sweep_words(
    sweep: str,
    options: SweepOptions,
    request: "SweepRequest",
    bundle: "Bundle",
    points: Path | None,
    *,
    force: bool,
) -> list[str]:
    """The command line of a sweep on the head."""
    words = ["sweep", sweep, "--address", "auto", *option_words(options)]
    settings = bundle.translate(request.given.get("settings", {}))
    for path, value in settings.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{path}={text}"]
    photos = _photos(options)
    if photos is not None:
        words += ["--real", bundle.path_there(photos.absolute())]
    elif options.real is not None:
        words += ["--real", options.real]
    if options.classes is not None:
        words += ["--classes", bundle.path_there(options.classes.absolute())]
    if points is not None:
        words += ["--points", bundle.path_there(points)]
    return [*words, *(["--force"] if force else [])]
