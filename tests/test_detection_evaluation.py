"""Evaluation: everything at once says what its parts say, and bad inputs are met with a number or a clear error."""

import numpy as np
import pytest
from made_detections import A, B, C, found, pool_of, random_case

from syndet_ray.detection.bootstrap import bootstrap, resampled_images
from syndet_ray.detection.error_kinds import confusion, error_kinds
from syndet_ray.detection.evaluation import evaluate
from syndet_ray.detection.obstruction import obstruction
from syndet_ray.detection.score import in_order, score
from syndet_ray.errors import DataError


def case(seed=0, images=100):
    """A pool all of whose visibilities are known, with enough objects for every bin, and predictions."""
    pool, predictions = random_case(seed, images)
    rng = np.random.default_rng(seed)
    boxes = [pool.boxes(i) for i in range(images)]
    truth = [list(zip(b.xyxy.tolist(), b.labels, b.crowd, strict=True)) for b in boxes]
    return pool_of(*truth, classes=pool.classes, visibility=[rng.random(len(b)) for b in boxes]), predictions


def test_the_whole_is_its_parts():
    pool, predictions = case()
    found = evaluate(pool, predictions, seed=3, resamples=20)
    parts = score(pool, predictions).metrics | obstruction(pool, predictions) | error_kinds(pool, predictions)
    extra = {"mAP@300": parts["mAP"], "capped@100": 0.0, "capped@300": 0.0}
    assert found.metrics == pytest.approx(parts | extra, abs=1e-12)
    assert found.confusion.tolist() == confusion(pool, predictions).tolist()
    assert found.absent == ("absent", "crowded")


def test_draws_are_those_of_the_bootstrap_and_centred_on_the_metrics():
    pool, predictions = case()
    found = evaluate(pool, predictions, seed=3, resamples=20)
    for name, expected in bootstrap(pool, predictions, seed=3, resamples=20).items():
        assert found.draws[name] == pytest.approx(expected, abs=1e-12)
    bins = ("0.00-0.25", "0.25-0.50", "0.50-0.75", "0.75-1.00", "q1", "q2", "q3", "q4")
    assert set(found.draws) == {
        *("mAP", "AP50", "AP75", "mAR", "AP/a", "AP/b", "slope/AP", "slope/recall"),
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
        chosen = pool.select(images.tolist())
        raw.append(obstruction(chosen, [predictions[i] for i in images], 0)["AP_visible/0.25-0.50"])
    expected = np.array(raw) - np.mean(raw) + found.metrics["AP_visible/0.25-0.50"]
    assert found.draws["AP_visible/0.25-0.50"] == pytest.approx(expected, abs=1e-12)


def test_the_slope_of_a_draw_is_that_of_its_bins():
    pool, predictions = case()
    found = evaluate(pool, predictions, seed=3, resamples=50)
    bins = [found.draws[f"AP_visible/{name}"] for name in ("0.00-0.25", "0.25-0.50", "0.50-0.75", "0.75-1.00")]
    weights, _, _, _ = np.linalg.lstsq(np.stack(bins, axis=1), found.draws["slope/AP"])
    assert np.stack(bins, axis=1) @ weights == pytest.approx(found.draws["slope/AP"])
    assert weights.sum() == pytest.approx(0, abs=1e-9)


def test_more_than_100_objects_of_a_class_are_counted_by_the_second_number():
    many = [([i * 12, 0, i * 12 + 10, 10], 0) for i in range(120)]
    seen = found(*[(box, label, 0.9) for box, label in many])
    metrics = evaluate(pool_of(many, []), [seen, found()], seed=0, resamples=2).metrics
    assert metrics["mAP"] == pytest.approx(84 / 101)
    assert metrics["mAP@300"] == pytest.approx(1)
    assert (metrics["capped@100"], metrics["capped@300"]) == (0.5, 0.0)


def test_no_detections_at_all():
    pool, predictions = case()
    result = evaluate(pool, [found()] * len(pool), seed=0, resamples=5)
    rest = {name: value for name, value in result.metrics.items() if name != "error/missed"}
    assert set(rest.values()) == {0.0}
    assert result.metrics["error/missed"] == 1.0
    assert all((draws == 0).all() for draws in result.draws.values())


def test_no_objects_at_all():
    result = evaluate(pool_of([], [(B, 1, True)]), [found((A, 0, 0.9)), found((B, 1, 0.8))], seed=0, resamples=5)
    assert set(result.metrics.values()) == {0.0}
    assert set(result.draws) == {"mAP", "AP50", "AP75", "mAR"}
    assert result.absent == ("a", "b")
    assert result.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_a_class_without_objects_has_no_metric_and_no_draws():
    result = evaluate(pool_of([(A, 0)], []), [found((A, 0, 0.9), (B, 1, 0.9)), found()], seed=0, resamples=20)
    assert result.absent == ("b",)
    assert "AP/b" not in {*result.metrics, *result.draws}


def test_a_draw_without_the_class_tells_nothing_of_it():
    """The class is in one of three images: draws without it are the score itself, and no draw is NaN."""
    truth = pool_of([(A, 0), (B, 0)], [(A, 1)], [(A, 1)])
    result = evaluate(truth, [found((A, 0, 0.9))] * 3, seed=0, resamples=50)
    assert result.draws["AP/a"] == pytest.approx(np.full(50, result.metrics["AP/a"]), abs=0.2)
    assert not any(np.isnan(draws).any() for draws in result.draws.values())


def test_no_number_is_refused():
    with pytest.raises(DataError, match=r"predictions of image 1: scores must be finite, got .*nan"):
        evaluate(pool_of([(A, 0)], [(A, 0)]), [found(), found((A, 0, float("nan")))], seed=0, resamples=1)


def test_the_order_of_tied_scores_changes_nothing():
    truth, tied = pool_of([(A, 0), (B, 1)], []), [(A, 0, 0.5), (B, 0, 0.5), (C, 1, 0.5), (B, 1, 0.5)]
    one, other = (
        evaluate(truth, [in_order(found(*order)), found()], seed=0, resamples=3) for order in (tied, tied[::-1])
    )
    assert one.metrics == other.metrics
    assert one.confusion.tolist() == other.confusion.tolist()


def test_progress_is_told():
    told = []
    evaluate(pool_of([(A, 0)]), [found()], seed=0, resamples=3, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
