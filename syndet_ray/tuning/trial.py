"""Trial: train one recipe from rung to rung, scoring the real validation set at each. Knows nothing of Ray."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from syndet_ray import seeds
from syndet_ray.data.pool import Pool, aligned
from syndet_ray.data.read import check_classes
from syndet_ray.detection.score import predict, score
from syndet_ray.detection.train import Trainer
from syndet_ray.errors import SyndetError
from syndet_ray.recipe import Recipe, SceneParameters
from syndet_ray.scenes.generate import generate
from syndet_ray.sweep import rung_images


@dataclass(frozen=True)
class Task:
    """What a worker needs to know to run a trial, as plain values.

    recipe      every setting by dotted path
    seed        of the sweep; training draws from (seed, trial number), scenes from the sweep's seed alone, so that
                trials with the same scene parameters share one rendered set
    cache       folder of rendered sets on the worker's node
    threads     CPU cores the trial may use
    checkpoint  where an earlier attempt left off: a path or s3:// address
    node        where the scenes were rendered ahead; None where the trial renders them itself
    """

    number: int
    recipe: dict[str, Any]
    rungs: int
    seed: int
    cache: str
    threads: int
    checkpoint: str | None = None
    node: str | None = None


# (parameters, count, seed, cache) -> the rendered set
Scenes = Callable[[SceneParameters, int, int, Path], Pool]
# (images seen, metrics, effective settings, folder with the checkpoint) -> None; may raise SystemExit to stop the trial
Report = Callable[[int, dict[str, float], dict[str, Any], Path], None]


def run_trial(
    task: Task,
    train: Pool,
    val: Pool,
    *,
    scenes: Scenes = generate,
    device: torch.device,
    restore: Path | None,
    report: Report,
) -> None:
    """Trains the task's recipe on `train` and rendered scenes, and reports at every rung not yet passed.

    Raises SyndetError when a setting in force differs from the proposed one, NonFiniteLoss when training diverges.
    """
    torch.set_num_threads(task.threads)
    recipe = Recipe().replace(task.recipe)
    trainer = Trainer(
        recipe, pools(task, recipe, train, scenes), device=device, seed=seeds.integer(task.seed, "train", task.number)
    )
    if restore is not None:
        trainer.load(restore)
    clock = _FirstStep()
    for images in rung_images(recipe.training.images, task.rungs):
        if images <= trainer.images_seen:
            continue
        stats = trainer.train_until(images, on_step=clock)
        effective = trainer.effective
        check_effective(task.recipe, effective)
        metrics = validation_metrics(trainer.model, val, device) | stats.metrics
        with _checkpoint(trainer) as folder:
            report(images, metrics, effective | {"first_step": clock.first}, folder)


def pools(task: Task, recipe: Recipe, train: Pool, scenes: Scenes = generate) -> Mapping[str, Pool]:
    """The pools that the recipe's mix draws from; a source with no share is neither rendered nor kept."""
    found: dict[str, Pool] = {}
    if recipe.mix.synthetic < 1:
        found["real"] = train
    if recipe.mix.synthetic > 0:
        rendered = scenes(recipe.scene, recipe.mix.synthetic_images, task.seed, Path(task.cache))
        check_classes(train.classes, rendered.classes, "scene.generator")
        found["synthetic"] = aligned(rendered, train.classes)
    return found


def validation_metrics(model: torch.nn.Module, val: Pool, device: torch.device) -> dict[str, float]:
    """COCO scores on the real validation set, each named val/..."""
    scores = score(val, predict(model, val, device=device))
    return {f"val/{name}": value for name, value in scores.metrics.items()}


def check_effective(proposed: Mapping[str, Any], effective: Mapping[str, Any]) -> None:
    """Raises SyndetError unless every setting that the trainer found in force is the proposed one."""
    for path, value in proposed.items():
        found = effective.get(path, value)
        same = abs(found - value) <= 1e-9 * max(1.0, abs(value)) if isinstance(value, float) else found == value
        if not same:
            raise SyndetError(f"trial: {path}", f"was proposed as {value!r} but is not in force so", got=found)


class _FirstStep:
    """Notes when the first training step was done, in seconds since 1970."""

    first: float | None = None

    def __call__(self, images_seen: int) -> None:
        if self.first is None:
            self.first = time.time()


@contextmanager
def _checkpoint(trainer: Trainer) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="syndet-") as folder:
        trainer.save(Path(folder))
        yield Path(folder)
