"""Scorecard: the results of `evaluate` and `predict`, as tables and lines."""

from collections.abc import Iterator
from math import floor, isnan
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray.metrics import (
    AP50_ANY_CLASS,
    AP_VISIBLE,
    CAPPED_AT_100,
    CLASS_AP,
    ERROR,
    MAIN_METRICS,
    MAP,
    MAP_ANY_CLASS,
    MAP_AT_300,
    RECALL_VISIBLE,
)
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from syndet_ray.deploy.evaluate import SplitEvaluation
    from syndet_ray.deploy.predict import PredictionSummary

_MANY = MAP_AT_300
_OF_ALL = (*MAIN_METRICS, _MANY, MAP_ANY_CLASS, AP50_ANY_CLASS)
_USED_UP = "A test set that is looked at again and again, to choose by it, is no test set any more."
_MOST_SKIPPED = 20  # files; more lines would push the result off the screen
_WIDTH = 100  # columns of a terminal


def scores_table(scores: "SplitEvaluation") -> Table:
    """COCO's metrics and the AP of every class, with 95 % intervals over images."""
    pool = scores.pool
    where = f"{counted(len(pool), 'image')} and {counted(_objects(scores), 'object')}"
    intervals = ("95 % interval",) if scores.intervals else ()
    table = _table(f"{where} of {scores.data}, {scores.split}", "", "value", *intervals, "objects")
    columns = 1 + len(intervals)
    for name in _of_all(scores):
        table.add_row(name, *_score(scores, name)[:columns], "")
    for label, name in enumerate(pool.classes):
        objects = int(((pool.labels == label) & ~pool.crowd).sum())
        table.add_row(CLASS_AP + name, *_score(scores, CLASS_AP + name)[:columns], str(objects))
    return table


def visibility_table(scores: "SplitEvaluation") -> Table:
    """AP and recall of objects by their visible share."""
    visibility = scores.visibility
    is_estimated = visibility.kind == "estimated"
    how = "estimated from boxes that overlap" if is_estimated else "as the data give it"
    interval = ", 95 %" if scores.intervals else ""
    table = _table(
        f"By visible share of the object, {how}",
        "visible",
        "objects",
        f"AP{interval}",
        f"recall{interval}",
    )
    for part in visibility.bins:
        if part.objects < max(visibility.minimum, 1):
            table.add_row(part.name, str(part.objects), "too few objects")
            continue
        ap = " ".join(_score(scores, f"{AP_VISIBLE}/{part.name}")).strip()
        recall = " ".join(_score(scores, f"{RECALL_VISIBLE}/{part.name}")).strip()
        table.add_row(part.name, str(part.objects), ap, recall)
    return table


def errors_table(scores: "SplitEvaluation") -> Table:
    """The AP50 that each kind of error costs."""
    metrics = scores.evaluation.metrics
    table = _table("What AP50 would gain without each kind of error (TIDE)", "", "AP50")
    for name in metrics:
        if name.startswith(ERROR):
            table.add_row(name.removeprefix(ERROR), f"{metrics[name]:+.3f}")
    return table


def score_lines(scores: "SplitEvaluation") -> Iterator[str]:
    """Notes that a reader of the scores needs."""
    if capped := scores.evaluation.metrics[CAPPED_AT_100]:
        most = counted(int(scores.pool.box_counts.max()), "labelled object")
        yield (
            f"{capped:.0%} of the images have over 100 predictions of one class; "
            f"the fullest has {most}"
        )
    if absent := scores.evaluation.absent:
        yield f"without an object, and so in no mean: {', '.join(absent)}"
    yield from scores.notes
    if scores.split == "test":
        yield _USED_UP


def summary_lines(summary: "PredictionSummary") -> Iterator[str]:
    """The number of detections, where they are, and what was unusual or could not be read."""
    from syndet_ray.data.images.picture import unusual_notes
    from syndet_ray.report.fonts import missing_notes

    images = len(summary.images)
    counts = ", ".join(
        f"{name}: {count}" for name, count in summary.counts.most_common()
    ) or _nothing(summary)
    rate = f" ({images / summary.seconds:.3g} a second)" if images and summary.seconds else ""
    yield f"{counted(images, 'image')}{rate}; {counts}"
    yield f"{summary.out}: annotated/, kitti/, predictions.json"
    yield from missing_notes(summary.counts)
    yield from unusual_notes(summary.headers)
    for line in summary.skipped[:_MOST_SKIPPED]:
        yield f"skipped {line}"
    if len(summary.skipped) > _MOST_SKIPPED:
        yield f"skipped {len(summary.skipped) - _MOST_SKIPPED} more"


def _nothing(summary: "PredictionSummary") -> str:
    """Says that no picture has a detection, and at which confidence one would have."""
    if not summary.highest:
        return "nothing"
    thousandths = floor(summary.highest * 1000)  # rounded up it might be what was not reached
    highest = f"{thousandths / 1000:.3f}" if thousandths else "below 0.001"
    return (
        f"nothing with a confidence of {summary.least:g} or more; "
        f"the highest is {highest}, see --score"
    )


def _of_all(scores: "SplitEvaluation") -> list[str]:
    """The metrics over all classes; mAP with 300 detections an image only if it differs."""
    metrics = scores.evaluation.metrics
    return [
        name
        for name in _OF_ALL
        if name in metrics and (name != _MANY or metrics[_MANY] != metrics[MAP])
    ]


def _objects(scores: "SplitEvaluation") -> int:
    return int((~scores.pool.crowd).sum())


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, min_width=min(_WIDTH, len(title))
    )
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left")
    return table


def _score(scores: "SplitEvaluation", name: str) -> tuple[str, str]:
    """A metric and its interval, as cells."""
    value, bounds = scores.evaluation.metrics.get(name), scores.intervals.get(name)
    if value is None or isnan(value):
        return "no objects", ""
    return f"{value:.3f}", "" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
