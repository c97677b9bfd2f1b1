"""View: what MLflow's UI shows of one sweep: its trials, best first, with the settings that were
varied, and as charts.

MLflow keeps a view that people share as a tag of the experiment, and a link names it.
"""

import json
from typing import Any
from urllib.parse import urlencode

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Parameter, Simplex
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.tracking.names import safe_name
from syndet_ray.tracking.server import without_login

VIEW_TAG = "mlflow.sharedViewState."
# Other tags that have a column: what a trial is for, how it ended, and why.
_TAGS = ("kind", "state", "reason")
_MOST_AXES = 8  # more of parallel coordinates cannot be read
_SECTION = "trials"


def view(sweep: LoadedSweep, parent: str) -> str:
    """The state of the UI, as MLflow keeps it: the trials of a sweep, whose parent run is given."""
    objective, columns = sweep.objective[0], settings(sweep)
    state = {
        "searchFilter": _filter(parent),
        "orderByKey": _metric(objective),
        "orderByAsc": False,
        "lifecycleFilter": "Active",
        "startTime": "ALL",
        "selectedColumns": [
            _metric(objective),
            *(f"params.`{name}`" for name in columns),
            *(f"tags.`{name}`" for name in _TAGS),
        ],
        "runsHiddenMode": "FIRST_20_RUNS",  # curves of the best; the parallel coordinates show all
        "compareRunSections": [_section()],
        # else MLflow sorts by name, and its own sections of every metric come before ours
        "isAccordionReordered": True,
        "compareRunCharts": _charts(objective, _axes(sweep)),
    }
    return json.dumps(state)


def links(server: str, experiment: str, parent: str, *, has_view: bool) -> dict[str, str]:
    """Addresses of the trials of a sweep, by what they show: "trials", a table, and "charts".

    has_view: whether the experiment has the sweep's view; without it the trials come without their
    columns.
    """
    page = f"{without_login(server).rstrip('/')}/#/experiments/{experiment}/runs"
    shown = {"workflowType": "machine_learning"}
    if has_view:
        shown["viewStateShareKey"] = parent
    else:
        shown |= {
            "searchFilter": _filter(parent),
            "orderByKey": _metric(OBJECTIVE),
            "orderByAsc": "false",
        }
    charts = shown | {"compareRunsMode": "CHART"}
    return {"trials": f"{page}?{urlencode(shown)}", "charts": f"{page}?{urlencode(charts)}"}


def experiments_link(server: str) -> str:
    """The address of all experiments."""
    return f"{without_login(server).rstrip('/')}/#/experiments?workflowType=machine_learning"


def settings(sweep: LoadedSweep) -> list[str]:
    """The parameters, as MLflow has them, in which trials differ: what the search varies and what
    variants change.
    """
    names = [
        name
        for path, parameter in sweep.parameters.items()
        for name in _parameters(path, parameter)
    ]
    names += [path for changes in sweep.variants.values() for path in changes]
    return list(dict.fromkeys(safe_name(name) for name in names))


def _axes(sweep: LoadedSweep) -> list[str]:
    """Those that every trial has: MLflow leaves a trial out of the parallel coordinates for one
    value that it lacks.
    """
    varied = [
        (path, parameter) for path, parameter in sweep.parameters.items() if not parameter.when
    ]
    names = [safe_name(name) for path, parameter in varied for name in _parameters(path, parameter)]
    return names[:_MOST_AXES]


def _parameters(path: str, parameter: Parameter) -> list[str]:
    """What MLflow has of a setting: of shares, each by itself."""
    if not isinstance(parameter, Simplex):
        return [path]
    parts = [f"mix.parts.{source}" for source in parameter.sources if source != REAL]
    return ["mix.synthetic", *parts] if REAL in parameter.sources else parts


def _filter(parent: str) -> str:
    return f"tags.`mlflow.parentRunId` = '{parent}'"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _section() -> dict[str, Any]:
    """One chart below the other: in MLflow's three columns the names of axes lie on one another."""
    shape = {"columns": 1, "cardHeight": 400}
    return shape | {
        "uuid": _SECTION,
        "name": "Trials",
        "display": True,
        "isReordered": False,
        "isGenerated": False,
    }


def _charts(objective: str, axes: list[str]) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {"metricSectionId": _SECTION, "deleted": False, "isGenerated": False}
    curves = shared | {
        "type": "LINE",
        "uuid": "curves",
        "metricKey": objective,
        "selectedMetricKeys": [objective],
    }
    if not axes:
        return [curves]
    across = {"selectedParams": axes, "selectedMetrics": [objective], "showAllRuns": True}
    return [shared | {"type": "PARALLEL", "uuid": "coordinates"} | across, curves]
