"""Error kinds: every mistake has one kind, and fixing it gains what it costs."""

import numpy as np
import pytest
from made_detections import A, B, C, found, pool_of, random_case

from syndet_ray.detection.error_kinds import KINDS, confusion, error_kinds, errors, fixed_ap50
from syndet_ray.detection.score import score

NEAR_A = [0, 0, 10, 4]  # IoU .4 with A
BARELY_A = [9, 0, 19, 10]  # IoU 1/19 with A


def kinds_of(truth, *predictions):
    return errors(pool_of(*truth), predictions).kinds.tolist()


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((A, 0, 0.9), "right"),
        ((A, 1, 0.9), "classification"),
        ((NEAR_A, 0, 0.9), "localisation"),
        ((NEAR_A, 1, 0.9), "both"),
        ((BARELY_A, 0, 0.9), "background"),
        ((C, 0, 0.9), "background"),
    ],
)
def test_the_kind_of_one_detection(detection, kind):
    assert kinds_of([[(A, 0)], [(B, 1)]], found(detection), found()) == [kind]


def test_a_second_detection_of_an_object_is_a_duplicate():
    assert kinds_of([[(A, 0)]], found((A, 0, 0.9), (A, 0, 0.8))) == ["right", "duplicate"]


def test_in_an_image_without_objects_all_is_background():
    assert kinds_of([[], [(A, 0)]], found((A, 0, 0.9)), found()) == ["background"]


def test_what_lies_in_a_crowd_is_no_error():
    assert kinds_of([[(A, 0, True), (B, 0)]], found((A, 0, 0.9))) == []


def test_an_object_is_missed_unless_a_wrong_class_or_place_is_about_it():
    truth = pool_of([(A, 0), (B, 0), (C, 1), ([100, 100, 110, 110], 0, True)])
    seen = found((NEAR_A, 0, 0.9), (B, 1, 0.8), (BARELY_A, 0, 0.7))
    assert errors(truth, [seen]).missed.tolist() == [False, False, True, False]


def gains(truth, *predictions):
    """What is not 0, rounded."""
    return {
        name.removeprefix("error/"): round(value, 3)
        for name, value in error_kinds(pool_of(*truth), predictions).items()
        if abs(value) > 1e-9
    }


TWO = [[(A, 0), (B, 0)]]
HALF = round(51 / 101, 3)  # AP of one of two objects, found without a false alarm


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([(A, 0, 0.9), (B, 0, 0.8)], {}),
        ([(A, 0, 0.9), (B, 1, 0.8)], {"classification": 1 - HALF}),
        ([(A, 0, 0.9), ([20, 20, 40, 28], 0, 0.8)], {"localisation": 1 - HALF}),
        ([([20, 20, 40, 28], 1, 0.95), (A, 0, 0.9)], {"missed": 1 - HALF}),
        ([(A, 0, 0.9), (B, 0, 0.8), (A, 0, 0.85)], {"duplicate": round(50 / 101 / 3, 3)}),
        ([(C, 0, 0.95), (A, 0, 0.9), (B, 0, 0.8)], {"background": round(1 / 3, 3)}),
        ([(A, 0, 0.9)], {"missed": 1 - HALF}),
    ],
)
def test_fixing_a_kind_gains_what_it_costs(predictions, expected):
    assert gains(TWO, found(*predictions)) == pytest.approx(expected, abs=0.0011)


def test_a_detection_wrong_in_both_costs_its_own_class():
    truth = [[(A, 0)], [(B, 1)]]
    assert gains(truth, found((NEAR_A, 1, 0.99), (A, 0, 0.9)), found((B, 1, 0.5))) == {"both": 0.25}


def test_of_a_fixed_and_a_right_detection_the_better_stays():
    """Fixing the place of the first makes the second, less sure one a duplicate: both may not
    count.
    """
    truth = pool_of([(A, 0)], [])
    made = errors(truth, [found((NEAR_A, 0, 0.9), (A, 0, 0.5)), found((C, 0, 0.7))])
    assert fixed_ap50(made, ()) == pytest.approx(1 / 3)
    assert fixed_ap50(made, ("localisation",)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_without_errors_ap50_is_1_and_with_all_it_is_the_score(seed):
    pool, predictions = random_case(seed)
    made = errors(pool, predictions)
    assert fixed_ap50(made, ()) == pytest.approx(
        score(pool, predictions).metrics["AP50"], abs=1e-12
    )
    assert fixed_ap50(made, KINDS) == pytest.approx(1)
    assert min(error_kinds(pool, predictions).values()) > -1e-12


def test_a_class_that_is_wholly_missed_is_perfect_when_nothing_is_looked_for():
    made = errors(pool_of([(A, 0), (B, 1)]), [found((A, 0, 0.9))])
    assert (fixed_ap50(made, ()), fixed_ap50(made, ("missed",))) == (
        pytest.approx(0.5),
        pytest.approx(1),
    )
    alarmed = errors(pool_of([(A, 0), (B, 1)]), [found((A, 0, 0.9), (C, 1, 0.9))])
    assert fixed_ap50(alarmed, ("missed",)) == pytest.approx(0.5)


def test_no_predictions_miss_everything():
    assert gains(TWO, found()) == {"missed": 1.0}


def test_a_pool_without_objects_gains_nothing():
    assert gains([[], [(A, 0, True)]], found((A, 0, 0.9)), found()) == {}


def test_confusion_counts_every_object_and_every_false_alarm_once():
    truth = pool_of([(A, 0), (B, 1), (C, 1)])
    table = confusion(
        truth, [found((A, 1, 0.9), (B, 1, 0.8), ([200, 0, 210, 10], 0, 0.7), (C, 1, 0.4))]
    )
    assert table.dtype == np.int64
    assert table.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]


def test_in_confusion_the_surest_chooses_first_and_takes_what_it_overlaps_most():
    close = [0, 0, 10, 8]
    truth = pool_of([(A, 0), (close, 1)])
    table = confusion(truth, [found((A, 0, 0.8), (close, 1, 0.9))])
    assert table.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    both_on_one = confusion(pool_of([(A, 0)]), [found((A, 0, 0.8), (A, 1, 0.9))])
    assert both_on_one.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_in_confusion_crowds_are_neutral():
    table = confusion(pool_of([(A, 0, True)]), [found((A, 0, 0.9), ([2, 2, 6, 6], 1, 0.8))])
    assert table.sum() == 0


def test_confusion_of_nothing_is_all_missed():
    assert confusion(pool_of(*TWO), [found()]).tolist() == [[0, 0, 2], [0, 0, 0], [0, 0, 0]]
    assert confusion(pool_of([]), [found()]).sum() == 0
