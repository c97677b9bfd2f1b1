"""Evaluation: everything at once is what pycocotools and hands count, and bad inputs are met with a
number or a clear error.
"""

import numpy as np
import pytest
from made_detections import A, B, C, found, plain_accuracy, pool_of, random_case

from syndet_ray.detection import architectures, evaluation
from syndet_ray.detection.bootstrap import bootstrap, resampled_images
from syndet_ray.detection.evaluation import evaluate
from syndet_ray.detection.score import in_order
from syndet_ray.errors import DataError

BINS = {
    "0.00-0.25": (0, 0.25),
    "0.25-0.50": (0.25, 0.5),
    "0.50-0.75": (0.5, 0.75),
    "0.75-1.00": (0.75, 1),
}
MAIN = ("mAP", "AP50", "AP75", "mAR")


def case(seed=0, images=100):
    """A pool all of whose visibilities are known, with enough objects for every bin, and
    predictions.
    """
    pool, predictions = random_case(seed, images)
    rng = np.random.default_rng(seed)
    boxes = [pool.boxes(i) for i in range(images)]
    truth = [list(zip(b.xyxy.tolist(), b.labels, b.crowd, strict=True)) for b in boxes]
    return pool_of(
        *truth, classes=pool.classes, visibility=[rng.random(len(b)) for b in boxes]
    ), predictions


def test_accuracy_is_that_of_plain_pycocotools():
    pool, predictions = case()
    metrics = evaluate(pool, predictions, seed=3, resamples=0).metrics
    ap, recall = plain_accuracy(pool, predictions)
    expected = {
        "mAP": ap,
        "AP50": ap[:, 0],
        "AP75": ap[:, 5],
        "mAR": recall,
        "AP/a": ap[0],
        "AP/b": ap[1],
        "mAP@300": ap,
    }
    for name, limits in BINS.items():
        expected[f"AP_visible/{name}"], recall = plain_accuracy(pool, predictions, *limits)
        expected |= {
            f"recall_visible/{name}{end}": part for end, part in (("", recall), ("/a", recall[0]))
        }
    means = {name: np.nanmean(values) for name, values in expected.items()}
    assert {name: metrics[name] for name in means} == pytest.approx(means, abs=1e-12)


def test_a_test_set_that_is_known_by_heart():
    """Of two objects in each of 20 images the visible one is always found, and the hidden one in
    half of them.
    """
    truth, values = [[(A, 0), (B, 0)] for _ in range(20)], [[0.875, 0.375]] * 20
    seen = [found((A, 0, 0.9), *[(B, 0, 0.8)] * (i < 10)) for i in range(20)]
    result = evaluate(pool_of(*truth, visibility=values), seen, seed=0, resamples=10)
    # found without a false alarm: the recalls up to .75, and up to .5
    ap, hidden = 76 / 101, 51 / 101
    expected = dict.fromkeys(
        ("mAP", "AP50", "AP75", "AP/a", "mAP@300", "mAP_any_class", "AP50_any_class"), ap
    )
    expected |= {"mAR": 0.75, "capped@100": 0, "capped@300": 0}
    expected |= {
        "AP_visible/0.75-1.00": 1,
        "AP_visible/q2": 1,
        "AP_visible/0.25-0.50": hidden,
        "AP_visible/q1": hidden,
    }
    recalls = {
        "0.75-1.00": 1,
        "0.75-1.00/a": 1,
        "q2": 1,
        "0.25-0.50": 0.5,
        "0.25-0.50/a": 0.5,
        "q1": 0.5,
    }
    expected |= {f"recall_visible/{name}": value for name, value in recalls.items()}
    expected |= {"slope/AP": (hidden - 1) / 0.5, "slope/recall": -1}
    expected |= {
        f"error/{kind}": 0
        for kind in ("classification", "localisation", "both", "duplicate", "background")
    }
    assert result.metrics == pytest.approx(expected | {"error/missed": 1 - ap}, abs=1e-12)
    assert result.confusion.tolist() == [[30, 0, 10], [0, 0, 0], [0, 0, 0]]
    assert result.absent == ("b",)


def test_draws_are_those_of_the_bootstrap_and_centred_on_the_metrics():
    pool, predictions = case()
    found = evaluate(pool, predictions, seed=3, resamples=20)
    for name, expected in bootstrap(pool, predictions, seed=3, resamples=20).items():
        assert found.draws[name] == pytest.approx(expected, abs=1e-12)
    bins = (*BINS, "q1", "q2", "q3", "q4")
    assert set(found.draws) == {
        *MAIN,
        *("AP/a", "AP/b", "slope/AP", "slope/recall"),
        *(f"{kind}_visible/{name}" for kind in ("AP", "recall") for name in bins),
    }
    assert {name: draws.mean() for name, draws in found.draws.items()} == pytest.approx(
        {name: found.metrics[name] for name in found.draws}
    )


def test_draws_in_bins_are_scored_with_the_images_of_every_other_draw():
    pool, predictions = case()
    found = evaluate(pool, predictions, seed=3, resamples=4)
    raw = []
    for images in resampled_images(len(pool), seed=3, resamples=4):
        ap, _ = plain_accuracy(
            pool.select(images.tolist()), [predictions[i] for i in images], 0.25, 0.5
        )
        raw.append(np.nanmean(ap))
    expected = np.array(raw) - np.mean(raw) + found.metrics["AP_visible/0.25-0.50"]
    assert found.draws["AP_visible/0.25-0.50"] == pytest.approx(expected, abs=1e-12)


def test_the_slope_of_a_draw_is_that_of_its_classes_in_bins():
    """Of two classes in four bins: least squares with a constant for each, as numpy does it."""
    pool, predictions = case()
    result = evaluate(pool, predictions, seed=3, resamples=3)
    held = [
        [pool.visibility[_inside(pool, k, *limits)] for limits in BINS.values()] for k in (0, 1)
    ]
    objects, hidden = (
        np.array([[(len(v), 1 - v.mean(dtype=float)) for v in row] for row in held]).reshape(8, 2).T
    )
    classes = np.repeat(np.eye(2), 4, axis=0)
    table, root = np.column_stack([hidden, classes]), np.sqrt(objects)
    raw = []
    for images in [np.arange(len(pool)), *resampled_images(len(pool), seed=3, resamples=3)]:
        chosen, seen = pool.select(images.tolist()), [predictions[i] for i in images]
        cells = np.array(
            [plain_accuracy(chosen, seen, *limits)[1][:2].mean(axis=1) for limits in BINS.values()]
        ).T
        assert not np.isnan(cells).any()
        raw.append(np.linalg.lstsq(table * root[:, None], cells.ravel() * root)[0][0])
    assert result.metrics["slope/recall"] == pytest.approx(raw[0])
    assert result.draws["slope/recall"] == pytest.approx(
        np.array(raw[1:]) - np.mean(raw[1:]) + raw[0]
    )


def _inside(pool, label, low, high):
    return (
        (pool.labels == label) & ~pool.crowd & (pool.visibility >= low) & (pool.visibility < high)
    )


def many(*counts):
    """So many objects side by side of each class."""
    return [
        ([i * 12, 0, i * 12 + 10, 10], k) for k, count in enumerate(counts) for i in range(count)
    ]


def test_more_than_100_of_one_class_are_cut_and_300_in_all_are_full():
    truth = [many(120), many(60, 60), many(100, 100, 100), many(0, 101)]
    seen = [found(*[(box, label, 0.9) for box, label in image]) for image in truth]
    metrics = evaluate(pool_of(*truth, classes=("a", "b", "c")), seen, seed=0, resamples=2).metrics
    # Counted are 260 of 280 a, 260 of 261 b and all c: recalls up to .92, .99 and 1.
    assert metrics["mAP"] == pytest.approx((93 + 100 + 101) / 303)
    assert metrics["mAP@300"] == pytest.approx(1)
    assert (metrics["capped@100"], metrics["capped@300"]) == (2 / 4, 1 / 4)


def test_many_predictions_of_many_classes_are_not_cut():
    truth = many(100, 99)
    metrics = evaluate(
        pool_of(truth), [found(*[(box, k, 0.9) for box, k in truth])], seed=0, resamples=2
    ).metrics
    assert (metrics["mAP"], metrics["mAP@300"]) == (pytest.approx(1), pytest.approx(1))
    assert (metrics["capped@100"], metrics["capped@300"]) == (0, 0)


def test_full_is_what_our_models_keep_of_an_image():
    assert evaluation._MANY == architectures._DETECTIONS_PER_IMAGE


def test_no_detections_at_all():
    pool, predictions = case()
    result = evaluate(pool, [found()] * len(pool), seed=0, resamples=5)
    rest = {name: value for name, value in result.metrics.items() if name != "error/missed"}
    assert set(rest.values()) == {0.0}
    assert result.metrics["error/missed"] == 1.0
    assert all((draws == 0).all() for draws in result.draws.values())


def test_no_objects_at_all():
    result = evaluate(
        pool_of([], [(B, 1, True)]), [found((A, 0, 0.9)), found((B, 1, 0.8))], seed=0, resamples=5
    )
    assert set(result.metrics.values()) == {0.0}
    assert set(result.draws) == set(MAIN)
    assert result.absent == ("a", "b")
    assert result.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_a_class_without_objects_has_no_metric_and_no_draws():
    result = evaluate(
        pool_of([(A, 0)], []), [found((A, 0, 0.9), (B, 1, 0.9)), found()], seed=0, resamples=20
    )
    assert result.absent == ("b",)
    assert "AP/b" not in {*result.metrics, *result.draws}


@pytest.mark.parametrize(("images", "known"), [(1, False), (9, False), (10, True)])
def test_a_class_or_bin_in_few_images_has_no_draws_whatever_is_predicted(images, known):
    """Else most draws would lack it, and it would look certain. It is measured all the same."""
    hidden = [([20 * i, 50, 20 * i + 10, 60], 1) for i in range(20)]
    truth = [[(A, 0), *hidden] if i < images else [(A, 0)] for i in range(20)]
    pool = pool_of(*truth, visibility=[[0.9] + [0.3] * (len(image) - 1) for image in truth])
    some = [found((A, 0, 0.9), *[(box, k, 0.9) for box, k in hidden[: i + 1]]) for i in range(20)]
    results = [
        evaluate(pool, predictions, seed=0, resamples=200) for predictions in (some, [found()] * 20)
    ]
    rare = {"AP/b", "AP_visible/0.25-0.50", "recall_visible/0.25-0.50"}
    for result in results:
        assert rare <= result.metrics.keys()
        assert rare & result.draws.keys() == (rare if known else set())
        assert {*MAIN, "AP/a", "AP_visible/0.75-1.00"} <= result.draws.keys()
        assert not any(np.isnan(draws).any() for draws in result.draws.values())
    assert results[0].draws.keys() == results[1].draws.keys()
    assert all(results[0].draws[name].std() > 0 for name in rare if known)


def test_of_one_image_only_the_four_means_have_draws_and_these_are_the_score():
    pool = pool_of(many(30), visibility=[[0.9] * 30])
    result = evaluate(pool, [found(*[(box, k, 0.9) for box, k in many(20)])], seed=0, resamples=3)
    assert {name: draws.tolist() for name, draws in result.draws.items()} == {
        name: pytest.approx([result.metrics[name]] * 3) for name in MAIN
    }


def test_no_number_is_refused():
    with pytest.raises(
        DataError, match=r"predictions of image 1: scores must be finite, got .*nan"
    ):
        evaluate(
            pool_of([(A, 0)], [(A, 0)]), [found(), found((A, 0, float("nan")))], seed=0, resamples=1
        )


def test_the_order_of_tied_scores_changes_nothing():
    truth, tied = (
        pool_of([(A, 0), (B, 1)], []),
        [(A, 0, 0.5), (B, 0, 0.5), (C, 1, 0.5), (B, 1, 0.5)],
    )
    one, other = (
        evaluate(truth, [in_order(found(*order)), found()], seed=0, resamples=3)
        for order in (tied, tied[::-1])
    )
    assert one.metrics == other.metrics
    assert one.confusion.tolist() == other.confusion.tolist()


def test_progress_is_reported():
    calls = []
    evaluate(
        pool_of([(A, 0)]),
        [found()],
        seed=0,
        resamples=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
