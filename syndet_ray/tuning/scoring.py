"""Scoring: scores the confirmed recipes and the controls on the real test set, once, after the
search.
"""

import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations
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
from syndet_ray.runs.results import BEST, RowKey, TestRow, TestScores, Trial
from syndet_ray.search.task import Runner, retried
from syndet_ray.spread import (
    PAIRED_SEED,
    RESAMPLES,
    SEED_DRAWS,
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


def scored_recipes(trials: Sequence[Trial]) -> dict[RowKey, Candidate]:
    """The recipes that are scored on the test set, by key: "best", controls and variants by name,
    and other confirmed ones.

    A control or variant that won is in it twice, as itself and as the best. Empty if no trial left
    a model.
    """
    ranking = candidates(trials)
    if not ranking or not ranking[0].models:
        return {}
    # in the order of the sweep, although some may have failed
    names = list(dict.fromkeys(trial.name for trial in trials))
    fixed = [candidate for candidate in ranking if candidate.trial.role != "search"]
    fixed.sort(key=lambda candidate: names.index(candidate.trial.name))
    recipes = {BEST: ranking[0]}
    recipes |= {RowKey(candidate.trial.name): candidate for candidate in fixed}
    # Without any confirmation, for example if all failed, only the best of the search is scored:
    # the checkpoints of the others may be deleted.
    if any(trial.role == "confirmation" and trial.state == "COMPLETE" for trial in trials):
        others = [candidate for candidate in ranking[1:] if candidate.trial.role == "search"]
        recipes |= {_finalist(candidate): candidate for candidate in others}
    return recipes


def _finalist(candidate: Candidate) -> RowKey:
    return RowKey(f"finalist {candidate.trial.number}")


def to_be_scored(
    trials: Sequence[Trial], sweep: LoadedSweep, test: TestScores | None
) -> list[Trial]:
    """The finished trials whose models will be scored on the test set, as far as is known before
    all are trained.

    Empty if all are trained and scored.
    """
    recipes = scored_recipes(trials)
    is_trained = all(trial.state != "RUNNING" for trial in trials)
    is_proposed = sum(trial.role == "search" for trial in trials) >= sweep.proposals
    if is_trained and is_proposed and is_scored(recipes, test):
        return []
    is_confirmed = any(trial.role == "search" for trial in finalists(trials, sweep.confirm.top))
    # confirmations are scored, and of all other trials only a variant's repeats
    if sweep.confirm.seeds and is_confirmed:
        repeats = [trial for trial in trials if trial.role in ("confirmation", "variant")]
        return [trial for trial in repeats if trial.state == "COMPLETE"]
    return models_of(recipes)


def models_of(recipes: Mapping[RowKey, Candidate]) -> list[Trial]:
    """The trials that left the models of these recipes, each once."""
    models: dict[int, Trial] = {}
    for candidate in recipes.values():
        models |= {model.number: model for model in candidate.models}
    return list(models.values())


def _trainings(recipes: Mapping[RowKey, Candidate]) -> dict[int, Trial]:
    """All trainings of these recipes, by number."""
    trainings: dict[int, Trial] = {}
    for candidate in recipes.values():
        trainings |= {training.number: training for training in candidate.trainings}
    return trainings


def is_scored(recipes: Mapping[RowKey, Candidate], test: TestScores | None) -> bool:
    """True if exactly these recipes were scored on the test set, in all their trainings."""
    rows = () if test is None else test.rows
    scored = set(chain.from_iterable(row.models for row in rows))
    return _trainings(recipes).keys() == scored


def open_test_set(
    folder: RunFolder,
    recipes: Mapping[RowKey, Candidate],
    test: Pool,
    runner: Runner,
    *,
    progress: Progress = quiet,
    note: Note = silent,
) -> None:
    """Scores the models of all recipes on the test set; keeps scores, predictions, pictures and the
    champion's files.

    The opening is counted before any image is used, so that an interrupted one counts too.
    """
    opened, openings = time.time(), folder.note_opening()
    scored = _score_all(_trainings(recipes), test, runner, progress)
    champion = max(recipes[BEST].models, key=lambda model: (model.value or 0.0, -model.number))
    assert champion.checkpoint is not None
    retried(partial(_keep_champion, folder, champion.checkpoint))
    _keep_predictions(folder, test, scored)
    show_predictions(folder, test, scored[champion.number].predictions, note)
    simplest_recipe = simplest(candidates(folder.trials()))
    confusion = scored[champion.number].confusion.tolist()
    scores = TestScores(
        source=test.name,
        stand_in=test.stand_in,
        hash=test.hash,
        images=len(test),
        opened=opened,
        rows=test_rows(recipes, scored, folder.sweep.seed),
        openings=openings,
        simplest=None if simplest_recipe is None else simplest_recipe.trial.number,
        champion=champion.number,
        models={number: model.metrics for number, model in scored.items()},
        visibility=bins_of(test),
        with_objects=test.images_with_objects,
        confusion=tuple(tuple(row) for row in confusion),
    )
    folder.write_test(scores.cautious())


def _score_all(
    trainings: Mapping[int, Trial], test: Pool, runner: Runner, progress: Progress
) -> dict[int, CheckpointScores]:
    """The scores of these trainings, by number."""
    calls: list[dict[str, Any]] = []
    for training in trainings.values():
        calls.append({"checkpoint": None if training.diverged else training.checkpoint})
    scores = runner.tasks(score_checkpoint, test, calls, progress)
    return dict(zip(trainings, scores, strict=True))


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


def score_checkpoint(
    test: Pool, device: str, threads: int, checkpoint: str | None
) -> CheckpointScores:
    """Scores one trained model on the test set; runs on a worker.

    checkpoint  None for a training that diverged: it counts as a model that finds nothing
    """
    from syndet_ray.detection.evaluation import evaluate
    from syndet_ray.detection.score import NOTHING_FOUND

    if checkpoint is None:
        predictions: Sequence[Predictions] = [NOTHING_FOUND] * len(test)
    else:
        predictions = _predictions(test, device, threads, checkpoint)
    evaluation = evaluate(test, predictions, seed=PAIRED_SEED, resamples=RESAMPLES)
    return CheckpointScores(
        metrics=evaluation.metrics,
        draws=evaluation.draws,
        predictions=predictions,
        confusion=evaluation.confusion,
    )


def _predictions(test: Pool, device: str, threads: int, checkpoint: str) -> "Sequence[Predictions]":
    import torch

    from syndet_ray.detection.models import load_model
    from syndet_ray.detection.predict import predict

    torch.set_num_threads(threads)
    with fetched(checkpoint) as folder:
        model = load_model(folder).model
    return predict(model, test, device=torch.device(device))


def _intervals(
    models: Sequence[CheckpointScores],
    rng: np.random.Generator,
    spreads: Mapping[str, SeedSpread | None],
) -> dict[str, tuple[float, float]]:
    """95 % intervals over images and seeds, of every metric that has draws."""
    intervals = {}
    for name, spread in spreads.items():
        draws = combined([model.draws[name] for model in models], rng, SEED_DRAWS, spread)
        intervals[name] = score_interval(name, draws)
    return intervals


def _means(models: Sequence[CheckpointScores]) -> dict[str, float]:
    means = {}
    for name in models[0].metrics:
        means[name] = float(np.mean([model.metrics[name] for model in models]))
    return means


def _keep_predictions(
    folder: RunFolder, test: Pool, scored: Mapping[int, CheckpointScores]
) -> None:
    """Keeps the labels and, of every model, its predictions and draws, for further analysis.

    Boxes are in the photos' own pixels: the reader has the photos.
    """
    folder.write_test_table("truth", as_table(test.labels_in_photos()))
    for number, model in scored.items():
        folder.write_test_table(
            f"predictions-{number}", _predictions_table(test, model.predictions)
        )
        folder.write_test_table(f"draws-{number}", pa.table(model.draws))


def _predictions_table(test: Pool, predictions: Sequence["Predictions"]) -> pa.Table:
    """One row for each prediction, in the order of the images and best first in each; the columns
    have the names of those of the labels.

    The arguments are at the working scale, the table is in the photos' own pixels.
    """
    from syndet_ray.detection.score import joined

    together = joined(predictions)
    image_of = np.repeat(np.arange(len(test)), [len(image.scores) for image in predictions])
    x1, y1, x2, y2 = test.to_photo(image_of, together.xyxy).T
    columns: dict[str, Any] = {
        "image_id": image_of,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "label": together.labels,
        "class": [test.classes[label] for label in together.labels],
        "score": together.scores,
    }
    return pa.table(columns)


def _keep_champion(folder: RunFolder, checkpoint: str) -> None:
    folder.champion.mkdir(exist_ok=True)
    with fetched(checkpoint) as model:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(model / name, folder.champion / name)
