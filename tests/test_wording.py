"""Wording: numbers and commands as people read and paste them."""

import shlex
from math import nan
from pathlib import Path

import pytest

from syndet_ray import wording


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, "> 0.99"), (0.97, "= 0.97"), (0.5, "= 0.50"), (0.004, "< 0.01"), (0.0, "< 0.01")],
)
def test_probabilities_are_never_certain(value, expected):
    assert wording.probability(value) == expected


def test_a_number_of_times_is_said_in_words():
    assert [wording.times(count) for count in (1, 2, 3)] == ["once", "twice", "3 times"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.06, "+0.060"), (-0.0604, "-0.060"), (-0.0001, "0.000"), (0.0, "0.000")],
)
def test_a_difference_of_nothing_has_no_sign(value, expected):
    assert wording.signed(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.4, "40 %"), (0.996, "> 99 %"), (1.0, "100 %")],
)
def test_shares_never_round_to_nothing_or_all(value, expected):
    assert wording.percent(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0.000"), (0.3456, "0.346"), (None, "n/a"), (nan, "n/a"), (-1.0, "n/a")],
)
def test_numbers_that_are_none(value, expected):
    assert wording.number(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (86_520, "24 h 2 min")],
)
def test_durations(seconds, expected):
    assert wording.duration(seconds) == expected


@pytest.mark.parametrize("path", ["runs/lr-1", "runs/bob's-1", "a b/$HOME #2", 'q"uote;ls'])
def test_a_command_that_is_shown_can_be_pasted_into_a_shell(path):
    line = wording.command_line("resume", Path(path))
    assert shlex.split(line) == ["python", "-m", "syndet_ray", "resume", path]
    assert line in wording.resume_hint(Path(path))
