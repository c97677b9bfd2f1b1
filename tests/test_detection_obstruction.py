"""Obstruction: AP and recall in a bin of visibility are those of its objects, with all others
neutral.
"""

import numpy as np
import pytest
from made_detections import A, B, C, found, pool_of, random_case

from syndet_ray.data.pool import Pool
from syndet_ray.detection.bootstrap import accuracy, matches
from syndet_ray.detection.obstruction import (
    bin_metrics,
    class_recalls,
    evaluations,
    names_in_images,
    slope,
    views,
)
from syndet_ray.detection.score import score

SEEN, HIDDEN = "0.75-1.00", "0.25-0.50"


def measured(pool, predictions, minimum=1):
    """Every metric of the bins of a pool."""
    seen = views(pool, minimum)
    found = accuracy(matches(evaluations(pool, predictions, seen), len(pool)), np.arange(len(pool)))
    return bin_metrics(found, seen) | class_recalls(found, seen, pool.classes)


def of(truth, visibility, predictions, minimum=1):
    return measured(pool_of(*truth, visibility=visibility), predictions, minimum)


def test_a_hidden_object_that_is_missed_costs_its_own_bin_alone():
    metrics = of([[(A, 0), (B, 0)]], [[0.9, 0.3]], [found((A, 0, 0.9))])
    assert [metrics[f"{kind}_visible/{SEEN}"] for kind in ("AP", "recall")] == pytest.approx([1, 1])
    assert [metrics[f"{kind}_visible/{HIDDEN}"] for kind in ("AP", "recall")] == [0, 0]


def test_what_finds_an_object_outside_the_bin_is_no_false_alarm():
    metrics = of([[(A, 0), (B, 0)]], [[0.9, 0.3]], [found((A, 0, 0.9), (B, 0, 0.5))])
    assert metrics[f"AP_visible/{HIDDEN}"] == pytest.approx(1)


def test_what_finds_nothing_is_a_false_alarm_in_every_bin():
    metrics = of([[(A, 0), (B, 0)]], [[0.9, 0.3]], [found((C, 0, 0.99), (A, 0, 0.9), (B, 0, 0.9))])
    assert [metrics[f"AP_visible/{name}"] for name in (SEEN, HIDDEN)] == pytest.approx([0.5, 0.5])


def test_a_second_detection_of_an_object_outside_the_bin_is_a_false_alarm_in_it():
    """Its object absorbs one detection, as an object does; a crowd would absorb both."""
    metrics = of([[(A, 0), (B, 0)]], [[0.9, 0.3]], [found((A, 0, 0.99), (A, 0, 0.9), (B, 0, 0.5))])
    assert metrics[f"AP_visible/{HIDDEN}"] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_one_bin_of_all_objects_scores_as_the_pool(seed):
    pool, predictions = random_case(seed)
    visible = Pool(
        **{name: getattr(pool, name) for name in pool.__dataclass_fields__}
        | {"visibility": pool.crowd * 0 + 0.9}
    )
    metrics, scores = measured(visible, predictions), score(pool, predictions).metrics
    for name in (SEEN, "q1"):
        assert metrics[f"AP_visible/{name}"] == pytest.approx(scores["mAP"], abs=1e-12)
        assert metrics[f"recall_visible/{name}"] == pytest.approx(scores["mAR"], abs=1e-12)
    assert "slope/AP" not in metrics
    assert f"AP_visible/{HIDDEN}" not in metrics


def test_recall_of_a_class_is_reported_where_five_objects_show_it():
    """Class a has five in either bin, b four in one and six in the other; one of each is found in
    each image.
    """
    truth = [[(A, 0), (B, 0), (C, 1)] for _ in range(5)] + [[(A, 1)]] * 4 + [[(B, 1)]]
    values = [[0.9, 0.3, 0.9]] * 5 + [[0.3]] * 4 + [[0.9]]
    metrics = of(truth, values, [found((A, 0, 0.9))] * 5 + [found((A, 1, 0.9)), *[found()] * 4])
    per_class = {name: value for name, value in metrics.items() if name.count("/") == 2}
    assert per_class == {
        f"recall_visible/{SEEN}/a": 1.0,
        f"recall_visible/{SEEN}/b": 0.0,
        f"recall_visible/{HIDDEN}/a": 0.0,
    }
    assert metrics[f"recall_visible/{HIDDEN}"] == pytest.approx((0 + 1 / 4) / 2)


def test_a_bin_with_too_few_objects_gives_nothing():
    truth, values = [[(A, 0), (B, 0)], [(A, 0)]], [[0.9, 0.3], [0.8]]
    metrics = of(truth, values, [found((A, 0, 0.9))] * 2, minimum=2)
    assert {name for name in metrics if "q" not in name} == {
        f"AP_visible/{SEEN}",
        f"recall_visible/{SEEN}",
    }


def test_a_pool_without_objects_has_no_bins():
    pool = pool_of([], [(A, 0, True)])
    assert views(pool, minimum=0) == ()
    assert measured(pool, [found((A, 0, 0.9)), found()], minimum=0) == {}


def least_squares(scores, hidden, objects):
    """The slope with a constant for every class, by numpy. All (classes, bins); NaN scores are left
    out.
    """
    of_class, of_bin = np.nonzero(~np.isnan(scores) & (objects > 0))
    columns = [hidden[of_class, of_bin], *(of_class == k for k in range(len(scores)))]
    root = np.sqrt(objects[of_class, of_bin])
    table = np.stack(columns, axis=1) * root[:, None]
    return np.linalg.lstsq(table, scores[of_class, of_bin] * root)[0][0]


@pytest.mark.parametrize("seed", range(4))
def test_the_slope_is_that_of_least_squares_with_a_constant_for_each_class(seed):
    rng = np.random.default_rng(seed)
    scores, hidden, objects = rng.random((5, 4)), rng.random((5, 4)), rng.integers(1, 9, (5, 4))
    scores[rng.random((5, 4)) < 0.3] = np.nan
    scores[0, 1:] = np.nan
    assert slope(scores, hidden, objects) == pytest.approx(least_squares(scores, hidden, objects))


def test_what_only_makes_classes_differ_is_no_slope():
    """Class a is always visible and found, b always hidden and never found, c either and found:
    hiding costs no class.
    """
    pool = pool_of(
        [(A, 0), (B, 1)], [(A, 2), (B, 2)], classes=("a", "b", "c"), visibility=[[0.9, 0.3]] * 2
    )
    metrics = measured(pool, [found((A, 0, 0.9)), found((A, 2, 0.9), (B, 2, 0.9))])
    assert [metrics[f"recall_visible/{name}"] for name in (SEEN, HIDDEN)] == pytest.approx([1, 0.5])
    assert [metrics["slope/AP"], metrics["slope/recall"]] == pytest.approx([0, 0])


def test_classes_that_are_each_in_one_bin_have_no_slope():
    metrics = of([[(A, 0), (B, 1)]], [[0.9, 0.3]], [found((A, 0, 0.9))])
    assert metrics[f"recall_visible/{HIDDEN}"] == 0
    assert not {"slope/AP", "slope/recall"} & metrics.keys()
    scores, hidden = np.array([[1.0, np.nan], [np.nan, 0.0]]), np.array([[0.1, 0.0], [0.0, 0.7]])
    assert np.isnan(slope(scores, hidden, 3 * np.eye(2))), "not even where 3 * .1 / 3 is not .1"


def test_a_class_in_one_bin_leaves_the_slope_of_others_as_it_is():
    metrics = of([[(A, 0), (B, 0), (C, 1)]], [[0.9, 0.3, 0.3]], [found((A, 0, 0.9), (C, 1, 0.9))])
    assert [metrics["slope/AP"], metrics["slope/recall"]] == pytest.approx([-1 / 0.6] * 2)


def test_what_rests_on_too_few_images_is_not_named():
    """Twenty objects of a are visible, one in each image; two hidden ones of a in each of three
    images, of b in others.
    """
    truth = [
        [(A, 0), (B, 0), (C, 0)] if i < 3 else [(A, 0), (B, 1)] if i < 6 else [(A, 0)]
        for i in range(20)
    ]
    values = [[0.9, 0.3, 0.3] if i < 3 else [0.9, 0.3] if i < 6 else [0.9] for i in range(20)]
    pool = pool_of(*truth, visibility=values)
    seen = tuple(one for one in views(pool, 1) if one.fixed)
    for predictions in ([found()] * 20, [found((A, 0, 0.9), (B, 1, 0.9))] * 20):
        made = matches(evaluations(pool, predictions, seen), len(pool))
        both = {f"{kind}_visible/{name}" for kind in ("AP", "recall") for name in (SEEN, HIDDEN)}
        assert names_in_images(made, seen, 3) == both | {"slope/AP", "slope/recall"}
        assert names_in_images(made, seen, 6) == both
        assert names_in_images(made, seen, 7) == {
            f"{kind}_visible/{SEEN}" for kind in ("AP", "recall")
        }
