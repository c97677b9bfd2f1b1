"""New head: continues a run whose head is lost, from its copy in a bucket."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from syndet_ray.cli import on_cluster
from syndet_ray.cli.options import runs_folder
from syndet_ray.cli.remote_submission import RemoteSubmission, attach_command, head_and_facts, start
from syndet_ray.cli.screen import LOADING, open_display
from syndet_ray.cli.sending import check_room, send, write_origins
from syndet_ray.cli.sent_options import check_options, option_words
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.files import temporary_folder
from syndet_ray.runs.folder import RunFolder

if TYPE_CHECKING:
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.clusters.head import Head


def resume_there(address: str, file: Path, options: SweepOptions, *, force: bool) -> None:
    """Continues a run that has a copy in a bucket on the head of a cluster.

    Sends the files of this machine that the run needs to the places that they had on the head that
    is lost, since the run names them there. A head that has the run itself continues that, with
    the files that are sent now.

    Raises SyndetError for a run that was not sent, whose files are not here any more, or that
    a machine carries out.
    """
    from syndet_ray.cli import terminal
    from syndet_ray.clusters.description import read_cluster_file

    check_options(options)
    on_cluster.check_no_photos(options)
    console = terminal.console()
    with open_display(console) as display, temporary_folder() as staged:
        with display.step(f"looking for the head of {file}"):
            head, facts = head_and_facts(read_cluster_file(file))
        copy = _fetch(address, staged / "runs", display)
        about = copy.about
        submission = RemoteSubmission(head=head, folder=_folder(about, address, head, facts))
        run = _run_to_continue(submission, facts)
        if not run:
            _check_copy(copy, runs_folder(options.runs), address)
        _send_again(about["file_origins"], submission, facts, display, staged)
    words = ["resume", run or address, "--address", "auto", *option_words(options)]
    words += ["--runs", str(submission.runs), *(["--force"] if force else [])]
    start(submission, words, run)
    on_cluster.follow(submission, runs_folder(options.runs), console)


def _send_again(
    origins: Mapping[str, str],
    submission: RemoteSubmission,
    facts: Mapping[str, Any],
    display: "Plain | Bar",
    staged: Path,
) -> None:
    """Sends this code and the files of a run, from `bundle_again`'s origins.

    staged  a temporary folder
    """
    from syndet_ray.clusters.bundle import bundle_again

    definitions = staged / "definitions"  # none: the run has its resolved sweep
    definitions.mkdir()
    with display.step("looking at the files that go along"):
        bundle = bundle_again(origins, submission.folder)
        write_origins(bundle, definitions)
    check_room(facts, bundle, submission)
    send(definitions, submission, bundle, facts, display)


def _fetch(address: str, folder: Path, display: "Plain | Bar") -> RunFolder:
    """Downloads the copy of a run that is in a bucket, into a folder of its name."""
    with display.step(LOADING):
        from syndet_ray.tracking.backup import fetch
    with display.step(f"fetching {address}"):
        return fetch(address, folder)


def _check_copy(copy: RunFolder, runs: Path, address: str) -> None:
    """Raises DataError if what was brought here of a run has events that its copy lacks."""
    here = RunFolder(runs / copy.path.name)
    is_here = (here.path / "run.json").exists() and here.about["started"] == copy.about["started"]
    if is_here and not copy.ledger.continues(here.ledger.content()):
        rule = f"has later events than the copy at {address}"
        do = "Move it away to go on from that copy: what is not in it is trained again."
        raise DataError(here.path, rule, do=do)


def _folder(
    about: Mapping[str, Any], address: str, head: "Head", facts: Mapping[str, Any]
) -> PurePosixPath:
    """The folder that a run's submission had on its head, and has on this one."""
    if about.get("file_origins") is None:
        rule = "was not sent to a cluster, so its files have no places there"
        do = "Leave out `cluster` to continue it here."
        raise DefinitionError(address, rule, do=do)
    folder = PurePosixPath(about["folder"]).parent
    if not folder.is_relative_to(facts["root"]):
        rule = f"has its projects in {facts['root']}, and the run names files in {folder}"
        do = "Start a cluster with the ssh_user and the home folder of the lost one."
        raise MachineError(head.place, rule, do=do)
    return folder


def _run_to_continue(submission: RemoteSubmission, facts: Mapping[str, Any]) -> str:
    """The folder of the submission's run on a head that has it, such as one whose `resume` was
    refused before; "" for a new head. Raises MachineError if it goes on.
    """
    for record in facts["submissions"]:
        if PurePosixPath(record["folder"]) == submission.folder:
            if submission.state()["goes_on"]:
                do = f"Follow it: {attach_command(submission)}"
                raise MachineError(record["run"] or submission.folder, "still goes on", do=do)
            return str(record["run"])
    return ""
