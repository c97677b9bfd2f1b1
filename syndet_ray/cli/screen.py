"""Screen: the display of what goes on, for as long as it does. Rich is imported only when there is
something to show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.terminal import Bar, Plain


@contextmanager
def shown(console: "Console") -> Iterator["Plain | Bar"]:
    """A display, closed at the end whatever happens: what is printed afterwards stands below it."""
    from syndet_ray.cli import terminal

    display = terminal.display(console)
    try:
        yield display
    finally:
        display.end()
