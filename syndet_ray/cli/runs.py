"""Verbs that show runs: replay, report, compare and ui."""

import signal
import sys
import webbrowser
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syndet_ray.cli.options import (
    CoreHourPrice,
    GpuHourPrice,
    Json,
    Port,
    RunPath,
    Runs,
    TrackingUri,
)
from syndet_ray.cli.screen import open_display
from syndet_ray.errors import DataError

if TYPE_CHECKING:
    from subprocess import Popen

    from rich.console import Console

    from syndet_ray.analysis.compare import Comparison
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.runs.folder import RunFolder


def replay(
    run: RunPath,
    pruner: Annotated[
        str | None, typer.Option(help="Pruner, by its name in a sweep. Default: all.")
    ] = None,
    orders: Annotated[
        int, typer.Option(min=1, help="Number of random orders of the trials to try.")
    ] = 200,
    parallel: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Try pruners on the learning curves of a run. Shows what each saves, and how often it prunes
    the winner.
    """
    from syndet_ray.cli import facts, listing, terminal
    from syndet_ray.cli.document import one_document
    from syndet_ray.cli.tables import print_table
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.search import replay as replays

    with one_document("replay", is_wanted=as_json) as document:
        folder = RunFolder.open(run)
        chosen = replays.pruners_named(pruner)
        trials = folder.trials()
        curves = replays.full_curves(trials, run, replays.advice_on_curves(folder))
        console = terminal.console(on_stderr=as_json)
        replayed = []
        with open_display(console) as display:
            if not pruner:
                used = folder.sweep.pruning
                chosen = {f"this run's, {used.name}": used} | chosen
            for done, (name, pruning) in enumerate(chosen.items()):
                display.progress("replaying", done, len(chosen))
                result = replays.replay(
                    trials, pruning, orders=orders, parallel=parallel, seed=seed
                )
                replayed.append((name, result))
            display.progress("replaying", len(chosen), len(chosen))
        truncated = replays.missing_trials(trials)
        idle = replays.idle_pruners(chosen, folder.sweep.rungs)
        document.facts = facts.replay_facts(replayed, len(curves), truncated, idle)
    if as_json:
        return
    print_table(console, listing.replay_table(replayed, len(curves), truncated))
    if idle:
        console.print(listing.idle_words(idle, folder.sweep.rungs), soft_wrap=True)


def report(
    run: RunPath,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="New folder for the report. Default: that of the run."),
    ] = None,
    gpu_hour_price: GpuHourPrice = None,
    core_hour_price: CoreHourPrice = None,
) -> None:
    """Write the report of a run again. Prices replace those that the run was given."""
    from syndet_ray.cli import terminal
    from syndet_ray.deploy.output import check_out, new_folder
    from syndet_ray.files import check_writable
    from syndet_ray.runs.folder import RunFolder

    folder = RunFolder.open(run)
    if out is None:
        for path in (folder.report, folder.figures):
            check_writable(path, "Write the report elsewhere with `out` FOLDER.")
    else:
        check_out(out)
    with (
        open_display(terminal.console(on_stderr=True)) as display,
        display.step("writing the report"),
    ):
        from syndet_ray.cli import listing
        from syndet_ray.report import page
        from syndet_ray.report.fonts import missing_notes
        from syndet_ray.runs.prices import Prices, with_prices

        prices = Prices(gpu_hour_price=gpu_hour_price, core_hour_price=core_hour_price)
        whole = with_prices(folder.read(), prices)
        for line in missing_notes(listing.report_names(whole)):
            display.note(line)
        target = folder if out is None else RunFolder(new_folder(out))
        path = page.write(whole, target, partial(display.progress, "figures of the report"))
    print(f"report   {path}")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Folders of runs with the same test set."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page with figures."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the first run with others that used its test set."""
    from syndet_ray.analysis import compare as comparing
    from syndet_ray.cli import comparison_tables, facts, terminal
    from syndet_ray.cli.document import one_document
    from syndet_ray.files import check_writable
    from syndet_ray.report import compare_page
    from syndet_ray.report.document import check_name
    from syndet_ray.report.fonts import missing_notes
    from syndet_ray.runs.folder import RunFolder

    with one_document("compare", is_wanted=as_json) as document:
        if out is not None:
            check_name(out)
            check_writable(out, "Give another file with `out`.")
        comparison = comparing.compare([RunFolder.open(run).read() for run in runs])
        console = terminal.console(on_stderr=as_json)
        if not as_json:
            _print_comparison(comparison, console)
        page = None if out is None else compare_page.write(comparison, out)
        document.facts = facts.comparison_facts(comparison, page)
    if page is not None and not as_json:
        for line in missing_notes(comparison_tables.comparison_names(comparison)):
            console.print(line, soft_wrap=True)
        print(f"page     {page}")


def _print_comparison(comparison: "Comparison", console: "Console") -> None:
    from syndet_ray.cli import comparison_tables
    from syndet_ray.cli.tables import print_table
    from syndet_ray.report.comparison import sentences

    for line in comparison_tables.run_lines(comparison):
        console.print(line, soft_wrap=True)
    print_table(console, comparison_tables.compare_table(comparison, console.width))
    if left_out := comparison_tables.left_out_words(comparison):
        console.print(left_out, soft_wrap=True)
    for sentence in sentences(comparison):
        console.print(sentence, style="bold")


def ui(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run. Default: the newest under --runs; with --tracking all.",
        ),
    ] = None,
    tracking: TrackingUri = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the trials in a browser.")
    ] = False,
    runs: Runs = Path("runs"),
    port: Port = 5000,
) -> None:
    """Show a run's trials in the MLflow UI.

    Prints their addresses, and starts a server on 127.0.0.1 unless --tracking names one.
    """
    from syndet_ray.cli import terminal

    with suppress(KeyboardInterrupt), ExitStack() as stack:
        with open_display(terminal.console(on_stderr=True)) as display:
            links, server = _links_and_server(
                run, tracking, runs, port, display=display, stack=stack
            )
        for name, link in links.items():
            print(f"{name:<8} {link}", flush=True)
        if open_page:
            webbrowser.open(next(iter(links.values())))
        if server is not None:
            print("Ctrl-C ends it", flush=True)
            server.wait()


def _links_and_server(
    run: Path | None,
    tracking: str | None,
    runs: Path,
    port: int,
    *,
    display: "Plain | Bar",
    stack: ExitStack,
) -> tuple[dict[str, str], "Popen[bytes] | None"]:
    """Addresses by what they show, and the server that was started for them, which `stack` ends.

    The server is None when --tracking names one.
    """
    with display.step("loading MLflow"):
        from syndet_ray.tracking import ui as pages
        from syndet_ray.tracking.address import is_server
        from syndet_ray.tracking.store import readable_store, store_address

    folder, tracking = _choice(run, tracking, runs)
    home = runs if folder is None else folder.path.parent
    if folder is not None and tracking is None:
        _publish_if_missing(folder, display)
    if tracking is not None and is_server(tracking):
        with display.step("asking the tracking server"):
            pages.check_kept_server(tracking, folder)
            return pages.addresses(tracking, tracking, folder), None
    with display.step("opening MLflow's store"):
        address = store_address(home) if tracking is None else tracking
        store = stack.enter_context(readable_store(address, display.note, make=True))
        links = pages.addresses(store, pages.local_address(port), folder)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(0))  # so that the server ends with us
    with display.step("starting MLflow's server"):
        say = partial(print, end="", file=sys.stderr, flush=True)
        return links, stack.enter_context(pages.server(store, home / "artifacts", port, say))


def _publish_if_missing(folder: "RunFolder", display: "Plain | Bar") -> None:
    """Writes a run that was brought here from a cluster into the store beside it, if that lacks it
    or a part of it: the head's store has it, and `resume` goes on there.
    """
    from syndet_ray.tracking.store import store_address
    from syndet_ray.tracking.ui import has_run

    is_of_here = folder.about.get("cluster") is None
    is_whole = folder.about.get("is_published", False)
    if is_of_here or (is_whole and has_run(store_address(folder.path.parent), folder)):
        return
    from syndet_ray.tuning.publish import publish_copy

    publish_copy(folder, display)


def _choice(
    run: Path | None, tracking: str | None, runs: Path
) -> tuple["RunFolder | None", str | None]:
    """The run whose trials are shown, and the address of their store.

    The run is None for all runs; the store is None for the one next to the run. When neither is
    given, the run is the newest. Raises DataError when there is no folder of runs.
    """
    from syndet_ray.files import reading
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.runs.newest import newest_run
    from syndet_ray.tracking import ui as pages

    folder = None if run is None else RunFolder.open(run)
    if folder is None and tracking is None:
        with reading(runs):
            folder = newest_run(runs)
            is_folder = runs.is_dir()
        if folder is None and not is_folder:
            problem = "is not a folder" if runs.exists() else "does not exist"
            rule = f"{problem}, so there are no trials to show"
            raise DataError(runs, rule, do="Name the folder of your runs with --runs.")
    if tracking is None and folder is not None:
        tracking = pages.kept_tracking(folder)
    return folder, tracking
