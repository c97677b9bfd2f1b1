"""Ray Tune: runs the trials of a search on this machine or a cluster.

Tune schedules, keeps checkpoints and restarts trials that lost their worker. It decides nothing
else: proposals come from `Search`, which also says which trials stop. Nothing is restored from
Ray's own state files (they are pickles, and can be torn by a kill); a run is resumed from our
ledger.
"""

import json
import math
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.data.storage import fetched
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import MachineError, SyndetError, message
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.runs.results import Trial
from syndet_ray.search.search import Search
from syndet_ray.search.task import (
    RETRIES,
    Resources,
    RunSettings,
    Task,
    cause_of,
    worth_another_try,
)
from syndet_ray.workers import disk
from syndet_ray.workers.ahead import Ahead, fetched_set, this_node
from syndet_ray.workers.autoscaler import NO_GROWTH, Growth, growth_at
from syndet_ray.workers.cluster import (
    Capacity,
    alive_nodes,
    connection,
    device,
    has_spare_cores,
    resource_words,
    resources,
    run_tasks,
)
from syndet_ray.workers.nodes import check_nodes, needs_of
from syndet_ray.workers.raylet import watched_raylet
from syndet_ray.workers.stop import Loss, deferral, interrupt_for

_SCENES_EVERY_S = 2.0  # between two words of a trial on how far its scenes are


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """Runs trials and tasks on a Ray cluster that this process is connected to.

    capacity  counts how many trials may run at once, as the cluster grows
    growth what may join it
    note   is told what the user should know
    """

    use: Resources
    capacity: Capacity
    growth: Growth
    note: Note

    def check(self, sweep: LoadedSweep, data: RealData, runs: Path, storage: str | None) -> None:
        """Raises MachineError, with all of it, where trials would miss something on a node; see
        `check_nodes`.
        """
        if len(alive_nodes()) == 1 and not self.growth.is_possible:
            # this machine is all there is: preflight has seen its files, which need not be hashed
            # once more
            return
        needs = needs_of(sweep, data.pools["train"].classes, runs, storage)
        check_nodes(needs, self.use, self.growth, self.note)

    def search(self, search: Search, run: RunSettings, data: RealData, home: str) -> None:
        node = this_node() if has_spare_cores(self.use, self.growth) else None
        pools = data.pools
        trainable = tune.with_parameters(
            _trainable, train=pools["train"], val=pools["val"], others=data.others
        )
        run_trials(trainable, search, run, home, self.use, node, self.capacity.trials, self.note)

    def tasks(
        self,
        function: Callable[..., Any],
        shared: Any,
        every: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]:
        return run_tasks(function, shared, every, self.use, progress, self.note)


@contextmanager
def on_ray(
    address: str | None,
    parallel: int | None,
    gpus_per_trial: float | None,
    note: Note = silent,
    on_loss: Loss | None = None,
) -> Iterator[OnRay]:
    """A runner on the Ray cluster at `address`, or on a new one on this machine.

    on_loss  is told where that new one is gone; None says so and interrupts
    """
    with connection(address), watched_raylet(address, on_loss or interrupt_for(note)):
        growth = NO_GROWTH if address is None else growth_at(ray.get_runtime_context().gcs_address)
        use = resources(parallel, gpus_per_trial, growth, note)
        for words in resource_words(use, growth):
            note(words)
        yield OnRay(
            use=use,
            capacity=Capacity(use, growth, fixed=parallel is not None),
            growth=growth,
            note=note,
        )


def run_trials(
    trainable: Any,
    search: Search,
    run: RunSettings,
    home: str,
    use: Resources,
    node: str | None = None,
    most_at_once: Callable[[], int] | None = None,
    note: Note = silent,
) -> None:
    """Has Tune run all trials that a search proposes. `trainable` finds a Task in its config, and
    reports by `Reports`.

    node  where the scenes of a trial are rendered before it begins; None where trials render them
    most_at_once  tells how many trials may run at this moment; None where that is `use.parallel`,
                  always
    note  is told what the user should know of the way in which trials are run
    """
    with deferral() as check_signal:

        def check_interrupt() -> None:
            check_signal()
            search.check()

        proposals = _Proposals(
            search,
            run,
            use,
            node=node,
            most_at_once=most_at_once or (lambda: use.parallel),
            note=note,
            check_interrupt=check_interrupt,
        )
        events = _Events(search, home, check_interrupt)
        try:
            _tuner(trainable, search, home, use, proposals=proposals, events=events).fit()
        except KeyboardInterrupt:
            events.stop_workers()
            raise


def _tuner(
    trainable: Any,
    search: Search,
    home: str,
    use: Resources,
    *,
    proposals: "_Proposals",
    events: "_Events",
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": use.cpus, "gpu": use.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            scheduler=_Decisions(search),
            # without end: the search says when it is over, and what is lost may be asked for again
            num_samples=-1,
            max_concurrent_trials=use.parallel,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name="checkpoints",
            storage_path=home,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[events],
            verbose=0,
        ),
    )


class _Stateless:
    """Ray pickles searchers, schedulers and callbacks into files that we never read: there is
    nothing to write.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Proposals(_Stateless, Searcher):
    """Hands the search's proposals to Tune."""

    def __init__(
        self,
        search: Search,
        run: RunSettings,
        use: Resources,
        *,
        node: str | None,
        most_at_once: Callable[[], int],
        note: Note,
        check_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._search, self._run, self._use, self._node = search, run, use, node
        self._most_at_once, self._note, self._check_interrupt = most_at_once, note, check_interrupt
        self._running: set[str] = set()
        self._waiting: list[Trial] = []  # proposed, and not yet begun
        self._ahead = Ahead(Path(run.cache), note) if node else None
        # trials that render their scenes themselves, because nobody else could
        self._unaided: set[int] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # while no trial runs, Tune asks again and again, and does nothing else
        self._check_interrupt()
        most_at_once = self._most_at_once()
        free = most_at_once - len(self._running)
        # One more than can begin now: its scenes are rendered while the others train.
        wanted = free if self._ahead is None else free + 1
        while len(self._waiting) < wanted:
            proposed = self._search.propose()
            if proposed is None:
                break
            self._waiting.append(proposed)
        # what still runs may be lost, and asked for once more
        is_over = not self._waiting and not self._running
        if is_over or self._search.spent:  # what waits is in the ledger: resume takes it up
            return Searcher.FINISHED
        # One at a time, trials begin in the order of their numbers, so that a run can be repeated
        # exactly.
        first = self._waiting[:1] if most_at_once == 1 else list(self._waiting)
        ready = [trial for trial in first if self._ready(trial)]
        if not ready or free <= 0:
            return None
        trial = ready[0]
        self._waiting.remove(trial)
        self._running.add(trial_id)
        node = None if trial.number in self._unaided else self._node
        # One value that is no mapping: Tune would keep every number of a mapping as a setting.
        return {"task": Task(trial=trial, run=self._run, threads=self._use.cpus, node=node)}

    def _ready(self, trial: Trial) -> bool:
        """Whether a trial may begin: its scenes are there, or it must render them itself.

        A trial that asks for scenes which break a rule has failed, and is waits no more. Where a
        disk of this machine is to blame the search halts. Whatever else goes wrong may have to do
        with this moment alone, such as a generator that fails: the trial renders its scenes where
        it runs, and what goes wrong there is its own.
        """
        number = trial.number
        if self._ahead is None or number in self._unaided:
            return True
        try:
            sets = trial.recipe.scenes().values()
            # all are begun
            ready = [self._ahead.ready(scene, count, self._run.seed) for scene, count in sets]
            if all(ready):
                self._search.hide_scenes(number)
            else:
                self._show_scenes(trial, self._ahead)
            return all(ready)
        except Exception as error:
            fault = disk.fault(error, disk.places(Path(self._run.cache)))
            if fault is not None:
                self._search.halt(fault)
                return False
            breaks_a_rule = isinstance(error, SyndetError) and not isinstance(error, MachineError)
            if breaks_a_rule:
                self._waiting.remove(trial)
                self._search.end(number, failure=str(error))
                return False
            self._unaided.add(number)
            # Ray's own error wraps the one of the worker
            reason = message(getattr(error, "cause", error))
            self._note(
                f"trial {number} renders its scenes itself: they could not be rendered ahead of it ({reason})"
            )
            return True

    def _show_scenes(self, trial: Trial, ahead: Ahead) -> None:
        """Shows how far the scenes are that a trial waits for."""
        sets = list(trial.recipe.scenes().values())
        done = sum(ahead.rendered(scene, count, self._run.seed) for scene, count in sets)
        total = sum(count for _, count in sets)
        if done < total:
            self._search.show_scenes(trial.number, done, total)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._running.discard(trial_id)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # `suggest` limits itself; the answer keeps Tune from queueing further trials

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""


class _Decisions(_Stateless, FIFOScheduler):
    """Passes reports on to the search, and its decision back."""

    _supports_buffered_results = False

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number = _number(trial)
        if "fault" in result:
            self._search.halt(result["fault"])
            return TrialScheduler.STOP
        if "failure" in result:
            self._search.end(number, result["failure"], result["cause"])
            return TrialScheduler.STOP
        if "scenes" in result:
            self._search.show_scenes(number, **json.loads(result["scenes"]))
        # a trial that is over: Tune shows its last result again, and there may be none
        if "told" not in result:
            return TrialScheduler.CONTINUE
        stop = self._search.report(number, result["images"], **json.loads(result["told"]))
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


class _Events(_Stateless, tune.Callback):
    """Passes checkpoints, restarts and ends on to the search, and raises a KeyboardInterrupt that
    is due between two steps.
    """

    def __init__(
        self, search: Search, home: str, check_interrupt: Callable[[], None] = lambda: None
    ) -> None:
        self._search, self._home, self._check_interrupt = search, home, check_interrupt
        # how far each trial has come with a checkpoint
        self._images: dict[int, int] = defaultdict(int)
        self._trials: list[Any] = []

    def stop_workers(self) -> None:
        """Ends the trials that run at once: they have their checkpoints, and Tune would wait 10 s
        for the step they are at.
        """
        workers = [trial.temporary_state.ray_actor for trial in self._trials]
        for worker in workers:
            if worker is not None:
                ray.kill(worker)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._trials = trials
        self._check_interrupt()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        # Tune would keep them in memory; the decision has been made
        for name in ("told", "config", "scenes"):
            result.pop(name, None)

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.checkpoint is not None:
            self._search.checkpoint(
                _number(trial), checkpoint_address(trial.checkpoint, self._home)
            )
            self._note_progress(trial)

    def _note_progress(self, trial: Any) -> None:
        """Grants a trial that came further than ever all its retries again: Tune counts failures
        over its whole life.
        """
        number = _number(trial)
        images = self._search.trials[number].images
        if images > self._images[number]:
            self._images[number] = images
            trial.max_failures = trial.num_failures + RETRIES

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.retry(_number(trial), _last_words(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.end(_number(trial))
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        failure = f"its worker failed {RETRIES + 1} times without progress, at last with: {_last_words(trial)}"
        self._search.end(_number(trial), failure, "lost")
        self._forget(trial)

    def _forget(self, trial: Any) -> None:
        """Lets go of what nobody asks for any more.

        Of every number in its results, Tune has kept statistics.
        """
        self._images.pop(_number(trial), None)
        newest = trial.run_metadata.checkpoint_manager.latest_checkpoint_result
        if newest is not None:
            newest.metrics.clear()
        trial.run_metadata.metric_analysis = {}
        trial.run_metadata.metric_n_steps = {}


def _trainable(config: dict[str, Any], train: Pool, val: Pool, others: Mapping[str, Pool]) -> None:
    """What Tune runs in a worker.

    A mistake in the recipe, and whatever goes wrong before the first report, is reported and not
    raised: it would go wrong again. What is raised, Tune tries again from the last checkpoint, as
    it does for lost workers. A disk of this machine that cannot be written is reported too, and
    halts the search: it would fail all trials.
    """
    task: Task = config["task"]
    reports = Reports(task.trial.checkpoint is not None or tune.get_checkpoint() is not None)
    try:
        _train(task, reports, train, val, others)
    except Exception as error:
        fault = disk.fault(error, disk.places(Path(task.run.cache)))
        if fault is not None:
            tune.report({"fault": f"on {socket.gethostname()}, {fault}"})
            return
        if worth_another_try(error, reports.begun):
            raise
        tune.report({"failure": message(error), "cause": cause_of(error, reports.begun)})


def _train(
    task: Task, reports: "Reports", train: Pool, val: Pool, others: Mapping[str, Pool]
) -> None:
    """Trains a task from where it was left. On a full disk imports may fail too."""
    import torch

    from syndet_ray.scenes.generate import generate
    from syndet_ray.workers.trial import run_trial

    rendering = partial(generate, progress=reports.scenes)
    scenes = rendering if task.node is None else partial(fetched_set, node=task.node)
    here = torch.device(device())
    try:
        with _restored(task.trial.checkpoint) as folder:
            run_trial(
                task,
                train,
                val,
                others=others,
                scenes=scenes,
                device=here,
                restore=folder,
                report=reports.report,
            )
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the next trial runs in the same process


@dataclass
class Reports:
    """Reports to Tune. begun: whether the trial ever told how it trains, in this attempt or before."""

    begun: bool
    _last_scenes_s: float = field(default=-math.inf, init=False)  # when they were told last

    def scenes(self, done: int, total: int) -> None:
        """Tells how many of its scenes are rendered, every few seconds: a report waits until the
        driver has it.
        """
        now = time.monotonic()
        if done == total or now - self._last_scenes_s >= _SCENES_EVERY_S:
            self._last_scenes_s = now
            tune.report({"scenes": json.dumps({"done": done, "total": total})})

    def report(
        self, images: int, metrics: dict[str, float], effective: dict[str, Any], folder: Path
    ) -> None:
        self.begun = True
        # As one text: of every number that it sees, Tune keeps a history and statistics.
        told = json.dumps({"metrics": metrics, "effective": effective})
        tune.report(
            {"images": images, "told": told}, checkpoint=tune.Checkpoint.from_directory(folder)
        )


@contextmanager
def _restored(address: str | None) -> Iterator[Path | None]:
    """A local copy of the checkpoint to go on from: Tune's own after a lost worker, else that of an
    earlier attempt.
    """
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            yield Path(folder)
    elif address is not None:
        with fetched(address) as folder:
            yield folder
    else:
        yield None


def _last_words(trial: Any) -> str:
    """The last line of the error with which a trial's worker went."""
    try:
        lines = Path(trial.error_file).read_text().strip().splitlines()  # the driver's own copy
    except (OSError, TypeError):
        return "unknown"
    return lines[-1] if lines else "unknown"


def checkpoint_address(checkpoint: Any, home: str) -> str:
    """A path, or an s3:// address where the checkpoint lies on S3: with the endpoint of `home`,
    under which it lies.
    """
    if checkpoint.filesystem.type_name != "s3":
        return checkpoint.path
    bucket, _, key = checkpoint.path.partition("/")
    return urlunsplit(urlsplit(home)._replace(netloc=bucket, path=f"/{key}"))


def _number(trial: Any) -> int:
    return trial.config["task"].trial.number


def _trial_name(trial: Any) -> str:
    return f"trial-{_number(trial):03d}"


def _trial_folder(trial: Any) -> str:
    """Another in each attempt: Tune numbers checkpoints anew, and would write over those that the
    attempt goes on from.
    """
    return f"{_trial_name(trial)}-{trial.trial_id}"
