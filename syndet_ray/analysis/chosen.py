"""Chosen: which recipes and trials a figure shows where all would be a tangle, and what its reader
is told of it.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.runs.names import role_name
from syndet_ray.runs.run import Run

MOST_RECIPES = 5
# Trials of the search in one figure: more lines are one area to the eye, and more marks keep a
# browser busy for seconds.
MOST_LINES, MOST_MARKS = 200, 1000
_BEST_PART = 3  # one in three of those is of the best trials
_CONTROLS = tuple(map(role_name, CONTROL_CHANGES))  # which a variant may be called too

Drawn = TypeVar("Drawn")


def chosen(lines: Sequence[TestLine]) -> tuple[TestLine, ...]:
    """At most five, in the order of `lines`: the best, then controls and variants of their names,
    then by validation mAP.
    """
    ranked = sorted(
        lines, key=lambda line: (not line.best, line.name not in _CONTROLS, -line.validation)
    )
    kept = ranked[:MOST_RECIPES]
    return tuple(line for line in lines if line in kept)


def chosen_lines(run: Run) -> tuple[TestLine, ...]:
    """Those of a run; none before the test set is opened."""
    test = run.test
    return chosen(test_lines(test, run.trials)) if test is not None else ()


def chosen_words(lines: Sequence[TestLine]) -> str:
    """How those that are shown were chosen; "" where all are."""
    if len(lines) <= MOST_RECIPES:
        return ""
    return f"{MOST_RECIPES} of {len(lines)} recipes: the best, the controls, then those with the best validation mAP."


def even_sample(ranked: Sequence[Drawn], most: int) -> list[Drawn]:
    """At most `most` of what is ranked, in its order: the first, the last, and evenly what lies
    between.
    """
    if len(ranked) <= most:
        return list(ranked)
    places = np.linspace(0, len(ranked) - 1, most).round().astype(int)
    return [ranked[place] for place in places]


def best_and_others(ranked: Sequence[Drawn], most: int) -> list[Drawn]:
    """At most `most` of what is ranked, the best first: a third of so many are the best, and of the
    others an even sample.
    """
    best = most // _BEST_PART
    return [*ranked[:best], *even_sample(ranked[best:], most - best)]


def sample_words(trials: int, most: int) -> str:
    """What is drawn of so many trials where an even sample is; "" where all are."""
    return f"Of {trials} trials {most} are drawn, an even sample by score." if trials > most else ""


def best_and_others_words(trials: int, drawn: int, most: int) -> str:
    """What is drawn of so many trials where it is the best and others, see `best_and_others`; ""
    where all are.
    """
    best = most // _BEST_PART
    sample = f"Of {trials} trials of the search {drawn} are drawn: the best {best}, and an even sample of the others."
    return sample if trials > drawn else ""
