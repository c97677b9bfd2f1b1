"""Five rows: the table of SynthDet, from real images alone over synthetic ones alone to both, as
plain values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix
from syndet_ray.metrics import REAL_IMAGES, REAL_IMAGES_THERE
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.spread import Difference

# The rows of SynthDet's table: with synthetic images or without, and the share of the real ones.
_FIVE = {
    "real only, all real images": (False, 1.0),
    "synthetic only": (True, 0.0),
    "synthetic + 10 % of real": (True, 0.1),
    "synthetic + 50 % of real": (True, 0.5),
    "synthetic + all real images": (True, 1.0),
}
_TRIED = "tried, but not scored on the test set"
_PLANNED = "in this sweep, but its training never started"


@dataclass(frozen=True, kw_only=True)
class FiveRow:
    """One row of SynthDet's table.

    difference  its mAP minus that of real only
    note        the reason why there is no test score; "" if there is one
    """

    name: str
    line: TestLine | None
    difference: Difference | None
    note: str = ""


def five_rows(run: Run) -> tuple[FiveRow, ...]:
    """Real images alone, synthetic ones alone, and synthetic with 10, 50 and 100 % of the real
    images, on the test set.

    The table of SynthDet (Unity 2020). If several recipes fit a row, it has the one with the best
    validation mean. A row without a recipe has no scores. () before the test set is opened, and
    for a run without synthetic images, of which the table says nothing.
    """
    test, trials, sweep = run.test, run.trials, run.sweep
    if test is None or not run.has_synthetic:
        return ()
    by_number = {trial.number: trial for trial in trials}
    lines = sorted(test_lines(test, trials), key=lambda line: -line.validation)
    real = None
    rows: list[FiveRow] = []
    for name, (synthetic, share) in _FIVE.items():
        fitting = (line for line in lines if _belongs(by_number[line.trial], synthetic, share))
        line = next(fitting, None)
        if not rows:
            real = line
        note = "" if line is not None else _note(trials, sweep, synthetic, share)
        difference = _above(line, real, test)
        rows.append(FiveRow(name=name, line=line, difference=difference, note=note))
    return tuple(rows)


def _above(line: TestLine | None, real: TestLine | None, test: TestScores) -> Difference | None:
    """The difference of a recipe from real only.

    It may be stored under any key of real only, which has two if it won. None if each recipe was
    trained once: the answer does not compare them either.
    """
    if line is None or real is None or not test.has_seed_spread:
        return None
    keys = [row.key for row in test.rows if row.trial == real.trial]
    return next((line.differences[key] for key in keys if key in line.differences), None)


def _note(trials: Sequence[Trial], sweep: LoadedSweep, synthetic: bool, share: float) -> str:
    """The reason why no recipe of a row was scored on the test set."""
    if any(_belongs(trial, synthetic, share) for trial in trials):
        return _TRIED
    begun = {trial.kind for trial in trials}
    waiting = [recipe for kind, recipe in sweep.fixed.items() if kind not in begun]
    if any(_fits(recipe.mix, {}, synthetic, share) for recipe in waiting):
        return _PLANNED
    setting = f"mix.synthetic {int(synthetic)}"
    if synthetic and 0 < share < 1:
        setting = f"mix.real_images {share:g}"
    return f"not in this sweep: it needs a recipe with {setting}"


def _belongs(trial: Trial, synthetic: bool, share: float) -> bool:
    return _fits(trial.recipe.mix, trial.effective, synthetic, share)


def _fits(mix: Mix, effective: Mapping[str, Any], synthetic: bool, share: float) -> bool:
    """True if a mix has synthetic images or not, and this share of the real ones.

    The share is met as nearly as whole images allow. A mix with photos of others is in no row: the
    table compares synthetic images with real ones.
    """
    if mix.others_photos:
        return False
    if (mix.synthetic > 0) != synthetic or (mix.synthetic == 1) != (share == 0):
        return False
    if share == 0:
        return True
    wanted = mix.model_copy(update={"real_images": share if share < 1 else "all"})
    available, used = effective.get(REAL_IMAGES_THERE), effective.get(REAL_IMAGES)
    if available is None or used is None:  # not started, or trained before these were recorded
        return mix.real_images == wanted.real_images
    return used == wanted.real_count(available)
