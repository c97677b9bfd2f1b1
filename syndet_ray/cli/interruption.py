"""Interruption: Ctrl-C, SIGTERM and a closed terminal end every command in the same way."""

import signal
from types import FrameType

from syndet_ray.interrupts import postpone


def treat_as_ctrl_c() -> None:
    """Makes SIGTERM and SIGHUP do what Ctrl-C does, so that no file is left half written.

    None of them is lost in an import. Runs and the MLflow UI have their own handlers meanwhile. A
    signal that is ignored, such as SIGHUP under `nohup`, stays ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def is_interruption(system_exit: SystemExit) -> bool:
    """True if Typer has made this exit of a KeyboardInterrupt.

    Commands that go on after one, and say how, exit by themselves.
    """
    typer_exit = system_exit.__context__
    return typer_exit is not None and isinstance(typer_exit.__cause__, KeyboardInterrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not postpone(number, frame):
        raise KeyboardInterrupt
