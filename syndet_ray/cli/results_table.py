"""Results table: the scores of recipes on the test set, as a run shows them at its end."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray import wording
from syndet_ray.analysis.tables import compared_with, distinct_rows, has_winner, test_lines
from syndet_ray.cli.terminal import LABEL_WIDTH
from syndet_ray.definitions.sweep import CONTROL_CHANGES
from syndet_ray.metrics import AP50, AP75, MAP
from syndet_ray.report import words
from syndet_ray.runs import names
from syndet_ray.runs.results import BEST, FINALIST, RowKey, TestRow, TestScores, Trial
from syndet_ray.spread import Difference

# Metrics with their intervals, as many as fit into 100 columns with the names of recipes and all
# other columns.
_SHOWN_METRICS, _BESIDE_DIFFERENCES, _OF_VARIANTS = (
    (MAP, AP50, AP75),
    (MAP, AP50),
    (MAP,),
)
_WIDTH = 100  # columns of the table; in fewer it shows a metric less
_DIFFERENCE_WIDTH = 23  # columns of a difference with its interval


def test_table(scores: TestScores, width: int, trials: Sequence[Trial]) -> Table:
    """The best recipe, other finalists, the controls and the variants on the test set, with 95 %
    intervals.

    width   columns of the terminal; in fewer than 100 the last metric gives way, so that no number
            is cut
    trials  of the run: the best recipe is not marked if all recipes tie at 0
    """
    table = Table(
        title=_test_title(scores),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    against = compared_with(scores)
    metrics, columns = _columns(
        against, narrow=width < _WIDTH, has_seed_spread=scores.has_seed_spread
    )
    table.add_column("", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    if against is not None:
        table.add_column(
            f"above {names.display_name(against)}", justify="right", width=_DIFFERENCE_WIDTH
        )
    best = scores.row("best") if has_winner(trials, scores) else None
    for key, row in distinct_rows(scores):
        texts = _row_texts(row, scores.p_best(row), metrics)
        cells = [texts[name] for name in columns]
        if against is not None:
            cells.append(_above(row.differences.get(against)))
        won = row is best
        table.add_row(_row_name(key, row, won=won), *cells, style="bold" if won else "")
    return table


def _test_title(scores: TestScores) -> str:
    images = wording.counted(scores.images, "stand-in image" if scores.stand_in else "real photo")
    if scores.has_seed_spread:
        trained = f"means of {words.seeds([len(row.seeds) for row in scores.rows])}"
    else:
        trained = "from one training of each recipe"
    if scores.is_too_small:
        trained += ", too few images for intervals"
    elif not scores.has_seed_spread:
        trained += ": intervals over images alone"
    return f"On the test set ({images}, {names.openings(scores)}; {trained})"


def _row_texts(row: TestRow, p_best: float | None, metrics: Sequence[str]) -> dict[str, str]:
    """The cells of a row, by the name of their column."""
    return {
        "trial": str(row.trial),
        "seeds": str(len(row.seeds) or 1),
        "P(best)": "" if p_best is None else wording.probability(p_best).removeprefix("= "),
        **{metric: _score(row, metric) for metric in metrics},
    }


def _columns(
    against: str | None, *, narrow: bool, has_seed_spread: bool
) -> tuple[Sequence[str], Sequence[str]]:
    """The metrics that are shown, and all columns between the name and the difference from
    `against`.
    """
    if against is None:
        metrics: Sequence[str] = _SHOWN_METRICS[:-1] if narrow else _SHOWN_METRICS
        return metrics, ("trial", *metrics)
    if against in CONTROL_CHANGES:
        metrics = _BESIDE_DIFFERENCES[:-1] if narrow else _BESIDE_DIFFERENCES
        return metrics, ("trial", *metrics, "P(best)")
    of_seeds = ("seeds", "P(best)") if has_seed_spread else ()
    return _OF_VARIANTS, (*(() if narrow else ("trial",)), *_OF_VARIANTS, *of_seeds)


def _above(difference: Difference | None) -> str:
    """The difference of a row from the row that all are compared with, as text."""
    if difference is None:
        return ""
    interval = f"[{_plain(difference.low)}, {_plain(difference.high)}]"
    return f"{wording.signed(difference.mean)} {interval}"


def recipe_lines(scores: TestScores, trials: Sequence[Trial]) -> list[str]:
    """The searched recipes of a table, a line each; its rows have only their trials."""
    searched = [line for line in test_lines(scores, trials) if line.is_searched]
    return [f"{f'trial {line.trial}':<{LABEL_WIDTH - 1}} {line.recipe}" for line in searched]


def _row_name(key: RowKey, row: TestRow, *, won: bool) -> str:
    if key == BEST and won:
        return key
    if key == BEST or key.startswith(FINALIST):  # as short as the lines below the table name it
        return f"trial {row.trial}"
    return names.display_name(key) + (" (best)" if won else "")


def _score(row: TestRow, metric: str) -> str:
    """ "0.250 [0.20, 0.30]". A spread between seeds may reach beyond what a score can be."""
    value = row.metrics.get(metric)
    if value is None:  # a run of an earlier version
        return wording.number(value)
    if metric not in row.intervals:
        return f"{value:.3f}"
    low, high = row.intervals[metric]
    digits = wording.decimals(value)
    return f"{value:.3f} [{max(0.0, low):.{digits}f}, {min(1.0, high):.{digits}f}]"


def _plain(value: float) -> str:
    """Three decimals, and no sign before nothing."""
    return f"{round(value, 3) + 0.0:.3f}"
