"""Verbs that run or continue a sweep: sweep and resume."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.ending import leave
from syndet_ray.cli.last_words import finish
from syndet_ray.cli.options import (
    INTERRUPTED,
    Address,
    AddressAgain,
    Assets,
    Backgrounds,
    Board,
    Classes,
    Cluster,
    CoreHourPrice,
    Force,
    Format,
    Generator,
    GpuHourPrice,
    Gpus,
    HoldOut,
    Hours,
    Images,
    Local,
    Name,
    NearCopies,
    Parallel,
    Points,
    ProjectRuns,
    ProjectSkipBad,
    Real,
    RealAgain,
    RunAddress,
    RunsAgain,
    Seed,
    Settings,
    Storage,
    Stream,
    SyntheticFolder,
    TrackingAgain,
    TrackingUri,
    Trials,
)  # fmt: skip
from syndet_ray.cli.project import read_project
from syndet_ray.cli.screen import LOADING, open_display
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.cli.sweep_request import make_request, with_points
from syndet_ray.errors import SyndetError, with_first_advice

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.project import Project
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.definitions.loaded_sweep import LoadedSweep
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.tuning.options import Origin, Outcome


def sweep(
    name: Name,
    real: Real = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    seed: Seed = None,
    points: Points = None,
    parallel: Parallel = None,
    gpus_per_trial: Gpus = None,
    address: Address = None,
    storage: Storage = None,
    tracking: TrackingUri = None,
    gpu_hour_price: GpuHourPrice = None,
    core_hour_price: CoreHourPrice = None,
    local: Local = False,
    tensorboard: Board = False,
    hold_out: HoldOut = None,
    allow_near_copies: NearCopies = False,
    format: Format = None,
    skip_bad: ProjectSkipBad = None,
    classes: Classes = None,
    stream: Stream = False,
    synthetic: SyntheticFolder = None,
    assets: Assets = None,
    backgrounds: Backgrounds = None,
    generator: Generator = None,
    settings: Settings = None,
    force: Force = False,
    cluster: Cluster = None,
    runs: ProjectRuns = None,
) -> None:
    """Run a sweep: search, confirm the best, test them, report. The test set is opened once."""
    from syndet_ray.cli import terminal

    options = SweepOptions(
        runs=runs, real=real, trials=trials, hours=hours, images=images, seed=seed,
        parallel=parallel, gpus_per_trial=gpus_per_trial, address=address, storage=storage,
        tracking=tracking, local=local, tensorboard=tensorboard,
        allow_near_copies=allow_near_copies, format=format, skip_bad=skip_bad, classes=classes,
        hold_out=hold_out, stream=stream, synthetic=synthetic, assets=assets,
        backgrounds=backgrounds, generator=generator, settings=settings,
        gpu_hour_price=gpu_hour_price, core_hour_price=core_hour_price,
    ).with_project(read_project(Path.cwd()))  # fmt: skip
    request = make_request(name, options)
    definition, given = request.definition, request.given
    console = terminal.console()
    console.print(definition.question, style="bold")
    terminal.print_lines(console, request.lines)
    if points is not None:
        definition = with_points(definition, points, console.print)
        given["points"] = definition.points
    if cluster is not None:
        from syndet_ray.cli.submit import submit

        submit(name, options, request, file=cluster, points=points, force=force)
        return
    outcome = _start(name, given, definition, options, console, force=force)
    finish(outcome, console)


def _start(
    name: str,
    given: Mapping[str, Any],
    definition: "LoadedSweep",
    options: SweepOptions,
    console: "Console",
    *,
    force: bool,
) -> "Outcome":
    """Runs a sweep in a new folder. Raises SystemExit if it is interrupted before there is one."""
    try:
        with open_display(console) as display:
            with display.step(LOADING):
                from syndet_ray.tuning.run import start
            return start(
                _origin(name, given, options.project),
                definition,
                options.for_run(),
                display,
                force=force,
                leave=leave,
            )
    except KeyboardInterrupt:
        console.print("interrupted before the run began: there is nothing to resume")
        raise SystemExit(INTERRUPTED) from None


def _origin(name: str, given: Mapping[str, Any], project: "Project | None") -> "Origin":
    from syndet_ray.clusters.submission import origins_here
    from syndet_ray.definitions.loader import find
    from syndet_ray.tuning.options import Origin

    file = find(name)
    return Origin(
        name=file.stem,
        file=file,
        given=given,
        command=["syndet_ray", *sys.argv[1:]],
        project={} if project is None else project.facts(),
        file_origins=origins_here(),
    )


def resume(
    run: RunAddress,
    real: RealAgain = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    parallel: Parallel = None,
    address: AddressAgain = None,
    tracking: TrackingAgain = None,
    gpus_per_trial: Gpus = None,
    gpu_hour_price: GpuHourPrice = None,
    core_hour_price: CoreHourPrice = None,
    tensorboard: Board = False,
    allow_near_copies: NearCopies = False,
    stream: Stream = False,
    force: Force = False,
    cluster: Cluster = None,
    runs: RunsAgain = Path("runs"),
) -> None:
    """Continue an interrupted run, or extend a finished one. It goes on from checkpoints."""
    from syndet_ray.cli import terminal

    options = SweepOptions(
        runs=runs, real=real, trials=trials, hours=hours, images=images, parallel=parallel,
        gpus_per_trial=gpus_per_trial, address=address, tracking=tracking,
        tensorboard=tensorboard, allow_near_copies=allow_near_copies, stream=stream,
        gpu_hour_price=gpu_hour_price, core_hour_price=core_hour_price,
    )  # fmt: skip
    if cluster is not None:
        from syndet_ray.cli import new_head, on_cluster

        resume_there = new_head.resume_there if "://" in run else on_cluster.resume_there
        resume_there(run, cluster, options, force=force)
        return
    console = terminal.console()
    with open_display(console) as display:
        folder = _folder(run, runs, display)
    console.print(folder.sweep.question, style="bold")
    with open_display(console) as display:
        with display.step(LOADING):
            from syndet_ray.tuning.resume import resume as continued
        with _hints_at_continuing(folder, run):
            outcome = continued(folder, options.for_resume(), display, force=force, leave=leave)
    finish(outcome, console)


@contextmanager
def _hints_at_continuing(folder: "RunFolder", run: str) -> Iterator[None]:
    """Adds to a refusal where the run can be continued: first among its advice if it was brought
    here from a cluster, as a note if it was fetched from its address.

    The photos and checkpoints of a run of a cluster are there; one that has all of them at
    addresses goes on here too.

    run  the folder or address, as it was given
    """
    from syndet_ray.runs.run import resume_command
    from syndet_ray.wording import command_line
    from syndet_ray.workers.nodes.own_files import is_sent

    try:
        yield
    except SyndetError as error:
        if folder.about.get("cluster") is not None:  # nothing of it was done here
            command = resume_command(folder.path, folder.about)
            advice = f"It was brought here from a cluster: continue it there with `{command}`."
            raise with_first_advice(error, advice) from None
        if folder.about.get("file_origins") and not is_sent():  # paths of a head, perhaps lost
            command = command_line("resume", run, "--cluster", "FILE")
            error.add_note(f"its files were sent to a cluster; continue it on one with: {command}")
        elif "://" in run:
            error.add_note(f"the run lies in {folder.path} now: resume that from here on")
        raise


def _folder(run: str, runs: Path, display: "Plain | Bar") -> "RunFolder":
    """The folder of a run; if its address is given, it is fetched from its copy on S3."""
    from syndet_ray.runs.folder import RunFolder

    if "://" not in run:
        return RunFolder.open(Path(run))
    with display.step(f"fetching {run}"):
        from syndet_ray.tracking.backup import fetch

        return fetch(run, runs)
