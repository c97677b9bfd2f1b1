"""Tables: the numbers that the report shows, as plain values. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.report.words import number, recipe_words, role_name, settings
from syndet_ray.results import OBJECTIVE, RunFolder, TestRow, TestScores, Trial, best_trial
from syndet_ray.spread import Difference, standard_error

MAIN_METRICS = ("mAP", "AP50", "AP75", "mAR")
_DATA_SETTINGS = ("mix.synthetic", "mix.parts", "mix.real_images", "mix.schedule", "mix.switch_at", "scene.objects")


@dataclass(frozen=True)
class Score:
    """A score on the test set and its 95 % interval; low and high are None where none was computed."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3) -> str:
        """0.310 [0.272, 0.349]"""
        interval = "" if self.low is None else f" [{number(self.low, digits)}, {number(self.high, digits)}]"
        return number(self.value, digits) + interval


@dataclass(frozen=True)
class TestLine:
    """One recipe on the test set, each score the mean of its models.

    kind         of the trial, and the share of all that it saw which was synthetic
    scores       by metric
    validation   mean mAP of its models on the validation set, which it was chosen by, and its standard error
    seeds        test mAP of each model
    p_best       probability that it is the best of all lines
    differences  its mAP less that of each control
    best         whether it won, by validation; simplest: whether it is the simplest that is as good, to within the error
    """

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    role: str
    name: str
    trial: int
    kind: str
    synthetic: float
    recipe: str
    scores: dict[str, Score]
    validation: float | None
    error: float | None
    seeds: tuple[float, ...]
    p_best: float | None
    differences: dict[str, Difference]
    best: bool
    simplest: bool

    @property
    def confirmed(self) -> bool:
        """Whether it was trained more than once, so that the spread between seeds is known."""
        return len(self.seeds) > 1


@dataclass(frozen=True)
class TrialLine:
    """One trial. settings are its values of TrialTable.settings, in that order; seconds is None while it runs.

    of: the trial whose recipe a confirmation trains anew.
    """

    number: int
    kind: str
    settings: tuple[Any, ...]
    state: str
    reason: str
    images: int
    value: float | None
    ap50: float | None
    seconds: float | None
    best: bool
    of: int | None


@dataclass(frozen=True)
class TrialTable:
    """Every trial. settings: dotted paths of what the search varied, the make-up of the data first."""

    settings: tuple[str, ...]
    lines: tuple[TrialLine, ...]
    confirmations: tuple[TrialLine, ...]


@dataclass(frozen=True)
class VariantLine:
    """One variant on the test set: its score in mAP for every repeat, their mean, and what it changes, in words."""

    name: str
    scores: tuple[Score, ...]
    mean: float
    mean_ap50: float
    changes: str


@dataclass(frozen=True)
class ClassTable:
    """AP of each class (rows) for each model of the test (columns); NaN where a model has none."""

    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


def is_stand_in(folder: RunFolder) -> bool:
    """Whether rendered images took the place of photos in this run."""
    test = folder.test()
    return bool(folder.about.get("stand_in")) or (test is not None and test.stand_in)


def best_number(trials: Sequence[Trial], test: TestScores | None) -> int | None:
    """The trial whose recipe won; before the test set is opened, the one that is ahead on validation."""
    row = test.row("best") if test is not None else None
    if row is not None:
        return row.trial
    ahead = best_trial(trials)
    return None if ahead is None else ahead.number


def test_lines(test: TestScores, trials: Sequence[Trial]) -> tuple[TestLine, ...]:
    """The recipes of the test set; a control that is itself the best stands there once."""
    best = test.row("best")
    rows = [row for row in test.rows if row is best or best is None or row.trial != best.trial]
    return tuple(_test_line(row, test, trials) for row in rows)


test_lines.__test__ = False  # type: ignore[attr-defined]


def trial_table(trials: Sequence[Trial], best: int | None) -> TrialTable:
    """Controls, variants and the trials of the search, and apart from them the confirmations."""
    varied = dict.fromkeys(path for trial in trials for path in trial.params)
    paths = tuple(sorted(varied, key=lambda path: path not in _DATA_SETTINGS))
    lines = [_trial_line(trial, paths, trial.number == best) for trial in trials]
    return TrialTable(
        paths, tuple(x for x in lines if x.kind != "confirm"), tuple(x for x in lines if x.kind == "confirm")
    )


def failures(trials: Sequence[Trial]) -> list[tuple[str, tuple[int, ...]]]:
    """Why trials failed, and the numbers of those that failed so; the most frequent reason first."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "FAILED":
            found.setdefault(trial.reason, []).append(trial.number)
    return sorted(((reason, tuple(numbers)) for reason, numbers in found.items()), key=lambda pair: -len(pair[1]))


def variant_lines(folder: RunFolder) -> tuple[VariantLine, ...]:
    """The variants that met the test set, in the sweep's order; empty before it was opened."""
    test, sweep = folder.test(), folder.sweep
    found = []
    for name, changes in sweep.variants.items():
        rows = [row for kind in sweep.variant_kinds(name) for row in (test.rows if test else ()) if row.role == kind]
        if rows:
            scores = tuple(_score(row, "mAP") for row in rows)
            means = [float(np.mean([row.metrics[metric] for row in rows])) for metric in ("mAP", "AP50")]
            told = settings(changes) if changes else "nothing"
            found.append(VariantLine(name, scores, means[0], means[1], told))
    return tuple(found)


def class_table(test: TestScores, trials: Sequence[Trial]) -> ClassTable:
    metrics = {line.name: line.scores for line in test_lines(test, trials)}
    keys = dict.fromkeys(key for scores in metrics.values() for key in scores if key.startswith("AP/"))
    missing = Score(float("nan"))
    rows = tuple(
        (key.removeprefix("AP/"), tuple(scores.get(key, missing).value for scores in metrics.values())) for key in keys
    )
    return ClassTable(tuple(metrics), rows)


def _test_line(row: TestRow, test: TestScores, trials: Sequence[Trial]) -> TestLine:
    by_number = {trial.number: trial for trial in trials}
    trial, models = by_number[row.trial], [by_number[number] for number in row.models or (row.trial,)]
    values = [model.value for model in models if model.value is not None]
    best = test.row("best")
    return TestLine(
        row.role,
        role_name(row.role if trial.kind == "search" else trial.kind),
        row.trial,
        trial.kind,
        trial.recipe["mix.synthetic"],
        recipe_words(trial),
        {name: _score(row, name) for name in row.metrics},
        sum(values) / len(values) if values else None,
        standard_error(values),
        row.seeds,
        row.p_best,
        row.differences,
        best is not None and row.trial == best.trial,
        row.trial == test.simplest,
    )


def _score(row: TestRow, metric: str) -> Score:
    """A score and its interval, which a spread between seeds may have widened beyond what a score can be."""
    value, bounds = row.metrics[metric], row.intervals.get(metric)
    return Score(value) if bounds is None else Score(value, max(0.0, bounds[0]), min(1.0, bounds[1]))


def _trial_line(trial: Trial, paths: tuple[str, ...], best: bool) -> TrialLine:
    last = trial.rungs[-1].metrics if trial.rungs else {}
    seconds = None if trial.ended is None else trial.ended - trial.started
    return TrialLine(
        trial.number,
        trial.kind,
        tuple(trial.recipe.get(path) for path in paths),
        trial.state,
        trial.reason,
        trial.images,
        last.get(OBJECTIVE),
        last.get("val/AP50"),
        seconds,
        best,
        trial.of,
    )
