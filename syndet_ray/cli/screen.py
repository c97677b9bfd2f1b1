"""Screen: the display of what goes on, for as long as it does. Rich is imported only when there is something to show."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from syndet_ray.cli.options import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.run_folder import RunFolder
    from syndet_ray.terminal import Bar, Plain


@contextmanager
def shown(console: "Console") -> Iterator["Plain | Bar"]:
    """A display, closed at the end whatever happens: what is printed afterwards stands below it."""
    from syndet_ray import terminal

    display = terminal.display(console)
    try:
        yield display
    finally:
        display.end()


def leave(folder: "RunFolder | None") -> None:
    """Ends this process at once, in the middle of whatever it does, and says how a run is gone on with.

    Nothing of Python's or of a terminal's display is used: what was interrupted may hold its locks. What a kill would not
    cost this does not cost.
    """
    cursor = "\x1b[?25h" if sys.stdout.isatty() else ""  # the display has hidden it
    words = "nothing had begun" if folder is None else f"go on with: python -m syndet_ray resume {folder.path}"
    os.write(1, f"{cursor}\nleft at once; {words}\n".encode())
    os._exit(INTERRUPTED)
