"""Local: runs the trials of a search one after another in this process, without Ray.

It is for debugging, notebooks and tests.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from syndet_ray.cores import usable_cores
from syndet_ray.data.real import RealData
from syndet_ray.data.storage import local_copy
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import MachineError, reason, unexpected_traceback
from syndet_ray.files import whole_folder
from syndet_ray.progress import Progress, quiet
from syndet_ray.scenes.generate import generate
from syndet_ray.search.search import Display, Search
from syndet_ray.search.task import (
    RETRIES,
    Resources,
    RunSettings,
    Task,
    cause_of,
    retry,
    worth_another_try,
)
from syndet_ray.workers import disk
from syndet_ray.workers.trial import run_trial


class _Stopped(Exception):
    """Ends a trial that the search stops."""


@dataclass(frozen=True)
class Local:
    """Runs trials and tasks in this process, one at a time."""

    use: Resources
    display: Display

    @property
    def projected_use(self) -> Resources:
        return self.use

    def check(
        self,
        sweep: LoadedSweep,
        data: RealData,
        *,
        runs: Path,
        cache: Path,
        storage: str | None,
        progress: Progress = quiet,
    ) -> None:
        """Does nothing: trials run where everything was checked."""

    def search(self, search: Search, run: RunSettings, data: RealData, home: str) -> None:
        """Runs all trials that a search proposes. home: where their checkpoints lie."""
        checkpoints = Path(home) / "checkpoints"
        search.note_cluster([(usable_cores(), torch.cuda.device_count())], 1, self.use)
        while (trial := search.propose()) is not None:
            self._carry_out(trial.number, search, run, data, checkpoints)

    def tasks(
        self,
        function: Callable[..., Any],
        shared: Any,
        calls: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]:
        """Returns the results of a function, one for each of `calls`; see `Runner`."""
        device = str(_device(self.use))
        results: list[Any] = []
        progress(0, len(calls))
        for arguments in calls:
            call = partial(function, shared, device, self.use.cpus, **arguments)
            results.append(retry(call))
            progress(len(results), len(calls))
        return results

    def _carry_out(
        self, number: int, search: Search, run: RunSettings, data: RealData, checkpoints: Path
    ) -> None:
        """Runs one trial to its end.

        An error that may be temporary is retried, from the last checkpoint. Retries are counted
        since the trial's last progress.
        """
        retries = 0
        while True:
            images = search.trials[number].images
            task = Task(
                trial=search.trials[number],
                run=run,
                threads=self.use.cpus,
                gpus=self.use.gpus,
            )
            try:
                self._attempt(task, search, data, checkpoints)
            except _Stopped:
                pass
            except Exception as error:
                _halt_on_full_disk(error, search, run, checkpoints)
                made_progress = search.trials[number].images > images
                retries = 1 if made_progress else retries + 1
                if _is_retried(error, search, number, retries):
                    continue
                return
            search.end(number)
            return

    def _attempt(self, task: Task, search: Search, data: RealData, checkpoints: Path) -> None:
        """Trains a trial from its last checkpoint. Raises _Stopped if the search stops it."""
        number = task.trial.number
        folder = checkpoints / f"trial-{number:03d}"

        def report(
            images: int, metrics: dict[str, float], effective: dict[str, Any], written: Path
        ) -> None:
            path = _keep(written, folder / f"images-{images:09d}")
            stop = search.report(number, images, metrics, effective)
            search.checkpoint(number, str(path))
            if stop:
                raise _Stopped

        rendering = partial(self.display.progress, "rendering")
        with _restore(task.trial.checkpoint) as restore:
            run_trial(
                task,
                data.pools["train"],
                data.pools["val"],
                others=data.others,
                scenes=partial(generate, progress=rendering),
                device=_device(self.use),
                restore=restore,
                report=report,
            )


def _halt_on_full_disk(
    error: Exception, search: Search, run: RunSettings, checkpoints: Path
) -> None:
    """Halts the search if an error comes from a disk that cannot be written.

    Such a disk would fail all trials. Raises KeyboardInterrupt then.
    """
    fault = disk.fault(error, (checkpoints.parent, *disk.places(Path(run.cache))))
    if fault is not None:
        search.halt(fault)
        search.check()


def _is_retried(error: Exception, search: Search, number: int, retries: int) -> bool:
    """Records a retry of a trial, or ends the trial; True for a retry.

    retries  the number of retries since the trial's last progress, including this one
    """
    failure, traceback = reason(error), unexpected_traceback(error)
    has_begun = bool(search.trials[number].rungs)
    if worth_another_try(error, has_begun) and retries <= RETRIES:
        search.retry(number, failure, traceback)
        return True
    search.end(number, failure, cause_of(error, has_begun), traceback)
    return False


def local_resources(gpus_per_trial: float | None) -> Resources:
    """Returns the resources of the one trial that runs at a time on this machine.

    They are all cores but one, and the GPU if there is one and `gpus_per_trial` is not 0. Raises
    MachineError if a GPU is asked for that this machine does not have, or more than one.
    """
    if gpus_per_trial is not None and gpus_per_trial > 1:
        rule = "must be at most 1 without Ray, where a trial trains in this process"
        raise MachineError("`gpus_per_trial`", rule, got=gpus_per_trial, do="Leave out `local`.")
    gpus = float(torch.cuda.is_available()) if gpus_per_trial is None else gpus_per_trial
    if gpus and not torch.cuda.is_available():
        rule = "this machine has no GPU that torch can use"
        raise MachineError("`gpus_per_trial`", rule, got=gpus, do="Leave it out.")
    return Resources(cpus=max(1, usable_cores() - 1), gpus=gpus, parallel=1)


def _device(use: Resources) -> torch.device:
    return torch.device("cuda" if use.gpus else "cpu")


def _keep(written: Path, path: Path) -> Path:
    """Copies a checkpoint to `path`, completely or not at all; returns `path`."""
    with whole_folder(path) as unfinished:
        shutil.copytree(written, unfinished, dirs_exist_ok=True)
        # left by an attempt that was killed before it reached the ledger
        shutil.rmtree(path, ignore_errors=True)
    return path


@contextmanager
def _restore(address: str | None) -> Iterator[Path | None]:
    """A local copy of the checkpoint to continue from; None for a trial that starts."""
    if address is None:
        yield None
    else:
        with local_copy(address) as folder:
            yield folder
