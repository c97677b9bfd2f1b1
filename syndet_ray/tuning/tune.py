"""Ray Tune: runs the trials of a search on this machine or a cluster.

Tune schedules, keeps checkpoints and restarts trials that lost their worker. It decides nothing else: proposals come
from `Search`, which also says which trials stop. Nothing is restored from Ray's own state files (they are pickles, and
can be torn by a kill); a run is resumed from our ledger.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import fetched
from syndet_ray.errors import SyndetError
from syndet_ray.tuning.ahead import Ahead, fetched_set, this_node
from syndet_ray.tuning.cluster import RETRIES, Resources, device, spare_cores
from syndet_ray.tuning.search import Assignment, Search


@dataclass(frozen=True)
class TrialSettings:
    """What every trial of a run has in common.

    node  where scenes are rendered ahead of the trials; None lets each trial render its own
    """

    rungs: int
    seed: int
    cache: str
    node: str | None = None


def run_search(
    search: Search, settings: TrialSettings, pools: Mapping[str, Pool], storage: str, use: Resources
) -> bool:
    """Runs every remaining trial of the search; False when it was interrupted before the end.

    `pools` holds "train" and "val"; `storage` is the folder or s3:// address under which checkpoints/ is kept.
    """
    if spare_cores(use) > 0:
        settings = replace(settings, node=this_node())
    trainable = tune.with_resources(
        tune.with_parameters(_trainable, train=pools["train"], val=pools["val"]), {"cpu": use.cpus, "gpu": use.gpus}
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_Proposals(search, settings, use),
            scheduler=_Decisions(search),
            num_samples=search.remaining,
            max_concurrent_trials=use.parallel,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="checkpoints",
            storage_path=storage,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            callbacks=[_Events(search)],
            verbose=0,
        ),
    )
    with _sigterm_as_interrupt():
        tuner.fit()
    return search.remaining == 0 and all(trial.state != "RUNNING" for trial in search.trials.values())


class _Stateless:
    """Ray pickles searchers, schedulers and callbacks into files that we never read: there is nothing to write."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Proposals(_Stateless, Searcher):
    """Hands the search's proposals to Tune."""

    def __init__(self, search: Search, settings: TrialSettings, use: Resources) -> None:
        super().__init__()
        self._search, self._settings, self._use = search, settings, use
        self._running: set[str] = set()
        self._held: list[Assignment] = []  # proposed, and not yet begun
        self._exhausted = False
        self._ahead = Ahead(Path(settings.cache)) if settings.node else None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        free = self._use.parallel - len(self._running)
        # One more than can begin now: its scenes are rendered while the others train.
        wanted = free if self._ahead is None else free + 1
        while not self._exhausted and len(self._held) < wanted:
            proposed = self._search.propose()
            if proposed is None:
                self._exhausted = True
            else:
                self._held.append(proposed)
        if self._exhausted and not self._held:
            return Searcher.FINISHED
        ready = [assignment for assignment in list(self._held) if self._ready(assignment)]
        if not ready or free <= 0:
            return None
        assignment = ready[0]
        self._held.remove(assignment)
        self._running.add(trial_id)
        task = {
            "number": assignment.proposal.number,
            "recipe": assignment.proposal.recipe.flat(),
            "threads": self._use.cpus,
            "checkpoint": assignment.checkpoint,
            **asdict(self._settings),
        }
        return {"task": task}

    def _ready(self, assignment: Assignment) -> bool:
        """Whether the scenes of a trial are there; a trial whose scenes cannot be had has failed, and is held no more."""
        recipe = assignment.proposal.recipe
        if self._ahead is None or recipe.mix.synthetic == 0:
            return True
        try:
            return self._ahead.ready(recipe.scene, recipe.mix.synthetic_images, self._settings.seed)
        except SyndetError as error:
            self._held.remove(assignment)
            self._search.end(assignment.proposal.number, failure=str(error))
            return False

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
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
        if "failure" in result:
            self._search.end(number, failure=result["failure"])
            return TrialScheduler.STOP
        metrics = {key.removeprefix("metrics/"): value for key, value in result.items() if key.startswith("metrics/")}
        effective = {
            key.removeprefix("effective/"): value for key, value in result.items() if key.startswith("effective/")
        }
        stop = self._search.report(number, result["images"], metrics, effective)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


class _Events(_Stateless, tune.Callback):
    """Passes checkpoints, restarts and ends on to the search."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def on_trial_save(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.checkpoint is not None:
            self._search.checkpoint(_number(trial), _address(trial.checkpoint))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.retry(_number(trial), _last_words(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.end(_number(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        failure = f"its worker failed {trial.run_metadata.num_failures} times, at last with: {_last_words(trial)}"
        self._search.end(_number(trial), failure=failure)


def _trainable(config: dict[str, Any], train: Pool, val: Pool) -> None:
    """What Tune runs in a worker. A failure of the trial is reported, not raised: Tune's retries are for lost workers."""
    import torch

    from syndet_ray.scenes.generate import generate
    from syndet_ray.tuning.trial import Task, run_trial

    task = Task(**config["task"])
    scenes = generate if task.node is None else partial(fetched_set, node=task.node)
    try:
        with _restored(task.checkpoint) as folder:
            run_trial(task, train, val, scenes=scenes, device=torch.device(device()), restore=folder, report=_report)
    except SyndetError as error:
        tune.report({"failure": str(error)})
    except Exception as error:
        tune.report({"failure": f"{type(error).__name__}: {error}"})
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the next trial runs in the same process


def _report(images: int, metrics: dict[str, float], effective: dict[str, Any], folder: Path) -> None:
    flat = {f"metrics/{key}": value for key, value in metrics.items()}
    flat |= {f"effective/{key}": value for key, value in effective.items()}
    tune.report({"images": images, **flat}, checkpoint=tune.Checkpoint.from_directory(folder))


@contextmanager
def _restored(address: str | None) -> Iterator[Path | None]:
    """A local copy of the checkpoint to go on from: Tune's own after a lost worker, else that of an earlier attempt."""
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


def _address(checkpoint: Any) -> str:
    """A path, or an s3:// address where the checkpoint lies on S3."""
    return f"s3://{checkpoint.path}" if checkpoint.filesystem.type_name == "s3" else checkpoint.path


def _number(trial: Any) -> int:
    return trial.config["task"]["number"]


def _trial_name(trial: Any) -> str:
    return f"trial-{_number(trial):03d}"


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a search as Ctrl-C does: gracefully, leaving it resumable."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
