"""Anova: how much of a random forest's variance over a space each axis explains alone. Plain
numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.definitions.parameter import Axis, Choice

_DEEPEST = 64  # levels of a tree, as in Optuna


def table(axes: Sequence[Axis], points: Sequence[Sequence[Any]]) -> np.ndarray:
    """Points of a space (n, axes) as a forest takes them, (n, columns): a number from 0 to 1 over
    its range; of a choice one column for each of its values, which is 1 where a point has it.
    """
    columns: list[list[float]] = []
    for axis, values in zip(axes, zip(*points, strict=True), strict=True):
        if isinstance(axis, Choice):
            columns += [[float(value == each) for value in values] for each in axis.values]
        else:
            columns.append([(value - axis.low) / (axis.high - axis.low) for value in values])
    return np.array(columns).T


def shares(
    axes: Sequence[Axis], found: np.ndarray, scores: np.ndarray, trees: int
) -> np.ndarray | None:
    """The share of the variance that each axis explains alone, (axes,), as the mean over the trees
    of a forest.

    found: (n, columns) as `table` makes them; scores: (n,). None where no tree finds anything to
    divide. It is functional ANOVA (Hutter, Hoos & Leyton-Brown 2014), and for numbers computes what
    Optuna's evaluator does. That asks a tree anew for every place where it splits, which is
    quadratic in the trials; here the leaves are sorted once for each axis. Of a choice every value
    weighs the same, and no weight falls on having two values or none.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(trees, max_depth=_DEEPEST, random_state=0).fit(found, scores)
    of_trees = [_shares_of_tree(tree.tree_, axes) for tree in forest.estimators_]
    known = [of_tree for of_tree in of_trees if of_tree is not None]
    return np.mean(known, axis=0) if known else None


def _shares_of_tree(tree: Any, axes: Sequence[Axis]) -> np.ndarray | None:
    """The share of each axis, (axes,); None where the tree predicts one score everywhere."""
    low, high, scores = _leaves(tree)
    extents = _extents(axes, low, high)
    sizes = np.array([extent.sizes for extent in extents])
    weights = sizes.prod(axis=0)
    heights = scores - weights @ scores
    total = weights @ heights**2
    if total <= 0:
        return None
    others = [np.delete(sizes, k, axis=0).prod(axis=0) for k in range(len(axes))]
    alone = [extent.variance(heights * rest) for extent, rest in zip(extents, others, strict=True)]
    return np.array(alone) / total


@dataclass(frozen=True, eq=False)
class _Ranges:
    """What the leaves of a tree reach of a number: from low to high, (leaves,) each, where all of
    it is 0 to 1.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return self.high - self.low

    def variance(self, heights: np.ndarray) -> float:
        """The variance along the number of what the leaves, each as high as `heights` says, sum to."""
        ends = np.concatenate([self.low, self.high])
        places, at = np.unique(ends, return_inverse=True)
        steps = np.bincount(at, weights=np.concatenate([heights, -heights]))
        marginal, widths = np.cumsum(steps)[:-1], np.diff(places)
        return float(widths @ marginal**2 - (widths @ marginal) ** 2)


@dataclass(frozen=True, eq=False)
class _Values:
    """Which values of a choice the leaves of a tree hold, (leaves, values)."""

    holds: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return self.holds.mean(axis=1)

    def variance(self, heights: np.ndarray) -> float:
        """The variance over the values of what the leaves, each as high as `heights` says, sum to."""
        return float(np.var(heights @ self.holds))


def _extents(axes: Sequence[Axis], low: np.ndarray, high: np.ndarray) -> list[_Ranges | _Values]:
    """What the leaves reach of each axis; low, high: (leaves, columns)."""
    extents: list[_Ranges | _Values] = []
    first = 0
    for axis in axes:
        last = first + (len(axis.values) if isinstance(axis, Choice) else 1)
        own_low, own_high = low[:, first:last], high[:, first:last]
        extents.append(
            _held(own_low, own_high)
            if isinstance(axis, Choice)
            else _Ranges(own_low[:, 0], own_high[:, 0])
        )
        first = last
    return extents


def _held(low: np.ndarray, high: np.ndarray) -> _Values:
    """A leaf holds a value where its column may be 1 and those of all others 0."""
    may_be, may_miss = high == 1, low == 0
    others_missed = may_miss.sum(axis=1, keepdims=True) - may_miss == may_miss.shape[1] - 1
    return _Values(may_be & others_missed)


def _leaves(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The least and the greatest place (leaves, columns) that lead to each leaf, and what it
    predicts (leaves,).
    """
    low, high = (
        np.zeros((tree.node_count, tree.n_features)),
        np.ones((tree.node_count, tree.n_features)),
    )
    level = np.zeros(1, int)
    while len(level):
        inner = level[tree.children_left[level] >= 0]
        left, right = tree.children_left[inner], tree.children_right[inner]
        low[left] = low[right] = low[inner]
        high[left] = high[right] = high[inner]
        high[left, tree.feature[inner]] = tree.threshold[inner]
        low[right, tree.feature[inner]] = tree.threshold[inner]
        level = np.concatenate([left, right])
    leaves = tree.children_left < 0
    return low[leaves], high[leaves], tree.value[leaves, 0, 0]
