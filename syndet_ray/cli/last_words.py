"""Last words: what the terminal shows of a run at its end, and the exit status."""

import sys
from typing import TYPE_CHECKING

from syndet_ray.cli.options import FAILED, INTERRUPTED, SPENT, with_flags
from syndet_ray.wording import command_line

if TYPE_CHECKING:
    from rich.console import Console

    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.tuning.follow import Followed
    from syndet_ray.tuning.options import Outcome


def conclude(folder: "RunFolder", followed: "Followed", console: "Console") -> None:
    """Prints the last words of a run that was followed, as `sweep` prints them.

    Raises SystemExit with the exit status that `sweep` has, unless it is 0.
    """
    from syndet_ray.runs.run import continue_hint

    if followed.outcome is not None:
        finish(followed.outcome, console)
        return
    if followed.error:
        print(f"syndet_ray: {with_flags(followed.error)}", file=sys.stderr)
    else:
        problem = f"{folder.path} is carried out by no process any more"
        console.print(f"{problem}; {continue_hint(folder.path, folder.about)}", soft_wrap=True)
    raise SystemExit(FAILED)


def finish(outcome: "Outcome", console: "Console") -> None:
    """Prints the last words of a run. Raises SystemExit with its exit status, unless it is 0."""
    from syndet_ray.cli import results_table, terminal
    from syndet_ray.cli.tables import print_table
    from syndet_ray.report.answer import answer
    from syndet_ray.runs.run import continue_hint

    folder = outcome.folder
    go_on = continue_hint(folder.path, folder.about)
    so_far = f"report so far: {command_line('report', folder.path)}"
    trials = f"trials   {outcome.trials_url or command_line('ui', folder.path, '--open')}"
    if outcome.status == "interrupted":
        console.print(f"interrupted; {go_on}\n{so_far}", soft_wrap=True)
        _print_trials(outcome, trials, console)
        raise SystemExit(INTERRUPTED)
    if outcome.status == "spent":
        more = "--hours" if "hours" in outcome.why else "--images"
        console.print(f"stopped: {outcome.why}; {go_on} {more} TOTAL\n{so_far}", soft_wrap=True)
        _print_trials(outcome, trials, console)
        raise SystemExit(SPENT)
    run = folder.read()
    if run.test is not None:
        table = results_table.test_table(run.test, console.width, run.trials)
        print_table(console, table)
        terminal.print_lines(console, results_table.recipe_lines(run.test, run.trials))
    console.print(answer(run), style="bold")
    if outcome.is_reported:
        console.print(f"report   {folder.report}", soft_wrap=True)
    _print_trials(outcome, trials, console)
    if outcome.status == "failed" or outcome.unwritten is not None or not outcome.is_reported:
        raise SystemExit(FAILED)


def _print_trials(outcome: "Outcome", trials: str, console: "Console") -> None:
    """Prints what MLflow lacks of a run, and on the last line where its trials are."""
    if outcome.unwritten is not None:
        console.print(with_flags(str(outcome.unwritten)), soft_wrap=True)
    console.print(trials, soft_wrap=True)
