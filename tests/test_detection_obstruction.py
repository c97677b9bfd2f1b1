"""Obstruction: AP and recall in a bin of visibility are those of its objects, with all others neutral."""

import numpy as np
import pytest
from made_detections import A, B, C, found, pool_of, random_case

from syndet_ray.data.pool import Pool
from syndet_ray.data.visibility import Bin
from syndet_ray.detection.obstruction import obstruction, slope, views
from syndet_ray.detection.score import score

SEEN, HIDDEN = "0.75-1.00", "0.25-0.50"


def of(truth, visibility, predictions, minimum=1):
    return obstruction(pool_of(*truth, visibility=visibility), predictions, minimum)


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
        **{name: getattr(pool, name) for name in pool.__dataclass_fields__} | {"visibility": pool.crowd * 0 + 0.9}
    )
    metrics, scores = obstruction(visible, predictions, 1), score(pool, predictions).metrics
    for name in (SEEN, "q1"):
        assert metrics[f"AP_visible/{name}"] == pytest.approx(scores["mAP"], abs=1e-12)
        assert metrics[f"recall_visible/{name}"] == pytest.approx(scores["mAR"], abs=1e-12)
    assert "slope/AP" not in metrics
    assert f"AP_visible/{HIDDEN}" not in metrics


def test_recall_of_a_class_is_told_where_it_has_objects():
    metrics = of([[(A, 0), (B, 1), (C, 0)]], [[0.9, 0.9, 0.3]], [found((A, 0, 0.9))])
    per_class = {name: value for name, value in metrics.items() if name.count("/") == 2}
    assert per_class == {
        f"recall_visible/{SEEN}/a": 1.0,
        f"recall_visible/{SEEN}/b": 0.0,
        f"recall_visible/{HIDDEN}/a": 0.0,
    }
    assert metrics[f"recall_visible/{SEEN}"] == pytest.approx(0.5)


def test_a_bin_with_too_few_objects_gives_nothing():
    truth, values = [[(A, 0), (B, 0)], [(A, 0)]], [[0.9, 0.3], [0.8]]
    metrics = of(truth, values, [found((A, 0, 0.9))] * 2, minimum=2)
    assert {name for name in metrics if "q" not in name} == {
        f"AP_visible/{SEEN}",
        f"recall_visible/{SEEN}",
        f"recall_visible/{SEEN}/a",
    }


def test_a_pool_without_objects_has_no_bins():
    pool = pool_of([], [(A, 0, True)])
    assert views(pool, minimum=0) == ()
    assert obstruction(pool, [found((A, 0, 0.9)), found()], minimum=0) == {}


def test_the_slope_is_that_of_a_line_through_bins_that_weigh_as_their_objects():
    bins = [Bin(0, 0.25, 1, 0.2), Bin(0.5, 0.75, 2, 0.6), Bin(0.75, 1, 7, 0.9)]
    hidden, scores = np.array([0.8, 0.4, 0.1]), [0.2, 0.1, 0.7]
    expected = np.polyfit(hidden, scores, 1, w=np.sqrt([1, 2, 7]))[0]
    assert slope(bins, scores) == pytest.approx(expected)


def test_the_slope_of_two_bins_joins_them():
    metrics = of([[(A, 0), (B, 0)]], [[0.9, 0.3]], [found((A, 0, 0.9))])
    assert [metrics["slope/AP"], metrics["slope/recall"]] == pytest.approx([-1 / 0.6] * 2)
