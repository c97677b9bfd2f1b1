"""Attempt: carries out a run as far as it gets, and writes how it ended to all places."""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from syndet_ray.analysis.selection import Candidate, finalists
from syndet_ray.data.lease import Lease
from syndet_ray.data.outage import outlast
from syndet_ray.data.real import RealData
from syndet_ray.errors import MachineError, message, traceback_text
from syndet_ray.files import write_whole
from syndet_ray.report import page
from syndet_ray.report.answer import answer
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.pictures import show_training
from syndet_ray.runs.results import BEST, RowKey
from syndet_ray.search.listener import Listener
from syndet_ray.search.search import Display, Search, halt_message
from syndet_ray.search.task import RunSettings
from syndet_ray.tracking.backup import Backup, check_models, run_address
from syndet_ray.tracking.mirror import Mirror
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tuning import scoring
from syndet_ray.tuning.checkpoints import Checkpoints
from syndet_ray.tuning.options import Options, Outcome, Status
from syndet_ray.tuning.packages import Packages
from syndet_ray.tuning.publish import (
    MLFLOW_STATUS,
    open_tracking,
    publish_best,
    publish_files,
    record_parent,
)
from syndet_ray.tuning.record import record_end
from syndet_ray.wording import command_line, counted
from syndet_ray.workers.disk import fault, places
from syndet_ray.workers.stop import Stop

if TYPE_CHECKING:
    from syndet_ray.tracking.tensorboard import TensorBoard
    from syndet_ray.workers.local import Local
    from syndet_ray.workers.tune import OnRay

_PATIENCE_S = 60.0  # how long a run waits at its end for an MLflow or a store that does not answer
# The same for a run that was stopped: a person waits, or the machine is about to go. A request that
# hangs is not waited for either.
_STOPPED_PATIENCE_S = 5.0


def carry_out(
    folder: RunFolder,
    options: Options,
    data: RealData,
    *,
    runner: "OnRay | Local",
    display: Display,
    lease: Lease | None,
    stop: Stop,
) -> Outcome:
    """Makes one attempt to bring a run to its end, from the state of its ledger."""
    if lease is not None:
        stop.give_back = lease.release
    backup = Backup(folder, options.storage, display.note, lease)
    with backup.copying():
        try:
            tracking = open_tracking(folder, options, display)
        except KeyboardInterrupt:
            with suppress(OSError, MachineError):  # resume does not need this record
                record_end(folder, "interrupted")
            raise
        attempt = Attempt(
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
        outcome = stop.outcome = _outcome(attempt)
    return outcome


def _outcome(attempt: "Attempt") -> Outcome:
    """Makes the attempt; returns how the run ended."""
    status: Status = "failed"
    try:
        status = attempt.carry_out()
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as error:
        attempt.blame_the_disk(error)
        status = "interrupted"
    finally:
        ending = attempt.end(status)
    folder, tracking = attempt.folder, attempt.tracking
    images = sum(trial.images for trial in folder.trials())
    why = attempt.options.budget.reached_limit(folder.ledger.elapsed_s() / 3600, images)
    unwritten = None
    if ending.unwritten:
        unwritten = _unwritten_error(tracking, ending.unwritten, folder)
    return Outcome(
        folder=folder,
        status=ending.status,
        why=why or "its budget is spent",
        trials_url=tracking.link,
        unwritten=unwritten,
        is_reported=ending.is_reported,
    )


def _board(folder: RunFolder, display: Display) -> "TensorBoard":
    from syndet_ray.tracking.tensorboard import TensorBoard

    return TensorBoard(folder, folder.sweep, display.note)


def _unwritten_error(tracking: Tracking, missing: str, folder: RunFolder) -> MachineError:
    resume = command_line("resume", folder.path)
    do = f"The run's folder has all of it. Once the store can be written, run: {resume}"
    has_answered = bool(tracking.parent)
    rule = f"lacks {missing}" if has_answered else f"never answered, and may lack {missing}"
    return MachineError(tracking.place, rule, do=do)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of an attempt.

    unwritten    what MLflow lacks, in words, or ""
    is_reported  False if the report could not be written
    """

    status: Status
    unwritten: str = ""
    is_reported: bool = True


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to carry out a run."""

    folder: RunFolder
    options: Options
    data: RealData
    runner: "OnRay | Local"
    tracking: Tracking
    display: Display
    board: "TensorBoard | None"
    backup: Backup
    stop: Stop

    def carry_out(self) -> Status:
        """Searches, confirms and opens the test set; returns how that ended."""
        search = Search(
            self.folder, self.folder.sweep, self.display, self._listeners(), self.options.budget
        )
        try:
            is_trained = self._train(search) and self._confirm(search)
        except BaseException:
            search.interrupt()
            search.close(_STOPPED_PATIENCE_S)
            raise
        search.close(_PATIENCE_S)
        if is_trained:
            self.stop.check()
            return self._conclude()
        search.interrupt()
        return "spent" if search.spent else "interrupted"

    def _listeners(self) -> list[Listener]:
        sweep, note, backup = self.folder.sweep, self.display.note, self.backup
        checkpoints = Checkpoints(
            self._home, sweep, note, backup.copy_ledger, lambda: backup.is_ours
        )
        mirror = Mirror(self.folder, sweep, note)
        listeners: list[Listener] = [self.tracking, mirror, checkpoints, Packages(note), self.stop]
        if self.board is not None:
            listeners.append(self.board)
        return listeners

    @property
    def _home(self) -> str:
        return run_address(self.folder, self.options.storage)

    def _train(self, search: Search) -> bool:
        """Runs all trials that remain; False if they were stopped before their end."""
        sweep = self.folder.sweep
        settings = RunSettings(
            rungs=sweep.rungs,
            seed=sweep.seed,
            cache=str(self.options.cache),
            classes=sweep.classes,
        )
        trials = len(search.trials) + search.remaining - search.unfinished
        self.display.begin(trials, sweep.recipe.training.images)
        if search.remaining:
            self.runner.search(search, settings, self.data, self._home)
        return search.is_over

    def _confirm(self, search: Search) -> bool:
        """Trains the best recipes and the controls again; False if that was stopped before its
        end.
        """
        confirm_rules = self.folder.sweep.confirm
        chosen = finalists(self.folder.trials(), confirm_rules.top)
        if not confirm_rules.seeds or all(trial.role != "search" for trial in chosen):
            return True
        search.confirm(chosen)
        while search.remaining:
            if not self._train(search):
                return False
            search.confirm(chosen)  # again for trials that were lost with their machine
        return True

    def _conclude(self) -> Status:
        """Opens the test set for the best recipes and the controls, and keeps the champion.

        Returns "failed" if no trial finished.
        """
        recipes = scoring.scored_recipes(self.folder.trials())
        if not recipes:
            return "failed"
        if not scoring.is_scored(recipes, self.folder.test()):
            self._open_test_set(recipes)
        with self.display.step("keeping the best model"):
            self._keep_best(recipes[BEST])
        return "finished"

    def _open_test_set(self, recipes: dict[RowKey, Candidate]) -> None:
        outlast(partial(check_models, self.folder, scoring.models_of(recipes)))
        note = self.display.note
        count = counted(len(recipes), "recipe")
        note(f"training is over; {count} to score on the test set")
        scoring.open_test_set(
            self.folder,
            recipes,
            self.data.pools["test"],
            self.runner,
            cache=self.options.cache,
            progress=partial(self.display.progress, "scoring models"),
            note=note,
        )

    def _keep_best(self, best: Candidate) -> None:
        """Keeps pictures that the best recipe was trained on; sends its scores and its model to
        MLflow.
        """
        show_training(
            self.folder,
            best.trial,
            self.data.pools["train"],
            self.options.cache,
            self.display.note,
            others=self.data.others,
        )
        publish_best(self.folder, best, self.tracking)

    def end(self, status: Status) -> Ending:
        """Writes to all places how the attempt ended; returns the ending.

        If it is interrupted while it writes, or a disk is full, the rest is left to `resume`: the
        run counts as interrupted.
        """
        try:
            return self._write_end(status)
        except KeyboardInterrupt:
            return self._write_end("interrupted")
        except Exception as error:
            self.blame_the_disk(error)
            return self._write_end("interrupted")
        finally:
            self.tracking.close()
            self.display.end()

    def blame_the_disk(self, error: Exception) -> None:
        """Notes which disk of this machine cannot be written. If none is to blame, it raises the
        error again.
        """
        disk_fault = fault(error, (self.folder.path, *places(self.options.cache)))
        if disk_fault is None:
            raise error
        self.display.note(halt_message(disk_fault))

    def _write_end(self, status: Status) -> Ending:
        """Writes how the attempt ended to the folder, to the storage and to MLflow. If one of them
        fails, the next are written all the same.

        MLflow comes last: it may hang until the machine is gone. If the storage lacks something
        then, `Backup.copying` raises when it ends.
        """
        self._record_end(status)
        # A report takes time, and that of an unfinished run has no answer yet: `report` writes it.
        is_reported = self.publish() if status in ("finished", "failed") else True
        if self.board is not None:
            self.board.end()
        is_stopped = status == "interrupted"
        patience_s = _STOPPED_PATIENCE_S if is_stopped else _PATIENCE_S
        limit_s = _STOPPED_PATIENCE_S if is_stopped else math.inf
        if self.backup.address is not None:
            with self.display.step(f"copying the run to {self.backup.address}"):
                self.backup.copy(patience_s, limit_s)
        with self.display.step("handing the run to MLflow"):
            unwritten = self.tracking.end(MLFLOW_STATUS[status], patience_s, limit_s)
        with suppress(OSError, MachineError):  # `resume` finds the run without this record
            record_parent(self.folder, self.tracking)
        return Ending(status=status, unwritten=unwritten, is_reported=is_reported)

    def _record_end(self, status: Status) -> None:
        try:
            record_end(self.folder, status)
        except (OSError, MachineError):
            if status != "interrupted":
                raise
            rule = "does not record how the run ended; resume does not need that"
            self.display.note(f"{self.folder.path} {rule}")

    def publish(self) -> bool:
        """Writes the report and sends the run's files to MLflow; False if there is no report."""
        folder, is_reported = self.folder, self._report()
        publish_files(folder, self.tracking, is_reported=is_reported)
        if self.board is not None:
            self.board.publish(folder)
        return is_reported

    def _report(self) -> bool:
        """Writes the report, and its answer as the description of the run in MLflow. Any error
        becomes a note.
        """
        folder = self.folder
        try:
            run = folder.read()
            with self.display.step("writing the report"):
                page.write(run, folder, partial(self.display.progress, "figures of the report"))
            self.tracking.describe(f"{run.sweep.question}\n\n{answer(run)}")
        # the results of hours of training must still reach the storage and MLflow
        except Exception as error:
            self._note_report_error(error)
            return False
        return True

    def _note_report_error(self, error: Exception) -> None:
        reason = message(error).rstrip(".")
        do = f"{command_line('report', self.folder.path)} writes it"
        self.display.note(f"the report could not be written ({reason}): {do}")
        with suppress(OSError, MachineError):
            write_whole(self.folder.report_error, traceback_text(error).encode())
