"""Compare: the results of several runs on the same test set, side by side, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_uppercase

import numpy as np

from syndet_ray import seeds, wording
from syndet_ray.analysis.compute import training_s
from syndet_ray.analysis.response import Curve, curves
from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.metrics import MAP
from syndet_ray.runs import names
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.runs.run import Run, resume_command
from syndet_ray.spread import (
    BySeed,
    Difference,
    SeedSpread,
    probability_best,
    score_difference,
    seed_spread,
)

_HASH_DIGITS = 12  # enough to identify a data set, few enough for a line
_DO_ELSE = "Compare runs that were given the same `real`."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recipe of a run.

    line     its line in the report of its run
    images   training images of one training: mean over its trainings
    seconds  time of one training, without evaluation and waiting: mean over its trainings; None if
             the speed of one of them is unknown
    """

    line: TestLine
    images: int
    seconds: float | None

    @property
    def name(self) -> str:
        """The name in a table of several runs."""
        line = self.line
        fixed = line.is_control or line.is_variant
        name = names.display_name(line.trial_name) if fixed else line.name
        remarks = []
        if line.best and fixed:
            remarks.append("best")
        if line.simplest:
            remarks.append("simplest")
        return f"{name} ({', '.join(remarks)})" if remarks else name

    @property
    def is_main(self) -> bool:
        """True if a short table has it: the best recipe, the simplest and the controls."""
        return self.line.best or self.line.simplest or self.line.is_control


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run in a comparison.

    letter       its name in tables
    images       training images of all its trials
    seconds      time of the run, all attempts added
    above_first  mAP of its best recipe minus that of the first run; None for the first run, if one
                 of the two has no draws, and if each of the two was trained once
    p_best       probability that its best recipe is the best of all runs; None if any run has no
                 draws, or each of these recipes was trained once
    has_draws    True if the bootstrap draws of its best recipe were kept
    curves       of all trainings of its best recipe
    """

    letter: str
    name: str
    question: str
    opened: str
    entries: tuple[Entry, ...]
    trials: int
    images: int
    seconds: float
    above_first: Difference | None
    p_best: float | None
    has_draws: bool
    curves: tuple[Curve, ...]

    @property
    def best(self) -> Entry:
        return next(entry for entry in self.entries if entry.line.best)


@dataclass(frozen=True)
class DifferingSetting:
    """A setting that is not the same for all runs, with its value in each run."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several runs on one test set.

    where     the test set in words
    too_few   True if it has too few images to compare recipes
    copies    a sentence on the near copies of each run that allowed them
    settings  the settings in which the runs differ
    """

    where: str
    too_few: bool
    stand_in: bool
    copies: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    settings: tuple[DifferingSetting, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares runs with the first one.

    Raises DataError if a run has no scores on its test set, or has another one than the first run,
    and DefinitionError for fewer than two runs, or the same run twice.
    """
    _check_given(runs)
    scores = [_test_scores_of(run) for run in runs]
    _check_same_test_set(runs, scores)
    too_few = scores[0].is_too_small
    draws = [{} if too_few else _draws(run, test) for run, test in zip(runs, scores, strict=True)]
    diverged = [_diverged_trainings(run) for run in runs]
    differences, p_best = _differences(draws, diverged)
    run_names = _names(runs)
    compared, copies = [], []
    for k, run in enumerate(runs):
        compared_run = _compared_run(
            run,
            scores[k],
            letter=ascii_uppercase[k % 26] * (k // 26 + 1),
            name=run_names[k],
            above_first=differences[k],
            p_best=p_best[k],
            has_draws=bool(draws[k]),
        )
        compared.append(compared_run)
        caveat = names.near_copies_caveat(run.about)
        if caveat:
            copies.append(f"{compared_run.letter}: {caveat}")
    return Comparison(
        where=names.test_set_name(scores[0]),
        too_few=too_few,
        stand_in=runs[0].stand_in,
        copies=tuple(copies),
        runs=tuple(compared),
        settings=_differing(runs),
    )


def _check_given(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise DefinitionError("compare", "needs at least two runs", got=len(runs))
    for a, b in combinations(runs, 2):
        if a.path.resolve() == b.path.resolve():
            raise DefinitionError("compare", "was given the same run twice", got=str(b.path))


def _test_scores_of(run: Run) -> TestScores:
    test = run.test
    if test is None or test.row("best") is None:
        rule = "has no scores on the test set yet, so it cannot be compared"
        raise DataError(run.path, rule, do=f"Finish it: {resume_command(run.path, run.about)}")
    return test


def _check_same_test_set(runs: Sequence[Run], scores: Sequence[TestScores]) -> None:
    first, kind = runs[0], _kind(runs[0])
    digits = scores[0].hash[:_HASH_DIGITS]
    for other, test in zip(runs[1:], scores[1:], strict=True):
        other_kind = _kind(other)
        if other_kind != kind:
            kinds = f"was tested on {other_kind} and {first.path} on {kind}"
            raise DataError(other.path, f"{kinds}: such scores cannot be compared", do=_DO_ELSE)
        if test.hash != scores[0].hash:
            sets = f"has test set {test.hash[:_HASH_DIGITS]} and {first.path} has {digits}"
            rule = f"{sets}: scores on different test sets cannot be compared"
            raise DataError(other.path, rule, do=_DO_ELSE)


def _kind(run: Run) -> str:
    return "a stand-in" if run.stand_in else "real photos"


def _draws(run: Run, test: TestScores) -> dict[tuple[int, int], np.ndarray]:
    """mAP (B,) of every model of the best recipe, over resamples of the test images.

    {} if one model has none. By the seed of the sweep and the number of the seed there: models of
    two runs with equal keys were trained with the same seed.
    """
    best = test.row("best")
    assert best is not None
    seed_numbers = {trial.number: trial.seed_number for trial in run.trials}
    by_seed: dict[tuple[int, int], np.ndarray] = {}
    for model in best.models or (best.trial,):
        draws = run.draws(model).get(MAP)
        if draws is None:
            return {}
        by_seed[run.sweep.seed, seed_numbers[model]] = draws
    return by_seed


def _diverged_trainings(run: Run) -> set[tuple[int, int]]:
    """The trainings of the best recipe that diverged, by the keys of `_draws`."""
    return {(run.sweep.seed, trial.seed_number) for trial in run.trials if trial.diverged}


def _differences(
    draws: Sequence[BySeed], diverged: Sequence[set[tuple[int, int]]]
) -> tuple[list[Difference | None], list[float | None]]:
    """The difference of each run's best recipe from that of the first run, and the probability that
    it is the best of all.

    Trainings that diverged say nothing about the spread between seeds of other recipes.
    """
    gaps: list[Difference | None] = [None]
    whole = []
    for models, lost in zip(draws, diverged, strict=True):
        whole.append([model for seed, model in models.items() if seed not in lost])
    spread = seed_spread(whole)
    gaps += [_difference(models, draws[0], spread) for models in draws[1:]]
    once = all(len(models) == 1 for models in draws)
    if once or not _is_paired(draws):
        return gaps, [None] * len(draws)
    numbered = {str(k): models for k, models in enumerate(draws)}
    best = probability_best(numbered, _generator(), spread)
    return gaps, list(best.values())


def _difference(models: BySeed, first: BySeed, spread: SeedSpread | None) -> Difference | None:
    """None if the draws of the two cannot be paired, or each was trained once: another seed might
    reverse the difference.
    """
    both_once = len(models) == len(first) == 1
    if both_once or not _is_paired([models, first]):
        return None
    return score_difference(MAP, models, first, _generator(), spread)


def _generator() -> np.random.Generator:
    """A new generator for each comparison: its numbers do not depend on the order of the runs.

    A recipe that was trained once gets the spread between seeds of all given runs, so its interval
    depends on them.
    """
    return seeds.generator(0, "compare")


def _is_paired(draws: Sequence[BySeed]) -> bool:
    """True if all runs have draws, and all models equally many: then resample k is the same for
    all.
    """
    counts = set[int]()
    for models in draws:
        counts |= {len(model) for model in models.values()}
    return all(draws) and len(counts) == 1


def _names(runs: Sequence[Run]) -> list[str]:
    """The names of the runs' folders, or their paths if two folders have the same name."""
    folders = [run.path.resolve().name for run in runs]
    return folders if len(set(folders)) == len(folders) else [str(run.path) for run in runs]


def _compared_run(
    run: Run,
    test: TestScores,
    *,
    letter: str,
    name: str,
    above_first: Difference | None,
    p_best: float | None,
    has_draws: bool,
) -> ComparedRun:
    trials = run.trials
    by_number = {trial.number: trial for trial in trials}
    models = {}
    for row in test.rows:
        models[row.trial] = [by_number[number] for number in row.models or (row.trial,)]
    lines = test_lines(test, trials)
    best = next(line for line in lines if line.best)
    return ComparedRun(
        letter=letter,
        name=name,
        question=run.sweep.question,
        opened=names.openings(test),
        entries=tuple(_entry(line, models[line.trial]) for line in lines),
        trials=len(trials),
        images=sum(trial.images for trial in trials),
        seconds=run.elapsed_s,
        above_first=above_first,
        p_best=p_best,
        has_draws=has_draws,
        curves=curves(models[best.trial], best.trial),
    )


def _entry(line: TestLine, trainings: Sequence[Trial]) -> Entry:
    times = [training_s(trial) for trial in trainings]
    complete = [seconds for seconds in times if seconds is not None]
    images = sum(trial.images for trial in trainings) / len(trainings)
    seconds = sum(complete) / len(complete) if len(complete) == len(times) else None
    return Entry(line=line, images=round(images), seconds=seconds)


def _differing(runs: Sequence[Run]) -> tuple[DifferingSetting, ...]:
    by_run = [_settings(run) for run in runs]
    names = dict.fromkeys(name for settings in by_run for name in settings)
    differing = []
    for name in names:
        values = tuple(settings.get(name, "n/a") for settings in by_run)
        if len(set(values)) > 1:
            differing.append(DifferingSetting(name, values))
    return tuple(differing)


def _settings(run: Run) -> dict[str, str]:
    """Everything in which runs may differ: the sweep, its own recipe and the given photos."""
    sweep = run.sweep
    varied = ", ".join(map(names.setting_name, sweep.parameters.settings()))
    seeds_each = wording.counted(sweep.confirm.seeds, "seed")
    search = {
        "question": sweep.question,
        "varied": varied or "nothing",
        "variants": ", ".join(sweep.variants) or "none",
        "goals": ", ".join(sweep.objective),
        "trials": sweep.trials,
        "sampler": sweep.sampler,
        "pruner": sweep.pruning.name,
        "rungs": sweep.rungs,
        "confirmation": f"{wording.counted(sweep.confirm.top, 'recipe')}, {seeds_each}",
        "seed": sweep.seed,
    }
    texts = {name: str(value) for name, value in search.items()}
    recipe = {path: names.setting_value(path, value) for path, value in sweep.recipe.flat().items()}
    return texts | _photos(run.about.get("real") or {}) | recipe


def _photos(real: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """The number of training and validation photos of a run, with their hashes."""
    counts, hashes = real.get("counts") or {}, real.get("hashes") or {}
    photos = {}
    for split in ("train", "val"):
        if split in counts:
            digits = str(hashes.get(split, ""))[:_HASH_DIGITS]
            photos[f"{split} photos"] = (
                f"{counts[split]}, hash {digits}" if digits else str(counts[split])
            )
    return photos
