"""A run that was sent to a cluster, as it lies on the head."""

import json
import os
import shutil
import time

import pytest
from made_runs import ABOUT, made_run

from syndet_ray.cli import head_facts, on_head
from syndet_ray.clusters.submission import PROJECTS, Submission
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


def test_a_run_that_goes_on_is_not_started_again_and_keeps_its_process(submission, capsys):
    run = run_of(submission, "tiny-1")
    with run.lock():
        assert submission.start(["resume", str(run.path)], str(run.path)) is None
        on_head.start(submission, str(run.path), "resume", str(run.path))
    assert '"pid": null' in capsys.readouterr().out
    assert not (submission.folder / "process.json").exists()
    pid = submission.start(["--help"])
    assert submission.is_running
    assert submission.start(["--help"]) is None
    os.waitpid(pid, 0)


def test_the_number_of_its_process_may_be_anothers(submission):
    for other in (1, os.getpid()):  # as after a restart of the machine
        record = {"pid": other, "continues": ""}
        (submission.folder / "process.json").write_text(json.dumps(record))
        assert not submission.is_running


def test_a_run_goes_on_until_its_attempt_has_ended(submission, capsys):
    run = run_of(submission, "tiny-1")
    pid = submission.start(["--help"])

    def goes_on():
        on_head.state(submission)
        return '"goes_on": true' in capsys.readouterr().out

    assert goes_on(), "its process has not shown the run yet"
    recorder = Recorder(None)
    recorder.keep_in(run)
    with run.lock():
        assert goes_on()
        recorder.error(ValueError("x"))
        assert not goes_on()
    os.waitpid(pid, 0)


def test_its_run_is_the_one_that_began_in_its_files(submission):
    ended(submission, ["--help"])
    other = run_of(submission, "tiny-2", folder="elsewhere", started=ABOUT["started"] + 1)
    run = run_of(submission, "tiny-1")
    assert submission.run.path == run.path
    other.describe(other.about | {"folder": str(submission.files)})
    assert submission.run.path == other.path, "the newest of them"


def test_a_head_whose_home_is_a_link_knows_its_runs(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    submission = Submission(tmp_path / "home" / PROJECTS / "dice-1" / "submitted" / "tiny-1")
    submission.files.mkdir(parents=True)
    ended(submission, ["--help"])
    run = run_of(submission, "tiny-1", folder=str(submission.files.resolve()))
    assert submission.run.path == run.path
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    facts = head_facts.facts(PROJECTS)
    (record,) = facts["submissions"]
    assert record["run"] == str(run.path.resolve())
    assert facts["root"] == str(tmp_path / "disk" / PROJECTS), "the name that a process there has"
    assert head_facts.submissions(tmp_path / "home" / PROJECTS)[0]["run"] == str(run.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"folder": 5}', "{}"])
def test_damaged_records_hide_no_others(text, submission):
    ended(submission, ["--help"])
    run = run_of(submission, "tiny-1")
    damaged = run_of(submission, "damaged", started=ABOUT["started"] + 1).path
    other = submission.folder.with_name("damaged")
    other.mkdir()
    for file in (damaged / "run.json", submission.runs / "no" / "run.json", other / "process.json"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert submission.run.path == run.path
    (record,) = head_facts.submissions(submission.folder.parents[2])
    assert record["run"] == str(run.path)


def test_a_run_has_begun_once_an_attempt_shows_itself(submission, capsys):
    run = run_of(submission, "tiny-1")
    Recorder(None, lambda: time.time() - 60).keep_in(run)  # an earlier attempt
    submission.start(["--help"], str(run.path))
    on_head.state(submission)
    assert '"has_begun": false' in capsys.readouterr().out
    Recorder(None).keep_in(run)
    on_head.state(submission)
    assert '"has_begun": true' in capsys.readouterr().out
    os.wait()


def test_what_ended_without_an_error_shows_its_last_lines(submission):
    ended(submission, ["--help"])
    assert len(submission.error().splitlines()) == 5


def test_a_submission_that_was_deleted_meanwhile_is_named_with_what_to_do(submission, capsys):
    ended(submission, ["--help"])
    shutil.rmtree(submission.folder)
    on_head.follow(submission)
    printed = capsys.readouterr().out
    assert f"{submission.folder}: was deleted on the head. Send the sweep again, or" in printed
