"""Progress: callbacks through which long work reports how far it is."""

from collections.abc import Callable

# (done, total): called once before the first step and after every step.
Progress = Callable[[int, int], None]
# (name of the work, done, total): for several pieces of work that follow one another.
NamedProgress = Callable[[str, int, int], None]
# A sentence that a person should read, without its full stop.
Note = Callable[[str], None]


def quiet(done: int, total: int) -> None:
    """A Progress that shows nothing."""


def silent(text: str) -> None:
    """A Note that shows nothing."""
