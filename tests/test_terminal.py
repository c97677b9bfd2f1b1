"""The terminal: what a person sees of a search, live or as plain lines."""

import io
import re
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from syndet_ray.cli import terminal
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.results import Rung, Trial

RECIPE = Recipe().replace({"mix.synthetic": 0.4, "training.images": 100})
TRIALS = [
    Trial(
        number=0,
        role="control",
        name="real_only",
        params={},
        recipe=RECIPE,
        state="COMPLETE",
        reason="all 100 images seen",
        rungs=(Rung(100, {OBJECTIVE: 0.31}),),
    ),
    Trial(
        number=1,
        role="search",
        params={"mix.synthetic": 0.4, "scene.objects": 40},
        recipe=RECIPE,
        state="PRUNED",
        reason="median pruner",
        rungs=(Rung(50, {OBJECTIVE: 0.1}),),
    ),
    Trial(
        number=2,
        role="search",
        params={"mix.synthetic": 0.7, "scene.objects": 10},
        recipe=RECIPE,
        rungs=(Rung(25, {OBJECTIVE: 0.2}),),
    ),
    Trial(
        number=3,
        role="search",
        params={"mix.synthetic": 0.1, "scene.objects": 70},
        recipe=RECIPE,
        state="FAILED",
        reason="it broke",
    ),
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


@pytest.mark.parametrize(
    ("variables", "is_terminal", "display"),
    [
        ({}, True, terminal.Bar),
        ({"TERM": "dumb"}, True, terminal.Plain),  # its cursor cannot move
        ({}, False, terminal.Plain),
        ({"FORCE_COLOR": "1"}, False, terminal.Plain),  # colours in a log, no moving cursor
    ],
)
def test_only_a_terminal_that_can_move_its_cursor_has_a_live_display(
    variables, is_terminal, display, monkeypatch
):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    shown = terminal.display(terminal.console())
    shown.note("a line")
    shown.end()
    assert type(shown) is display
    assert "a line" in stream.getvalue()
    assert ("\x1b[?25l" in stream.getvalue()) == (display is terminal.Bar)


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
    assert "70 % synthetic, 10 objects per scene" in text
    assert max(map(len, text.splitlines())) <= 100


def confirmation(number, of, value, state="COMPLETE", images=100):
    return Trial(
        number=number,
        role="confirmation",
        params=of.params,
        recipe=RECIPE,
        state=state,
        reason="",
        rungs=(Rung(images, {OBJECTIVE: value}),),
        of=of.number,
    )


FOUND = [TRIALS[0], replace(TRIALS[2], state="COMPLETE", rungs=(Rung(100, {OBJECTIVE: 0.4}),))]


def confirming(*confirmations):
    """The display of a search whose two recipes are trained again, twice each."""

    def show(display):
        display.begin(2, 100)
        for trial in FOUND:
            display.trial(trial)
        display.begin(6, 100)
        for trial in confirmations:
            display.trial(trial)

    return drawn(show)


def test_confirmation_has_a_bar_of_its_own_and_names_no_winner_before_its_end():
    first = confirmation(4, TRIALS[0], 0.9)
    text = confirming(first, confirmation(5, TRIALS[2], 0.1, "RUNNING", 50))
    assert "confirming: 1/4 trainings" in text
    assert "best of the search  val/mAP 0.400  trial 2: 70 % synthetic" in text
    assert "repeats trial 2 with another seed: 70 % synthetic, 10 objects per scene" in text
    assert max(map(len, text.splitlines())) <= 100


def test_once_all_are_trained_again_the_best_mean_is_the_best():
    values = {0: (0.30, 0.32), 2: (0.29, 0.28)}
    again = [
        confirmation(4 + 2 * k + i, FOUND[k], values[of][i])
        for k, of in enumerate(values)
        for i in range(2)
    ]
    text = confirming(*again)
    assert "confirming: 4/4 trainings" in text
    assert "best  val/mAP 0.310 ± 0.010  2 seeds of trial 0: real only (control)" in text
    assert "best of the search" in confirming(*again[:3])


@given(st.lists(st.integers(0, 100), max_size=6), st.integers(0, 3))
def test_the_bar_never_goes_back_nor_beyond_its_end(seen, begun):
    """However far trials have come, and however many of them an earlier attempt left."""
    display = terminal.Bar(Console(file=io.StringIO(), force_terminal=True))
    trials = [
        replace(TRIALS[2], number=n, rungs=(Rung(images, {OBJECTIVE: 0.1}),))
        for n, images in enumerate(seen)
    ]
    for trial in trials[:begun]:
        display.trial(trial)
    display.begin(len(trials), 100)
    before = 0
    for trial in trials:
        for state in ("RUNNING", "PRUNED"):
            display.trial(replace(trial, state=state))
            assert before <= display._trained_images() <= display._to_train() == 100 * len(trials)
            before = display._trained_images()
    display.end()


def test_trials_of_different_lengths_fill_the_bar_by_their_own():
    def search(display):
        display.begin(3, 100)
        display.trial(replace(TRIALS[2], recipe=RECIPE.replace({"training.images": 50})))
        assert (display._trained_images(), display._to_train()) == (25, 250)

    assert "25/50" in drawn(search)


def test_notes_stay_above_the_live_block_when_it_is_gone():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    display = terminal.display(console)
    display.begin(6, 100)
    display.note(
        "trials 2 and 3 were asked for different recipes and trained alike [to the last digit]"
    )
    display.note("writing the report")
    display.end()
    assert on_screen(file.getvalue()) == [
        "trials 2 and 3 were asked for different recipes and trained alike [to the last digit]",
        "writing the report",
    ]


def on_screen(text):
    """The lines that a terminal shows at the end of all that was written to it, as far as Rich
    moves about.
    """
    lines, row = [""], 0
    for code, plain in re.findall(r"\x1b\[([?0-9;]*[A-Za-z])|([^\x1b]+)", text):
        if code == "1A":
            row -= 1
        elif code == "2K":
            lines[row] = ""
        for part in re.findall(r"\n|[^\r\n]+", plain):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            else:
                lines[row] = part
    return [line for line in lines if line]


def test_it_shows_what_is_going_on_before_there_are_trials():
    assert "3/9" in drawn(lambda display: display.progress("rendering", 3, 9))
    assert drawn(lambda display: display.progress("rendering", 9, 9)).strip() == ""


def test_a_step_is_shown_until_its_end_and_what_is_counted_in_it_instead():
    def reading(display):
        with display.step("reading the data"):
            assert on_display(display) == ["reading the data 0:00"]
            display.progress("decoding train", 3, 9)
            assert on_display(display)[0].startswith("decoding train")
            display.progress("decoding train", 9, 9)
            with display.step("opening a store"):
                assert on_display(display) == ["opening a store 0:00"]
            assert on_display(display) == ["reading the data 0:00"]

    assert drawn(reading).strip() == ""


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_counted_takes_one_line(width):
    work = terminal._Work(
        what="looking for copies of val", since=time.monotonic() - 100, done=120, total=1200
    )
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(terminal._work_line(work, time.monotonic()))
    (line,) = console.file.getvalue().splitlines()
    assert re.search(r"120/1200 · 1\.2/s · about 15:0\d left", line)


def test_a_step_that_fails_is_over():
    def failing(display):
        with suppress(ZeroDivisionError), display.step("reading the data"):
            raise ZeroDivisionError

    assert drawn(failing).strip() == ""


def test_several_counts_are_shown_at_once():
    def rendering(display):
        for number in range(6):
            display.progress(f"scenes of trial {number}", number, 50)
        display.progress("scenes of trial 4", 50, 50)

    lines = drawn(rendering).splitlines()
    assert [line.split()[3] for line in lines] == ["1", "2", "3", "5"]


def on_display(display):
    """The lines of a live display at this moment."""
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(display._draw())
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_phase_that_is_over_has_no_time_left_and_no_empty_table():
    def search(display):
        display.begin(2, 100)
        for trial in FOUND:
            display.trial(trial)

    text = drawn(search)
    assert "2/2 trials" in text
    assert "left" not in text
    assert "recipe" not in text


def test_a_pipe_shows_what_begins():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    with display.step("starting Ray"):
        display.progress("decoding train", 9, 9)
    assert file.getvalue().splitlines() == ["starting Ray", "decoding train: 9 done"]


def test_a_pipe_gets_one_line_an_event():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    running = replace(TRIALS[2], rungs=())
    display.begin(1, 100)
    for trial in (
        running,
        TRIALS[2],
        TRIALS[2],
        replace(TRIALS[2], state="COMPLETE", reason="done"),
    ):
        display.trial(trial)
    assert file.getvalue().splitlines() == [
        "1 trial in all, of 100 images unless a recipe has its own number",
        "trial 2 starts: 70 % synthetic, 10 objects per scene",
        "trial 2: 25 images, val/mAP 0.2000",
        "trial 2 COMPLETE: done",
    ]


@pytest.mark.parametrize(
    ("trials", "total", "line"),
    [
        (TRIALS, 6, "3 of 6 trials are done; 1 was interrupted and continues"),
        (TRIALS[1:3], 6, "1 of 6 trials is done; 1 was interrupted and continues"),
        (FOUND, 6, "2 of 6 trials are done"),
        (FOUND, 2, "2 of 2 trials are done"),
        (TRIALS[:1], 1, "1 of 1 trial is done"),
    ],
)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_trials_of_an_earlier_attempt_take_one_line(trials, total, line, is_terminal):
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=is_terminal, color_system=None)
    display = terminal.display(console)
    for trial in trials:
        display.trial(trial)
    display.begin(total, 100)
    display.end()
    *before, last = on_screen(file.getvalue())
    assert last == line
    is_all_done = total == len([trial for trial in trials if trial.state != "RUNNING"])
    assert len(before) == (0 if is_terminal or is_all_done else 1)


def test_a_trial_that_continues_is_shown_with_its_next_rung_alone():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    display.trial(TRIALS[2])
    display.begin(1, 100)
    display.trial(TRIALS[2])
    display.trial(replace(TRIALS[2], state="COMPLETE", reason="done"))
    assert file.getvalue().splitlines()[1:] == [
        "no trial is done yet; 1 was interrupted and continues",
        "trial 2 COMPLETE: done",
    ]


def test_a_pipe_shows_both_phases_and_every_note():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    display.begin(6, 400)
    display.note("some setting has no effect")
    display.trial(TRIALS[0])
    display.begin(18, 400)
    display.trial(confirmation(6, TRIALS[2], 0.1, "RUNNING", 0))
    display.begin(18, 400)
    assert file.getvalue().splitlines() == [
        "6 trials in all, of 400 images unless a recipe has its own number",
        "some setting has no effect",
        f"trial {TRIALS[0].number} {TRIALS[0].state}: {TRIALS[0].reason}",
        "the best recipes and the controls are trained again: 12 more trials",
        "trial 6: 0 images, val/mAP 0.1000",
    ]


def test_a_sweep_without_controls_trains_only_its_best_recipes_again():
    file = io.StringIO()
    display = terminal.display(Console(file=file, width=100))
    display.begin(1, 400)
    display.trial(TRIALS[2])
    display.begin(3, 400)
    *_, last = file.getvalue().splitlines()
    assert last == "the best recipes are trained again: 2 more trials"


def test_the_best_so_far_is_the_mean_of_a_variants_repeats():
    def search(display):
        display.begin(4, 100)
        values = {"a": (0.3, 0.1), "b": (0.28, 0.27)}
        for number, (name, k) in enumerate((name, k) for k in range(2) for name in values):
            rungs = (Rung(100, {OBJECTIVE: values[name][k]}),)
            display.trial(
                Trial(
                    number=number,
                    role="variant",
                    name=name,
                    params={},
                    recipe=RECIPE,
                    state="COMPLETE",
                    reason="",
                    rungs=rungs,
                    replica=k,
                )
            )

    assert "best so far  val/mAP 0.275  trial 1: b" in drawn(search)


def lines_printed(monkeypatch, columns, *, is_terminal):
    """What print_lines writes of two lines of `check` where there are so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, no_color=True)
    terminal.print_lines(
        console,
        ["data     photos: 3 train, 1 val", "         brought to 640 px on their longer side"],
    )
    return out.getvalue().splitlines()


def test_a_long_line_goes_on_next_to_its_label(monkeypatch):
    lines = [line.rstrip() for line in lines_printed(monkeypatch, 31, is_terminal=True)]
    assert lines == [
        "data     photos: 3 train, 1 val",
        "         brought to 640 px on",
        "         their longer side",
    ]


def test_in_a_pipe_a_long_line_stays_one(monkeypatch):
    assert (
        lines_printed(monkeypatch, 31, is_terminal=False)[1]
        == "         brought to 640 px on their longer side"
    )


@pytest.mark.parametrize(("columns", "width"), [(None, 100), ("72", 72)])
def test_a_pipe_is_as_wide_as_columns_says(columns, width, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal.console().width == width


def test_a_log_says_once_what_is_done_again_and_again(capsys):
    display = terminal.Plain(terminal.console())
    for _ in range(3):
        display.progress("looking for copies of val", 9, 9)
    display.note("decoding")
    display.progress("looking for copies of val", 9, 9)
    copies = "looking for copies of val: 9 done"
    assert capsys.readouterr().out.splitlines() == [copies, "decoding", copies]
