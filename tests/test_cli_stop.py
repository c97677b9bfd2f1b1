"""A run on a cluster is ended in order by a command, which says how it goes on."""

import json
import os
import subprocess
import sys
import time

import pytest
from made_head import made_head
from made_runs import ABOUT, made_run

from syndet_ray.cli import head_facts, on_head, sent_runs
from syndet_ray.cli.remote_submission import project_name
from syndet_ray.clusters.head import Head
from syndet_ray.clusters.submission import PROJECTS, Submission

# a process that carries a run out, in few words; it ends with the status that it is given
PROCESS = """
import signal, sys, time
from pathlib import Path
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.shown import Recorder
folder, status = RunFolder(Path(sys.argv[1])), sys.argv[2]
signal.signal(signal.SIGTERM, signal.default_int_handler)
with folder.lock():
    recorder = Recorder(None)
    recorder.keep_in(folder)
    print("begun", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        recorder.outcome(Outcome(folder=folder, status=status))
"""
WAITING = "import time; print('begun', flush=True); time.sleep(60)"


@pytest.fixture
def submission(tmp_path, monkeypatch):
    """A submission of this folder on a head, which is this machine, with a home folder for it."""
    home = tmp_path / "home"
    submission = Submission(home / PROJECTS / project_name() / "submitted" / "tiny-1")
    submission.files.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    head = made_head(tmp_path, home)

    def head_and_facts(cluster):
        return head, {"submissions": head_facts.submissions(home / PROJECTS)}

    monkeypatch.setattr(sent_runs, "head_and_facts", head_and_facts)
    monkeypatch.setattr("syndet_ray.clusters.description.read_cluster_file", lambda file: file)
    return submission


@pytest.fixture
def begun(submission):
    """Starts a process of the submission; it is ended with the test."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", *words], cwd=submission.files, stdout=subprocess.PIPE
        )
        started.append(process)
        record = {"pid": process.pid, "continues": ""}
        (submission.folder / "process.json").write_text(json.dumps(record))
        assert process.stdout.readline() == b"begun\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(submission):
    """The run of the submission."""
    about = ABOUT | {"folder": str(submission.files), "started": time.time()}
    return made_run(trials=(), about=about).write(submission.runs / "tiny-2")


def stopped(syndet_here, run="tiny-2"):
    return syndet_here("stop", run, "--cluster", "c.yaml")


def test_a_run_is_asked_to_end_and_the_command_that_continues_it_is_said(
    submission, begun, folder, syndet_here
):
    process = begun(PROCESS, folder.path, "interrupted")
    done = stopped(syndet_here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "tiny-2 is stopped; continue with: python -m syndet_ray resume tiny-2 --cluster c.yaml\n"
        "bring here what it has: python -m syndet_ray attach tiny-2 --cluster c.yaml\n"
    )
    assert process.wait(5) == 0
    done = stopped(syndet_here)
    assert (done.returncode, done.stderr) == (
        1,
        "syndet_ray: tiny-2 on the head of c.yaml: is over, so there is nothing to stop. "
        "Bring it here: python -m syndet_ray attach tiny-2 --cluster c.yaml\n",
    )


def test_a_run_that_ended_meanwhile_is_not_said_to_be_stopped(begun, folder, syndet_here):
    begun(PROCESS, folder.path, "finished")
    assert "tiny-2 has ended before it could be stopped; bring it here: python -m" in (
        stopped(syndet_here).stdout
    )


def test_a_process_that_has_begun_no_run_leaves_nothing_to_continue(begun, syndet_here):
    begun(WAITING)
    done = stopped(syndet_here, "tiny-1")
    assert "tiny-1 is stopped; it had begun no run, so there is nothing to con" in done.stdout
    assert "resume" not in done.stdout


def test_an_end_that_takes_long_is_not_waited_for(submission, begun, folder, monkeypatch, capsys):
    process = begun(PROCESS, folder.path, "interrupted")
    monkeypatch.setattr(Submission, "stop", lambda submission: True)
    monkeypatch.setattr(on_head, "_END_S", 0.1)
    on_head.stop(submission)
    answer = json.loads(capsys.readouterr().out.partition("answers: ")[2])
    assert answer == {"is_asked": True, "goes_on": True, "run": str(folder.path), "status": ""}
    assert process.poll() is None


def test_what_still_ends_is_said_with_how_to_follow_it(begun, folder, syndet_here, monkeypatch):
    begun(WAITING)
    answer = {"is_asked": True, "goes_on": True, "run": str(folder.path), "status": ""}
    monkeypatch.setattr(Head, "answer", lambda head, command: answer)
    assert stopped(syndet_here).stdout.endswith(
        "tiny-2 is still ending; follow it with: python -m syndet_ray attach tiny-2 --cluster c.yaml\n"
        "after that, continue with: python -m syndet_ray resume tiny-2 --cluster c.yaml\n"
    )


def test_a_run_that_the_head_does_not_have_is_named(begun, folder, syndet_here):
    begun(WAITING)
    done = stopped(syndet_here, "other")
    message = "the head of c.yaml: has no run other. The newest are tiny-2. A run of a lost head"
    assert done.stderr.startswith(f"syndet_ray: {message}")
    done = stopped(syndet_here, "s3://bucket/runs/tiny-2")
    assert "Name a run of the head, such as tiny-2." in done.stderr


def test_without_a_cluster_it_is_said_what_ends_the_run(tmp_path, syndet_here):
    folder = made_run(trials=()).write(tmp_path / "here")
    done = syndet_here("stop", folder.path)
    assert "is carried out by no process. You can continue with: python -m synd" in done.stderr
    with folder.lock():
        done = syndet_here("stop", folder.path)
        process = folder.process_words()
    assert process.startswith(f"{os.getpid()} on ")
    assert done.returncode == 1
    assert done.stderr == (
        f"syndet_ray: {folder.path}: is carried out by process {process}, and not on a cluster. "
        f"Press Ctrl-C in its terminal, or on that machine: kill {os.getpid()}\n"
    )
    folder.describe(folder.about | {"cluster": "/x/c.yaml"})
    done = syndet_here("stop", folder.path)
    assert "Write: python -m syndet_ray stop here --cluster /x/c.yaml" in done.stderr
    assert "does not exist" in syndet_here("stop", tmp_path / "nowhere").stderr
