"""ProgramTrial: trains one recipe by a program of the user, as `trial` trains ours."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.sweep import rung_images
from syndet_ray.detection.evaluation import rung_metrics
from syndet_ray.detection.program import Workplace
from syndet_ray.detection.program_training import program_training
from syndet_ray.files import temporary_folder
from syndet_ray.metrics import FIRST_STEP
from syndet_ray.search.task import Task
from syndet_ray.workers.effective import check_program


def run_program_trial(
    task: Task,
    pools: Mapping[str, Pool],
    val: Pool,
    *,
    data_settings: Mapping[str, Any],
    device: str,
    restore: Path | None,
    report: Any,
) -> None:
    """Trains the task's recipe by its program, and reports at every rung that is not yet passed.

    pools          by source
    data_settings  effective settings of the data, which the program does not know
    report         as for `run_trial`; the program is told to stop if it raises an exception

    Raises SyndetError if the program does not follow the protocol, or if an effective setting
    differs from the proposed one, as `run_trial` does. What the program does is known at its first
    rung, not before.
    """
    trial, run = task.trial, task.run
    recipe, searched = trial.recipe, tuple(trial.params)
    workplace = Workplace(cache=Path(run.cache), device=device, threads=task.threads)
    seed = seeds.integer(run.seed, "train", trial.seed_number)
    rungs = rung_images(recipe.training.images, run.rungs)
    with program_training(
        recipe, pools, val, workplace, seed=seed, rungs=rungs, restore=restore
    ) as training:
        started = time.time()  # nearly the first step: when that is, only the program knows
        for images in training.rungs:
            rung = training.train_until(images)
            effective = {**training.effective(rung), **data_settings}
            check_program(recipe, effective, searched=searched)
            over = images == recipe.training.images
            metrics = rung_metrics(val, rung.predictions, errors=over) | training.metrics(rung)
            with temporary_folder() as folder:
                training.save(rung, folder)
                report(images, metrics, effective | {FIRST_STEP: started}, folder)
