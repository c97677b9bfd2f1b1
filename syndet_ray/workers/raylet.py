"""Raylet: a watch on the process without which Ray on this machine ends, and takes ours with it."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from syndet_ray.workers.stop import Loss

# Ray waits for a raylet that is gone for 14 s, measured, then exits in our process with status 1
# and without a word.
_LOOK_EVERY_S = 1.0
LOST = "Ray has ended on this machine: its raylet was killed, most often for want of memory"


@contextmanager
def watched_raylet(address: str | None, on_loss: Loss) -> Iterator[None]:
    """Watches the raylet of the Ray that this process has begun; there is nothing to watch of one
    at an address.
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
    """Calls `on_loss`, in a thread and once, where a process ends before the block does."""
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
    """The raylet that ray.init() has started: Ray tells of its processes nowhere else."""
    (raylet,) = ray._private.worker._global_node.all_processes["raylet"]
    return raylet.process
