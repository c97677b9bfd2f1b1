"""Verbs that look at runs: replay, report, compare and ui."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from syndet_ray.cli.options import Port, RunPath, Runs
from syndet_ray.cli.screen import shown


def replay(
    run: RunPath,
    pruner: Annotated[str | None, typer.Option(help="One of Optuna's, as sweeps name it. Default: all.")] = None,
    orders: Annotated[int, typer.Option(min=1, help="Orders in which the trials might have started.")] = 200,
    parallel: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Replay a run's learning curves through pruners: what each saves, and how often it kills the winner."""
    from syndet_ray import listing, terminal
    from syndet_ray.run_folder import RunFolder
    from syndet_ray.tuning import replay as replays

    folder = RunFolder.open(run)
    trials = folder.trials()
    curves = replays.full_curves(trials, str(run))
    console = terminal.console()
    found = []
    with shown(console) as display:
        own = {} if pruner else {f"this run's, {folder.sweep.pruning.name}": folder.sweep.pruning}
        chosen = own | replays.chosen(pruner)
        for done, (name, pruning) in enumerate(chosen.items()):
            display.progress("replaying", done, len(chosen))
            found.append((name, replays.replay(trials, pruning, orders=orders, parallel=parallel, seed=seed)))
        display.progress("replaying", len(chosen), len(chosen))
    console.print(listing.replay_table(found, len(curves), replays.truncated(trials)))


def report(run: RunPath) -> None:
    """Build the report of a run anew."""
    from syndet_ray.report import page
    from syndet_ray.run_folder import RunFolder

    print(page.write(RunFolder.open(run)))


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs that met one test set.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with figures, such as compare.html.")
    ] = None,
) -> None:
    """Set several runs side by side; the others are compared with the first."""
    from syndet_ray import listing, terminal
    from syndet_ray.report import compare as comparing
    from syndet_ray.report import compare_page
    from syndet_ray.run_folder import RunFolder

    found = comparing.compare([RunFolder.open(run) for run in runs])
    console = terminal.console()
    for line in listing.run_lines(found):
        console.print(line, soft_wrap=True)
    console.print(listing.compare_table(found))
    for sentence in comparing.sentences(found):
        console.print(sentence, style="bold")
    if out is not None:
        print(compare_page.write(found, out))


def ui(runs: Runs = Path("runs"), port: Port = 5000) -> None:
    """Compare the trials in the MLflow UI, served on 127.0.0.1."""
    from syndet_ray.tuning.tracking import local_store

    store = local_store(runs)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", (runs / "artifacts").resolve().as_uri()]
    # Without its job runners the server is 2 processes instead of 10.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, command, os.environ | quiet)  # this process becomes the server: signals reach it
