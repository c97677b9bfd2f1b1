"""Trial: trains one recipe from rung to rung, without Ray.

At each rung it scores the real validation set.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from syndet_ray import seeds
from syndet_ray.data.classes import check_classes, rename_classes
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.mix import REAL, Mix, Scenes
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.sweep import rung_images
from syndet_ray.detection.effective import effective_working_px
from syndet_ray.detection.evaluation import rung_metrics
from syndet_ray.detection.memory import limit_memory
from syndet_ray.detection.predict import predict_together
from syndet_ray.detection.team import ALONE, Team
from syndet_ray.detection.threads import limit_threads
from syndet_ray.detection.train import Trainer
from syndet_ray.files import temporary_folder
from syndet_ray.metrics import FIRST_STEP, MACHINE, REAL_IMAGES_THERE, SCENES, SCENES_WAIT
from syndet_ray.runs import machine
from syndet_ray.scenes.generate import generate
from syndet_ray.search.task import Task
from syndet_ray.workers.effective import (
    check_effective,
    check_settings,
    effective_scenes,
    parameters_hash,
)
from syndet_ray.workers.program_trial import run_program_trial
from syndet_ray.workers.usage import Meter, usage_of

# (parameters, count, seed, cache) -> the rendered set
Rendered = Callable[[SceneParameters, int, int, Path], Pool]
# (images seen, metrics, effective settings, folder with the checkpoint) -> None; may raise an
# exception to stop the trial
Report = Callable[[int, dict[str, float], dict[str, Any], Path], None]
# called after each step; may save a checkpoint
AfterStep = Callable[[Trainer], None]


@dataclass(frozen=True)
class TrainingData:
    """Images from which a trial draws its batches.

    pools   by source
    scenes  the parameters with which each rendered source was rendered
    """

    pools: Mapping[str, Pool]
    scenes: Mapping[str, SceneParameters]


def run_trial(
    task: Task,
    train: Pool,
    val: Pool,
    *,
    others: Mapping[str, Pool] = {},
    scenes: Rendered = generate,
    device: torch.device,
    restore: Path | None,
    report: Report,
    after_step: AfterStep = lambda trainer: None,
    team: Team = ALONE,
) -> None:
    """Trains the task's recipe on real images, rendered scenes and other datasets.

    It reports at every rung that is not yet passed. If a team trains together, each of its
    processes calls this, and the first of them reports.

    `others` has the training images of every dataset that the recipe's mix names, by folder.
    Raises SyndetError when an effective setting differs from the proposed one, or when a searched
    setting is not effective; before training, if it is known then. Raises NonFiniteLoss when
    training diverges.
    """
    limit_threads(task.threads)
    limit_memory(device, task.gpus)
    recipe = task.trial.recipe
    data, wait = _data_and_wait(task, train, others, scenes)
    data_settings = _effective_data(recipe, data, train, val) | wait
    with usage_of(device) as meter:
        report_usage = _with_usage(report, meter)
        if recipe.detector.program:
            run_program_trial(
                task,
                data.pools,
                val,
                data_settings=data_settings,
                device=device.type,
                restore=restore,
                report=report_usage,
            )
            return
        trainer = _trainer(task, data.pools, device=device, restore=restore, team=team)
        _train_rungs(
            trainer,
            task,
            val,
            data_settings=data_settings,
            report=report_usage,
            after_step=after_step,
        )


def _data_and_wait(
    task: Task, train: Pool, others: Mapping[str, Pool], scenes: Rendered
) -> tuple[TrainingData, dict[str, Any]]:
    """Returns the images of a trial, and for how many seconds it has waited for them in all."""
    began = time.monotonic()
    data = training_data(task, train, others, scenes)
    waited_s = task.waited_s + time.monotonic() - began
    return data, {SCENES_WAIT: round(waited_s, 2)}


def _with_usage(report: Report, meter: Meter) -> Report:
    """Returns a report with what the trial took of its machine among the metrics."""

    def report_usage(
        images: int, metrics: dict[str, float], effective: dict[str, Any], folder: Path
    ) -> None:
        report(images, metrics | meter.metrics(), effective, folder)

    return report_usage


def _trainer(
    task: Task,
    pools: Mapping[str, Pool],
    *,
    device: torch.device,
    restore: Path | None,
    team: Team,
) -> Trainer:
    trial = task.trial
    return Trainer(
        trial.recipe,
        pools,
        device=device,
        seed=seeds.integer(task.run.seed, "train", trial.seed_number),
        restore=restore,
        team=team,
        parts=task.parts,
    )


def _train_rungs(
    trainer: Trainer,
    task: Task,
    val: Pool,
    *,
    data_settings: Mapping[str, Any],
    report: Report,
    after_step: AfterStep,
) -> None:
    """Trains to each rung that is not yet passed, and reports it; see `run_trial`.

    data_settings  effective settings that the trainer does not see
    """
    recipe, searched = trainer.recipe, tuple(task.trial.params)
    check_settings(recipe, {**trainer.effective, **data_settings}, searched=searched)
    first_step = _FirstStep()

    def on_step(images_seen: int) -> None:
        first_step.note()
        after_step(trainer)

    for images in rung_images(recipe.training.images, task.run.rungs):
        if images <= trainer.images_seen:
            continue
        stats = trainer.train_until(images, on_step=on_step)
        effective = {**trainer.effective, **data_settings, FIRST_STEP: first_step.time_s}
        check_effective(recipe, effective, searched=searched)
        over = images == recipe.training.images
        predictions = predict_together(trainer.model, val, device=trainer.device, team=trainer.team)
        if predictions is None:  # the first process of the team has them all
            continue
        metrics = rung_metrics(val, predictions, errors=over) | stats.metrics
        with checkpoint(trainer) as folder:
            report(images, metrics, effective, folder)


def training_data(
    task: Task,
    train: Pool,
    others: Mapping[str, Pool] = {},
    scenes: Rendered = generate,
) -> TrainingData:
    """Returns the pools that the mix of the task's recipe draws from.

    A source with no share is neither rendered nor kept. Raises DataError for other classes than
    those of the real images, or for more real images than there are.
    """
    recipe, run = task.trial.recipe, task.run
    shares, rendered = recipe.mix.shares, recipe.scenes()
    pools, scene_parameters = dict[str, Pool](), dict[str, SceneParameters]()
    if shares[REAL] > 0:
        pools[REAL] = _real(recipe.mix, train, run.seed)
    for name, source in recipe.mix.sources.items():
        if shares[name] == 0:
            continue
        if isinstance(source, Scenes):
            parameters, count = rendered[name]
            rendered_pool = scenes(parameters, count, run.seed, Path(run.cache))
            # photos that are pasted on have the run's classes already
            names = {} if parameters.pastes else run.classes
            pool, place = rename_classes(rendered_pool, names), "scene.generator"
            scene_parameters[name] = parameters
        else:
            assert source.folder in others, (
                f"a run decodes every folder, but {source.folder} was not passed to the trial"
            )
            pool, place = others[source.folder], source.folder
        check_classes(train.classes, pool.classes, place)
        pools[name] = align_labels(pool, train.classes)
    return TrainingData(pools=pools, scenes=scene_parameters)


def _effective_data(recipe: Recipe, data: TrainingData, train: Pool, val: Pool) -> dict[str, Any]:
    """Returns the settings and facts that the trainer does not see.

    They are how scenes were rendered, the scale of photos, what trains, and the machine.
    """
    photos = [pool for name, pool in data.pools.items() if name not in data.scenes]
    return {
        "detector.working_px": effective_working_px([val, *photos]),
        "detector.program": recipe.detector.program,
        **effective_scenes(recipe.mix, data.scenes),
        SCENES: {name: parameters_hash(parameters) for name, parameters in data.scenes.items()},
        REAL_IMAGES_THERE: len(train),
        MACHINE: machine.worker(),
    }


def _real(mix: Mix, train: Pool, seed: int) -> Pool:
    return nested_subset(train, mix.real_count(len(train)), seed)


class _FirstStep:
    """Stores when the first training step was done, in seconds since 1970."""

    time_s: float | None = None

    def note(self) -> None:
        """Notes that a step is done; only the first one counts."""
        if self.time_s is None:
            self.time_s = time.time()


@contextmanager
def checkpoint(trainer: Trainer) -> Iterator[Path]:
    """Gives a folder with a checkpoint, which is deleted afterwards."""
    with temporary_folder() as folder:
        trainer.save(folder)
        yield folder
