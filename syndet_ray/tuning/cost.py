"""Cost: estimates the duration, hours of GPUs and cores, money and disk of a sweep from a few
steps, measured on the machine of its trials.
"""

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.definitions import reach
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.sweep import rung_images
from syndet_ray.errors import DefinitionError
from syndet_ray.files import temporary_folder
from syndet_ray.runs.prices import Prices
from syndet_ray.scenes.generate import render_index
from syndet_ray.search.search import Budget, Display
from syndet_ray.search.task import Resources, Runner
from syndet_ray.tuning import disk
from syndet_ray.tuning.disk import Disk

if TYPE_CHECKING:
    from syndet_ray.detection.train import Trainer

# So few measure in seconds, after steps in which libraries warm up.
_WARM_STEPS, _STEPS, _PHOTOS, _SCENES = 2, 6, 4, 4
_DO_ABOUT_BUDGET = (
    "Raise the budget, shorten the sweep, or start it anyway with `force`: "
    "resume continues where it stops."
)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Measured speed: seconds to train on one image, to score one validation image and to render
    one scene; bytes of one checkpoint.
    """

    train_s: float
    score_s: float
    scene_s: float
    checkpoint_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a sweep: at most, if every trial trains to its end; and at least, if all that can
    be pruned are pruned at once.

    use             what each trial takes
    parallel        trials that train at once: no more than the sweep has, or than nodes can hold
    trials          all trainings, with confirmations and controls
    images          seen by all trials together
    hours           wall clock with scoring and rendering, without the start of processes
    trial_hours     of all trials together; on CPUs with rendering, which takes the same cores
    scoring_hours   the part of `hours` that validation takes
    disk            of checkpoints and rendered scenes
    speed_is_known  whether `rates` are of machines like those of the trials
    """

    rates: Rates
    use: Resources
    parallel: int
    trials: int
    images: int
    least_images: int
    hours: float
    least_hours: float
    trial_hours: float
    least_trial_hours: float
    scoring_hours: float
    disk: Disk
    speed_is_known: bool = True

    def gpu_hours(self, trial_hours: float) -> float:
        """Returns the hours of all GPUs that trials hold for so many hours of trials."""
        return self.use.gpus_per_trial * trial_hours

    def core_hours(self, trial_hours: float) -> float:
        """Returns the hours of all cores that trials hold for so many hours of trials."""
        return self.use.cpus_per_trial * trial_hours

    def money(self, trial_hours: float, prices: Prices) -> float | None:
        """Returns what the GPUs and cores cost for so many hours of trials; None without prices.

        Other parts of the nodes, and those that only render, are not known before they run.
        """
        if not prices.are_given:
            return None
        gpu_hours, core_hours = self.gpu_hours(trial_hours), self.core_hours(trial_hours)
        return prices.cost(gpu_hours=gpu_hours, core_hours=core_hours)


@dataclass(frozen=True)
class _Training:
    """One training: the images that it sees, and the number of rungs at which it is scored."""

    images: int
    rungs: int


def estimate(
    sweep: LoadedSweep,
    data: RealData,
    runner: Runner,
    display: Display,
    use: Resources | None = None,
) -> Cost:
    """Estimates the cost of a sweep from a measurement, which takes some seconds.

    use  what trials take elsewhere, where the sweep is to run; None if it is to run here
    """
    shared = {"train": data.pools["train"], "val": data.pools["val"]}
    with display.step("measuring a few steps"):
        (rates,) = runner.tasks(measure, shared, [{"recipe": sweep.recipe, "seed": sweep.seed}])
    cost = cost_at(sweep, rates, len(data.pools["val"]), use or runner.projected_use)
    is_alike = use is None or bool(use.gpus) == bool(runner.use.gpus)
    return replace(cost, speed_is_known=is_alike)


def cost_at(sweep: LoadedSweep, rates: Rates, val_images: int, use: Resources) -> Cost:
    """The cost of the whole sweep at these rates.

    The length of the recipe stands for the lengths that are searched.
    """
    scoring_s = val_images * rates.score_s
    scenes_s, least_scenes_s = _rendering(sweep, rates, use)
    slots_render_s = least_scenes_s * use.parallel  # on CPUs all slots render at once

    def seconds(phase: Sequence[_Training]) -> list[float]:
        return [training.images * rates.train_s + training.rungs * scoring_s for training in phase]

    phases, least_phases = _phases(sweep), _least_phases(sweep)
    trainings = list(chain.from_iterable(phases))
    least_trainings = list(chain.from_iterable(least_phases))
    parallel = min(use.parallel, max(map(len, phases)))
    scorings = sum(training.rungs for training in trainings)
    trained_s = sum(_duration(seconds(phase), use.parallel) for phase in phases)
    least_s = sum(_least_duration(seconds(phase), use.parallel) for phase in least_phases)
    return Cost(
        rates=rates,
        use=use,
        parallel=parallel,
        trials=len(trainings),
        images=sum(training.images for training in trainings),
        least_images=sum(training.images for training in least_trainings),
        hours=(trained_s + scenes_s) / 3600,
        least_hours=(least_s + least_scenes_s) / 3600,
        trial_hours=(sum(seconds(trainings)) + slots_render_s) / 3600,
        least_trial_hours=(sum(seconds(least_trainings)) + slots_render_s) / 3600,
        scoring_hours=scorings * scoring_s / parallel / 3600,
        disk=disk.most_used(sweep, rates.checkpoint_bytes, len(_confirmations(sweep)), parallel),
    )


def _rendering(sweep: LoadedSweep, rates: Rates, use: Resources) -> tuple[float, float]:
    """Seconds that rendering adds to the trainings, and the least that it adds.

    All cores that trials can have render. Those of trials on CPUs render instead of training; where
    trials are on GPUs, other cores may render everything meanwhile.
    """
    scenes = sum(count for _, count in reach.rendered_sets(sweep))
    seconds = rates.scene_s * scenes / (use.parallel * use.cpus_per_trial)
    return seconds, 0.0 if use.gpus else seconds


def _duration(seconds: Sequence[float], slots: int) -> float:
    """Seconds until the last of several trainings ends: each begins in the first free slot."""
    ends = [0.0] * min(slots, len(seconds))
    for duration in seconds:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends, default=0.0)


def _least_duration(seconds: Sequence[float], slots: int) -> float:
    """Seconds until the last of several trainings ends, at least: whatever their order, it takes as
    long as the longest, and as all of them on slots that are never idle.
    """
    return max(sum(seconds) / slots, max(seconds, default=0.0))


def _phases(sweep: LoadedSweep) -> list[list[_Training]]:
    """The trainings of each phase if none is pruned: the search, controls and variants first; then
    the confirmations, which begin when the search is over.
    """
    fixed = [recipe.training.images for recipe in sweep.fixed.values()]
    search = [*fixed, *[sweep.recipe.training.images] * sweep.proposals]

    def trainings(lengths: Sequence[int]) -> list[_Training]:
        return [_Training(images, sweep.rungs) for images in lengths]

    return [trainings(search), trainings(_confirmations(sweep))]


def _least_phases(sweep: LoadedSweep) -> list[list[_Training]]:
    """The same if all trials that can be pruned are pruned as early as possible."""
    search, confirmations = _phases(sweep)
    rung = sweep.first_pruned_rung
    if rung is None:
        return [search, confirmations]
    images = rung_images(sweep.recipe.training.images, sweep.rungs)[rung - 1]
    prunable = max(0, sweep.proposals - sweep.confirm.top)  # all except those that are confirmed
    whole = search[: len(search) - prunable]
    return [[*whole, *[_Training(images, rung)] * prunable], confirmations]


def _confirmations(sweep: LoadedSweep) -> list[int]:
    """The images of every training after the search."""
    if not sweep.proposals or not sweep.confirm.seeds:
        return []
    seeds, fixed = sweep.confirm.seeds, sweep.fixed
    missing = max(0, seeds - sweep.repeats)  # the repeats of a variant count as confirmations
    of_controls = [fixed[name].training.images for name in sweep.controls] * seeds
    of_variants = [fixed[name].training.images for name in sweep.variants] * missing
    of_the_best = [sweep.recipe.training.images] * (seeds * min(sweep.confirm.top, sweep.proposals))
    return [*of_controls, *of_variants, *of_the_best]


def check_images(sweep: LoadedSweep, budget: Budget) -> None:
    """Raises DefinitionError for a budget of fewer images than the sweep sees at least: it could
    never end.

    This needs no data and no measurement.
    """
    least = sum(training.images for phase in _least_phases(sweep) for training in phase)
    if least > budget.images:
        rule = (
            f"must be at least the {least:,} that the sweep sees if pruning is as early as possible"
        )
        raise DefinitionError("`images`", rule, got=budget.images, do=_DO_ABOUT_BUDGET)


def check_hours(cost: Cost, budget: Budget) -> None:
    """Raises DefinitionError for a budget of fewer hours than the least cost: the sweep could never
    end.
    """
    if cost.speed_is_known and cost.least_hours > budget.hours:
        hours = f"{cost.least_hours:.2g} hours"
        rule = (
            f"must be at least the {hours} that the sweep takes if pruning is as early as possible"
        )
        raise DefinitionError("`hours`", rule, got=budget.hours, do=_DO_ABOUT_BUDGET)


def measure(
    pools: Mapping[str, Pool], device: str, threads: int, recipe: Recipe, seed: int
) -> Rates:
    """Measures a few steps of training, scoring and rendering; runs on a worker.

    It trains on real images only: all images cost the same.
    """
    import torch

    from syndet_ray.detection.predict import predict
    from syndet_ray.detection.threads import limit_threads
    from syndet_ray.detection.train import Trainer

    if recipe.detector.program:
        return _rates_of_program(pools, device, threads, recipe, seed)
    limit_threads(threads)
    real_only = recipe.replace({"mix.schedule": "real_only", "mix.real_images": "all"})
    torch_device = torch.device(device)
    trainer = Trainer(real_only, {"real": pools["train"]}, device=torch_device, seed=seed)
    train_s = _train_s(trainer, recipe)
    photos = pools["val"].select(range(min(_PHOTOS, len(pools["val"]))))
    began = time.perf_counter()
    predict(trainer.model, photos, device=torch_device)
    score_s = (time.perf_counter() - began) / len(photos)
    return Rates(
        train_s=train_s,
        score_s=score_s,
        scene_s=_scene_s(recipe, seed),
        checkpoint_bytes=_checkpoint_bytes(trainer),
    )


def _rates_of_program(
    pools: Mapping[str, Pool], device: str, threads: int, recipe: Recipe, seed: int
) -> Rates:
    from syndet_ray.detection.program_try import try_program

    train, val = pools["train"], pools["val"]
    result = try_program(recipe, train, val, device=device, threads=threads, seed=seed)
    return Rates(
        train_s=result.image_s,
        score_s=result.image_s,
        scene_s=_scene_s(recipe, seed),
        checkpoint_bytes=result.checkpoint_bytes,
    )


def _train_s(trainer: "Trainer", recipe: Recipe) -> float:
    """Seconds for one training image, after a third of the steps to warm up."""
    images = recipe.training.images
    batch = min(recipe.training.batch_size, images)
    steps = [step * batch for step in range(1, _WARM_STEPS + _STEPS + 1) if step * batch <= images]
    warm = steps[: len(steps) // 3]
    for end in warm:
        trainer.train_until(end)
    first, last = warm[-1] if warm else 0, steps[-1]
    began = time.perf_counter()
    trainer.train_until(last)
    return (time.perf_counter() - began) / (last - first)


def _checkpoint_bytes(trainer: "Trainer") -> int:
    with temporary_folder() as folder:
        trainer.save(folder)
        return sum(file.stat().st_size for file in folder.iterdir())


def _scene_s(recipe: Recipe, seed: int) -> float:
    """Seconds for one scene of the built-in renderer, of the slowest source; others cannot be
    known before they run.
    """
    seconds = [0.0]
    for parameters, _ in recipe.scenes().values():
        if parameters.generator == "raycast":
            seconds.append(_seconds_a_scene(parameters, seed))
    return max(seconds)


def _seconds_a_scene(parameters: SceneParameters, seed: int) -> float:
    render_index(parameters, seed, 0, _SCENES)
    began = time.perf_counter()
    for index in range(_SCENES):
        render_index(parameters, seed, index, _SCENES)
    return (time.perf_counter() - began) / _SCENES
