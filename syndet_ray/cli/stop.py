"""The verb that stops a run which another process carries out: stop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.errors import DataError, DefinitionError, MachineError, SyndetError
from syndet_ray.wording import command_line, resume_hint

if TYPE_CHECKING:
    from syndet_ray.runs.folder import RunFolder


def stop(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run of the cluster, by its name.")],
    cluster: Annotated[
        Path | None, typer.Option(metavar="<file>", help="File of the cluster, see `ray up`.")
    ] = None,
) -> None:
    """Stop a run on a cluster cleanly; `resume` continues it."""
    if cluster is None:
        from syndet_ray.runs.folder import RunFolder

        raise _refusal(RunFolder.open(Path(run)))
    _stop_there(run, cluster)


def _refusal(folder: "RunFolder") -> SyndetError:
    """The error for a run without a cluster, with what ends the process that carries it out."""
    file = folder.about.get("cluster")  # of a run that was brought here
    if file is not None:
        name_there = folder.about.get("name_there", folder.path.name)
        there = command_line("stop", name_there, "--cluster", file)
        return DefinitionError(folder.path, "was brought here from a cluster", do=f"Write: {there}")
    if not folder.is_carried_out():
        go_on = resume_hint(folder.path)
        return DataError(folder.path, "is carried out by no process", do=f"You can {go_on}")
    process = folder.process_words()
    rule = f"is carried out by process {process}, and not on a cluster"
    do = f"Press Ctrl-C in its terminal, or on that machine: kill {process.partition(' ')[0]}"
    return MachineError(folder.path, rule, do=do)


def _stop_there(run: str, file: Path) -> None:
    from syndet_ray.cli import terminal
    from syndet_ray.cli.remote_submission import attach_command
    from syndet_ray.cli.screen import open_display
    from syndet_ray.cli.sent_runs import check_is_name, newest_submission

    check_is_name(run)
    console = terminal.console()
    with open_display(console) as display:
        with display.step(f"looking for the head of {file}"):
            submission, _ = newest_submission(run, file)
        with display.step("waiting for the end of the run: trials keep their last checkpoint"):
            answer = submission.head.answer(submission.command("stop"))
    name = Path(answer["run"] or run).name
    again = attach_command(submission, answer["run"])
    if not answer["is_asked"]:
        rule = "is over, so there is nothing to stop"
        raise DataError(f"{name} on {submission.head.place}", rule, do=f"Bring it here: {again}")
    go_on = resume_hint(Path(name), "--cluster", str(file))
    if answer["goes_on"]:
        words = f"{name} is still ending; follow it with: {again}\nafter that, {go_on}"
    elif not answer["run"]:
        words = f"{name} is stopped; it had begun no run, so there is nothing to continue"
    elif answer["status"] in ("", "interrupted"):
        words = f"{name} is stopped; {go_on}\nbring here what it has: {again}"
    else:
        words = f"{name} has ended before it could be stopped; bring it here: {again}"
    console.print(words, soft_wrap=True)
