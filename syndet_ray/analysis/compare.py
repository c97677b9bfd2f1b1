"""Compare: what several runs found that met the same test set, side by side, as plain values."""

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
from syndet_ray.runs import names
from syndet_ray.runs.metrics import MAP
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.spread import (
    BySeed,
    Difference,
    SeedSpread,
    probability_best,
    score_difference,
    seed_spread,
)

METRIC = MAP  # by which runs are compared
_HASH_DIGITS = 12
_DO_ELSE = "Compare runs that were given the same `real`."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recipe of a run.

    line     what its run's own report says of it
    images   that a training of it saw: mean over its trainings
    seconds  that one trained, without evaluation and waiting: mean over its trainings; None where
             any did not tell its speed
    """

    line: TestLine
    images: int
    seconds: float | None

    @property
    def name(self) -> str:
        """What it is called in a table of several runs."""
        line = self.line
        fixed = line.is_control or line.is_variant
        name = names.role_name(line.trial_name) if fixed else line.name
        also = [
            what
            for what, true in (("best", line.best and fixed), ("simplest", line.simplest))
            if true
        ]
        return f"{name} ({', '.join(also)})" if also else name

    @property
    def told(self) -> bool:
        """Whether a short table has it: the best recipe, the simplest and the controls."""
        return self.line.best or self.line.simplest or self.line.is_control


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run beside others.

    letter       what it is called in tables
    images       that all its trials saw; seconds that they took, attempts added up
    above_first  mAP of its best recipe less that of the first run's; None for the first, without
                 draws of both, and where each of the two was trained once
    p_best       probability that its best recipe is the best of all runs'; None where any run has
                 no draws, or each of these recipes was trained once
    has_draws    whether the bootstrap draws of its best recipe were kept
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
class Setting:
    """Something that is not the same for all runs: its value in each."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several runs on one test set.

    where     that set in words
    too_few   whether it holds too few images to compare recipes by
    copies    of each run that let near copies pass what it let pass, in a sentence
    settings  how the runs differ
    """

    where: str
    too_few: bool
    stand_in: bool
    copies: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    settings: tuple[Setting, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Sets runs side by side; the first is what the others are compared with.

    Raises DataError where one has not opened its test set, or another one than the rest, and
    DefinitionError for fewer than two runs, or the same run twice.
    """
    _check_given(runs)
    scores = [_opened(run) for run in runs]
    _check_same_test_set(runs, scores)
    too_few = scores[0].is_too_small
    draws = [{} if too_few else _draws(run, test) for run, test in zip(runs, scores, strict=True)]
    diverged = [_diverged(run) for run in runs]
    columns = zip(
        range(len(runs)),
        _names(runs),
        runs,
        scores,
        *_differences(draws, diverged),
        draws,
        strict=True,
    )
    compared = tuple(_compared_run(*column) for column in columns)
    copies = _copies(runs, compared)
    return Comparison(
        where=names.test_set_name(scores[0]),
        too_few=too_few,
        stand_in=runs[0].stand_in,
        copies=copies,
        runs=compared,
        settings=_differing(runs),
    )


def _copies(runs: Sequence[Run], compared: Sequence[ComparedRun]) -> tuple[str, ...]:
    caveats = [names.near_copies_caveat(run.about) for run in runs]
    return tuple(
        f"{run.name}: {caveat}" for run, caveat in zip(compared, caveats, strict=True) if caveat
    )


def _check_given(runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise DefinitionError("compare", "needs at least two runs", got=len(runs))
    for a, b in combinations(runs, 2):
        if a.path.resolve() == b.path.resolve():
            raise DefinitionError("compare", "was given the same run twice", got=str(b.path))


def _opened(run: Run) -> TestScores:
    test = run.test
    if test is None or test.row("best") is None:
        rule = "has not opened its test set, and nothing else can be compared"
        raise DataError(run.path, rule, do=f"Finish it: python -m syndet_ray resume {run.path}")
    return test


def _check_same_test_set(runs: Sequence[Run], scores: Sequence[TestScores]) -> None:
    first, test = runs[0], scores[0]
    for other, found in zip(runs[1:], scores[1:], strict=True):
        kinds = [_kind(first), _kind(other)]
        if kinds[0] != kinds[1]:
            rule = f"was tested on {kinds[1]} and {first.path} on {kinds[0]}: such scores cannot be compared"
            raise DataError(other.path, rule, do=_DO_ELSE)
        if found.hash != test.hash:
            rule = f"has test set {found.hash[:_HASH_DIGITS]} and {first.path} has {test.hash[:_HASH_DIGITS]}"
            raise DataError(
                other.path, f"{rule}: scores on different test sets cannot be compared", do=_DO_ELSE
            )


def _kind(run: Run) -> str:
    return "a stand-in" if run.stand_in else "real photos"


def _draws(run: Run, test: TestScores) -> dict[tuple[int, int], np.ndarray]:
    """mAP (B,) of every model of the best recipe, over resamples of the test images; {} where one
    model has none.

    By the seed of the sweep and its number there: models of two runs with equal keys were trained
    with the same seed.
    """
    best = test.row("best")
    assert best is not None
    seed_numbers = {trial.number: trial.seed_number for trial in run.trials}
    by_seed: dict[tuple[int, int], np.ndarray] = {}
    for model in best.models or (best.trial,):
        draws = run.draws(model).get(METRIC)
        if draws is None:
            return {}
        by_seed[run.sweep.seed, seed_numbers[model]] = draws
    return by_seed


def _diverged(run: Run) -> set[tuple[int, int]]:
    """The trainings of the best recipe that diverged, by the keys of `_draws`."""
    return {(run.sweep.seed, trial.seed_number) for trial in run.trials if trial.diverged}


def _differences(
    draws: Sequence[BySeed], diverged: Sequence[set[tuple[int, int]]]
) -> tuple[list[Difference | None], list[float | None]]:
    """Of each run's best recipe: what it has more than the first run's, and how probably it is the
    best of all.

    How far trainings that diverged are from the rest says nothing about the spread between seeds of
    other recipes.
    """
    gaps: list[Difference | None] = [None]
    whole = []
    for models, lost in zip(draws, diverged, strict=True):
        whole.append([model for seed, model in models.items() if seed not in lost])
    spread = seed_spread(whole)
    gaps += [_difference(models, draws[0], spread) for models in draws[1:]]
    once = all(len(own) == 1 for own in draws)
    if once or not _paired(draws):
        return gaps, [None] * len(draws)
    best = probability_best({str(k): own for k, own in enumerate(draws)}, _generator(), spread)
    return gaps, [best[str(k)] for k in range(len(draws))]


def _difference(own: BySeed, first: BySeed, spread: SeedSpread | None) -> Difference | None:
    """None where the draws of the two cannot be paired, or each was trained once: another seed
    might turn it round.
    """
    both_once = len(own) == len(first) == 1
    if both_once or not _paired([own, first]):
        return None
    return score_difference(METRIC, own, first, _generator(), spread)


def _generator() -> np.random.Generator:
    """A generator that starts anew for each comparison: its numbers are the same, whichever run is
    given first.

    Of a recipe that was trained once the spread between seeds is that of all runs given: its
    interval depends on them.
    """
    return seeds.generator(0, "compare")


def _paired(draws: Sequence[BySeed]) -> bool:
    """Whether all runs have draws, and all models equally many: those of one test set, resampled
    alike.
    """
    counts = {len(model) for models in draws for model in models.values()}
    return all(draws) and len(counts) == 1


def _names(runs: Sequence[Run]) -> list[str]:
    """What runs are called: by their folders, with the way to them where two are called alike."""
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _compared_run(
    k: int,
    name: str,
    run: Run,
    test: TestScores,
    above_first: Difference | None,
    p_best: float | None,
    draws: BySeed,
) -> ComparedRun:
    trials = run.trials
    by_number = {trial.number: trial for trial in trials}
    models = {
        row.trial: [by_number[number] for number in row.models or (row.trial,)] for row in test.rows
    }
    lines = test_lines(test, trials)
    best = next(line for line in lines if line.best)
    return ComparedRun(
        letter=ascii_uppercase[k % 26] * (k // 26 + 1),
        name=name,
        question=run.sweep.question,
        opened=names.openings(test),
        entries=tuple(_entry(line, models[line.trial]) for line in lines),
        trials=len(trials),
        images=sum(trial.images for trial in trials),
        seconds=run.elapsed_s,
        above_first=above_first,
        p_best=p_best,
        has_draws=bool(draws),
        curves=curves(models[best.trial], best.trial),
    )


def _entry(line: TestLine, trainings: Sequence[Trial]) -> Entry:
    found = [training_s(trial) for trial in trainings]
    took = [seconds for seconds in found if seconds is not None]
    images = sum(trial.images for trial in trainings) / len(trainings)
    return Entry(
        line=line,
        images=round(images),
        seconds=sum(took) / len(took) if len(took) == len(found) else None,
    )


def _differing(runs: Sequence[Run]) -> tuple[Setting, ...]:
    found = [_settings(run) for run in runs]
    names = dict.fromkeys(name for settings in found for name in settings)
    rows = [Setting(name, tuple(settings.get(name, "n/a") for settings in found)) for name in names]
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _settings(run: Run) -> dict[str, str]:
    """All that may set one run apart from another: the sweep, its own recipe and the photos that it
    was given.
    """
    sweep = run.sweep
    varied = ", ".join(map(names.setting_name, sweep.parameters.settings()))
    own = {
        "question": sweep.question,
        "varied": varied or "nothing",
        "variants": ", ".join(sweep.variants) or "none",
        "goals": ", ".join(sweep.objective),
        "trials": sweep.trials,
        "sampler": sweep.sampler,
        "pruner": sweep.pruning.name,
        "rungs": sweep.rungs,
        "confirmation": f"{sweep.confirm.top} recipes, {wording.counted(sweep.confirm.seeds, 'seed')}",
        "seed": sweep.seed,
    }
    recipe = {path: names.setting_value(path, value) for path, value in sweep.recipe.flat().items()}
    return (
        {name: str(value) for name, value in own.items()}
        | _photos(run.about.get("real") or {})
        | recipe
    )


def _photos(real: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """How many photos a run had to train and to choose by, and which."""
    counts, hashes = real.get("counts") or {}, real.get("hashes") or {}
    known = {
        split: str(hashes.get(split, ""))[:_HASH_DIGITS]
        for split in ("train", "val")
        if split in counts
    }
    return {f"{split} photos": f"{counts[split]} {name}".strip() for split, name in known.items()}
