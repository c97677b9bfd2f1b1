"""Fewer real images are a part of more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.errors import DataError


def pool_of(count):
    images = [np.full((4, 4, 3), k, np.uint8) for k in range(count)]
    return Pool.of(
        "real", ("a",), images, [Boxes.none()] * count, [f"photo {k}" for k in range(count)]
    )


def ids(pool):
    return [str(image_id) for image_id in pool.image_ids]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_fewer_are_a_part_of_more_in_the_order_of_the_pool(there, fewer, more, seed):
    fewer, more = sorted((min(fewer, there), min(more, there)))
    small, large = (
        nested_subset(pool_of(there), fewer, seed),
        nested_subset(pool_of(there), more, seed),
    )
    assert (len(small), len(large)) == (fewer, more)
    assert set(ids(small)) <= set(ids(large))
    assert ids(large) == [image_id for image_id in ids(pool_of(there)) if image_id in ids(large)]
    assert small.hash == nested_subset(pool_of(there), fewer, seed).hash


def test_another_seed_chooses_others_and_all_are_the_pool_itself():
    pool = pool_of(30)
    assert len({tuple(ids(nested_subset(pool, 5, seed))) for seed in range(4)}) == 4
    assert nested_subset(pool, 30, 1) is pool


def test_more_than_there_are_is_refused_with_their_number():
    with pytest.raises(
        DataError,
        match=r"mix\.real_images: must be at most the number of real training images, 4, got 5\.",
    ):
        nested_subset(pool_of(4), 5, 0)
