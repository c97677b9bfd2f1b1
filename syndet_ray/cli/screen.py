"""Screen: the progress display of a command. Rich is imported only when it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.terminal import Bar, Plain

LOADING = "loading PyTorch, Ray and MLflow"  # this takes seconds


@contextmanager
def open_display(console: "Console") -> Iterator["Plain | Bar"]:
    """A display that is closed at the end, also after an error: later output is below it."""
    from syndet_ray.cli import terminal

    display = terminal.display(console)
    try:
        yield display
    finally:
        display.end()


class NoteKeeper:
    """A display that also keeps its notes, in `notes`, for the JSON document of a command."""

    def __init__(self, display: "Plain | Bar") -> None:
        self._display = display
        self.notes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_display"], name)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._display.note(text)
