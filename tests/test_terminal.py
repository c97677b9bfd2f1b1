"""The terminal: what a person sees of a search, live or as plain lines."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from syndet_ray import terminal
from syndet_ray.results import OBJECTIVE, Rung, TestRow, TestScores, Trial

RECIPE = {"mix.synthetic": 0.4}
TRIALS = [
    Trial(0, "real_only", {}, RECIPE, "COMPLETE", "all 100 images seen", (Rung(100, {OBJECTIVE: 0.31}),)),
    Trial(
        1,
        "search",
        {"mix.synthetic": 0.4, "scene.objects": 40},
        RECIPE,
        "PRUNED",
        "median pruner",
        (Rung(50, {OBJECTIVE: 0.1}),),
    ),
    Trial(2, "search", {"mix.synthetic": 0.7, "scene.objects": 10}, RECIPE, rungs=(Rung(25, {OBJECTIVE: 0.2}),)),
    Trial(3, "search", {"mix.synthetic": 0.1, "scene.objects": 70}, RECIPE, "FAILED", "it broke"),
]


def drawn(display_of):
    """What a live display of these trials shows at its end, as text."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    display = terminal.display(console)
    assert isinstance(display, terminal.Bar)
    display_of(display)
    with console.capture() as capture:
        console.print(display._draw())
    display.end()
    return capture.get()


def test_the_live_display_shows_trials_best_and_time():
    def search(display):
        display.begin(6, 100)
        for trial in TRIALS:
            display.trial(trial)

    text = drawn(search)
    assert "3/6 trials · 1 pruned · 1 failed" in text
    assert "left" in text
    assert "best so far  val/mAP 0.310  trial 0: real only (control)" in text
    assert "25/100" in text
    assert "synthetic 0.7, objects 10" in text
    assert max(map(len, text.splitlines())) <= 100


def test_it_shows_what_is_going_on_before_there_are_trials():
    assert "3/9" in drawn(lambda display: display.progress("rendering", 3, 9))
    assert drawn(lambda display: display.progress("rendering", 9, 9)).strip() == ""


def test_a_pipe_gets_one_line_an_event():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    running = replace(TRIALS[2], rungs=())
    for trial in (running, TRIALS[2], TRIALS[2], replace(TRIALS[2], state="COMPLETE", reason="done")):
        display.trial(trial)
    assert file.getvalue().splitlines() == [
        "trial 2 starts: synthetic 0.7, objects 10",
        "trial 2: 25 images, val/mAP 0.2000",
        "trial 2 COMPLETE: done",
    ]


@pytest.mark.parametrize(("stand_in", "said"), [(True, "stand-in images"), (False, "real photos")])
def test_the_table_says_what_the_scores_were_measured_on(stand_in, said):
    metrics = dict.fromkeys(("mAP", "AP50", "AP75", "mAR"), 0.25)
    rows = (TestRow("best", 2, metrics, {"mAP": (0.2, 0.3)}), TestRow("real_only", 0, metrics, {}))
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal.test_table(TestScores("x", stand_in, "hash", 50, 0.0, rows)))
    text = console.file.getvalue()
    assert f"50 {said}, opened once" in text
    assert "real only" in text
    assert "0.250 [0.20, 0.30]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_best_that_is_a_control_stands_there_once():
    metrics = dict.fromkeys(("mAP", "AP50", "AP75", "mAR"), 0.25)
    rows = tuple(TestRow(role, trial, metrics, {}) for role, trial in (("best", 0), ("real_only", 0), ("no blur", 1)))
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal.test_table(TestScores("x", False, "hash", 50, 0.0, rows)))
    lines = [line.split() for line in console.file.getvalue().splitlines() if "0.250" in line]
    assert [line[:3] for line in lines] == [["real", "only", "(best)"], ["no", "blur", "1"]]
