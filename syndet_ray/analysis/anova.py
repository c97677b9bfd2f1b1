"""Anova: the share of a random forest's variance over a space that each axis explains by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syndet_ray.definitions.parameter import Axis, Choice

_DEEPEST = 64  # levels of a tree, as in Optuna


def table(axes: Sequence[Axis], points: Sequence[Sequence[Any]]) -> np.ndarray:
    """Points of a space (n, axes) as the input of a forest, (n, columns).

    A number becomes 0 to 1 over its range. A choice has one column for each of its values, which is
    1 for points with that value.
    """
    columns: list[list[float]] = []
    for axis, values in zip(axes, zip(*points, strict=True), strict=True):
        if isinstance(axis, Choice):
            for choice in axis.values:
                columns.append([float(value == choice) for value in values])
        else:
            span = axis.high - axis.low
            columns.append([(value - axis.low) / span for value in values])
    return np.array(columns).T


def shares(
    axes: Sequence[Axis], points: np.ndarray, scores: np.ndarray, trees: int
) -> np.ndarray | None:
    """The share of the variance that each axis explains by itself, (axes,), as the mean over the
    trees of a forest.

    points: (n, columns) as `table` returns them; scores: (n,). None if no tree finds a split. It is
    functional ANOVA (Hutter, Hoos & Leyton-Brown 2014), with the same result for numbers as
    Optuna's evaluator. Optuna evaluates a tree again at every split, which is quadratic in the
    trials; here the leaves are sorted once for each axis. All values of a choice have the same
    weight, and points with two values of a choice or none have weight 0.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(trees, max_depth=_DEEPEST, random_state=0).fit(points, scores)
    several = []
    for tree in forest.estimators_:
        tree_shares = _tree_shares(tree.tree_, axes)
        if tree_shares is not None:
            several.append(tree_shares)
    return np.mean(several, axis=0) if several else None


def _tree_shares(tree: Any, axes: Sequence[Axis]) -> np.ndarray | None:
    """The share of each axis, (axes,); None if the tree predicts the same score everywhere."""
    low, high, scores = _leaves(tree)
    extents = _extents(axes, low, high)
    sizes = np.array([extent.sizes for extent in extents])
    weights = sizes.prod(axis=0)
    heights = scores - weights @ scores
    total = weights @ heights**2
    if total <= 0:
        return None
    variances = []
    for k, extent in enumerate(extents):
        other_sizes = np.delete(sizes, k, axis=0).prod(axis=0)
        variances.append(extent.variance(heights * other_sizes))
    return np.array(variances) / total


@dataclass(frozen=True, eq=False)
class _Ranges:
    """The part of a number's range that each leaf of a tree covers: low to high, (leaves,) each;
    the whole range is 0 to 1.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return self.high - self.low

    def variance(self, heights: np.ndarray) -> float:
        """The variance along the number of the sum of all leaves; heights: (leaves,)."""
        ends = np.concatenate([self.low, self.high])
        places, at = np.unique(ends, return_inverse=True)
        steps = np.bincount(at, weights=np.concatenate([heights, -heights]))
        marginal, widths = np.cumsum(steps)[:-1], np.diff(places)
        return float(widths @ marginal**2 - (widths @ marginal) ** 2)


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of a choice that each leaf of a tree contains, (leaves, values), bool."""

    contains: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return self.contains.mean(axis=1)

    def variance(self, heights: np.ndarray) -> float:
        """The variance over the values of the sum of all leaves; heights: (leaves,)."""
        return float(np.var(heights @ self.contains))


def _extents(axes: Sequence[Axis], low: np.ndarray, high: np.ndarray) -> list[_Ranges | _Values]:
    """The extent of the leaves on each axis; low, high: (leaves, columns)."""
    extents: list[_Ranges | _Values] = []
    column = 0
    for axis in axes:
        if isinstance(axis, Choice):
            end = column + len(axis.values)
            extents.append(_values(low[:, column:end], high[:, column:end]))
            column = end
        else:
            extents.append(_Ranges(low[:, column], high[:, column]))
            column += 1
    return extents


def _values(low: np.ndarray, high: np.ndarray) -> _Values:
    """A leaf contains a value if the column of that value may be 1 and all others 0."""
    may_be, may_miss = high == 1, low == 0
    others_missed = may_miss.sum(axis=1, keepdims=True) - may_miss == may_miss.shape[1] - 1
    return _Values(may_be & others_missed)


def _leaves(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lowest and the highest point (leaves, columns) of each leaf, and the score that it
    predicts (leaves,).
    """
    low = np.zeros((tree.node_count, tree.n_features))
    high = np.ones((tree.node_count, tree.n_features))
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
