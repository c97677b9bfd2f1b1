"""A run of an earlier version may lack a metric that was added later: it is shown all the same."""

import csv
import io
import re
from dataclasses import replace

import pytest
from made_runs import made_run
from rich.console import Console

from syndet_ray.analysis.selection import candidates
from syndet_ray.cli import results_table
from syndet_ray.metrics import AP50, AP75, MAIN_METRICS, MAP, MAR
from syndet_ray.report import page
from syndet_ray.tuning.summary import summary_metrics

SCORES = {"best": (0.31, 0.27, 0.35), "real_only": (0.25, 0.21, 0.29)}


def run_without(path, metric):
    """A run whose test.json lacks a metric."""
    folder = made_run(scores=SCORES).write(path)
    test = folder.test()
    rows = []
    for row in test.rows:
        metrics = {name: value for name, value in row.metrics.items() if name != metric}
        intervals = {name: bounds for name, bounds in row.intervals.items() if name != metric}
        rows.append(replace(row, metrics=metrics, intervals=intervals))
    folder.write_test(replace(test, rows=tuple(rows)))
    return folder


@pytest.mark.parametrize("metric", [AP50, AP75, MAR])
def test_the_report_of_a_run_shows_that_a_metric_is_missing(tmp_path, metric):
    folder = run_without(tmp_path / "run", metric)
    html = page.write(folder.read(), folder).read_text()
    head = re.search(r"<tr><th>recipe</th>(.*?)</tr>", html).group(1)
    column = re.findall(r"<th[^>]*>(.*?)</th>", head).index(metric)
    rows = re.findall(r"<tr[^>]*><th>(?:<bdi>)?(?:best recipe|real only).*?</tr>", html, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    of_metrics = [row for row in cells if len(row) > len(MAIN_METRICS)]
    assert [row[column] for row in of_metrics] == ["n/a"] * len(SCORES)
    assert all("n/a" not in row[:column] for row in of_metrics)
    with (folder.figures / "test_scores.csv").open() as file:
        plotted = {row["metric"] for row in csv.DictReader(file)}
    assert set(MAIN_METRICS) - plotted == {metric}


def test_the_table_in_the_terminal_shows_that_a_metric_is_missing(tmp_path):
    test = run_without(tmp_path / "run", AP50).test()
    console = Console(file=io.StringIO(), width=100)
    console.print(results_table.test_table(test, 100, ()))
    assert console.file.getvalue().count("n/a") == len(SCORES)


def test_mlflow_gets_the_metrics_that_there_are(tmp_path):
    folder = run_without(tmp_path / "run", AP75)
    best = candidates(folder.trials())[0]
    metrics = summary_metrics(best, folder.test())
    assert {f"test/{MAP}", f"test/{MAP}/real_only", f"test/{AP50}/real_only"} <= metrics.keys()
    assert not [name for name in metrics if AP75 in name]
