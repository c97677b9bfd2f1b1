"""Confirm: the best trial and the controls meet the real test set, once, when the search is over."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import fetched
from syndet_ray.recipe import Recipe
from syndet_ray.results import Picture, RunFolder, TestRow, TestScores, Trial, best_trial
from syndet_ray.scenes.generate import generate
from syndet_ray.tuning.cluster import Resources, device, run_tasks

_PICTURES = 8
# Predictions below this confidence are left out of the pictures; scores always see all of them.
_SHOWN_SCORE = 0.5


def finalists(trials: Sequence[Trial]) -> dict[str, Trial]:
    """The trials that meet the test set, by role: "best", and every control that finished. Empty where none finished."""
    best = best_trial(trials)
    if best is None:
        return {}
    controls = {trial.kind: trial for trial in trials if trial.kind != "search" and trial.state == "COMPLETE"}
    return {"best": best, **controls}


def open_test_set(folder: RunFolder, finalists: Mapping[str, Trial], test: Pool, use: Resources) -> None:
    """Scores the finalists on the test set and writes test.json, pictures of predictions and the champion's files."""
    opened = time.time()
    seed = folder.sweep.seed
    every = [{"checkpoint": trial.checkpoint, "threads": use.cpus, "seed": seed} for trial in finalists.values()]
    results = run_tasks(score_checkpoint, test, every, use)
    rows = tuple(
        TestRow(role, trial.number, result["metrics"], result["intervals"])
        for (role, trial), result in zip(finalists.items(), results, strict=True)
    )
    champion = finalists["best"]
    assert champion.checkpoint is not None
    _keep_champion(folder, champion.checkpoint)
    folder.write_pictures("predictions", results[0]["pictures"])
    folder.write_test(TestScores(test.name, test.stand_in, test.hash, len(test), opened, rows))


def show_training(folder: RunFolder, best: Trial, train: Pool, cache: Path) -> None:
    """Pictures of what the best recipe was trained on, real and synthetic, with their boxes."""
    folder.write_pictures("real", [_labelled(train, i) for i in _spread(len(train))])
    recipe = Recipe().replace(best.recipe)
    rendered = generate(recipe.scene, recipe.mix.synthetic_images, folder.sweep.seed, cache)
    folder.write_pictures("synthetic", [_labelled(rendered, i) for i in _spread(len(rendered))])


def score_checkpoint(test: Pool, checkpoint: str, threads: int, seed: int) -> dict[str, Any]:
    """Scores one trained model on the test set; runs on a worker. Returns metrics, intervals and a few pictures."""
    import torch

    from syndet_ray.detection.models import load_model
    from syndet_ray.detection.score import intervals, predict, score

    torch.set_num_threads(threads)
    here = torch.device(device())
    with fetched(checkpoint) as folder:
        model, _ = load_model(folder)
    predictions = predict(model, test, device=here)
    pictures = [_predicted(test, i, predictions[i]) for i in _spread(len(test))]
    return {
        "metrics": score(test, predictions).metrics,
        "intervals": intervals(test, predictions, seed=seed),
        "pictures": pictures,
    }


def _keep_champion(folder: RunFolder, checkpoint: str) -> None:
    folder.champion.mkdir(exist_ok=True)
    with fetched(checkpoint) as found:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(found / name, folder.champion / name)


def _spread(count: int) -> list[int]:
    """Indices of a few images, evenly spread over all."""
    shown = min(_PICTURES, count)
    return [i * count // shown for i in range(shown)]


def _labelled(pool: Pool, i: int) -> Picture:
    boxes = pool.boxes(i)
    return Picture(pool.image(i), boxes.xyxy, tuple(pool.classes[label] for label in boxes.labels))


def _predicted(pool: Pool, i: int, found: Any) -> Picture:
    shown = found.scores >= _SHOWN_SCORE
    names = tuple(pool.classes[label] for label in found.labels[shown])
    truth = _labelled(pool, i)
    scores = tuple(float(score) for score in found.scores[shown])
    return Picture(pool.image(i), found.xyxy[shown], names, scores, truth.xyxy, truth.names)
