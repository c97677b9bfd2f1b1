"""Sitter: runs a program, and ends it with all that it started when our process is gone.

A worker that is killed cannot end its program, which would go on training for hours. So the program
is a child of this script, in one process group with it. Some libraries start processes in groups of
their own, which are found by their parents. It needs nothing but the standard library.

There are two, one inside the other: Ray kills the children of a worker that ends, though not their
children, so that the outer one may go before it can do anything.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

COMMAND_VARIABLE = "SYNDET_SITTER"  # the variable with the parent's id and the program, as JSON
CANNOT_START = 126  # exit code, as a shell's
_SET_CHILD_SUBREAPER = 36  # of prctl(2)
_EVERY_S = 0.05  # between looks at the program, and at the parent, which it may outlive so long


def main() -> int:
    """Runs the program to its end; returns its exit code, or ends by the signal that ended it."""
    command = json.loads(os.environ.pop(COMMAND_VARIABLE))
    words, environment = command["words"], dict(os.environ)
    if command["is_outer"]:
        inner = {"parent": os.getpid(), "words": words, "is_outer": False}
        words = [sys.executable, "-I", __file__]
        environment[COMMAND_VARIABLE] = json.dumps(inner)
    _adopt_orphans()
    try:
        program = subprocess.Popen(words, env=environment)
    except OSError as error:
        sys.stderr.write(f"cannot be started ({error.strerror})\n")
        return CANNOT_START
    while (code := _exit_code(program.pid)) is None:
        if os.getppid() != command["parent"]:
            _kill(_descendants(os.getpid()))
            os.killpg(0, signal.SIGKILL)  # this process too
        time.sleep(_EVERY_S)
    program.returncode = code  # which Popen did not see
    _kill(_descendants(os.getpid()))  # what it has left behind
    if code < 0:
        _end_by(-code)
    return code


def end_group(pid: int) -> None:
    """Kills all that a process has started, and its group, which it leads itself."""
    _kill(_descendants(pid))
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _exit_code(pid: int) -> int | None:
    """The exit code of a child that has ended, the negative number of the signal that ended it, or
    None while it runs. No child that has ended, such as an adopted one, stays as a zombie.
    """
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
        if ended == 0:
            return None


def _end_by(number: int) -> None:
    """Ends this process by a signal: an exit code for it might be the program's, too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has dumped its core, if any
    with suppress(OSError):  # SIGKILL has no handler
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


def _adopt_orphans() -> None:
    """Makes this process the parent of those below it whose parent ends, where that is possible."""
    with suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # it may have become another user's
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """The ids of the processes that a process has started, and of those that these have, parents
    first; none where the system has no /proc.
    """
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            _, _, facts = stat.read_text(encoding="utf-8", errors="replace").rpartition(") ")
            parent = int(facts.split()[1])  # after the name and the state, see proc(5)
            children.setdefault(parent, []).append(int(stat.parent.name))
    descendants = children.get(pid, []).copy()
    for other in descendants:  # grows meanwhile
        descendants += children.get(other, [])
    return descendants


if __name__ == "__main__":
    sys.exit(main())
