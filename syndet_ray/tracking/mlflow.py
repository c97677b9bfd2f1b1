"""Tracking: writes the search to MLflow: a parent run for the sweep, a nested run for each trial.

Only the driver writes. A thread does it, and tries again while MLflow is unavailable, because that
must not end a search of hours. So MLflow may lag behind the ledger. If something is still missing
at the end, or after a kill, the next attempt writes it.
"""

import logging
import math
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Experiment,
    LifecycleStage,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.progress import Note, silent
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.tracking.server import check_server, is_server, mask
from syndet_ray.tracking.store import named_failures, reason
from syndet_ray.tracking.valid_names import registered_name, safe_names, trial_name
from syndet_ray.tracking.view import VIEW_TAG, links, view

EXPERIMENT_PREFIX = "syndet_ray"
# Our state of a trial, and MLflow's status: MLflow has no "pruned", and a pruned trial ended as it
# should.
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
# With this kind of experiment the UI opens on trained models and their metrics, not on chats.
_TRAINING = "custom_model_development"
_CLIENT_SETTINGS = {
    # MLflow's own client tries seven times, for four minutes, while nothing else is written. Our
    # thread tries again itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # It waits two minutes for an answer, twice. A machine that is about to be taken away may have
    # half a minute.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    # It prints two lines for every trial that ends, and they contain the password of the address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE_S = 60.0  # with a store that fails, when nothing else is left to do
_LEAVING_S = 5.0  # to mark a run as stopped, if a person stops it while it begins here
_MOST_NAMED = 6  # missing deliveries in a message: more would fill the terminal


@dataclass(kw_only=True)
class _Written:
    """The state of a trial's run in MLflow.

    run     id of the run
    images  training images of its last rung; None if unknown
    params  true if its parameters are written
    """

    run: str
    status: str = "RUNNING"
    state: str = "RUNNING"
    retries: int = 0
    images: int | None = 0
    params: bool = False


class Tracking(Listener):
    """Writes one sweep to MLflow.

    parent  the id of an earlier attempt's parent run, when resuming
    begun   name of the run's folder, and its start in seconds since 1970; no other run has them.
            They find the parent run of an attempt that was stopped before it could keep that id.
            None if no later attempt needs them
    note    called with a message for a person: once, if MLflow cannot be written

    A failure before the search begins raises MachineError. Later writes are tried again, and `end`
    returns what is missing.
    """

    def __init__(
        self,
        uri: str,
        artifacts: Path | None,
        sweep_name: str,
        sweep: LoadedSweep,
        parent: str | None = None,
        begun: tuple[str, float] | None = None,
        note: Note = silent,
    ) -> None:
        check_server(uri)
        for name, value in _CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        # otherwise it logs a line for each attempt
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        # The model registry looks up models:/ addresses in this global store, even if its client
        # was given another one.
        mlflow.set_tracking_uri(uri)
        self._uri = uri
        self._note = note
        self._experiment = ""
        self.parent = ""
        self._identity: dict[str, str] = {}
        if begun is not None:
            self._identity = {"run": begun[0], "begun": repr(begun[1])}
        # only the thread uses these two
        self._trials: dict[int, _Written] = {}
        self._unsure: set[int] = set()
        with named_failures(uri):
            self._client = MlflowClient(uri)
            try:
                self._begin(sweep_name, sweep, artifacts, parent)
            except KeyboardInterrupt:
                self._leave()
                raise
        self._outbox = Outbox("tracking", self._note_failure)
        write_view = partial(self._write_view, view(sweep, self.parent))
        self._outbox.put("the view of the trials", write_view)

    @property
    def place(self) -> str:
        """The name of the store in messages, without its password."""
        return f"MLflow's store {mask(self._uri)}"

    @property
    def link(self) -> str:
        """The address of the trials for a browser; "" if the store is no server."""
        if not is_server(self._uri):
            return ""
        return links(self._uri, self._experiment, self.parent, has_view=True)["trials"]

    def update(self, trial: Trial) -> None:
        """Writes the new results of a trial, soon. A later call replaces an earlier one."""
        self._outbox.put(_name(trial), partial(self._write, trial))

    def interrupt(self, trial: Trial) -> None:
        """Marks a trial that `resume` may continue: until then MLflow must not show RUNNING."""
        self._outbox.put(_name(trial), partial(self._write_interrupted, trial))

    def wait(self) -> None:
        """Waits until everything is written, or cannot be written.

        A run waits only at its end; before that, MLflow may be unavailable.
        """
        self._outbox.wait(_PATIENCE_S)

    def result(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Writes metrics and tags of the whole sweep to the parent run."""
        run_metrics = _metrics(metrics, step=0)
        run_tags = [RunTag(key, value) for key, value in tags.items()]
        self._outbox.put(
            "the results", lambda: self._client.log_batch(self.parent, run_metrics, tags=run_tags)
        )

    def describe(self, text: str) -> None:
        """Writes the text that the UI shows above the parent run."""
        self._outbox.put(
            "the description",
            lambda: self._client.set_tag(self.parent, MLFLOW_RUN_NOTE, text[:5000]),
        )

    def artifact(self, path: Path) -> None:
        """Adds a file, or a folder with all its files, as an artifact of the parent run."""
        self._outbox.put(path.name, partial(self._write_artifact, path))

    def register_champion(
        self, name: str, folder: Path, trial: Trial, metrics: Mapping[str, float]
    ) -> None:
        """Registers the model in `folder` as a new version of `name` with the alias "champion".

        If an earlier attempt has registered the same trial with the same metrics, no new version is
        made. The files are plain, without a pickle flavour:
        `mlflow.artifacts.download_artifacts("models:/<name>@champion")` gives them back.
        """
        tags = {key: f"{value:.4f}" for key, value in metrics.items()}
        self._outbox.put("the champion", partial(self._write_champion, name, folder, trial, tags))

    def end(self, status: str, patience_s: float = _PATIENCE_S, limit_s: float = math.inf) -> str:
        """Closes the parent run as FINISHED, FAILED or KILLED (resumable).

        patience_s  how long to try, if MLflow cannot be written
        limit_s     how long to wait in all, if it answers slowly

        Returns what MLflow lacks, in words, or "".
        """
        self._outbox.put(
            "the end of the sweep", lambda: self._client.set_terminated(self.parent, status)
        )
        return _missing_words(self._outbox.wait(patience_s, limit_s))

    def _note_failure(self, error: Exception) -> None:
        problem = f"{self.place} cannot be written ({reason(error)})"
        self._note(f"{problem}: the search goes on, and it is tried again")

    def _begin(
        self, name: str, sweep: LoadedSweep, artifacts: Path | None, parent: str | None
    ) -> None:
        """Finds or makes the experiment, the parent run and its parameters."""
        earlier = None if parent is None else self._run(parent)
        self._experiment = self._experiment_id(f"{EXPERIMENT_PREFIX}/{name}", artifacts, earlier)
        earlier = earlier or self._begun_run()
        run = earlier or self._new_parent(name, sweep)
        self.parent = run.info.run_id
        settings = {
            "trials": sweep.trials,
            "seed": sweep.seed,
            "pruner": sweep.pruning.name,
            **sweep.recipe.flat(),
        }
        missing = [param for param in _params(settings) if param.key not in run.data.params]
        if missing:
            self._client.log_batch(self.parent, params=missing)
        if earlier is not None:
            self._continue()

    def _continue(self) -> None:
        """Continues the parent run of an earlier attempt, and reads the runs of its trials."""
        if self._client.get_run(self.parent).info.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_run(self.parent)
        self._client.update_run(self.parent, status="RUNNING")
        for run in self._children():
            if {"trial", "state"} <= run.data.tags.keys():  # a user may nest other runs there
                self._trials[int(run.data.tags["trial"])] = _read_run(run)

    def _begun_run(self) -> Run | None:
        """Returns the parent run that an earlier attempt made without keeping its id; or None."""
        if not self._identity or not self._experiment:
            return None
        # a folder's name may hold any character
        condition = f"tags.begun = '{self._identity['begun']}'"
        runs = self._client.search_runs([self._experiment], condition, ViewType.ALL)
        for run in runs:
            if run.data.tags.get("run") == self._identity["run"]:
                return run
        return None

    def _leave(self) -> None:
        """Marks the parent run, if it exists, as one that a later `resume` continues.

        A person has stopped the attempt, so this waits only a short time.
        """
        outbox = Outbox("leaving", lambda error: None)
        outbox.put("the end of the sweep", self._write_left)
        outbox.wait(_LEAVING_S, _LEAVING_S)

    def _write_left(self) -> None:
        run = self._begun_run()
        parent = self.parent
        if not parent and run is not None:
            parent = run.info.run_id
        if parent:
            self._client.set_terminated(parent, "KILLED")

    def _run(self, run: str) -> Run | None:
        """Returns a run by its id; None if this store does not have it.

        A sweep that continues with another store is written there again.
        """
        try:
            return self._client.get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _experiment_id(self, name: str, artifacts: Path | None, parent: Run | None) -> str:
        """Returns the id of the experiment, which is made or restored if needed.

        It is that of an earlier attempt, even if it was renamed, or else the one of this name.
        """
        experiment = self._earlier_experiment(name, parent) or self._new_experiment(name, artifacts)
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_experiment(experiment.experiment_id)
            problem = f"MLflow's experiment {experiment.name} had been deleted"
            self._note(f"{problem}: it is restored, with its runs")
        return experiment.experiment_id

    def _earlier_experiment(self, name: str, parent: Run | None) -> Experiment | None:
        if parent is None:
            return self._client.get_experiment_by_name(name)
        return self._client.get_experiment(parent.info.experiment_id)

    def _new_experiment(self, name: str, artifacts: Path | None) -> Experiment:
        """Makes an experiment; another sweep that begins at the same moment may make it first."""
        location = None if artifacts is None else artifacts.resolve().as_uri()
        tags = {"mlflow.experimentKind": _TRAINING}
        try:
            experiment_id = self._client.create_experiment(name, location, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = self._client.get_experiment_by_name(name)
            assert experiment is not None
            return experiment
        return self._client.get_experiment(experiment_id)

    def _new_parent(self, name: str, sweep: LoadedSweep) -> Run:
        tags = {
            MLFLOW_RUN_NOTE: sweep.question,
            "kind": "sweep",
            "question": sweep.question,
            **self._identity,
        }
        run_name = f"{name} {time.strftime('%Y-%m-%d %H:%M')}"
        return self._client.create_run(self._experiment, run_name=run_name, tags=tags)

    def _write_view(self, state: str) -> None:
        self._client.set_experiment_tag(self._experiment, VIEW_TAG + self.parent, state)

    def _write_artifact(self, path: Path) -> None:
        if path.is_dir():
            self._client.log_artifacts(self.parent, str(path), path.name)
        else:
            self._client.log_artifact(self.parent, str(path))

    def _write_champion(self, name: str, folder: Path, trial: Trial, tags: dict[str, str]) -> None:
        run = self._written(trial).run
        version: ModelVersion | None = None
        versions = self._client.search_model_versions(f"name='{name}'")
        for earlier in versions:
            if earlier.run_id == run and earlier.tags == tags:
                version = earlier
                break
        if version is None:
            taken = {earlier.source for earlier in versions}
            model = self._logged_model(name, folder, trial, run, taken)
            version = self._new_version(name, model, run, tags)
        self._client.set_registered_model_alias(name, "champion", version.version)

    def _logged_model(
        self, name: str, folder: Path, trial: Trial, run: str, taken: Collection[str | None]
    ) -> str:
        """Uploads the model in `folder`, and returns its id in MLflow.

        If an earlier attempt has failed, its unfinished model is completed.

        taken: addresses of the models of earlier versions
        """
        condition = f"name = '{name}' AND source_run_id = '{run}'"
        models = self._client.search_logged_models([self._experiment], condition)
        model = next((earlier for earlier in models if earlier.model_uri not in taken), None)
        if model is None:
            params = {key: str(value) for key, value in trial.settings.items()}
            model = self._client.create_logged_model(
                self._experiment, name=name, source_run_id=run, params=params
            )
        if model.status != LoggedModelStatus.READY:
            self._client.log_model_artifacts(model.model_id, str(folder))
            self._client.finalize_logged_model(model.model_id, "READY")
        return model.model_id

    def _new_version(self, name: str, model: str, run: str, tags: dict[str, str]) -> ModelVersion:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self._client.create_model_version(
            name, f"models:/{model}", run_id=run, model_id=model, tags=tags
        )

    def _write(self, trial: Trial) -> None:
        """Writes the new results of a trial; an attempt that fails may have written a part."""
        try:
            self._write_new(trial)
        except Exception:
            self._unsure.add(trial.number)
            raise

    def _write_new(self, trial: Trial) -> None:
        """Writes the status last, so that a run that has ended is complete."""
        written = self._written(trial)
        status = _STATUS.get(trial.state, "RUNNING")
        has_ended = trial.state != "RUNNING"
        if has_ended and (written.state, written.status) == (trial.state, status):
            return
        images = self._last_step(written.run) if written.images is None else written.images
        metrics: list[Metric] = []
        for rung in trial.rungs:
            if rung.images > images:
                metrics += _metrics(rung.metrics, step=rung.images)
        if trial.diverged:  # otherwise its last report would rank it, perhaps first
            metrics += _metrics({OBJECTIVE: 0.0}, step=trial.images + 1)
        params = [] if written.params else _params(trial.settings)
        self._client.log_batch(written.run, metrics, params, _tags(trial, written))
        if has_ended:
            ended_ms = None if trial.ended is None else int(trial.ended * 1000)
            self._client.set_terminated(written.run, status, ended_ms)
        elif written.status != status:
            self._client.update_run(written.run, status)
        self._trials[trial.number] = _Written(
            run=written.run,
            status=status,
            state=trial.state,
            retries=trial.retries,
            images=max(images, trial.images),
            params=True,
        )

    def _write_interrupted(self, trial: Trial) -> None:
        self._write(trial)
        written = self._trials[trial.number]
        cause = "interrupted; resume continues from its last checkpoint"
        self._client.set_tag(written.run, "reason", cause)
        self._client.set_terminated(written.run, "KILLED")
        written.status = "KILLED"

    def _written(self, trial: Trial) -> _Written:
        """Returns the state of a trial's run, which is made if it is missing.

        After a write that failed, MLflow is asked for it.
        """
        if trial.number in self._unsure:
            runs = self._children(f" and tags.trial = '{trial.number}'")
            self._trials.pop(trial.number, None)
            for run in runs:
                self._trials[trial.number] = _read_run(run)
            self._unsure.discard(trial.number)
        if trial.number not in self._trials:
            self._trials[trial.number] = _Written(run=self._new_run(trial))
        return self._trials[trial.number]

    def _new_run(self, trial: Trial) -> str:
        tags = {
            MLFLOW_PARENT_RUN_ID: self.parent,
            "kind": trial.kind,
            "trial": str(trial.number),
            "state": "RUNNING",
        }
        if trial.of is not None:
            tags["of"] = str(trial.of)
        started_ms = int(trial.started * 1000)
        run = self._client.create_run(self._experiment, started_ms, tags, trial_name(trial))
        return run.info.run_id

    def _children(self, condition: str = "") -> Iterable[Run]:
        """Returns the nested runs of this sweep, or those that also meet a condition."""
        nested = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"
        return self._client.search_runs(
            [self._experiment],
            nested + condition,
            max_results=50_000,  # the most that MLflow allows
        )

    def _last_step(self, run: str) -> int:
        history = self._client.get_metric_history(run, OBJECTIVE)
        return max((metric.step for metric in history), default=0)


def _name(trial: Trial) -> str:
    return f"trial {trial.number}"


def _read_run(run: Run) -> _Written:
    """Reads the state of a run; after a kill, any of its later writes may be missing."""
    retries = int(run.data.tags.get("retries", 0))
    return _Written(
        run=run.info.run_id,
        status=run.info.status,
        state=run.data.tags["state"],
        retries=retries,
        images=None,
        params=bool(run.data.params),
    )


def _tags(trial: Trial, written: _Written) -> list[RunTag]:
    """Returns the tags that are new since the last write.

    An ended trial has its state, the reason, and the settings that were in force.
    """
    tags: dict[str, str] = {}
    if trial.retries != written.retries:
        tags["retries"] = str(trial.retries)
    if trial.state != "RUNNING":
        tags |= {"state": trial.state, "reason": trial.reason[:5000]}
        tags |= {f"effective.{key}": str(value) for key, value in trial.effective.items()}
    return [RunTag(key, value) for key, value in safe_names(tags).items()]


def _params(settings: Mapping[str, Any]) -> list[Param]:
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


def _metrics(metrics: Mapping[str, float], step: int) -> list[Metric]:
    now_ms = int(time.time() * 1000)
    return [Metric(name, value, now_ms, step) for name, value in safe_names(metrics).items()]


def _missing_words(missing: Mapping[str, Exception | None]) -> str:
    """Returns the missing deliveries and the reason, or "" if nothing is missing.

    For example: "trial 3, trial 4 and 2 more (no answer)".
    """
    if not missing:
        return ""
    words = ", ".join(list(missing)[:_MOST_NAMED])
    if len(missing) > _MOST_NAMED:
        words += f" and {len(missing) - _MOST_NAMED} more"
    failures = [failure for failure in missing.values() if failure is not None]
    if failures:
        words += f" ({reason(failures[-1])})"
    return words


def champion_name(sweep_name: str) -> str:
    """Returns the name under which a sweep's best model is registered."""
    return registered_name(f"{EXPERIMENT_PREFIX}-{sweep_name}")
