"""Mistakes: the figures of errors on the test set: by kind, by class, and by visibility."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import test_lines
from syndet_ray.data.visibility import Visibility
from syndet_ray.metrics import ERROR, RECALL_VISIBLE
from syndet_ray.report.figures.plot import Plot, add_title, colors, recipe_colors, records, tooltip
from syndet_ray.report.palette import BLUE, NO_SHARE, ON_DARK_CELL, ON_LIGHT_CELL, PAPER
from syndet_ray.runs.names import test_set_name
from syndet_ray.runs.results import TestScores
from syndet_ray.runs.run import Run

ERROR_KINDS = {
    "classification": "right place, wrong class",
    "localisation": "right class, wrong place",
    "both": "wrong class and place",
    "duplicate": "found already",
    "background": "nothing there",
    "missed": "not found",
}
BACKGROUND, MISSED = "(background)", "(missed)"
_LEAST_OBJECTS = 5  # of a class in a bin: a recall of fewer says too little


def error_kinds(run: Run) -> Plot | None:
    """AP50 that each recipe would gain without the errors of one kind.

    After TIDE, Bolya et al. 2020.
    """
    test = run.test
    if test is None or not _has_error_kinds(test):
        return None
    lines = chosen_lines(run)
    header = ("what", "trial", "error", "meaning", "AP50_lost")
    rows = []
    for line in lines:
        for kind, meaning in ERROR_KINDS.items():
            loss = line.scores[ERROR + kind].value
            rows.append((line.name, line.trial, kind, meaning, loss))
    by_name = recipe_colors(lines)
    figure = (
        alt.Chart(records(header, rows))
        .mark_bar()
        .encode(
            alt.X("AP50_lost:Q", title="AP50 that errors of this kind cost"),
            alt.Y("error:N", title=None, sort=list(ERROR_KINDS)),
            colors(by_name),
            alt.YOffset("what:N", sort=list(by_name)),
            tooltip=tooltip("what", "error", "meaning", AP50_lost=".3f"),
        )
    )
    height = 40 + len(ERROR_KINDS) * (14 + 14 * len(lines))
    title = f"What goes wrong on {test_set_name(test)}"
    return Plot(
        figure=add_title(figure, title, run, height),
        header=header,
        rows=rows,
    )


def _has_error_kinds(test: TestScores) -> bool:
    metrics = set().union(*(row.metrics for row in test.rows))
    return any(name.startswith(ERROR) for name in metrics)


def confusion(run: Run) -> Plot | None:
    """The best model's predictions by true class and predicted class."""
    test = run.test
    classes = run.about.get("classes")
    if test is None or not test.confusion or classes is None:
        return None
    header = ("true_class", "predicted_class", "objects", "share")
    orders = [*classes, _unlike(BACKGROUND, classes)], [*classes, _unlike(MISSED, classes)]
    rows = _confusion_rows(test, *orders)
    formats = {"objects": ",", "share": ".0%"}
    grid = _grid(
        header,
        rows,
        orders,
        share="share",
        text="objects",
        formats=formats,
    )
    figure = add_title(grid, "What is taken for what", run, _side(len(orders[0])))
    return Plot(figure=figure, header=header, rows=rows)


def class_obstruction(run: Run) -> Plot | None:
    """The best recipe's recall by class and visibility, without cells of few objects."""
    test = run.test
    classes = run.about.get("classes", ())
    if test is None or test.visibility is None:
        return None
    rows = _class_rows(test, test.visibility, classes, run)
    if not rows:
        return None
    header = ("class_name", "visibility", "recall", "objects")
    formats = {"recall": ".2f"} | ({"objects": ","} if test.visibility.class_objects else {})
    orders = list(classes), [part.name for part in test.visibility.bins]
    grid = _grid(
        header,
        rows,
        orders,
        share="recall",
        text="recall",
        formats=formats,
    )
    title = f"Recall of the best recipe on {test_set_name(test)}"
    figure = add_title(grid, title, run, _side(len(classes)))
    return Plot(figure=figure, header=header, rows=rows)


def _class_rows(
    test: TestScores, visibility: Visibility, classes: Sequence[str], run: Run
) -> list[tuple[str, str, float, int | None]]:
    """Class, bin, recall and number of objects of every cell with enough objects.

    The number is None if objects were not counted by class.
    """
    best = next(line for line in test_lines(test, run.trials) if line.best)
    rows = []
    for name in classes:
        counts = visibility.class_objects.get(name, [None] * len(visibility.bins))
        for part, count in zip(visibility.bins, counts, strict=True):
            score = best.scores.get(f"{RECALL_VISIBLE}/{part.name}/{name}")
            if score is not None and (count is None or count >= _LEAST_OBJECTS):
                rows.append((name, part.name, score.value, count))
    return rows


def _unlike(label: str, classes: Sequence[str]) -> str:
    """A label that no class has."""
    while label in classes:
        label = f"({label})"
    return label


def _confusion_rows(
    test: TestScores, true: Sequence[str], predicted: Sequence[str]
) -> list[tuple[str, str, int, float]]:
    """Every cell but the last, of background taken for background; shares are those of a row."""
    cells = []
    for name, counts in zip(true, test.confusion, strict=True):
        total = sum(counts)
        for other, count in zip(predicted, counts, strict=True):
            cells.append((name, other, count, count / total if total else 0.0))
    return cells[:-1]


def _grid(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    orders: tuple[list[str], list[str]],
    *,
    share: str,
    text: str,
    formats: dict[str, str],
) -> Any:
    """Cells, darker for a greater share (0 to 1), with their numbers.

    orders: of the first column down, of the second across.
    """
    down, across = header[:2]
    top_axis = alt.Axis(orient="top", labelAngle=-40)
    x = alt.X(
        f"{across}:N",
        sort=orders[1],
        title=across.replace("_", " "),
        axis=top_axis,
    )
    bare_axis = alt.Axis(domain=False, ticks=False)
    y = alt.Y(
        f"{down}:N",
        sort=orders[0],
        title=down.replace("_", " "),
        axis=bare_axis,
    )
    base = alt.Chart(records(header, rows)).encode(x, y)
    scale = alt.Scale(domain=[0, 1], range=[NO_SHARE, BLUE])
    cells = base.mark_rect(stroke=PAPER).encode(
        alt.Color(f"{share}:Q", scale=scale, legend=None),
        tooltip=tooltip(down, across, **formats),
    )
    is_dark = f"datum.{share} > 0.55"
    shade = alt.condition(is_dark, alt.value(ON_DARK_CELL), alt.value(ON_LIGHT_CELL))
    number = alt.Text(f"{text}:Q", format=formats[text])
    return alt.layer(cells, base.mark_text(fontSize=12).encode(text=number, color=shade))


def _side(count: int) -> int:
    return 40 + 34 * count
