"""Run: a sweep from its file to its report. Search, confirmation, then one look at the test set,
then the record of it all.
"""

import math
import shlex
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syndet_ray.analysis.selection import Candidate, finalists
from syndet_ray.data.lease import Lease
from syndet_ray.data.real import RealData
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DefinitionError, MachineError
from syndet_ray.files import write_whole
from syndet_ray.report import page
from syndet_ray.report.answer import answer
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.machine import environment
from syndet_ray.runs.metrics import MAIN_METRICS, MAP, OBJECTIVE, TEST
from syndet_ray.runs.names import near_copies_caveat, recipe_words
from syndet_ray.runs.pictures import show_training
from syndet_ray.runs.results import TestRow, TestScores
from syndet_ray.search.listener import Listener
from syndet_ray.search.search import Budget, Display, Search, halted
from syndet_ray.search.task import RunSettings, check_gpus, retried
from syndet_ray.tracking.backup import (
    Backup,
    check_models,
    forget_lost_checkpoints,
    home,
    ownership,
)
from syndet_ray.tracking.mirror import Mirror
from syndet_ray.tracking.mlflow import Tracking, champion_name
from syndet_ray.tracking.server import kept_address, mask
from syndet_ray.tracking.store import check_store, local_store, open_store, store_address
from syndet_ray.tuning import changes, confirm, cost, disk, preflight
from syndet_ray.tuning.checkpoints import Checkpoints
from syndet_ray.tuning.settle import check_backbones, settled_sweep
from syndet_ray.wording import counted
from syndet_ray.workers.disk import fault, places
from syndet_ray.workers.ingredients import scenes_hashes, weights_hashes
from syndet_ray.workers.packages import Packages
from syndet_ray.workers.stop import Leave, Loss, Stop, interrupt_again

if TYPE_CHECKING:
    from syndet_ray.tracking.tensorboard import TensorBoard
    from syndet_ray.workers.local import Local
    from syndet_ray.workers.tune import OnRay

_MLFLOW_STATUS = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "spent": "KILLED",
}
# How long a run waits at its end for an MLflow or a store that is away. Who stops a run waits for
# that, or the machine goes soon: then a request that hangs is not waited for either.
_PATIENCE_S, _STOPPED_PATIENCE_S = 60.0, 5.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out; what it asks stands in the sweep.

    runs      folder that holds the runs, the cache and, by default, MLflow's store
    real      folder of real photos; None takes the stand-in set
    parallel  trials at once; None takes as many as cores or GPUs allow
    address   a running Ray cluster; None makes one on this machine
    storage   s3:// address for checkpoints and a copy of the run; None keeps all under runs
    tracking  MLflow server; None takes sqlite under runs
    hours     wall clock that the run may take in all; None sets no limit
    images    images that its trials may see in all; None sets no limit
    local     in this process, one trial after another, without Ray
    tensorboard  event files too, in the run's folder
    allow_near_copies  photos in two splits that look like one, which are refused otherwise
    """

    runs: Path
    real: Path | None = None
    parallel: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    storage: str | None = None
    tracking: str | None = None
    hours: float | None = None
    images: int | None = None
    local: bool = False
    tensorboard: bool = False
    allow_near_copies: bool = False

    @property
    def cache(self) -> Path:
        return self.runs.resolve() / "cache"

    @property
    def budget(self) -> Budget:
        hours, images = self.hours, self.images
        return Budget(math.inf if hours is None else hours, math.inf if images is None else images)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run's sweep came from: its file, and what was given on the command line instead of
    what stands there.

    command  the words of the command line; empty for a run that was started from Python
    """

    name: str
    file: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: "finished", "interrupted" or "spent" (resume goes on), or "failed" (no trial
    finished).

    trials    where a browser shows its trials; "" where MLflow's store is a file, which no server
              shows yet
    unwritten why MLflow does not have all of the run, and how it gets it; None where it has
    is_reported  whether the report is that of the run as it ended; else it could not be written,
                 which was said
    """

    folder: RunFolder
    status: str
    why: str = ""
    trials: str = ""
    unwritten: MachineError | None = None
    is_reported: bool = True


def check(sweep: LoadedSweep, options: Options, display: Display) -> RealData:
    """Validates a sweep's data, this machine, its store and its tracking server, and starts
    nothing.
    """
    with display.step("checking the sweep and this machine"):
        _check_without_data(sweep, options)
    near = options.allow_near_copies
    with display.step("reading and checking the data"):
        return preflight.real_data(options.real, sweep, display.progress, allow_near_copies=near)


def _check_without_data(sweep: LoadedSweep, options: Options) -> None:
    if options.local and (options.address or options.storage or (options.parallel or 1) > 1):
        raise DefinitionError(
            "`local`", "goes with no `address`, no `storage` and no `parallel` above 1"
        )
    check_gpus(options.gpus_per_trial)
    preflight.check_machine(options.runs, options.storage)
    disk.room(options.runs, options.cache)
    if options.hours is not None and options.hours <= 0:
        raise DefinitionError("`hours`", "must be more than 0", got=options.hours)
    check_store(options.tracking or store_address(options.runs))
    check_backbones(sweep)


def project(sweep: LoadedSweep, options: Options, data: RealData, display: Display) -> cost.Cost:
    """What a sweep would cost, from a few measured steps on whatever its trials would run on."""
    with _runner(options, display) as runner:
        settled = _settled_and_checked(sweep, options, data, runner, display)
        return cost.project(settled, data, runner, display)


def _settled_and_checked(
    sweep: LoadedSweep, options: Options, data: RealData, runner: "OnRay | Local", display: Display
) -> LoadedSweep:
    """The sweep with nothing left to "auto", checked on every node. Raises SyndetError."""
    with display.step("building the detectors"):
        settled = settled_sweep(sweep, runner.use, data, display.note)
    _check_nodes(settled, options, data, runner, display)
    return settled


def _check_nodes(
    sweep: LoadedSweep, options: Options, data: RealData, runner: "OnRay | Local", display: Display
) -> None:
    with display.step("checking the nodes"):
        runner.check(sweep, data, options.runs, options.storage)


def start(
    origin: Origin,
    sweep: LoadedSweep,
    options: Options,
    display: Display,
    *,
    force: bool = False,
    leave: Leave = interrupt_again,
) -> Outcome:
    """Runs a sweep in a new folder. Raises DefinitionError for one that cannot fit its budget,
    unless `force`.

    Ctrl-C or SIGTERM end it in order, see `Stop`; before there is a folder, by KeyboardInterrupt.
    """
    with Stop(display.note, leave) as stop:
        try:
            return _start(origin, sweep, options, display, stop, force=force)
        except KeyboardInterrupt:
            if stop.folder is None:
                raise
            return stop.outcome or Outcome(folder=stop.folder, status="interrupted")


def _start(
    origin: Origin,
    asked: LoadedSweep,
    options: Options,
    display: Display,
    stop: Stop,
    *,
    force: bool,
) -> Outcome:
    if not force:
        cost.check_images(asked, options.budget)
    data = check(asked, options, display)
    for words in data.notes:  # a reader of the results must know them
        display.note(words)
    with _runner(options, display, stop.lose) as runner:
        sweep = _settled_and_checked(asked, options, data, runner, display)
        if options.budget != Budget() and not force:
            projection = cost.project(sweep, data, runner, display)
            cost.check_hours(projection, options.budget)
            disk.check_fits(
                projection.disk,
                disk.room(options.runs, options.cache),
                options.runs,
                options.storage,
            )
        path = options.runs / f"{origin.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        with display.step("recording what the run is made with"):
            about = _about(origin, asked, options, data) | {
                "parallel": runner.use.parallel,
                "gpus_per_trial": runner.use.gpus,
            }
        folder = stop.folder = RunFolder.create(path, sweep, about)
        with folder.lock(), ownership(folder, options.storage, stop.ask) as lease:
            return _carry_out(
                folder, options, data, runner=runner, display=display, lease=lease, stop=stop
            )


def resume(
    folder: RunFolder,
    given: Mapping[str, Any],
    display: Display,
    *,
    force: bool = False,
    leave: Leave = interrupt_again,
) -> Outcome:
    """Goes on with a run from its ledger. `given` are options, or "trials", to use instead of the
    old ones.

    Raises DefinitionError, with all that differs, where the sweep's file, the data or a package is
    no longer what the run began with, unless `force`.
    """
    with Stop(display.note, leave) as stop:
        stop.folder = folder
        try:
            return _resume(folder, given, display, stop, force=force)
        except KeyboardInterrupt:
            return stop.outcome or Outcome(folder=folder, status="interrupted")


def _resume(
    folder: RunFolder, given: Mapping[str, Any], display: Display, stop: Stop, *, force: bool
) -> Outcome:
    operational = {key: value for key, value in given.items() if key != "trials"}
    # The folder may have been moved, or fetched to another machine: it goes on with what lies
    # beside it there.
    options = _options(folder.about["options"] | {"runs": folder.path.parent} | operational)
    with folder.lock(), ownership(folder, options.storage, stop.ask) as lease:
        _check_given(folder, given)
        _check_models(folder, given)
        data = check(folder.sweep, options, display)
        if not force:
            changes.refuse(folder, data)
        for words in changes.code_notes(folder):
            display.note(words)
        _note_environment(folder)
        if "trials" in given:
            _extend(folder, given["trials"])
        _begin_anew(folder, display)
        # Near copies may be allowed from now on, of which a reader of the scores must know.
        real = (folder.about.get("real") or {}) | {"near_copies": dict(data.near_copies)}
        folder.describe(folder.about | {"options": _plain(options), "real": real})
        with _runner(options, display, stop.lose) as runner:
            _check_nodes(folder.sweep, options, data, runner, display)
            return _carry_out(
                folder, options, data, runner=runner, display=display, lease=lease, stop=stop
            )


def _note_environment(folder: RunFolder) -> None:
    """Adds to the record what this attempt is carried out with, where that is not what the one
    before was.
    """
    about = folder.about
    file = about.get("file")
    now = environment(None if file is None else Path(file))
    resumed = about.get("resumed", [])
    before = resumed[-1] if resumed else about
    if any(before.get(name) != facts for name, facts in now.items()):
        folder.describe(about | {"resumed": [*resumed, {"time": time.time(), **now}]})


def _begin_anew(folder: RunFolder, display: Display) -> None:
    """Has trials begin anew whose checkpoints are gone, and says so."""
    lost = forget_lost_checkpoints(folder)
    if lost:
        numbers = ", ".join(map(str, lost))
        display.note(
            f"the checkpoints that these trials would go on from are gone, so they begin anew: {numbers}"
        )


def _check_given(folder: RunFolder, given: Mapping[str, Any]) -> None:
    """Raises DefinitionError where a run is given fewer trials than it has, or a budget that is
    spent already.
    """
    trials, images, hours = (given.get(name) for name in ("trials", "images", "hours"))
    sweep = folder.sweep
    if trials is not None and trials < sweep.trials:
        raise DefinitionError(
            "`trials`", f"must be at least what the run has already, {sweep.trials}", got=trials
        )
    seen = sum(trial.images for trial in folder.trials())
    if images is not None and images < seen:
        raise DefinitionError(
            "`images`", f"must be at least the {seen:,} that its trials have seen", got=images
        )
    elapsed = folder.ledger.elapsed_s() / 3600
    if hours is not None and hours <= elapsed:
        raise DefinitionError(
            "`hours`",
            f"must be more than the {elapsed:.3g} hours that the run has taken",
            got=hours,
        )


def _check_models(folder: RunFolder, given: Mapping[str, Any]) -> None:
    """Raises DataError where a run, as it is given, could never be scored: models are gone that the
    test set is to meet.
    """
    sweep = folder.sweep.replace({"trials": given["trials"]}) if "trials" in given else folder.sweep
    trials = confirm.to_be_scored(folder.trials(), sweep, folder.test())
    retried(partial(check_models, folder, trials))


def _extend(folder: RunFolder, trials: int) -> None:
    sweep, about = folder.sweep, folder.about
    folder.describe(about | {"given": about["given"] | {"trials": trials}})
    folder.define(sweep.replace({"trials": trials}))


def _carry_out(
    folder: RunFolder,
    options: Options,
    data: RealData,
    *,
    runner: "OnRay | Local",
    display: Display,
    lease: Lease | None,
    stop: Stop,
) -> Outcome:
    backup = Backup(folder, options.storage, display.note, lease)
    with backup.upkeep():
        try:
            tracking = _tracking(folder, options, display)
        except KeyboardInterrupt:
            with suppress(OSError):  # which resume does not need
                _record(folder, "interrupted")
            raise
        attempt = _Attempt(
            folder=folder,
            options=options,
            data=data,
            runner=runner,
            tracking=tracking,
            display=display,
            board=_board(folder, display) if options.tensorboard else None,
            backup=backup,
            stop=stop,
        )
        status = "failed"
        try:
            status = attempt.carry_out()
        except KeyboardInterrupt:
            status = "interrupted"
        except Exception as error:
            attempt.blame_the_disk(error)
            status = "interrupted"
        finally:
            end = attempt.end(status)
        why = options.budget.spent(
            folder.ledger.elapsed_s() / 3600, sum(trial.images for trial in folder.trials())
        )
        missing = _unwritten(tracking.place, end.unwritten, folder) if end.unwritten else None
        outcome = stop.outcome = Outcome(
            folder=folder,
            status=end.status,
            why=why or "its budget is spent",
            trials=tracking.link,
            unwritten=missing,
            is_reported=end.is_reported,
        )
    return outcome


def _tracking(folder: RunFolder, options: Options, display: Display) -> Tracking:
    """The run in MLflow, which the folder's description names from now on."""
    about = folder.about
    with display.step("opening MLflow's store"):
        uri = (
            local_store(options.runs) if options.tracking is None else open_store(options.tracking)
        )
    artifacts = None if options.tracking else options.runs / "artifacts"
    with display.step("beginning the run in MLflow"):
        tracking = Tracking(
            uri,
            artifacts,
            about["name"],
            folder.sweep,
            parent=about.get("mlflow_run"),
            begun=(folder.path.name, about["started"]),
            note=display.note,
        )
    folder.describe(about | {"mlflow_run": tracking.parent, "mlflow_uri": mask(uri)})
    return tracking


def _unwritten(place: str, what: str, folder: RunFolder) -> MachineError:
    do = f"The run has all of it: once the store can be written, python -m syndet_ray resume {folder.path}"
    return MachineError(place, f"lacks {what}", do=do)


def _record(folder: RunFolder, status: str) -> None:
    """Has the run's own folder say how it ended."""
    folder.describe(folder.about | {"finished": time.time(), "status": status})


@dataclass(frozen=True, kw_only=True)
class _End:
    """How an attempt ended.

    unwritten    what MLflow lacks, in words, or ""
    is_reported  False where the report could not be written
    """

    status: str
    unwritten: str = ""
    is_reported: bool = True


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One attempt at carrying a run out, as far as it gets."""

    folder: RunFolder
    options: Options
    data: RealData
    runner: "OnRay | Local"
    tracking: Tracking
    display: Display
    board: "TensorBoard | None"
    backup: Backup
    stop: Stop

    def carry_out(self) -> str:
        """Search, confirmation, test set; returns how it ended."""
        sweep = self.folder.sweep
        place, backup = home(self.folder, self.options.storage), self.backup
        checkpoints = Checkpoints(
            place, sweep, self.display.note, backup.secure, lambda: backup.is_ours
        )
        note = self.display.note
        mirror = Mirror(self.folder, sweep, note)
        listeners: list[Listener] = [self.tracking, mirror, checkpoints, Packages(note), self.stop]
        if self.board is not None:
            listeners.append(self.board)
        search = Search(self.folder, sweep, self.display, listeners, self.options.budget)
        try:
            done = self._train(search) and self._confirm(search)
        except BaseException:
            search.interrupt()
            search.close(_STOPPED_PATIENCE_S)
            raise
        search.close(_PATIENCE_S)
        if done:
            self.stop.check()
            return self._conclude()
        search.interrupt()
        return "spent" if search.spent else "interrupted"

    def end(self, status: str) -> _End:
        """Writes how it ended; returns that.

        Where it is asked to end while it does, or the disk is full by then, the rest is left to
        `resume`: the run counts as interrupted.
        """
        try:
            return self._write_end(status)
        except KeyboardInterrupt:
            return self._write_end("interrupted")
        except Exception as error:
            self.blame_the_disk(error)
            return self._write_end("interrupted")
        finally:
            self.display.end()

    def blame_the_disk(self, error: Exception) -> None:
        """Says which disk of this machine cannot be written; raises the error again where none is
        to blame.
        """
        disk_fault = fault(error, (self.folder.path, *places(self.options.cache)))
        if disk_fault is None:
            raise error
        self.display.note(halted(disk_fault))

    def _write_end(self, status: str) -> _End:
        """Writes how it ended, here, to the storage and to MLflow: whatever fails keeps nothing
        from what comes after it.

        MLflow comes last: it may hang until the machine is gone. What the storage lacks, the end of
        the backup says.
        """
        try:
            _record(self.folder, status)
        except OSError:
            if status != "interrupted":
                raise
            self.display.note(
                f"{self.folder.path} does not say how the run ended, which resume does not need"
            )
        # A report takes its time, and of a run that is to go on it tells nothing yet: there is a
        # verb for it.
        is_reported = self.publish() if status in ("finished", "failed") else True
        if self.board is not None:
            self.board.end()
        is_stopped = status == "interrupted"
        patience_s = _STOPPED_PATIENCE_S if is_stopped else _PATIENCE_S
        limit_s = _STOPPED_PATIENCE_S if is_stopped else math.inf
        if self.backup.address is not None:
            with self.display.step(f"copying the run to {self.backup.address}"):
                self.backup.renew(patience_s, limit_s)
        with self.display.step("handing the run to MLflow"):
            unwritten = self.tracking.end(_MLFLOW_STATUS[status], patience_s, limit_s)
        return _End(status=status, unwritten=unwritten, is_reported=is_reported)

    def publish(self) -> bool:
        """Writes the report and hands the run's own files to MLflow; False where there is no
        report.
        """
        folder, is_reported = self.folder, self._report()
        reports = [folder.report, folder.figures] if is_reported else []
        for path in (
            *reports,
            folder.path / "sweep.json",
            folder.path / "run.json",
            folder.path / "test.json",
        ):
            if path.exists():
                self.tracking.artifact(path)
        if self.board is not None:
            self.board.publish(folder)
        return is_reported

    def _report(self) -> bool:
        """Writes the report, and its answer above the run in MLflow; what goes wrong, whatever it
        is, is noted.
        """
        folder = self.folder
        try:
            run = folder.read()
            with self.display.step("writing the report"):
                page.write(run, folder, partial(self.display.progress, "figures of the report"))
            self.tracking.describe(f"{run.sweep.question}\n\n{answer(run)}")
        # what was trained for hours must still reach the storage and MLflow
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".rstrip(".")
            do = f"python -m syndet_ray report {folder.path} makes it"
            self.display.note(f"the report could not be written ({reason}): {do}")
            with suppress(OSError):
                write_whole(
                    folder.report_error, "".join(traceback.format_exception(error)).encode()
                )
            return False
        return True

    def _train(self, search: Search) -> bool:
        """Runs all trials that remain; False where they were stopped before their end."""
        sweep = self.folder.sweep
        settings = RunSettings(rungs=sweep.rungs, seed=sweep.seed, cache=str(self.options.cache))
        self.display.begin(
            len(search.trials) + search.remaining - search.unfinished, sweep.recipe.training.images
        )
        if search.remaining:
            self.runner.search(search, settings, self.data, home(self.folder, self.options.storage))
        return search.is_over

    def _confirm(self, search: Search) -> bool:
        """Trains the best recipes and the controls anew; False where that was stopped before its
        end.
        """
        sweep = self.folder.sweep
        chosen = finalists(self.folder.trials(), sweep.confirm.top)
        if not sweep.confirm.seeds or all(trial.role != "search" for trial in chosen):
            return True
        search.confirm(chosen)
        while search.remaining:
            if not self._train(search):
                return False
            search.confirm(chosen)  # again for what was lost with its machine
        return True

    def _conclude(self) -> str:
        """Opens the test set for the best recipes and the controls, and keeps the champion;
        "failed" where none finished.
        """
        recipes = confirm.tested(self.folder.trials())
        if not recipes:
            return "failed"
        if not confirm.is_scored(recipes, self.folder.test()):
            retried(partial(check_models, self.folder, confirm.models_of(recipes)))
            self.display.note(
                "training is over; scoring the best recipes and the controls on the test set"
            )
            scoring = partial(self.display.progress, "scoring models")
            test_pool, note = self.data.pools["test"], self.display.note
            confirm.open_test_set(
                self.folder, recipes, test_pool, self.runner, progress=scoring, note=note
            )
        with self.display.step("keeping the best model"):
            self._keep_best(recipes["best"])
        return "finished"

    def _keep_best(self, best: Candidate) -> None:
        """Keeps pictures of what the best recipe was trained on, and hands its scores and its model
        to MLflow.
        """
        train, cache = self.data.pools["train"], self.options.cache
        show_training(self.folder, best.trial, train, cache, self.display.note)
        test = self.folder.test()
        assert test is not None
        self.tracking.result(
            _parent_metrics(best, test), _parent_tags(best, test, self.folder.about)
        )
        champion = next(trial for trial in self.folder.trials() if trial.number == test.champion)
        row = test.row("best")
        assert row is not None
        scores = {
            MAP: row.seeds[row.models.index(champion.number)],
            "mAP of its recipe": row.metrics[MAP],
        }
        self.tracking.register_champion(
            champion_name(self.folder.about["name"]), self.folder.champion, champion, scores
        )


def _board(folder: RunFolder, display: Display) -> "TensorBoard":
    from syndet_ray.tracking.tensorboard import TensorBoard

    return TensorBoard(folder, folder.sweep, display.note)


@contextmanager
def _runner(
    options: Options, display: Display, on_loss: Loss | None = None
) -> Iterator["OnRay | Local"]:
    """Whoever trains and scores: Ray, or this process. on_loss: told where Ray is gone from this
    machine, see `on_ray`.
    """
    if options.local:
        from syndet_ray.workers.local import Local, local_resources

        yield Local(local_resources(options.gpus_per_trial), display)
        return
    with ExitStack() as stack:
        with display.step(
            "starting Ray" if options.address is None else f"connecting to Ray at {options.address}"
        ):
            from syndet_ray.workers.tune import on_ray

            cluster = on_ray(
                options.address, options.parallel, options.gpus_per_trial, display.note, on_loss
            )
            runner = stack.enter_context(cluster)
        yield runner


def _parent_metrics(best: Candidate, test: TestScores) -> dict[str, float]:
    """The figures of the whole sweep: of the best recipe val/mAP and all that the test set said, as
    test/mAP and the like; of every other the main ones, as test/mAP/<role>. The UI shows them in
    this order. What is not known is left out.
    """
    found = {f"best/{OBJECTIVE}": best.mean}
    for row in test.rows:
        is_best = row.role == "best"
        of = "" if is_best else f"/{row.role}"
        found |= {f"test/mAP{of}": row.metrics[MAP]} | (_bounds(row) if is_best else {})
        found |= {f"{TEST}{name}{of}": row.metrics[name] for name in MAIN_METRICS}
        p_best = test.p_best(row)
        if p_best is not None:
            found[f"test/p_best{of}"] = p_best
    found |= {
        f"{TEST}{name}": value
        for row in test.rows
        if row.role == "best"
        for name, value in row.metrics.items()
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _bounds(best: TestRow) -> dict[str, float]:
    """The interval of test/mAP, and what the best recipe has more than a control or the first
    variant.
    """
    found = {}
    if MAP in best.intervals:
        found["test/mAP_low"], found["test/mAP_high"] = best.intervals[MAP]
    for role, gap in best.differences.items():
        name = f"test/mAP_above_{role}"
        found |= {name: gap.mean, f"{name}_low": gap.low, f"{name}_high": gap.high}
    return found


def _parent_tags(best: Candidate, test: TestScores, about: Mapping[str, Any]) -> dict[str, str]:
    """What the figures of the whole sweep are of, and what a reader of them must know."""
    tags = {
        "test_set": _test_name(test),
        "best_trial": str(best.trial.number),
        "best_recipe": recipe_words(best.trial),
    }
    caveat = near_copies_caveat(about)
    return tags | {"near_copies": caveat} if caveat else tags


def _test_name(test: TestScores) -> str:
    kind = "stand-in" if test.stand_in else "real photos"
    return f"{kind}: {counted(test.images, 'image')}, {test.hash[:12]}"


def _about(origin: Origin, asked: LoadedSweep, options: Options, data: RealData) -> dict[str, Any]:
    return {
        "name": origin.name,
        "file": None if origin.file is None else str(origin.file.resolve()),
        "folder": str(Path.cwd()),
        "given": dict(origin.given),
        "command": mask(shlex.join(origin.command)),
        "started": time.time(),
        "asked": asked.model_dump(mode="json"),  # sweep.json holds it settled
        "seed": asked.seed,
        "options": _plain(options),
        "real": data.describe(),
        "weights": weights_hashes(asked),
        "scenes": scenes_hashes(asked),
        "stand_in": data.stand_in,
        "classes": data.pools["train"].classes,
        **environment(origin.file),
    }


def _plain(options: Options) -> dict[str, Any]:
    """Options as run.json keeps them: no password."""
    plain = {
        key: str(value.resolve()) if isinstance(value, Path) else value
        for key, value in vars(options).items()
    }
    return plain | {"tracking": None if options.tracking is None else mask(options.tracking)}


def _options(saved: Mapping[str, Any]) -> Options:
    """Options from what run.json keeps of them, and what is given instead."""
    paths = {key: Path(saved[key]) for key in ("runs", "real") if saved[key] is not None}
    tracking = None if saved["tracking"] is None else kept_address(saved["tracking"])
    return Options(**{**saved, **paths, "tracking": tracking})
