"""View: the trials of one sweep in MLflow's UI, as a table and as charts.

The table has the best trials first, and a column for each searched setting. MLflow keeps a shared
view as a tag of the experiment; a link names it.
"""

import json
from typing import Any
from urllib.parse import urlencode

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.parameter import Parameter, Simplex
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.tracking.address import without_login
from syndet_ray.tracking.valid_names import safe_name

VIEW_TAG = "mlflow.sharedViewState."
# Other tags that have a column: the purpose of a trial, its final state, and the reason for that.
_TAGS = ("kind", "state", "reason")
_MOST_AXES = 8  # parallel coordinates with more axes are not legible
_SECTION = "trials"


def view(sweep: LoadedSweep, parent: str) -> str:
    """Returns the state of the UI, as MLflow keeps it, that shows the trials of a sweep.

    parent: the id of the sweep's parent run.
    """
    objective = sweep.objective[0]
    parameter_columns = [f"params.`{name}`" for name in settings(sweep)]
    tag_columns = [f"tags.`{name}`" for name in _TAGS]
    state = {
        "searchFilter": _filter(parent),
        "orderByKey": _metric(objective),
        "orderByAsc": False,
        "lifecycleFilter": "Active",
        "startTime": "ALL",
        "selectedColumns": [_metric(objective), *parameter_columns, *tag_columns],
        # the curves show the best trials; the parallel coordinates show all
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunSections": [_section()],
        # otherwise MLflow sorts by name, and its own sections of every metric come before ours
        "isAccordionReordered": True,
        "compareRunCharts": _charts(objective, _axes(sweep)),
    }
    return json.dumps(state)


def links(server: str, experiment: str, parent: str, *, has_view: bool) -> dict[str, str]:
    """Returns the addresses of a sweep's trials: "trials", as a table, and "charts".

    has_view: true if the experiment has the sweep's view; without it the table has MLflow's own
    columns.
    """
    page = f"{without_login(server).rstrip('/')}/#/experiments/{experiment}/runs"
    query = {"workflowType": "machine_learning"}
    if has_view:
        query["viewStateShareKey"] = parent
    else:
        query["searchFilter"] = _filter(parent)
        query["orderByKey"] = _metric(OBJECTIVE)
        query["orderByAsc"] = "false"
    charts_query = query | {"compareRunsMode": "CHART"}
    return {
        "trials": f"{page}?{urlencode(query)}",
        "charts": f"{page}?{urlencode(charts_query)}",
    }


def experiments_link(server: str) -> str:
    """Returns the address of the page of all experiments."""
    return f"{without_login(server).rstrip('/')}/#/experiments?workflowType=machine_learning"


def settings(sweep: LoadedSweep) -> list[str]:
    """Returns the MLflow parameters in which trials differ: searched and changed by variants."""
    names: list[str] = []
    for path, parameter in sweep.parameters.items():
        names += _parameters(path, parameter)
    for changes in sweep.variants.values():
        names += changes
    safe_names = map(safe_name, names)
    return list(dict.fromkeys(safe_names))


def _axes(sweep: LoadedSweep) -> list[str]:
    """Returns the searched parameters that every trial has.

    MLflow leaves a trial out of the parallel coordinates if it lacks a value of one axis.
    """
    names: list[str] = []
    for path, parameter in sweep.parameters.items():
        if not parameter.when:
            names += _parameters(path, parameter)
    return [safe_name(name) for name in names[:_MOST_AXES]]


def _parameters(path: str, parameter: Parameter) -> list[str]:
    """Returns the names of a setting in MLflow, where every share has a name of its own."""
    if not isinstance(parameter, Simplex):
        return [path]
    parts = [f"mix.parts.{source}" for source in parameter.sources if source != REAL]
    return ["mix.synthetic", *parts] if REAL in parameter.sources else parts


def _filter(parent: str) -> str:
    return f"tags.`mlflow.parentRunId` = '{parent}'"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _section() -> dict[str, Any]:
    """Returns a section with one column: in MLflow's three columns the axis labels overlap."""
    return {
        "columns": 1,
        "cardHeight": 400,
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
    coordinates = shared | {
        "type": "PARALLEL",
        "uuid": "coordinates",
        "selectedParams": axes,
        "selectedMetrics": [objective],
        "showAllRuns": True,
    }
    return [coordinates, curves]
