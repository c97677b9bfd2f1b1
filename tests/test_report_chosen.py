"""Which recipes figures show where there are many: one choice for all of them, and one that readers
are told.
"""

import re

import pytest
from made_runs import TRIALS, examine, made_run, made_scores

from syndet_ray.analysis import chosen, obstruction
from syndet_ray.analysis.chosen import best_and_others, chosen_lines, even_sample
from syndet_ray.analysis.tables import test_lines as all_lines
from syndet_ray.report import page, words
from syndet_ray.report.figures import comparisons, importance, learning, mistakes, responses
from syndet_ray.report.figures.plot import specification

MANY = [("search", 40, 0.4, 0.002, (0.30 + k / 100,), "COMPLETE", "") for k in range(6)]
KEPT = ["best recipe", "real only", "synthetic only", "recipe of trial 11", "recipe of trial 12"]


@pytest.fixture
def run():
    """A run with nine recipes on its test set: trial 2, both controls, and the trials 7 to 12, the
    last best on validation.
    """
    run = made_run((*TRIALS, *MANY))
    roles = [
        "best",
        *(f"finalist {number}" for number in range(7, 13)),
        "real_only",
        "synthetic_only",
    ]
    run.write_test(made_scores(dict.fromkeys(roles, (0.3, 0.2, 0.4))))
    return examine(run)


def test_the_best_and_the_controls_are_shown_and_then_what_validation_put_first(run):
    assert sorted(line.name for line in chosen_lines(run.read())) == sorted(KEPT)


def test_every_figure_shows_the_same_recipes(run):
    assert {row[0] for row in mistakes.error_kinds(run.read()).rows} == set(KEPT)
    assert {place.recipe for place in obstruction.bin_scores(run.read(), "AP_visible")} == set(KEPT)
    roles = {"best", "real_only", "synthetic_only", "finalist 11", "finalist 12"}
    assert {row[0] for row in comparisons.test_scores(run.read()).rows} == roles


def test_readers_are_told_of_a_choice_and_of_none_where_there_was_none(run, tmp_path):
    lines = all_lines(run.test(), run.trials())
    told = words.shown_recipes(len(lines))
    assert (
        told == "5 of 9 recipes: the best, the controls, then those with the best validation mAP."
    )
    assert words.shown_recipes(len(lines[:5])) == ""
    html = page.write(run.read(), run.write(tmp_path / "run")).read_text()
    captions = re.findall("<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert sum(told in caption for caption in captions) == 4


def test_an_even_sample_reaches_from_the_first_to_the_last_in_order():
    assert even_sample(range(10), 4) == [0, 3, 6, 9]
    assert even_sample(range(4), 4) == [0, 1, 2, 3]
    assert even_sample([], 4) == []
    sample = even_sample(range(1001), 1000)
    assert (len(sample), sample == sorted(set(sample))) == (1000, True)


def test_of_what_is_drawn_a_third_are_the_best():
    assert best_and_others(range(100), 9) == [0, 1, 2, 3, 22, 41, 61, 80, 99]
    assert best_and_others(range(5), 9) == list(range(5))
    assert best_and_others(range(9), 9) == list(range(9))
    assert len(best_and_others(range(1000), 9)) == 9


@pytest.fixture
def many(monkeypatch):
    """A search of 40 trials, of which figures draw 9; the trials of higher numbers are better, and
    both controls are worse.
    """
    monkeypatch.setattr(chosen, "MOST_LINES", 9)
    for module in (importance, learning):
        monkeypatch.setattr(module, "MOST_LINES", 9)
    monkeypatch.setattr(responses, "MOST_MARKS", 9)
    searched = [
        ("search", 10, (k + 1) / 41, 0.001, (0.1 + k / 100, 0.3 + k / 100), "COMPLETE", "")
        for k in range(40)
    ]
    return made_run((*TRIALS[:2], *searched))


def trials_in(spec, name):
    """The trials in those data of a specification that have a column."""
    return {row["trial"] for rows in spec["datasets"].values() for row in rows if name in row}


def test_of_many_trials_some_are_drawn_and_all_are_in_the_numbers(many):
    lines, curves = (
        importance.parallel_coordinates(many.read()),
        learning.learning_curves(many.read()),
    )
    marks = responses.responses(many.read())["response_mix_synthetic"]
    assert len(lines.rows) == 40
    assert {row[0] for row in curves.rows} == set(range(42))
    assert sum(row[0] in ("searched", "best recipe") for row in marks.rows) == 40
    drawn = trials_in(specification(lines.figure), "position_0")
    assert (len(drawn), {41, 40, 39, 2} <= drawn) == (9, True)
    drawn = trials_in(specification(curves.figure), "what")
    assert {0, 1, 41, 40, 39, 38, 2} <= drawn, "controls and the best recipe beside nine others"
    assert len(drawn) == 2 + 1 + 9
    drawn = trials_in(specification(marks.figure), "what")
    assert (len(drawn), {41, 2} <= drawn) == (9, True)


def test_readers_are_told_that_some_trials_are_drawn(many):
    content = page.content(many.read())
    sample = "the best 3, and an even sample of the others."
    assert content["lines_shown"] == f"9 of 40 trials of the search are shown: {sample}"
    assert content["curves_shown"] == f"10 of 40 trials of the search are shown: {sample}", (
        "the best recipe's beside nine"
    )
    caption = next(
        caption for key, _, caption in content["responses"] if key == "response_mix_synthetic"
    )
    assert (
        "9 of 40 trials are shown: an even sample by score. The trials differ in the other varied"
        in caption
    )
    few = page.content(made_run().read())
    assert (few["lines_shown"], few["curves_shown"]) == ("", "")
    assert not any("are shown" in caption for _, _, caption in few["responses"])
