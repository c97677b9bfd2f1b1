"""Raylet: watches the process without which Ray ends, and our process with it.

That is the raylet of a Ray on this machine, and the head of a cluster.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import ray

from syndet_ray.workers.head import CLIENT, answers
from syndet_ray.workers.nodes.here import description_here
from syndet_ray.workers.stop import Loss

LOST = "Ray has ended on this machine: its raylet was killed, most often for lack of memory"
_LOOK_EVERY_S = 1.0
# Ray waits 14 s (measured) for a raylet that is gone, then ends our process with status 1 and
# without a message. An orderly end takes 2 s.
_GRACE_S = 9.0
_GONE_S = 2.0  # on this machine a connection is made at once, or refused
# For a head that is gone Ray waits 60 s. A network that stalls for some seconds ends no run.
_HEAD_GONE_S = 15.0
_HEAD_GRACE_S = 35.0


@contextmanager
def watched_raylet(address: str | None, on_loss: Loss) -> Iterator[None]:
    """Watches the raylet of this machine and, in a cluster, its head."""
    if address is None:
        with watch(started_raylet(), on_loss):
            yield
    elif address.startswith(CLIENT):  # a client may not reach the head's own port
        yield
    else:
        head = ray.get_runtime_context().gcs_address
        with watch_head(head, on_loss), watch_port(_raylet_address(), on_loss):
            yield


@contextmanager
def watch(
    process: "subprocess.Popen[bytes]",
    on_loss: Loss,
    every_s: float = _LOOK_EVERY_S,
    grace_s: float = _GRACE_S,
) -> Iterator[None]:
    """Calls `on_loss` once, in a thread, if a process ends before the block does."""
    loss = partial(on_loss, LOST)
    with _watching("raylet", lambda: process.poll() is not None, loss, grace_s, every_s):
        yield


@contextmanager
def watch_port(
    address: str, on_loss: Loss, every_s: float = _LOOK_EVERY_S, gone_s: float = _GONE_S
) -> Iterator[None]:
    """Calls `on_loss` once, in a thread, if the raylet at an address of this machine is gone."""
    loss = partial(on_loss, LOST)
    with _watching("raylet", _silence(address, gone_s), loss, _GRACE_S, every_s):
        yield


@contextmanager
def watch_head(
    address: str, on_loss: Loss, every_s: float = _LOOK_EVERY_S, gone_s: float = _HEAD_GONE_S
) -> Iterator[None]:
    """Calls `on_loss` once, in a thread, if nothing answers at an address for `gone_s` seconds."""
    message = f"the head of the Ray cluster at {address} has not answered for {gone_s:.0f} s"
    loss = partial(on_loss, message)
    with _watching("head", _silence(address, gone_s), loss, _HEAD_GRACE_S, every_s):
        yield


def _silence(address: str, gone_s: float) -> Callable[[], bool]:
    """Returns a function: true if at all its calls of the last seconds nothing has answered."""
    last_answer = time.monotonic()

    def is_gone() -> bool:
        nonlocal last_answer
        if answers(address):
            last_answer = time.monotonic()
        return time.monotonic() - last_answer >= gone_s

    return is_gone


@contextmanager
def _watching(
    name: str,
    is_gone: Callable[[], bool],
    loss: Callable[[threading.Event, float], None],
    grace_s: float,
    every_s: float,
) -> Iterator[None]:
    """Calls `loss` once, in a thread, if something is gone before the block ends.

    loss  gets the event that the block has ended, and grace_s
    """
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(every_s):
            if is_gone():
                loss(is_over, grace_s)
                return

    threading.Thread(target=look, name=name, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def started_raylet() -> "subprocess.Popen[bytes]":
    """Returns the raylet that ray.init() has started. Ray has no public way to its processes."""
    (raylet,) = ray._private.worker._global_node.all_processes["raylet"]
    return raylet.process


def _raylet_address() -> str:
    """Returns host:port of the raylet that this process is connected to."""
    here = description_here()
    return f"{here['NodeManagerAddress']}:{here['NodeManagerPort']}"
