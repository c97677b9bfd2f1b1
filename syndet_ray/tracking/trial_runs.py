"""Trial runs: a run in MLflow for each trial, nested under the run of the sweep."""

from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.results import Trial
from syndet_ray.tracking.entities import metric_entities, param_entities, tag_entities
from syndet_ray.tracking.parent_run import ParentRun
from syndet_ray.tracking.valid_names import trial_name

# Our state of a trial, and MLflow's status: MLflow has no "pruned", and a pruned trial ended as it
# should.
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
_MOST_CHARACTERS = 5000  # of a reason; MLflow limits the length of a tag


@dataclass(kw_only=True)
class _TrialRun:
    """The run of a trial, as far as it is written.

    id      of the run
    images  training images of its last rung; None if unknown
    params  true if its parameters are written
    """

    id: str
    status: str = "RUNNING"
    state: str = "RUNNING"
    retries: int = 0
    images: int | None = 0
    params: bool = False


class TrialRuns:
    """Writes the runs of trials. A write that failed may be repeated: it adds what is missing.

    One thread makes all calls.
    """

    def __init__(self, client: MlflowClient, parent: ParentRun) -> None:
        self._client = client
        self._parent = parent
        self._runs: dict[int, _TrialRun] = {}
        # trials whose last write failed, perhaps after a part of it was done
        self._unsure: set[int] = set()

    def read(self) -> None:
        """Reads the runs that an earlier attempt has written."""
        for run in self._parent.children():
            tags = run.data.tags
            # a user may nest other runs there, and edit tags
            if "state" in tags and tags.get("trial", "").isdecimal():
                self._runs[int(run.data.tags["trial"])] = _read_run(run)

    def run_id(self, trial: Trial) -> str:
        """Returns the id of a trial's run, which is made if it is missing."""
        return self._run(trial).id

    def write(self, trial: Trial) -> None:
        """Writes the new results of a trial; an attempt that fails may have written a part."""
        try:
            self._write_new(trial)
        except Exception:
            self._unsure.add(trial.number)
            raise

    def write_interrupted(self, trial: Trial) -> None:
        """Writes the new results of a trial, and marks it as one that `resume` may continue."""
        self.write(trial)
        run = self._runs[trial.number]
        cause = "interrupted; resume continues from its last checkpoint"
        self._client.set_tag(run.id, "reason", cause)
        self._client.set_terminated(run.id, "KILLED")
        run.status = "KILLED"

    def _write_new(self, trial: Trial) -> None:
        """Writes the status last, so that a run that has ended is complete."""
        run = self._run(trial)
        status = _STATUS.get(trial.state, "RUNNING")
        has_ended = trial.state != "RUNNING"
        if has_ended and (run.state, run.status) == (trial.state, status):
            return
        images = self._last_step(run.id) if run.images is None else run.images
        params = [] if run.params else param_entities(trial.settings)
        self._client.log_batch(run.id, _new_metrics(trial, images), params, _new_tags(trial, run))
        if has_ended:
            ended_ms = None if trial.ended is None else int(trial.ended * 1000)
            self._client.set_terminated(run.id, status, ended_ms)
        elif run.status != status:
            self._client.update_run(run.id, status)
        self._runs[trial.number] = _TrialRun(
            id=run.id,
            status=status,
            state=trial.state,
            retries=trial.retries,
            images=max(images, trial.images),
            params=True,
        )

    def _run(self, trial: Trial) -> _TrialRun:
        """Returns the run of a trial, which is made if it is missing.

        After a write that failed, MLflow is asked for it.
        """
        if trial.number in self._unsure:
            runs = self._parent.children(f" and tags.trial = '{trial.number}'")
            self._runs.pop(trial.number, None)
            for run in runs:
                self._runs[trial.number] = _read_run(run)
            self._unsure.discard(trial.number)
        if trial.number not in self._runs:
            self._runs[trial.number] = _TrialRun(id=self._new_run(trial))
        return self._runs[trial.number]

    def _new_run(self, trial: Trial) -> str:
        tags = {
            MLFLOW_PARENT_RUN_ID: self._parent.id,
            "kind": trial.kind,
            "trial": str(trial.number),
            "state": "RUNNING",
        }
        if trial.of is not None:
            tags["of"] = str(trial.of)
        started_ms = int(trial.started * 1000)
        name = trial_name(trial)
        run = self._client.create_run(self._parent.experiment, started_ms, tags, name)
        return run.info.run_id

    def _last_step(self, run: str) -> int:
        history = self._client.get_metric_history(run, OBJECTIVE)
        return max((metric.step for metric in history), default=0)


def _read_run(run: Run) -> _TrialRun:
    """Reads the state of a run; after a kill, any of its later writes may be missing."""
    retries = int(run.data.tags.get("retries", 0))
    return _TrialRun(
        id=run.info.run_id,
        status=run.info.status,
        state=run.data.tags["state"],
        retries=retries,
        images=None,
        params=bool(run.data.params),
    )


def _new_metrics(trial: Trial, images: int) -> list[Metric]:
    """Returns the metrics of the rungs after a number of training images."""
    metrics: list[Metric] = []
    for rung in trial.rungs:
        if rung.images > images:
            metrics += metric_entities(rung.metrics, step=rung.images)
    if trial.diverged:  # otherwise its last report would rank it, perhaps first
        metrics += metric_entities({OBJECTIVE: 0.0}, step=trial.images + 1)
    return metrics


def _new_tags(trial: Trial, run: _TrialRun) -> list[RunTag]:
    """Returns the tags that are new since the last write.

    An ended trial has its state, the reason, and its effective settings.
    """
    tags: dict[str, str] = {}
    if trial.retries != run.retries:
        tags["retries"] = str(trial.retries)
    if trial.state != "RUNNING":
        tags |= {"state": trial.state, "reason": trial.reason[:_MOST_CHARACTERS]}
        tags |= {f"effective.{key}": str(value) for key, value in trial.effective.items()}
    return tag_entities(tags)
