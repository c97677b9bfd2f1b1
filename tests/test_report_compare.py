"""Runs that met the same test set, side by side."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import ABOUT, SWEEP, VARIANTS, confirmed_run, diverge, made_run, variant_run
from rich.console import Console

from syndet_ray import cli
from syndet_ray.analysis.compare import compare
from syndet_ray.cli import comparison_tables, listing
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.report import compare_page
from syndet_ray.report.comparison import sentences


def compared(runs):
    return compare([run.read() for run in runs])


_SHARED = np.random.default_rng(5).normal(0, 0.03, 400)  # what other images do to every model alike


def with_draws(run, shift=0.0, seed=1, size=400):
    """Gives every model of a run's best recipe draws around its score; what images do is common to
    all runs.
    """
    rng = np.random.default_rng(seed)
    row = run.test().row("best")
    for model, score in zip(row.models, row.seeds, strict=True):
        drawn = score + shift + _SHARED[:size] + rng.normal(0, 0.004, size)
        run.write_draws(model, {"mAP": drawn - drawn.mean() + score + shift})
    return run


@pytest.fixture
def two():
    """Two runs on one test set, the second better by 0.05."""
    changed = SWEEP.replace(
        {"question": "Which rate?", "seed": 3, "recipe": SWEEP.recipe.replace({"scene.blur": 0.25})}
    )
    first = confirmed_run(simplest=0, name="obstruction-20261101-101010")
    second = confirmed_run(sweep=changed, name="rate-20261102-101010")
    return with_draws(first), with_draws(second, shift=0.05, seed=2)


def retested(run, **changed):
    run.write_test(replace(run.test(), **changed))
    return run


def text(found, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(comparison_tables.compare_table(found, width))
    return console.file.getvalue()


def test_recipes_have_their_names_in_eighty_columns_too(two):
    lines = text(compared(two), width=80).splitlines()
    best = [line for line in lines if "best recipe" in line]
    assert len(best) == 2, "whole, on one line"


def test_every_run_shows_its_best_its_simplest_and_its_controls(two):
    first, second = compared(two).runs
    assert [entry.name for entry in first.entries if entry.is_main] == [
        "best recipe",
        "real only (simplest)",
        "synthetic only",
    ]
    assert (first.letter, second.letter) == ("A", "B")
    best = first.best
    assert (best.line.scores["mAP"].value, best.line.scores["mAP"].low) == pytest.approx(
        (0.31, 0.27)
    )
    assert best.line.validation == pytest.approx(0.30)
    assert (len(best.line.seeds), best.images) == (3, 400)
    assert best.seconds is not None
    assert first.images == sum(trial.images for trial in two[0].trials())
    assert [len(run.curves) for run in (first, second)] == [3, 3]


def test_the_bests_are_compared_pair_by_pair_on_the_same_images(two):
    first, second = compared(two).runs
    assert first.above_first is None
    gap = second.above_first
    assert gap.mean == pytest.approx(0.05, abs=1e-9)
    assert 0.02 < gap.low < gap.mean < gap.high < 0.08, "what all images do to both cancels"
    assert second.p_best + first.p_best == pytest.approx(1)
    assert second.p_best > 0.95
    said = sentences(compared(two))
    assert said[0].startswith("B beats A by 0.05 mAP [0.0")
    assert said[0].endswith("on the same 50 real test photos.")


def test_the_order_changes_the_sign_and_not_the_verdict(two):
    (said, *_), (other, *_) = sentences(compared(two)), sentences(compared(two[::-1]))
    assert other.startswith("A beats B by 0.05 mAP [0.0")
    assert compared(two[::-1]).runs[1].above_first.mean == pytest.approx(-0.05)
    assert said.startswith("B beats A by 0.05 mAP [0.0"), "the same run, which now has letter B"


def test_runs_that_differ_by_less_than_chance_cannot_be_told_apart(two):
    same = with_draws(confirmed_run(name="again"), shift=0.001, seed=9)
    (said,) = sentences(compared([two[0], same]))
    assert said.startswith("B and A do not differ significantly on the same 50 real test photos: ")
    assert "[-0.0" in said


def test_runs_in_another_order_differ_by_the_same(two):
    first, second = two
    third = with_draws(confirmed_run(name="third"), shift=-0.06, seed=4)
    there, back = (
        compared([first, second]).runs[1].above_first,
        compared([second, first]).runs[1].above_first,
    )
    mirrored = back.mirrored
    assert (there.mean, there.low, there.high) == pytest.approx(
        (mirrored.mean, mirrored.low, mirrored.high), abs=1e-12
    )
    assert there.probability == pytest.approx(mirrored.probability, abs=1e-12)
    among = compared([first, third, second]).runs[2].above_first
    assert (among.low, among.high) == pytest.approx((there.low, there.high), abs=1e-12)


def test_runs_on_a_handful_of_photos_are_not_compared(two, tmp_path):
    found = compared([retested(run, images=9) for run in two])
    assert [(run.above_first, run.p_best) for run in found.runs] == [(None, None)] * 2
    (said,) = sentences(found)
    assert said.startswith("On the same 9 real test photos: A 0.310 ")
    assert said.endswith("; so few cannot tell recipes apart: that takes 10 or more.")
    page = compare_page.write(found, tmp_path / "few.html").read_text()
    assert "Too few images to compare recipes." in page
    assert "P(best): " not in page and "no paired interval" not in page and "95 %" not in page


@pytest.mark.parametrize("size", [0, 100])
def test_a_run_without_draws_or_with_others_has_no_paired_interval(two, size):
    old = confirmed_run(name="old")
    if size:
        with_draws(old, size=size)
    found = compared([two[0], old])
    assert found.runs[1].above_first is found.runs[1].p_best is None
    (said,) = sentences(found)
    why = "their draws were not made in the same way" if size else "B kept no draws"
    assert said.endswith(f"no paired interval, because {why}.")
    assert "A 0.310 [0.270, 0.350] mAP, B 0.310" in said


def test_three_runs_are_all_compared_with_the_first(two):
    third = with_draws(confirmed_run(name="third"), shift=-0.06, seed=4)
    found = compared([*two, third])
    assert [run.above_first is None for run in found.runs] == [True, False, False]
    assert sum(run.p_best for run in found.runs) == pytest.approx(1)
    assert len(sentences(found)) == 2
    assert "A beats C by 0.06 mAP" in sentences(found)[1]


def test_how_the_runs_differ_is_told(two):
    settings = {setting.name: setting.values for setting in compared(two).settings}
    assert settings["question"] == ("How crowded should <synthetic> scenes be?", "Which rate?")
    assert settings["seed"] == ("0", "3")
    assert settings["scene.blur"][1] == "0.25"
    assert "sampler" not in settings
    assert "train photos" not in settings


def test_runs_of_one_training_say_so():
    scores = {"best": (0.31, 0.27, 0.35), "real_only": (0.29, 0.25, 0.33)}
    runs = [made_run(scores=scores, name=name) for name in ("a", "b")]
    for run in runs:
        with_draws(run)
    found = compared(runs)
    assert (
        "The spread between seeds is unknown, because the score comes from one training: A, B."
        in sentences(found)
    )
    assert [run.p_best for run in found.runs] == [None, None]


def test_variants_that_won_are_called_by_their_names():
    runs = [variant_run(VARIANTS, name=name) for name in ("a", "b")]
    assert compared(runs).runs[0].best.name == "full (best)"


def test_runs_that_are_called_alike_bear_their_folders(two):
    other = with_draws(confirmed_run(name=f"elsewhere/{two[0].path}"))
    assert compared([two[0], other]).runs[1].name == str(other.path)


@pytest.mark.parametrize("count", [0, 1])
def test_one_run_cannot_be_compared(two, count):
    with pytest.raises(DefinitionError, match=f"compare: needs at least two runs, got {count}"):
        compared(two[:count])


def test_a_run_is_not_compared_with_itself(two):
    first, second = (run.read() for run in two)
    again = replace(first, path=Path("elsewhere") / ".." / first.path)
    with pytest.raises(DefinitionError, match="compare: was given the same run twice"):
        compare([first, second, again])


def test_a_run_whose_test_set_is_shut_is_refused(two):
    shut = made_run(name="shut")
    with pytest.raises(DataError, match=r"shut: has no scores on the test set yet.*resume"):
        compared([two[0], shut])


def test_runs_on_different_test_sets_are_refused_by_both_their_hashes(two):
    retested(two[1], hash="fedcba9876543210")
    with pytest.raises(DataError) as caught:
        compared(two)
    assert str(caught.value) == (
        f"{two[1].path}: has test set fedcba987654 and {two[0].path} has 0123456789ab: scores on different test sets "
        "cannot be compared. Compare runs that were given the same `real`."
    )


def test_a_stand_in_and_photos_are_never_mixed(two):
    stand_in = confirmed_run(stand_in=True, name="stand-in")
    with pytest.raises(DataError, match=r"tested on a stand-in and .* on real photos"):
        compared([two[0], stand_in])


def test_stand_ins_are_compared_as_what_they_are():
    runs = [confirmed_run(stand_in=True, name=name) for name in ("a", "b")]
    retested(runs[0], stand_in=True), retested(runs[1], stand_in=True)
    assert any("Stand-in images" in said for said in sentences(compared(runs)))
    assert "stand-in test images" in compared(runs).where


def once(run):
    """The run with its best recipe trained once, by the first of its seeds."""
    test = run.test()
    rows = []
    for row in test.rows:
        only = {"models": row.models[:1], "seeds": row.seeds[:1]} if row.key == "best" else {}
        rows.append(replace(row, **only))
    run.write_test(replace(test, rows=tuple(rows)))
    return run


def test_of_two_bests_that_were_trained_once_neither_beats_the_other(two):
    """Two equal recipes would differ by more than their interval in four of ten comparisons: seeds
    are not in it.
    """
    found = compared([once(run) for run in two])
    assert (found.runs[1].above_first, found.runs[1].p_best) == (None, None)
    said = sentences(found)
    assert said[0].endswith(
        "no paired interval, because each score comes from one training, and with other seeds the order might change."
    )
    assert "beats" not in " ".join(said)


def test_a_training_that_diverged_says_nothing_of_the_seeds_of_other_recipes(two):
    """A third run, of whose trainings one diverged, stands beside two of which one was trained
    once.
    """
    first, second = once(two[0]), two[1]
    third = with_draws(confirmed_run(name="third"), seed=5)
    lost = third.test().row("best").models[-1]
    third.write_draws(lost, {"mAP": np.zeros(400)})
    diverge(third, lost)
    alone, beside = (
        compared(runs).runs[1].above_first for runs in ([first, second], [first, second, third])
    )
    assert beside.mean == alone.mean
    assert beside.high - beside.low < 2 * (alone.high - alone.low), (
        "0 instead of .31 would make it thirty times as wide"
    )


def test_runs_that_let_near_copies_pass_say_so(two):
    real = ABOUT["real"] | {"near_copies": {"test": 2}}
    other = with_draws(confirmed_run(about=ABOUT | {"real": real}, name="copies"))
    statements = sentences(compared([two[0], other]))
    (caveat,) = [statement for statement in statements if "allow_near_copies" in statement]
    assert caveat.startswith("B: 2 of 50 test photos look like photos of another split")


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_keeps_its_numbers_in_few_columns(two, width):
    variants = {"no light colour and " * 3: ({}, (0.3, 0.31))}
    third = retested(variant_run(variants, name="v"), hash=two[0].test().hash)
    found = compared([*two, with_draws(third)])
    lines = text(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text(found, width)
    assert "+0.050 [+0.0" in text(found, width)
    assert text(found, width).count("0.31 [0.27, 0.35]") == 2


def test_the_best_of_each_run_is_bold(two):
    found = compared(two)
    told = [entry for run in found.runs for entry in run.entries if entry.is_main]
    assert [row.style for row in comparison_tables.compare_table(found).rows] == [
        "bold" if e.line.best else "" for e in told
    ]


def test_the_names_in_figures_are_those_of_runs_and_recipes(two):
    found = compared(two)
    names = comparison_tables.comparison_names(found)
    assert {"real only", *(run.path.name for run in two)} <= set(names)
    assert len(names) == len(found.runs) + sum(len(run.entries) for run in found.runs)


def test_the_names_in_a_report_are_those_of_classes_and_variants():
    run = variant_run({"赤": ({}, (0.3, 0.31))})
    run.describe(run.about | {"classes": ["骰子", "die"]})
    assert listing.report_names(run.read()) == ["骰子", "die", "赤"]


def test_the_page_holds_everything_and_needs_nothing(two, tmp_path):
    path = compare_page.write(compared(two), tmp_path / "compare.html")
    page = path.read_text()
    assert "B beats A by 0.05 mAP" in page
    assert "How crowded should &lt;synthetic&gt; scenes be?" in page
    assert page.count("data:image/png;base64,") == 2
    assert 'src="http' not in page
    assert [item.name for item in tmp_path.iterdir()] == ["compare.html"]


def test_the_figures_have_every_recipe_and_every_training(two):
    found = compared(two)
    figures = compare_page.figures(found)
    assert len(figures["scores"].rows) == sum(len(run.entries) for run in found.runs) == 8
    assert {row[0] for row in figures["curves"].rows} == {
        f"A  {two[0].path.name}",
        f"B  {two[1].path.name}",
    }
    assert len({row[:2] for row in figures["curves"].rows}) == 6


def test_the_verb_prints_the_table_the_sentence_and_the_page(two, tmp_path, capsys, monkeypatch):
    folders = [run.write(tmp_path / run.path) for run in two]
    paths = [str(folder.path) for folder in folders]
    out = tmp_path / "compare.html"
    monkeypatch.setattr(sys, "argv", ["syndet_ray", "compare", *paths, "--out", str(out)])
    with pytest.raises(SystemExit) as done:
        cli.run()
    said = capsys.readouterr().out
    assert done.value.code == 0
    assert "A  obstruction-20261101-101010  19 trials" in said
    assert "question: A How crowded" in said
    assert "B beats A" in said
    assert "2 other tested recipes are in the figure that --out FILE writes." in said
    assert said.endswith(f"\npage     {out}\n")
    assert out.exists()
