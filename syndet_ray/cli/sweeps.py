"""Verbs that run, continue or check a sweep: sweep, resume and check."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from syndet_ray.cli.ending import leave
from syndet_ray.cli.options import (
    FAILED,
    INTERRUPTED,
    SPENT,
    Address,
    AddressAgain,
    Assets,
    Backgrounds,
    Board,
    CheckedCluster,
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
    Json,
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
    runs_folder,
    with_flags,
)  # fmt: skip
from syndet_ray.cli.project import read_project
from syndet_ray.cli.screen import NoteKeeper, open_display
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.cli.sweep_request import SweepRequest, make_request, with_points
from syndet_ray.errors import SyndetError
from syndet_ray.wording import command_line, counted, resume_hint

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.document import Document
    from syndet_ray.cli.project import Project
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.definitions.loaded_sweep import LoadedSweep
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.search.search import Display
    from syndet_ray.tuning.options import Origin, Outcome

_LOADING = "loading PyTorch, Ray and MLflow"  # this takes seconds


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
            with display.step(_LOADING):
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
    from syndet_ray.definitions.loader import find
    from syndet_ray.tuning.options import Origin

    command = ["syndet_ray", *sys.argv[1:]]
    file = find(name)
    project_facts = {} if project is None else project.facts()
    return Origin(name=file.stem, file=file, given=given, command=command, project=project_facts)


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
        from syndet_ray.cli.on_cluster import resume_there

        resume_there(run, cluster, options, force=force)
        return
    console = terminal.console()
    with open_display(console) as display:
        folder = _folder(run, runs, display)
    console.print(folder.sweep.question, style="bold")
    with open_display(console) as display:
        with display.step(_LOADING):
            from syndet_ray.tuning.resume import resume as continued
        outcome = continued(folder, options.for_resume(), display, force=force, leave=leave)
    finish(outcome, console)


def check(
    name: Name,
    real: Real = None,
    trials: Trials = None,
    hours: Hours = None,
    images: Images = None,
    seed: Seed = None,
    parallel: Parallel = None,
    gpus_per_trial: Gpus = None,
    address: Address = None,
    storage: Storage = None,
    tracking: TrackingUri = None,
    gpu_hour_price: GpuHourPrice = None,
    core_hour_price: CoreHourPrice = None,
    local: Local = False,
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
    cluster: CheckedCluster = None,
    as_json: Json = False,
    runs: ProjectRuns = None,
) -> None:
    """Check a sweep, its data and this machine, and start nothing. Estimates what it costs."""
    from syndet_ray.cli.document import one_document

    options = SweepOptions(
        runs=runs, real=real, trials=trials, hours=hours, images=images, seed=seed,
        parallel=parallel, gpus_per_trial=gpus_per_trial, address=address, storage=storage,
        tracking=tracking, local=local, allow_near_copies=allow_near_copies, hold_out=hold_out,
        format=format, skip_bad=skip_bad, classes=classes, stream=stream, synthetic=synthetic,
        assets=assets, backgrounds=backgrounds, generator=generator, settings=settings,
        gpu_hour_price=gpu_hour_price, core_hour_price=core_hour_price,
    )  # fmt: skip
    with one_document("check", is_wanted=as_json) as document:
        document.facts["ready"] = False
        options = options.with_project(read_project(Path.cwd()))
        _check(name, options, document, cluster=cluster, force=force, as_json=as_json)
        document.facts["ready"] = True


def _check(
    name: str,
    shared: SweepOptions,
    document: "Document",
    *,
    cluster: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Checks a sweep. What it learns is printed as lines, and kept in the document.

    cluster  a file for `ray up`, which is checked before data are read
    """
    from syndet_ray.cli import facts, listing, terminal
    from syndet_ray.cores import usable_cores
    from syndet_ray.definitions.loader import find

    runs, storage = runs_folder(shared.runs), shared.storage
    console = terminal.console(on_stderr=as_json)
    request = make_request(name, shared)
    definition = request.definition
    terminal.print_lines(console, request.lines)
    nodes, cluster_notes = _check_cluster(cluster, name, request, shared, console)
    with open_display(console) as display, display.step(_LOADING):
        from syndet_ray.tracking.parent_run import check_artifact_place, experiment_words
        from syndet_ray.tracking.store import store_address
        from syndet_ray.tuning import cost as costs
        from syndet_ray.tuning import disk
        from syndet_ray.tuning import run as running
    options = shared.for_run()
    document.facts["sweep"] = facts.sweep_facts(name, definition)
    if not force:
        costs.check_images(definition, options.budget)
    with open_display(console) as display:
        keeper = NoteKeeper(display)
        noting = cast("Display", keeper)
        data = running.check(definition, options, noting)
        cost = running.estimate(definition, options, data, noting)
        with display.step("looking into MLflow's store"):
            store = options.tracking or store_address(runs)
            check_artifact_place(store, find(name).stem)
            experiment = experiment_words(store, find(name).stem)
    room = disk.room(runs, options.cache)
    document.facts |= {
        "data": facts.data_facts(data),
        "cost": facts.cost_facts(cost, options.prices),
        "disk": facts.disk_facts(cost, room),
        "places": facts.place_facts(options, experiment),
        "machine": facts.machine_facts(usable_cores(), _gpus()),
        "cluster": None if cluster is None else {"file": cluster, "nodes": nodes},
        "notes": [
            *request.notes,
            *cluster_notes,
            *keeper.notes,
            *data.scale_words,
            *data.notes,
        ],
    }
    if not as_json:
        lines = [
            *listing.sweep_lines(name, definition),
            *listing.data_lines(data),
            *listing.cost_lines(cost),
            *listing.held_lines(cost, options.prices),
            *listing.disk_lines(cost.disk, room, storage),
            *listing.place_lines(options, experiment, cluster),
            f"machine  {counted(usable_cores(), 'core')}, {counted(_gpus(), 'GPU')}",
            *listing.cluster_lines(nodes),
        ]
        terminal.print_lines(console, lines)
    if not force:
        hours = partial(costs.check_hours, cost, options.budget)
        fits = partial(disk.check_fits, cost.disk, room, runs, storage)
        _raise_first([hours, fits], document)
    if not as_json:
        console.print("ready", style="bold green")


def _check_cluster(
    file: Path | None,
    name: str,
    request: SweepRequest,
    options: SweepOptions,
    console: "Console",
) -> tuple[list[str], list[str]]:
    """Checks a cluster that a file describes, and what would be sent there. Returns lines on its
    nodes, and notes.

    Raises DataError, DefinitionError or MachineError, with all problems of the file or the cloud.
    """
    if file is None:
        return [], []
    from syndet_ray.cli import terminal
    from syndet_ray.cli.on_cluster import check_options
    from syndet_ray.cli.submit import rehearse

    check_options(options)
    with open_display(console) as display:
        with display.step(f"reading {file}"):
            from syndet_ray.clusters.check import check_cluster, cluster_words
            from syndet_ray.clusters.description import read_cluster_file

            cluster = read_cluster_file(file)
        notes = check_cluster(cluster, options.storage, display.step)
        lines = rehearse(name, request, options, cluster, display)
        for note in notes:
            display.note(note)
    terminal.print_lines(console, lines)
    return cluster_words(cluster), notes


def _raise_first(checks: Sequence[Callable[[], object]], document: "Document") -> None:
    """Makes all checks and raises the error of the first that fails; the document has the rest."""
    errors = []
    for make_check in checks:
        try:
            make_check()
        except SyndetError as error:
            errors.append(error)
    if errors:
        document.others += errors[1:]
        raise errors[0]


def _folder(run: str, runs: Path, display: "Plain | Bar") -> "RunFolder":
    """The folder of a run; if its address is given, it is fetched from its copy on S3."""
    from syndet_ray.runs.folder import RunFolder

    if "://" not in run:
        return RunFolder.open(Path(run))
    with display.step(f"fetching {run}"):
        from syndet_ray.tracking.backup import fetch

        return fetch(run, runs)


def finish(outcome: "Outcome", console: "Console", *where: str) -> None:
    """Prints the last words of a run. Raises SystemExit with its exit status, unless it is 0.

    where  words of the command that resumes it, if that is not here
    """
    from syndet_ray.cli import results_table, terminal
    from syndet_ray.cli.tables import print_table
    from syndet_ray.report.answer import answer

    folder = outcome.folder
    go_on = resume_hint(folder.path, *where)
    so_far = f"report so far: {command_line('report', folder.path)}"
    trials = f"trials   {outcome.trials_url or command_line('ui', folder.path, '--open')}"
    if outcome.status == "interrupted":
        console.print(f"interrupted; {go_on}\n{so_far}", soft_wrap=True)
        _print_trials(outcome, trials, console)
        raise SystemExit(INTERRUPTED)
    if outcome.status == "spent":
        more = "--hours" if "hours" in outcome.why else "--images"
        console.print(f"stopped: {outcome.why}; {go_on} {more} TOTAL\n{so_far}", soft_wrap=True)
        _print_trials(outcome, trials, console)
        raise SystemExit(SPENT)
    run = folder.read()
    if run.test is not None:
        print_table(console, results_table.test_table(run.test, console.width))
        terminal.print_lines(console, results_table.recipe_lines(run.test, run.trials))
    console.print(answer(run), style="bold")
    if outcome.is_reported:
        console.print(f"report   {folder.report}", soft_wrap=True)
    _print_trials(outcome, trials, console)
    if outcome.status == "failed" or outcome.unwritten is not None or not outcome.is_reported:
        raise SystemExit(FAILED)


def _print_trials(outcome: "Outcome", trials: str, console: "Console") -> None:
    """Prints what MLflow lacks of a run, and on the last line where its trials are."""
    if outcome.unwritten is not None:
        console.print(with_flags(str(outcome.unwritten)), soft_wrap=True)
    console.print(trials, soft_wrap=True)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
