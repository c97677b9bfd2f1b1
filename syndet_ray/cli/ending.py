"""Ending: how this process ends, without waiting for what is left undone."""

import atexit
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from syndet_ray.cli.options import FAILED, INTERRUPTED
from syndet_ray.cli.stream import lasting

if TYPE_CHECKING:
    from syndet_ray.runs.folder import RunFolder


def end(status: int) -> NoReturn:
    """Ends this process when all is done, without a last look for garbage.

    Among all of torch and Ray that look takes seconds, and somebody waits for the prompt.
    """
    _forget_requests()
    atexit._run_exitfuncs()
    os._exit(status if _flush() else status or FAILED)


def _forget_requests() -> None:
    """Lets go of requests to a store that does not answer: Arrow, where it is loaded, would wait
    for them, 99 s for each.
    """
    arrow = sys.modules.get("pyarrow.fs")
    if arrow is not None:
        atexit.unregister(arrow.ensure_s3_finalized)


def _flush() -> bool:
    """Writes what was printed; False, and says so, where some of it could not be written, as to a
    disk that is full.
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
    """Ends this process at once, in the middle of whatever it does, and says how to resume the run.

    Nothing of Python's or of a terminal's display is used: what was interrupted may hold its locks.
    It loses no more than a kill does.
    """
    cursor = "\x1b[?25h" if lasting(sys.stdout).isatty() else ""  # the display has hidden it
    words = (
        "nothing had begun"
        if folder is None
        else f"go on with: python -m syndet_ray resume {folder.path}"
    )
    with suppress(OSError):  # who read it may have gone
        os.write(1, f"{cursor}\nleft at once; {words}\n".encode())
    os._exit(INTERRUPTED)
