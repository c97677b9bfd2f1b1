"""Pictures of predictions: the galleries hold the best and the worst, and nothing that shows nothing."""

import numpy as np

from syndet_ray.results import Picture
from syndet_ray.tuning.pictures import best_and_worst

IMAGE = np.zeros((50, 50, 3), np.uint8)


def picture(found, missed, alarms):
    """One with so many objects found, missed, and false alarms."""
    boxes = np.array([[12.0 * k, 0, 12 * k + 10, 10] for k in range(found + missed + alarms)]).reshape(-1, 4)
    truth = boxes[: found + missed]
    seen = np.concatenate([boxes[:found], boxes[found + missed :]])
    return Picture(IMAGE, seen, ("a",) * len(seen), (0.9,) * len(seen), truth, ("a",) * len(truth))


def shape(pictures):
    return [(len(p.xyxy), len(p.truth_names)) for p in pictures]


def test_the_best_agree_with_the_truth_and_the_worst_do_not():
    every = [picture(1, 1, 0), picture(3, 0, 0), picture(0, 2, 1), picture(1, 0, 0), picture(2, 1, 3)]
    best, worst = best_and_worst(every, count=2)
    assert shape(best) == [(3, 3), (1, 1)], "among equals the one with more to see"
    assert shape(worst) == [(1, 2), (5, 3)], "the worst first"


def test_a_picture_with_nothing_in_it_is_in_no_gallery_and_one_with_a_false_alarm_alone_is_among_the_worst():
    best, worst = best_and_worst([picture(0, 0, 0), picture(0, 0, 1), picture(2, 0, 0)])
    assert (shape(best), shape(worst)) == ([(2, 2)], [(1, 0)])


def test_no_picture_is_in_both_galleries():
    every = [picture(k % 4, k % 3, k % 2) for k in range(1, 9)]
    best, worst = best_and_worst(every, count=6)
    assert not {id(p) for p in best} & {id(p) for p in worst}
    assert (len(best), len(worst)) == (4, 4)
    assert best_and_worst([]) == ([], [])
