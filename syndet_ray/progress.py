"""Progress: the callbacks through which long work tells how far it is."""

from collections.abc import Callable

# (done, total), once before the first step and after each.
Progress = Callable[[int, int], None]
# (what, done, total), where several pieces of work follow one another.
NamedProgress = Callable[[str, int, int], None]
# A sentence that a person should read, without its full stop.
Note = Callable[[str], None]


def quiet(done: int, total: int) -> None:
    """A Progress that shows nothing."""


def silent(text: str) -> None:
    """A Note that shows nothing."""
