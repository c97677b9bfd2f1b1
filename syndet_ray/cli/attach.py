"""The verb that follows a run which another process carries out: attach."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import FAILED, INTERRUPTED, Cluster, Runs, with_flags
from syndet_ray.cli.sweeps import finish
from syndet_ray.errors import DataError
from syndet_ray.wording import command_line, resume_hint

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.tuning.follow import Followed


def attach(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Folder of a run. Default: the newest under --runs."),
    ] = None,
    cluster: Cluster = None,
    runs: Runs = Path("runs"),
) -> None:
    """Follow a run that is carried out elsewhere, until it ends. Ctrl-C leaves it running."""
    from syndet_ray.cli import terminal

    if cluster is not None:
        from syndet_ray.cli.on_cluster import attach_there

        attach_there(run, cluster, runs)
        return
    folder = _folder(run, runs)
    console = terminal.console()
    if run is None:
        print_newest(folder.path, console, goes_on=folder.is_carried_out())
    console.print(folder.sweep.question, style="bold")
    try:
        followed = show(folder, console)
    except KeyboardInterrupt:
        again = command_line("attach", folder.path)
        console.print(f"detached: the run goes on; follow it again with: {again}", soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    cluster_file = folder.about.get("cluster")  # of a run that was brought here
    where = () if cluster_file is None else ("--cluster", cluster_file)
    conclude(folder, followed, console, *where)


def print_newest(run: Path | str, console: "Console", *, goes_on: bool) -> None:
    """Prints which run is followed if none was named: perhaps a sweep that has begun no run yet was
    meant.
    """
    state = "which goes on" if goes_on else "which is over"
    console.print(f"run      {run}, the newest, {state}", soft_wrap=True)


def show(folder: "RunFolder", console: "Console") -> "Followed":
    """Shows a run in the display of `sweep` until it ends; returns how that was."""
    from syndet_ray.cli import terminal
    from syndet_ray.tuning.follow import follow

    return follow(folder, partial(terminal.display, console))


def conclude(folder: "RunFolder", followed: "Followed", console: "Console", *where: str) -> None:
    """Prints the last words of a run that was followed, as `sweep` prints them.

    where  words of the command that resumes it, if that is not here

    Raises SystemExit with the exit status that `sweep` has, unless it is 0.
    """
    if followed.outcome is not None:
        finish(followed.outcome, console, *where)
        return
    if followed.error:
        print(f"syndet_ray: {with_flags(followed.error)}", file=sys.stderr)
    else:
        problem = f"{folder.path} is carried out by no process any more"
        console.print(f"{problem}; {resume_hint(folder.path, *where)}", soft_wrap=True)
    raise SystemExit(FAILED)


def _folder(run: str | None, runs: Path) -> "RunFolder":
    from syndet_ray.files import reading
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.runs.newest import newest_run

    if run is not None:
        return RunFolder.open(Path(run))
    with reading(runs):
        newest = newest_run(runs)
    if newest is None:
        raise DataError(runs, "holds no run", do="Name the folder of your runs with `runs`.")
    return RunFolder.open(newest.path)
