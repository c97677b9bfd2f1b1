"""Mirror: a copy of the study as sqlite (study.db), for optuna-dashboard and similar programs.

The package never reads it back. It contains only ended trials, so none is ever left RUNNING in it.
It may lag behind the ledger by half a minute, or, after a kill, until the next attempt.
"""

import json
import math
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.progress import Note
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.search import optuna_terms
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.tracking.store import reason, sqlite_address

_EVERY_S = 30  # a person who watches a dashboard needs no more; a write costs up to 40 ms a trial
_PATIENCE_S = 10.0  # with a file that cannot be written, such as one that a viewer has locked


class Mirror(Listener):
    """Writes the study.db of a run: ended trials soon after their end, all of them at the end.

    note: called once if it cannot be written. The search does not need it and goes on; `resume`
    writes it.
    """

    def __init__(self, folder: RunFolder, sweep: LoadedSweep, note: Note) -> None:
        self._path = folder.path / "study.db"
        self._name = folder.path.name
        self._sweep = sweep
        axes = sweep.parameters.axes()
        self._distributions = {name: optuna_terms.distribution(axis) for name, axis in axes.items()}
        self._ended: dict[int, Trial] = {}
        # numbers of trials in the file; None before the file is read, and after a write that failed
        self._written: set[int] | None = None
        self._note = note
        self._outbox = Outbox("mirror", self._note_failure)
        self._next = time.monotonic() + _EVERY_S

    def update(self, trial: Trial) -> None:
        """Adds a trial if it has ended; it is written soon, in the background.

        Writing takes up to 40 ms a trial.
        """
        if trial.state == "RUNNING":
            return
        self._ended[trial.number] = trial
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _EVERY_S
            self._outbox.put(self._path.name, self._write)

    def flush(self, limit_s: float = math.inf) -> None:
        """Writes all ended trials, and waits for that; a local file needs no limit."""
        self._outbox.put(self._path.name, self._write)
        self._outbox.wait(_PATIENCE_S)
        self._outbox.close()

    def _note_failure(self, error: Exception) -> None:
        consequence = "the search goes on, and a later resume writes it"
        self._note(f"{self._path} cannot be written ({reason(error)}): {consequence}")

    def _write(self) -> None:
        ended = dict(self._ended)
        written = _trials_in(self._path) if self._written is None else self._written
        self._written = None
        if not ended:
            return
        missing = [trial for number, trial in ended.items() if number not in written]
        if not written or not written <= ended.keys():
            self._replace(list(ended.values()))
        elif missing:
            self._add_to(self._path, missing)
        self._written = set(ended)

    def _replace(self, trials: Sequence[Trial]) -> None:
        """Writes a new file with these trials, and puts it in the place of the old one."""
        unfinished = self._path.with_name(f".{self._path.name}.unfinished")
        # sqlite applies any journal to the database with its name, so old journals must go
        for leftover in (unfinished, _journal(unfinished), _journal(self._path)):
            leftover.unlink(missing_ok=True)
        self._add_to(unfinished, trials)
        os.replace(unfinished, self._path)

    def _add_to(self, path: Path, trials: Sequence[Trial]) -> None:
        storage = RDBStorage(sqlite_address(path))
        with storage.engine.connect() as connection:  # the pool reuses this connection
            # The file can be made again from the ledger, so it need not survive a power failure.
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=self._name,
                directions=list(self._sweep.goals),
                load_if_exists=True,
            )
            study.add_trials(self._frozen(trial) for trial in trials)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def _frozen(self, trial: Trial) -> FrozenTrial:
        point = self._sweep.parameters.point(trial.recipe) or {}
        state = optuna_terms.trial_state(trial.state, trial.cause)
        values = None
        if state == TrialState.COMPLETE:
            values = trial.values or trial.goals(self._sweep.objective)
        curve: dict[int, float] = {}
        if len(self._sweep.goals) == 1:  # Optuna has no intermediate values for several goals
            curve = {rung.images: rung.metrics[OBJECTIVE] for rung in trial.rungs}
        frozen = create_trial(
            state=state,
            values=values,
            params=optuna_terms.parameters(point),
            distributions={name: self._distributions[name] for name in point},
            intermediate_values=curve,
            user_attrs={"trial": trial.number, "kind": trial.kind, "reason": trial.reason},
        )
        frozen.datetime_start = datetime.fromtimestamp(trial.started)
        frozen.datetime_complete = datetime.fromtimestamp(trial.ended or trial.started)
        return frozen


def _trials_in(path: Path) -> set[int]:
    """Returns the numbers of the trials in a study file; none if it is missing or broken."""
    if not path.exists():
        return set()
    try:
        with closing(sqlite3.connect(path)) as database:
            if database.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
                return set()
            query = "SELECT value_json FROM trial_user_attributes WHERE key = 'trial'"
            rows = database.execute(query).fetchall()
    except sqlite3.Error:
        return set()
    return {json.loads(value) for (value,) in rows}


def _journal(path: Path) -> Path:
    """Returns the path of a database's journal, with which sqlite undoes an interrupted write."""
    return path.with_name(f"{path.name}-journal")
