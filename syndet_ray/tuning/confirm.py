"""Confirm: the confirmed recipes and the controls meet the real test set, once, when the search is
over.
"""

import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from syndet_ray import seeds
from syndet_ray.analysis.selection import Candidate, candidates, finalists, simplest
from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import fetched
from syndet_ray.data.visibility import bins_of
from syndet_ray.data.write import as_table
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.metrics import MAP
from syndet_ray.runs.pictures import show_predictions
from syndet_ray.runs.results import TestRow, TestScores, Trial
from syndet_ray.search.task import Runner, retried
from syndet_ray.spread import (
    PAIRED_SEED,
    RESAMPLES,
    TIMES,
    Difference,
    SeedSpread,
    combined,
    probability_best,
    score_difference,
    score_interval,
    seed_spread,
)

if TYPE_CHECKING:
    from syndet_ray.detection.score import Predictions


@dataclass(frozen=True, eq=False, kw_only=True)
class Scored:
    """One model on the test set.

    draws        by metric, (B,) values over resamples of the images, the same for all models
    predictions  one for each image
    confusion    (classes + 1, classes + 1) objects, as in `error_kinds.confusion`
    """

    metrics: dict[str, float]
    draws: dict[str, np.ndarray]
    predictions: Sequence["Predictions"]
    confusion: np.ndarray


def tested(trials: Sequence[Trial]) -> dict[str, Candidate]:
    """The recipes that meet the test set, by role: "best", controls and variants by name, and other
    confirmed ones.

    A control or variant that won stands there twice, as itself and as the best. Empty where no
    trial left a model.
    """
    found = candidates(trials)
    if not found or not found[0].models:
        return {}
    # the sweep's, whatever failed
    names = list(dict.fromkeys(trial.name for trial in trials))
    fixed = [c for c in found if c.trial.role != "search"]
    fixed.sort(key=lambda c: names.index(c.trial.name))
    # Else the best of the search alone, as where all confirmations failed: of the others no
    # checkpoint need be there.
    confirmed = any(trial.role == "confirmation" and trial.state == "COMPLETE" for trial in trials)
    others = [c for c in found[1:] if c.trial.role == "search" and confirmed]
    roles = {c.trial.name: c for c in fixed} | {f"finalist {c.trial.number}": c for c in others}
    return {"best": found[0], **roles}


def to_be_scored(
    trials: Sequence[Trial], sweep: LoadedSweep, test: TestScores | None
) -> list[Trial]:
    """The finished trials whose models the test set will meet, as far as is known while others are
    still to be trained.

    None where all is trained, and the test set has met the models that it was to meet.
    """
    recipes = tested(trials)
    is_trained = all(trial.state != "RUNNING" for trial in trials)
    is_proposed = sum(trial.role == "search" for trial in trials) >= sweep.proposals
    if is_trained and is_proposed and is_scored(recipes, test):
        return []
    is_confirmed = any(trial.role == "search" for trial in finalists(trials, sweep.confirm.top))
    # what is trained anew is scored, and of the rest only a variant's repeats
    if sweep.confirm.seeds and is_confirmed:
        own = [trial for trial in trials if trial.role in ("confirmation", "variant")]
        return [trial for trial in own if trial.state == "COMPLETE"]
    return models_of(recipes)


def models_of(recipes: Mapping[str, Candidate]) -> list[Trial]:
    """The trials that left the models of these recipes, each once."""
    models = {model.number: model for candidate in recipes.values() for model in candidate.models}
    return list(models.values())


def is_scored(recipes: Mapping[str, Candidate], test: TestScores | None) -> bool:
    """Whether the test set has met exactly these recipes, in all their trainings."""
    trainings = {
        training.number for candidate in recipes.values() for training in candidate.trainings
    }
    scored = set() if test is None else {model for row in test.rows for model in row.models}
    return trainings == scored


def open_test_set(
    folder: RunFolder,
    recipes: Mapping[str, Candidate],
    test: Pool,
    runner: Runner,
    *,
    progress: Progress = quiet,
    note: Note = silent,
) -> None:
    """Scores the models of all recipes on the test set; keeps scores, predictions, pictures and the
    champion's files.

    It is counted before anything is seen, so that an opening that is cut short counts too.
    """
    opened, openings = time.time(), folder.note_opening()
    models = {
        model.number: model for candidate in recipes.values() for model in candidate.trainings
    }
    every = [
        {"checkpoint": None if model.diverged else model.checkpoint} for model in models.values()
    ]
    scored = dict(zip(models, runner.tasks(score_checkpoint, test, every, progress), strict=True))
    champion = max(recipes["best"].models, key=lambda model: (model.value or 0.0, -model.number))
    assert champion.checkpoint is not None
    retried(partial(_keep_champion, folder, champion.checkpoint))
    _keep_found(folder, test, scored)
    show_predictions(folder, test, scored[champion.number].predictions, note)
    plain = simplest(candidates(folder.trials()))
    rows = test_rows(recipes, scored, folder.sweep.seed)
    scores = TestScores(
        source=test.name,
        stand_in=test.stand_in,
        hash=test.hash,
        images=len(test),
        opened=opened,
        rows=rows,
        openings=openings,
        simplest=plain.trial.number if plain is not None else None,
        champion=champion.number,
        models={number: found.metrics for number, found in scored.items()},
        visibility=bins_of(test),
        with_objects=test.images_with_objects,
        confusion=tuple(tuple(row) for row in scored[champion.number].confusion.tolist()),
    )
    folder.write_test(scores.cautious())


def test_rows(
    recipes: Mapping[str, Candidate], scored: Mapping[int, Scored], seed: int
) -> tuple[TestRow, ...]:
    """A row for each recipe: means over its models, intervals over images and seeds, and how it
    compares with the others.
    """
    rng = seeds.generator(seed, "test rows")
    of = {
        candidate.trial.number: [scored[m.number] for m in candidate.trainings]
        for candidate in recipes.values()
    }
    draws = {
        candidate.trial.number: _draws_by_seed(candidate, scored) for candidate in recipes.values()
    }
    spreads = _seed_spreads(recipes, scored)
    spread = spreads[MAP]
    p_best = _p_best(draws, _generator_of(draws, seed), spread)
    against = _compared_with(recipes)
    found = {number: _intervals(models, rng, spreads) for number, models in of.items()}
    differences = _differences(draws, set(against.values()), seed, spread)
    gaps = {
        number: {
            role: differences[number, other] for role, other in against.items() if other != number
        }
        for number in of
    }
    return tuple(
        _row(role, candidate, of, found, p_best, gaps) for role, candidate in recipes.items()
    )


def _differences(
    draws: Mapping[int, Mapping[int, np.ndarray]],
    references: Collection[int],
    seed: int,
    spread: SeedSpread | None,
) -> dict[tuple[int, int], Difference]:
    """By pair of trials, how much the recipe of the first is above that of the second, where either
    is a reference.

    Each pair is compared once: what the one is above the other is exactly what the other is below
    it.
    """
    differences = {}
    for one, other in combinations(sorted(draws), 2):
        if one in references or other in references:
            rng = _generator_of((one, other), seed)
            gap = score_difference(MAP, draws[one], draws[other], rng, spread)
            differences[one, other], differences[other, one] = gap, gap.mirrored
    return differences


def _generator_of(numbers: Iterable[int], seed: int) -> np.random.Generator:
    """The generator of a comparison of the recipes of these trials: it is the same in whatever
    order, and beside any others.

    Of two recipes the probability to be the best is so exactly that of their difference.
    """
    names = ", ".join(str(number) for number in sorted(numbers))
    return seeds.generator(seed, f"comparison of {names}")


def _p_best(
    draws: Mapping[int, Mapping[int, np.ndarray]],
    rng: np.random.Generator,
    spread: SeedSpread | None,
) -> dict[int, float]:
    """By trial, the probability that its recipe is the best. Empty where no recipe was trained more
    than once.

    Two trainings of one recipe would then look as different as two recipes do: draws over images
    know nothing of seeds.
    """
    if all(len(by_seed) == 1 for by_seed in draws.values()):
        return {}
    by_name = {str(number): draws[number] for number in sorted(draws)}
    return {int(name): share for name, share in probability_best(by_name, rng, spread).items()}


def _seed_spreads(
    recipes: Mapping[str, Candidate], scored: Mapping[int, Scored]
) -> dict[str, SeedSpread | None]:
    """By metric, how much trainings of one recipe differ: for recipes of which only one training is
    left.
    """
    by_trial = {candidate.trial.number: candidate.models for candidate in recipes.values()}
    models = [[scored[model.number] for model in trainings] for trainings in by_trial.values()]
    spreads = {}
    for metric in next(iter(scored.values())).draws:
        draws = [[model.draws[metric] for model in own] for own in models]
        spreads[metric] = seed_spread(draws)
    return spreads


def _draws_by_seed(candidate: Candidate, scored: Mapping[int, Scored]) -> dict[int, np.ndarray]:
    """The draws of a recipe's models by the number of their seed."""
    by_seed = {
        training.seed_number: scored[training.number].draws[MAP] for training in candidate.trainings
    }
    assert len(by_seed) == len(candidate.trainings), "trainings of one recipe differ in their seeds"
    return by_seed


test_rows.__test__ = False  # type: ignore[attr-defined]  # not a test of ours, whatever pytest thinks of the name


def _row(
    role: str,
    candidate: Candidate,
    of: Mapping[int, Sequence[Scored]],
    found: Mapping[int, dict[str, tuple[float, float]]],
    p_best: Mapping[int, float],
    gaps: Mapping[int, dict[str, Difference]],
) -> TestRow:
    number = candidate.trial.number
    models = tuple(model.number for model in candidate.trainings)
    values = tuple(model.metrics[MAP] for model in of[number])
    return TestRow(
        role=role,
        trial=number,
        metrics=_means(of[number]),
        intervals=found[number],
        models=models,
        seeds=values,
        p_best=p_best.get(number),
        differences=gaps[number],
    )


def _compared_with(recipes: Mapping[str, Candidate]) -> dict[str, int]:
    """What every recipe is compared with, by role: the controls, and the first variant."""
    fixed = {role: found.trial for role, found in recipes.items() if role == found.trial.name}
    variants = [role for role, trial in fixed.items() if trial.role == "variant"]
    references = (*CONTROL_CHANGES, *variants[:1])
    return {role: trial.number for role, trial in fixed.items() if role in references}


def score_checkpoint(test: Pool, device: str, threads: int, checkpoint: str | None) -> Scored:
    """Scores one trained model on the test set; runs on a worker. None is a model that finds
    nothing: its training diverged.
    """
    from syndet_ray.detection.evaluation import evaluate
    from syndet_ray.detection.score import NOTHING_FOUND

    predictions = (
        [NOTHING_FOUND] * len(test)
        if checkpoint is None
        else _found(test, device, threads, checkpoint)
    )
    found = evaluate(test, predictions, seed=PAIRED_SEED, resamples=RESAMPLES)
    return Scored(
        metrics=found.metrics, draws=found.draws, predictions=predictions, confusion=found.confusion
    )


def _found(test: Pool, device: str, threads: int, checkpoint: str) -> "Sequence[Predictions]":
    import torch

    from syndet_ray.detection.models import load_model
    from syndet_ray.detection.predict import predict

    torch.set_num_threads(threads)
    with fetched(checkpoint) as folder:
        model = load_model(folder).model
    return predict(model, test, device=torch.device(device))


def _intervals(
    models: Sequence[Scored], rng: np.random.Generator, spreads: Mapping[str, SeedSpread | None]
) -> dict[str, tuple[float, float]]:
    """95 % over images and seeds, of every metric that has draws."""
    drawn = {
        name: combined([model.draws[name] for model in models], rng, TIMES, spread)
        for name, spread in spreads.items()
    }
    return {name: score_interval(name, found) for name, found in drawn.items()}


def _means(models: Sequence[Scored]) -> dict[str, float]:
    return {
        name: float(np.mean([model.metrics[name] for model in models]))
        for name in models[0].metrics
    }


def _keep_found(folder: RunFolder, test: Pool, scored: Mapping[int, Scored]) -> None:
    """Keeps the truth and, of every model, its predictions and draws, for whoever wants to ask more
    of them.

    Boxes are in the photos' own pixels: whoever asks has the photos.
    """
    folder.write_test_table("truth", as_table(test.labels_in_photos()))
    for number, found in scored.items():
        folder.write_test_table(
            f"predictions-{number}", _predictions_table(test, found.predictions)
        )
        folder.write_test_table(f"draws-{number}", pa.table(found.draws))


def _predictions_table(test: Pool, predictions: Sequence["Predictions"]) -> pa.Table:
    """One row a prediction, in the order of the images and best first in each; columns are named as
    in the truth.

    Predictions are at the working scale, the table is in the photos' own pixels.
    """
    from syndet_ray.detection.score import joined

    found = joined(predictions)
    image_of = np.repeat(np.arange(len(test)), [len(image.scores) for image in predictions])
    xyxy = test.to_photo(image_of, found.xyxy)
    columns: dict[str, Any] = {
        "image_id": image_of,
        **{edge: xyxy[:, k] for k, edge in enumerate(("x1", "y1", "x2", "y2"))},
        "label": found.labels,
        "class": [test.classes[label] for label in found.labels],
        "score": found.scores,
    }
    return pa.table(columns)


def _keep_champion(folder: RunFolder, checkpoint: str) -> None:
    folder.champion.mkdir(exist_ok=True)
    with fetched(checkpoint) as found:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(found / name, folder.champion / name)
