"""Registry: registers the best model of a sweep in MLflow, with the alias "champion"."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from syndet_ray.tracking.parent_run import EXPERIMENT_PREFIX
from syndet_ray.tracking.valid_names import registered_name

_ALIAS = "champion"


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model that is registered.

    name      of the registered model
    folder    local folder with its files
    run       id of the run of the trial that trained it
    settings  of that trial
    tags      of the version
    """

    name: str
    folder: Path
    run: str
    settings: Mapping[str, Any]
    tags: dict[str, str]


def champion_name(sweep_name: str) -> str:
    """Returns the name under which a sweep's best model is registered."""
    return registered_name(f"{EXPERIMENT_PREFIX}-{sweep_name}")


def register(client: MlflowClient, experiment: str, champion: Champion) -> None:
    """Makes a new version of a registered model, and gives it the alias.

    If an earlier attempt has registered a model of the same run with the same tags, no new version
    is made.
    """
    versions = client.search_model_versions(f"name='{champion.name}'")
    version = _equal_version(versions, champion)
    if version is None:
        sources = {earlier.source for earlier in versions}
        model = _logged_model(client, experiment, champion, sources)
        version = _new_version(client, champion, model)
    client.set_registered_model_alias(champion.name, _ALIAS, version.version)


def _equal_version(versions: Collection[ModelVersion], champion: Champion) -> ModelVersion | None:
    for version in versions:
        if version.run_id == champion.run and version.tags == champion.tags:
            return version
    return None


def _logged_model(
    client: MlflowClient, experiment: str, champion: Champion, sources: Collection[str | None]
) -> str:
    """Uploads the model, and returns its id in MLflow.

    If an earlier attempt has failed, its unfinished model is completed.

    sources: addresses of the models of earlier versions
    """
    condition = f"name = '{champion.name}' AND source_run_id = '{champion.run}'"
    models = client.search_logged_models([experiment], condition)
    model = next((earlier for earlier in models if earlier.model_uri not in sources), None)
    if model is None:
        params = {key: str(value) for key, value in champion.settings.items()}
        model = client.create_logged_model(
            experiment, name=champion.name, source_run_id=champion.run, params=params
        )
    if model.status != LoggedModelStatus.READY:
        client.log_model_artifacts(model.model_id, str(champion.folder))
        client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def _new_version(client: MlflowClient, champion: Champion, model: str) -> ModelVersion:
    try:
        client.create_registered_model(champion.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        champion.name,
        f"models:/{model}",
        run_id=champion.run,
        model_id=model,
        tags=champion.tags,
    )
