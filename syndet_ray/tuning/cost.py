"""Cost: what a sweep will take, projected from a few steps measured on whatever its trials would
run on.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.definitions import reach
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.definitions.sweep import rung_images
from syndet_ray.errors import DefinitionError
from syndet_ray.scenes.generate import draw_scene, library_of, render
from syndet_ray.search.search import Budget, Display
from syndet_ray.search.task import Runner
from syndet_ray.tuning import disk
from syndet_ray.tuning.disk import Disk

if TYPE_CHECKING:
    from syndet_ray.detection.train import Trainer

_WARM_STEPS, _STEPS, _PHOTOS, _SCENES = 2, 6, 4, 4
_DO_ABOUT_BUDGET = "Raise the budget, shorten the sweep, or start it all the same with `force`: resume goes on where it stopped."


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds for one training image, for one validation image to be scored, and for one scene to
    be drawn; bytes of one checkpoint."""

    train_s: float
    score_s: float
    scene_s: float
    checkpoint_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a sweep takes: at most, every trial trained to its end, and at least, all that can be
    pruned pruned at once.

    hours     wall clock, rendering and scoring included, but not what starting processes takes
    scoring_hours  of which validation takes
    images    seen by all trials together
    trials    trainings in all, confirmations and controls included
    disk      what checkpoints and rendered scenes take
    """

    rates: Rates
    parallel: int
    trials: int
    images: int
    least_images: int
    hours: float
    scoring_hours: float
    least_hours: float
    disk: Disk


def project(sweep: LoadedSweep, data: RealData, runner: Runner, display: Display) -> Cost:
    """The projected cost of a sweep. Takes some seconds."""
    shared = {"train": data.pools["train"], "val": data.pools["val"]}
    with display.step("measuring a few steps"):
        (rates,) = runner.tasks(measure, shared, [{"recipe": sweep.recipe, "seed": sweep.seed}])
    return projected(sweep, rates, len(data.pools["val"]), runner.use.parallel)


def projected(sweep: LoadedSweep, rates: Rates, val_images: int, parallel: int) -> Cost:
    """What these rates mean for the whole sweep.

    The recipe's own length stands for all that are searched.
    """
    whole, pruned = _lengths(sweep), _least_lengths(sweep)
    images, least = sum(whole), sum(pruned)
    rung, prunable = sweep.first_pruned_rung or sweep.rungs, _prunable(sweep)
    scorings = sweep.rungs * len(whole)
    least_scorings = scorings - prunable * (sweep.rungs - rung)
    scenes_s = rates.scene_s * sum(count for _, count in reach.rendered_sets(sweep))

    def scoring_hours(times: int) -> float:
        return times * val_images * rates.score_s / parallel / 3600

    def hours(seen: int, times: int) -> float:
        return (seen * rates.train_s / parallel + scenes_s) / 3600 + scoring_hours(times)

    return Cost(
        rates=rates,
        parallel=parallel,
        trials=len(whole),
        images=images,
        least_images=least,
        hours=hours(images, scorings),
        scoring_hours=scoring_hours(scorings),
        least_hours=hours(least, least_scorings),
        disk=disk.projected(sweep, rates.checkpoint_bytes, len(_confirmations(sweep)), parallel),
    )


def _lengths(sweep: LoadedSweep) -> list[int]:
    """The images of every training, where none is pruned: of controls and variants, of the search,
    and of all trained anew.
    """
    fixed = [recipe.training.images for recipe in sweep.fixed.values()]
    return [*fixed, *_confirmations(sweep), *[sweep.recipe.training.images] * sweep.proposals]


def _least_lengths(sweep: LoadedSweep) -> list[int]:
    """The same where all is pruned that can be, as early as it can be."""
    length, rung = sweep.recipe.training.images, sweep.first_pruned_rung
    first = length if rung is None else rung_images(length, sweep.rungs)[rung - 1]
    lengths = _lengths(sweep)
    prunable = _prunable(sweep)
    return [*lengths[: len(lengths) - prunable], *[first] * prunable]


def _prunable(sweep: LoadedSweep) -> int:
    """How many trials of the search may be pruned: all but those that are confirmed."""
    return max(0, sweep.proposals - sweep.confirm.top)


def _confirmations(sweep: LoadedSweep) -> list[int]:
    """The images of every training anew once the search is over."""
    if not sweep.proposals or not sweep.confirm.seeds:
        return []
    seeds, fixed = sweep.confirm.seeds, sweep.fixed
    of_controls = [fixed[name].training.images for name in sweep.controls] * seeds
    of_variants = [fixed[name].training.images for name in sweep.variants] * max(
        0, seeds - sweep.repeats
    )  # repeats count
    of_the_best = [sweep.recipe.training.images] * (seeds * min(sweep.confirm.top, sweep.proposals))
    return [*of_controls, *of_variants, *of_the_best]


def check_images(sweep: LoadedSweep, budget: Budget) -> None:
    """Raises DefinitionError for a budget of fewer images than the sweep sees at least: it could
    never end.

    Nothing need be read or measured to know that.
    """
    least = sum(_least_lengths(sweep))
    if least > budget.images:
        rule = f"must be at least the {least:,} that the sweep sees if all is pruned that can be"
        raise DefinitionError("`images`", rule, got=budget.images, do=_DO_ABOUT_BUDGET)


def check_hours(cost: Cost, budget: Budget) -> None:
    """Raises DefinitionError for a budget of fewer hours than even the least cost: such a sweep
    could never end.
    """
    if cost.least_hours > budget.hours:
        rule = f"must be at least the {cost.least_hours:.2g} hours that the sweep takes if all is pruned that can be"
        raise DefinitionError("`hours`", rule, got=budget.hours, do=_DO_ABOUT_BUDGET)


def measure(
    pools: Mapping[str, Pool], device: str, threads: int, recipe: Recipe, seed: int
) -> Rates:
    """Trains, scores and draws a little; runs on a worker. Real images stand for all others: they
    cost the same.
    """
    import torch

    from syndet_ray.detection.predict import predict
    from syndet_ray.detection.train import Trainer

    torch.set_num_threads(threads)
    alone = recipe.replace({"mix.schedule": "real_only", "mix.real_images": "all"})
    here = torch.device(device)
    trainer = Trainer(alone, {"real": pools["train"]}, device=here, seed=seed)
    batch = min(recipe.training.batch_size, recipe.training.images)
    steps = [
        i * batch for i in range(1, _WARM_STEPS + _STEPS + 1) if i * batch <= recipe.training.images
    ]
    warm, rest = steps[: len(steps) // 3], steps[len(steps) // 3 :]
    for images in warm:
        trainer.train_until(images)
    began = time.perf_counter()
    trainer.train_until(rest[-1])
    train_s = (time.perf_counter() - began) / (rest[-1] - (warm[-1] if warm else 0))
    photos = pools["val"].select(range(min(_PHOTOS, len(pools["val"]))))
    began = time.perf_counter()
    predict(trainer.model, photos, device=here)
    score_s = (time.perf_counter() - began) / len(photos)
    return Rates(
        train_s=train_s,
        score_s=score_s,
        scene_s=_scene_s(recipe, seed),
        checkpoint_bytes=_checkpoint_bytes(trainer),
    )


def _checkpoint_bytes(trainer: "Trainer") -> int:
    with tempfile.TemporaryDirectory(prefix="syndet-") as folder:
        trainer.save(Path(folder))
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def _scene_s(recipe: Recipe, seed: int) -> float:
    """Of our own quick renderer; how long other generators take is not known before they have run."""
    sets = [
        parameters
        for parameters, _ in recipe.scenes().values()
        if parameters.generator == "raycast"
    ]
    return max((_seconds_a_scene(parameters, seed) for parameters in sets), default=0.0)


def _seconds_a_scene(parameters: SceneParameters, seed: int) -> float:
    library = library_of(parameters)
    render(draw_scene(parameters, seed, 0, _SCENES), library)
    began = time.perf_counter()
    for index in range(_SCENES):
        render(draw_scene(parameters, seed, index, _SCENES), library)
    return (time.perf_counter() - began) / _SCENES
