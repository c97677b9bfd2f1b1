"""Ending: ends this process without waiting for unfinished work."""

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from syndet_ray.cli.options import FAILED, INTERRUPTED
from syndet_ray.cli.stream import lasting
from syndet_ray.wording import resume_hint

if TYPE_CHECKING:
    from syndet_ray.runs.folder import RunFolder


def end(status: int) -> NoReturn:
    """Ends this process when all is done, without a last garbage collection.

    With torch and Ray loaded that takes seconds, and the user waits for the prompt. A signal now
    ends it at once: nothing is left to do in order.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    _forget_requests()
    atexit._run_exitfuncs()
    os._exit(status if _flush() else status or FAILED)


def _forget_requests() -> None:
    """Drops requests to a store that does not answer: Arrow would wait 99 s for each of them."""
    arrow = sys.modules.get("pyarrow.fs")
    if arrow is not None:
        atexit.unregister(arrow.ensure_s3_finalized)


def _flush() -> bool:
    """Writes the printed text; False, and a message, when some of it cannot be written.

    That happens on a full disk.
    """
    streams = [lasting(sys.stdout), lasting(sys.stderr)]
    for stream in streams:
        stream.flush()
    failure = next((stream.failure for stream in streams if stream.failure is not None), None)
    if failure is not None:
        with suppress(OSError):
            os.write(2, f"syndet_ray: what was printed cannot be written ({failure})\n".encode())
    return failure is None


def leave(folder: "RunFolder | None") -> None:
    """Ends this process at once, in the middle of its work, and says how to resume the run.

    It uses nothing of Python or the display: the interrupted code may hold their locks. No more is
    lost than by a kill.
    """
    cursor = "\x1b[?25h" if lasting(sys.stdout).isatty() else ""  # the display has hidden it
    hint = resume_hint(None if folder is None else folder.path)
    with suppress(OSError):  # the reader may have gone
        os.write(1, f"{cursor}\nleft at once; {hint}\n".encode())
    os._exit(INTERRUPTED)
