"""Raylet: watches the process without which Ray ends on this machine, and our process with it."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from syndet_ray.workers.stop import Loss

# Ray waits 14 s (measured) for a raylet that is gone, then ends our process with status 1 and
# without a message.
_LOOK_EVERY_S = 1.0
LOST = "Ray has ended on this machine: its raylet was killed, most often for lack of memory"


@contextmanager
def watched_raylet(address: str | None, on_loss: Loss) -> Iterator[None]:
    """Watches the raylet of a Ray that this process has started.

    A Ray at an address has no raylet to watch here.
    """
    if address is not None:
        yield
        return
    with watch(started_raylet(), on_loss):
        yield


@contextmanager
def watch(
    process: "subprocess.Popen[bytes]", on_loss: Loss, every_s: float = _LOOK_EVERY_S
) -> Iterator[None]:
    """Calls `on_loss` once, in a thread, if a process ends before the block does."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(every_s):
            if process.poll() is not None:
                on_loss(LOST, is_over)
                return

    threading.Thread(target=look, name="raylet", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def started_raylet() -> "subprocess.Popen[bytes]":
    """Returns the raylet that ray.init() has started. Ray has no public way to its processes."""
    (raylet,) = ray._private.worker._global_node.all_processes["raylet"]
    return raylet.process
