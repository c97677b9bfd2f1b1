"""After a lost connection the display of a run on a head goes on, and shows no line again."""

import io
import json
import re
from functools import partial
from pathlib import PurePosixPath

import pytest
from made_head import made_head
from made_runs import ABOUT, made_run
from rich.console import Console

from syndet_ray.cli import on_cluster, terminal
from syndet_ray.cli.marks import Marker, MarkReader
from syndet_ray.cli.remote_submission import RemoteSubmission
from syndet_ray.clusters.submission import Submission
from syndet_ray.tuning.follow import Follower
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.shown import Recorder

NOTES = ("the photos have no masks", "trial 0 is slow", "Größe: 3 µm – kept")
# the connection breaks after so many bytes, but not the second time
BREAKING = """#!/bin/sh
shift
[ -e {seen} ] && exec sh -c "$*"
touch {seen}
sh -c "$*" | head -c {size}
exit 255
"""


@pytest.fixture
def folder(tmp_path):
    """A run that is over, with notes."""
    about = ABOUT | {"folder": str(tmp_path / "project" / "submitted" / "tiny-1" / "files")}
    folder = made_run(trials=(), about=about).write(tmp_path / "project" / "runs" / "tiny-2")
    recorder = Recorder(terminal.Plain(Console(file=io.StringIO())))
    recorder.keep_in(folder)
    recorder.note(NOTES[0])
    recorder.begin(2, 100)
    recipe = {"training.images": 100}
    folder.ledger.append("asked", 0, kind="search", params={}, recipe=recipe, of=None, replica=0)
    recorder.note(NOTES[1])
    with recorder.step("reading the photos"):
        recorder.note(NOTES[2])
    recorder.outcome(Outcome(folder=folder, status="finished"))
    return folder


def shown(folder, since, *, is_terminal):
    """What a display on the head puts out of a run, as bytes."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=100, force_terminal=is_terminal, force_interactive=is_terminal
    )
    marker = Marker(stream, since)
    follower = Follower(folder, partial(terminal.display, console, show_line=marker))
    follower.advance()
    follower.close()
    return stream.getvalue().encode()


def read(marks, output, size=7):
    blocks = [output[start : start + size] for start in range(0, len(output), size)]
    return "".join(map(marks.text, [*blocks, b""]))


@pytest.mark.parametrize("is_terminal", [False, True])
def test_marks_are_seen_by_nobody(folder, is_terminal):
    output = shown(folder, 0.0, is_terminal=is_terminal)
    text = read(MarkReader(), output)
    assert "syndet_ray;" not in text
    assert [text.count(note) for note in NOTES] == [1, 1, 1]
    assert text == re.sub(r"\x1b\]syndet_ray;[\d.]+\x07", "", output.decode())
    for size in range(1, 40):
        assert read(MarkReader(), output, size) == text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_wherever_the_connection_breaks_each_note_is_shown_and_none_again(folder, is_terminal):
    whole = shown(folder, 0.0, is_terminal=is_terminal)
    repeated = 0
    for size in range(len(whole)):
        marks = MarkReader()
        text = read(marks, whole[:size])
        assert "\x1b]" not in text
        text += read(marks, shown(folder, marks.newest, is_terminal=is_terminal))
        assert all(text.count(note) in (1, 2) for note in NOTES)
        repeated += sum(text.count(note) == 2 for note in NOTES)
    # only where it breaks between a line and its mark, which are sent together
    assert 0 < repeated < 60 * len(NOTES)


def test_in_a_log_no_line_is_shown_again_and_in_a_terminal_the_trials_are(folder):
    marks = MarkReader()
    lines = read(marks, shown(folder, 0.0, is_terminal=False)).splitlines()
    assert len(lines) == len(set(lines)) == 6
    assert read(marks, shown(folder, marks.newest, is_terminal=False)) == ""
    again = read(marks, shown(folder, marks.newest, is_terminal=True))
    assert "0/2 trials" in again
    assert not any(note in again for note in NOTES)


def test_what_happens_after_a_lost_connection_is_shown(folder):
    marks = MarkReader()
    read(marks, shown(folder, 0.0, is_terminal=False))
    recorder = Recorder(terminal.Plain(Console(file=io.StringIO())))
    recorder.keep_in(folder)
    recorder.note(NOTES[0])
    assert read(marks, shown(folder, marks.newest, is_terminal=False)) == f"{NOTES[0]}\n"


@pytest.mark.parametrize("size", [0, 170, 300])
def test_a_display_goes_on_over_a_new_connection(folder, size, tmp_path, monkeypatch, capfd):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(on_cluster, "_PAUSES_S", (0, None))
    submission = Submission(folder.path.parents[1] / "submitted" / "tiny-1")
    submission.files.mkdir(parents=True)
    (submission.folder / "process.json").write_text(json.dumps({"pid": 0, "continues": ""}))
    head = made_head(tmp_path, home, BREAKING.format(seen=tmp_path / "seen", size=size))
    there = RemoteSubmission(head=head, folder=PurePosixPath(submission.folder))
    assert on_cluster._show(there, terminal.console()) == 0
    text = capfd.readouterr().out
    before, after = text.split("the connection is lost; trying again in 0 s\n")
    assert [before.count(note) + after.count(note) for note in NOTES] == [1, 1, 1], text
    assert (NOTES[0] in before) == (size > 0) and NOTES[2] in after
