"""Local: runs the trials of a search one after another in this process, without Ray: to debug, in
notebooks, in tests.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.data.storage import fetched
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError, message
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
    retried,
    worth_another_try,
)
from syndet_ray.workers import disk
from syndet_ray.workers.trial import run_trial


class _Stopped(Exception):
    """The search wants no more of a trial."""


@dataclass(frozen=True)
class Local:
    """Runs trials and tasks in this process, one at a time."""

    use: Resources
    display: Display

    def check(self, sweep: LoadedSweep, data: RealData, runs: Path, storage: str | None) -> None:
        """Nothing: trials find what this process has found."""

    def search(self, search: Search, run: RunSettings, data: RealData, home: str) -> None:
        checkpoints = Path(home) / "checkpoints"
        while (trial := search.propose()) is not None:
            self._carry_out(trial.number, search, run, data, checkpoints)

    def tasks(
        self,
        function: Callable[..., Any],
        shared: Any,
        every: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]:
        found: list[Any] = []
        progress(0, len(every))
        for arguments in every:
            found.append(
                retried(
                    partial(function, shared, str(_device(self.use)), self.use.cpus, **arguments)
                )
            )
            progress(len(found), len(every))
        return found

    def _carry_out(
        self,
        number: int,
        search: Search,
        run: RunSettings,
        data: RealData,
        checkpoints: Path,
    ) -> None:
        """Runs one trial to its end. What may go well another time is tried again, from its last
        checkpoint.

        Retries are counted since its last progress. A disk that cannot be written halts the search:
        it would fail all.
        """
        retries = 0
        while True:
            images = search.trials[number].images
            task = Task(trial=search.trials[number], run=run, threads=self.use.cpus)
            try:
                self._attempt(task, search, data, checkpoints)
            except _Stopped:
                pass
            except Exception as error:
                fault = disk.fault(error, (checkpoints.parent, *disk.places(Path(run.cache))))
                if fault is not None:
                    search.halt(fault)
                    search.check()
                trial, failure = search.trials[number], message(error)
                begun = bool(trial.rungs)
                retries = 0 if trial.images > images else retries
                if worth_another_try(error, begun) and retries < RETRIES:
                    retries += 1
                    search.retry(number, failure)
                    continue
                search.end(number, failure, cause_of(error, begun))
                return
            search.end(number)
            return

    def _attempt(
        self,
        task: Task,
        search: Search,
        data: RealData,
        checkpoints: Path,
    ) -> None:
        number = task.trial.number
        folder = checkpoints / f"trial-{number:03d}"

        def report(
            images: int, metrics: dict[str, float], effective: dict[str, Any], written: Path
        ) -> None:
            path = _kept(written, folder / f"images-{images:09d}")
            stop = search.report(number, images, metrics, effective)
            search.checkpoint(number, str(path))
            if stop:
                raise _Stopped

        with _restored(task.trial.checkpoint) as restore:
            run_trial(
                task, data.pools["train"], data.pools["val"], others=data.others, scenes=partial(_scenes, self.display),
                device=_device(self.use), restore=restore, report=report,
            )  # fmt: skip


def _scenes(
    display: Display, parameters: SceneParameters, count: int, seed: int, cache: Path
) -> Pool:
    return generate(parameters, count, seed, cache, partial(display.progress, "rendering"))


def local_resources(gpus_per_trial: float | None) -> Resources:
    """All cores of this machine but one for the one trial that runs, and its GPU where it has one
    and nobody said 0.

    Raises MachineError where a GPU is asked for that this machine does not have.
    """
    gpus = float(torch.cuda.is_available()) if gpus_per_trial is None else gpus_per_trial
    if gpus and not torch.cuda.is_available():
        raise MachineError(
            "`gpus_per_trial`",
            "this machine has no GPU that torch can use",
            got=gpus,
            do="Leave it out.",
        )
    return Resources(cpus=max(1, (os.cpu_count() or 1) - 1), gpus=gpus, parallel=1)


def _device(use: Resources) -> torch.device:
    return torch.device("cuda" if use.gpus else "cpu")


def _kept(written: Path, path: Path) -> Path:
    """A copy of a checkpoint, which is there whole or not at all."""
    with whole_folder(path) as unfinished:
        shutil.copytree(written, unfinished, dirs_exist_ok=True)
        # of an attempt that a kill ended before the ledger knew of it
        shutil.rmtree(path, ignore_errors=True)
    return path


@contextmanager
def _restored(address: str | None) -> Iterator[Path | None]:
    if address is None:
        yield None
    else:
        with fetched(address) as folder:
            yield folder
