"""Which predictions on a picture are right, and what part of a picture is shown."""

import numpy as np
import pytest

from syndet_ray.boxes import iou
from syndet_ray.runs.marks import common_side, crowded_window, full_window, marked_boxes
from syndet_ray.runs.results import Picture

BOX = [10.0, 10.0, 30.0, 30.0]
NONE = np.zeros((0, 4), np.float32)


def picture(predicted=(), names=(), scores=(), truth=(), truth_names=(), wh=(100, 80)):
    def boxes(found):
        return np.array(found, np.float32).reshape(-1, 4)

    return Picture(
        image=np.zeros((wh[1], wh[0], 3), np.uint8),
        xyxy=boxes(predicted),
        names=names,
        scores=scores,
        truth=boxes(truth),
        truth_names=truth_names,
    )


def whats(shown):
    return [box.outcome for box in marked_boxes(shown)]


def test_iou_of_a_half_covered_box():
    assert iou(
        np.array([BOX]), np.array([BOX, [20, 10, 40, 30], [50, 50, 60, 60]])
    ) == pytest.approx(np.array([[1, 1 / 3, 0]]))


@pytest.mark.parametrize(
    ("predicted", "name", "what"),
    [
        (BOX, "a", ["found", "hit"]),
        (BOX, "b", ["missed", "false alarm"]),
        ([10, 10, 30, 20.1], "a", ["found", "hit"]),
        ([10, 10, 30, 19.9], "a", ["missed", "false alarm"]),
    ],
    ids=["equal", "wrong class", "just over .5", "just under .5"],
)
def test_a_hit_needs_the_class_and_half_of_the_union(predicted, name, what):
    assert whats(picture([predicted], (name,), (0.9,), [BOX], ("a",))) == what


def test_a_true_box_is_found_once_by_the_most_confident():
    shown = picture([BOX, BOX], ("a", "a"), (0.6, 0.9), [BOX], ("a",))
    assert whats(shown) == ["found", "false alarm", "hit"]
    assert [box.score for box in marked_boxes(shown)] == [None, 0.6, 0.9]


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        (picture(), []),
        (picture([BOX], ("a",), (0.9,)), ["false alarm"]),
        (picture(truth=[BOX], truth_names=("a",)), ["missed"]),
        (
            Picture(image=np.zeros((9, 9, 3), np.uint8), xyxy=np.array([BOX]), names=("a",)),
            ["label"],
        ),
    ],
    ids=["nothing", "no truth", "no prediction", "a training image"],
)
def test_pictures_with_one_side_only(shown, what):
    assert whats(shown) == what


def test_windows_stay_in_the_picture():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [90, 60, 100, 80]])
    shown = Picture(image=np.zeros((80, 100, 3), np.uint8), xyxy=boxes, names=("a",) * 3)
    assert common_side([shown, picture(wh=(60, 200))]) == 60
    assert crowded_window(shown, 40) == (0, 0, 40, 40)
    assert crowded_window(picture(), 40) == (30, 20, 70, 60)
    assert full_window(shown) == (0, -10, 100, 90)
    assert full_window(picture(truth=[BOX], truth_names=("a",))) == (8, 8, 32, 32)
    assert full_window(picture()) == (0, -10, 100, 90)
