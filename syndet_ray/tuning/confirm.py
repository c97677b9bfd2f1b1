"""Confirm: the confirmed recipes and the controls meet the real test set, once, when the search is over."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.data.storage import fetched
from syndet_ray.recipe import Recipe
from syndet_ray.results import Picture, RunFolder, TestRow, TestScores, Trial
from syndet_ray.scenes.generate import generate
from syndet_ray.spread import combined, difference, interval, probability_best
from syndet_ray.sweep import CONTROL_CHANGES
from syndet_ray.tuning.task import Runner
from syndet_ray.verdict import Candidate, candidates, simplest

_PICTURES, _RESAMPLES = 8, 1000
# Predictions below this confidence are left out of the pictures; scores always see all of them.
_SHOWN_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Scored:
    """One model on the test set. draws: by metric, (B,) values over resamples of the images, the same for all models."""

    metrics: dict[str, float]
    draws: dict[str, np.ndarray]
    pictures: list[Picture]


def tested(trials: Sequence[Trial]) -> dict[str, Candidate]:
    """The recipes that meet the test set, by role: "best", controls and variants by name, and other confirmed ones.

    A control or variant that won stands there twice, as itself and as the best. Empty where no trial finished.
    """
    found = candidates(trials)
    if not found:
        return {}
    order = list(dict.fromkeys(trial.variant or trial.kind for trial in trials))  # the sweep's, whatever failed
    fixed = sorted((c for c in found if c.kind != "search"), key=lambda c: order.index(c.kind))
    confirmed = any(trial.kind == "confirm" for trial in trials)  # else the best of the search alone
    others = [c for c in found[1:] if c.kind == "search" and confirmed]
    roles = {c.kind: c for c in fixed} | {f"finalist {c.trial.number}": c for c in others}
    return {"best": found[0], **roles}


def open_test_set(folder: RunFolder, recipes: Mapping[str, Candidate], test: Pool, runner: Runner) -> None:
    """Scores the models of all recipes on the test set; writes test.json, pictures of predictions, the champion's files."""
    opened, seed = time.time(), folder.sweep.seed
    models = {model.number: model for candidate in recipes.values() for model in candidate.trainings}
    every = [{"checkpoint": model.checkpoint, "seed": seed} for model in models.values()]
    scored = dict(zip(models, runner.tasks(score_checkpoint, test, every), strict=True))
    champion = max(recipes["best"].trainings, key=lambda model: (model.value or 0.0, -model.number))
    assert champion.checkpoint is not None
    _keep_champion(folder, champion.checkpoint)
    folder.write_pictures("predictions", scored[champion.number].pictures)
    plain = simplest(candidates(folder.trials()))
    before = folder.test()
    scores = TestScores(
        test.name,
        test.stand_in,
        test.hash,
        len(test),
        opened,
        test_rows(recipes, scored, seed),
        openings=1 + (before.openings if before is not None else 0),
        simplest=plain.trial.number if plain is not None else None,
        champion=champion.number,
    )
    folder.write_test(scores)


def test_rows(recipes: Mapping[str, Candidate], scored: Mapping[int, Scored], seed: int) -> tuple[TestRow, ...]:
    """A row for each recipe: means over its models, intervals over images and seeds, and how it compares with the others."""
    rng = seeds.generator(seed, "test rows")
    of = {candidate.trial.number: [scored[m.number] for m in candidate.trainings] for candidate in recipes.values()}
    draws = {number: [model.draws["mAP"] for model in models] for number, models in of.items()}
    p_best = probability_best({str(number): found for number, found in draws.items()}, rng)
    against = _compared_with(recipes)
    rows = []
    for role, candidate in recipes.items():
        number = candidate.trial.number
        rows.append(
            TestRow(
                role,
                number,
                _means(of[number]),
                {name: _interval([m.draws[name] for m in of[number]], rng) for name in of[number][0].draws},
                tuple(model.number for model in candidate.trainings),
                tuple(model.metrics["mAP"] for model in of[number]),
                p_best[str(number)],
                {r: difference(draws[number], draws[other], rng) for r, other in against.items() if other != number},
            )
        )
    return tuple(rows)


test_rows.__test__ = False  # type: ignore[attr-defined]  # not a test of ours, whatever pytest thinks of the name


def _compared_with(recipes: Mapping[str, Candidate]) -> dict[str, int]:
    """What every recipe is compared with, by role: the controls, and the first variant."""
    variants = [role for role, candidate in recipes.items() if role == candidate.trial.variant]
    return {role: recipes[role].trial.number for role in recipes if role in (*CONTROL_CHANGES, *variants[:1])}


def show_training(folder: RunFolder, best: Trial, train: Pool, cache: Path) -> None:
    """Pictures of what the best recipe was trained on, real and synthetic, with their boxes."""
    folder.write_pictures("real", [_labelled(train, i) for i in _spread(len(train))])
    # What won may have seen no scene at all: then those are shown that it was compared with.
    sets = (Recipe().replace(best.recipe).scenes() or folder.sweep.recipe.scenes()).values()
    every = [generate(scene, count, folder.sweep.seed, cache) for scene, count in sets]
    shown = [_labelled(pool, i) for pool in every for i in _spread(len(pool), max(1, _PICTURES // len(every)))]
    folder.write_pictures("synthetic", shown)


def score_checkpoint(test: Pool, device: str, threads: int, checkpoint: str, seed: int) -> Scored:
    """Scores one trained model on the test set; runs on a worker."""
    import torch

    from syndet_ray.detection.models import load_model
    from syndet_ray.detection.score import bootstrap, predict, score

    torch.set_num_threads(threads)
    with fetched(checkpoint) as folder:
        model, _ = load_model(folder)
    predictions = predict(model, test, device=torch.device(device))
    pictures = [_predicted(test, i, predictions[i]) for i in _spread(len(test))]
    return Scored(score(test, predictions).metrics, bootstrap(test, predictions, seed=seed), pictures)


def _interval(draws: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[float, float]:
    """95 % over images and seeds; what is known of seeds from a few may reach beyond what a score can be."""
    return interval(np.clip(combined(draws, rng), 0.0, 1.0))


def _means(models: Sequence[Scored]) -> dict[str, float]:
    return {name: float(np.mean([model.metrics[name] for model in models])) for name in models[0].metrics}


def _keep_champion(folder: RunFolder, checkpoint: str) -> None:
    folder.champion.mkdir(exist_ok=True)
    with fetched(checkpoint) as found:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(found / name, folder.champion / name)


def _spread(count: int, most: int = _PICTURES) -> list[int]:
    """Indices of a few images, evenly spread over all."""
    shown = min(most, count)
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
