"""Hooks: a search behind the searcher, scheduler and callback that Ray Tune calls.

All of them run in the driver.
"""

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from syndet_ray.metrics import FIRST_STEP
from syndet_ray.progress import Note
from syndet_ray.runs.results import Trial
from syndet_ray.search.search import Search
from syndet_ray.search.task import RETRIES, Resources, RunSettings, Task
from syndet_ray.workers.moves import Moves
from syndet_ray.workers.report_keys import (
    CAUSE,
    FAILURE,
    FAULT,
    IMAGES,
    NODE,
    NOTICE,
    PARTS,
    RUNG,
    SCENES,
    TEXTS,
    TRACEBACK,
    WAITING,
)
from syndet_ray.workers.trial_scenes import TrialScenes

_NOTE_EVERY_S = 60.0  # all trials wait for the same store


class _Stateless:
    """Keeps Ray from pickling an object.

    Ray writes searchers, schedulers and callbacks into files that we never read.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Proposals(_Stateless, Searcher):
    """Passes the search's proposals to Tune.

    scenes           those that trials wait for
    most_at_once     returns the number of trials that may run now
    check_interrupt  raises the KeyboardInterrupt that is due, if one is
    """

    def __init__(
        self,
        search: Search,
        run: RunSettings,
        use: Resources,
        *,
        scenes: TrialScenes,
        most_at_once: Callable[[], int],
        check_interrupt: Callable[[], None],
    ) -> None:
        super().__init__()
        self._search, self._run, self._use, self._scenes = search, run, use, scenes
        self._most_at_once, self._check_interrupt = most_at_once, check_interrupt
        self._running: set[str] = set()
        self._waiting: list[Trial] = []  # proposed, and not yet started
        # by trial, since when it could start if its scenes were rendered
        self._delayed: dict[int, float] = {}
        self._parts: dict[int, int] = {}  # of batches, by trial that is started again

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # while no trial runs, Tune asks again and again, and does nothing else
        self._check_interrupt()
        most_at_once = self._most_at_once()
        free = most_at_once - len(self._running)
        # One more than can start now: its scenes are rendered while the others train.
        self._propose(free + 1 if self._scenes.are_rendered_ahead else free)
        # a trial that still runs may be lost, and proposed again
        is_over = not self._waiting and not self._running
        if is_over or self._search.spent:  # trials that wait are in the ledger: resume starts them
            return Searcher.FINISHED
        # If one runs at a time, trials start in the order of their numbers, so that a run can be
        # repeated exactly.
        first = self._waiting[:1] if most_at_once == 1 else list(self._waiting)
        ready = [trial for trial in first if self._ready(trial)]
        if free <= 0:
            return None
        if not ready:
            self._note_delay(first[:free])
            return None
        return self._start(ready[0], trial_id)

    def _propose(self, count: int) -> None:
        """Asks the search for trials until `count` wait."""
        while len(self._waiting) < count:
            trial = self._search.propose()
            if trial is None:
                return
            self._waiting.append(trial)

    def _note_delay(self, trials: Sequence[Trial]) -> None:
        """Notes from when on trials could start, but for their scenes."""
        now = time.monotonic()
        for trial in trials:
            self._delayed.setdefault(trial.number, now)

    def _start(self, trial: Trial, trial_id: str) -> dict[str, Any]:
        """Returns the configuration that Tune passes to the trial's worker."""
        self._waiting.remove(trial)
        self._running.add(trial_id)
        now = time.monotonic()
        task = Task(
            trial=trial,
            run=self._run,
            threads=self._use.cpus,
            gpus=self._use.gpus,
            processes=self._use.processes,
            parts=self._parts.pop(trial.number, 1),
            node=self._scenes.node_for(trial),
            waited_s=now - self._delayed.pop(trial.number, now),
        )
        # One value that is no mapping: Tune would keep every number of a mapping as a setting.
        return {"task": task}

    def _ready(self, trial: Trial) -> bool:
        """True if a trial may start. One whose scenes break a rule has ended, and waits no more."""
        if self._scenes.ready(trial, no_trial_runs=not self._running):
            return True
        if self._search.trials[trial.number].state != "RUNNING":
            self._waiting.remove(trial)
        return False

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._running.discard(trial_id)

    def take_back(self, trial_id: str, task: Task) -> None:
        """Starts a trial under another id if Tune gave it up before its worker began.

        It continues from its newest checkpoint: it may have lost an earlier worker.
        """
        if trial_id in self._running:
            self._running.remove(trial_id)
            number = task.trial.number
            self._parts[number] = task.parts
            self._waiting.insert(0, self._search.trials[number])

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # `suggest` limits itself; the answer keeps Tune from queueing further trials

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: the ledger is the state."""


class Decisions(_Stateless, FIFOScheduler):
    """Passes reports to the search, and its decision back.

    moves  moves trials away from nodes that lack what they need
    note   shows a message to the user
    """

    _supports_buffered_results = False

    def __init__(self, search: Search, moves: Moves, note: Note) -> None:
        super().__init__()
        self._search, self._moves, self._note = search, moves, note
        self._leaving: set[str] = set()  # machines that are about to be taken away
        self._noted_waiting_s = -math.inf  # monotonic clock
        # by the key of what a report says: what is done about it
        self._takers: dict[str, Callable[[Any, Any], None]] = {
            NODE: self._take_node,
            PARTS: self._take_parts,
            SCENES: self._take_scenes,
            NOTICE: self._take_notice,
            WAITING: self._take_waiting,
        }

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._moves.place(trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tune calls it before a trial that failed waits for a node again."""
        self._moves.place(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        for key, take in self._takers.items():
            if key in result:
                take(trial, result[key])
        if self._pass_on(number_of(trial), result):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def _pass_on(self, number: int, result: Mapping[str, Any]) -> bool:
        """Passes a fault, failure or rung to the search; returns whether the trial must stop."""
        if FAULT in result:
            self._search.halt(result[FAULT])
            return True
        if FAILURE in result:
            self._search.end(number, result[FAILURE], result[CAUSE], result[TRACEBACK])
            return True
        # when a trial is over, Tune passes its last result again, or an empty one
        if RUNG not in result:
            return False
        return self._search.report(number, result[IMAGES], **json.loads(result[RUNG]))

    def _take_node(self, trial: Any, text: str) -> None:
        fault = self._moves.take(trial, text)
        if fault is not None:
            self._search.halt(fault)

    def _take_parts(self, trial: Any, parts: int) -> None:
        """Has the trial's next attempt begin with more parts, which is no failure of a worker."""
        trial.config["task"] = replace(trial.config["task"], parts=parts)
        trial.max_failures += 1

    def _take_scenes(self, trial: Any, text: str) -> None:
        self._search.show_scenes(number_of(trial), **json.loads(text))

    def _take_notice(self, trial: Any, text: str) -> None:
        """Notes once that a machine is about to be taken away.

        Its trial may be lost before it reports, and has trained all the same.
        """
        notice = json.loads(text)
        self._search.note_first_step(number_of(trial), notice[FIRST_STEP])
        host = notice["host"]
        if host not in self._leaving:
            self._leaving.add(host)
            self._note(
                f"{host} is about to be taken away ({notice['announced']}): its trials save a "
                "checkpoint now, and continue from there on another machine"
            )

    def _take_waiting(self, trial: Any, text: str) -> None:
        """Notes that a trial waits for a store, unless another one did a moment ago."""
        waiting = json.loads(text)
        now = time.monotonic()
        if now - self._noted_waiting_s >= _NOTE_EVERY_S:
            self._noted_waiting_s = now
            host, error = waiting["host"], waiting["error"]
            self._note(f"trial {number_of(trial)} on {host} waits for a store: {error}")


class Events(_Stateless, tune.Callback):
    """Passes checkpoints, restarts and ends of trials to the search.

    check_interrupt  as for `Proposals`; called between two steps
    on_step          called between two steps
    take_back        called with the id and the task of a trial that Tune gave up before its worker
                     began
    """

    def __init__(
        self,
        search: Search,
        home: str,
        moves: Moves,
        *,
        check_interrupt: Callable[[], None],
        on_step: Callable[[], None],
        take_back: Callable[[str, Task], None],
    ) -> None:
        self._search, self._home, self._moves = search, home, moves
        self._take_back = take_back
        self._check_interrupt, self._on_step = check_interrupt, on_step
        # the images seen by each trial at its newest checkpoint
        self._images: dict[int, int] = defaultdict(int)
        self._trial_count = 0  # trials of Tune that this object has met
        self._unfinished: dict[str, Any] = {}  # those of them that have not ended, by Tune's id

    def stop_workers(self) -> None:
        """Kills the workers of running trials at once.

        The trials have their checkpoints, and Tune would wait 10 s for the current step.
        """
        for trial in self._unfinished.values():
            worker = trial.temporary_state.ray_actor
            if worker is not None:
                ray.kill(worker)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._add_new_trials(trials)
        self._take_back_given_up()
        self._on_step()
        self._check_interrupt()

    def _add_new_trials(self, trials: list[Any]) -> None:
        """Notes the trials that Tune has added since the last step: its list only grows."""
        for trial in trials[self._trial_count :]:
            self._unfinished[trial.trial_id] = trial
        self._trial_count = len(trials)

    def _take_back_given_up(self) -> None:
        """Has the trials started again that Tune gave up before their worker began.

        If the trial before does not end, its worker cannot be used again. Tune then gives up the
        trial that should begin there, and tells nothing of it to searcher and callbacks.
        """
        unfinished = list(self._unfinished.values())
        given_up = [trial for trial in unfinished if trial.status == trial.ERROR]
        for trial in given_up:
            del self._unfinished[trial.trial_id]
            self._take_back(trial.trial_id, trial.config["task"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        # Tune would keep them in memory; the decision has been made
        for name in ("config", *TEXTS):
            result.pop(name, None)

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.checkpoint is not None:
            address = checkpoint_address(trial.checkpoint, self._home)
            self._search.checkpoint(number_of(trial), address)
            self._renew_retries(trial)

    def _renew_retries(self, trial: Any) -> None:
        """Grants a trial that made progress all its retries again.

        Tune counts the failures of a trial's whole life.
        """
        number = number_of(trial)
        images = self._search.trials[number].images
        if images > self._images[number]:
            self._images[number] = images
            trial.max_failures = trial.num_failures + RETRIES

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self._moves.is_moved(trial):
            return
        error = _last_error(trial)
        self._search.retry(number_of(trial), _last_line(error), error)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.end(number_of(trial))
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = _last_error(trial)
        failure = (
            f"its worker failed {RETRIES + 1} times without progress, "
            f"at last with: {_last_line(error)}"
        )
        self._search.end(number_of(trial), failure, "lost", error)
        self._forget(trial)

    def _forget(self, trial: Any) -> None:
        """Drops what is not needed any more.

        Tune has kept statistics of every number in the trial's results.
        """
        self._unfinished.pop(trial.trial_id, None)
        self._images.pop(number_of(trial), None)
        newest = trial.run_metadata.checkpoint_manager.latest_checkpoint_result
        if newest is not None:
            newest.metrics.clear()
        trial.run_metadata.metric_analysis = {}
        trial.run_metadata.metric_n_steps = {}


def number_of(trial: Any) -> int:
    """Returns the number of a trial of Tune's."""
    return trial.config["task"].trial.number


def checkpoint_address(checkpoint: Any, home: str) -> str:
    """Returns the path of a checkpoint, or its s3:// address.

    The address has the endpoint of `home`, which contains the checkpoint.
    """
    if checkpoint.filesystem.type_name != "s3":
        return checkpoint.path
    bucket, _, key = checkpoint.path.partition("/")
    return urlunsplit(urlsplit(home)._replace(netloc=bucket, path=f"/{key}"))


def _last_error(trial: Any) -> str:
    """Returns what Ray has written of the last error of a trial's worker; "" if nothing."""
    try:
        # Ray writes it in the locale's encoding: bytes that are not UTF-8 become �
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except (OSError, TypeError):
        return ""
    # it appends each error under a heading, see handle_error in ray.tune.experiment.Trial
    return re.split(r"^Failure # .*\n", text, flags=re.MULTILINE)[-1].strip()


def _last_line(error: str) -> str:
    lines = error.splitlines()
    return lines[-1] if lines else "unknown"
