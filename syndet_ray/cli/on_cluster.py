"""On a cluster: follows and continues what was sent to a cluster's head, and brings it back."""

import getpass
import hashlib
import json
import re
import shlex
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.options import FAILED, FLAGS, INTERRUPTED, runs_folder
from syndet_ray.cli.screen import open_display
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.files import make_folder, numbered_paths
from syndet_ray.wording import command_line, resume_hint

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.clusters.bundle import Bundle, Item
    from syndet_ray.clusters.description import ClusterFile
    from syndet_ray.clusters.head import Head

_LEAST_PYTHON = (3, 11)  # as pyproject.toml asks for
_RECONNECTIONS = 6  # of one follower, with pauses that grow: about two minutes
_FIRST_PAUSE_S = 2.0
# Checkpoints stay: only `resume` needs them, and it runs there.
_NOT_FETCHED = ("/checkpoints", "/lock")
_PAGES_PORT = 5001  # 5000 may be that of an MLflow server of the cluster
_VALUES = (
    *("trials", "hours", "images", "seed", "parallel", "gpus_per_trial"),
    *("gpu_hour_price", "core_hour_price"),
    *("storage", "tracking", "format", "hold_out"),
)
_DO_PASSWORD = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in ~/.bashrc of the head instead."
)
_SWITCHES = ("tensorboard", "allow_near_copies", "stream")


@dataclass(frozen=True, kw_only=True)
class HeadFolder:
    """The folder of a submission on its head."""

    head: "Head"
    folder: PurePosixPath

    @property
    def files(self) -> PurePosixPath:
        from syndet_ray.clusters.bundle import FILES

        return self.folder / FILES

    @property
    def project(self) -> PurePosixPath:
        return self.folder.parents[1]

    def path_of(self, item: "Item", bundle: "Bundle") -> PurePosixPath:
        """The path of an item, in the files or, if nodes do not need it, elsewhere."""
        return self.files / bundle.path_there(item.source)

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


def check_options(options: SweepOptions) -> None:
    """Raises DefinitionError for options that say where else a sweep runs, or where only this
    machine can write.
    """
    values = {"address": options.address, "local": options.local}
    others = [f"`{name}`" for name, value in values.items() if value]
    if others:
        rule = f"says where to run, and so cannot be combined with {' and '.join(others)}"
        raise DefinitionError("`cluster`", rule, do=f"Leave {' and '.join(others)} out.")
    tracking = options.tracking
    if tracking is not None and not tracking.startswith(("http://", "https://")):
        rule = "must be the address of a server with `cluster`: a file here is not seen from there"
        raise DefinitionError("`tracking`", rule, got=tracking)
    if tracking is not None and _has_password(tracking):
        rule = "must hold no password with `cluster`: other users of the head could read it"
        raise DefinitionError("`tracking`", rule, do=_DO_PASSWORD)


def _has_password(address: str) -> bool:
    login, _, _ = address.partition("://")[2].partition("/")[0].rpartition("@")
    return ":" in login


def head_and_facts(cluster: "ClusterFile") -> tuple["Head", dict[str, Any]]:
    """Finds the head, and checks that it can run what is sent."""
    from syndet_ray.cli import head_facts as script
    from syndet_ray.clusters.head import find_head
    from syndet_ray.clusters.submission import PROJECTS

    head = find_head(cluster)
    text = Path(script.__file__).read_text(encoding="utf-8")
    facts = head.answer(f"python3 - {PROJECTS}", text)
    _check_versions(facts, f"the head of {cluster.path}")
    return head, facts


def _check_versions(facts: Mapping[str, Any], place: str) -> None:
    from importlib import metadata

    do = "Install the packages of constraints.txt there, with setup_commands in the cluster's file."
    if tuple(facts["python"][:2]) < _LEAST_PYTHON:
        got = ".".join(map(str, facts["python"]))
        least = ".".join(map(str, _LEAST_PYTHON))
        raise MachineError(place, f"must have Python {least} or newer", got=got, do=do)
    if facts["missing"]:
        raise MachineError(place, f"lacks {', '.join(facts['missing'])}", do=do)
    here = metadata.version("ray")
    if facts["ray"] != here:
        rule = f"must have Ray {here}, as this machine has"
        raise MachineError(place, rule, got=facts["ray"], do=do)


def option_words(options: SweepOptions) -> list[str]:
    """The options that mean the same on the head, as words of its command line."""
    words = []
    for name in _VALUES:
        value = getattr(options, name)
        if value is not None:
            words += [FLAGS.get(name, f"--{name}"), str(value)]
    words += [FLAGS.get(name, f"--{name}") for name in _SWITCHES if getattr(options, name)]
    if options.skip_bad is not None:
        words.append("--skip-bad" if options.skip_bad else "--no-skip-bad")
    return words


def start(place: HeadFolder, words: list[str], run: str = "") -> int:
    """Starts a command on the head; returns the id of its process.

    run  the folder of the run that it continues; "" for a new one

    Raises MachineError if that run still goes on, or if it is not known whether it has begun.
    """
    try:
        pid = place.head.answer(place.command("start", run, *words))["pid"]
    except MachineError as error:  # another start would be paid for twice
        do = f"The run may have begun all the same; look for it first: {_again(place)}"
        raise MachineError(error.place, error.rule, do=do) from None
    if pid is None:
        raise MachineError(run or place.folder, "still goes on", do=f"Follow it: {_again(place)}")
    return int(pid)


def _again(place: HeadFolder) -> str:
    """The command that follows a submission."""
    return command_line("attach", place.folder.name, "--cluster", place.head.file)


def follow(
    place: HeadFolder, pid: int, runs: Path, console: "Console", *, is_new: bool = True
) -> None:
    """Shows a submission until it ends, and then its last words, as if it had run here.

    pid     of its process, for the message on how to stop it
    is_new  whether the process was just started: then its error is shown if it does not begin

    Raises SystemExit with its exit status, unless it is 0.
    """
    from syndet_ray.cli.on_head import DETACHED

    again = _again(place)
    try:
        status = _show(place, console)
    except KeyboardInterrupt:
        status = DETACHED
    if _is_lost(status):
        rule = "cannot be reached any more, and the run goes on there"
        raise MachineError(place.head.file, rule, do=f"Follow it again with: {again}")
    if status == DETACHED:
        stop = f"ray exec {shlex.quote(str(place.head.file))} 'kill {pid}'"
        console.print(f"detached: the run goes on; follow it again with: {again}", soft_wrap=True)
        console.print(f"stop it, for a later resume, with: {stop}", soft_wrap=True)
        raise SystemExit(INTERRUPTED)
    _conclude(place, runs, console, status, is_new=is_new)


def _show(place: HeadFolder, console: "Console") -> int:
    """Shows a submission, with new connections for lost ones; returns the last exit status."""
    for attempt in range(_RECONNECTIONS):
        status = place.head.show(place.command("follow"), on_terminal=console.is_terminal)
        if not _is_lost(status):
            break
        pause_s = _FIRST_PAUSE_S * 2**attempt
        console.print(f"the connection is lost; trying again in {pause_s:.0f} s", soft_wrap=True)
        time.sleep(pause_s)
    return status


def _is_lost(status: int) -> bool:
    """True if ssh ended without its program: the connection broke, or ssh was ended."""
    from syndet_ray.clusters.head import UNREACHABLE

    return status == UNREACHABLE or status < 0


def _conclude(
    place: HeadFolder, runs: Path, console: "Console", status: int, *, is_new: bool
) -> None:
    """Brings the run back, and prints its last words.

    status  with which the display there has ended
    """
    from syndet_ray.cli.attach import conclude
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.tuning.follow import end_of

    end = place.head.answer(place.command("end"))
    if end["goes_on"]:
        rule = f"shows the run no more (exit status {status}), and the run goes on there"
        raise MachineError(place.head.file, rule, do=f"Follow it again with: {_again(place)}")
    # an attempt to continue a run may have been refused: what there is of it comes back
    if not end["has_begun"] and (is_new or not end["run"]):
        print(f"syndet_ray: {end['error']}", file=sys.stderr)
        raise SystemExit(FAILED)
    with open_display(console) as display, display.step("bringing the run back"):
        folder = RunFolder.open(_fetch(place.head, end, runs))
    followed = end_of(folder)
    where = ("--cluster", str(place.head.file))
    # the process there names its own folder
    hints = resume_hint(Path(end["run"])), resume_hint(folder.path, *where)
    followed = replace(followed, error=followed.error.replace(*hints))
    outcome = followed.outcome
    if outcome is not None and not outcome.trials_url:
        pages = _pages_command(place, end["run"])
        followed = replace(followed, outcome=replace(outcome, trials_url=pages))
    conclude(folder, followed, console, *where)


def _pages_command(place: HeadFolder, run: str) -> str:
    """A command that serves the pages of a run's trials here: their store is on the head."""
    files, port = shlex.quote(str(place.files)), str(_PAGES_PORT)
    ui = f"cd {files} && python3 -m syndet_ray ui {shlex.quote(run)} --port {port}"
    file = shlex.quote(str(place.head.file))
    return f"ray exec {file} --port-forward {port} {shlex.quote(ui)}"


def _fetch(head: "Head", end: Mapping[str, Any], runs: Path) -> Path:
    """Copies a run of the head into the folder of runs here; returns where it lies."""
    paths = numbered_paths(runs / PurePosixPath(end["run"]).name)
    folder = next(path for path in paths if _may_hold(path, end["started"]))
    make_folder(folder)
    head.fetch(end["run"], folder.absolute(), _NOT_FETCHED)
    return folder


def _may_hold(folder: Path, started: float) -> bool:
    """False for the folder of another run, which began in the same second elsewhere."""
    record = folder / "run.json"
    if not record.exists():
        return True
    about = json.loads(record.read_text(encoding="utf-8"))
    return about["started"] == started


def attach_there(run: str | None, file: Path, runs: Path) -> None:
    """Follows a run of a cluster, the newest if none is named, and brings it back when it ends."""
    from syndet_ray.cli import terminal

    console = terminal.console()
    with open_display(console) as display, display.step(f"looking for the head of {file}"):
        place, submission = _submission(run, file)
    follow(place, submission["pid"], runs, console, is_new=False)


def resume_there(run: str, file: Path, options: SweepOptions, *, force: bool) -> None:
    """Continues a run of a cluster there, with the files that were sent for it."""
    from syndet_ray.cli import terminal

    check_options(options)
    if options.real is not None:
        rule = "cannot be given again with `cluster`: the photos are those that were sent"
        raise DefinitionError("`real`", rule, do="Leave it out.")
    console = terminal.console()
    with open_display(console) as display, display.step(f"looking for the head of {file}"):
        place, submission = _submission(run, file)
    if not submission["run"]:
        raise DataError(place.folder, "has begun no run", do="Start the sweep again.")
    words = ["resume", submission["run"], "--address", "auto", *option_words(options)]
    pid = start(place, [*words, *(["--force"] if force else [])], submission["run"])
    follow(place, pid, runs_folder(options.runs), console)


def _submission(run: str | None, file: Path) -> tuple[HeadFolder, dict[str, Any]]:
    """The newest submission of a run, or of all, and where it lies.

    Those of this folder come first: others may use the head too.
    """
    from syndet_ray.clusters.description import read_cluster_file

    cluster = read_cluster_file(file)
    head, facts = head_and_facts(cluster)
    submissions = facts["submissions"]
    names = [_names_of(item) for item in submissions]
    name = None if run is None else Path(run).name
    chosen = [
        item
        for item, its_names in zip(submissions, names, strict=True)
        if name is None or name in its_names
    ]
    if not chosen:
        place = f"the head of {file}"
        if name is None or not names:
            do = "Send one: give `cluster` to a sweep."
            raise DataError(place, "has no run that was sent from elsewhere", do=do)
        newest = ", ".join(its_names[0] for its_names in names[-3:])
        raise DataError(place, f"has no run {name}", do=f"The newest are {newest}.")
    newest = sorted(chosen, key=_is_own)[-1]  # which keeps the order in time
    return HeadFolder(head=head, folder=PurePosixPath(newest["folder"])), newest


def _is_own(submission: Mapping[str, Any]) -> bool:
    """True for a submission of this folder."""
    return PurePosixPath(submission["folder"]).parents[1].name == project_name()


def _names_of(submission: Mapping[str, Any]) -> list[str]:
    """The names of a submission: that of its run, if there is one yet, and its own."""
    folders = [submission["run"], submission["folder"]]
    return [PurePosixPath(folder).name for folder in folders if folder]
