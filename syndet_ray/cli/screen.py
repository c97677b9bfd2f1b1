"""Screen: the progress display of a command. Rich is imported only when it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.terminal import Bar, Plain


@contextmanager
def open_display(console: "Console") -> Iterator["Plain | Bar"]:
    """A display that is closed at the end, also after an error: later output is below it."""
    from syndet_ray.cli import terminal

    display = terminal.display(console)
    try:
        yield display
    finally:
        display.end()
