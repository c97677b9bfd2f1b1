"""Tables: the numbers that the report shows, as plain values. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.results import OBJECTIVE, RunFolder, TestRow, TestScores, Trial, best_trial

MAIN_METRICS = ("mAP", "AP50", "AP75", "mAR")
_NAMES = {"best": "best recipe", "real_only": "real only", "synthetic_only": "synthetic only"}


@dataclass(frozen=True)
class Point:
    """One trial in the picture of accuracy against objects per scene."""

    trial: int
    objects: int
    value: float
    images: int
    pruned: bool


@dataclass(frozen=True)
class Curve:
    """One trial's validation mAP by images seen."""

    trial: int
    kind: str
    state: str
    images: tuple[int, ...]
    values: tuple[float, ...]


def answer(folder: RunFolder) -> str:
    """The sweep's answer in one sentence, with its interval, and no more certain than the test set allows."""
    trials, test = folder.trials(), folder.test()
    best = best_trial(trials)
    if best is None:
        failures = [trial for trial in trials if trial.state == "FAILED"]
        why = f" The first to fail said: {failures[0].reason}" if failures else ""
        return f"No answer: none of {len(trials)} trials finished.{why}"
    if test is None:
        return f"No answer yet: the test set has not been opened. Best on validation: {recipe_words(best)}."
    return _compared(best, test)


def role_name(role: str) -> str:
    return _NAMES.get(role, role)


def where(test: TestScores) -> str:
    """What the test set is, in words that never let a stand-in pass for photos."""
    return f"{test.images} stand-in images" if test.stand_in else f"{test.images} real test photos"


def with_interval(row: TestRow, metric: str = "mAP") -> str:
    """0.31 [0.27, 0.35]: the score and its 95 % interval over test images."""
    bounds = row.intervals.get(metric)
    return f"{row.metrics[metric]:.3f}" + ("" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]")


def recipe_words(trial: Trial) -> str:
    """What a trial's training was, in words."""
    recipe = trial.recipe
    if trial.kind != "search":
        return f"{role_name(trial.kind)} (control)"
    share, rate = recipe["mix.synthetic"], recipe["training.learning_rate"]
    return f"{share:.0%} synthetic at {recipe['scene.objects']} objects per scene, learning rate {rate:.2g}"


def points(trials: Sequence[Trial]) -> list[Point]:
    """Searched trials that reported and that saw synthetic images, by objects per scene."""
    return [
        Point(trial.number, trial.recipe["scene.objects"], trial.value, trial.images, trial.state == "PRUNED")
        for trial in trials
        if trial.kind == "search" and trial.value is not None and trial.recipe["mix.synthetic"] > 0
    ]


def means_by_objects(found: Sequence[Point]) -> list[tuple[int, float, int]]:
    """(objects, mean validation mAP, number of trials) of the trials that were trained to the end."""
    groups: dict[int, list[float]] = {}
    for point in found:
        if not point.pruned:
            groups.setdefault(point.objects, []).append(point.value)
    return [(objects, float(np.mean(values)), len(values)) for objects, values in sorted(groups.items())]


def curves(trials: Sequence[Trial]) -> list[Curve]:
    """Learning curves of all trials that reported."""
    return [
        Curve(
            trial.number,
            trial.kind,
            trial.state,
            tuple(rung.images for rung in trial.rungs),
            tuple(rung.metrics[OBJECTIVE] for rung in trial.rungs),
        )
        for trial in trials
        if trial.rungs
    ]


def per_class(test: TestScores) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """Class names, and for each row of the test its AP of each class; NaN where a row lacks one."""
    names = [name.removeprefix("AP/") for name in test.rows[0].metrics if name.startswith("AP/")]
    rows = [(role_name(row.role), [row.metrics.get(f"AP/{name}", float("nan")) for name in names]) for row in test.rows]
    return names, rows


def _compared(best: Trial, test: TestScores) -> str:
    top, real = test.row("best"), test.row("real_only")
    assert top is not None
    score = f"{with_interval(top)} mAP"
    others = [f"{role_name(row.role)} {with_interval(row)}" for row in test.rows if row.role != "best" and row.trial != best.number]
    beside = f" ({'; '.join(others)})" if others else ""
    if best.kind == "real_only" or (real is not None and real.metrics["mAP"] > top.metrics["mAP"]):
        shown = real or top
        return f"Use real data only: on {where(test)} it reaches {with_interval(shown)} mAP, and no mix did better."
    sentence = f"On {where(test)} the best recipe, {recipe_words(best)}, reaches {score}{beside}."
    if real is not None and _overlap(top, real):
        return sentence + " The intervals overlap: this test set cannot tell it from real only."
    return sentence


def _overlap(a: TestRow, b: TestRow) -> bool:
    (low_a, high_a), (low_b, high_b) = a.intervals["mAP"], b.intervals["mAP"]
    return low_a <= high_b and low_b <= high_a
