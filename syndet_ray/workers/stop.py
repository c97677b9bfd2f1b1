"""Stop: how a run ends when it is asked to: by Ctrl-C, or by SIGTERM, as spot machines, Slurm and
Kubernetes ask.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener

Handler = Callable[[int, FrameType | None], Any]
# told where a run is to be left at once; None before there is one
Leave = Callable[[RunFolder | None], None]
# told what a run cannot go on without is gone; set once nothing needs it
Loss = Callable[[str, threading.Event], None]

_WORDS = "stopping; Ctrl-C once more leaves at once"
_RUN_WORDS = "stopping: trials keep their last checkpoint, and resume goes on from there; Ctrl-C once more leaves at once"

# How long an end in order may take once Ray is gone from this machine. It takes 2 s; after 14 s Ray
# ends our process.
_GRACE_S = 9.0


def interrupt_for(note: Note) -> Loss:
    """What to do without a run where Ray is gone: it says so, and interrupts the main thread."""

    def lose(what: str, is_over: threading.Event) -> None:
        note(what)
        os.kill(os.getpid(), signal.SIGINT)

    return lose


def interrupt_again(folder: RunFolder | None) -> None:
    """Interrupts the end itself, in a process that goes on after the run, such as a notebook's."""
    raise KeyboardInterrupt


def replace_handlers(handler_for: Callable[[int, Any], Handler | None]) -> dict[int, Any]:
    """Replaces the handlers of SIGINT and SIGTERM; returns those that were there, by signal, for
    `restore_handlers`.

    handler_for: the new handler, given a signal and its present one; None leaves that one in place.
    Only the main thread may do so: in any other nothing is replaced.
    """
    replaced: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return replaced
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = handler_for(number, signal.getsignal(number))
        if handler is not None:
            replaced[number] = signal.signal(number, handler)
    return replaced


def restore_handlers(replaced: Mapping[int, Any]) -> None:
    """Puts handlers back, by signal. Only the main thread may do so: in any other nothing is put
    back.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in replaced.items():
        signal.signal(number, handler)


class Stop(Listener):
    """Has a run end by KeyboardInterrupt when it is first asked to, and leaves at once where Ctrl-C
    is pressed again.

    SIGTERM asks once: what it began is not cut short by another, which some schedulers send to each
    process of a job. Where a script began the run in the background, its shell has it ignore
    SIGINT, and so it does.

    note    told at once what happens
    leave   called where Ctrl-C is pressed again, with the run; None before there is one
    folder  of the run, once there is one
    outcome  what the run has come to, once it has: an interrupt while the rest is put away changes
             nothing about it
    """

    def __init__(self, note: Note, leave: Leave = interrupt_again) -> None:
        self._note, self._leave = note, leave
        self.folder: RunFolder | None = None
        self.outcome: Any = None
        self._is_asked = False
        self._is_due = False
        self._before: dict[int, Any] = {}  # what was done about these signals before

    def __enter__(self) -> "Stop":
        self._before = replace_handlers(self._handler_for)
        return self

    def __exit__(self, *_: object) -> None:
        restore_handlers(self._before)

    def ask(self) -> None:
        """Asks for the end from any thread, as the machine would."""
        if self._before:
            os.kill(
                os.getpid(), signal.SIGTERM if signal.SIGTERM in self._before else signal.SIGINT
            )
        else:  # a run outside the main thread, in which a signal would stop somebody else's work
            self._is_asked = self._is_due = True
            self._note(_RUN_WORDS)

    def lose(self, what: str, is_over: threading.Event) -> None:
        """Ends the run in order, from any thread, because of what it cannot go on without; at once
        where that takes long.

        what     is gone, in words
        is_over  set once the run needs it no more
        """
        go_on = (
            "nothing had begun"
            if self.folder is None
            else f"go on with: python -m syndet_ray resume {self.folder.path}"
        )
        self._note(f"{what}; {go_on}")
        self.ask()
        if not is_over.wait(_GRACE_S):
            with suppress(KeyboardInterrupt):  # of a process that goes on after the run
                self._leave(self.folder)

    def update(self, trial: Trial) -> None:
        """Follows a search that no signal reaches: raises KeyboardInterrupt at its next event once
        it is asked to end.
        """
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt where the end is due and no signal said so."""
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt

    def _handler_for(self, number: int, present: Any) -> Handler | None:
        is_ignored = number == signal.SIGINT and present is signal.SIG_IGN
        return None if is_ignored else self._handle

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._is_asked:
            self._is_asked = True
            words = _WORDS if self.folder is None else _RUN_WORDS
            # By a thread: the terminal may be in the middle of a line, and wait for what this one
            # holds.
            threading.Thread(target=self._note, args=(words,), daemon=True).start()
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self._leave(self.folder)


@contextmanager
def deferral() -> Iterator[Callable[[], None]]:
    """Keeps KeyboardInterrupt out of a block of somebody else's code; yields a function that raises
    it where one is due.

    It would come between any two steps of that code, which may be in a destructor: there Python
    drops it, and the run would go on. Where the function is not called, it is raised after the
    block.
    """
    due = threading.Event()

    def check() -> None:
        if due.is_set():
            raise KeyboardInterrupt

    before = replace_handlers(
        lambda _, present: _deferred(present, due) if callable(present) else None
    )
    try:
        yield check
    finally:
        restore_handlers(before)
    check()


def _deferred(handler: Handler, due: threading.Event) -> Handler:
    """A handler that does the same, but notes that an interrupt is due where that one raises it."""

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt:
            due.set()

    return handle
