"""Parent run: the run of a whole sweep in MLflow, in an experiment with the sweep's name."""

import time
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from mlflow.utils.uri import is_local_uri

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.files import check_writable
from syndet_ray.progress import Note
from syndet_ray.tracking.address import is_server
from syndet_ray.tracking.entities import param_entities
from syndet_ray.tracking.store import has_tables, named_failures, store_client
from syndet_ray.tracking.view import VIEW_TAG
from syndet_ray.wording import counted

EXPERIMENT_PREFIX = "syndet_ray"
# With this kind of experiment the UI opens on trained models and their metrics, not on chats.
_TRAINING = "custom_model_development"
_MOST_CHILDREN = 50_000  # the most that MLflow returns at once
_MOST_CHARACTERS = 5000  # of the description; MLflow limits the length of a tag


def experiment_words(uri: str, sweep_name: str) -> str:
    """Returns what a store has of a sweep, in words. Makes nothing; raises MachineError."""
    name = experiment_name(sweep_name)
    with named_failures(uri):
        if not is_server(uri) and not has_tables(uri):
            return "a new store, which the sweep makes"
        store = store_client(uri)
        experiment = store.get_experiment_by_name(name)
        if experiment is None:
            return f"has no run of this sweep yet{_renamed_words(store, sweep_name)}"
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            return f"the experiment {name} is deleted: the sweep restores it, with its runs"
        runs = store.search_runs(
            [experiment.experiment_id], "tags.kind = 'sweep'", max_results=_MOST_CHILDREN
        )
    return f"has {counted(len(runs), 'run')} of this sweep"


def _renamed_words(store: MlflowClient, sweep_name: str) -> str:
    """Returns a remark if runs of a sweep are in an experiment of another name, else ""."""
    experiments = {entry.experiment_id: entry.name for entry in store.search_experiments()}
    runs = store.search_runs(list(experiments), "tags.kind = 'sweep'", max_results=_MOST_CHILDREN)
    for run in runs:
        if run.info.run_name and run.info.run_name.startswith(f"{sweep_name} 2"):  # and its time
            name = experiments[run.info.experiment_id]
            return f"; the experiment {name} has some: the sweep makes a new experiment"
    return ""


def check_artifact_place(uri: str, sweep_name: str) -> None:
    """Raises MachineError if MLflow cannot write files of a sweep where its experiment has them.

    That is another folder than now if the folder of the runs was copied or moved.
    """
    if is_server(uri):
        return  # the server writes them
    with named_failures(uri):
        if not has_tables(uri):
            return
        experiment = store_client(uri).get_experiment_by_name(experiment_name(sweep_name))
    if experiment is not None and is_local_uri(experiment.artifact_location):
        do = (
            f"MLflow's experiment {experiment.name} has its files there. Rename it in the MLflow "
            "UI, so that a new one is made, or name another store with `tracking`."
        )
        check_writable(Path(local_file_uri_to_path(experiment.artifact_location)), do)


def experiment_name(sweep_name: str) -> str:
    """Returns the name of the experiment that has all runs of a sweep."""
    return f"{EXPERIMENT_PREFIX}/{sweep_name}"


class ParentRun:
    """The run of a whole sweep, under which the runs of its trials are nested.

    begun       as for `Tracking`
    note        called with a message for a person: if a deleted experiment is restored
    id          of the run; "" until `begin` has found or made it
    experiment  id of its experiment; "" until then
    """

    def __init__(self, client: MlflowClient, begun: tuple[str, float] | None, note: Note) -> None:
        self.id = ""
        self.experiment = ""
        self._client = client
        self._note = note
        self._identity: dict[str, str] = {}
        self._started = time.time() if begun is None else begun[1]
        if begun is not None:
            self._identity = {"run": begun[0], "begun": repr(begun[1])}

    def begin(
        self, name: str, sweep: LoadedSweep, artifacts: Path | None, earlier_id: str | None
    ) -> bool:
        """Finds or makes the experiment, the run and its parameters.

        earlier_id: id of the run that an earlier attempt has made, if it is known

        Returns true if the run of an earlier attempt is continued.
        """
        earlier = None if earlier_id is None else self._run(earlier_id)
        self.experiment = self._experiment_id(experiment_name(name), artifacts, earlier)
        earlier = earlier or self._begun_run()
        run = earlier or self._new_run(name, sweep)
        self.id = run.info.run_id
        settings = {
            "trials": sweep.trials,
            "seed": sweep.seed,
            "pruner": sweep.pruning.name,
            **sweep.recipe.flat(),
        }
        params = param_entities(settings)
        missing = [param for param in params if param.key not in run.data.params]
        if missing:
            self._client.log_batch(self.id, params=missing)
        if earlier is not None:
            self._continue()
        return earlier is not None

    def children(self, condition: str = "") -> Iterable[Run]:
        """Returns the nested runs of this sweep, or those that also meet a condition."""
        nested = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.id}'"
        return self._client.search_runs(
            [self.experiment], nested + condition, max_results=_MOST_CHILDREN
        )

    def restore(self) -> bool:
        """Restores the run and its experiment if they are deleted; true if one of them was."""
        is_restored = self._restore_experiment(self._client.get_experiment(self.experiment))
        if self._client.get_run(self.id).info.lifecycle_stage != LifecycleStage.DELETED:
            return is_restored
        self._client.restore_run(self.id)
        return True

    def leave(self) -> None:
        """Marks the run, if it exists, as one that a later `resume` continues."""
        run = self._begun_run()
        run_id = self.id
        if not run_id and run is not None:
            run_id = run.info.run_id
        if run_id:
            self._client.set_terminated(run_id, "KILLED")

    def end(self, status: str, ended: float | None = None) -> None:
        """Closes the run as FINISHED, FAILED or KILLED (resumable).

        ended  when it ended, in seconds since 1970; None for now
        """
        ended_ms = None if ended is None else round(1000 * ended)
        self._client.set_terminated(self.id, status, ended_ms)

    def write_results(self, metrics: list[Metric], tags: list[RunTag]) -> None:
        """Writes metrics and tags of the whole sweep."""
        self._client.log_batch(self.id, metrics, tags=tags)

    def write_description(self, text: str) -> None:
        """Writes the text that the UI shows above the run."""
        self._client.set_tag(self.id, MLFLOW_RUN_NOTE, text[:_MOST_CHARACTERS])

    def write_view(self, state: str) -> None:
        """Writes the view of the trials; see `view.view`."""
        self._client.set_experiment_tag(self.experiment, VIEW_TAG + self.id, state)

    def write_artifact(self, path: Path) -> None:
        """Adds a file, or a folder with all its files."""
        if path.is_dir():
            self._client.log_artifacts(self.id, str(path), path.name)
        else:
            self._client.log_artifact(self.id, str(path))

    def _continue(self) -> None:
        self.restore()
        self._client.update_run(self.id, status="RUNNING")

    def _begun_run(self) -> Run | None:
        """Returns the run that an earlier attempt made without keeping its id; or None."""
        if not self._identity or not self.experiment:
            return None
        # a folder's name may hold any character
        condition = f"tags.begun = '{self._identity['begun']}'"
        runs = self._client.search_runs([self.experiment], condition, ViewType.ALL)
        for run in runs:
            if run.data.tags.get("run") == self._identity["run"]:
                return run
        return None

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
        self._restore_experiment(experiment)
        return experiment.experiment_id

    def _restore_experiment(self, experiment: Experiment) -> bool:
        """Restores an experiment, with a note, if it is deleted; true if it was."""
        if experiment.lifecycle_stage != LifecycleStage.DELETED:
            return False
        self._client.restore_experiment(experiment.experiment_id)
        problem = f"MLflow's experiment {experiment.name} had been deleted"
        self._note(f"{problem}: it is restored, with its runs")
        return True

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

    def _new_run(self, name: str, sweep: LoadedSweep) -> Run:
        tags = {
            MLFLOW_RUN_NOTE: sweep.question,
            "kind": "sweep",
            "question": sweep.question,
            **self._identity,
        }
        # a run that was carried out elsewhere may have begun long ago
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(self._started))
        return self._client.create_run(
            self.experiment, int(self._started * 1000), tags, f"{name} {began}"
        )
