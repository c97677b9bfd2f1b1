"""Program: a training program of the user, as a process that is spoken to in lines.

It is started as PROGRAM ARG... FOLDER, where FOLDER/task.json says what to do. A line of its output
that begins with {" is a report; all other output goes into FOLDER/log.txt. After each report of a
rung it reads one line from its input, "continue" or "stop". See docs/own_program.md.
"""

import errno
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.definitions.program import SENT_FOLDER
from syndet_ray.detection import program_sitter
from syndet_ray.errors import DataError, MachineError, SyndetError
from syndet_ray.files import last_lines

LOG = "log.txt"
GRACE_S = 5.0  # for a program that was told to stop, to end by itself; Tune waits longer
_LONGEST_LINE = 1 << 20  # bytes: a report names its files, and does not hold them
_READ_BYTES = 1 << 16
_MOST_LOG_BYTES = 64 << 20  # on the disk: what a program printed last says most
_LOOK_S = 1.0  # between looks whether a silent program has ended: its children may hold its output
_BEGINNING = b'{"'  # of a report
# exit codes of a shell, srun or docker run whose own program was killed, as for lack of memory
_OF_KILLED_CHILDREN = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
_NO_MODULE = "No module named"  # printed by Python for a failed import
_CANNOT_OPEN = "can't open file"  # printed by Python for a script that is not there
_FULL = (errno.ENOSPC, errno.EDQUOT)  # no room, no more quota
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """The folder, device and threads that a program works with.

    cache    images that it reads are written there
    device   that it may use: GPUs are hidden from a program on "cpu"
    limit_s  seconds that it may take in all; None without a limit
    """

    cache: Path
    device: str
    threads: int
    limit_s: float | None = None


@contextmanager
def running(
    words: Sequence[str],
    folder: Path,
    workplace: Workplace,
    *,
    due: str = "every rung",
    has_reported: bool = False,
) -> Iterator["Program"]:
    """Starts a program on a folder; when the block ends, it is told to stop, and ended.

    due           what it must report, for errors
    has_reported  True if it goes on from what it has reported in an earlier process

    Raises MachineError if it cannot be started.
    """
    environment = _environment(workplace.device, workplace.threads)
    program = Program(
        words,
        folder,
        environment,
        limit_s=workplace.limit_s,
        due=due,
        has_reported=has_reported,
    )
    try:
        yield program
    finally:
        program.end()


@dataclass(frozen=True)
class _Limit:
    """Seconds that something may take, and when on the monotonic clock they are over."""

    seconds: float
    end_s: float

    @staticmethod
    def of(seconds: float) -> "_Limit":
        """A limit that begins now."""
        return _Limit(seconds, time.monotonic() + seconds)

    def rest_s(self) -> float:
        return self.end_s - time.monotonic()


class Program:
    """A running program. Its errors name the program and quote the end of its log."""

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        limit_s: float | None,
        due: str,
        has_reported: bool,
    ) -> None:
        self.place = f"program {shlex.join(words)}"
        sent_folder = os.environ.get(SENT_FOLDER)
        sent_words = [word for word in words if word.startswith(f"{sent_folder}/")]
        self._is_sent = sent_folder is not None and bool(sent_words)
        self.log = folder / LOG
        self._due = due
        self._line_number = 0  # from 1, of the line that was given last
        self._unread_lines: deque[bytes] = deque()  # that were not given yet
        self._rest = b""  # the beginning of a line whose end was not read yet
        self._has_reported, self._is_late = has_reported, False
        self._total_limit = None if limit_s is None else _Limit.of(limit_s)
        self._limit = self._total_limit  # of what is waited for
        if shutil.which(words[0]) is None:
            raise _no_program(self.place, words[0])
        command = {"parent": os.getpid(), "words": [*words, str(folder)], "is_outer": True}
        self._log_file = self.log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-I", program_sitter.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            env={**environment, program_sitter.COMMAND_VARIABLE: json.dumps(command)},
            start_new_session=True,  # its own process group, which is ended as one
        )
        self._poll = select.poll()  # unlike select.select it takes files of any number
        self._poll.register(self._output, select.POLLIN)

    def report(self, within_s: float | None = None) -> tuple[str, Any]:
        """The next report: the place of its line, for errors, and the object that it holds.

        within_s  seconds that it may take, besides the limit of the program; None: any time

        Raises DataError if it is no JSON object. If there is none, it raises MachineError for a
        program that was killed, failed after a report or takes too long, and DataError for one that
        ended before its first: it would do that again.
        """
        limits = [] if self._total_limit is None else [self._total_limit]
        if within_s is not None:
            limits.append(_Limit.of(within_s))
        self._limit = min(limits, key=lambda limit: limit.end_s, default=None)
        while True:
            line = self._line()
            if line is None:
                self._log_file.flush()
                raise self._end_error()
            text = line.strip().rpartition(b"\r")[2].lstrip()  # a progress bar is drawn over
            if text.startswith(_BEGINNING):
                self._has_reported = True
                self._log_file.flush()
                place = f"{self.place}, line {self._line_number} of its output"
                return place, _object(place, text)
            self._log_file.write(line + b"\n")

    def go_on(self) -> None:
        """Tells the program to continue. One that has ended is noticed by `report`."""
        self._tell(b"continue\n")

    def end(self) -> None:
        """Tells the program to stop; after a grace time, kills it and all that it has started."""
        self._tell(b"stop\n")
        with suppress(OSError):
            self._input.close()
        try:
            # one that is too late gets no more time
            self._limit = limit = _Limit.of(0.0 if self._is_late else GRACE_S)
            while self._read():  # its output must not block it, and says nothing any more
                continue
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, limit.rest_s()))
        except MachineError:  # the grace time is over
            pass
        finally:
            if self._process.poll() is None:
                program_sitter.end_group(self._process.pid)
            else:  # the sitter has ended, and its id may be another's: the group alone is the same
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._output.close()
            self._log_file.close()

    def quote_log(self, error: SyndetError) -> SyndetError:
        """The same error, with the end of the log."""
        do = f"{error.do} {self.log_words()}".strip()
        return type(error)(error.place, error.rule, got=error.got, do=do)

    def log_words(self) -> str:
        """The end of what the program printed besides reports."""
        printed = last_lines(self.log)
        return f"It printed: {printed}" if printed else "It printed nothing else."

    @property
    def _input(self) -> Any:
        return self._process.stdin

    @property
    def _output(self) -> Any:
        return self._process.stdout

    def _tell(self, line: bytes) -> None:
        with suppress(OSError, ValueError):  # it has ended, or was told before
            self._input.write(line)
            self._input.flush()

    def _line(self) -> bytes | None:
        """The next line of its output, without its end; None at the end of the output."""
        while not self._unread_lines:
            if len(self._rest) > _LONGEST_LINE:
                return self._overlong_line()
            content = self._read()
            if not content:
                last, self._rest = self._rest, b""
                self._line_number += bool(last)
                return last or None
            *lines, self._rest = (self._rest + content).split(b"\n")
            self._unread_lines += lines
        self._line_number += 1
        return self._unread_lines.popleft()

    def _overlong_line(self) -> bytes:
        """The beginning of a line that is too long to be a report."""
        if self._rest.lstrip().startswith(_BEGINNING):
            place = f"{self.place}, line {self._line_number + 1} of its output"
            rule = f"a report must have at most {_LONGEST_LINE:,} bytes"
            raise DataError(place, rule, do="Write predictions into a file, and report its name.")
        line, self._rest = self._rest, b""
        return line

    def _read(self) -> bytes:
        """The next bytes of its output, b"" at the end. Raises MachineError after the limit."""
        self._keep_log()
        while True:
            rest_s = _LOOK_S if self._limit is None else self._limit.rest_s()
            if self._limit is not None and rest_s <= 0:
                self._is_late = True
                rule = f"must report within {self._limit.seconds:.3g} s and was stopped"
                raise MachineError(self.place, rule, do=self.log_words())
            wait_ms = 1000 * min(_LOOK_S, rest_s)
            if self._poll.poll(wait_ms):
                return os.read(self._output.fileno(), _READ_BYTES)
            if self._process.poll() is not None:
                return b""

    def _keep_log(self) -> None:
        """Writes what is to be in the log, and begins it again if it would fill the disk."""
        self._log_file.flush()
        if os.fstat(self._log_file.fileno()).st_size > _MOST_LOG_BYTES:
            self._log_file.truncate(0)  # the program's own writes append, too

    def _end_error(self) -> SyndetError:
        """The error of a program that ended although a report was due. Its cause is a full disk if
        the program has printed so: what it wrote is deleted with its folder.
        """
        error = self._error_by_exit_code()
        printed = last_lines(self.log)
        for number in _FULL:
            if os.strerror(number) in printed:
                error.__cause__ = OSError(number, os.strerror(number), self.place)
        return error

    def _error_by_exit_code(self) -> SyndetError:
        """The error that the exit code of the ended program stands for."""
        code, do = self._process.wait(), self.log_words()
        before = f"before it had reported {self._due}"
        if code < 0:
            return MachineError(self.place, f"was killed by signal {-code} {before}", do=do)
        rule = f"ended with exit code {code} {before}"
        if code in _OF_KILLED_CHILDREN:
            rule += ", as a shell does whose program was killed"
            return MachineError(self.place, rule, do=do)
        kind = MachineError if self._has_reported else DataError
        return kind(self.place, rule, do=f"{self._advice(code)} {do}".lstrip())

    def _advice(self, code: int) -> str:
        """Advice on an exit code; "" where the end of the log says all."""
        if code == program_sitter.CANNOT_START:
            return (
                "A script needs a first line like #!/usr/bin/env python, or its interpreter "
                "before it in detector.program."
            )
        if code == 0:
            return 'A report is one line of JSON that begins with {", see docs/own_program.md.'
        printed = last_lines(self.log)
        if _NO_MODULE in printed and self._is_sent:
            return (
                "A module beside a script is not sent with it: name a folder that has both, as in "
                "python3 ./train with train/__main__.py."
            )
        if _CANNOT_OPEN in printed:
            return "A path with blanks needs quotes in detector.program, as in a shell."
        return ""


def _no_program(place: str, word: str) -> MachineError:
    """The error of a program that the system cannot start."""
    file = Path(word)
    if file.is_dir():
        rule, do = "cannot be started (it is a folder)", "Name a file in it."
    elif file.is_file():
        rule = "cannot be started (it is not executable)"
        do = f"Name its interpreter, such as python {shlex.quote(word)}, or chmod +x it."
    else:
        rule = "cannot be started (there is no such program)"
        do = "Correct detector.program, or install it on every node."
        if word == "python":  # only a virtual environment has this name for certain
            do = "Activate the virtual environment that has it, or write python3."
    return MachineError(place, rule, do=do)


def _environment(device: str, threads: int) -> dict[str, str]:
    """Our environment, with the threads and GPUs that the program may use."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment |= dict.fromkeys(_THREADS, str(threads))
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _object(place: str, line: bytes) -> dict[str, Any]:
    """The JSON object of a line."""
    try:
        report = json.loads(line)
        json.dumps(report, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        rule = "a report must hold whole characters, not half of a surrogate pair"
        raise DataError(place, rule, got=error.object[error.start]) from None
    except (ValueError, RecursionError) as error:
        rule = f"begins like a report, and is no JSON ({str(error) or 'nested too deep'})"
        raise DataError(place, rule, got=line[:80].decode(errors="replace")) from None
    assert isinstance(report, dict), report  # it begins with {"
    return report
