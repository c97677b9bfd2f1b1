"""Five rows: the table of SynthDet, from real images alone over synthetic ones alone to both, as
plain values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix
from syndet_ray.runs.metrics import REAL_IMAGES, REAL_IMAGES_THERE
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.runs.run import Run
from syndet_ray.spread import Difference

# The rows of SynthDet's table: whether there are synthetic images, and the share of the real ones.
_FIVE = {
    "real only, all real images": (False, 1.0),
    "synthetic only": (True, 0.0),
    "synthetic + 10 % of real": (True, 0.1),
    "synthetic + 50 % of real": (True, 0.5),
    "synthetic + all real images": (True, 1.0),
}
_TRIED = "tried, but not among the recipes that met the test set"
_PLANNED = "in this sweep, but its training was never begun"


@dataclass(frozen=True, kw_only=True)
class FiveRow:
    """One row of SynthDet's table. difference: its mAP less that of real only; note: what was done
    instead of a test.
    """

    name: str
    line: TestLine | None
    difference: Difference | None
    note: str = ""


def five_rows(run: Run) -> tuple[FiveRow, ...]:
    """Real images alone, synthetic ones alone, and synthetic with 10, 50 and 100 % of the real
    images, on the test set.

    The table of SynthDet (Unity 2020). Of several recipes for one row, the one with the best
    validation mean. A row that no recipe is for is there without scores; all are missing before the
    test set is opened.
    """
    test, trials, sweep = run.test, run.trials, run.sweep
    if test is None:
        return ()
    by_number = {trial.number: trial for trial in trials}
    lines = sorted(test_lines(test, trials), key=lambda line: -line.validation)
    found = [
        next((x for x in lines if _belongs(by_number[x.trial], *row)), None)
        for row in _FIVE.values()
    ]
    return tuple(
        FiveRow(
            name=name,
            line=line,
            difference=_above(line, found[0], test),
            note="" if line is not None else _note(trials, sweep, *row),
        )
        for (name, row), line in zip(_FIVE.items(), found, strict=True)
    )


def _above(line: TestLine | None, real: TestLine | None, test: TestScores) -> Difference | None:
    """What a recipe has more than real only, which differences know by any of its roles: one that
    won has two.

    None where each recipe was trained once: the answer does not tell them apart either.
    """
    if line is None or real is None or not test.has_seed_spread:
        return None
    roles = [row.role for row in test.rows if row.trial == real.trial]
    return next((line.differences[role] for role in roles if role in line.differences), None)


def _note(trials: Sequence[Trial], sweep: LoadedSweep, synthetic: bool, share: float) -> str:
    """Why no recipe of a row met the test set."""
    if any(_belongs(trial, synthetic, share) for trial in trials):
        return _TRIED
    begun = {trial.kind for trial in trials}
    waiting = [recipe for kind, recipe in sweep.fixed.items() if kind not in begun]
    planned = any(_is_of(recipe.mix, {}, synthetic, share) for recipe in waiting)
    if planned:
        return _PLANNED
    settings = (
        f"mix.real_images {share:g}"
        if synthetic and 0 < share < 1
        else f"mix.synthetic {1 if synthetic else 0}"
    )
    return f"not in this sweep: it takes a recipe with {settings}"


def _belongs(trial: Trial, synthetic: bool, share: float) -> bool:
    return _is_of(trial.recipe.mix, trial.effective, synthetic, share)


def _is_of(mix: Mix, effective: Mapping[str, Any], synthetic: bool, share: float) -> bool:
    """Whether a mix had synthetic images or not, and of the real ones this share, as nearly as
    whole images allow.

    A mix with photos of others is in no row: the table sets synthetic images beside real ones.
    """
    if mix.others_photos:
        return False
    if (mix.synthetic > 0) != synthetic or (mix.synthetic == 1) != (share == 0):
        return False
    if share == 0:
        return True
    wanted = mix.model_copy(update={"real_images": share if share < 1 else "all"})
    there, used = effective.get(REAL_IMAGES_THERE), effective.get(REAL_IMAGES)
    if there is None or used is None:  # it has not begun, or was trained before this was noted
        return mix.real_images == wanted.real_images
    return used == wanted.real_count(there)
