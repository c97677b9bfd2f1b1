"""Which recipes figures show where there are many: one choice for all of them, and one that readers are told."""

import re

import pytest
from made_runs import TRIALS, examine, made_run, made_scores

from syndet_ray.report import obstruction, page
from syndet_ray.report.chosen import chosen_lines, chosen_words
from syndet_ray.report.figures import comparisons, mistakes
from syndet_ray.report.tables import test_lines as all_lines

MANY = [("search", 40, 0.4, 0.002, (0.30 + k / 100,), "COMPLETE", "") for k in range(6)]
KEPT = ["best recipe", "real only", "synthetic only", "finalist 11", "finalist 12"]


@pytest.fixture
def folder(tmp_path):
    """A run with nine recipes on its test set: trial 2, both controls, and the trials 7 to 12, the last best on validation."""
    folder = made_run(tmp_path / "run", (*TRIALS, *MANY))
    roles = ["best", *(f"finalist {number}" for number in range(7, 13)), "real_only", "synthetic_only"]
    folder.write_test(made_scores(dict.fromkeys(roles, (0.3, 0.2, 0.4))))
    return examine(folder)


def test_the_best_and_the_controls_are_shown_and_then_what_validation_put_first(folder):
    assert sorted(line.name for line in chosen_lines(folder)) == sorted(KEPT)


def test_every_figure_shows_the_same_recipes(folder):
    assert {row[0] for row in mistakes.error_kinds(folder).rows} == set(KEPT)
    assert {place.recipe for place in obstruction.places(folder, "AP_visible")} == set(KEPT)
    roles = {"best", "real_only", "synthetic_only", "finalist 11", "finalist 12"}
    assert {row[0] for row in comparisons.test_scores(folder).rows} == roles


def test_readers_are_told_of_a_choice_and_of_none_where_there_was_none(folder):
    lines = all_lines(folder.test(), folder.trials())
    told = chosen_words(lines)
    assert told == "5 of 9 recipes: the best, the controls, then those with the best validation mAP."
    assert chosen_words(lines[:5]) == ""
    captions = re.findall("<figcaption>(.*?)</figcaption>", page.write(folder).read_text(), re.DOTALL)
    assert sum(told in caption for caption in captions) == 4
