"""Bootstrap: a resample is scored as pycocotools would score its images."""

import numpy as np
import pytest
from made_detections import A, B, C, found, pool_of, random_case

from syndet_ray import seeds
from syndet_ray.detection.bootstrap import (
    accuracy,
    bootstrap,
    draws,
    intervals,
    main_metrics,
    matches,
)
from syndet_ray.detection.score import coco, score


def test_intervals_hold_the_score_and_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    truth = pool_of(*[[(A, 0), (B, 1)] for _ in range(30)])
    predictions = [
        found((A, 0, rng.random()), (B if rng.random() < 0.5 else C, 1, rng.random()))
        for _ in range(30)
    ]
    bounds = intervals(truth, predictions, seed=1, resamples=100)
    value = score(truth, predictions).metrics["mAP"]
    assert bounds["mAP"][0] < value < bounds["mAP"][1]
    assert bounds == intervals(truth, predictions, seed=1, resamples=100)
    assert bounds != intervals(truth, predictions, seed=2, resamples=100)
    perfect = intervals(truth, [found((A, 0, 0.9), (B, 1, 0.9))] * 30, seed=1, resamples=20)
    assert perfect["mAP"] == (pytest.approx(1), pytest.approx(1))


NAMES = ("mAP", "AP50", "AP75", "mAR")


def _means_of(metrics):
    return {name: metrics[name] for name in NAMES}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [100, 2])
def test_counting_matches_again_is_what_pycocotools_does(seed, most):
    """On the whole pool and on lists of its images, some of them several times, in any order, ties
    and all.
    """
    pool, predictions = random_case(seed)
    made = matches([coco(pool, predictions, most)], len(pool))
    rng = np.random.default_rng(seed)
    every = np.arange(len(pool))
    for images in (
        every,
        every[::-1],
        *(rng.integers(len(pool), size=len(pool)) for _ in range(8)),
    ):
        expected = score(
            pool.select(images.tolist()), [predictions[i] for i in images], most
        ).metrics
        assert main_metrics(accuracy(made, images)) == pytest.approx(_means_of(expected), abs=1e-12)


def test_one_image_tells_nothing_of_others():
    """Its draws are all the score, of which no interval is made: it would seem to be certain."""
    pool, predictions = pool_of([(A, 0), (B, 0)]), [found((A, 0, 0.9))]
    value = score(pool, predictions).metrics["mAP"]
    assert bootstrap(pool, predictions, seed=0, resamples=5)["mAP"].tolist() == pytest.approx(
        [value] * 5
    )
    assert intervals(pool, predictions, seed=0, resamples=5) == {}


@pytest.mark.parametrize(("images", "enough"), [(9, False), (10, True)])
def test_fewer_than_ten_images_make_no_interval(images, enough):
    pool, predictions = pool_of(*[[(A, 0)]] * images), [found((A, 0, 0.9))] * images
    assert bool(intervals(pool, predictions, seed=0, resamples=5)) == enough


def test_images_without_an_object_score_0():
    pool, predictions = random_case(0)
    made = matches([coco(pool, predictions, 100)], len(pool))
    assert main_metrics(accuracy(made, np.array([0, 0]))) == dict.fromkeys(NAMES, 0.0)


def test_every_resample_is_scored_with_the_same_images_for_every_model():
    pool, predictions = random_case(1)
    draws = bootstrap(pool, predictions, seed=3, resamples=5)
    rng = seeds.generator(3, "bootstrap")
    drawn = [rng.permutation(len(pool))[: len(pool) // 2].tolist() for _ in range(5)]
    scores = [
        score(pool.select(images), [predictions[i] for i in images]).metrics["mAP"]
        for images in drawn
    ]
    expected = np.array(scores) - np.mean(scores) + score(pool, predictions).metrics["mAP"]
    assert draws["mAP"] == pytest.approx(expected, abs=1e-12)
    assert {name: values.shape for name, values in draws.items()} == dict.fromkeys(NAMES, (5,))


def test_a_half_that_comes_again_is_not_scored_again():
    pool, predictions = random_case(1)
    three = matches([coco(pool.select([0, 1, 2]), predictions[:3], 100)], 3)
    seen = []

    def metrics(accuracy):
        seen.append(accuracy)
        return main_metrics(accuracy)

    drawn = draws(three, metrics, seed=0, resamples=50)
    assert len(seen) == 1 + 3, "of all images, and of each alone"
    assert drawn["mAP"].shape == (50,)


def test_what_is_hard_for_two_models_cancels_in_their_difference():
    """One model misses what the other misses, and one object more: their draws rise and fall
    together.
    """
    rng = np.random.default_rng(0)
    truth = pool_of(*[[(A, 0), (B, 1)] for _ in range(40)])
    better = [
        found(*[(box, k, 0.9) for box, k in ((A, 0), (B, 1)) if rng.random() < 0.5])
        for _ in range(40)
    ]
    worse = [found(), *better[1:]] if len(better[0].scores) else [*better[:-1], found()]
    one, two = (
        bootstrap(truth, predictions, seed=1, resamples=200)["mAP"]
        for predictions in (better, worse)
    )
    assert (one - two).std() < 0.5 * one.std()
    other = bootstrap(truth, worse, seed=2, resamples=200)["mAP"]
    assert (one - other).std() > one.std()


def test_draws_are_centred_on_the_score():
    """Precision is a maximum, which the noise of a resample only raises: unshifted, the draws would
    lie too high.
    """
    rng = np.random.default_rng(0)
    pool = pool_of(*[[(A, k % 5)] for k in range(50)], classes=tuple("abcde"))
    predictions = [found((A if rng.random() < 0.5 else C, k % 5, rng.random())) for k in range(50)]
    value = _means_of(score(pool, predictions).metrics)
    draws = bootstrap(pool, predictions, seed=1, resamples=100)
    assert {name: values.mean() for name, values in draws.items()} == pytest.approx(value)
    made = matches([coco(pool, predictions, 100)], len(pool))
    raw = [
        main_metrics(accuracy(made, rng.integers(len(pool), size=len(pool))))["mAP"]
        for _ in range(300)
    ]
    assert np.mean(raw) > value["mAP"] + 5 * np.std(raw) / np.sqrt(300)


def test_intervals_stay_within_what_a_score_can_be():
    poor = [found((A, 0, 0.9)), *[found((C, 0, 0.9))] * 9]
    bounds = intervals(pool_of(*[[(A, 0)]] * 10), poor, seed=0, resamples=100)
    assert all(0 <= low <= high <= 1 for low, high in bounds.values())
