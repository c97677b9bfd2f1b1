"""Optuna's samplers by the names that sweeps use, and the points that need no sampler."""

import warnings
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from syndet_ray import seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep

_POPULATION = 10  # of NSGA-II: Optuna's 50 would be random search in most sweeps
# If no recipe can be made of a point, the sampler draws again. It learns nothing from such points
# and may stay with them, so after this many draws a random sampler takes over.
_DRAWS_OF_SAMPLER = 10
_STARTUP_TRIALS = 10  # random proposals before TPE takes over, as in Optuna; fewer in short sweeps


def make_sampler(sweep: LoadedSweep, index: int, discarded: int) -> BaseSampler:
    """Returns the sampler of proposal `index`, after this many draws that were discarded."""
    purpose = f"propose again {discarded}" if discarded else "propose"
    seed = seeds.integer(sweep.seed, purpose, index)
    if sweep.sampler in ("random", "grid") or discarded >= _DRAWS_OF_SAMPLER:
        return RandomSampler(seed=seed)
    if sweep.sampler == "nsga2":
        return NSGAIISampler(population_size=_POPULATION, seed=seed)
    return _tpe(sweep, seed)


def _tpe(sweep: LoadedSweep, seed: int) -> TPESampler:
    has_conditions = any(parameter.when for _, parameter in sweep.parameters.items())
    startup_trials = min(_STARTUP_TRIALS, max(2, sweep.proposals // 3))
    with warnings.catch_warnings():
        # `group` has been experimental since Optuna 2.8.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            n_startup_trials=startup_trials, seed=seed, multivariate=True, group=has_conditions
        )


def note_generation(sampler: BaseSampler, study: optuna.Study) -> None:
    """Lets NSGA-II note the generation of the newest trial, as it does when it samples one.

    A trial of an earlier attempt is enqueued, not sampled. Other samplers note nothing in trials.
    """
    if isinstance(sampler, NSGAIISampler):
        newest = study.get_trials(deepcopy=False)[-1]
        generation = sampler.get_trial_generation(study, newest)
        sampler.get_parent_population(study, generation)


def named_points(sweep: LoadedSweep) -> list[dict[str, Any]]:
    """Returns the points that are proposed before the sampler is asked: the sweep's own, then those
    of a grid, in an order that its seed decides.

    A sweep with points outside its space is refused, see `LoadedSweep.check_points`. Runs that
    began before this rule continue as they began: without these points.
    """
    points = [sweep.parameters.point(sweep.recipe.replace(changes)) for changes in sweep.points]
    inside = [point for point in points if point is not None]
    if sweep.sampler != "grid":
        return inside
    grid = sweep.parameters.grid()
    order = seeds.generator(sweep.seed, "grid").permutation(len(grid))
    shuffled = [grid[i] for i in order]
    return inside + [point for point in shuffled if point not in inside]
