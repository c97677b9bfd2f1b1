"""Tables: the numbers that the report shows, as plain values. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.analysis.selection import Candidate, candidate, unconfirmed, with_pooled_errors
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.runs.metrics import AP50, CLASS_AP, MAP, OBJECTIVE, VALIDATION_AP50
from syndet_ray.runs.names import recipe_words, role_name, settings
from syndet_ray.runs.results import Role, State, TestRow, TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.spread import Difference, bounded
from syndet_ray.wording import number

_DATA_SETTINGS = (
    "mix.synthetic",
    "mix.parts",
    "mix.real_images",
    "mix.schedule",
    "mix.switch_at",
    "scene.objects",
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score on the test set and its 95 % interval; low and high are None where none was computed."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3) -> str:
        """0.310 [0.272, 0.349]"""
        interval = (
            ""
            if self.low is None
            else f" [{number(self.low, digits)}, {number(self.high, digits)}]"
        )
        return number(self.value, digits) + interval


@dataclass(frozen=True, kw_only=True)
class TestLine:
    """One recipe on the test set, each score the mean of its models.

    trial_role   why there was that trial: search, control or variant
    trial_name   of the control or variant, else ""
    synthetic    the share of all that it saw which was synthetic
    scores       by metric
    validation   mean mAP of its models on the validation set, which it was chosen by, and its
                 standard error
    seeds        test mAP of each model
    diverged     how many of its trainings diverged: each counts as a model that finds nothing
    anew         whether it was trained anew when the search was over
    p_best       probability that it is the best of all lines; None where no recipe was trained more
                 than once
    differences  its mAP less that of each control and of the first variant
    best         whether it won, by validation; simplest: whether it is the simplest that is as
                 good, to within the error
    """

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    role: str
    name: str
    trial: int
    trial_role: Role
    trial_name: str
    synthetic: float
    recipe: str
    scores: dict[str, Score]
    validation: float
    error: float | None
    seeds: tuple[float, ...]
    diverged: int
    anew: bool
    p_best: float | None
    differences: dict[str, Difference]
    best: bool
    simplest: bool

    @property
    def confirmed(self) -> bool:
        """Whether it was trained more than once, so that the spread between seeds is known."""
        return len(self.seeds) > 1

    @property
    def is_control(self) -> bool:
        return self.trial_role == "control"

    @property
    def is_variant(self) -> bool:
        return self.trial_role == "variant"

    @property
    def is_searched(self) -> bool:
        return self.trial_role == "search"


@dataclass(frozen=True, kw_only=True)
class TrialLine:
    """One trial.

    kind      its role and name, see `results.kind_of`
    settings  its values of TrialTable.settings, in that order
    seconds   None while it runs
    of        the trial whose recipe a confirmation trains again
    """

    number: int
    kind: str
    settings: tuple[Any, ...]
    state: State
    reason: str
    images: int
    value: float | None
    ap50: float | None
    seconds: float | None
    best: bool
    of: int | None


@dataclass(frozen=True, kw_only=True)
class TrialTable:
    """Every trial. settings: dotted paths of what the search varied, the make-up of the data first."""

    settings: tuple[str, ...]
    lines: tuple[TrialLine, ...]
    confirmations: tuple[TrialLine, ...]


@dataclass(frozen=True, kw_only=True)
class VariantLine:
    """One variant on the test set.

    score       mAP, mean over its models; ap50 likewise
    seeds       mAP of each model
    p_best      probability that it is the best of all that met the test set; None where none was
                trained more than once
    difference  its mAP less that of the first variant; None for the first
    changes     of the sweep's recipe, in words
    """

    name: str
    score: Score
    ap50: Score
    seeds: tuple[float, ...]
    p_best: float | None
    difference: Difference | None
    changes: str

    @property
    def apart(self) -> bool:
        """Whether it differs from the first variant by more than images and seeds explain: the
        interval excludes 0.
        """
        return self.difference is not None and (self.difference.low > 0 or self.difference.high < 0)


@dataclass(frozen=True)
class ClassTable:
    """AP of each class (rows) for each model of the test (columns); NaN where a model has none.

    Only where enough images hold a class has it intervals.
    """

    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Score, ...]], ...]


def best_number(trials: Sequence[Trial], test: TestScores | None) -> int | None:
    """The first trial of the recipe that won; before the test set is opened, of the one that is
    ahead on validation.
    """
    row = test.row("best") if test is not None else None
    if row is not None:
        return row.trial
    ahead = unconfirmed(trials)
    return ahead[0].trial.number if ahead else None


def told_once(test: TestScores) -> list[tuple[str, TestRow]]:
    """The rows and the roles to call them by: a best that is a control or a variant stands there
    once, as what it is.
    """
    best = test.row("best")
    others = [row for row in test.rows if row is not best]
    own = next((row.role for row in others if best is not None and row.trial == best.trial), "best")
    return ([(own, best)] if best is not None else []) + [
        (row.role, row) for row in others if row.role != own
    ]


def compared_with(test: TestScores) -> str | None:
    """The role that a short table compares all others with: the first variant, or else real images
    alone.

    With real images alone only where the spread between seeds is known: what a sweep recommends
    hangs on that.
    """
    found = list(dict.fromkeys(role for row in test.rows for role in row.differences))
    variants = [role for role in found if role not in CONTROL_CHANGES]
    controls = ["real_only"] if test.has_seed_spread else []
    return next((role for role in (*variants, *controls) if role in found), None)


def test_lines(test: TestScores, trials: Sequence[Trial]) -> tuple[TestLine, ...]:
    """The recipes of the test set, each once."""
    rows = told_once(test)
    recipes = with_pooled_errors([_candidate(row, trials) for _, row in rows])
    return tuple(
        _test_line(role, row, test, recipe)
        for (role, row), recipe in zip(rows, recipes, strict=True)
    )


test_lines.__test__ = False  # type: ignore[attr-defined]


def trial_table(trials: Sequence[Trial], best: int | None) -> TrialTable:
    """Controls, variants and the trials of the search, and apart from them the confirmations."""
    varied = dict.fromkeys(path for trial in trials for path in trial.params)
    paths = tuple(sorted(varied, key=lambda path: path not in _DATA_SETTINGS))
    lines = [_trial_line(trial, paths, best=trial.number == best) for trial in trials]
    by_role = list(zip(trials, lines, strict=True))
    return TrialTable(
        settings=paths,
        lines=tuple(line for trial, line in by_role if trial.role != "confirmation"),
        confirmations=tuple(line for trial, line in by_role if trial.role == "confirmation"),
    )


def failures(trials: Sequence[Trial]) -> list[tuple[str, tuple[int, ...]]]:
    """Why trials failed, and the numbers of those that failed so; the most frequent reason first."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "FAILED":
            found.setdefault(trial.reason, []).append(trial.number)
    return sorted(
        ((reason, tuple(numbers)) for reason, numbers in found.items()),
        key=lambda pair: -len(pair[1]),
    )


def variant_lines(run: Run) -> tuple[VariantLine, ...]:
    """The variants that met the test set, in the sweep's order; empty before it was opened."""
    test, sweep = run.test, run.sweep
    rows = [row for row in (test.rows if test else ()) if row.role in sweep.variants]
    return tuple(
        VariantLine(
            name=row.role,
            score=_score(row, MAP),
            ap50=_score(row, AP50),
            seeds=row.seeds or (row.metrics[MAP],),
            p_best=None if test is None else test.p_best(row),
            difference=row.differences.get(rows[0].role),
            changes=settings(sweep.variants[row.role]) if sweep.variants[row.role] else "nothing",
        )
        for row in rows
    )


def class_table(test: TestScores, trials: Sequence[Trial]) -> ClassTable:
    metrics = {line.name: line.scores for line in test_lines(test, trials)}
    keys = dict.fromkeys(
        key for scores in metrics.values() for key in scores if key.startswith(CLASS_AP)
    )
    missing = Score(value=float("nan"))
    rows = tuple(
        (key.removeprefix(CLASS_AP), tuple(own.get(key, missing) for own in metrics.values()))
        for key in keys
    )
    return ClassTable(tuple(metrics), rows)


def _candidate(row: TestRow, trials: Sequence[Trial]) -> Candidate:
    """A recipe by the models that were scored: a run that is being extended may have more by now."""
    by_number = {trial.number: trial for trial in trials}
    return candidate(
        by_number[row.trial], [by_number[number] for number in row.models or (row.trial,)]
    )


def _test_line(role: str, row: TestRow, test: TestScores, found: Candidate) -> TestLine:
    best = test.row("best")
    return TestLine(
        role=row.role,
        name=role_name(role),
        trial=row.trial,
        trial_role=found.trial.role,
        trial_name=found.trial.name,
        synthetic=found.trial.recipe.mix.synthetic,
        recipe=recipe_words(found.trial),
        scores={name: _score(row, name) for name in row.metrics},
        validation=found.mean,
        error=found.error,
        seeds=row.seeds,
        diverged=sum(training.diverged for training in found.trainings),
        anew=any(training.of is not None for training in found.trainings),
        p_best=test.p_best(row),
        differences=row.differences,
        best=best is not None and row.trial == best.trial,
        simplest=row.trial == test.simplest,
    )


def _score(row: TestRow, metric: str) -> Score:
    """A score and its interval, which a spread between seeds may have widened beyond what a score
    can be.
    """
    value, bounds = row.metrics[metric], row.intervals.get(metric)
    if bounds is None:
        return Score(value=value)
    low, high = bounded(metric, np.array(bounds)).tolist()
    return Score(value=value, low=low, high=high)


def _trial_line(trial: Trial, paths: tuple[str, ...], *, best: bool) -> TrialLine:
    last = trial.rungs[-1].metrics if trial.rungs else {}
    seconds = None if trial.ended is None else trial.ended - trial.started
    settings = trial.settings
    return TrialLine(
        number=trial.number,
        kind=trial.kind,
        settings=tuple(settings.get(path) for path in paths),
        state=trial.state,
        reason=trial.reason,
        images=trial.images,
        value=last.get(OBJECTIVE),
        ap50=last.get(VALIDATION_AP50),
        seconds=seconds,
        best=best,
        of=trial.of,
    )
