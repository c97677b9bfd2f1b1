"""Run: starts a sweep: checks it, settles what is "auto", and makes the first attempt."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.real import RealData
from syndet_ray.data.remote.address import for_messages, for_record, is_address, photo_place
from syndet_ray.data.remote.local import NodeCopy, local_folder
from syndet_ray.data.storage import check_address
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DefinitionError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ingredients import scenes_hashes
from syndet_ray.search.search import Budget, Display
from syndet_ray.search.task import Resources, check_gpus
from syndet_ray.tracking.backup import backup_address, exclusive_lease
from syndet_ray.tracking.parent_run import check_artifact_place
from syndet_ray.tracking.server import ServerAway
from syndet_ray.tracking.store import check_store, store_address
from syndet_ray.tuning import cost, disk, machine_check, photo_check
from syndet_ray.tuning.attempt import carry_out
from syndet_ray.tuning.failure import note_run
from syndet_ray.tuning.generator_check import try_generators
from syndet_ray.tuning.options import Options, Origin, Outcome
from syndet_ray.tuning.pasting import with_training_photos
from syndet_ray.tuning.program_check import check_program_gpus, try_programs
from syndet_ray.tuning.record import description
from syndet_ray.tuning.scene_fill import fill_scenes
from syndet_ray.tuning.settle import check_backbones, settled_sweep
from syndet_ray.tuning.shown import Recorder
from syndet_ray.workers.head import check_head
from syndet_ray.workers.nodes.own_files import is_sent
from syndet_ray.workers.stop import Leave, Loss, Stop, interrupt_again

if TYPE_CHECKING:
    from syndet_ray.workers.local import Local
    from syndet_ray.workers.tune import OnRay

# Bytes of a sweep's name in that of a folder: file systems take 255, and there is a time, a number,
# and meanwhile a random ending.
_LONGEST_NAME = 200


def start(
    origin: Origin,
    sweep: LoadedSweep,
    options: Options,
    display: Display,
    *,
    force: bool = False,
    leave: Leave = interrupt_again,
) -> Outcome:
    """Runs a sweep in a new folder. Raises DefinitionError if it cannot fit its budget, unless
    `force`.

    Ctrl-C or SIGTERM end it in order, see `Stop`; before there is a folder, they raise
    KeyboardInterrupt.
    """
    recorder = Recorder(display)
    with Stop(recorder.note, leave) as stop:
        try:
            outcome = _start(origin, sweep, options, recorder, stop, force=force)
        except KeyboardInterrupt:
            if stop.folder is None:
                raise
            outcome = stop.outcome or Outcome(folder=stop.folder, status="interrupted")
        except Exception as error:
            note_run(error, stop.folder)
            recorder.error(error)
            raise
        recorder.outcome(outcome)
        return outcome


def _start(
    origin: Origin,
    asked: LoadedSweep,
    options: Options,
    display: Recorder,
    stop: Stop,
    *,
    force: bool,
) -> Outcome:
    if not force:
        cost.check_images(asked, options.budget)
    data = check(asked, options, display)
    check_artifact_place(options.tracking or store_address(options.runs), origin.name)
    for sentence in data.notes:  # a reader of the results must know them
        display.note(sentence)
    filled = fill_scenes(asked, data, options.cache, display)
    with runner_of(options, display, stop.lose) as runner:
        sweep = _settled_and_checked(filled.sweep, options, data, runner, display)
        if options.budget != Budget() and not force:
            _check_budget(sweep, options, data, runner, display)
        path = options.runs / _folder_name(origin.name)
        with display.step("recording what the run is made with"):
            about = description(origin, asked, options, data) | {
                "scenes": scenes_hashes(sweep),  # photos to paste on are named only there
                "parallel": runner.use.parallel,
                "gpus_per_trial": runner.use.gpus_per_trial,
                "measured": filled.record(),
            }
        folder = stop.folder = RunFolder.create(path, sweep, about)
        stop.address = backup_address(folder, options.storage)
        with folder.lock(), exclusive_lease(folder, options.storage, stop.ask) as lease:
            display.keep_in(folder)
            return carry_out(
                folder, options, data, runner=runner, display=display, lease=lease, stop=stop
            )


def _folder_name(sweep_name: str) -> str:
    """Returns the name of the folder of a run that begins now: <sweep>-<time>."""
    beginning = sweep_name.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return f"{beginning}-{time.strftime('%Y%m%d-%H%M%S')}"


def check(
    sweep: LoadedSweep, options: Options, display: Display, *, is_resumed: bool = False
) -> RealData:
    """Checks a sweep, its data, this machine, MLflow's store and whether Ray answers at an address;
    returns the data.

    is_resumed  true for a run that goes on: it does not need a tracking server that answers
    """
    with display.step("checking the sweep and this machine"):
        check_sweep(sweep, options)
        machine_check.check_machine(options.runs, options.storage)
        disk.room(options.runs, options.cache)
        tracking = options.tracking or store_address(options.runs)
        try:
            check_store(tracking)
        except ServerAway as error:
            if not is_resumed:
                _note_head(error)
                raise
        if options.tracking is None:
            machine_check.check_artifacts(options.runs)
        notes = machine_check.lock_notes(options.runs, options.tracking)
        for sentence in [*notes, *machine_check.cache_notes(options.cache)]:
            display.note(sentence)
    if options.address is not None:  # before the photos, which may take minutes
        with display.step(f"looking for Ray at {options.address}"):
            check_head(options.address)
    return read_data(sweep, options, display)


def _note_head(error: ServerAway) -> None:
    """Adds to an error whose server was asked, in a run that another machine has sent here."""
    if is_sent():
        error.add_note("it is looked for from the cluster's head; 127.0.0.1 is the head itself.")


def read_data(sweep: LoadedSweep, options: Options, display: Display) -> RealData:
    """The photos of a sweep, checked and decoded. Raises SyndetError for what cannot be used."""
    photos = _photos(options, display)
    labels = LabelOptions(
        format=options.format,
        skip_bad=options.skip_bad,
        classes=sweep.classes,
        classes_file=options.classes_file,
    )
    with display.step("reading and checking the data"):
        data = photo_check.real_data(
            photos,
            sweep,
            display.progress,
            labels=labels,
            allow_near_copies=options.allow_near_copies,
            hold_out=options.hold_out,
            stream=options.stream,
        )
    if options.real is None or not is_address(options.real):
        return data
    data = data.with_node_copy(NodeCopy.of(str(options.real), options.cache))
    return replace(data, path=for_record(options.real))  # the run names the address, not the copy


def _photos(options: Options, display: Display) -> Path | None:
    """The folder of the photos, which are fetched if they lie elsewhere; None for the stand-in
    set.
    """
    if options.real is None:
        return None
    place = photo_place(options.real)
    if isinstance(place, Path):
        return place
    with display.step(f"looking at {for_messages(place)}"):
        return local_folder(place, options.cache, display.progress)


def check_sweep(sweep: LoadedSweep, options: Options) -> None:
    """Checks what depends on neither data nor the machine that carries the run out.

    Raises DefinitionError.
    """
    _check_local(options)
    _check_storage(options.storage)
    check_gpus(options.gpus_per_trial)
    check_program_gpus(sweep, options.gpus_per_trial)
    if options.hours is not None and options.hours <= 0:
        raise DefinitionError("`hours`", "must be more than 0", got=options.hours)
    _ = options.prices  # raises for a number that is none
    check_backbones(sweep)


def _check_local(options: Options) -> None:
    """Raises DefinitionError for options that `local` makes impossible."""
    if not options.local:
        return
    parallel = options.parallel if (options.parallel or 1) > 1 else None
    values = {"address": options.address, "storage": options.storage, "parallel": parallel}
    others = {f"`{name}`": f"`{name}` {value}" for name, value in values.items() if value}
    if others:
        rule = "trains one trial at a time in this process, so it cannot be combined with "
        do = f"Leave out {' and '.join(others)}, or start a run without `local`."
        raise DefinitionError("`local`", rule + " and ".join(others.values()), do=do)


def _check_storage(storage: str | None) -> None:
    """Raises DefinitionError for an address of checkpoints that is none of S3."""
    if storage is None:
        return
    try:
        check_address(storage)
    except MachineError as error:
        raise DefinitionError("`storage`", error.rule, got=storage) from None


def estimate(
    sweep: LoadedSweep,
    options: Options,
    data: RealData,
    display: Display,
    use: Resources | None = None,
) -> cost.Cost:
    """Estimates the cost of a sweep from a few steps, measured on the machine of its trials.

    use  what trials take on a cluster that is not up; the steps are then measured here
    """
    filled = fill_scenes(sweep, data, options.cache, display)
    with runner_of(options, display) as runner:
        settled = _settled_and_checked(filled.sweep, options, data, runner, display)
        return cost.estimate(settled, data, runner, display, use)


def _check_budget(
    sweep: LoadedSweep, options: Options, data: RealData, runner: "OnRay | Local", display: Display
) -> None:
    """Raises SyndetError if the sweep cannot end within its hours, or does not fit the disk."""
    estimated = cost.estimate(sweep, data, runner, display)
    cost.check_hours(estimated, options.budget)
    free = disk.room(options.runs, options.cache)
    disk.check_fits(estimated.disk, free, options.runs, options.storage)


def _settled_and_checked(
    sweep: LoadedSweep, options: Options, data: RealData, runner: "OnRay | Local", display: Display
) -> LoadedSweep:
    """The sweep with no setting left at "auto", checked on every node, its programs tried.

    Raises SyndetError.
    """
    with display.step("building the detectors"):
        settled = settled_sweep(sweep, runner.use, data, display.note)
    settled = with_training_photos(settled, data, options.cache, display.progress, display.note)
    check_nodes(settled, options, data, runner, display)
    try_generators(settled, data, runner, options.cache, display)
    try_programs(settled, data, runner, display)
    return settled


def check_nodes(
    sweep: LoadedSweep, options: Options, data: RealData, runner: "OnRay | Local", display: Display
) -> None:
    """Raises SyndetError if a node lacks what the trials of the sweep need."""
    progress = partial(display.progress, "nodes checked")
    with display.step("checking the nodes"):
        runner.check(
            sweep,
            data,
            runs=options.runs,
            cache=options.cache,
            storage=options.storage,
            progress=progress,
        )


@contextmanager
def runner_of(
    options: Options, display: Display, on_loss: Loss | None = None
) -> Iterator["OnRay | Local"]:
    """Yields the runner that trains and scores: Ray, or this process.

    on_loss  called if Ray is gone from this machine, see `on_ray`
    """
    if options.local:
        from syndet_ray.workers.local import Local, local_resources

        yield Local(local_resources(options.gpus_per_trial), display)
        return
    address = options.address
    action = "starting Ray" if address is None else f"connecting to Ray at {address}"
    with ExitStack() as stack:
        with display.step(action):
            from syndet_ray.workers.tune import on_ray

            cluster = on_ray(
                address, options.parallel, options.gpus_per_trial, display.note, on_loss
            )
            runner = stack.enter_context(cluster)
        yield runner
