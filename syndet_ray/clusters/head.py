"""Head: the way to the head node of a cluster that is up: ssh and rsync, as `ray up` set them up.

No port of the cluster is opened, and no key or password leaves this machine.
"""

import contextlib
import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
import termios
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from syndet_ray.clusters.aws import FORBIDDEN
from syndet_ray.clusters.bundle import NEVER_SENT
from syndet_ray.clusters.description import ClusterFile
from syndet_ray.clusters.here import program_errors
from syndet_ray.data.storage import error_code, read_advice
from syndet_ray.errors import MachineError, first_line

# begins the line with the answer of a program on the head: shells print greetings before it
ANSWER = "syndet_ray answers: "
UNREACHABLE = 255  # with which ssh ends if there is no connection, or it has broken
_CONNECT_S = 20  # a head on another continent connects in two, also over a slow line
_ANSWER_S = 120.0  # a head that has just started reads all packages from a cold disk
_NO_TERMINAL = ("cannot set terminal process group", "no job control in this shell")
_NO_SPACE = "No space left on device"
_NO_CONNECTION = "0 bytes received so far"  # so rsync ends whose ssh has not connected
# A line of rsync on a file: bytes so far, and a bracket at its end, "1,024 100% 9kB/s 0:00 (xfr#1".
_OF_FILE = re.compile(r"\s*([\d,.]+)\s+\d+%([^(]*\()?")
_BLOCK = 1 << 16
_FILES_AT_FAULT = (23, 24)  # exit status of rsync if files could not be read, or have vanished


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head node of a cluster.

    file    the file of the cluster, for messages
    ssh     words of the command that connects, without the target
    target  user and address
    """

    file: Path
    ssh: tuple[str, ...]
    target: str

    @property
    def place(self) -> str:
        """The head as errors name it."""
        return f"the head of {self.file}"

    def run(self, command: str) -> None:
        """Runs a command of the shell on the head. Raises MachineError if it fails."""
        done = self._finish([*self.ssh, self.target, in_login_shell(command)], "does not answer")
        if done.returncode:
            raise self._error(f"cannot carry out {command} ({_lines(done)[-1]})")

    def answer(self, command: str, script: str | None = None) -> Any:
        """Returns the answer of a program that is run on the head: see `ANSWER`.

        script  the standard input of the program

        Raises MachineError if there is no connection, or no answer.
        """
        done = self._finish(
            [*self.ssh, self.target, in_login_shell(command)], "does not answer", script
        )
        for line in done.stdout.splitlines():
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
        raise self._error(f"cannot run what is needed there ({_lines(done)[-1]})")

    def show(self, command: str, take: Callable[[bytes], object], *, on_terminal: bool) -> int:
        """Runs a program of the head in this terminal; returns its exit status, or `UNREACHABLE`.

        take         is called with each block of its output, and last with an empty one
        on_terminal  whether the output is a terminal, whose keys go to the program too
        """
        shown = in_login_shell(command)
        if on_terminal:
            with _restored_terminal():
                return _run_with_output([*self.ssh, "-tt", self.target, shown], take)
        # on standard error a shell without a terminal complains that it has none
        command_there = [*self.ssh, self.target, shown]
        return _run_with_output(command_there, take, others=subprocess.DEVNULL)

    def send(
        self,
        source: Path,
        place: PurePosixPath,
        *,
        like: PurePosixPath | None = None,
        is_read_only: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Makes a file or folder of the head equal to one of this machine; sends what differs.

        place         an absolute path there, whose parent exists
        like          a path of the head that may have the same files: those are not sent
        is_read_only  whether no program there writes into them: equal files of both paths are then
                      one, with two links, else the second is a copy
        progress      is called with the bytes that were sent so far
        """
        is_folder = source.is_dir()
        options = ["--delete"] if is_folder else []
        options += [f"--exclude={name}" for name in NEVER_SENT]
        if like is not None:
            use = "--link-dest" if is_read_only else "--copy-dest"
            options += [f"{use}={like if is_folder else like.parent}"]
        # the name of a folder of links, such as that of a data set, stands for its content
        paths = [f"{source.resolve()}/", f"{place}/"] if is_folder else [str(source), str(place)]
        words = [*options, paths[0]]
        destination = f"{self.target}:{paths[1]}"
        done = self._copy([*words, destination], f"cannot take {source}", progress)
        if _NO_SPACE in done.stderr:
            rule = "has no room left for the files of the run"
            raise self._error(rule, do="Delete old runs there, or give the head a larger disk.")
        self._check_copy(done, f"cannot take {source}")

    def fetch(self, place: str, folder: Path, leave_out: Sequence[str]) -> None:
        """Makes a folder of this machine equal to one of the head, except for what is left out.

        leave_out  patterns of rsync
        """
        options = [f"--exclude={pattern}" for pattern in leave_out]
        done = self._copy(
            [*options, f"{self.target}:{place}/", f"{folder}/"], f"cannot send {place}"
        )
        if _NO_SPACE in done.stderr:
            rule = "has no room left for the run, which lies complete on the head"
            raise MachineError(folder, rule, do="Make room, and `attach` to the run again.")
        self._check_copy(done, f"cannot send {place}")

    def _copy(
        self,
        words: Sequence[str],
        problem: str,
        progress: Callable[[int], None] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs rsync with options, source and destination; returns how it ended."""
        connect = shlex.join(self.ssh)
        command = ["rsync", "-az", "--copy-links", "--rsh", connect, *words]
        if progress is None:
            return self._finish(command, problem, timeout=None)
        return _run_with_progress([command[0], "--progress", *command[1:]], progress)

    def _check_copy(self, done: "subprocess.CompletedProcess[str]", problem: str) -> None:
        """Raises MachineError if rsync has failed."""
        if done.returncode and _NO_CONNECTION in done.stderr:
            raise self._error(f"cannot be reached ({_lines(done)[0]})")
        if done.returncode in _FILES_AT_FAULT:
            do = "Look at that file, and start again."
            raise self._error(f"{problem} ({_lines(done)[0]})", do=do)
        if done.returncode:
            raise self._error(f"{problem} ({_lines(done)[0]})")

    def _finish(
        self,
        command: Sequence[str],
        problem: str,
        text: str | None = None,
        *,
        timeout: float | None = _ANSWER_S,
    ) -> "subprocess.CompletedProcess[str]":
        given = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                **given,
            )
        except subprocess.TimeoutExpired:
            raise self._error(f"{problem} within {timeout:.0f} s") from None
        if done.returncode == UNREACHABLE:
            raise self._error(f"cannot be reached ({_lines(done)[-1]})")
        return done

    def _error(self, rule: str, do: str = "") -> MachineError:
        file = shlex.quote(str(self.file))
        hint = do or (
            f"See `ray exec {file} 'ray status'`; `ray up {file}` mends it, "
            "and ends runs there, for a later resume."
        )
        return MachineError(self.place, rule, do=hint)


@contextmanager
def _restored_terminal() -> Iterator[None]:
    """Restores the settings of the terminal, which ssh changes and leaves so if it is killed."""
    try:
        settings = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):  # the input is no terminal, or closed
        yield
        return
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)


def _run_with_output(
    command: Sequence[str], take: Callable[[bytes], object], *, others: int | None = None
) -> int:
    """Runs a program, which is killed if an exception ends this; returns its exit status.

    take    as for `Head.show`
    others  its input and errors; None for those of this process
    """
    with subprocess.Popen(command, stdin=others, stdout=subprocess.PIPE, stderr=others) as process:
        assert process.stdout is not None
        try:
            for block in iter(partial(os.read, process.stdout.fileno(), _BLOCK), b""):
                take(block)
            take(b"")
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _run_with_progress(
    command: Sequence[str], progress: Callable[[int], None]
) -> "subprocess.CompletedProcess[str]":
    """Runs an rsync that tells its progress."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        with process:
            assert process.stdout is not None
            read = partial(os.read, process.stdout.fileno(), _BLOCK)
            for size in sizes_sent(iter(read, b"")):
                progress(size)
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    return subprocess.CompletedProcess(command, process.returncode, "", text)


def sizes_sent(blocks: Iterable[bytes]) -> Iterator[int]:
    """The bytes that an rsync with --progress has sent so far, each time that it tells them.

    blocks  its output
    """
    finished, rest = 0, b""
    for block in blocks:
        *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            match = _OF_FILE.match(line.decode(errors="replace"))
            if match is None:
                continue
            size = finished + int(re.sub(r"\D", "", match[1]))
            if match[2]:
                finished = size
            yield size


def in_login_shell(command: str) -> str:
    """A command as `ray exec` runs it: with what the shell of a person has, such as its PATH."""
    words = f"source ~/.bashrc; {command}"
    return f"bash --login -i -c {shlex.quote(words)}"


def find_head(file: ClusterFile) -> Head:
    """Finds the head of a cluster that is up.

    Raises MachineError if ssh or rsync is missing here, or there is no head.
    """
    errors = list(program_errors())
    if errors:
        raise errors[0]
    if (file.prepared.get("docker") or {}).get("container_name"):
        rule = "runs Ray in containers, to which `cluster` brings no files"
        do = "Leave `docker` out, or start the sweep with `ray exec` and `address` auto."
        raise MachineError(file.path, rule, do=do)
    with _refusals_named(file), _quiet():
        return _head(file)


def _head(file: ClusterFile) -> Head:
    from ray.autoscaler._private import commands
    from ray.autoscaler._private.providers import _get_node_provider

    content = commands._bootstrap_config(dict(file.prepared))
    provider = _get_node_provider(content["provider"], content["cluster_name"])
    node = commands._get_running_head_node(content, str(file.path), None, _provider=provider)
    runner = provider.get_command_runner(
        log_prefix="",
        node_id=node,
        auth_config=content["auth"],
        cluster_name=content["cluster_name"],
        process_runner=subprocess,
        use_internal_ip=content["provider"].get("use_internal_ips", False),
    )
    address = runner._get_ssh_target()
    options = runner.ssh_options.to_ssh_options_list(timeout=_CONNECT_S)
    words = ("ssh", "-o", "LogLevel=ERROR", *options)
    return Head(file=file.path, ssh=words, target=f"{runner.ssh_user}@{address}")


@contextmanager
def _refusals_named(file: ClusterFile) -> Iterator[None]:
    try:
        yield
    except MachineError:
        raise
    # of Ray, of a cloud's package, or of what either of them calls
    except Exception as error:
        place = f"cluster {file.cluster_name} of {file.path}"
        refusal = _refusal_of_aws(error)
        reason = error_code(refusal) if refusal is not None else first_line(error)
        rule = "is not up" if "not found" in reason else f"cannot be looked up ({reason})"
        do = f"Start it: ray up {shlex.quote(str(file.path))}"
        if refusal is not None:  # one of rights says which one is missing
            do = first_line(refusal) if reason in FORBIDDEN else read_advice(refusal)
        raise MachineError(place, rule, do=do) from None


def _refusal_of_aws(error: BaseException | None) -> Exception | None:
    """The exception of boto3 that an error is, or that Ray has put another one in the place of."""
    from botocore.exceptions import BotoCoreError, ClientError

    while error is not None:
        if isinstance(error, BotoCoreError | ClientError):
            return error
        error = error.__context__
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops what Ray prints while it looks a cluster up, and warnings of files it leaves open."""
    # it logs the traceback of an error, and then raises it
    logging.getLogger("ray.autoscaler").setLevel(logging.CRITICAL)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def _lines(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines of what a program has said of an error; its exit status if it has said nothing.

    A shell that has no terminal says so, which is no error.
    """
    lines = []
    for line in done.stderr.splitlines():
        is_of_shell = any(words in line for words in _NO_TERMINAL)
        if line.strip() and not is_of_shell:
            lines.append(line.strip().rstrip("."))
    return lines or [f"exit status {done.returncode}"]
