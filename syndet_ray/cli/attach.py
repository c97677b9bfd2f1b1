"""The verb that follows a run which another process carries out: attach."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.last_words import conclude
from syndet_ray.cli.listing import newest_line
from syndet_ray.cli.options import INTERRUPTED, Cluster, Runs
from syndet_ray.errors import DataError
from syndet_ray.wording import command_line

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
        newest = newest_line(folder.path, goes_on=folder.is_carried_out())
        console.print(newest, soft_wrap=True)
    console.print(folder.sweep.question, style="bold")
    try:
        followed = show(folder, console)
    except KeyboardInterrupt:
        again = command_line("attach", folder.path)
        console.print(f"detached: the run goes on; follow it again with: {again}", soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    conclude(folder, followed, console)


def show(folder: "RunFolder", console: "Console") -> "Followed":
    """Shows a run in the display of `sweep` until it ends; returns how that was."""
    from syndet_ray.cli import terminal
    from syndet_ray.tuning.follow import follow

    return follow(folder, partial(terminal.display, console))


def _folder(run: str | None, runs: Path) -> "RunFolder":
    from syndet_ray.files import reading
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.runs.newest import newest_run

    if run is not None:
        of_name = runs / run  # as `attach` names runs of a cluster
        return RunFolder.open(Path(run) if Path(run).exists() or not of_name.exists() else of_name)
    with reading(runs):
        newest = newest_run(runs)
    if newest is None:
        raise DataError(runs, "holds no run", do="Name the folder of your runs with `runs`.")
    return RunFolder.open(newest.path)
