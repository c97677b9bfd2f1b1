"""On a cluster: follows and continues what was sent to a cluster's head, and brings it back."""

import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.last_words import conclude
from syndet_ray.cli.listing import newest_line
from syndet_ray.cli.marks import MarkReader
from syndet_ray.cli.options import FAILED, INTERRUPTED, runs_folder
from syndet_ray.cli.remote_submission import (
    RemoteSubmission,
    attach_command,
    run_of,
    start,
    stop_command,
)
from syndet_ray.cli.screen import LOADING, open_display
from syndet_ray.cli.sent_options import check_options, option_words
from syndet_ray.cli.sent_runs import check_is_name, names_of, newest_submission
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DataError, DefinitionError, MachineError, SyndetError, message
from syndet_ray.files import make_folder, numbered_paths
from syndet_ray.wording import resume_hint

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.tuning.follow import Followed

# before each new connection of one follower, about two minutes in all; None: there is no other one
_PAUSES_S = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, None)
# Checkpoints stay: only `resume` needs them, and it runs there.
_NOT_FETCHED = ("/checkpoints", "/lock")
_PAGES_PORT = 5001  # 5000 may be that of an MLflow server of the cluster


def follow(
    submission: RemoteSubmission, runs: Path, console: "Console", *, is_new: bool = True
) -> None:
    """Shows a submission until it ends, and then its last words, as if it had run here.

    is_new  whether the process was just started: then its error is shown if it does not begin

    Raises SystemExit with its exit status, unless it is 0.
    """
    from syndet_ray.cli.on_head import DETACHED

    again = attach_command(submission)
    try:
        status = _show(submission, console)
    except KeyboardInterrupt:
        status = DETACHED
    if _is_lost(status):
        rule = "cannot be reached any more, and the run goes on there"
        raise MachineError(submission.head.place, rule, do=f"Follow it again with: {again}")
    if status == DETACHED:
        run = run_of(submission)
        again, stop = attach_command(submission, run), stop_command(submission, run)
        console.print(f"detached: the run goes on; follow it again with: {again}", soft_wrap=True)
        console.print(f"stop it, for a later resume, with: {stop}", soft_wrap=True)
        raise SystemExit(INTERRUPTED)
    _conclude(submission, runs, console, status, is_new=is_new)


def _show(submission: RemoteSubmission, console: "Console") -> int:
    """Shows a submission, with new connections for lost ones; returns the last exit status.

    Each connection continues the display where the one before it has broken off.
    """
    marks = MarkReader()

    def take(block: bytes) -> None:
        console.file.write(marks.text(block))
        console.file.flush()

    for pause_s in _PAUSES_S:
        command = submission.command("follow", repr(marks.newest))
        status = submission.head.show(command, take, on_terminal=console.is_terminal)
        if not _is_lost(status) or pause_s is None:
            break
        if console.is_terminal:
            console.print()  # the display of the head was left in the middle of a line
        console.print(f"the connection is lost; trying again in {pause_s:.0f} s", soft_wrap=True)
        time.sleep(pause_s)
    return status


def _is_lost(status: int) -> bool:
    """True if ssh ended without its program: the connection broke, or ssh was ended."""
    from syndet_ray.clusters.head import UNREACHABLE

    return status == UNREACHABLE or status < 0


def _conclude(
    submission: RemoteSubmission, runs: Path, console: "Console", status: int, *, is_new: bool
) -> None:
    """Brings the run back, and prints its last words.

    status  with which the display there has ended
    """
    from syndet_ray.runs.folder import RunFolder

    state = submission.state()
    if state["goes_on"]:
        rule = f"shows the run no more (exit status {status}), and the run goes on there"
        do = f"Follow it again with: {attach_command(submission)}"
        raise MachineError(submission.head.place, rule, do=do)
    # an attempt to continue a run may have been refused: what there is of it comes back
    if not state["has_begun"] and (is_new or not state["run"]):
        print(f"syndet_ray: {_with_ray_up(submission, state['error'])}", file=sys.stderr)
        raise SystemExit(FAILED)
    with open_display(console) as display:
        with display.step("bringing the run back"):
            folder = RunFolder.open(_fetch(submission, state, runs))
            cluster_file = str(submission.head.file.absolute())
            name_there = PurePosixPath(state["run"]).name
            folder.describe(folder.about | {"cluster": cluster_file, "name_there": name_there})
        is_published = _publish(folder, display)
    pages = "" if is_published else _pages_command(submission, state["run"])
    followed = _end_for_here(folder, submission, state, pages)
    if followed.has_lost_ray:
        console.print(_ray_up_words(submission), soft_wrap=True)
    conclude(folder, followed, console)


def _end_for_here(
    folder: "RunFolder", submission: RemoteSubmission, state: Mapping[str, Any], pages: str
) -> "Followed":
    """The end of a run that was brought here, with files and commands of this machine.

    state  what the head has told of the submission
    pages  the command that shows its trials, if MLflow's store here has none of them; else ""
    """
    from syndet_ray.runs.origins import replace_paths
    from syndet_ray.runs.run import continue_hint
    from syndet_ray.tuning.follow import end_of

    followed = end_of(folder)
    hint_there = resume_hint(Path(state["run"]))  # the process there names its own folder
    hint_here = continue_hint(folder.path, folder.about)
    error = followed.error.replace(hint_there, hint_here)
    error = replace_paths(state.get("origins", {}), error)
    followed = replace(followed, error=_with_ray_up(submission, error))
    outcome = followed.outcome
    if not pages or outcome is None or outcome.trials_url:
        return followed
    return replace(followed, outcome=replace(outcome, trials_url=pages))


def _with_ray_up(submission: RemoteSubmission, error: str) -> str:
    """An error of the head with the command that starts Ray there from this machine."""
    from syndet_ray.workers.head import DO_START_RAY

    return error.replace(DO_START_RAY, _ray_up_words(submission))


def _ray_up_words(submission: RemoteSubmission) -> str:
    head = submission.head
    return f"Start Ray on {head.place} again with: ray up {shlex.quote(str(head.file))}"


def _publish(folder: "RunFolder", display: "Plain | Bar") -> bool:
    """Writes the trials into MLflow's store here; False, with a note, if they cannot be written."""
    with display.step(LOADING):
        from syndet_ray.tuning.publish import publish_copy

    try:
        publish_copy(folder, display)
    except (OSError, SyndetError) as error:
        lack = "the trials are not in MLflow's store here"
        display.note(f"{lack} ({message(error).rstrip('.')}); the run itself is in {folder.path}")
        return False
    return True


def _pages_command(submission: RemoteSubmission, run: str) -> str:
    """A command that serves the pages of a run's trials here: their store is on the head."""
    files, port = shlex.quote(str(submission.files)), str(_PAGES_PORT)
    ui = f"cd {files} && python3 -m syndet_ray ui {shlex.quote(run)} --port {port}"
    file = shlex.quote(str(submission.head.file))
    return f"ray exec {file} --port-forward {port} {shlex.quote(ui)}"


def _fetch(submission: RemoteSubmission, state: Mapping[str, Any], runs: Path) -> Path:
    """Copies a run of the head into the folder of runs here; returns where it lies."""
    paths = numbered_paths(runs / PurePosixPath(state["run"]).name)
    fitting = (path for path in paths if _may_hold(path, state["started"]))
    knows_ledger = "ledger" in state  # code of an earlier version, on a head, does not
    folder = next(path for path in fitting if not knows_ledger or _goes_on_from(submission, path))
    make_folder(folder)
    submission.head.fetch(state["run"], folder.absolute(), _NOT_FETCHED)
    return folder


def _goes_on_from(submission: RemoteSubmission, folder: Path) -> bool:
    """True if a run of the head has all events of a folder here. It lacks some if it goes on from
    an older copy in a bucket, because its head was lost; the later ones here must not be lost too.
    """
    from syndet_ray.runs.ledger import Ledger

    ledger = Ledger(folder)
    size = len(ledger.content())
    if size == 0:
        return True
    return submission.state(str(size))["ledger"] == ledger.hash_of_beginning(size)


def _may_hold(folder: Path, started: float) -> bool:
    """False for the folder of another run, which began in the same second elsewhere, and of a run
    that goes on here since it was brought.
    """
    from syndet_ray.runs.folder import RunFolder

    if not (folder / "run.json").exists():
        return True
    run = RunFolder(folder)
    about = run.about
    is_of_here = "cluster" in about and about["cluster"] is None
    is_another = about["started"] != started
    return not is_another and not is_of_here and not run.is_carried_out()


def attach_there(run: str | None, file: Path, runs: Path) -> None:
    """Follows a run of a cluster, the newest if none is named, and brings it back when it ends."""
    from syndet_ray.cli import terminal

    if run is not None:
        check_is_name(run)
    console = terminal.console()
    with open_display(console) as display, display.step(f"looking for the head of {file}"):
        submission, record = newest_submission(run, file)
        goes_on = run is None and submission.state()["goes_on"]
    if run is None:
        console.print(newest_line(names_of(record)[0], goes_on=goes_on), soft_wrap=True)
    follow(submission, runs, console, is_new=False)


def resume_there(run: str, file: Path, options: SweepOptions, *, force: bool) -> None:
    """Continues a run of a cluster there, with the files that were sent for it."""
    from syndet_ray.cli import terminal

    check_options(options)
    check_no_photos(options)
    console = terminal.console()
    with open_display(console) as display, display.step(f"looking for the head of {file}"):
        submission, record = newest_submission(run, file)
    if not record["run"]:
        raise DataError(submission.folder, "has begun no run", do="Start the sweep again.")
    words = ["resume", record["run"], "--address", "auto", *option_words(options)]
    start(submission, [*words, *(["--force"] if force else [])], record["run"])
    follow(submission, runs_folder(options.runs), console)


def check_no_photos(options: SweepOptions) -> None:
    """Raises DefinitionError if photos are given for a run that goes on on a cluster."""
    if options.real is not None:
        rule = "cannot be given again with `cluster`: the photos are those that were sent"
        raise DefinitionError("`real`", rule, do="Leave it out.")
