"""Chosen: the recipes and trials that a figure shows if all of them would be too many."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from syndet_ray.analysis.tables import TestLine, test_lines
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.runs.names import display_name
from syndet_ray.runs.run import Run

MOST_RECIPES = 5  # in one figure: more curves and bars are hard to tell from one another
# Trials of the search in one figure: more lines are one area to the eye, and more marks keep a
# browser busy for seconds.
MOST_LINES, MOST_MARKS = 200, 1000
_BEST_PART = 3  # one in three of the trials in a figure is one of the best
_CONTROLS = tuple(map(display_name, CONTROL_CHANGES))  # a variant may have such a name too

Ranked = TypeVar("Ranked")


def choose_lines(lines: Sequence[TestLine]) -> tuple[TestLine, ...]:
    """At most five, in the order of `lines`: the best, then controls and variants of their names,
    then by validation mAP.
    """
    ranked = sorted(
        lines, key=lambda line: (not line.best, line.name not in _CONTROLS, -line.validation)
    )
    kept = ranked[:MOST_RECIPES]
    return tuple(line for line in lines if line in kept)


def chosen_lines(run: Run) -> tuple[TestLine, ...]:
    """The chosen recipes of a run; none before the test set is opened."""
    test = run.test
    return choose_lines(test_lines(test, run.trials)) if test is not None else ()


def even_sample(ranked: Sequence[Ranked], most: int) -> list[Ranked]:
    """At most `most` of a ranking, in its order: the first, the last, and others evenly between."""
    if len(ranked) <= most:
        return list(ranked)
    places = np.linspace(0, len(ranked) - 1, most).round().astype(int)
    return [ranked[place] for place in places]


def best_and_others(ranked: Sequence[Ranked], most: int) -> list[Ranked]:
    """At most `most` of a ranking, the best first: a third of so many are the best, the rest is an
    even sample of the others.
    """
    best = best_count(most)
    return [*ranked[:best], *even_sample(ranked[best:], most - best)]


def best_count(most: int) -> int:
    """The number of the best among `best_and_others`."""
    return most // _BEST_PART
