"""Chosen: which recipes of the test set a figure shows where all would be a tangle, and what its reader is told of it."""

from collections.abc import Sequence

from syndet_ray.report.tables import TestLine, test_lines
from syndet_ray.report.words import role_name
from syndet_ray.run_folder import RunFolder
from syndet_ray.sweep import CONTROL_CHANGES

MOST_RECIPES = 5
_CONTROLS = tuple(map(role_name, CONTROL_CHANGES))  # which a variant may be called too


def chosen(lines: Sequence[TestLine]) -> tuple[TestLine, ...]:
    """At most five, in the order of `lines`: the best, then controls and variants of their names, then by validation mAP."""
    ranked = sorted(lines, key=lambda line: (not line.best, line.name not in _CONTROLS, -line.validation))
    kept = ranked[:MOST_RECIPES]
    return tuple(line for line in lines if line in kept)


def chosen_lines(folder: RunFolder) -> tuple[TestLine, ...]:
    """Those of a run; none before the test set is opened."""
    test = folder.test()
    return chosen(test_lines(test, folder.trials())) if test is not None else ()


def chosen_words(lines: Sequence[TestLine]) -> str:
    """How those that are shown were chosen; "" where all are."""
    if len(lines) <= MOST_RECIPES:
        return ""
    return f"{MOST_RECIPES} of {len(lines)} recipes: the best, the controls, then those with the best validation mAP."
