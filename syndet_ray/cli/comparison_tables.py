"""Comparison tables: the runs that `compare` compares, as lines and a table."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray.analysis.compare import ComparedRun, Comparison, Entry
from syndet_ray.metrics import MAP
from syndet_ray.wording import counted, decimals, duration, number, signed

_WIDTH_WITH_COSTS = 96  # columns: with fewer the names of recipes would have no room
_LONGEST, _MOST_SETTINGS = 60, 12  # letters of a value, and settings, that a comparison lists


def run_lines(comparison: Comparison) -> Iterator[str]:
    """The runs that are compared, with their letters in the table, and how they differ."""
    for run in comparison.runs:
        trials = counted(run.trials, "trial")
        trained = f"{trials}, {run.images:,} images, {duration(run.seconds)}"
        yield f"{run.letter}  {run.name}  {trained}; test set {run.opened}"
    for setting in comparison.settings[:_MOST_SETTINGS]:
        of_runs = zip(comparison.runs, setting.values, strict=True)
        values = [f"{run.letter} {_shorten(value)}" for run, value in of_runs]
        yield f"   {setting.name}: {'; '.join(values)}"
    if (more := len(comparison.settings) - _MOST_SETTINGS) > 0:
        yield f"   and {counted(more, 'more setting')}: --out FILE lists all"


def compare_table(comparison: Comparison, width: int = 100) -> Table:
    """The best recipe of every run, its simplest and its controls.

    A terminal that is wide enough also shows the images and the time of one training.
    """
    costs = ("images", "training time") if width >= _WIDTH_WITH_COSTS else ()
    table = Table(
        title=f"On the same {comparison.where}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    table.add_column("recipe", overflow="fold")
    for name in ("seeds", "val mAP", "test mAP", *costs):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"above {comparison.runs[0].letter}'s best", justify="right", no_wrap=True)
    for run in comparison.runs:
        for entry in run.entries:
            if entry.is_main:
                table.add_row(
                    run.letter,
                    *_comparison_row(run, entry, with_costs=bool(costs)),
                    style="bold" if entry.line.won else "",
                )
        table.add_section()
    return table


def comparison_names(comparison: Comparison) -> list[str]:
    """The names that the figures of a comparison show: of its runs and their recipes."""
    names = []
    for run in comparison.runs:
        names.append(run.name)
        names += [entry.name for entry in run.entries]
    return names


def left_out_words(comparison: Comparison) -> str:
    """Says that `compare_table` leaves recipes out; "" if it has all."""
    entries = [entry for run in comparison.runs for entry in run.entries]
    left_out = sum(not entry.is_main for entry in entries)
    if not left_out:
        return ""
    verb = "is" if left_out == 1 else "are"
    return (
        f"{counted(left_out, 'other tested recipe')} {verb} in the figure that --out FILE writes."
    )


def _comparison_row(run: ComparedRun, entry: Entry, *, with_costs: bool) -> list[str]:
    line, gap = entry.line, run.above_first if entry.line.best else None
    score, took = line.scores[MAP], "" if entry.seconds is None else duration(entry.seconds)
    above = "" if gap is None else f"{signed(gap.mean)} [{signed(gap.low)}, {signed(gap.high)}]"
    seeds, validation = str(len(line.seeds) or 1), number(line.validation)
    costs = [f"{entry.images:,}", took] if with_costs else []
    return [entry.name, seeds, validation, score.text(decimals(score.value)), *costs, above]


def _shorten(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
