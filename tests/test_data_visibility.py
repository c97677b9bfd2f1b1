"""Visibility: the union of boxes is exact, and every object is in exactly one bin of each kind."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.data.visibility import Bin, Visibility, bins_of, covered_shares, visibility

NAN = float("nan")


def pool_of(*images, classes=("a",)):
    """Each image a Boxes."""
    blank = [np.zeros((1, 1, 3), np.uint8)] * len(images)
    return Pool.of("real", classes, blank, images, list(map(str, range(len(images)))))


def known(*values, crowd=None):
    """An image of objects side by side whose visibility is known, or NaN."""
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(len(values))]
    return Boxes.of(boxes, [0] * len(values), values, crowd)


def test_measured_values_are_taken_as_they_are():
    values, kind = visibility(pool_of(known(0.25, 1.0), Boxes.none(), known(0.5)))
    assert kind == "measured"
    assert values.tolist() == [0.25, 1.0, 0.5]


def test_one_unknown_value_makes_all_estimated():
    values, kind = visibility(pool_of(known(0.25, 0.5), known(NAN)))
    assert kind == "estimated"
    assert values.tolist() == [1.0, 1.0, 1.0]


def test_a_crowd_need_not_be_known_and_has_no_visibility():
    values, kind = visibility(pool_of(known(0.25, NAN, crowd=[False, True]), known(0.5)))
    assert kind == "measured"
    np.testing.assert_array_equal(values, [0.25, NAN, 0.5])


def test_what_is_covered_counts_half():
    left, right, apart = [0, 0, 10, 10], [6, 0, 16, 10], [50, 50, 60, 60]
    values, _ = visibility(pool_of(Boxes.of([left, right, apart], [0, 0, 0])))
    assert values == pytest.approx([0.8, 0.8, 1.0])


def test_what_two_boxes_cover_counts_once():
    below, first, second = [0, 0, 10, 10], [0, 0, 6, 10], [4, 0, 10, 10]
    values, _ = visibility(pool_of(Boxes.of([below, first, second], [0, 0, 0])))
    assert values == pytest.approx([0.5, 0.5, 0.5])


def test_equal_boxes_cover_each_other_and_crowds_cover_nothing():
    box = [0, 0, 10, 10]
    values, _ = visibility(
        pool_of(Boxes.of([box, box], [0, 0]), Boxes.of([box, box], [0, 0], crowd=[True, False]))
    )
    np.testing.assert_array_equal(values, [0.5, 0.5, NAN, 1.0])


corner, size = st.integers(0, 12), st.integers(1, 8)


@given(st.lists(st.tuples(corner, corner, size, size), max_size=8))
def test_the_union_is_that_of_pixels(boxes):
    xyxy = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float64).reshape(-1, 4)
    masks = np.zeros((len(boxes), 20, 20), bool)
    for mask, (x, y, w, h) in zip(masks, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    others = [np.delete(masks, i, axis=0).any(axis=0) for i in range(len(boxes))]
    expected = [
        (mask & other).sum() / mask.sum() for mask, other in zip(masks, others, strict=True)
    ]
    assert covered_shares(xyxy) == pytest.approx(np.array(expected))


@given(
    st.lists(
        st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 0.99, 1.0]) | st.floats(0, 1, width=32),
        max_size=40,
    )
)
def test_every_object_is_in_one_bin_and_one_quantile(values):
    found = bins_of(pool_of(known(*values)))
    own, _ = visibility(pool_of(known(*values)))
    for bins in (found.bins, found.quantiles):
        assert sum(one.objects for one in bins) == len(values)
        if bins:
            assert (np.sum([one.holds(own) for one in bins], axis=0) == 1).all()
    assert len(found.quantiles) <= 4
    assert all(one.objects > 0 for one in found.quantiles)


def test_quantiles_hold_equally_many():
    found = bins_of(pool_of(known(*np.linspace(0.1, 0.8, 40))))
    assert [one.objects for one in found.quantiles] == [10] * 4


def test_quantiles_are_fewer_where_most_objects_are_wholly_visible():
    found = bins_of(pool_of(known(*[1.0] * 30, *[0.5] * 10)))
    assert [(one.low, one.high, one.objects) for one in found.quantiles] == [(0.0, 1.0, 40)]


def test_bins_are_plain_values_with_names():
    found = bins_of(pool_of(known(0.1, 0.3, 0.5, 1.0), Boxes.none()), minimum=7)
    assert [one.name for one in found.bins] == ["0.00-0.25", "0.25-0.50", "0.50-0.75", "0.75-1.00"]
    assert [one.objects for one in found.bins] == [1, 1, 1, 1]
    assert found.bins[0].mean == pytest.approx(0.1)
    assert json.loads(json.dumps(asdict(found)))["minimum"] == 7


def test_objects_of_each_class_are_counted_by_bin_without_crowds():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(5)]
    image = Boxes.of(
        boxes, [0, 0, 2, 2, 2], [0.1, 0.9, 1.0, 0.8, 0.6], [False, False, False, False, True]
    )
    found = bins_of(pool_of(image, Boxes.none(), classes=("a", "b", "c")))
    assert found.class_objects == {"a": (1, 0, 0, 1), "b": (0, 0, 0, 0), "c": (0, 0, 0, 2)}
    assert TypeAdapter(Visibility).validate_json(json.dumps(asdict(found))) == found


def test_what_was_kept_before_classes_were_counted_still_loads():
    kept = {
        name: value
        for name, value in asdict(bins_of(pool_of(known(0.3)))).items()
        if name != "class_objects"
    }
    assert TypeAdapter(Visibility).validate_json(json.dumps(kept)).class_objects == {}


def test_without_objects_bins_are_empty():
    found = bins_of(pool_of(Boxes.none(), known(NAN, crowd=[True])))
    assert found.bins[3] == Bin(low=0.75, high=1.0, objects=0, mean=None)
    assert found.quantiles == ()


def test_only_the_bin_up_to_1_holds_1():
    values = np.array([0.5, 0.75, 1.0, NAN])
    assert Bin(low=0.5, high=0.75, objects=0, mean=None).holds(values).tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert Bin(low=0.75, high=1.0, objects=0, mean=None).holds(values).tolist() == [
        False,
        True,
        True,
        False,
    ]
