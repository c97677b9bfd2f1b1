"""Tables: the numbers that the report shows, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.analysis.selection import Candidate, candidate, search_ranking, with_pooled_errors
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.metrics import AP50, CLASS_AP, MAP, OBJECTIVE, VALIDATION_AP50
from syndet_ray.runs.names import display_name, recipe_words, settings
from syndet_ray.runs.results import (
    BEST,
    FINALIST,
    REAL_ONLY,
    Role,
    RowKey,
    State,
    TestRow,
    TestScores,
    Trial,
)
from syndet_ray.runs.run import Run
from syndet_ray.spread import Difference, limit_scores
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
    """A score on the test set and its 95 % interval; low and high are None if it has none."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3) -> str:
        """0.310 [0.272, 0.349]"""
        value = number(self.value, digits)
        if self.low is None:
            return value
        return f"{value} [{number(self.low, digits)}, {number(self.high, digits)}]"


# of a metric that a run lacks: an earlier version, which did not compute it, wrote the run
_MISSING = Score(value=float("nan"))


@dataclass(frozen=True, kw_only=True)
class TestLine:
    """One recipe on the test set, each score the mean of its models.

    key          as in `results.TestRow`
    name         for display
    scored       the trials whose models were scored: itself, or those that trained it again
    trial_role   search, control or variant
    trial_name   of the control or variant, else ""
    synthetic    share of the synthetic images in all that it was trained on
    scores       by metric
    validation   mean mAP of its models on the validation set, by which it was chosen
    error        standard error of that mean
    seeds        test mAP of each model
    diverged     number of its trainings that diverged: each counts as a model that finds nothing
    retrained    True if it was trained again when the search was over
    p_best       probability that it is the best of all lines; None if no recipe was trained more
                 than once
    differences  its mAP minus that of each control and of the first variant
    best         True if it is the best by validation; the first of all if they tie at 0
    won          True if it is the best, unless all tie at 0
    simplest     True if it is the simplest that is as good, to within the standard error
    """

    __test__ = False  # pytest takes a class with this name for a test

    key: RowKey
    name: str
    trial: int
    scored: tuple[int, ...]
    trial_role: Role
    trial_name: str
    synthetic: float
    recipe: str
    scores: dict[str, Score]
    validation: float
    error: float | None
    seeds: tuple[float, ...]
    diverged: int
    retrained: bool
    p_best: float | None
    differences: dict[RowKey, Difference]
    best: bool
    won: bool
    simplest: bool

    def score(self, metric: str) -> Score:
        """Its score by a metric; not a number, without interval, if the run lacks the metric."""
        return self.scores.get(metric, _MISSING)

    @property
    def confirmed(self) -> bool:
        """True if it was trained more than once: the spread between seeds is known."""
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
    """Every trial. settings: dotted paths of the searched settings, those of the data first."""

    settings: tuple[str, ...]
    lines: tuple[TrialLine, ...]
    confirmations: tuple[TrialLine, ...]


@dataclass(frozen=True, kw_only=True)
class VariantLine:
    """One variant on the test set.

    score       mAP, mean over its models; ap50 likewise
    seeds       mAP of each model
    p_best      probability that it is the best recipe on the test set; None if no recipe was
                trained more than once
    difference  its mAP minus that of the first variant; None for the first
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
        """True if it differs significantly from the first variant: the interval excludes 0."""
        gap = self.difference
        return gap is not None and (gap.low > 0 or gap.high < 0)


@dataclass(frozen=True)
class ClassTable:
    """AP of each class (rows) for each model of the test (columns); NaN where a model has none.

    A class has intervals only if enough images contain it.
    """

    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Score, ...]], ...]


def best_number(trials: Sequence[Trial], test: TestScores | None) -> int | None:
    """The first trial of the recipe that won; before the test set is opened, of the one that is
    ahead on validation. None if all scores are 0.
    """
    if not has_winner(trials, test):
        return None
    row = test.row("best") if test is not None else None
    if row is not None:
        return row.trial
    ahead = search_ranking(trials)
    return ahead[0].trial.number if ahead else None


def has_winner(trials: Sequence[Trial], test: TestScores | None) -> bool:
    """False if no recipe scored above 0, on validation or on the test set: all of them tie."""
    scores = [trial.score or 0.0 for trial in trials]
    if test is not None:
        scores += [row.metrics[MAP] for row in test.rows]
    return any(score > 0 for score in scores)


def distinct_rows(test: TestScores) -> list[tuple[RowKey, TestRow]]:
    """The rows, each recipe once, with their keys; the best first.

    A best recipe that is a control or a variant has that key.
    """
    best = test.row("best")
    others = [row for row in test.rows if row is not best]
    if best is None:
        return [(row.key, row) for row in others]
    keys_of_best = [row.key for row in others if row.trial == best.trial]
    key = keys_of_best[0] if keys_of_best else best.key
    return [(key, best)] + [(row.key, row) for row in others if row.key != key]


def compared_with(test: TestScores) -> RowKey | None:
    """The key of the row that a short table compares all with: the first variant, or real only.

    Real only is taken only if the spread between seeds is known: the recommendation of a sweep
    depends on it.
    """
    references: dict[RowKey, None] = {}
    for row in test.rows:
        references |= dict.fromkeys(row.differences)
    variants = [key for key in references if key not in CONTROL_CHANGES]
    if variants:
        return variants[0]
    return REAL_ONLY if test.has_seed_spread and REAL_ONLY in references else None


def test_lines(test: TestScores, trials: Sequence[Trial]) -> tuple[TestLine, ...]:
    """The recipes of the test set, each once."""
    rows = distinct_rows(test)
    recipes = with_pooled_errors([_candidate(row, trials) for _, row in rows])
    is_won = has_winner(trials, test)
    lines = []
    for (key, row), recipe in zip(rows, recipes, strict=True):
        if key == BEST and not is_won:
            key = RowKey(f"{FINALIST}{row.trial}")
        lines.append(_test_line(key, row, test, recipe, is_won=is_won))
    return tuple(lines)


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
    """The reasons of failed trials with the numbers of the trials; the most frequent first."""
    by_reason: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "FAILED":
            by_reason.setdefault(trial.reason, []).append(trial.number)
    reasons = [(reason, tuple(numbers)) for reason, numbers in by_reason.items()]
    return sorted(reasons, key=lambda pair: -len(pair[1]))


def variant_lines(run: Run) -> tuple[VariantLine, ...]:
    """The variants that were scored on the test set, in its order; empty before it was opened."""
    test, variants = run.test, run.sweep.variants
    if test is None:
        return ()
    rows = [row for row in test.rows if row.key in variants]
    lines = []
    for row in rows:
        changes = variants[row.key]
        line = VariantLine(
            name=row.key,
            score=_score(row, MAP),
            ap50=_score(row, AP50),
            seeds=row.seeds or (row.metrics[MAP],),
            p_best=test.p_best(row),
            difference=row.differences.get(rows[0].key),
            changes=settings(changes) if changes else "nothing",
        )
        lines.append(line)
    return tuple(lines)


def class_table(test: TestScores, trials: Sequence[Trial]) -> ClassTable:
    """AP by class of every recipe on the test set."""
    by_model = {line.name: line.scores for line in test_lines(test, trials)}
    keys: dict[str, None] = {}
    for scores in by_model.values():
        keys |= dict.fromkeys(key for key in scores if key.startswith(CLASS_AP))
    rows = []
    for key in keys:
        of_class = tuple(scores.get(key, _MISSING) for scores in by_model.values())
        rows.append((key.removeprefix(CLASS_AP), of_class))
    return ClassTable(tuple(by_model), tuple(rows))


def _candidate(row: TestRow, trials: Sequence[Trial]) -> Candidate:
    """A recipe with the models that were scored: a run that is being extended may have more now."""
    by_number = {trial.number: trial for trial in trials}
    scored = row.models or (row.trial,)
    return candidate(by_number[row.trial], [by_number[number] for number in scored])


def _test_line(
    key: RowKey, row: TestRow, test: TestScores, recipe: Candidate, *, is_won: bool
) -> TestLine:
    """A line of a row.

    is_won  whether any recipe won
    """
    best = test.row("best")
    is_best = best is not None and row.trial == best.trial
    return TestLine(
        key=row.key,
        name=display_name(key),
        trial=row.trial,
        scored=row.models or (row.trial,),
        trial_role=recipe.trial.role,
        trial_name=recipe.trial.name,
        synthetic=recipe.trial.recipe.mix.synthetic,
        recipe=recipe_words(recipe.trial),
        scores={name: _score(row, name) for name in row.metrics},
        validation=recipe.mean,
        error=recipe.error,
        seeds=row.seeds,
        diverged=sum(training.diverged for training in recipe.trainings),
        retrained=any(training.of is not None for training in recipe.trainings),
        p_best=test.p_best(row),
        differences=row.differences,
        best=is_best,
        won=is_best and is_won,
        simplest=row.trial == test.simplest,
    )


def _score(row: TestRow, metric: str) -> Score:
    """A score and its interval, cut to the values that a score can have.

    The spread between seeds may widen an interval beyond them.
    """
    if metric not in row.metrics:
        return _MISSING
    value, bounds = row.metrics[metric], row.intervals.get(metric)
    if bounds is None:
        return Score(value=value)
    low, high = limit_scores(metric, np.array(bounds)).tolist()
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
