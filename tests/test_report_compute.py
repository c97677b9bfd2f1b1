"""How long trials trained: what rungs told, never interruptions or waiting under the name of
training.
"""

from dataclasses import replace

import pytest

from syndet_ray.analysis.compute import training_s
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.report.words import compute
from syndet_ray.runs.results import Rung, Trial


def trial(number, rates, ended=7200.0):
    metrics = [
        {"val/mAP": 0.1} | ({} if rate is None else {"images_per_second": rate}) for rate in rates
    ]
    rungs = tuple(Rung(3600 * k, found) for k, found in enumerate(metrics, 1))
    return Trial(
        number=number,
        role="search",
        params={},
        recipe=Recipe(),
        rungs=rungs,
        started=0.0,
        ended=ended,
    )


def test_training_is_what_the_rates_of_its_rungs_say():
    assert training_s(trial(0, (2.0, 1.0))) == pytest.approx(1800 + 3600)
    assert training_s(trial(0, (2.0, None))) is None
    assert training_s(trial(0, ())) is None


def test_interruptions_and_waiting_are_no_training():
    waited = [trial(0, (1.0,), ended=1e6), trial(1, (1.0,), ended=None), trial(2, (), ended=5e5)]
    assert (
        compute(waited, 0)
        == "2 h 0 min of training in 2 trials, no GPU (without evaluation and waiting)"
    )
    assert compute(waited, 0.5).endswith(
        "in 2 trials, 1 GPU-hours (without evaluation and waiting)"
    )


def test_a_run_that_kept_no_rates_is_told_from_start_to_end_of_what_ended():
    old = [trial(0, (None,)), trial(1, (None,), ended=None)]
    assert compute(old, 0) == "2 h 0 min from start to end in 1 trial, no GPU (waiting included)"
    assert compute([], 1) == ""


def test_a_short_training_is_told_in_seconds():
    short = [replace(trial(0, (1000.0,)), ended=1.0)]
    assert compute(short, 0).startswith("4 s of training in 1 trial, no GPU")
    assert "1 trial, < 0.01 GPU-hours" in compute(short, 1)
