"""Stop: ends a run on Ctrl-C, on SIGTERM, which spot machines, Slurm and Kubernetes send, and on
SIGHUP, which a terminal sends when it is closed.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from syndet_ray.interrupts import postpone, send_again
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener
from syndet_ray.wording import resume_hint
from syndet_ray.workers.nodes.own_files import is_sent

Handler = Callable[[int, FrameType | None], Any]
# leaves a run at once; None before there is one
Leave = Callable[[RunFolder | None], None]
# (message about the loss of something that a run needs, event that is set once nothing needs it,
# seconds that an orderly end may take)
Loss = Callable[[str, threading.Event, float], None]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# True only in the run's own terminal: in one that follows the run, Ctrl-C ends only the display.
LEAVE_HINT = "; Ctrl-C once more leaves at once"
# in a run that another machine has sent here, which knows the commands for that
START_RAY_AGAIN = "Ray must be started again before the run can go on"
_STOPPING = f"stopping{LEAVE_HINT}"
_STOPPING_RUN = (
    f"stopping: trials keep their last checkpoint, and resume continues from there{LEAVE_HINT}"
)

# How long the end waits until its message is shown. It takes milliseconds, unless the terminal
# hangs.
_MESSAGE_S = 2.0


def interrupt_for(note: Note) -> Loss:
    """Returns a function for the loss of Ray while there is no run.

    It shows the message and interrupts the main thread.
    """

    def lose(message: str, is_over: threading.Event, grace_s: float) -> None:
        note(message)
        os.kill(os.getpid(), signal.SIGINT)

    return lose


def interrupt_again(folder: RunFolder | None) -> None:
    """Interrupts the end too, in a process that continues after the run, such as a notebook's."""
    raise KeyboardInterrupt


def replace_handlers(handler_for: Callable[[int, Any], Handler | None]) -> dict[int, Any]:
    """Replaces the handlers of SIGINT, SIGTERM and SIGHUP; returns the old ones by signal.

    `restore_handlers` takes them. handler_for returns the new handler for a signal and its present
    handler; None keeps that one. Only the main thread may replace handlers: others change nothing.
    """
    replaced: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return replaced
    for number in _SIGNALS:
        handler = handler_for(number, signal.getsignal(number))
        if handler is not None:
            replaced[number] = signal.signal(number, handler)
    return replaced


def restore_handlers(replaced: Mapping[int, Any]) -> None:
    """Restores handlers by signal. Only the main thread may do so: others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in replaced.items():
        signal.signal(number, handler)


class Stop(Listener):
    """Ends a run by KeyboardInterrupt at the first request; leaves it at the second Ctrl-C.

    A second SIGTERM does not shorten the end that the first request began: some schedulers send one
    to each process of a job. A signal that is ignored when the run starts stays ignored: SIGINT in
    a run that a script started in the background, SIGHUP under `nohup`.

    note     shows a message at once
    leave    called with the run when Ctrl-C is pressed again; with None before there is a run
    folder   of the run, once there is one
    address  of the run on S3, once it has one: another machine can resume it from there
    outcome  the outcome of the run, once it is certain: an interrupt during the last steps does not
             change it
    give_back  gives up the address on S3 from any thread, so that another process may resume it
    """

    def __init__(self, note: Note, leave: Leave = interrupt_again) -> None:
        self._note, self._leave = note, leave
        self.folder: RunFolder | None = None
        self.address: str | None = None
        self.outcome: Any = None
        self.give_back: Callable[[], None] = lambda: None
        self._is_asked = False
        self._is_due = False
        self._is_dropped = False
        self._again: threading.Timer | None = None  # that sends the signal of a dropped interrupt
        self._before: dict[int, Any] = {}  # the handlers that it has replaced, by signal
        self._hook = sys.unraisablehook
        self._message: threading.Thread | None = None  # that shows that the end has begun

    def __enter__(self) -> "Stop":
        self._before = replace_handlers(self._handler_for)
        if self._before:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._note_dropped
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the handlers. Waits for the message of the end: the last words come after it."""
        self._is_dropped = False
        try:
            if self._again is not None:  # its signal would end the process, and not the run
                self._again.cancel()
                self._again.join()
            if self._message is not None:
                self._message.join(_MESSAGE_S)
        finally:
            restore_handlers(self._before)
            if self._before:
                sys.unraisablehook = self._hook

    def ask(self) -> None:
        """Requests the end from any thread, by a signal as the machine would send it."""
        if self._before:
            os.kill(os.getpid(), self._signal)
        else:  # the run is not in the main thread: a signal would stop other work there
            self._is_asked = self._is_due = True
            self._note(_STOPPING_RUN)

    def lose(self, message: str, is_over: threading.Event, grace_s: float) -> None:
        """Ends the run in order, from any thread, because something that it needs is gone.

        If that takes long, it leaves the run at once.

        message  names the loss
        is_over  is set once the run does not need it any more
        grace_s  how long that may take
        """
        self._note(f"{message}; {self._hint()}")
        self.ask()
        if not is_over.wait(grace_s):
            # the main thread may be in a call of Ray that ends only when Ray ends the process
            self.give_back()
            with suppress(KeyboardInterrupt):  # in a process that continues after the run
                self._leave(self.folder)

    def _hint(self) -> str:
        """Words on how to go on after a loss."""
        if self.folder is None:
            return resume_hint(None)
        if is_sent():
            return START_RAY_AGAIN
        return resume_hint(self.folder.path, address=self.address)

    def update(self, trial: Trial) -> None:
        """Raises KeyboardInterrupt at the first event after a request without a signal."""
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt if the end was requested without a signal."""
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt

    @property
    def _signal(self) -> int:
        """A signal that has our handler."""
        return signal.SIGTERM if signal.SIGTERM in self._before else signal.SIGINT

    def _note_dropped(self, unraisable: Any) -> None:
        """Asks again for an end whose KeyboardInterrupt Python has dropped: in a destructor, or a
        callback of a weak reference, where nothing can catch it, and the run would continue.
        """
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._is_dropped = True
            self._again = send_again(self._signal)
        else:
            self._hook(unraisable)

    def _handler_for(self, number: int, present: Any) -> Handler | None:
        can_be_ignored = number in (signal.SIGINT, signal.SIGHUP)
        return None if can_be_ignored and present is signal.SIG_IGN else self._handle

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if postpone(number, frame):
            return
        if not self._is_asked:
            self._is_asked, self._is_dropped = True, False
            message = _STOPPING if self.folder is None else _STOPPING_RUN
            # In a thread: the interrupted code may hold a lock of the terminal, for which a note
            # would wait.
            self._message = threading.Thread(target=self._note, args=(message,), daemon=True)
            self._message.start()
            raise KeyboardInterrupt
        if self._is_dropped:
            self._is_dropped = False
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self._leave(self.folder)


@contextmanager
def deferral() -> Iterator[Callable[[], None]]:
    """Keeps KeyboardInterrupt out of a block of library code.

    It would come between any two steps of that code, which may be in a destructor: there Python
    drops it, and the run would continue. Yields a function that raises it if one is due. If the
    function is not called, it is raised after the block.
    """
    due = threading.Event()

    def check() -> None:
        if due.is_set():
            raise KeyboardInterrupt

    before = replace_handlers(
        lambda _, present: _defer(present, due) if callable(present) else None
    )
    try:
        yield check
    finally:
        restore_handlers(before)
    check()


def _defer(handler: Handler, due: threading.Event) -> Handler:
    """Returns a handler that does the same, but sets `due` if that one raises KeyboardInterrupt."""

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt:
            due.set()

    return handle
