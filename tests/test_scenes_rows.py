"""Distinct rows are numbered as `np.unique(axis=0)` numbers them."""

import numpy as np
import pytest

from syndet_ray.scenes.rows import distinct_rows


def rows_of(kind):
    rng = np.random.default_rng(0)
    return {
        "integers": rng.integers(-3, 3, (500, 3)),
        "fractions": rng.integers(-3, 3, (500, 3)).astype(np.float32) / 3,
        "rounded": np.round(rng.normal(0, 2, (500, 4))),
        "mixed": np.column_stack([rng.integers(0, 9, 500), rng.integers(0, 5, 500) / 7]),
        "wide": rng.integers(-(2**40), 2**40, (500, 2)).repeat(2, axis=0),
        # products of these ranges need more than 64 bits
        "many": rng.integers(0, 2**30, (500, 5)).repeat(2, axis=0),
        "zeros": np.array([[0.0, 1], [-0.0, 1], [0.0, 2]]),
        "none": np.zeros((0, 3)),
        "one": np.ones((1, 2)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["integers", "fractions", "rounded", "mixed", "wide", "many", "zeros", "none", "one"],
)
def test_rows_are_numbered_in_their_order(kind):
    values = rows_of(kind)
    first, numbers = distinct_rows(values)
    distinct, their_first, theirs = np.unique(
        values, axis=0, return_index=True, return_inverse=True
    )
    assert first.tolist() == their_first.tolist()
    assert numbers.tolist() == theirs.reshape(-1).tolist()
    np.testing.assert_array_equal(values[first], distinct)
