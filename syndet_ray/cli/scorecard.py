"""Scorecard: what `evaluate` and `predict` say, as tables and lines."""

from collections.abc import Iterator
from math import floor, isnan
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray.runs.metrics import (
    AP50_ANY_CLASS,
    CAPPED_AT_100,
    ERROR,
    MAIN_METRICS,
    MAP,
    MAP_ANY_CLASS,
    MAP_AT_300,
)
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from syndet_ray.deploy.evaluate import Judged
    from syndet_ray.deploy.predict import Applied

_MANY = MAP_AT_300
_OF_ALL = (*MAIN_METRICS, _MANY, MAP_ANY_CLASS, AP50_ANY_CLASS)
_USED_UP = (
    "Whoever looks at a test set again and again, and chooses by it, has no test set any more."
)
_MOST_SKIPPED = 20  # lines of a terminal
_WIDTH = 100  # columns of a terminal


def scores_table(judged: "Judged") -> Table:
    """COCO's metrics and AP of every class, with 95 % intervals over images."""
    pool = judged.pool
    where = f"{counted(len(pool), 'image')} and {counted(_objects(judged), 'object')}"
    intervals = ("95 % interval",) if judged.intervals else ()
    table = _table(f"{where} of {judged.data}, {judged.split}", "", "value", *intervals, "objects")
    columns = 1 + len(intervals)
    for name in _of_all(judged):
        table.add_row(name, *_score(judged, name)[:columns], "")
    for label, name in enumerate(pool.classes):
        objects = int(((pool.labels == label) & ~pool.crowd).sum())
        table.add_row(f"AP/{name}", *_score(judged, f"AP/{name}")[:columns], str(objects))
    return table


def visibility_table(judged: "Judged") -> Table:
    """AP and recall of objects by how much of them can be seen."""
    seen = judged.visibility
    known = (
        "estimated from boxes that overlap" if seen.kind == "estimated" else "as the data tell it"
    )
    interval = ", 95 %" if judged.intervals else ""
    table = _table(
        f"By visible share of the object, {known}",
        "visible",
        "objects",
        f"AP{interval}",
        f"recall{interval}",
    )
    for one in seen.bins:
        scores = [
            " ".join(_score(judged, f"{kind}_visible/{one.name}")).strip()
            for kind in ("AP", "recall")
        ]
        few = one.objects < max(seen.minimum, 1)
        table.add_row(one.name, str(one.objects), *(["too few objects"] if few else scores))
    return table


def errors_table(judged: "Judged") -> Table:
    """What each kind of mistake costs."""
    metrics = judged.evaluation.metrics
    table = _table("What AP50 would gain without each kind of error (TIDE)", "", "AP50")
    for name in metrics:
        if name.startswith(ERROR):
            table.add_row(name.removeprefix(ERROR), f"{metrics[name]:+.3f}")
    return table


def judged_lines(judged: "Judged") -> Iterator[str]:
    """What must be known of the scores above."""
    if capped := judged.evaluation.metrics[CAPPED_AT_100]:
        most = counted(int(judged.pool.box_counts.max()), "labelled object")
        yield f"{capped:.0%} of the images have over 100 predictions of one class; the fullest has {most}"
    if absent := judged.evaluation.absent:
        yield f"without an object, and so in no mean: {', '.join(absent)}"
    yield from judged.notes
    if judged.split == "test":
        yield _USED_UP


def applied_lines(applied: "Applied") -> Iterator[str]:
    """What was found, where it lies, and what could not be read."""
    images = len(applied.images)
    counts = ", ".join(
        f"{name} {count}" for name, count in applied.counts.most_common()
    ) or _nothing(applied)
    rate = f" ({images / applied.seconds:.3g} a second)" if images and applied.seconds else ""
    yield f"{counted(images, 'image')}{rate}: {counts}"
    yield f"{applied.out}: annotated/, kitti/, predictions.json"
    for line in applied.skipped[:_MOST_SKIPPED]:
        yield f"skipped {line}"
    if len(applied.skipped) > _MOST_SKIPPED:
        yield f"skipped {len(applied.skipped) - _MOST_SKIPPED} more"


def _nothing(applied: "Applied") -> str:
    """That no detection is drawn, and with which confidence some would be."""
    if not applied.highest:
        return "nothing"
    thousandths = floor(applied.highest * 1000)  # rounded up it might be what was not reached
    highest = f"{thousandths / 1000:.3f}" if thousandths else "below 0.001"
    return f"nothing with a confidence of {applied.least:g} or more; the highest is {highest}, see --score"


def _of_all(judged: "Judged") -> list[str]:
    """The metrics over all classes; with 300 detections an image only where that is not the same."""
    metrics = judged.evaluation.metrics
    return [
        name
        for name in _OF_ALL
        if name in metrics and (name != _MANY or metrics[_MANY] != metrics[MAP])
    ]


def _objects(judged: "Judged") -> int:
    return int((~judged.pool.crowd).sum())


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, min_width=min(_WIDTH, len(title))
    )
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left")
    return table


def _score(judged: "Judged", name: str) -> tuple[str, str]:
    """A metric and its interval, as cells."""
    value, bounds = judged.evaluation.metrics.get(name), judged.intervals.get(name)
    if value is None or isnan(value):
        return "no objects", ""
    return f"{value:.3f}", "" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
