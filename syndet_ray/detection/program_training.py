"""ProgramTraining: a training by a program of the user, from rung to rung, and its saved models."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.program import words_of
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.detection.draws import drawn_from, planned_images, pool_facts, realised_shares
from syndet_ray.detection.effective import effective_mix
from syndet_ray.detection.memory import limited_fraction
from syndet_ray.detection.program import LOG, Program, Workplace, running
from syndet_ray.detection.program_files import ORDER, image_files, write_order, write_task
from syndet_ray.detection.program_report import RungReport, read_predictions, read_rung
from syndet_ray.detection.score import Predictions
from syndet_ray.detection.trained_photos import write_trained_photos
from syndet_ray.errors import DataError
from syndet_ray.files import temporary_folder
from syndet_ray.metrics import (
    DRAWN,
    IMAGES_PER_SECOND,
    IMAGES_SEEN,
    PLANNED,
    POOLS,
    REAL_IMAGES,
)

# Parts of a saved model: facts, and the folder that the program wrote.
SAVED_PROGRAM, MODEL = "program.json", "model"
_SETTING = "detector.program"
# facts of a saved model
_IMAGES_SEEN, _SLOWEST_S, _VAL_IMAGES = "images_seen", "slowest_s", "val_images"
_LOG_BYTES = 1 << 20  # of a log, kept beside a model: its end says most
# A rung that takes so many times as long as the slowest before, and so many seconds, hangs.
_PATIENCE, _LEAST_PATIENCE_S = 10.0, 900.0


class ProgramTraining:
    """A running training.

    rungs      images seen at which the program still reports
    slowest_s  seconds of the slowest rung before; 0 at the beginning
    """

    def __init__(
        self,
        recipe: Recipe,
        pools: Mapping[str, Pool],
        val: Pool,
        *,
        program: Program,
        folder: Path,
        task: Mapping[str, Any],
        slowest_s: float,
    ) -> None:
        self.recipe, self.rungs = recipe, tuple(task["rungs"])
        self._pools, self._val = pools, val
        self._program, self._folder, self._task = program, folder, task
        self._images_seen = task["images_seen"]
        self._began = time.perf_counter()
        self._seconds = 0.0  # that the last rung took
        self._last_images = 0  # seen in the last rung
        self._slowest_s = slowest_s

    def train_until(self, images: int) -> RungReport:
        """The program's report of its next rung, which must be at `images`.

        Raises SyndetError as `Program.report` and `read_rung` do.
        """
        if self._images_seen != self._task["images_seen"]:
            self._program.go_on()
            self._began = time.perf_counter()
        place, report = self._program.report(_patience_s(self._slowest_s))
        try:
            rung = read_rung(
                report,
                place,
                self._folder,
                rung=images,
                val=self._val,
                sources=self._pools,
            )
        except DataError as error:
            raise self._program.quote_log(error) from None
        self._seconds = time.perf_counter() - self._began
        self._slowest_s = max(self._slowest_s, self._seconds)
        self._last_images = images - self._images_seen
        self._images_seen = images
        return rung

    def metrics(self, rung: RungReport) -> dict[str, float]:
        """The program's numbers as train/<name>, realised shares, and images/s of the last rung,
        whose time includes start and predictions.
        """
        metrics = {f"train/{name}": value for name, value in rung.metrics.items()}
        metrics[IMAGES_PER_SECOND] = self._last_images / self._seconds
        return metrics | realised_shares(self.recipe.mix, rung.drawn, rung.images)

    def effective(self, rung: RungReport) -> dict[str, Any]:
        """Effective settings and facts, as those of `Trainer.effective`.

        Those of the mix follow from the files that the program was given and from the images that
        it has drawn; those of detector and training are its own.
        """
        return {
            **effective_mix(self.recipe.mix, self._pools),
            **rung.effective,
            "training.images": self.recipe.training.images,
            IMAGES_SEEN: rung.images,
            DRAWN: dict(rung.drawn),
            PLANNED: planned_images(self.recipe, self._pools, rung.images),
            REAL_IMAGES: len(self._pools[REAL]) if REAL in self._pools else 0,
            "device": self._task["device"],
            "seed": self._task["seed"],
            POOLS: {name: pool_facts(pool) for name, pool in self._pools.items()},
        }

    def save(self, rung: RungReport, folder: Path) -> None:
        """Writes the program's checkpoint and all that a later training or prediction needs."""
        facts = {
            "program": self.recipe.detector.program,
            "classes": self._val.classes,
            _IMAGES_SEEN: rung.images,
            _SLOWEST_S: self._slowest_s,
            _VAL_IMAGES: len(self._val),
            "working_px": self.recipe.detector.working_px,
        }
        (folder / SAVED_PROGRAM).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        shutil.copytree(rung.checkpoint, folder / MODEL)
        write_trained_photos(folder, self._pools.values())
        with self._program.log.open("rb") as log:
            log.seek(max(0, self._program.log.stat().st_size - _LOG_BYTES))
            (folder / LOG).write_bytes(log.read())


def _patience_s(slowest_s: float) -> float | None:
    """Seconds that the next rung may take: much more than the slowest took, with whatever runs
    beside it; None for the first, which may compile or download.
    """
    return max(_LEAST_PATIENCE_S, _PATIENCE * slowest_s) if slowest_s else None


@contextmanager
def program_training(
    recipe: Recipe,
    pools: Mapping[str, Pool],
    val: Pool,
    workplace: Workplace,
    *,
    seed: int,
    rungs: Sequence[int],
    restore: Path | None = None,
) -> Iterator[ProgramTraining]:
    """Starts the recipe's program, and ends it with the block.

    pools    "real" and the sources of the mix, by name
    rungs    images seen at which it reports, all of them
    restore  a folder that `ProgramTraining.save` wrote for the same recipe, pools and seed
    """
    sources = drawn_from(recipe.mix, pools)
    facts = {} if restore is None else _facts(restore)
    images_seen = facts.get(_IMAGES_SEEN, 0)
    words = words_of(recipe.detector.program, _SETTING)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder()).resolve()
        files = {}
        for name, pool in sources.items():
            files[name] = stack.enter_context(image_files(pool, workplace.cache, "train"))
        task = _training_task(recipe, workplace, seed=seed, rungs=rungs, images_seen=images_seen)
        task |= {
            "classes": val.classes,
            "order": folder / ORDER,
            "sources": files,
            "val": stack.enter_context(image_files(val, workplace.cache, "val")),
        }
        if restore is not None:
            task["restore"] = shutil.copytree(restore / MODEL, folder / "restore")
        write_order(recipe, sources, seed, rungs, folder / ORDER)
        write_task(folder, "train", task)
        is_restored = restore is not None
        program = stack.enter_context(running(words, folder, workplace, has_reported=is_restored))
        yield ProgramTraining(
            recipe,
            sources,
            val,
            program=program,
            folder=folder,
            task=task,
            slowest_s=facts.get(_SLOWEST_S, 0.0),
        )


def _training_task(
    recipe: Recipe, workplace: Workplace, *, seed: int, rungs: Sequence[int], images_seen: int
) -> dict[str, Any]:
    """The part of a training's task that names no files. images_seen: at the last checkpoint."""
    return {
        "recipe": recipe.flat(),
        "seed": seed,
        "rungs": [images for images in rungs if images > images_seen],
        "images_seen": images_seen,
        "restore": None,
        **_machine(workplace),
    }


def _machine(workplace: Workplace) -> dict[str, Any]:
    """The device, threads and GPU memory that a program may use, for its task.

    The limit of this process's GPU memory does not hold in the program, which has to set its own.
    """
    return {
        "device": workplace.device,
        "threads": workplace.threads,
        "gpu_memory_fraction": limited_fraction(workplace.device),
    }


def predict_by_program(
    model: Path, pool: Pool, command: str, workplace: Workplace
) -> list[Predictions]:
    """The detections of a saved model in every image of the pool, in its pixels.

    The program is started again, without the labels of the images.

    model    a folder that `ProgramTraining.save` wrote
    command  the program, as in detector.program: that of the run, and not what the folder says, for
             a folder from elsewhere must not start programs
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder()).resolve()
        files = stack.enter_context(image_files(pool, workplace.cache, "test", labelled=False))
        task = {
            "classes": pool.classes,
            **_machine(workplace),
            "model": shutil.copytree(model / MODEL, folder / MODEL),
            "images": files,
        }
        write_task(folder, "predict", task)
        words = words_of(command, _SETTING)
        program = stack.enter_context(running(words, folder, workplace, due="its predictions"))
        place, report = program.report(_patience_of(model, len(pool)))
        try:
            return read_predictions(report, place, folder, pool)
        except DataError as error:
            raise program.quote_log(error) from None


def _patience_of(model: Path, images: int) -> float | None:
    """Seconds that predictions may take: a rung had those of the validation images in it."""
    facts = _facts(model)
    share = images / max(1, facts.get(_VAL_IMAGES, images))
    return _patience_s(facts.get(_SLOWEST_S, 0.0) * max(1.0, share))


def is_saved_program(folder: Path) -> bool:
    """True if a folder holds the model of a program."""
    return (folder / SAVED_PROGRAM).is_file()


def _facts(folder: Path) -> dict[str, Any]:
    """The facts on a model that `ProgramTraining.save` wrote."""
    facts: dict[str, Any] = json.loads((folder / SAVED_PROGRAM).read_text(encoding="utf-8"))
    return facts
