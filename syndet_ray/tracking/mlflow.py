"""Tracking: the search in MLflow, written by the driver alone. One parent run a sweep, one nested
run a trial.

All is written by a thread, which tries again where MLflow is away: a search of hours does not end
over that. MLflow may so lag behind the ledger; what is still missing at the end, or after a kill,
the next attempt writes.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
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

from syndet_ray.definitions.sweep import Sweep
from syndet_ray.runs.results import OBJECTIVE, Rung, Trial
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.tracking.server import check_server, is_server, mask
from syndet_ray.tracking.store import named_failures, reason
from syndet_ray.tracking.valid_names import registered_name, safe_names
from syndet_ray.tracking.view import VIEW_TAG, links, view

EXPERIMENT_PREFIX = "syndet_ray"
# Our state of a trial and MLflow's status: MLflow knows no "pruned", and a pruned trial ended as it
# should.
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
# So that the UI opens on trained models and their metrics, not on chats.
_TRAINING = "custom_model_development"
_CLIENT_SETTINGS = {
    # MLflow's own client tries seven times, for four minutes, while nothing else is written. We try
    # again ourselves.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # It waits two minutes for an answer, twice, while a machine that is about to go has half a
    # minute left.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    # It prints two lines for every trial that ends, with the password of the address in them.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE_S = 60.0  # with a store that fails, once there is nothing else left to do
_LEAVING_S = 5.0  # how long whoever stops a run while it begins here waits for that to be marked
_MOST_NAMED = 6  # of what is missing


@dataclass(kw_only=True)
class _Written:
    """What MLflow has of a trial. images: of the last rung; None where nobody has looked."""

    run: str
    status: str = "RUNNING"
    state: str = "RUNNING"
    retries: int = 0
    images: int | None = 0
    params: bool = False


class Tracking(Listener):
    """Writes one sweep into MLflow.

    parent  the id of an earlier attempt's parent run, when resuming
    begun   the name of the run's folder, and when it began, in seconds since 1970: what no other
            run has. The parent run is found by it where an attempt was stopped before it could keep
            that run's id; None where nobody will look for it
    note    told what a person should know: once, that MLflow cannot be written to

    What goes wrong before the search begins is a MachineError; afterwards it is tried again, and
    `end` says what is missing.
    """

    def __init__(
        self,
        uri: str,
        artifacts: Path | None,
        sweep_name: str,
        sweep: Sweep,
        parent: str | None = None,
        begun: tuple[str, float] | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        check_server(uri)
        for name, value in _CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        # a line for each attempt, otherwise
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        # The model registry looks a models:/ address up there, whatever its client was given.
        mlflow.set_tracking_uri(uri)
        self._uri, self._note = uri, note
        self._experiment, self.parent = "", ""
        self._identity = {} if begun is None else {"run": begun[0], "begun": repr(begun[1])}
        self._trials: dict[int, _Written] = {}  # the thread's own, like what follows
        self._unsure: set[int] = set()
        with named_failures(uri):
            self._client = MlflowClient(uri)
            try:
                self._begin(sweep_name, sweep, artifacts, parent)
            except KeyboardInterrupt:
                self._leave()
                raise
        self._outbox = Outbox("tracking", self._tell)
        self._outbox.put(
            "the view of the trials", partial(self._write_view, view(sweep, self.parent))
        )

    @property
    def place(self) -> str:
        """The store, as a person is told of it."""
        return f"MLflow's store {mask(self._uri)}"

    @property
    def link(self) -> str:
        """Where a browser shows the trials; "" where no server is running yet."""
        if not is_server(self._uri):
            return ""
        return links(self._uri, self._experiment, self.parent, has_view=True)["trials"]

    def update(self, trial: Trial) -> None:
        """Has MLflow brought to where the ledger has a trial, soon; of several calls, the last says
        all.
        """
        self._outbox.put(_name(trial), partial(self._write, trial))

    def interrupt(self, trial: Trial) -> None:
        """Marks a trial that a later `resume` takes up again: MLflow must not show it as RUNNING
        meanwhile.
        """
        self._outbox.put(_name(trial), partial(self._write_interrupted, trial))

    def wait(self) -> None:
        """Waits until everything is written, or cannot be. A run waits at its end alone: until then
        MLflow may be away.
        """
        self._outbox.wait(_PATIENCE_S)

    def result(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Metrics and tags of the whole sweep, on the parent run."""
        now = int(time.time() * 1000)
        measured = [Metric(key, value, now, 0) for key, value in safe_names(metrics).items()]
        told = [RunTag(key, value) for key, value in tags.items()]
        self._outbox.put(
            "the results", lambda: self._client.log_batch(self.parent, measured, tags=told)
        )

    def describe(self, text: str) -> None:
        """What the UI shows above the parent run."""
        self._outbox.put(
            "the description",
            lambda: self._client.set_tag(self.parent, MLFLOW_RUN_NOTE, text[:5000]),
        )

    def artifact(self, path: Path) -> None:
        """A file, or a folder and all in it, as an artifact of the parent run."""
        self._outbox.put(path.name, partial(self._write_artifact, path))

    def register_champion(
        self, name: str, folder: Path, trial: Trial, metrics: Mapping[str, float]
    ) -> None:
        """Registers the model in `folder` as a new version of `name` with the alias "champion".

        What an earlier attempt registered, of the same trial and with the same metrics, is not
        registered again. Plain files, no pickle flavour:
        `mlflow.artifacts.download_artifacts("models:/<name>@champion")` gives them back.
        """
        tags = {key: f"{value:.4f}" for key, value in metrics.items()}
        self._outbox.put("the champion", partial(self._write_champion, name, folder, trial, tags))

    def end(self, status: str, patience_s: float = _PATIENCE_S, limit_s: float = math.inf) -> str:
        """Closes the parent run as FINISHED, FAILED or KILLED (resumable). Returns what MLflow
        lacks, in words, or "".

        patience_s  how long to try, where MLflow cannot be written to
        limit_s     how long to wait in all, where it takes its time to answer
        """
        self._outbox.put(
            "the end of the sweep", lambda: self._client.set_terminated(self.parent, status)
        )
        return _missing_words(self._outbox.wait(patience_s, limit_s))

    def _tell(self, error: Exception) -> None:
        self._note(
            f"{self.place} cannot be written ({reason(error)}): the search goes on, and it is tried again"
        )

    def _begin(self, name: str, sweep: Sweep, artifacts: Path | None, parent: str | None) -> None:
        """Makes sure of the experiment, the parent run and its parameters."""
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
            self._take_up()

    def _take_up(self) -> None:
        """Goes on with the parent run of an earlier attempt, and finds what that wrote of trials."""
        if self._client.get_run(self.parent).info.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_run(self.parent)
        self._client.update_run(self.parent, status="RUNNING")
        # others may nest theirs
        ours = [run for run in self._children() if {"trial", "state"} <= run.data.tags.keys()]
        self._trials = {int(run.data.tags["trial"]): _found(run) for run in ours}

    def _begun_run(self) -> Run | None:
        """The parent run that an earlier attempt made without keeping its id; None where there is
        none.
        """
        if not self._identity or not self._experiment:
            return None
        # a folder's name may hold any character
        condition = f"tags.begun = '{self._identity['begun']}'"
        runs = self._client.search_runs([self._experiment], condition, ViewType.ALL)
        return next(
            (run for run in runs if run.data.tags.get("run") == self._identity["run"]), None
        )

    def _leave(self) -> None:
        """Marks what had begun when a person stopped it as one that a later `resume` takes up, if
        that takes not too long.
        """
        outbox = Outbox("leaving", lambda error: None)
        outbox.put("the end of the sweep", self._write_left)
        outbox.wait(_LEAVING_S, _LEAVING_S)

    def _write_left(self) -> None:
        run = self._begun_run()
        parent = self.parent or (run.info.run_id if run is not None else "")
        if parent:
            self._client.set_terminated(parent, "KILLED")

    def _run(self, run: str) -> Run | None:
        """A run; None where the store has none: one that goes on elsewhere, or with another server,
        is written there anew.
        """
        try:
            return self._client.get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _experiment_id(self, name: str, artifacts: Path | None, parent: Run | None) -> str:
        """The experiment of an earlier attempt, whatever it is called by now, or the one of that
        name, made or restored.
        """
        experiment = self._earlier_experiment(name, parent) or self._new_experiment(name, artifacts)
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_experiment(experiment.experiment_id)
            self._note(
                f"MLflow's experiment {experiment.name} had been deleted: it is restored, with the runs in it"
            )
        return experiment.experiment_id

    def _earlier_experiment(self, name: str, parent: Run | None) -> Experiment | None:
        if parent is None:
            return self._client.get_experiment_by_name(name)
        return self._client.get_experiment(parent.info.experiment_id)

    def _new_experiment(self, name: str, artifacts: Path | None) -> Experiment:
        """The experiment of a name that had none; that of another sweep, which began at the same
        moment and made it.
        """
        location = None if artifacts is None else artifacts.resolve().as_uri()
        try:
            made = self._client.create_experiment(
                name, location, {"mlflow.experimentKind": _TRAINING}
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = self._client.get_experiment_by_name(name)
            assert experiment is not None
            return experiment
        return self._client.get_experiment(made)

    def _new_parent(self, name: str, sweep: Sweep) -> Run:
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
        run = self._known(trial).run
        versions = self._client.search_model_versions(f"name='{name}'")
        version = next(
            (earlier for earlier in versions if earlier.run_id == run and earlier.tags == tags),
            None,
        )
        if version is None:
            taken = {earlier.source for earlier in versions}
            model = self._logged_model(name, folder, trial, run, taken)
            version = self._new_version(name, model, run, tags)
        self._client.set_registered_model_alias(name, "champion", version.version)

    def _logged_model(
        self, name: str, folder: Path, trial: Trial, run: str, taken: Collection[str | None]
    ) -> str:
        """The id of the model in `folder`, handed over whole. What an attempt that failed has left
        of it is gone on with.

        taken: addresses of models that are those of earlier versions
        """
        condition = f"name = '{name}' AND source_run_id = '{run}'"
        models = self._client.search_logged_models([self._experiment], condition)
        model = next((earlier for earlier in models if earlier.model_uri not in taken), None)
        if model is None:
            params = {key: str(value) for key, value in trial.recipe.items()}
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
        """Brings the run of a trial to where the trial is; an attempt that fails may have done a
        part of it.
        """
        try:
            self._bring_up(trial)
        except Exception:
            self._unsure.add(trial.number)
            raise

    def _bring_up(self, trial: Trial) -> None:
        """The status comes last: a run that is over has all before it."""
        known, status = self._known(trial), _STATUS.get(trial.state, "RUNNING")
        if trial.state != "RUNNING" and (known.state, known.status) == (trial.state, status):
            return
        images = self._last_step(known.run) if known.images is None else known.images
        metrics = [
            metric for rung in trial.rungs if rung.images > images for metric in _metrics(rung)
        ]
        if trial.diverged:  # else it would stand where its last report puts it, perhaps first
            metrics.append(Metric(OBJECTIVE, 0.0, int(time.time() * 1000), trial.images + 1))
        params = [] if known.params else _params(trial.recipe)
        self._client.log_batch(known.run, metrics, params, _tags(trial, known))
        if trial.state != "RUNNING":
            self._client.set_terminated(
                known.run, status, None if trial.ended is None else int(trial.ended * 1000)
            )
        elif known.status != status:
            self._client.update_run(known.run, status)
        images = max(images, trial.images)
        self._trials[trial.number] = _Written(
            run=known.run,
            status=status,
            state=trial.state,
            retries=trial.retries,
            images=images,
            params=True,
        )

    def _write_interrupted(self, trial: Trial) -> None:
        self._write(trial)
        known = self._trials[trial.number]
        self._client.set_tag(
            known.run, "reason", "interrupted; resume goes on from its last checkpoint"
        )
        self._client.set_terminated(known.run, "KILLED")
        known.status = "KILLED"

    def _known(self, trial: Trial) -> _Written:
        """What MLflow has of a trial, which is asked where an attempt failed; a new run where it
        has none.
        """
        if trial.number in self._unsure:
            runs = self._children(f" and tags.trial = '{trial.number}'")
            self._trials.pop(trial.number, None)
            for run in runs:
                self._trials[trial.number] = _found(run)
            self._unsure.discard(trial.number)
        if trial.number not in self._trials:
            self._trials[trial.number] = _Written(run=self._new_run(trial))
        return self._trials[trial.number]

    def _new_run(self, trial: Trial) -> str:
        what = {"search": "", "confirm": f" again {trial.of}"}.get(trial.kind, f" {trial.kind}")
        name = f"trial-{trial.number:03d}{what}"
        tags = {
            MLFLOW_PARENT_RUN_ID: self.parent,
            "kind": trial.kind,
            "trial": str(trial.number),
            "state": "RUNNING",
        }
        if trial.of is not None:
            tags["of"] = str(trial.of)
        return self._client.create_run(
            self._experiment, int(trial.started * 1000), tags, name
        ).info.run_id

    def _children(self, condition: str = "") -> Iterable[Run]:
        """The runs of trials, or those for which a condition holds too."""
        of_this_sweep = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"
        return self._client.search_runs(
            [self._experiment], of_this_sweep + condition, max_results=50_000
        )

    def _last_step(self, run: str) -> int:
        return max(
            (metric.step for metric in self._client.get_metric_history(run, OBJECTIVE)), default=0
        )


def _name(trial: Trial) -> str:
    return f"trial {trial.number}"


def _found(run: Run) -> _Written:
    """What an earlier attempt wrote of a trial; a kill may have come between any two writes."""
    retries = int(run.data.tags.get("retries", 0))
    return _Written(
        run=run.info.run_id,
        status=run.info.status,
        state=run.data.tags["state"],
        retries=retries,
        images=None,
        params=bool(run.data.params),
    )


def _tags(trial: Trial, known: _Written) -> list[RunTag]:
    """What has changed since MLflow was told; of a trial that is over, why, and which settings were
    in force.
    """
    tags = {"retries": str(trial.retries)} if trial.retries != known.retries else {}
    if trial.state != "RUNNING":
        tags |= {"state": trial.state, "reason": trial.reason[:5000]}
        tags |= {f"effective.{key}": str(value) for key, value in trial.effective.items()}
    return [RunTag(key, value) for key, value in safe_names(tags).items()]


def _params(settings: Mapping[str, Any]) -> list[Param]:
    """Settings as the UI can draw them: a number by itself, shares one by one, and nothing for what
    a recipe has not.

    One "None" among numbers makes the parallel coordinates of all trials an axis of words.
    """
    found: dict[str, Any] = {}
    for path, value in settings.items():
        shares = isinstance(value, Mapping) and all(
            isinstance(part, (int, float)) for part in value.values()
        )
        found |= (
            {f"{path}.{name}": part for name, part in value.items()} if shares else {path: value}
        )
    told = {path: str(value) for path, value in found.items() if value is not None}
    return [Param(path, value) for path, value in safe_names(told).items()]


def _metrics(rung: Rung) -> list[Metric]:
    now = int(time.time() * 1000)
    return [
        Metric(name, value, now, rung.images) for name, value in safe_names(rung.metrics).items()
    ]


def _missing_words(missing: Mapping[str, Exception | None]) -> str:
    """What was not delivered, and why: "trial 3, trial 4 and 2 more (no answer)"; "" where nothing
    is missing.
    """
    if not missing:
        return ""
    named = ", ".join(list(missing)[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    failures = [failure for failure in missing.values() if failure is not None]
    why = f" ({reason(failures[-1])})" if failures else ""
    return f"{named}{more}{why}"


def champion_name(sweep_name: str) -> str:
    """The name under which a sweep's best model is registered."""
    return registered_name(f"{EXPERIMENT_PREFIX}-{sweep_name}")
