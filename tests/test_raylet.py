"""Where the raylet of this machine is killed, or the head of a cluster, a run says so and ends in
order, before Ray ends it without a word.
"""

import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from test_stop import Notes

from syndet_ray.workers.nodes import own_files
from syndet_ray.workers.raylet import LOST, watch, watch_head, watch_port, watched_raylet
from syndet_ray.workers.stop import START_RAY_AGAIN, Stop, interrupt_for

pytestmark = pytest.mark.usefixtures("python_handles_interrupts")

LOOK_EVERY_S = 0.01
PATIENCE_S = 30.0


@pytest.fixture
def process():
    """A process that runs until it is killed, as a raylet does."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


class Losses:
    """What was lost, as the thread says that looks."""

    def __init__(self):
        self.told, self._arrived = [], threading.Event()

    def __call__(self, what, is_over, grace_s):
        self.told.append((what, is_over.is_set()))
        self._arrived.set()

    def wait(self):
        assert self._arrived.wait(PATIENCE_S)


def wait_for_interrupt():
    """Ends by KeyboardInterrupt; in short steps, for a signal that comes just before a step is
    slept through.
    """
    never = threading.Event()
    for _ in range(int(PATIENCE_S / LOOK_EVERY_S)):
        never.wait(LOOK_EVERY_S)


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "raylet"]


def test_a_process_that_is_killed_is_missed(process):
    losses = Losses()
    with watch(process, losses, LOOK_EVERY_S):
        process.kill()
        losses.wait()
    assert losses.told == [(LOST, False)]


def test_a_process_that_ends_with_the_connection_is_not_missed(process):
    losses = Losses()
    with watch(process, losses, LOOK_EVERY_S):
        (watcher,) = watchers()
    process.kill()
    watcher.join(PATIENCE_S)
    assert not watcher.is_alive() and losses.told == []


def test_a_ray_behind_a_client_is_not_watched():
    with watched_raylet("ray://10.0.0.1:10001", Losses()):
        assert [thread for thread in threading.enumerate() if thread.name == "head"] == []


def test_a_head_that_does_not_answer_for_a_while_is_missed():
    losses = Losses()
    head = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{head.getsockname()[1]}"
    with watch_head(address, losses, every_s=LOOK_EVERY_S, gone_s=0.1):
        head.accept()[0].close()
        head.accept()[0].close()
        assert losses.told == []
        head.close()
        losses.wait()
    message = f"the head of the Ray cluster at {address} has not answered for 0 s"
    assert losses.told == [(message, False)]


def test_the_raylet_of_this_machine_is_missed_in_a_cluster_too():
    losses = Losses()
    raylet = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{raylet.getsockname()[1]}"
    with watch_port(address, losses, every_s=LOOK_EVERY_S, gone_s=0.1):
        raylet.accept()[0].close()
        assert losses.told == []
        raylet.close()
        losses.wait()
    assert losses.told == [(LOST, False)]


def test_a_head_that_ends_with_the_connection_is_not_missed():
    losses = Losses()
    with (
        socket.create_server(("127.0.0.1", 0)) as head,
        watch_head(f"127.0.0.1:{head.getsockname()[1]}", losses, every_s=LOOK_EVERY_S),
    ):
        (watcher,) = (thread for thread in threading.enumerate() if thread.name == "head")
        head.accept()[0].close()
    watcher.join(PATIENCE_S)
    assert losses.told == []


def test_a_run_says_what_was_lost_and_how_to_go_on_and_ends_in_order(process):
    notes, left = Notes(), []
    with Stop(notes, left.append) as stop:
        stop.folder = SimpleNamespace(path="runs/dice-1")
        stop.address = "s3://bucket/dice-1"
        with watch(process, stop.lose, LOOK_EVERY_S):
            (watcher,) = watchers()
            process.kill()
            with pytest.raises(KeyboardInterrupt):
                wait_for_interrupt()
        watcher.join(PATIENCE_S)
    assert notes.first() == (
        f"{LOST}; continue with: python -m syndet_ray resume runs/dice-1 "
        "(on another machine: python -m syndet_ray resume s3://bucket/dice-1)"
    )
    assert left == [], "it has ended in time"


def test_a_run_that_was_sent_names_no_folder_of_the_head(monkeypatch):
    monkeypatch.setenv(own_files.SENT_FOLDER, "/head/files")
    over, notes = threading.Event(), Notes()
    over.set()
    stop = Stop(notes)
    stop.lose(LOST, over, grace_s=0.0)
    stop.folder = SimpleNamespace(path="/head/runs/dice-1")
    stop.lose(LOST, over, grace_s=0.0)
    assert [text for text in notes.said if text.startswith(LOST)] == [
        f"{LOST}; no run had started",
        f"{LOST}; {START_RAY_AGAIN}",
    ]


def test_a_run_that_does_not_end_in_time_is_left_before_ray_ends_it(process):
    notes, left = Notes(), []
    with (
        Stop(notes, left.append) as stop,
        watch(process, stop.lose, LOOK_EVERY_S, grace_s=0.0),
    ):
        stop.give_back = lambda: left.append("given back")
        (watcher,) = watchers()
        process.kill()
        with pytest.raises(KeyboardInterrupt):
            wait_for_interrupt()
        watcher.join(PATIENCE_S)
    assert notes.first() == f"{LOST}; no run had started"
    assert left == ["given back", None], "another machine need not wait until its lease expires"


def test_in_a_thread_a_run_is_left_without_a_signal():
    notes, left = Notes(), []

    def carry_out():
        with Stop(notes, left.append) as stop:
            stop.lose(LOST, threading.Event(), grace_s=0.0)

    thread = threading.Thread(target=carry_out)
    thread.start()
    thread.join()
    assert left == [None]


def test_what_is_no_run_is_interrupted(process):
    notes = Notes()
    with watch(process, interrupt_for(notes), LOOK_EVERY_S):
        process.kill()
        with pytest.raises(KeyboardInterrupt):
            wait_for_interrupt()
    assert notes.first() == LOST
