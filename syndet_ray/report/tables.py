"""Tables: the numbers that the report shows, as plain values. Nothing here draws."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.report.words import (
    STAND_IN,
    decimals,
    number,
    recipe_words,
    role_name,
    setting_name,
    setting_value,
    where,
)
from syndet_ray.results import OBJECTIVE, RunFolder, TestRow, TestScores, Trial, best_trial

MAIN_METRICS = ("mAP", "AP50", "AP75", "mAR")
_MOST_GROUPS = 8
_DATA_SETTINGS = ("mix.synthetic", "scene.objects")


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
    """One model on the test set. scores by metric; validation is what it was chosen by."""

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    role: str
    name: str
    trial: int
    recipe: str
    validation: float | None
    scores: dict[str, Score]


@dataclass(frozen=True)
class TrialLine:
    """One trial. settings are its values of TrialTable.settings, in that order; seconds is None while it runs."""

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


@dataclass(frozen=True)
class TrialTable:
    """Every trial. settings: dotted paths of what the search varied, the make-up of the data first."""

    settings: tuple[str, ...]
    lines: tuple[TrialLine, ...]


@dataclass(frozen=True)
class Point:
    """One searched trial in accuracy against objects per scene. share: of synthetic images; value: validation mAP."""

    trial: int
    objects: int
    share: float
    value: float
    images: int
    state: str


@dataclass(frozen=True)
class Group:
    """The completed trials at one number of objects. deviation is the sample's, None for a single trial."""

    objects: int
    count: int
    mean: float
    low: float
    high: float
    deviation: float | None


@dataclass(frozen=True)
class ObjectsResponse:
    """Validation mAP against objects per scene. controls: validation mAP of each control that reported."""

    points: tuple[Point, ...]
    groups: tuple[Group, ...]
    controls: dict[str, float]

    @property
    def grouped(self) -> bool:
        """Whether so few values were tried that their means say more than the points."""
        return len({point.objects for point in self.points}) <= _MOST_GROUPS


@dataclass(frozen=True)
class VariantLine:
    """One variant on the test set: its score in mAP for every repeat, their mean, and what it changes, in words."""

    name: str
    scores: tuple[Score, ...]
    mean: float
    mean_ap50: float
    changes: str


@dataclass(frozen=True)
class Curve:
    """One trial's validation mAP by training images seen."""

    trial: int
    kind: str
    state: str
    images: tuple[int, ...]
    values: tuple[float, ...]
    best: bool


@dataclass(frozen=True)
class ClassTable:
    """AP of each class (rows) for each model of the test (columns); NaN where a model has none."""

    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


def answer(folder: RunFolder) -> str:
    """The sweep's answer in one sentence, with its interval, and no more certain than the test set allows."""
    trials, test = folder.trials(), folder.test()
    best = best_trial(trials)
    if best is None:
        said = _no_answer(trials)
    elif test is None:
        best_so_far = f"{recipe_words(best)}, {number(best.value)} mAP"
        said = f"No answer yet: the test set has not been opened. Best on validation so far: {best_so_far}."
    elif best.kind != "search" and (lines := variant_lines(folder)):
        said = _ablation(lines, where(test))
    else:
        said = _compared(trials, test)
    return f"{said} {STAND_IN}" if is_stand_in(folder) else said


def is_stand_in(folder: RunFolder) -> bool:
    """Whether rendered images took the place of photos in this run."""
    test = folder.test()
    return bool(folder.about.get("stand_in")) or (test is not None and test.stand_in)


def test_lines(test: TestScores, trials: Sequence[Trial]) -> tuple[TestLine, ...]:
    """The models of the test set; a control that is itself the best stands there once."""
    by_number = {trial.number: trial for trial in trials}
    best = test.row("best")
    rows = [row for row in test.rows if row is best or best is None or row.trial != best.trial]
    return tuple(_test_line(row, by_number[row.trial]) for row in rows)


test_lines.__test__ = False  # type: ignore[attr-defined]


def trial_table(trials: Sequence[Trial]) -> TrialTable:
    varied = dict.fromkeys(path for trial in trials for path in trial.params)
    settings = tuple(sorted(varied, key=lambda path: path not in _DATA_SETTINGS))
    best = best_trial(trials)
    return TrialTable(settings, tuple(_trial_line(trial, settings, trial is best) for trial in trials))


def failures(trials: Sequence[Trial]) -> list[tuple[str, tuple[int, ...]]]:
    """Why trials failed, and the numbers of those that failed so; the most frequent reason first."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "FAILED":
            found.setdefault(trial.reason, []).append(trial.number)
    return sorted(((reason, tuple(numbers)) for reason, numbers in found.items()), key=lambda pair: -len(pair[1]))


def objects_response(trials: Sequence[Trial]) -> ObjectsResponse:
    """Every searched trial that reported and that saw synthetic images; only completed ones count for the groups."""
    points = [
        Point(t.number, t.recipe["scene.objects"], t.recipe["mix.synthetic"], t.value, t.images, t.state)
        for t in trials
        if t.kind == "search" and t.value is not None and t.recipe["mix.synthetic"] > 0
    ]
    complete: dict[int, list[float]] = {}
    for point in points:
        if point.state == "COMPLETE":
            complete.setdefault(point.objects, []).append(point.value)
    groups = tuple(_group(objects, values) for objects, values in sorted(complete.items()))
    controls = {t.kind: t.value for t in trials if t.kind != "search" and t.value is not None}
    return ObjectsResponse(tuple(points), groups, controls)


def variant_lines(folder: RunFolder) -> tuple[VariantLine, ...]:
    """The variants that met the test set, in the sweep's order; empty before it was opened."""
    test, sweep = folder.test(), folder.sweep
    found = []
    for name, changes in sweep.variants.items():
        rows = [row for kind in sweep.variant_kinds(name) for row in (test.rows if test else ()) if row.role == kind]
        if rows:
            scores = tuple(Score(row.metrics["mAP"], *row.intervals.get("mAP", (None, None))) for row in rows)
            means = [float(np.mean([row.metrics[metric] for row in rows])) for metric in ("mAP", "AP50")]
            told = ", ".join(f"{setting_name(path)} {setting_value(path, value)}" for path, value in changes.items())
            found.append(VariantLine(name, scores, means[0], means[1], told or "nothing"))
    return tuple(found)


def curves(trials: Sequence[Trial]) -> tuple[Curve, ...]:
    """Learning curves of all trials that reported."""
    best = best_trial(trials)
    return tuple(
        Curve(
            trial.number,
            trial.kind,
            trial.state,
            tuple(rung.images for rung in trial.rungs),
            tuple(rung.metrics[OBJECTIVE] for rung in trial.rungs),
            trial is best,
        )
        for trial in trials
        if trial.rungs
    )


def class_table(test: TestScores, trials: Sequence[Trial]) -> ClassTable:
    metrics = {line.name: line.scores for line in test_lines(test, trials)}
    keys = dict.fromkeys(key for scores in metrics.values() for key in scores if key.startswith("AP/"))
    missing = Score(float("nan"))
    rows = tuple(
        (key.removeprefix("AP/"), tuple(scores.get(key, missing).value for scores in metrics.values())) for key in keys
    )
    return ClassTable(tuple(metrics), rows)


def _no_answer(trials: Sequence[Trial]) -> str:
    if not trials:
        return "No answer: no trial was started."
    counts = {state: sum(trial.state == state for trial in trials) for state in ("FAILED", "PRUNED", "RUNNING")}
    told = ", ".join(f"{count} {state.lower()}" for state, count in counts.items() if count)
    yet = " yet" if counts["RUNNING"] else ""
    said = f"No answer{yet}: of {len(trials)} trials none has finished ({told})."
    failed = next((trial for trial in trials if trial.state == "FAILED"), None)
    if failed is None:
        return said
    return f"{said} The first to fail, trial {failed.number}, said: {textwrap.shorten(failed.reason, 300)}"


def _compared(trials: Sequence[Trial], test: TestScores) -> str:
    """The best recipe beside the controls, all on the test set."""
    lines = {line.role: line for line in test_lines(test, trials)}
    best, real = lines.pop("best"), lines.get("real_only")
    trial = next(trial for trial in trials if trial.number == best.trial)
    if trial.kind == "real_only":
        beside = _beside(best, *lines.values())
        return f"Use real data only: on {where(test)} it reaches {_map(best)}{beside}. {_behind(trials, trial)}"
    if real is None:
        told = f"On {where(test)} {_told(best)}{_beside(best, *lines.values())}."
        return f"{told} No real-only control was tested: whether synthetic images helped cannot be told."
    if real.scores["mAP"].value >= best.scores["mAP"].value:
        others = [line for line in lines.values() if line is not real]
        told = f"it reaches {_map(real)}; {_told(best)}{_beside(best, *others)}"
        return f"Use real data only: on {where(test)} {told}. {_apart(best, real)}"
    use = "Use real data only: on" if trial.recipe["mix.synthetic"] == 0 else "On"
    return f"{use} {where(test)} {_told(best)}{_beside(best, *lines.values())}. {_apart(best, real)}"


def _ablation(lines: Sequence[VariantLine], tested_on: str) -> str:
    """What each variant gains or costs against the first, and how far that can be trusted."""
    first, others = lines[0], lines[1:]
    digits = decimals(max(line.mean for line in lines))
    reached = first.scores[0].text(digits) if len(first.scores) == 1 else number(first.mean, digits)
    said = f"On {tested_on} {first.name} reaches {reached} mAP"
    if not others:
        return f"{said}."
    # What rounds to nothing has no sign.
    told = ", ".join(f"{line.name} {round(line.mean - first.mean, digits) + 0.0:+.{digits}f}" for line in others)
    apart = [line.name for line in others if _intervals_apart(first, line)]
    sure = (
        f"Beyond the intervals over images: {', '.join(apart)}." if apart else "No difference is beyond the intervals."
    )
    seeds = "" if len(first.scores) > 1 else " Each was trained once: the spread between seeds is unknown."
    return f"{said}; against it {told}. {sure}{seeds}"


def _intervals_apart(a: VariantLine, b: VariantLine) -> bool:
    """Whether every interval of one lies wholly above every interval of the other."""
    bounds = [[(score.low, score.high) for score in line.scores] for line in (a, b)]
    if any(low is None or high is None for part in bounds for low, high in part):
        return False
    (lows_a, highs_a), (lows_b, highs_b) = (zip(*part, strict=True) for part in bounds)
    return min(lows_a) > max(highs_b) or min(lows_b) > max(highs_a)


def _told(best: TestLine) -> str:
    return f"the best recipe — {best.recipe} — reaches {_map(best)}"


def _beside(best: TestLine, *others: TestLine) -> str:
    digits = decimals(best.scores["mAP"].value)
    return "".join(f"; {line.name} {line.scores['mAP'].text(digits)}" for line in others)


def _map(line: TestLine) -> str:
    """0.31 mAP [0.27, 0.35]"""
    score = line.scores["mAP"]
    value, _, interval = score.text(decimals(score.value)).partition(" ")
    return f"{value} mAP {interval}".rstrip()


def _apart(best: TestLine, real: TestLine) -> str:
    """What the intervals of the best recipe and of real only say about their difference."""
    a, b = best.scores["mAP"], real.scores["mAP"]
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "Without intervals, this run cannot tell the two apart."
    if a.low > b.high or b.low > a.high:
        return "Their intervals do not overlap."
    simpler = ", and real only is the simpler recipe" if b.value >= a.value else ""
    return f"The intervals overlap: this run cannot tell the best recipe from real only{simpler}."


def _behind(trials: Sequence[Trial], control: Trial) -> str:
    """How far the searched recipes stayed behind a control, on validation, where they were compared."""
    searched = [trial for trial in trials if trial.kind == "search"]
    second = best_trial(searched)
    if second is None:
        return f"None of the {len(searched)} searched recipes finished."
    gap = f"{number(second.value)} against {number(control.value)} mAP"
    return f"No searched recipe did better on validation: the best of {len(searched)} had {gap}."


def _test_line(row: TestRow, trial: Trial) -> TestLine:
    scores = {name: Score(value, *row.intervals.get(name, (None, None))) for name, value in row.metrics.items()}
    name = role_name(trial.kind) if trial.kind != "search" else role_name(row.role)
    return TestLine(row.role, name, row.trial, recipe_words(trial), trial.value, scores)


def _trial_line(trial: Trial, settings: tuple[str, ...], best: bool) -> TrialLine:
    last = trial.rungs[-1].metrics if trial.rungs else {}
    seconds = None if trial.ended is None else trial.ended - trial.started
    return TrialLine(
        trial.number,
        trial.kind,
        tuple(trial.recipe.get(path) for path in settings),
        trial.state,
        trial.reason,
        trial.images,
        last.get(OBJECTIVE),
        last.get("val/AP50"),
        seconds,
        best,
    )


def _group(objects: int, values: Sequence[float]) -> Group:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Group(objects, len(values), float(np.mean(values)), min(values), max(values), deviation)
