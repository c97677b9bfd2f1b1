"""Interrupts: sends those again that come where Python or a package would drop them."""

import os
import threading
from types import FrameType

_IMPORT = "<frozen importlib._bootstrap>"
_AGAIN_S = 0.1  # until a signal is sent again; imports of PyTorch and MLflow take seconds


def postpone(number: int, frame: FrameType | None) -> bool:
    """Sends a signal again soon if it came in the middle of an import; true if it does.

    Packages catch all exceptions around imports of what they can do without, so an exception of a
    signal handler would be lost there.
    """
    if not _is_importing(frame):
        return False
    send_again(number)
    return True


def send_again(number: int) -> threading.Timer:
    """Sends a signal to this process soon, from a thread, unless that is cancelled."""
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True  # it must not keep the process from ending
    timer.start()
    return timer


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
