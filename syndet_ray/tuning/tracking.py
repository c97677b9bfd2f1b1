"""Tracking: the search in MLflow, written by the driver alone. One parent run a sweep, one nested run a trial.

Trials are written by a thread: a write takes longer than anything else that a report costs the driver. MLflow may so lag
behind the ledger; after a kill, the next attempt brings it up.
"""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is first imported

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from syndet_ray.errors import MachineError
from syndet_ray.results import OBJECTIVE, Rung, Trial
from syndet_ray.sweep import Sweep
from syndet_ray.tuning.background import Background

EXPERIMENT_PREFIX = "syndet_ray"
# Our state of a trial and MLflow's status: MLflow knows no "pruned", and a pruned trial ended as it should.
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
_ANSWER_S = 5
# So that the UI opens on trained models and their metrics, not on chats.
_TRAINING = "custom_model_development"


def local_store(runs: Path) -> str:
    """The address of the sqlite store under `runs`, made if it is not there yet.

    Made here, once, because processes that open a missing store at the same moment race to create it, and in WAL mode
    because that makes a write about three times cheaper.
    """
    runs.mkdir(parents=True, exist_ok=True)
    path = runs.resolve() / "mlflow.db"
    uri = f"sqlite:///{path}"
    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    MlflowClient(uri).search_experiments(max_results=1)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
    return uri


def check_server(uri: str) -> None:
    """Raises MachineError unless the tracking server at `uri` answers within a few seconds."""
    if not uri.startswith(("http://", "https://")):
        return
    do = "Start it, correct --tracking, or leave it out to use sqlite beside the runs."
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_ANSWER_S)
    except requests.RequestException as error:
        raise MachineError(f"tracking server {uri}", f"does not answer ({type(error).__name__})", do=do) from None
    if not answer.ok:
        raise MachineError(f"tracking server {uri}", "is not healthy", got=f"HTTP {answer.status_code}", do=do)


@dataclass
class _Written:
    """What MLflow has of a trial. images: of the last rung; None where nobody has looked."""

    run: str
    status: str = "RUNNING"
    state: str = "RUNNING"
    retries: int = 0
    images: int | None = 0
    params: bool = False


class Tracking:
    """Writes one sweep into MLflow. `parent` is the id of an earlier attempt's parent run, when resuming.

    What goes wrong in the background is raised by the next call.
    """

    def __init__(
        self, uri: str, artifacts: Path | None, sweep_name: str, sweep: Sweep, parent: str | None = None
    ) -> None:
        check_server(uri)
        mlflow.set_tracking_uri(
            uri
        )  # the model registry looks a models:/ address up there, whatever its client was given
        self._client = MlflowClient(uri)
        self._experiment = self._experiment_id(f"{EXPERIMENT_PREFIX}/{sweep_name}", artifacts)
        self._trials: dict[int, _Written] = {}  # the thread's own
        self._newest: dict[int, Trial] = {}  # waiting for it
        self._lock = Lock()
        self._background = Background("tracking")
        if parent is None or not self._knows(parent):
            self.parent = self._begin_sweep(sweep_name, sweep)
        else:
            self.parent = parent
            self._client.update_run(parent, status="RUNNING")
            self._trials = self._children()

    def _knows(self, run: str) -> bool:
        """Whether the store has a run: one that goes on elsewhere, or with another server, is written there anew."""
        try:
            self._client.get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def follow(self, trial: Trial) -> None:
        """Has MLflow brought to where the ledger has a trial, soon; of several calls, the last says all."""
        with self._lock:
            awaited, self._newest[trial.number] = bool(self._newest), trial
        if not awaited:
            self._background.soon(self._write_newest)

    def interrupt(self, number: int) -> None:
        """Marks a trial that a later `resume` takes up again."""
        self._background.soon(self._write_interrupted, number)

    def flush(self) -> None:
        """Waits until everything is written."""
        self._background.flush()

    def result(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Metrics and tags of the whole sweep, on the parent run."""
        self.flush()
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.parent,
            metrics=[Metric(_safe(key), value, now, 0) for key, value in metrics.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )

    def describe(self, text: str) -> None:
        """What the UI shows above the parent run."""
        self._client.set_tag(self.parent, MLFLOW_RUN_NOTE, text[:5000])

    def artifact(self, path: Path) -> None:
        """A file, or a folder and all in it, as an artifact of the parent run."""
        self.flush()
        if path.is_dir():
            self._client.log_artifacts(self.parent, str(path), path.name)
        else:
            self._client.log_artifact(self.parent, str(path))

    def register_champion(self, name: str, folder: Path, trial: Trial, metrics: Mapping[str, float]) -> str:
        """Registers the model in `folder` as a new version of `name` with the alias "champion"; returns its version.

        What an earlier attempt registered, of the same trial and with the same metrics, is not registered again.
        Plain files, no pickle flavour: `mlflow.artifacts.download_artifacts("models:/<name>@champion")` gives them back.
        """
        self.flush()
        run, tags = self._trials[trial.number].run, {key: f"{value:.4f}" for key, value in metrics.items()}
        known = [found for found in self._client.search_model_versions(f"name='{name}'") if found.run_id == run]
        version = next((found for found in known if found.tags == tags), None)
        if version is None:
            version = self._new_version(name, folder, trial, run, tags)
        self._client.set_registered_model_alias(name, "champion", version.version)
        return str(version.version)

    def end(self, status: str) -> None:
        """Closes the parent run as FINISHED, FAILED or KILLED (resumable)."""
        self.flush()
        self._client.set_terminated(self.parent, status)

    def _experiment_id(self, name: str, artifacts: Path | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        location = None if artifacts is None else artifacts.resolve().as_uri()
        return self._client.create_experiment(name, location, {"mlflow.experimentKind": _TRAINING})

    def _begin_sweep(self, name: str, sweep: Sweep) -> str:
        tags = {MLFLOW_RUN_NOTE: sweep.question, "kind": "sweep", "question": sweep.question}
        run = self._client.create_run(self._experiment, run_name=f"{name} {time.strftime('%Y-%m-%d %H:%M')}", tags=tags)
        params = {"trials": sweep.trials, "seed": sweep.seed, "pruner": sweep.pruning.name, **sweep.recipe.flat()}
        self._client.log_batch(run.info.run_id, params=_params(params))
        return run.info.run_id

    def _new_version(self, name: str, folder: Path, trial: Trial, run: str, tags: dict[str, str]) -> ModelVersion:
        model = self._client.create_logged_model(
            self._experiment, name=_safe(name), source_run_id=run, params={k: str(v) for k, v in trial.recipe.items()}
        )
        self._client.log_model_artifacts(model.model_id, str(folder))
        self._client.finalize_logged_model(model.model_id, "READY")
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self._client.create_model_version(
            name, f"models:/{model.model_id}", run_id=run, model_id=model.model_id, tags=tags
        )

    def _write_newest(self) -> None:
        while True:
            with self._lock:
                if not self._newest:
                    return
                _, trial = self._newest.popitem()
            self._write(trial)

    def _write(self, trial: Trial) -> None:
        """Brings the run of a trial to where the trial is. Its status comes last: a run that is over has all before it."""
        if trial.number not in self._trials:
            self._trials[trial.number] = _Written(self._begin(trial))
        known, status = self._trials[trial.number], _STATUS.get(trial.state, "RUNNING")
        if trial.state != "RUNNING" and (known.state, known.status) == (trial.state, status):
            return
        images = self._last_step(known.run) if known.images is None else known.images
        metrics = [metric for rung in trial.rungs if rung.images > images for metric in _metrics(rung)]
        params = [] if known.params else _params(trial.recipe)
        tags = [RunTag("retries", str(trial.retries))] if trial.retries != known.retries else []
        if trial.state != "RUNNING":
            tags += [RunTag("state", trial.state), RunTag("reason", trial.reason[:5000])]
            tags += [RunTag(f"effective.{_safe(key)}", str(value)) for key, value in trial.effective.items()]
        self._client.log_batch(known.run, metrics, params, tags)
        if trial.state != "RUNNING":
            self._client.set_terminated(known.run, status, None if trial.ended is None else int(trial.ended * 1000))
        elif known.status != status:
            self._client.update_run(known.run, status)
        images = max(images, trial.images)
        self._trials[trial.number] = _Written(known.run, status, trial.state, trial.retries, images, params=True)

    def _begin(self, trial: Trial) -> str:
        what = {"search": "", "confirm": f" again {trial.of}"}.get(trial.kind, f" {trial.kind}")
        name = f"trial-{trial.number:03d}{what}"
        tags = {MLFLOW_PARENT_RUN_ID: self.parent, "kind": trial.kind, "trial": str(trial.number), "state": "RUNNING"}
        if trial.of is not None:
            tags["of"] = str(trial.of)
        return self._client.create_run(self._experiment, int(trial.started * 1000), tags, name).info.run_id

    def _write_interrupted(self, number: int) -> None:
        known = self._trials.get(number)
        if known is not None:  # the interruption may have come before the thread knew of the trial
            self._client.set_tag(known.run, "reason", "interrupted; resume goes on from its last checkpoint")
            self._client.set_terminated(known.run, "KILLED")
            known.status = "KILLED"

    def _children(self) -> dict[int, _Written]:
        runs = self._client.search_runs(
            [self._experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'", max_results=50_000
        )
        return {int(run.data.tags["trial"]): _found(run) for run in runs}

    def _last_step(self, run: str) -> int:
        return max((metric.step for metric in self._client.get_metric_history(run, OBJECTIVE)), default=0)


def _found(run: Run) -> _Written:
    """What an earlier attempt wrote of a trial; a kill may have come between any two writes."""
    retries = int(run.data.tags.get("retries", 0))
    return _Written(run.info.run_id, run.info.status, run.data.tags["state"], retries, None, bool(run.data.params))


def _params(settings: Mapping[str, Any]) -> list[Param]:
    """Settings as the UI can draw them: a number by itself, shares one by one, and nothing for what a recipe has not.

    One "None" among numbers makes the parallel coordinates of all trials an axis of words.
    """
    found: dict[str, Any] = {}
    for path, value in settings.items():
        shares = isinstance(value, Mapping) and all(isinstance(part, (int, float)) for part in value.values())
        found |= {f"{path}.{name}": part for name, part in value.items()} if shares else {path: value}
    return [Param(_safe(path), str(value)) for path, value in found.items() if value is not None]


def _metrics(rung: Rung) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(_safe(key), value, now, rung.images) for key, value in rung.metrics.items()]


def _safe(name: str) -> str:
    """A name that MLflow accepts: letters, digits and _-. :/"""
    return re.sub(r"[^\w\-. :/]", "_", name)


def champion_name(sweep_name: str) -> str:
    """The name under which a sweep's best model is registered; MLflow allows no dots, slashes or colons in it."""
    return f"{EXPERIMENT_PREFIX}-{sweep_name}"
