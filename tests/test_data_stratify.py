"""Groups are shared out whole, each class in proportion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.data.splits.stratify import choose_groups

unhurried = settings(deadline=None)  # a busy machine is no bug


def chosen(counts, images, share, seed=0, **more):
    return choose_groups(
        np.array(counts), np.array(images), share, np.random.default_rng(seed), **more
    )


@st.composite
def heaps(draw):
    """Counts (g, k) and images (g,) of a few groups that all have something."""
    size = draw(st.integers(2, 25))
    classes = draw(st.integers(1, 4))
    rows = st.lists(st.integers(0, 9), min_size=classes, max_size=classes).filter(any)
    counts = draw(st.lists(rows, min_size=size, max_size=size))
    images = draw(st.lists(st.integers(1, 6), min_size=size, max_size=size))
    return counts, images


@unhurried
@given(heaps(), st.floats(0.01, 0.99), st.integers(0, 3))
def test_the_images_are_within_one_group_of_their_share(heap, share, seed):
    counts, images = map(np.array, heap)
    is_chosen = chosen(counts, images, share, seed)
    assert 0 < is_chosen.sum() < len(images)
    assert abs(images[is_chosen].sum() - share * images.sum()) <= images.max()
    assert (is_chosen == chosen(counts, images, share, seed)).all()


@unhurried
@given(heaps(), st.floats(0.01, 0.99), st.integers(1, 3))
def test_as_many_groups_are_left_as_are_needed(heap, share, least_left):
    counts, images = heap
    if len(images) > least_left:
        is_chosen = chosen(counts, images, share, least_left=least_left)
        assert (~is_chosen).sum() >= least_left
        assert is_chosen.any()


@unhurried
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.floats(0.05, 0.95))
def test_of_images_with_one_box_each_class_gets_its_share_to_within_a_box(labels, share):
    counts = np.eye(4, dtype=int)[labels]
    is_chosen = chosen(counts, np.ones(len(labels), int), share)
    surplus = counts[is_chosen].sum(axis=0) - share * counts.sum(axis=0)
    # a class may lend half a box to the number of images, and each group is a whole box
    assert np.abs(surplus).max() <= 2


@unhurried
@given(st.integers(0, 1000))
def test_classes_are_nearer_to_their_share_than_by_chance(seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson([4, 2, 0.5, 0.2], (60, 4)) + np.array([1, 0, 0, 0])
    stratified = chosen(counts, np.ones(60, int), 0.25, seed)
    assert stratified.sum() == 15

    def off(is_chosen):
        present = counts.sum(axis=0) > 0
        shares = counts[is_chosen].sum(axis=0)[present] / counts.sum(axis=0)[present]
        return np.square(shares - 0.25).sum()

    by_chance = [off(rng.permutation(60) < 15) for _ in range(9)]
    assert off(stratified) <= np.median(by_chance)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_only_box_of_a_class_stays_where_most_images_are(share):
    counts = [[1, 0]] * 9 + [[1, 1]]
    assert not chosen(counts, [1] * 10, share)[9]


def test_a_share_of_less_than_one_group_gets_the_smallest():
    assert chosen([[9], [1], [5]], [9, 1, 5], 0.001).tolist() == [False, True, False]


def test_two_groups_are_one_each():
    assert chosen([[1], [1]], [1, 1], 0.01).sum() == 1
    assert chosen([[1], [1]], [1, 1], 0.99).sum() == 1
