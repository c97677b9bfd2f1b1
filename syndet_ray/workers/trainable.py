"""Trainable: trains one trial on a worker, as Ray Tune asks, and reports to the driver."""

import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.train._internal import storage

from syndet_ray.data.outage import outlast
from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import copy_whole, local_copy
from syndet_ray.errors import NeedsParts, reason, unexpected_traceback
from syndet_ray.metrics import FIRST_STEP
from syndet_ray.progress import Note
from syndet_ray.search.task import Task, cause_of, worth_another_try
from syndet_ray.workers import disk
from syndet_ray.workers.ahead import scenes_from
from syndet_ray.workers.moves import admit_trial
from syndet_ray.workers.nodes.here import device
from syndet_ray.workers.nodes.notice import EarlySaves, notices
from syndet_ray.workers.report_keys import (
    CAUSE,
    FAILURE,
    FAULT,
    IMAGES,
    NOTICE,
    PARTS,
    RUNG,
    SCENES,
    TRACEBACK,
    WAITING,
)

if TYPE_CHECKING:
    from syndet_ray.detection.train import Trainer

# A report waits for the driver, so that rendering reports its progress rarely.
_SCENES_EVERY_S = 2.0
# How long Tune waits in a worker for a trial that it stopped, before it starts the next one there;
# by default 2 s. A program may take 5 s to end, and much longer on a busy machine.
END_LIMIT_VARIABLE = "TUNE_FUNCTION_THREAD_TIMEOUT_S"
os.environ.setdefault(END_LIMIT_VARIABLE, "120")


def train_alone(config: dict[str, Any], train: Pool, val: Pool, others: Mapping[str, Pool]) -> None:
    """Runs the Task in `config` in this process, if its node has what trials need."""
    admit_trial()
    train_task(config, train, val, others)


def train_together(config: dict[str, Any], pools: Sequence[Any]) -> None:
    """Runs the Task in `config` in several processes, of which this is the first.

    All of them share a node; it must have what trials need.

    pools  one reference to the pools (train, val, others)
    """
    admit_trial()
    train, val, others = ray.get(pools[0])
    train_task(config, train, val, others, stored=pools[0])


def train_task(
    config: dict[str, Any],
    train: Pool,
    val: Pool,
    others: Mapping[str, Pool],
    stored: Any = None,
) -> None:
    """Runs the Task in `config`.

    A mistake in the recipe, and any error before the first report, is reported and not raised: it
    would happen again. An error that is raised makes Tune try again from the last checkpoint, as
    for lost workers. If a disk of this machine cannot be written, that is reported too, and halts
    the search: it would fail all trials.

    stored  a reference to the pools, if several processes train together
    """
    _copy_checkpoints_whole()
    task: Task = config["task"]
    has_checkpoint = task.trial.checkpoint is not None or tune.get_checkpoint() is not None
    reports = Reports(has_begun=has_checkpoint, early=EarlySaves(notices()))
    try:
        _train(task, reports, train, val, others=others, stored=stored)
    except Exception as error:
        fault = disk.fault(error, disk.places(Path(task.run.cache)))
        if fault is not None:
            tune.report({FAULT: f"on {socket.gethostname()}, {fault}"})
            return
        if isinstance(error, NeedsParts):
            tune.report({PARTS: error.parts})
        if worth_another_try(error, reports.has_begun):
            # Python prints notes last, and `hooks` takes the last line of what Ray prints.
            error.add_note(reason(error))
            raise
        cause = cause_of(error, reports.has_begun)
        traceback = unexpected_traceback(error)
        tune.report({FAILURE: reason(error), CAUSE: cause, TRACEBACK: traceback})


def _train(
    task: Task,
    reports: "Reports",
    train: Pool,
    val: Pool,
    *,
    others: Mapping[str, Pool],
    stored: Any,
) -> None:
    """Trains a task from its last checkpoint."""
    # Imported here, where `train_task` catches errors: on a full disk imports may fail too.
    import torch

    from syndet_ray.workers.members import team_of
    from syndet_ray.workers.trial import run_trial

    scenes = scenes_from(task.node, reports.scenes)
    try:
        with (
            _restore(task.trial.checkpoint, reports.waiting) as folder,
            team_of(task, stored, folder, scenes) as team,
        ):
            run_trial(
                task,
                train,
                val,
                others=others,
                scenes=scenes,
                device=torch.device(device()),
                restore=folder,
                report=reports.report,
                after_step=reports.save_early,
                team=team,
            )
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the next trial runs in the same process


@dataclass(kw_only=True)
class Reports:
    """Reports to Tune.

    has_begun  whether the trial has reported a checkpoint, in this attempt or before
    early      says when a checkpoint between two rungs is due
    """

    has_begun: bool
    early: EarlySaves = field(default_factory=partial(EarlySaves, None))
    _last_scenes_s: float = field(default=-math.inf, init=False)  # the last report of scenes
    _first_step: float | None = field(default=None, init=False)  # when it was done, since 1970

    def scenes(self, done: int, total: int) -> None:
        """Reports the number of rendered scenes of the trial, every few seconds.

        It does so rarely, because a report waits until the driver has received it.
        """
        now = time.monotonic()
        if done == total or now - self._last_scenes_s >= _SCENES_EVERY_S:
            self._last_scenes_s = now
            tune.report({SCENES: json.dumps({"done": done, "total": total})})

    def report(
        self, images: int, metrics: dict[str, float], effective: dict[str, Any], folder: Path
    ) -> None:
        """Reports a rung and its checkpoint, which is in `folder`."""
        self.has_begun = True
        # One text: Tune keeps a history and statistics of every number that it sees.
        rung = json.dumps({"metrics": metrics, "effective": effective})
        self._report_checkpoint({IMAGES: images, RUNG: rung}, folder)

    def waiting(self, error: str) -> None:
        """Reports that the trial waits for a store that fails."""
        waiting = {"host": socket.gethostname(), "error": error}
        tune.report({WAITING: json.dumps(waiting)})

    def save_early(self, trainer: "Trainer") -> None:
        """Reports a checkpoint between two rungs if this machine is about to be taken away.

        It is called after each step.
        """
        if self._first_step is None:
            self._first_step = time.time()
        announced = self.early.due
        if announced is None:
            return
        from syndet_ray.workers.trial import checkpoint

        self.has_begun = True
        host = socket.gethostname()
        notice = {"host": host, "announced": announced, FIRST_STEP: self._first_step}
        with checkpoint(trainer) as folder:
            self._report_checkpoint({NOTICE: json.dumps(notice)}, folder)
        self.early.note_saved()

    def _report_checkpoint(self, facts: dict[str, Any], folder: Path) -> None:
        """Reports facts with the checkpoint in `folder`, once the store has it.

        A store that fails is waited for: without its checkpoint the trial would lose the work since
        the last one.
        """
        checkpoint = tune.Checkpoint.from_directory(folder)
        outlast(partial(tune.report, facts, checkpoint=checkpoint), note=self.waiting)


def _copy_checkpoints_whole() -> None:
    """Makes Tune check that all files of a checkpoint have arrived in the store, see `copy_whole`.

    Tune has no public way to its copy of a checkpoint.
    """

    def copy(
        source: str,
        destination: str,
        source_filesystem: Any = None,
        destination_filesystem: Any = None,
    ) -> None:
        local = LocalFileSystem()
        stores = source_filesystem or local, destination_filesystem or local
        copy_whole(str(source), str(destination), *stores)

    storage._pyarrow_fs_copy_files = copy


@contextmanager
def _restore(address: str | None, waiting: Note) -> Iterator[Path | None]:
    """A local copy of the checkpoint to continue from; None for a trial that starts.

    After a lost worker it is Tune's own, else that of an earlier attempt. A store that fails is
    waited for.

    waiting  receives the error of such a store
    """
    checkpoint = tune.get_checkpoint()
    with ExitStack() as stack:

        def copy() -> Path | None:
            if checkpoint is not None:
                return Path(stack.enter_context(checkpoint.as_directory()))
            return None if address is None else stack.enter_context(local_copy(address))

        yield outlast(copy, note=waiting)
