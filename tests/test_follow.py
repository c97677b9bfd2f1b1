"""A run that another process carries out is shown as that process shows it."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from made_runs import made_run
from rich.console import Console

from syndet_ray.cli import terminal
from syndet_ray.errors import MachineError
from syndet_ray.tuning import follow as following
from syndet_ray.tuning.follow import Follower, follow
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.shown import SHOWN, Recorder
from syndet_ray.workers import stop

BEGAN = 1_000.0  # of the attempt, in the seconds of its clock


class Heard:
    """A display that keeps its calls."""

    def __init__(self):
        self.calls = []

    def note(self, text):
        self.calls.append(("note", text))

    def begin(self, trials, images):
        self.calls.append(("begin", trials, images))

    def trial(self, trial):
        self.calls.append(("trial", trial.number, trial.state, trial.images))

    def progress(self, what, done, total):
        self.calls.append(("progress", what, done, total))

    @contextmanager
    def step(self, what):
        self.calls.append(("step", what))
        yield
        self.calls.append(("over", what))

    def end(self):
        self.calls.append(("end",))


@pytest.fixture
def clock(monkeypatch):
    """A clock of the run's process, which a test sets; the ledger takes it too."""
    now = [BEGAN]
    monkeypatch.setattr("syndet_ray.runs.ledger.time.time", lambda: now[0])
    return now


@pytest.fixture
def folder(tmp_path):
    return made_run(trials=()).write(tmp_path / "run")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(following, "_LOOK_EVERY_S", 0)


def asked(folder, number, **facts):
    recipe = {"training.images": 100}
    folder.ledger.append(
        "asked", number, kind="search", params={}, recipe=recipe, of=None, replica=0, **facts
    )


def recorder(clock, display=None):
    return Recorder(display or Heard(), lambda: clock[0])


def test_what_a_display_is_told_of_a_run_another_one_is_told_again(folder, clock):
    first = Heard()
    told = recorder(clock, first)
    with told.step("reading and checking the data"):
        told.progress("decoding train", 1, 2)
    told.keep_in(folder)
    told.begin(3, 100)
    clock[0] += 1
    asked(folder, 0)
    told.trial(folder.trials()[0])
    clock[0] += 1
    told.note("trial 0 is slow [/data]")
    second = Heard()
    follower = Follower(folder, lambda clock: second)
    assert follower.advance() and not follower.advance()
    assert second.calls == first.calls
    assert ("trial", 0, "RUNNING", 0) in second.calls
    told.progress("scenes of trial 0", 5, 8)
    follower.advance()
    assert second.calls[-1] == ("progress", "scenes of trial 0", 5, 8)


def test_counts_are_kept_twice_a_second_and_at_their_end(folder, clock):
    told = recorder(clock)
    told.keep_in(folder)
    for done in range(1000):
        clock[0] += 0.01
        told.progress("scenes", done + 1, 1000)
    lines = [line for line in (folder.path / SHOWN).read_text().splitlines() if "scenes" in line]
    assert 18 <= len(lines) <= 22
    assert '"done": 1000' in lines[-1]


def test_of_earlier_attempts_only_the_trials_are_shown(folder, clock):
    told = recorder(clock)
    told.keep_in(folder)
    told.note("of the first attempt")
    asked(folder, 0)
    clock[0] += 60
    again = recorder(clock)
    clock[0] += 1
    again.keep_in(folder)
    again.begin(2, 100)
    heard = Heard()
    Follower(folder, lambda clock: heard).advance()
    assert heard.calls == [("trial", 0, "RUNNING", 0), ("begin", 2, 100)]


def test_what_ctrl_c_does_there_is_not_said_here(folder, clock):
    told = recorder(clock)
    told.keep_in(folder)
    told.begin(2, 100)
    told.note(stop._STOPPING_RUN)
    heard = Heard()
    Follower(folder, lambda clock: heard, str.upper).advance()
    (_, text) = heard.calls[-1]
    assert text == "STOPPING: TRIALS KEEP THEIR LAST CHECKPOINT, AND RESUME CONTINUES FROM THERE"


def test_the_display_has_the_times_of_the_run_and_not_of_the_look_at_it(folder, clock):
    told = recorder(clock)
    told.keep_in(folder)
    told.begin(2, 100)
    clock[0] += 30
    asked(folder, 0)
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True, force_interactive=True)
    displays = []

    def open_display(present):
        displays.append(terminal.display(console, present))
        return displays[-1]

    follower = Follower(folder, open_display)
    follower.advance()
    (display,) = displays
    display._clock = lambda: BEGAN + 65
    assert "0/2 trials · 1:05 elapsed" in str(display._summary())
    follower.close()


def test_a_run_that_is_over_ends_as_it_ended(folder, clock, at_once):
    told = recorder(clock)
    told.keep_in(folder)
    lacking = MachineError("MLflow's store", "lacks trial 3", do="resume")
    told.outcome(
        Outcome(
            folder=folder, status="spent", why="of hours", trials_url="http://x", unwritten=lacking
        )
    )
    outcome = follow(folder, lambda clock: Heard()).outcome
    assert (outcome.status, outcome.why, outcome.trials_url) == ("spent", "of hours", "http://x")
    assert str(outcome.unwritten) == str(lacking)
    assert outcome.folder is folder


def test_an_error_that_ended_a_run_is_handed_on(folder, clock, at_once):
    told = recorder(clock)
    told.keep_in(folder)
    error = MachineError("disk", "is full", do="Make room.")
    error.add_note("continue with: resume")
    told.error(error)
    followed = follow(folder, lambda clock: Heard())
    assert followed.error == "disk: is full. Make room. continue with: resume"
    assert followed.outcome is None


def test_a_line_that_a_kill_left_unfinished_is_cut_off(folder, clock):
    told = recorder(clock)
    told.keep_in(folder)
    with (folder.path / SHOWN).open("a") as file:
        file.write('{"event": "no')
    again = recorder(clock)
    again.keep_in(folder)
    heard = Heard()
    assert Follower(folder, lambda clock: heard).advance()
    assert (folder.path / SHOWN).read_text().count("\n") == 2


HOLD = """
import sys
from pathlib import Path
from syndet_ray.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_known_whether_a_process_carries_a_run_out(folder):
    assert not folder.is_carried_out()
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert folder.is_carried_out()
        holder.kill()
    assert not folder.is_carried_out(), "a kill leaves the file behind"
    (folder.path / "lock").write_text(f"{os.getpid()} on elsewhere")
    assert not folder.is_carried_out(), "nobody holds the lock, whatever the file says"


def test_a_run_whose_process_is_gone_is_said_to_be_left(
    folder, at_once, syndet_here, monkeypatch, tmp_path
):
    done = syndet_here("attach", str(folder.path))
    assert done.returncode == 1
    assert "is carried out by no process any more" in done.stdout.replace("\n", " ")
    assert ", the newest" not in done.stdout


def test_a_run_that_nobody_named_is_named_first_with_its_state(folder, at_once, syndet_here):
    done = syndet_here("attach", "--runs", str(folder.path.parent))
    first, question, *_ = done.stdout.splitlines()
    assert first == f"run      {folder.path}, the newest, which is over"
    assert question == folder.sweep.question
    assert f"continue with: python -m syndet_ray resume {folder.path}" in done.stdout


def test_ctrl_c_leaves_the_run_and_says_how_to_follow_it_again(folder, syndet_here, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "follow", interrupted)
    done = syndet_here("attach", str(folder.path))
    assert done.returncode == 130
    assert "detached: the run goes on" in done.stdout
    assert f"python -m syndet_ray attach {folder.path}" in done.stdout


def test_a_finished_run_shows_its_last_words_and_the_newest_run_is_meant(
    tmp_path, clock, at_once, syndet_here, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run = made_run(scores={"best": (0.3, 0.2, 0.4), "real_only": (0.2, 0.1, 0.3)})
    folder = run.write(tmp_path / "runs" / "dice-1")
    told = recorder(clock)
    told.keep_in(folder)
    told.outcome(Outcome(folder=folder, status="finished", trials_url="http://x"))
    done = syndet_here("attach")
    assert done.returncode == 0
    assert done.stdout.endswith("report   runs/dice-1/report.html\ntrials   http://x\n")


def test_a_folder_without_runs_is_named(tmp_path, syndet_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = syndet_here("attach", "--runs", "nowhere")
    assert done.stderr == (
        "syndet_ray: nowhere: holds no run. Name the folder of your runs with --runs.\n"
    )
