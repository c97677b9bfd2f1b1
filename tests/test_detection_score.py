"""Score: COCO's own figures, and every trap on the way to them."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
from made_detections import A, B, C, cocoapi_sample, found, pool_of
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from syndet_ray.detection.bootstrap import accuracy, main_metrics, matches
from syndet_ray.detection.score import coco, in_order, means, score, xywh
from syndet_ray.errors import DataError


def test_perfect_predictions_score_1():
    scores = score(
        pool_of([(A, 0), (B, 1)], [(C, 0)]), [found((A, 0, 0.9), (B, 1, 0.8)), found((C, 0, 0.7))]
    )
    assert all(value == pytest.approx(1) for value in scores.metrics.values())
    assert {"mAP", "AP50", "AP75", "mAR", "AP/a", "AP/b"} <= scores.metrics.keys()


def test_the_first_object_counts_like_any_other():
    """pycocotools takes the annotation id 0 for "no match": ids start at 1."""
    assert score(pool_of([(A, 0)]), [found((A, 0, 0.9))]).metrics["mAP"] == pytest.approx(1)


def test_no_predictions_at_all_score_0():
    scores = score(pool_of([(A, 0)], [(B, 1)]), [found(), found()])
    assert set(scores.metrics.values()) == {0.0}


def test_a_false_alarm_on_an_empty_image_costs():
    truth = pool_of([(A, 0)], [])
    clean = score(truth, [found((A, 0, 0.5)), found()]).metrics["mAP"]
    alarmed = score(truth, [found((A, 0, 0.5)), found((A, 0, 0.9))]).metrics["mAP"]
    assert (clean, alarmed) == (pytest.approx(1), pytest.approx(0.5, abs=0.01))


def test_a_class_without_objects_is_named_and_in_no_mean():
    scores = score(pool_of([(A, 0)]), [found((A, 0, 0.9), (B, 1, 0.9))])
    assert scores.absent == ("b",)
    assert "AP/b" not in scores.metrics
    assert scores.metrics["mAP"] == pytest.approx(1)


def test_a_crowd_is_neutral():
    truth = pool_of([(A, 0), (B, 0, True)])
    assert score(truth, [found((A, 0, 0.5), (B, 0, 0.9))]).metrics["mAP"] == pytest.approx(1)


def test_the_order_of_tied_scores_changes_nothing():
    truth = pool_of([(A, 0), (B, 0)])
    one, two, wrong = (A, 0, 0.5), (B, 0, 0.5), (C, 0, 0.5)
    results = {
        score(truth, [in_order(found(*order))]).metrics["mAP"]
        for order in ((one, two, wrong), (wrong, two, one), (two, wrong, one))
    }
    assert len(results) == 1


def test_100_of_a_class_in_an_image_are_counted_unless_more_are_asked_for():
    many = [([i * 12, 0, i * 12 + 10, 10], 0) for i in range(120)]
    predictions = [found(*[(box, label, 0.9) for box, label in many])]
    capped, all_of_them = (
        score(pool_of(many), predictions),
        score(pool_of(many), predictions, max_detections=300),
    )
    assert capped.metrics["mAR"] == pytest.approx(100 / 120)
    assert all_of_them.metrics["mAR"] == pytest.approx(1)


def test_an_object_found_under_two_names_is_found_once_for_any_class():
    pool = pool_of([(A, 0)], [(B, 1)])
    twice = [found((A, 0, 0.9), (A, 1, 0.8)), found((B, 1, 0.7))]
    assert score(pool, twice).metrics["AP50_any_class"] == pytest.approx(1)


def test_a_right_box_with_a_wrong_class_counts_for_any_class():
    scores = score(pool_of([(A, 0)], [(B, 1)]), [found((A, 1, 0.9)), found((B, 0, 0.9))])
    assert (scores.metrics["AP50"], scores.metrics["AP50_any_class"]) == (
        pytest.approx(0),
        pytest.approx(1),
    )


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(
        DataError, match=r"predictions of image 0: scores must be finite, got .*nan"
    ):
        score(pool_of([(A, 0)]), [found((A, 0, float("nan")))])


def test_no_number_is_refused_by_the_name_of_its_image():
    pool = pool_of([(A, 0)], [(B, 1)], ids=("first", "photo_7"))
    with pytest.raises(
        DataError, match=r"predictions of image photo_7: scores must be finite, got .*inf"
    ):
        score(pool, [found(), found((A, 0, 0.5), (B, 0, float("inf")))])


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("box", "label", "said"),
    [
        ([NAN] * 4, 0, r"boxes must be finite \(x1, y1, x2, y2\), got \[nan, nan, nan, nan\]"),
        ([0, 0, INF, 10], 0, r"boxes must be finite .*, got \[0.0, 0.0, inf, 10.0\]"),
        (
            [10, 0, 0, 10],
            0,
            r"boxes must not end before they begin .*, got \[10.0, 0.0, 0.0, 10.0\]",
        ),
        ([0, 10, 10, 9], 0, r"boxes must not end before they begin"),
        (A, 2, "labels must be whole numbers from 0 to 1, got 2"),
        (A, -1, "labels must be whole numbers from 0 to 1, got -1"),
    ],
)
def test_a_box_that_is_none_is_refused_by_the_name_of_its_image(box, label, said):
    """To pycocotools, a box that is not a number overlaps every object completely."""
    pool = pool_of([(A, 0)], [], [(B, 1)], ids=("first", "second", "photo_7"))
    with pytest.raises(DataError, match=f"predictions of image photo_7: {said}"):
        score(pool, [found((A, 0, 0.9)), found(), found((B, 1, 0.8), (box, label, 0.5))])


def test_a_box_without_area_finds_nothing():
    """Clipped to its image, a box may be left with none."""
    pool = pool_of([(A, 0)])
    assert score(pool, [found(([10, 0, 10, 10], 0, 0.9))]).metrics["mAP"] == pytest.approx(0)


def test_boxes_of_single_precision_are_subtracted_in_double():
    edges = np.array([[0.1, 0.2, 1000.3, 1000.4]], np.float32)
    x1, y1, x2, y2 = edges[0].tolist()
    assert xywh(edges).tolist() == [[x1, y1, x2 - x1, y2 - y1]]
    assert xywh(edges[:0]).shape == (0, 4)


def test_a_pool_without_objects_scores_0():
    scores = score(pool_of([], []), [found((A, 0, 0.9)), found()])
    assert scores.absent == ("a", "b")
    assert scores.metrics == dict.fromkeys(
        ("mAP", "AP50", "AP75", "mAR", "mAP_any_class", "AP50_any_class"), 0.0
    )


def test_an_object_may_be_neutral_without_being_a_crowd():
    """Its overlap is that of an object, and it absorbs one detection, where a crowd would absorb
    all.
    """
    pool = pool_of([(A, 0), (B, 0)])
    seen = found((B, 0, 0.9), (A, 0, 0.5))
    neutral = np.array([False, True])
    assert means(coco(pool, [seen], 100, neutral))["mAP"] == pytest.approx(1)
    twice = found((B, 0, 0.9), (B, 0, 0.8), (A, 0, 0.5))
    assert means(coco(pool, [twice], 100, neutral))["mAP"] == pytest.approx(0.5)


def test_scoring_is_known_without_torch():
    code = "import sys, syndet_ray.detection.score, syndet_ray.detection.evaluation; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_cocos_own_figures_are_reproduced(shared):
    """The oracle of cocoapi: AP .505, AP50 .697, AP75 .573, AR100 .595 on 100 images of val2014."""
    metrics = score(*cocoapi_sample(shared("data/coco_metric_oracle"))).metrics
    expected = {"mAP": 0.505, "AP50": 0.697, "AP75": 0.573, "mAR": 0.595}
    assert {name: round(metrics[name], 3) for name in expected} == expected


def test_pycocotools_alone_says_the_same(shared):
    """Plain COCOeval on the files as they are, with all its area ranges and detection limits."""
    folder = shared("data/coco_metric_oracle")
    pool, predictions = cocoapi_sample(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "instances_val2014_100.json"))
        results = truth.loadRes(str(folder / "instances_val2014_fakebbox100_results.json"))
        plain = COCOeval(truth, results, "bbox")
        plain.evaluate()
        plain.accumulate()
        plain.summarize()
    expected = dict(zip(("mAP", "AP50", "AP75", "mAR"), plain.stats[[0, 1, 2, 8]], strict=True))
    for k, category in enumerate(plain.params.catIds):
        if (precision := plain.eval["precision"][:, :, k, 0, 2])[0, 0] > -1:
            expected[f"AP/{category}"] = precision.mean()
    metrics = score(pool, predictions).metrics
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert set(metrics) - set(expected) == {"mAP_any_class", "AP50_any_class"}
    once = main_metrics(
        accuracy(matches([coco(pool, predictions, 100)], len(pool)), np.arange(len(pool)))
    )
    assert once == pytest.approx({name: expected[name] for name in once}, abs=1e-9)
