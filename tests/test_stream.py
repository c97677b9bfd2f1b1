"""What is shown may be lost, and never ends the work that it is about."""

import io
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from syndet_ray.cli import terminal
from syndet_ray.cli.stream import lasting

LINE = "stopping: trial 3 · val/mAP"


def gone():
    """A pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", encoding="utf-8")


def full():
    """A file on a disk that is full."""
    return open("/dev/full", "w", encoding="utf-8")


def let_go(stream):
    """Closes a stream that cannot be flushed."""
    with pytest.raises(OSError, match=r"Broken pipe|No space left"):
        stream.close()


@pytest.mark.parametrize(
    ("opened", "is_terminal"), [(gone, False), (gone, True), (full, False), (full, True)]
)
def test_no_display_ends_a_search_whose_terminal_is_gone_from_whatever_thread(opened, is_terminal):
    stream = opened()
    display = terminal.display(Console(file=stream, force_terminal=is_terminal))
    raised = []
    thread = threading.Thread(target=display.note, args=(LINE,))
    hook, threading.excepthook = threading.excepthook, raised.append
    thread.start()
    thread.join()
    threading.excepthook = hook
    with display.step("opening MLflow's store"):
        display.note(LINE)
    display.end()
    assert raised == []
    let_go(stream)


@pytest.mark.parametrize(
    ("encoding", "shown_as"),
    [
        ("ascii", b"Flu? | 0.30 +/- 0.02 - ??\n"),
        ("cp437", b"Flu\xe1 | 0.30 +/- 0.02 - ??\n"),  # of Windows' consoles
        ("cp1252", b"Flu\xdf | 0.30 +/- 0.02 - ??\n"),
        ("latin-1", b"Flu\xdf | 0.30 +/- 0.02 - ??\n"),
    ],
)
def test_what_an_encoding_lacks_is_shown_as_ascii_has_it_or_as_question_marks(encoding, shown_as):
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    terminal.display(Console(file=shown, width=100)).note("Fluß · 0.30 ± 0.02 — 賽\udce9")
    shown.flush()
    assert shown.buffer.getvalue() == shown_as


def test_a_stream_reports_what_is_missing_if_it_has_a_reader():
    closed, away, disk = io.StringIO(), gone(), full()
    closed.close()
    for stream in (None, closed, away):
        lost = lasting(stream)
        assert lost.write(LINE) == len(LINE)
        lost.flush()
        assert (lost.failure, lost.isatty()) == (None, False)
    lost = lasting(disk)
    lost.write(LINE)
    lost.flush()
    assert "No space left" in str(lost.failure)
    assert lasting(lost) is lost
    let_go(away)
    let_go(disk)


VERB = """
import sys
from syndet_ray import cli
from syndet_ray.cli import terminal
def run():
    print("printed ·", flush=True)
    terminal.console().print("shown ·")
    print("an error", file=sys.stderr, flush=True)
cli.run = run
cli.main()
"""


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("{python} | true", 0, "an error\n"),
        ("{python} >&-", 0, "an error\n"),
        ("{python} 2>&-", 0, ""),
        ("PYTHONIOENCODING=ascii {python} > /dev/null", 0, "an error\n"),
        (
            "{python} > /dev/full",
            1,
            "an error\nsyndet_ray: what was printed cannot be written ([Errno 28] No space left on device)\n",
        ),
    ],
)
def test_a_verb_ends_as_ever_where_its_words_cannot_be_shown(command, status, message):
    script = command.format(python='"$0" -c "$1"')
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}", sys.executable, VERB],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, message)


@pytest.mark.parametrize(
    ("locale", "name", "shown"),
    [
        (
            {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
            "赛",
            r"\udce8\udcb5\udc9b: has characters that this machine's encoding, ascii, lacks. "
            "Set PYTHONUTF8=1, or rename the file or folder.",
        ),
        (
            {"PYTHONUTF8": "1"},
            b"caf\xe9",  # unpacked from an archive of another system
            r"caf\udce9: is not valid UTF-8. Rename the file or folder.",
        ),
    ],
)
def test_a_name_that_is_no_text_is_refused_at_once(locale, name, shown):
    done = subprocess.run(
        [sys.executable, "-m", "syndet_ray", "check", name],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | locale,
    )
    assert (done.returncode, done.stderr) == (1, f"syndet_ray: {shown}\n")
