"""Check: the verb that checks a sweep, its data and this machine, and starts nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from syndet_ray.cli.options import (
    Address,
    Assets,
    Backgrounds,
    CheckedCluster,
    Classes,
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
    ProjectRuns,
    ProjectSkipBad,
    Real,
    Seed,
    Settings,
    Storage,
    Stream,
    SyntheticFolder,
    TrackingUri,
    Trials,
)  # fmt: skip
from syndet_ray.cli.project import read_project
from syndet_ray.cli.screen import LOADING, NoteKeeper, open_display
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.cli.sweep_request import SweepRequest, make_request
from syndet_ray.cores import usable_cores
from syndet_ray.errors import SyndetError
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.document import Document
    from syndet_ray.data.real import RealData
    from syndet_ray.definitions.loaded_sweep import LoadedSweep
    from syndet_ray.search.search import Display
    from syndet_ray.search.task import Resources
    from syndet_ray.tuning.cost import Cost
    from syndet_ray.tuning.disk import Room
    from syndet_ray.tuning.options import Options


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
        _check(name, options, document, file=cluster, force=force, as_json=as_json)
        document.facts["ready"] = True


@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """A cluster that a file describes, before it is up.

    nodes  lines on its nodes
    notes  on what could not be looked up
    use    what each trial takes there; None if the file does not say what nodes have
    """

    file: Path
    nodes: list[str]
    notes: list[str]
    use: "Resources | None"


@dataclass(frozen=True, kw_only=True)
class _Preview:
    """The data, the cost and the places of a run, before it starts.

    cluster     where it is to run; None for this machine, or for one that is up
    experiment  what MLflow's store has of the sweep, in words; "" for a cluster that has its own
    notes       what the user was told meanwhile
    """

    cluster: _Cluster | None
    definition: "LoadedSweep"
    options: "Options"
    data: "RealData"
    cost: "Cost"
    room: "Room"
    experiment: str
    notes: list[str]

    def facts(self) -> dict[str, Any]:
        """The preview for a program."""
        from syndet_ray.cli import facts

        there = self.cluster
        cluster_facts = None if there is None else {"file": there.file, "nodes": there.nodes}
        return {
            "data": facts.data_facts(self.data),
            "cost": facts.cost_facts(
                self.cost,
                self.options.prices,
                has_nodes=there is None or there.use is not None,
            ),
            "disk": facts.disk_facts(self.cost, self.room) if there is None else None,
            "places": facts.place_facts(
                self.options, self.experiment, None if there is None else there.file
            ),
            "machine": facts.machine_facts(usable_cores(), _gpus()),
            "cluster": cluster_facts,
        }

    def lines(self, name: str) -> list[str]:
        """The preview for a person."""
        from syndet_ray.cli import listing

        lines = [
            *listing.sweep_lines(name, self.definition),
            *listing.data_lines(self.data),
            *listing.cost_lines(self.cost),
            *listing.held_lines(self.cost, self.options.prices),
        ]
        if self.cluster is not None:
            if self.cost.speed_is_known:
                lines.append("         these numbers hold if the nodes are as fast as this machine")
            elif self.cluster.use is not None:
                lines.append(f"         {listing.holders(self.cost)}")
            places = listing.place_lines(self.options, self.experiment, self.cluster.file)
            return [*lines, *places, *listing.cluster_lines(self.cluster.nodes)]
        return [
            *lines,
            *listing.disk_lines(self.cost.disk, self.room, self.options.storage),
            *listing.place_lines(self.options, self.experiment),
            f"machine  {counted(usable_cores(), 'core')}, {counted(_gpus(), 'GPU')}",
        ]


def _check(
    name: str,
    shared: SweepOptions,
    document: "Document",
    *,
    file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Checks a sweep. What it learns is printed as lines, and kept in the document.

    file  of a cluster, for `ray up`, which is checked before data are read
    """
    from syndet_ray.cli import facts, terminal

    console = terminal.console(on_stderr=as_json)
    request = make_request(name, shared)
    definition = request.definition
    terminal.print_lines(console, request.lines)
    cluster = None
    if file is not None:
        cluster = _check_cluster(file, name, request, shared, console)
    with open_display(console) as display, display.step(LOADING):
        import_module("syndet_ray.tuning.run")  # which imports whatever the rest needs
        from syndet_ray.tuning.cost import check_images
    options = shared.for_run()
    document.facts["sweep"] = facts.sweep_facts(name, definition)
    if not force:
        check_images(definition, options.budget)
    preview = _preview(name, definition, options, cluster, console)
    document.facts |= preview.facts() | {"notes": [*request.notes, *preview.notes]}
    if not as_json:
        terminal.print_lines(console, preview.lines(name))
    if not force:
        _check_limits(preview, document)
    if not as_json:
        console.print("ready", style="bold green")


def _preview(
    name: str,
    definition: "LoadedSweep",
    options: "Options",
    cluster: _Cluster | None,
    console: "Console",
) -> _Preview:
    """Checks the data, this machine and MLflow's store, and estimates the cost.

    A server of MLflow that a cluster uses may be seen from its head alone, and this machine need
    not have room for its trials: a few steps are measured with what there is here.
    """
    from syndet_ray.definitions.loader import find
    from syndet_ray.tracking.parent_run import check_artifact_place, experiment_words
    from syndet_ray.tracking.store import store_address
    from syndet_ray.tuning import disk, run

    here = options
    if cluster is not None:
        run.check_sweep(definition, options)
        here = replace(options, tracking=None, parallel=None, gpus_per_trial=None)
    with open_display(console) as display:
        keeper = NoteKeeper(display)
        noting = cast("Display", keeper)
        data = run.check(definition, here, noting)
        use = None if cluster is None else cluster.use
        cost = run.estimate(definition, here, data, noting, use)
        if cluster is not None and use is None:
            cost = replace(cost, speed_is_known=False)
        words = ""
        if cluster is None:
            with display.step("looking into MLflow's store"):
                store = options.tracking or store_address(options.runs)
                experiment = find(name).stem
                check_artifact_place(store, experiment)
                words = experiment_words(store, experiment)
    cluster_notes = [] if cluster is None else cluster.notes
    return _Preview(
        cluster=cluster,
        definition=definition,
        options=options,
        data=data,
        cost=cost,
        room=disk.room(options.runs, options.cache),
        experiment=words,
        notes=[*cluster_notes, *keeper.notes, *data.scale_words, *data.notes],
    )


def _check_limits(preview: _Preview, document: "Document") -> None:
    """Raises DefinitionError for more hours than it may take, MachineError for more disk."""
    from syndet_ray.tuning.cost import check_hours
    from syndet_ray.tuning.disk import check_fits

    cost, options = preview.cost, preview.options
    checks: list[Callable[[], object]] = [partial(check_hours, cost, options.budget)]
    if preview.cluster is None:  # the disk of its head is not known before it is up
        room = preview.room
        checks.append(partial(check_fits, cost.disk, room, options.runs, options.storage))
    _raise_first(checks, document)


def _check_cluster(
    file: Path,
    name: str,
    request: SweepRequest,
    options: SweepOptions,
    console: "Console",
) -> _Cluster:
    """Checks a cluster that a file describes, and what would be sent there.

    Raises DataError, DefinitionError or MachineError, with all problems of the file or the cloud.
    """
    from syndet_ray.cli import terminal
    from syndet_ray.cli.sent_options import check_options
    from syndet_ray.cli.submit import rehearse

    check_options(options)
    with open_display(console) as display:
        with display.step("loading Ray and boto3"):
            from syndet_ray.clusters.check import (
                check_cluster_file,
                cluster_words,
                trial_resources,
            )
        cluster, notes = check_cluster_file(
            file, options.storage, display.step, options.gpus_per_trial
        )
        lines = rehearse(name, request, options, cluster, display)
        for note in notes:
            display.note(note)
    terminal.print_lines(console, lines)
    use = trial_resources(cluster, options.parallel, options.gpus_per_trial)
    return _Cluster(file=file, nodes=cluster_words(cluster), notes=notes, use=use)


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


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
