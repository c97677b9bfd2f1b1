"""Remote submission: a submission on the head of a cluster, and what is started for it there."""

import getpass
import hashlib
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.options import INTERRUPTED
from syndet_ray.errors import MachineError
from syndet_ray.wording import command_line

if TYPE_CHECKING:
    from syndet_ray.clusters.description import ClusterFile
    from syndet_ray.clusters.head import Head


STATE = "end"  # a verb of on_head, by the name that code of earlier versions on heads has for it


@dataclass(frozen=True, kw_only=True)
class RemoteSubmission:
    """A submission, as the machine that has sent it sees it; on the head it is a `Submission`.

    folder  that of the submission, absolute, on the head
    """

    head: "Head"
    folder: PurePosixPath

    @property
    def files(self) -> PurePosixPath:
        from syndet_ray.clusters.submission import FILES

        return self.folder / FILES

    @property
    def runs(self) -> PurePosixPath:
        """The folder of runs of its project."""
        from syndet_ray.clusters.submission import RUNS

        return self.folder.parents[1] / RUNS

    def state(self, *words: str) -> dict[str, Any]:
        """Asks the head for what `on_head.state` answers, which takes the words too. Raises
        MachineError.
        """
        state: dict[str, Any] = self.head.answer(self.command(STATE, *words))
        return state

    def command(self, verb: str, *words: str) -> str:
        """A command for the head: a verb of on_head, with the code that was sent."""
        arguments = shlex.join([verb, str(self.folder), *words])
        files = shlex.quote(str(self.files))
        return f"cd {files} && exec python3 -m syndet_ray.cli.on_head {arguments}"


def project_name() -> str:
    """The name of this folder on a head: no other folder of anybody has it."""
    here = Path.cwd()
    words = f"{getpass.getuser()}@{socket.gethostname()}:{here}"
    name = re.sub(r"[^\w.-]+", "_", here.name) or "project"
    return f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:6]}"


def head_and_facts(cluster: "ClusterFile") -> tuple["Head", dict[str, Any]]:
    """Finds the head, and checks that it can run what is sent."""
    from syndet_ray.cli import head_facts as script
    from syndet_ray.clusters.head import find_head
    from syndet_ray.clusters.submission import PROJECTS

    head = find_head(cluster)
    text = Path(script.__file__).read_text(encoding="utf-8")
    facts = head.answer(f"python3 - {PROJECTS}", text)
    _check_versions(facts, head.place)
    return head, facts


def _check_versions(facts: Mapping[str, Any], place: str) -> None:
    from importlib import metadata

    from syndet_ray.clusters.here import LEAST_PYTHON

    do = "Install the packages of constraints.txt there, with setup_commands in the cluster's file."
    if tuple(facts["python"][:2]) < LEAST_PYTHON:
        got = ".".join(map(str, facts["python"]))
        least = ".".join(map(str, LEAST_PYTHON))
        raise MachineError(place, f"must have Python {least} or newer", got=got, do=do)
    if facts["missing"]:
        raise MachineError(place, f"lacks {', '.join(facts['missing'])}", do=do)
    here = metadata.version("ray")
    if facts["ray"] != here:
        rule = f"must have Ray {here}, as this machine has"
        raise MachineError(place, rule, got=facts["ray"], do=do)


def start(submission: RemoteSubmission, words: list[str], run: str = "") -> None:
    """Starts a command on the head.

    run  the folder of the run that it continues; "" for a new one

    Raises MachineError if that run still goes on, or if it is not known whether it has begun, and
    SystemExit if Ctrl-C leaves that open.
    """
    attach = attach_command(submission)
    try:
        pid = submission.head.answer(submission.command("start", run, *words))["pid"]
    except MachineError as error:  # another start would be paid for twice
        do = f"The run may have begun all the same; look for it first: {attach}"
        raise MachineError(error.place, error.rule, do=do) from None
    except KeyboardInterrupt:
        print(f"interrupted; the run may have begun all the same; look for it first: {attach}")
        raise SystemExit(INTERRUPTED) from None
    if pid is None:
        raise MachineError(run or submission.folder, "still goes on", do=f"Follow it: {attach}")


def attach_command(submission: RemoteSubmission, run: str = "") -> str:
    """The command that follows a submission.

    run  the folder of its run, whose name other verbs take too; "" if there is none yet
    """
    return _command(submission, "attach", run)


def stop_command(submission: RemoteSubmission, run: str = "") -> str:
    """The command that stops a submission; `run` as for `attach_command`."""
    return _command(submission, "stop", run)


def _command(submission: RemoteSubmission, verb: str, run: str) -> str:
    folder = PurePosixPath(run) if run else submission.folder
    return command_line(verb, folder.name, "--cluster", submission.head.file)


def run_of(submission: RemoteSubmission) -> str:
    """The folder of the run that a submission has begun; "" if the head names none."""
    try:
        return str(submission.state()["run"])
    except (MachineError, KeyboardInterrupt):  # a person who leaves wants to be gone
        return ""
