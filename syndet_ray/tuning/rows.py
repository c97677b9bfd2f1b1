"""Rows: the scores of each recipe on the test set, with intervals and differences."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from syndet_ray import seeds
from syndet_ray.analysis.selection import Candidate
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.metrics import MAP
from syndet_ray.runs.results import RowKey, TestRow
from syndet_ray.spread import (
    SEED_DRAWS,
    Difference,
    SeedSpread,
    combine_seeds,
    probability_best,
    score_difference,
    score_interval,
    seed_spread,
)

if TYPE_CHECKING:
    from syndet_ray.detection.score import Predictions


@dataclass(frozen=True, eq=False, kw_only=True)
class CheckpointScores:
    """The results of one checkpoint on the test set of a run.

    draws        by metric, (B,) values over resamples of the images, the same for all models
    predictions  one for each image
    confusion    (classes + 1, classes + 1) objects, as in `error_kinds.confusion`
    """

    metrics: dict[str, float]
    draws: dict[str, np.ndarray]
    predictions: Sequence["Predictions"]
    confusion: np.ndarray


def test_rows(
    recipes: Mapping[RowKey, Candidate], scored: Mapping[int, CheckpointScores], seed: int
) -> tuple[TestRow, ...]:
    """A row for each recipe: means over its models, intervals over images and seeds, and its
    differences from the references.
    """
    rng = seeds.generator(seed, "test rows")
    by_trial = {candidate.trial.number: candidate for candidate in recipes.values()}
    draws = {number: _draws_by_seed(candidate, scored) for number, candidate in by_trial.items()}
    spreads = _seed_spreads(by_trial, scored)
    p_best = _p_best(draws, _generator_of(draws, seed), spreads[MAP])
    references = _references(recipes)
    differences = _differences(draws, set(references.values()), seed, spreads[MAP])
    intervals = {}
    for number, candidate in by_trial.items():
        intervals[number] = _intervals(_models(candidate, scored), rng, spreads)
    rows = []
    for key, candidate in recipes.items():
        number = candidate.trial.number
        models = _models(candidate, scored)
        gaps = {}
        for reference, other in references.items():
            if other != number:
                gaps[reference] = differences[number, other]
        row = TestRow(
            key=key,
            trial=number,
            metrics=_means(models),
            intervals=intervals[number],
            models=tuple(training.number for training in candidate.trainings),
            seeds=tuple(model.metrics[MAP] for model in models),
            p_best=p_best.get(number),
            differences=gaps,
        )
        rows.append(row)
    return tuple(rows)


# pytest takes a function of this name for a test
test_rows.__test__ = False  # type: ignore[attr-defined]


def _models(candidate: Candidate, scored: Mapping[int, CheckpointScores]) -> list[CheckpointScores]:
    return [scored[training.number] for training in candidate.trainings]


def _differences(
    draws: Mapping[int, Mapping[int, np.ndarray]],
    references: Collection[int],
    seed: int,
    spread: SeedSpread | None,
) -> dict[tuple[int, int], Difference]:
    """By pair of trials, the score of the first's recipe minus that of the second's, if either is a
    reference.

    Each pair is compared once: the difference in the other direction is exactly the negative.
    """
    differences = {}
    for one, other in combinations(sorted(draws), 2):
        if one in references or other in references:
            rng = _generator_of((one, other), seed)
            gap = score_difference(MAP, draws[one], draws[other], rng, spread)
            differences[one, other], differences[other, one] = gap, gap.mirrored
    return differences


def _generator_of(numbers: Iterable[int], seed: int) -> np.random.Generator:
    """The random generator that compares the recipes of these trials: the same for any order, and
    with any other recipes present.

    So the probability that one of two recipes is the best is exactly that of their difference.
    """
    names = ", ".join(str(number) for number in sorted(numbers))
    return seeds.generator(seed, f"comparison of {names}")


def _p_best(
    draws: Mapping[int, Mapping[int, np.ndarray]],
    rng: np.random.Generator,
    spread: SeedSpread | None,
) -> dict[int, float]:
    """By trial, the probability that its recipe is the best. Empty if no recipe was trained more
    than once.

    Draws over images contain no effect of seeds: two trainings of one recipe would look as
    different as two recipes.
    """
    if all(len(by_seed) == 1 for by_seed in draws.values()):
        return {}
    by_name = {str(number): draws[number] for number in sorted(draws)}
    return {int(name): share for name, share in probability_best(by_name, rng, spread).items()}


def _seed_spreads(
    by_trial: Mapping[int, Candidate], scored: Mapping[int, CheckpointScores]
) -> dict[str, SeedSpread | None]:
    """By metric, the spread between trainings of one recipe, for recipes with only one training."""
    spreads = {}
    for metric in next(iter(scored.values())).draws:
        draws = []
        for candidate in by_trial.values():
            draws.append([scored[model.number].draws[metric] for model in candidate.models])
        spreads[metric] = seed_spread(draws)
    return spreads


def _draws_by_seed(
    candidate: Candidate, scored: Mapping[int, CheckpointScores]
) -> dict[int, np.ndarray]:
    """The draws of the mAP of a recipe's models, by the number of their seed."""
    by_seed = {}
    for training in candidate.trainings:
        by_seed[training.seed_number] = scored[training.number].draws[MAP]
    assert len(by_seed) == len(candidate.trainings), "trainings of one recipe differ in their seeds"
    return by_seed


def _references(recipes: Mapping[RowKey, Candidate]) -> dict[RowKey, int]:
    """The trials that every recipe is compared with, by key: the controls, and the first
    variant.
    """
    trials = {key: candidate.trial for key, candidate in recipes.items()}
    fixed = {key: trial for key, trial in trials.items() if key == trial.name}
    variants = [key for key, trial in fixed.items() if trial.role == "variant"]
    keys = (*CONTROL_CHANGES, *variants[:1])
    return {key: trial.number for key, trial in fixed.items() if key in keys}


def _intervals(
    models: Sequence[CheckpointScores],
    rng: np.random.Generator,
    spreads: Mapping[str, SeedSpread | None],
) -> dict[str, tuple[float, float]]:
    """95 % intervals over images and seeds, of every metric that has draws."""
    intervals = {}
    for name, spread in spreads.items():
        draws = combine_seeds([model.draws[name] for model in models], rng, SEED_DRAWS, spread)
        intervals[name] = score_interval(name, draws)
    return intervals


def _means(models: Sequence[CheckpointScores]) -> dict[str, float]:
    means = {}
    for name in models[0].metrics:
        means[name] = float(np.mean([model.metrics[name] for model in models]))
    return means
