"""Score: COCO's own figures, and every trap on the way to them."""

import json

import numpy as np
import pytest

from syndet_ray import seeds
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.detection import score as module
from syndet_ray.detection.score import Predictions, bootstrap, in_order, intervals, score
from syndet_ray.errors import DataError


def pool_of(*images, classes=("a", "b")):
    """A pool without pixels; each image a list of (box, label) or (box, label, crowd)."""
    boxes = [
        Boxes.of([o[0] for o in objects], [o[1] for o in objects], crowd=[len(o) > 2 and o[2] for o in objects])
        for objects in images
    ]
    return Pool.of(
        "real", classes, [np.zeros((1, 1, 3), np.uint8)] * len(images), boxes, [str(i) for i in range(len(images))]
    )


def found(*detections):
    """(box, label, score) of one image."""
    return Predictions(
        np.array([d[0] for d in detections], np.float64).reshape(-1, 4),
        np.array([d[1] for d in detections], np.int64),
        np.array([d[2] for d in detections], np.float64),
    )


A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 70]


def test_perfect_predictions_score_1():
    scores = score(pool_of([(A, 0), (B, 1)], [(C, 0)]), [found((A, 0, 0.9), (B, 1, 0.8)), found((C, 0, 0.7))])
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


def test_more_objects_than_counted_is_said():
    many = [([i * 12, 0, i * 12 + 10, 10], 0) for i in range(120)]
    predictions = [found(*[(box, label, 0.9) for box, label in many])]
    capped, all_of_them = score(pool_of(many), predictions), score(pool_of(many), predictions, max_detections=300)
    assert capped.capped == 1.0
    assert capped.metrics["mAR"] == pytest.approx(100 / 120)
    assert all_of_them.metrics["mAR"] == pytest.approx(1)


def test_an_object_found_under_two_names_is_found_once_for_any_class():
    pool = pool_of([(A, 0)], [(B, 1)])
    twice = [found((A, 0, 0.9), (A, 1, 0.8)), found((B, 1, 0.7))]
    assert score(pool, twice).metrics["AP50_any_class"] == pytest.approx(1)


def test_a_right_box_with_a_wrong_class_counts_for_any_class():
    scores = score(pool_of([(A, 0)], [(B, 1)]), [found((A, 1, 0.9)), found((B, 0, 0.9))])
    assert (scores.metrics["AP50"], scores.metrics["AP50_any_class"]) == (pytest.approx(0), pytest.approx(1))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match=r"predictions of image 0: scores must be finite, got .*nan"):
        score(pool_of([(A, 0)]), [found((A, 0, float("nan")))])


def test_intervals_hold_the_score_and_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    truth = pool_of(*[[(A, 0), (B, 1)] for _ in range(30)])
    predictions = [found((A, 0, rng.random()), (B if rng.random() < 0.5 else C, 1, rng.random())) for _ in range(30)]
    bounds = intervals(truth, predictions, seed=1, resamples=100)
    value = score(truth, predictions).metrics["mAP"]
    assert bounds["mAP"][0] < value < bounds["mAP"][1]
    assert bounds == intervals(truth, predictions, seed=1, resamples=100)
    assert bounds != intervals(truth, predictions, seed=2, resamples=100)
    perfect = intervals(truth, [found((A, 0, 0.9), (B, 1, 0.9))] * 30, seed=1, resamples=20)
    assert perfect["mAP"] == (pytest.approx(1), pytest.approx(1))


def random_case(seed, images=12):
    """A pool with crowds, an empty image, a class without objects and one only of crowds; predictions full of ties."""
    rng = np.random.default_rng(seed)
    truth, predictions = [[]], [found((A, 0, 0.5), (A, 2, 0.5))]
    for _ in range(1, images):
        corners = rng.integers(0, 60, (rng.integers(0, 7), 2))
        boxes = [
            [x, y, x + w, y + h] for (x, y), (w, h) in zip(corners, rng.integers(8, 40, corners.shape), strict=True)
        ]
        labels = rng.choice([0, 1, 3], len(boxes))
        truth.append([(box, k, k == 3 or rng.random() < 0.2) for box, k in zip(boxes, labels, strict=True)])
        seen = [
            (boxes[k] + np.tile(rng.integers(-2, 3, 2), 2), labels[k] if rng.random() < 0.7 else rng.integers(0, 4))
            for k in rng.integers(0, len(boxes), 2 * len(boxes))
        ]
        image = found(*[(box, label, rng.integers(1, 5) / 4) for box, label in [*seen, (C, 0)]])
        predictions.append(image if rng.random() < 0.5 else in_order(image))
    return pool_of(*truth, classes=("a", "b", "absent", "crowded")), predictions


NAMES = ("mAP", "AP50", "AP75", "mAR")


def _means_of(metrics):
    return {name: metrics[name] for name in NAMES}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [100, 2])
def test_counting_matches_anew_is_what_pycocotools_does(seed, most):
    """On the whole pool and on lists of its images, some of them several times, in any order, ties and all."""
    pool, predictions = random_case(seed)
    matches = module._matches(module._evaluate(pool, predictions, most), len(pool))
    rng = np.random.default_rng(seed)
    every = np.arange(len(pool))
    for images in (every, every[::-1], *(rng.integers(len(pool), size=len(pool)) for _ in range(8))):
        expected = score(pool.select(images.tolist()), [predictions[i] for i in images], most).metrics
        assert module._resampled(matches, images) == pytest.approx(_means_of(expected), abs=1e-12)


def test_images_without_an_object_score_0():
    pool, predictions = random_case(0)
    matches = module._matches(module._evaluate(pool, predictions, 100), len(pool))
    assert module._resampled(matches, np.array([0, 0])) == dict.fromkeys(NAMES, 0.0)


def test_every_resample_is_scored_with_the_same_images_for_every_model():
    pool, predictions = random_case(1)
    draws = bootstrap(pool, predictions, seed=3, resamples=5)
    rng = seeds.generator(3, "bootstrap")
    drawn = [rng.integers(len(pool), size=len(pool)).tolist() for _ in range(5)]
    scores = [score(pool.select(images), [predictions[i] for i in images]).metrics["mAP"] for images in drawn]
    expected = np.array(scores) - np.mean(scores) + score(pool, predictions).metrics["mAP"]
    assert draws["mAP"] == pytest.approx(expected, abs=1e-12)
    assert {name: values.shape for name, values in draws.items()} == dict.fromkeys(NAMES, (5,))


def test_what_is_hard_for_two_models_cancels_in_their_difference():
    """One model misses what the other misses, and one object more: their draws rise and fall together."""
    rng = np.random.default_rng(0)
    truth = pool_of(*[[(A, 0), (B, 1)] for _ in range(40)])
    better = [found(*[(box, k, 0.9) for box, k in ((A, 0), (B, 1)) if rng.random() < 0.5]) for _ in range(40)]
    worse = [found(), *better[1:]] if len(better[0].scores) else [*better[:-1], found()]
    one, two = (bootstrap(truth, predictions, seed=1, resamples=200)["mAP"] for predictions in (better, worse))
    assert (one - two).std() < 0.5 * one.std()
    other = bootstrap(truth, worse, seed=2, resamples=200)["mAP"]
    assert (one - other).std() > one.std()


def test_draws_are_centred_on_the_score():
    """Precision is a maximum, which the noise of a resample only raises: unshifted, the draws would lie too high."""
    rng = np.random.default_rng(0)
    pool = pool_of(*[[(A, k % 5)] for k in range(50)], classes=tuple("abcde"))
    predictions = [found((A if rng.random() < 0.5 else C, k % 5, rng.random())) for k in range(50)]
    value = _means_of(score(pool, predictions).metrics)
    draws = bootstrap(pool, predictions, seed=1, resamples=100)
    assert {name: values.mean() for name, values in draws.items()} == pytest.approx(value)
    matches = module._matches(module._evaluate(pool, predictions, 100), len(pool))
    raw = [module._resampled(matches, rng.integers(len(pool), size=len(pool)))["mAP"] for _ in range(300)]
    assert np.mean(raw) > value["mAP"] + 5 * np.std(raw) / np.sqrt(300)


def test_intervals_stay_within_what_a_score_can_be():
    poor = [found((A, 0, 0.9)), *[found((C, 0, 0.9))] * 9]
    bounds = intervals(pool_of(*[[(A, 0)]] * 10), poor, seed=0, resamples=100)
    assert all(0 <= low <= high <= 1 for low, high in bounds.values())


def test_cocos_own_figures_are_reproduced(shared):
    """The oracle of cocoapi: AP .505, AP50 .697, AP75 .573, AR100 .595 on 100 images of val2014."""
    folder = shared("data/coco_metric_oracle")
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    categories = sorted(category["id"] for category in truth["categories"])
    images = sorted(image["id"] for image in truth["images"])
    boxes, predictions = [], []
    for image in images:
        own = [a for a in truth["annotations"] if a["image_id"] == image]
        xywh = np.array([a["bbox"] for a in own], np.float64).reshape(-1, 4)
        boxes.append(
            Boxes.of(
                np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
                [categories.index(a["category_id"]) for a in own],
                crowd=[a["iscrowd"] for a in own],
            )
        )
        seen = [r for r in results if r["image_id"] == image]
        predictions.append(
            found(
                *[
                    ([x, y, x + w, y + h], categories.index(r["category_id"]), r["score"])
                    for r in seen
                    for x, y, w, h in [r["bbox"]]
                ]
            )
        )
    pool = Pool.of(
        "coco",
        tuple(map(str, categories)),
        [np.zeros((1, 1, 3), np.uint8)] * len(images),
        boxes,
        list(map(str, images)),
    )
    metrics = score(pool, predictions).metrics
    expected = {"mAP": 0.505, "AP50": 0.697, "AP75": 0.573, "mAR": 0.595}
    assert {name: round(metrics[name], 3) for name in expected} == expected
