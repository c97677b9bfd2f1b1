"""Ctrl-C, SIGTERM and a closed terminal end every command with one line and the status 130."""

import signal
import subprocess
import sys

import pytest

VERB = """
import signal, sys
from syndet_ray import cli

@cli.app.command()
def wait(number: int, says_how: bool = False):
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        if says_how:
            print("interrupted; the same command continues")
            raise SystemExit(130) from None
        raise
    finally:
        print("cleaned up")
    print("went on")

if sys.argv[-1] == "ignored":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    del sys.argv[-1]
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""


def ended(*arguments):
    """What a command does that is sent a signal: status, output and errors."""
    command = [sys.executable, "-c", VERB, "wait", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_in_order_at_any_of_the_signals(number):
    assert ended(int(number)) == (130, "cleaned up\n", "syndet_ray: interrupted\n")


def test_a_command_that_says_how_to_go_on_says_it_alone():
    said = "interrupted; the same command continues\ncleaned up\n"
    assert ended(int(signal.SIGTERM), "--says-how") == (130, said, "")


def test_a_signal_that_nohup_ignores_stays_ignored():
    assert ended(int(signal.SIGHUP), "ignored") == (0, "cleaned up\nwent on\n", "")


PACKAGE = """
import os, signal
try:
    os.kill(os.getpid(), signal.{name})
    for _ in range(1000): pass  # Python calls handlers between its steps
except BaseException:
    pass
"""

LOADS = """
import threading
from syndet_ray import cli

@cli.app.command()
def wait():
    import swallows
    threading.Event().wait(30)
    print("went on")

cli.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_the_middle_of_an_import_is_not_lost(name, tmp_path, monkeypatch):
    """Packages catch all that is raised while they import what they can do without."""
    (tmp_path / "swallows.py").write_text(PACKAGE.format(name=name))
    paths = [str(tmp_path), *sys.path]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{LOADS}", "wait"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "syndet_ray: interrupted\n")
