"""Summary: metrics and tags of a whole sweep, for the parent run in MLflow."""

import math
from collections.abc import Mapping
from typing import Any

from syndet_ray.analysis.selection import Candidate
from syndet_ray.metrics import (
    CAPPED_AT_100,
    CAPPED_AT_300,
    MAIN_METRICS,
    MAP,
    MAP_AT_300,
    OBJECTIVE,
    TEST,
)
from syndet_ray.runs.names import near_copies_caveat, recipe_words
from syndet_ray.runs.results import TestRow, TestScores
from syndet_ray.wording import counted

_TEST_MAP = TEST + MAP
_WITH_AT = (MAP_AT_300, CAPPED_AT_100, CAPPED_AT_300)


def summary_metrics(best: Candidate, test: TestScores) -> dict[str, float]:
    """The metrics of a sweep, in the order in which MLflow's UI shows them.

    Of the best recipe its validation mAP, and all its test scores as test/mAP and so on; of every
    other recipe the main test scores, as test/mAP/<key>. Values that are not finite are left out.
    """
    metrics = {f"best/{OBJECTIVE}": best.mean}
    for row in test.rows:
        is_best = row.key == "best"
        suffix = "" if is_best else f"/{row.key}"
        metrics[_TEST_MAP + suffix] = row.metrics[MAP]
        if is_best:
            metrics |= _bounds(row)
        for name in MAIN_METRICS:
            if name in row.metrics:  # a run of an earlier version may lack it
                metrics[TEST + name + suffix] = row.metrics[name]
        p_best = test.p_best(row)
        if p_best is not None:
            metrics[f"{TEST}p_best{suffix}"] = p_best
    best_row = test.row("best")
    if best_row is not None:
        metrics |= {TEST + _plain(name): value for name, value in best_row.metrics.items()}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _plain(metric: str) -> str:
    """The name of a metric as earlier versions wrote it to MLflow, which refuses "@"."""
    return metric.replace("@", "_") if metric in _WITH_AT else metric


def _bounds(best: TestRow) -> dict[str, float]:
    """The interval of test/mAP, and the differences from the controls and the first variant."""
    bounds = {}
    if MAP in best.intervals:
        bounds[f"{_TEST_MAP}_low"], bounds[f"{_TEST_MAP}_high"] = best.intervals[MAP]
    for key, gap in best.differences.items():
        name = f"{_TEST_MAP}_above_{key}"
        bounds |= {name: gap.mean, f"{name}_low": gap.low, f"{name}_high": gap.high}
    return bounds


def summary_tags(best: Candidate, test: TestScores, about: Mapping[str, Any]) -> dict[str, str]:
    """The test set and the best trial that the metrics belong to, and a warning of near copies."""
    tags = {
        "test_set": _test_set_words(test),
        "best_trial": str(best.trial.number),
        "best_recipe": recipe_words(best.trial),
    }
    caveat = near_copies_caveat(about)
    return tags | {"near_copies": caveat} if caveat else tags


def _test_set_words(test: TestScores) -> str:
    kind = "stand-in" if test.stand_in else "real photos"
    return f"{kind}: {counted(test.images, 'image')}, {test.hash[:12]}"
