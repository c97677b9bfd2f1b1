"""A run that is asked to end says so at once and ends in order; Ctrl-C once more leaves at once."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace

import pytest
from made_runs import made_run
from test_disk import no_file_may_grow
from test_search import Silent

from syndet_ray.definitions.loader import load
from syndet_ray.tracking.backup import Backup
from syndet_ray.tuning import resume
from syndet_ray.tuning.attempt import Attempt, Ending
from syndet_ray.tuning.options import Options, Origin, Outcome
from syndet_ray.tuning.run import start
from syndet_ray.workers import cluster
from syndet_ray.workers.stop import Stop, deferral

pytestmark = pytest.mark.usefixtures("python_handles_interrupts")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Notes:
    """What was said, by threads that may still be about to."""

    def __init__(self):
        self.said, self._arrived = [], threading.Semaphore(0)

    def __call__(self, text):
        self.said.append(text)
        self._arrived.release()

    def first(self):
        assert self._arrived.acquire(timeout=30)
        return self.said[0]


def interrupted(stop, *signals):
    """Sends signals, one after the other; returns what they raised."""
    raised = []
    with stop:
        for number in signals:
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                raised.append(number)
    return raised


@pytest.mark.parametrize("first", SIGNALS)
def test_the_first_signal_interrupts_and_a_later_sigterm_changes_nothing(first):
    notes, left = Notes(), []
    before = [signal.getsignal(number) for number in SIGNALS]
    stop = Stop(notes, left.append)
    stop.folder = SimpleNamespace(path="runs/dice-1")
    assert interrupted(stop, first, signal.SIGTERM, signal.SIGTERM) == [first]
    assert notes.first().startswith(
        "stopping: trials keep their last checkpoint, and resume continues from there"
    )
    assert (len(notes.said), left) == (1, [])
    assert [signal.getsignal(number) for number in SIGNALS] == before


class Destroyed:
    """Python drops what its destructor raises."""

    def __init__(self, number):
        self._number = number

    def __del__(self):
        signal.raise_signal(self._number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_in_a_destructor_ends_the_run_too(number):
    notes, left = Notes(), []
    before = sys.unraisablehook
    with Stop(notes, left.append):
        Destroyed(number)
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(30)
    assert sys.unraisablehook is before
    assert len(notes.said) == 1 and not left, "it is one request"


def test_an_interrupt_that_python_drops_is_one_request_whoever_raised_it():
    def interrupt(_):
        raise KeyboardInterrupt

    notes, left = Notes(), []
    with Stop(notes, left.append):
        thing = Notes()
        reference = weakref.ref(thing, interrupt)
        del thing
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(30)
        signal.raise_signal(signal.SIGTERM)  # it does not shorten the end
    assert reference() is None and len(notes.said) == 1 and not left


def test_a_signal_in_a_destructor_of_the_last_steps_does_not_reach_what_follows_the_run():
    notes = Notes()
    late = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: late.set())
    try:
        with Stop(notes):
            Destroyed(signal.SIGINT)
        assert not late.wait(0.3), "without a handler it would end the process"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(notes.said) == 1


def test_what_is_printed_after_the_end_comes_below_the_message_of_its_beginning():
    lines = []

    def slow_terminal(text):
        threading.Event().wait(0.2)
        lines.append(text)

    with pytest.raises(KeyboardInterrupt), Stop(slow_terminal):
        signal.raise_signal(signal.SIGINT)
    assert lines == ["stopping; Ctrl-C once more leaves at once"]


def test_ctrl_c_once_more_leaves_and_in_a_notebook_interrupts_the_end_too():
    left = []
    stop = Stop(Notes(), left.append)
    assert interrupted(stop, signal.SIGTERM, signal.SIGINT, signal.SIGINT) == [signal.SIGTERM]
    assert left == [None, None]
    assert interrupted(Stop(Notes()), signal.SIGINT, signal.SIGINT) == [
        signal.SIGINT,
        signal.SIGINT,
    ]


def test_a_run_that_a_script_began_in_the_background_heeds_sigterm_alone():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert interrupted(Stop(Notes()), signal.SIGINT, signal.SIGTERM) == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_run_under_nohup_does_not_end_with_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert interrupted(Stop(Notes()), signal.SIGHUP, signal.SIGINT) == [signal.SIGINT]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_may_ask_and_a_stop_in_a_thread_changes_no_handler():
    stop = Stop(Notes())

    def ask_while_main_waits():
        asking = threading.Thread(target=stop.ask)
        asking.start()
        assert not threading.Event().wait(30), "the main thread is woken"

    with pytest.raises(KeyboardInterrupt), stop:
        ask_while_main_waits()
    handlers = []

    def in_a_thread():
        with Stop(Notes()), deferral():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


def test_in_code_of_a_library_an_interrupt_waits_until_it_is_asked_for():
    """As in a destructor, where Python drops what is raised."""
    notes, steps = Notes(), []

    def look_twice(check):
        check()
        signal.raise_signal(signal.SIGTERM)
        steps.append("after the signal")
        assert notes.first().startswith("stopping"), "it is said at once"
        check()
        steps.append("after the check")

    def never_look(check):
        signal.raise_signal(signal.SIGINT)
        steps.append("to the end")

    for code in (look_twice, never_look):
        with pytest.raises(KeyboardInterrupt), Stop(notes), deferral() as check:
            code(check)
    assert steps == ["after the signal", "to the end"]


LEAVE = """
import signal, sys, time
from pathlib import Path
from types import SimpleNamespace
from syndet_ray.cli.ending import leave
from syndet_ray.workers.stop import Stop

signal.signal(signal.SIGINT, signal.default_int_handler)
with Stop(lambda words: print(words, flush=True), leave) as stop:
    stop.folder = SimpleNamespace(path=Path("runs/dice-1")) if sys.argv[1:] else None
    try:
        print("begun", flush=True)
        while True:  # not signal.pause(), which sleeps through a signal that comes just before it
            time.sleep(0.01)
    finally:  # the end hangs
        while True:
            time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ([], "no run had started"),
        (["dice-1"], "continue with: python -m syndet_ray resume runs/dice-1"),
    ],
)
def test_ctrl_c_once_more_ends_the_process_with_the_line_that_says_how_to_go_on(run, words):
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE, *run], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C once more leaves at once" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[0] == f"\nleft at once; {words}\n"
        assert process.returncode == 130


HANG = """
import signal, socket, sys, threading
from pathlib import Path
from syndet_ray.cli.ending import end, leave
from syndet_ray.data.storage import is_folder
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking.backup import Backup
from syndet_ray.workers.stop import Stop

def accept_and_be_silent():
    connections = [server.accept()]
    print("begun", flush=True)
    while True:
        connections.append(server.accept())

server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept_and_be_silent, daemon=True).start()
folder = RunFolder.open(Path(sys.argv[1]))
address = f"s3://runs?endpoint_override=127.0.0.1:{server.getsockname()[1]}&scheme=http"
signal.signal(signal.SIGINT, signal.default_int_handler)
with Stop(lambda words: None, leave) as stop:
    stop.folder = folder
    try:
        is_folder(address)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    if sys.argv[2] == "end":
        end(130)
    Backup(folder, address, print).copy(60.0)
"""


@pytest.mark.parametrize("way", ["end", "leave"])
def test_a_store_that_does_not_answer_keeps_no_interrupt_from_being_heard_and_no_process_from_ending(
    way, tmp_path
):
    """Arrow gives up after 99 s, and waits for that at the end of a process.

    The store accepts and says nothing.
    """
    folder = made_run().write(tmp_path / "dice-1")
    keys = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    } | keys
    command = [sys.executable, "-c", HANG, str(folder.path), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        if way == "leave":
            process.send_signal(signal.SIGINT)
        last = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    left = f"\nleft at once; continue with: python -m syndet_ray resume {folder.path}\n"
    assert last == (left if way == "leave" else "")


class Interrupting(Silent):
    """A display that has the process asked to end when something is first shown, as by a machine
    that goes.
    """

    def __init__(self, method):
        super().__init__()
        setattr(self, method, lambda *_: signal.raise_signal(signal.SIGTERM))


def test_sigterm_while_data_are_read_leaves_nothing_behind(home, dice, tmp_path):
    home()
    options = Options(runs=tmp_path / "runs", real=dice, local=True)
    with pytest.raises(KeyboardInterrupt):
        start(Origin(name="tiny"), load("tiny"), options, Interrupting("progress"))
    assert not list(tmp_path.glob("runs/tiny-*"))


def test_sigterm_as_soon_as_there_is_a_run_leaves_one_that_can_be_resumed(
    home, dice, tmp_path, empty_store
):
    home()
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_store, tmp_path / "runs")
    options = Options(runs=tmp_path / "runs", real=dice, local=True)
    outcome = start(Origin(name="tiny"), load("tiny"), options, Interrupting("begin"))
    assert outcome.status == "interrupted"
    assert outcome.folder.about["status"] == "interrupted"
    with outcome.folder.lock():
        pass


class Hanging:
    """An MLflow that does not answer: what is at the run's storage by the time that it is waited
    for, and for how long.
    """

    parent = ""

    def __init__(self, copy):
        self._copy, self.there, self.limits = copy, {}, []

    def end(self, status, patience_s, limit_s=math.inf):
        self.there = {path.name: path.read_bytes() for path in self._copy.iterdir()}
        self.limits.append(limit_s)
        return "the end of the sweep"

    def close(self): ...


def attempt_at(folder, tracking, backup):
    return Attempt(
        folder=folder,
        options=Options(runs=folder.path.parent),
        data=None,
        runner=None,
        tracking=tracking,
        display=Silent(),
        board=None,
        backup=backup,
        stop=Stop(print),
    )


@pytest.mark.parametrize(("status", "limits"), [("interrupted", [5.0]), ("spent", [math.inf])])
def test_all_of_a_run_is_at_its_storage_before_mlflow_is_waited_for(tmp_path, status, limits):
    folder, store = made_run().write(tmp_path / "dice-1"), tmp_path / "store"
    backup = Backup(folder, str(store), print)
    tracking = Hanging(store / "dice-1" / "run")
    folder.ledger.append("retry", 0)
    attempt = attempt_at(folder, tracking, backup)
    assert attempt.end(status) == Ending(status=status, unwritten="the end of the sweep")
    assert tracking.there["ledger.jsonl"] == (folder.path / "ledger.jsonl").read_bytes()
    assert json.loads(tracking.there["run.json"])["status"] == status
    assert tracking.limits == limits


class Interrupted:
    """An MLflow during whose end the process is asked to end."""

    parent = ""

    def __init__(self):
        self.ended = []

    def end(self, status, patience_s, limit_s=math.inf):
        self.ended.append(status)
        if len(self.ended) == 1:
            raise KeyboardInterrupt
        return ""

    def close(self): ...


def test_an_interrupt_while_a_run_ends_is_written_everywhere(tmp_path):
    folder, tracking = made_run().write(tmp_path / "dice-1"), Interrupted()
    assert attempt_at(folder, tracking, Backup(folder, None, print)).end("spent") == Ending(
        status="interrupted"
    )
    assert tracking.ended[-1] == "KILLED"
    assert folder.about["status"] == "interrupted", "resume ends what was left"


def test_what_a_run_has_come_to_stays_where_the_interrupt_comes_while_ray_ends(
    tmp_path, monkeypatch
):
    folder = made_run().write(tmp_path / "dice-1")
    finished = Outcome(folder=folder, status="finished")

    def resumed(folder, given, display, stop, *, force):
        stop.outcome = finished
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(resume, "_resume", resumed)
    assert resume.resume(folder, {}, Silent()) is finished


@pytest.mark.parametrize("is_main", [True, False])
def test_a_connection_to_ray_keeps_our_handler_and_is_closed_from_a_thread_too(
    monkeypatch, is_main
):
    """Ray puts its own handler of SIGTERM in place of ours, in the main thread alone."""
    closed, handlers = [], []

    def init(**_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def connect():
        with cluster.connection(None):
            handlers.append(signal.getsignal(signal.SIGTERM))

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: closed.append(True))
    with Stop(Notes()):
        ours = signal.getsignal(signal.SIGTERM)
        if is_main:
            connect()
        else:
            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
    assert (handlers, closed) == ([ours], [True])


def test_sigterm_while_ray_starts_ends_a_run_as_at_any_other_time(monkeypatch):
    def init(**_):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray does
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cluster.ray, "init", init)
    notes = Notes()
    with Stop(notes) as stop, pytest.raises(KeyboardInterrupt), cluster.connection(None):
        pass
    assert notes.first().startswith("stopping")
    assert stop.folder is None


def test_a_run_in_a_thread_is_stopped_alone(tmp_path):
    """For example when its lease is lost: a signal would reach the main thread."""
    notes, ends = Notes(), []

    def carry_out():
        with Stop(notes) as stop:
            stop.ask()
            try:
                stop.update(None)
            except KeyboardInterrupt:
                ends.append("interrupted")
            stop.update(None)  # what the end itself records is not interrupted again

    thread = threading.Thread(target=carry_out)
    thread.start()
    thread.join()
    assert ends == ["interrupted"]
    assert notes.first().startswith("stopping")


def test_a_run_whose_disk_is_full_at_its_end_counts_as_interrupted(tmp_path):
    folder = made_run().write(tmp_path / "dice-1")
    before = folder.about
    attempt = attempt_at(folder, Hanging(folder.path), Backup(folder, None, print))
    with no_file_may_grow():
        end = attempt.end("finished")
    assert (end.status, end.unwritten) == ("interrupted", "the end of the sweep")
    reason, record = attempt.display.notes
    assert reason.startswith(
        f"stopping: {folder.path} cannot be written (File too large); trials keep their last"
    )
    assert record == f"{folder.path} does not record how the run ended; resume does not need that"
    assert folder.about == before
    broken = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        attempt.blame_the_disk(broken)
