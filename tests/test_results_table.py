"""The table of test scores at the end of a run: what it shows, and that no number is cut."""

import io
from dataclasses import replace

import pytest
from made_runs import confirmed_run, run_of_zeros
from rich.console import Console

from syndet_ray.cli import results_table, terminal
from syndet_ray.runs.results import TestRow, TestScores
from syndet_ray.spread import Difference


@pytest.mark.parametrize(("stand_in", "said"), [(True, "stand-in images"), (False, "real photos")])
def test_the_table_says_what_the_scores_were_measured_on(stand_in, said):
    metrics = dict.fromkeys(("mAP", "AP50", "AP75", "mAR"), 0.25)
    rows = (
        TestRow(key="best", trial=2, metrics=metrics, intervals={"mAP": (0.2, 0.3)}),
        TestRow(key="real_only", trial=0, metrics=metrics, intervals={}),
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(
        results_table.test_table(
            TestScores(
                source="x", stand_in=stand_in, hash="hash", images=50, opened=0.0, rows=rows
            ),
            100,
            (),
        )
    )
    text = console.file.getvalue()
    assert f"50 {said}, opened once" in text
    assert "real only" in text
    assert "0.250 [0.20, 0.30]" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("stand_in", "said"), [(True, "1 stand-in image,"), (False, "1 real photo,")]
)
def test_one_photo_is_one_and_makes_no_interval(stand_in, said):
    rows = (
        TestRow(key="best", trial=2, metrics=METRICS, intervals={}),
        TestRow(key="real_only", trial=0, metrics=METRICS, intervals={}),
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(
        results_table.test_table(
            TestScores(source="x", stand_in=stand_in, hash="hash", images=1, opened=0.0, rows=rows),
            100,
            (),
        )
    )
    text = " ".join(console.file.getvalue().split())
    assert (
        f"({said} opened once; from one training of each recipe, too few images for intervals)"
        in text
    )
    assert "[" not in text


def test_a_best_that_is_a_control_stands_there_once():
    metrics = dict.fromkeys(("mAP", "AP50", "AP75", "mAR"), 0.25)
    rows = tuple(
        TestRow(key=role, trial=trial, metrics=metrics, intervals={})
        for role, trial in (("best", 0), ("real_only", 0), ("no blur", 1))
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(
        results_table.test_table(
            TestScores(source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=rows),
            100,
            (),
        )
    )
    lines = [line.split() for line in console.file.getvalue().splitlines() if "0.250" in line]
    assert [line[:3] for line in lines] == [["real", "only", "(best)"], ["no", "blur", "1"]]


METRICS = dict.fromkeys(("mAP", "AP50", "AP75", "mAR"), 0.25)


INTERVALS = {"mAP": (-0.01, 0.3), "AP50": (0.2, 0.3)}


def printed(*rows, **changed):
    console = Console(file=io.StringIO(), width=100)
    console.print(
        results_table.test_table(
            TestScores(
                source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=rows, **changed
            ),
            100,
            (),
        )
    )
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    return text


def test_confirmed_recipes_are_compared_with_real_only_in_a_hundred_columns():
    above, below = (
        Difference(mean=0.06, low=0.031, high=0.09, probability=0.999),
        Difference(mean=-0.02, low=-0.05, high=-0.0004, probability=0.02),
    )
    text = printed(
        TestRow(
            key="best",
            trial=12,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(20, 21, 22),
            seeds=(0.2, 0.3, 0.25),
            p_best=0.996,
            differences={"real_only": above},
        ),
        TestRow(
            key="real_only",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(23, 24),
            seeds=(0.2, 0.3),
            p_best=0.003,
        ),
        TestRow(
            key="finalist 7",
            trial=7,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(25, 26, 27),
            seeds=(0.2, 0.2, 0.2),
            p_best=0.001,
            differences={"real_only": below},
        ),
    )
    assert "50 real photos, opened once; means of 2 to 3 seeds" in text
    lines = {
        line.split()[0]: " ".join(line.split()) for line in text.splitlines() if "0.250" in line
    }
    assert (
        lines["best"]
        == "best 12 0.250 [0.00, 0.30] 0.250 [0.20, 0.30] > 0.99 +0.060 [0.031, 0.090]"
    )
    assert lines["real"] == "real only 0 0.250 [0.00, 0.30] 0.250 [0.20, 0.30] < 0.01"
    assert lines["trial"].endswith("< 0.01 -0.020 [-0.050, 0.000]")


@pytest.mark.parametrize("width", [80, 120])
def test_a_finalist_is_reported_by_what_the_search_varied(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    run = confirmed_run()
    console = terminal.console()
    console.print(results_table.test_table(run.test(), console.width, run.trials()))
    terminal.print_lines(console, results_table.recipe_lines(run.test(), run.trials()))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("trial 2 2 0.270") for line in lines)
    assert lines[-2:] == [
        "trial 3 70 % synthetic at 40 objects per scene, learning rate 0.001",
        "trial 2 40 % synthetic at 40 objects per scene, learning rate 0.002",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_single_trainings_are_not_distinguished(width):
    """Over images alone a recipe may be above another one without doubt, and with the next seed
    below it.
    """
    above = {"real_only": Difference(mean=0.003, low=0.0004, high=0.007, probability=0.96)}
    rows = (
        TestRow(
            key="best",
            trial=2,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(4,),
            seeds=(0.25,),
            p_best=0.96,
            differences=above,
        ),
        TestRow(
            key="real_only",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(3,),
            seeds=(0.25,),
            p_best=0.04,
        ),
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(
        results_table.test_table(
            TestScores(source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=rows),
            width,
            (),
        )
    )
    text = " ".join(console.file.getvalue().split())
    assert (
        "50 real photos, opened once; from one training of each recipe: intervals over images alone)"
        in text
    )
    assert "P(best)" not in text
    assert "above" not in text
    assert "0.96" not in text


def test_single_variants_have_their_differences_and_no_probability():
    below = {"full": Difference(mean=-0.12, low=-0.15, high=-0.09, probability=0.001)}
    text = printed(
        TestRow(
            key="best",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(0,),
            seeds=(0.2,),
            p_best=0.996,
        ),
        TestRow(
            key="full",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(0,),
            seeds=(0.2,),
            p_best=0.996,
        ),
        TestRow(
            key="no blur",
            trial=1,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(1,),
            seeds=(0.2,),
            p_best=0.001,
            differences=below,
        ),
    )
    assert "-0.120 [-0.150, -0.090]" in text
    assert "P(best)" not in text


def test_variants_are_compared_with_the_first_in_a_hundred_columns():
    below = {"full": Difference(mean=-0.12, low=-0.15, high=-0.09, probability=0.001)}
    name = "no light colour nor anything else that can be had"
    text = printed(
        TestRow(
            key="best",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(0, 3),
            seeds=(0.2, 0.3),
            p_best=0.996,
        ),
        TestRow(
            key="full",
            trial=0,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(0, 3),
            seeds=(0.2, 0.3),
            p_best=0.996,
        ),
        TestRow(
            key=name,
            trial=1,
            metrics=METRICS,
            intervals=INTERVALS,
            models=(1,),
            seeds=(0.2,),
            p_best=0.001,
            differences=below,
        ),
    )
    lines = [" ".join(line.split()) for line in text.splitlines() if "0.250" in line]
    assert "above full" in text
    assert lines[0] == "full (best) 0 0.250 [0.00, 0.30] 2 > 0.99"
    assert lines[1].endswith("1 0.250 [0.00, 0.30] 1 < 0.01 -0.120 [-0.150, -0.090]")
    assert len(lines) == 2


LONG = (
    "real only",
    *(f"{how}, {share} % of real" for how in ("staged", "mixed") for share in (5, 10, 25, 50, 100)),
)


WORDLESS = "a-name-of-many-letters-and-no-space-that-would-be-wider-than-half-of-any-screen"


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("against", ["real only", "real_only", None])
def test_no_number_is_cut_however_long_names_are(width, against):
    gap = (
        {}
        if against is None
        else {against: Difference(mean=-0.12, low=-0.15, high=-0.09, probability=0.001)}
    )
    names = (
        [*LONG, WORDLESS]
        if against == "real only"
        else ["real_only", "synthetic_only", "finalist 7"]
    )
    rows = [
        TestRow(
            key="best",
            trial=112,
            metrics=METRICS,
            intervals=INTERVALS | {"AP75": (0.2, 0.3)},
            models=(0, 3),
            seeds=(0.2, 0.3),
            p_best=0.996,
            differences=gap,
        )
    ]
    rows += [replace(rows[0], key=name, trial=k, p_best=0.001) for k, name in enumerate(names)]
    console = Console(file=io.StringIO(), width=width)
    console.print(
        results_table.test_table(
            TestScores(
                source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=tuple(rows)
            ),
            width,
            (),
        )
    )
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.count("0.250 [0.00, 0.30]") == len(rows)
    assert text.count("-0.120 [-0.150, -0.090]") == (0 if against is None else len(rows))
    begun = ("best", "real", "synthetic", "trial", "staged", "mixed", WORDLESS[:9])
    assert sum(line.strip().startswith(begun) for line in text.splitlines()) >= len(rows)


def test_a_test_set_that_was_opened_again_is_said_to_be():
    text = printed(TestRow(key="best", trial=1, metrics=METRICS, intervals={}), openings=3)
    assert "50 real photos, opened 3 times;" in " ".join(text.split())


@pytest.mark.parametrize("name", ["mix [old]", "[/x]", "[red]", ":dog:"])
def test_names_are_printed_as_they_are(name, capsys):
    gaps = {name: Difference(mean=-0.12, low=-0.15, high=-0.09, probability=0.001)}
    rows = (
        TestRow(key="best", trial=0, metrics=METRICS, intervals={}),
        TestRow(key=name, trial=0, metrics=METRICS, intervals={}),
        TestRow(
            key="b",
            trial=1,
            metrics=METRICS,
            intervals={},
            models=(),
            seeds=(),
            p_best=0.1,
            differences=gaps,
        ),
    )
    console = terminal.console()
    console.print(
        results_table.test_table(
            TestScores(source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=rows),
            100,
            (),
        )
    )
    said = capsys.readouterr().out
    assert f"\n {name} (best)" in said or f"\n{name} (best)" in said
    assert f"above {name}" in said
    console.print(f"{name} again", style="bold")
    assert capsys.readouterr().out == f"{name} again\n"


def test_the_winner_by_validation_is_bold_whatever_the_test_set_says():
    rows = (
        TestRow(key="best", trial=1, metrics=METRICS, intervals={}),
        TestRow(key="real_only", trial=0, metrics=METRICS | {"mAP": 0.9}, intervals={}),
    )
    table = results_table.test_table(
        TestScores(source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=rows),
        100,
        (),
    )
    assert [row.style for row in table.rows] == ["bold", ""]


@pytest.mark.parametrize("best", [3, 0], ids=["a searched recipe", "a control"])
def test_no_row_is_the_winner_where_all_scores_are_0(best):
    run = run_of_zeros()
    test = run.test()
    rows = (replace(test.rows[0], trial=best), *test.rows[1:])
    table = results_table.test_table(replace(test, rows=rows), 100, run.trials())
    assert {row.style for row in table.rows} == {""}
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    text = console.file.getvalue()
    assert text.count("best") == 1, "in the name of a column"
    assert "0.25" not in text, "P(best) says nothing either"
