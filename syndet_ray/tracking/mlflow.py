"""Tracking: writes the search to MLflow: a parent run for the sweep, a nested run for each trial.

Only the driver writes. A thread does it, and tries again while MLflow is unavailable, because that
must not end a search of hours. So MLflow may lag behind the ledger. If something is still missing
at the end, or after a kill, the next attempt writes it.
"""

import logging
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import mlflow
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import MachineError
from syndet_ray.progress import Note, silent
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.address import is_server, mask
from syndet_ray.tracking.entities import metric_entities
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.tracking.parent_run import ParentRun
from syndet_ray.tracking.registry import Champion, register
from syndet_ray.tracking.server import ServerAway, check_server, is_away
from syndet_ray.tracking.store import named_failures, reason, store_client
from syndet_ray.tracking.trial_runs import TrialRuns
from syndet_ray.tracking.view import links, view

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
_NEVER_ANSWERED_S = 5.0  # with a server that has not answered in the whole run
_LEAVING_S = 5.0  # to mark a run as stopped, if a person stops it while it begins here
_MOST_NAMED = 6  # missing deliveries in a message: more would fill the terminal


class Tracking(Listener):
    """Writes one sweep to MLflow.

    parent  the id of an earlier attempt's parent run, when resuming
    begun   name of the run's folder, and its start in seconds since 1970; no other run has them.
            They find the parent run of an attempt that was stopped before it could keep that id.
            None if no later attempt needs them
    note    called with a message for a person: once, if MLflow cannot be written
    may_begin_later  for a server that does not answer when the run begins here: all deliveries
            wait for it. Otherwise that raises MachineError

    Writes that fail are tried again until `close`, and `end` returns what is missing.
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
        *,
        may_begin_later: bool = False,
    ) -> None:
        for name, value in _CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        # otherwise it logs a line for each attempt
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        # A model version looks up its models:/ address in this global store, even if its client was
        # given another one.
        mlflow.set_tracking_uri(uri)
        self._uri = uri
        self._note = note
        self._sweep = sweep
        with named_failures(uri):
            self._client = store_client(uri)
        self._run = ParentRun(self._client, begun, note)
        self._trial_runs = TrialRuns(self._client, self._run)
        self._begin_run = partial(self._run.begin, sweep_name, sweep, artifacts, parent)
        self._is_begun = False
        try:
            self._begin_now()
        except MachineError as error:
            # a server that goes away while the run begins there raises another error
            if not (may_begin_later and (isinstance(error, ServerAway) or is_away(uri))):
                raise
            consequence = "the run goes on, and MLflow gets all of it once it answers"
            note(f"{error.place}: {error.rule}: {consequence}")
        self._outbox = Outbox("tracking", self._note_failure)
        self._put("the view of the trials", self._write_view)

    @property
    def parent(self) -> str:
        """The id of the run of the whole sweep; "" as long as it has not begun here."""
        return self._run.id

    @property
    def place(self) -> str:
        """The name of the store in messages, without its password."""
        return f"MLflow's store {mask(self._uri)}"

    @property
    def link(self) -> str:
        """The address of the trials for a browser; "" if the store is no server, or has no run."""
        if not is_server(self._uri) or not self._is_begun:
            return ""
        return links(self._uri, self._run.experiment, self.parent, has_view=True)["trials"]

    def update(self, trial: Trial) -> None:
        """Writes the new results of a trial, soon. A later call replaces an earlier one."""
        self._put(_name(trial), partial(self._trial_runs.write, trial))

    def interrupt(self, trial: Trial) -> None:
        """Marks a trial that `resume` may continue: until then MLflow must not show RUNNING."""
        self._put(_name(trial), partial(self._trial_runs.write_interrupted, trial))

    def wait(self) -> None:
        """Waits until everything is written, or cannot be written.

        A run waits only at its end; before that, MLflow may be unavailable.
        """
        self._outbox.wait(_PATIENCE_S)

    def result(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Writes metrics and tags of the whole sweep to the parent run."""
        # made once: a repeated write with new times would add a second value
        values = metric_entities(metrics, step=0)
        run_tags = [RunTag(key, value) for key, value in tags.items()]
        self._put("the results", partial(self._run.write_results, values, run_tags))

    def describe(self, text: str) -> None:
        """Writes the text that the UI shows above the parent run."""
        self._put("the description", partial(self._run.write_description, text))

    def artifact(self, path: Path) -> None:
        """Adds a file, or a folder with all its files, as an artifact of the parent run."""
        self._put(path.name, partial(self._run.write_artifact, path))

    def register_champion(
        self, name: str, folder: Path, trial: Trial, metrics: Mapping[str, float]
    ) -> None:
        """Registers the model in `folder` as a new version of `name` with the alias "champion".

        If an earlier attempt has registered the same trial with the same metrics, no new version is
        made. The files are plain, without a pickle flavour:
        `mlflow.artifacts.download_artifacts("models:/<name>@champion")` gives them back.
        """
        tags = {key: f"{value:.4f}" for key, value in metrics.items()}
        self._put("the champion", partial(self._write_champion, name, folder, trial, tags))

    def end(
        self,
        status: str,
        patience_s: float = _PATIENCE_S,
        limit_s: float = math.inf,
        *,
        ended: float | None = None,
    ) -> str:
        """Ends the parent run as FINISHED, FAILED or KILLED (resumable).

        ended       when the run ended, in seconds since 1970; None for now
        patience_s  how long to try, if MLflow cannot be written; shorter if it has never answered
        limit_s     how long to wait in all, if it answers slowly

        Returns what MLflow lacks, in words, or "".
        """
        if not self._is_begun:
            patience_s = min(patience_s, _NEVER_ANSWERED_S)
        if self._outbox.is_failing and patience_s > 0:
            self._note(f"{self.place} is tried for {patience_s:.0f} s more")
        self._put("the end of the sweep", partial(self._run.end, status, ended))
        return _missing_words(self._outbox.wait(patience_s, limit_s))

    def close(self) -> None:
        """Drops what is missing: a later attempt writes it, and must not be disturbed."""
        self._outbox.close()

    def _begin_now(self) -> None:
        """Raises MachineError if the run cannot begin here."""
        check_server(self._uri)
        with named_failures(self._uri):
            try:
                self._begin()
            except KeyboardInterrupt:
                self._leave()
                raise

    def _begin(self) -> None:
        """Begins the run, or continues that of an earlier attempt, unless that is done."""
        if self._is_begun:
            return
        if self._begin_run():
            self._trial_runs.read()
        self._is_begun = True

    def _write_view(self) -> None:
        self._run.write_view(view(self._sweep, self.parent))

    def _put(self, name: str, send: Callable[[], object]) -> None:
        self._outbox.put(name, partial(self._deliver, send))

    def _deliver(self, send: Callable[[], object]) -> None:
        """Makes a delivery; if someone has deleted the run of the sweep, it is restored first."""
        self._begin()
        try:
            send()
        except MlflowException:
            if not self._run.restore():
                raise
            send()

    def _note_failure(self, error: Exception) -> None:
        problem = f"{self.place} cannot be written ({reason(error)})"
        self._note(f"{problem}: it is tried again")

    def _leave(self) -> None:
        """Marks the parent run, if it exists, as one that a later `resume` continues.

        A person has stopped the attempt, so this waits only a short time.
        """
        outbox = Outbox("leaving", lambda error: None)
        outbox.put("the end of the sweep", self._run.leave)
        outbox.wait(_LEAVING_S, _LEAVING_S)
        outbox.close()

    def _write_champion(self, name: str, folder: Path, trial: Trial, tags: dict[str, str]) -> None:
        champion = Champion(
            name=name,
            folder=folder,
            run=self._trial_runs.run_id(trial),
            settings=trial.settings,
            tags=tags,
        )
        register(self._client, self._run.experiment, champion)


def _name(trial: Trial) -> str:
    return f"trial {trial.number}"


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
