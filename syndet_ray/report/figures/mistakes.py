"""Mistakes: which kinds of errors cost accuracy on the test set, which classes are taken for which,
and which are not seen.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from syndet_ray.analysis.chosen import chosen_lines
from syndet_ray.analysis.tables import test_lines
from syndet_ray.data.visibility import Visibility
from syndet_ray.report.figures.plot import Plot, colors, recipe_colors, records, titled, tooltip
from syndet_ray.report.palette import PAPER
from syndet_ray.runs.names import where
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
_LEAST_OBJECTS = 5  # of a class in a bin, that a recall is told of


def error_kinds(run: Run) -> Plot | None:
    """AP50 that each recipe would gain if all errors of one kind were mended (TIDE, Bolya et al.

    2020).
    """
    test = run.test
    if test is None or not any(
        name.startswith("error/") for row in test.rows for name in row.metrics
    ):
        return None
    lines = chosen_lines(run)
    header = ("what", "trial", "error", "meaning", "AP50_lost")
    rows = [
        (line.name, line.trial, kind, meaning, line.scores[f"error/{kind}"].value)
        for line in lines
        for kind, meaning in ERROR_KINDS.items()
    ]
    shades = recipe_colors(lines)
    figure = (
        alt.Chart(records(header, rows))
        .mark_bar()
        .encode(
            alt.X("AP50_lost:Q", title="AP50 that errors of this kind cost"),
            alt.Y("error:N", title=None, sort=list(ERROR_KINDS)),
            colors(shades),
            alt.YOffset("what:N", sort=list(shades)),
            tooltip=tooltip("what", "error", "meaning", AP50_lost=".3f"),
        )
    )
    height = 40 + len(ERROR_KINDS) * (14 + 14 * len(lines))
    return Plot(
        figure=titled(figure, f"What goes wrong on {where(test)}", run, height),
        header=header,
        rows=rows,
    )


def confusion(run: Run) -> Plot | None:
    """The best model's predictions by true class and predicted class."""
    test, classes = run.test, run.about.get("classes")
    if test is None or not test.confusion or classes is None:
        return None
    header = ("true_class", "predicted_class", "objects", "share")
    orders = [*classes, _unlike(BACKGROUND, classes)], [*classes, _unlike(MISSED, classes)]
    rows = _confusion_rows(test, *orders)
    figure = _grid(
        header,
        rows,
        orders,
        share="share",
        text="objects",
        formats={"objects": ",", "share": ".0%"},
    )
    return Plot(
        figure=titled(figure, "What is taken for what", run, _side(len(orders[0]))),
        header=header,
        rows=rows,
    )


def class_obstruction(run: Run) -> Plot | None:
    """The best recipe's recall by class and by how visible objects are; cells with few objects are
    refused.
    """
    test, classes = run.test, run.about.get("classes", ())
    if test is None or test.visibility is None:
        return None
    rows = _class_rows(test, test.visibility, classes, run)
    if not rows:
        return None
    header = ("class_name", "visibility", "recall", "objects")
    formats = {"recall": ".2f"} | ({"objects": ","} if test.visibility.class_objects else {})
    orders = list(classes), [held.name for held in test.visibility.bins]
    figure = _grid(header, rows, orders, share="recall", text="recall", formats=formats)
    title = f"Recall of the best recipe on {where(test)}"
    return Plot(figure=titled(figure, title, run, _side(len(classes))), header=header, rows=rows)


def _class_rows(
    test: TestScores, seen: Visibility, classes: Sequence[str], run: Run
) -> list[tuple[str, str, float, int | None]]:
    """Class, bin, recall and number of objects of every cell with enough; None where objects were
    not counted by class.
    """
    best = next(line for line in test_lines(test, run.trials) if line.best)
    cells = [
        (name, held.name, _objects(seen, name, k))
        for name in classes
        for k, held in enumerate(seen.bins)
    ]
    scored = [
        (name, held, best.scores.get(f"recall_visible/{held}/{name}"), count)
        for name, held, count in cells
    ]
    return [
        (name, held, score.value, count)
        for name, held, score, count in scored
        if score is not None and (count is None or count >= _LEAST_OBJECTS)
    ]


def _objects(seen: Visibility, name: str, k: int) -> int | None:
    return seen.class_objects[name][k] if name in seen.class_objects else None


def _unlike(label: str, classes: Sequence[str]) -> str:
    """A label that no class has."""
    while label in classes:
        label = f"({label})"
    return label


def _confusion_rows(
    test: TestScores, true: Sequence[str], predicted: Sequence[str]
) -> list[tuple[str, str, int, float]]:
    """Every cell but the last, of background taken for background; shares are those of a row."""
    cells = [
        (name, other, count, count / sum(counts) if sum(counts) else 0.0)
        for name, counts in zip(true, test.confusion, strict=True)
        for other, count in zip(predicted, counts, strict=True)
    ]
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
    """Cells, darker for a greater share (0 to 1), with their numbers. orders: of the first column
    down, of the second across.
    """
    down, across = header[:2]
    base = alt.Chart(records(header, rows)).encode(
        alt.X(
            f"{across}:N",
            sort=orders[1],
            title=across.replace("_", " "),
            axis=alt.Axis(orient="top", labelAngle=-40),
        ),
        alt.Y(
            f"{down}:N",
            sort=orders[0],
            title=down.replace("_", " "),
            axis=alt.Axis(domain=False, ticks=False),
        ),
    )
    cells = base.mark_rect(stroke=PAPER).encode(
        alt.Color(
            f"{share}:Q", scale=alt.Scale(domain=[0, 1], range=["#eef3f6", "#0072B2"]), legend=None
        ),
        tooltip=tooltip(down, across, **formats),
    )
    shade = alt.condition(f"datum.{share} > 0.55", alt.value("#fefefe"), alt.value("#1b1f22"))
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text(f"{text}:Q", format=formats[text]), color=shade
    )
    return alt.layer(cells, numbers)


def _side(count: int) -> int:
    return 40 + 34 * count
