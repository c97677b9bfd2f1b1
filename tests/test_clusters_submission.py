"""A run that was sent to a cluster, as it lies on the head."""

import os
import time

import pytest
from made_runs import ABOUT, made_run

from syndet_ray.cli import on_head
from syndet_ray.clusters.submission import Submission
from syndet_ray.tuning.shown import Recorder


@pytest.fixture
def submission(tmp_path):
    submission = Submission(tmp_path / "projects" / "dice-1" / "submitted" / "tiny-1")
    submission.files.mkdir(parents=True)
    return submission


def ended(submission, words):
    """Starts a command and waits for its end, as init does for a process whose parent is gone."""
    pid = submission.start(words)
    os.waitpid(pid, 0)


def run_of(submission, name, **about):
    facts = ABOUT | {"folder": str(submission.files)} | about
    return made_run(trials=(), about=facts).write(submission.runs / name)


def test_its_process_works_in_its_files_and_leaves_what_it_says(submission):
    ended(submission, ["sweep", "nothing-of-this-name"])
    assert not submission.is_running
    assert submission.run is None
    assert submission.error().startswith("sweeps/nothing-of-this-name.py: does not exist.")
    assert submission.last_line().startswith("syndet_ray: sweeps/nothing")


def test_its_run_is_the_one_that_began_in_its_files(submission):
    ended(submission, ["--help"])
    other = run_of(submission, "tiny-2", folder="elsewhere", started=ABOUT["started"] + 1)
    run = run_of(submission, "tiny-1")
    assert submission.run.path == run.path
    other.describe(other.about | {"folder": str(submission.files)})
    assert submission.run.path == other.path, "the newest of them"


def test_a_run_has_begun_once_an_attempt_shows_itself(submission, capsys):
    run = run_of(submission, "tiny-1")
    Recorder(None, lambda: time.time() - 60).keep_in(run)  # an earlier attempt
    submission.start(["--help"], str(run.path))
    on_head.end(submission, [])
    assert '"has_begun": false' in capsys.readouterr().out
    Recorder(None).keep_in(run)
    on_head.end(submission, [])
    assert '"has_begun": true' in capsys.readouterr().out
    os.wait()


def test_what_ended_without_an_error_shows_its_last_lines(submission):
    ended(submission, ["--help"])
    assert len(submission.error().splitlines()) == 5
