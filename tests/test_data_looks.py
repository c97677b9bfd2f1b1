"""Looks: what is kept of images is what their pixels give, within the room that there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.data.splits.looks import Looks, contrast_side, detail_side

SIDE = 64
PICTURE_BYTES = 4 * SIDE**2  # of a reduced picture


@pytest.fixture
def pool():
    images = [np.random.default_rng(k).integers(0, 255, (90, 120, 3), np.uint8) for k in range(4)]
    return Pool.of("real", ("a",), images, [Boxes.none()] * 4, list("abcd"))


@pytest.fixture
def decoded(monkeypatch):
    """The images of pools that were asked for, by their ids."""
    image_ids = []
    image = Pool.image

    def noted_image(self, i):
        image_ids.append(str(self.image_ids[i]))
        return image(self, i)

    monkeypatch.setattr(Pool, "image", noted_image)
    return image_ids


def test_an_image_is_known_again_in_every_selection_of_its_pool(pool, decoded):
    looks = Looks()
    small = looks.small(pool, 2)
    decoded.clear()
    assert looks.small(pool.select([3, 2]), 1) is small
    assert not decoded
    assert not np.array_equal(looks.small(pool, 3), small)


def test_digests_differ_by_pixels_and_by_sizes_of_the_same_pixels():
    images = [np.zeros(shape, np.uint8) for shape in ((4, 6, 3), (6, 4, 3), (4, 6, 3), (4, 6, 3))]
    images[2][1, 1, 1] = 1
    pool = Pool.of("real", ("a",), images, [Boxes.none()] * 4, list("abcd"))
    digests = [Looks().digest(pool, i) for i in range(4)]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_reduced_pictures_that_were_not_needed_for_longest_go_where_room_ends(pool, decoded):
    """Images that were decoded last are kept apart from that, so each is asked of new looks."""
    looks = Looks(kept_bytes=2 * PICTURE_BYTES)
    pictures = [looks.reduce(pool, i, SIDE) for i in (0, 1)]
    assert looks.reduce(pool, 0, SIDE) is pictures[0]
    looks.reduce(pool, 2, SIDE)
    assert looks.reduce(pool, 0, SIDE) is pictures[0]
    again = looks.reduce(pool, 1, SIDE)
    assert again is not pictures[1]
    assert np.array_equal(again, pictures[1])


def test_without_any_room_pictures_are_made_each_time_but_one(pool):
    looks = Looks(kept_bytes=0)
    for i in (0, 1, 0):
        assert np.array_equal(looks.reduce(pool, i, SIDE), Looks().reduce(pool, i, SIDE))
    assert len(looks._reduced) == 1


@given(
    sides=st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 9000)), min_size=2, max_size=2)
)
def test_the_smaller_side_of_two_images_is_that_of_the_smaller_sizes(sides):
    """So pictures at an image's own sides are those of most comparisons."""
    (least, photo), (other_least, other_photo) = sides
    smaller = min(least, other_least), min(photo, other_photo)
    for side in (detail_side, contrast_side):
        assert min(side(*sides[0]), side(*sides[1])) == side(*smaller)
        assert side(*smaller) % 8 == 0
