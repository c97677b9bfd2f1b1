"""Entities: settings and metrics in the form that MLflow's client takes."""

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from syndet_ray.tracking.valid_names import safe_names


def metric_entities(metrics: Mapping[str, float], step: int) -> list[Metric]:
    """Returns metrics at one step, which is a number of training images for a trial."""
    now_ms = int(time.time() * 1000)
    return [Metric(name, value, now_ms, step) for name, value in safe_names(metrics).items()]


def tag_entities(tags: Mapping[str, str]) -> list[RunTag]:
    """Returns tags with names that MLflow accepts."""
    return [RunTag(key, value) for key, value in safe_names(tags).items()]


def param_entities(settings: Mapping[str, Any]) -> list[Param]:
    """Returns settings as parameters that the UI can plot: every share has a parameter of its own.

    A setting that the recipe lacks is left out: one "None" among numbers makes their axis in the
    parallel coordinates an axis of words.
    """
    values: dict[str, Any] = {}
    for path, value in settings.items():
        if _are_shares(value):
            for name, share in value.items():
                values[f"{path}.{name}"] = share
        else:
            values[path] = value
    texts = {path: str(value) for path, value in values.items() if value is not None}
    return [Param(path, text) for path, text in safe_names(texts).items()]


def _are_shares(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(share, (int, float)) for share in value.values())
