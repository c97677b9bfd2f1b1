"""Scoring: scores the confirmed recipes and the controls on the real test set, once, after the
search.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from syndet_ray.analysis.selection import Candidate, candidates, finalists, simplest
from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import outlasted_copy
from syndet_ray.data.visibility import bins_of
from syndet_ray.data.write import as_table
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.detection.trained_photos import TRAINED_PHOTOS
from syndet_ray.files import whole_folder
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.pictures import show_predictions
from syndet_ray.runs.results import BEST, FINALIST, RowKey, TestScores, Trial
from syndet_ray.search.task import Runner
from syndet_ray.spread import PAIRED_SEED, RESAMPLES
from syndet_ray.tuning.rows import CheckpointScores, test_rows

if TYPE_CHECKING:
    from syndet_ray.detection.score import Predictions


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
    return RowKey(f"{FINALIST}{candidate.trial.number}")


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
    cache: Path = Path("cache"),
    progress: Progress = quiet,
    note: Note = silent,
) -> None:
    """Scores the models of all recipes on the test set; keeps scores, predictions, pictures and the
    champion's files.

    cache  on the worker's node: programs of the user get the images there

    The opening is counted before any image is used, so that an interrupted one counts too.
    """
    opened, openings = time.time(), folder.note_opening()
    scored = _score_all(_trainings(recipes), test, runner, cache, progress)
    champion = max(recipes[BEST].models, key=lambda model: (model.value or 0.0, -model.number))
    assert champion.checkpoint is not None
    _keep_champion(folder, champion.checkpoint)
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
    trainings: Mapping[int, Trial], test: Pool, runner: Runner, cache: Path, progress: Progress
) -> dict[int, CheckpointScores]:
    """The scores of these trainings, by number."""
    calls: list[dict[str, Any]] = []
    for training in trainings.values():
        checkpoint = None if training.diverged else training.checkpoint
        call: dict[str, Any] = {"checkpoint": checkpoint}
        if training.recipe.detector.program:
            call |= {"program": training.recipe.detector.program, "cache": str(cache.absolute())}
        calls.append(call)
    scores = runner.tasks(score_checkpoint, test, calls, progress)
    return dict(zip(trainings, scores, strict=True))


def score_checkpoint(
    test: Pool,
    device: str,
    threads: int,
    checkpoint: str | None,
    program: str = "",
    cache: str = "",
) -> CheckpointScores:
    """Scores one trained model on the test set; runs on a worker.

    checkpoint      None for a training that diverged: it counts as a model that finds nothing
    program, cache  of a model of a program of the user: the program, and where it gets the images
    """
    from syndet_ray.detection.evaluation import evaluate
    from syndet_ray.detection.score import NOTHING_FOUND

    if checkpoint is None:
        predictions: Sequence[Predictions] = [NOTHING_FOUND] * len(test)
    elif program:
        predictions = _program_predictions(
            test, device, threads, checkpoint, program=program, cache=cache
        )
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
    from syndet_ray.detection.threads import limit_threads

    limit_threads(threads)
    with outlasted_copy(checkpoint) as folder:
        model = load_model(folder).model
    return predict(model, test, device=torch.device(device))


def _program_predictions(
    test: Pool, device: str, threads: int, checkpoint: str, *, program: str, cache: str
) -> "Sequence[Predictions]":
    from syndet_ray.detection.program import Workplace
    from syndet_ray.detection.program_training import predict_by_program

    workplace = Workplace(cache=Path(cache), device=device, threads=threads)
    with outlasted_copy(checkpoint) as folder:
        return predict_by_program(folder, test, program, workplace)


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
    from syndet_ray.detection.score import join_predictions

    together = join_predictions(predictions)
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
    from syndet_ray.detection.program_training import is_saved_program

    names = ["model.safetensors", "model.json"]
    # the champion of an earlier attempt stays until there is the new one, whole
    with outlasted_copy(checkpoint) as model, whole_folder(folder.champion) as unfinished:
        if is_saved_program(model):
            names = [path.name for path in model.iterdir()]
        elif (model / TRAINED_PHOTOS).is_file():  # trainings of earlier versions have no list
            names.append(TRAINED_PHOTOS)
        for name in names:
            copy = shutil.copytree if (model / name).is_dir() else shutil.copyfile
            copy(model / name, unfinished / name)
        shutil.rmtree(folder.champion, ignore_errors=True)
