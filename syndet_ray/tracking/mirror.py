"""Mirror: a copy of the study as sqlite (study.db), for optuna-dashboard and whatever else reads
Optuna's studies.

Nothing reads it back. It holds trials that are over, so none is ever left RUNNING in it, and it may
lag behind the ledger by half a minute, or, after a kill, until the next attempt.
"""

import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.metrics import OBJECTIVE
from syndet_ray.runs.results import Trial
from syndet_ray.search import optuna_terms
from syndet_ray.search.listener import Listener
from syndet_ray.tracking.outbox import Outbox

_EVERY_S = 30
_PATIENCE_S = 10.0  # with a file that cannot be written, such as one that a viewer holds


class Mirror(Listener):
    """Keeps the study.db of a run: what is over, soon after, and all of it once the search is.

    note: told, once, that it cannot be written. Nothing needs it: a search does not end over that,
    and `resume` writes it.
    """

    def __init__(self, folder: RunFolder, sweep: LoadedSweep, note: Callable[[str], None]) -> None:
        self._path, self._name, self._sweep = folder.path / "study.db", folder.path.name, sweep
        self._distributions = {
            name: optuna_terms.distribution(axis) for name, axis in sweep.parameters.axes().items()
        }
        self._over: dict[int, Trial] = {}
        # None where nobody has looked, or a write was broken off
        self._written: set[int] | None = None
        self._note = note
        self._outbox, self._next = Outbox("mirror", self._tell), time.monotonic() + _EVERY_S

    def update(self, trial: Trial) -> None:
        """Takes a trial that is over; it is written soon, in the background: that takes up to 40 ms
        a trial.
        """
        if trial.state == "RUNNING":
            return
        self._over[trial.number] = trial
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _EVERY_S
            self._outbox.put(self._path.name, self._write)

    def flush(self, limit_s: float = math.inf) -> None:
        """Writes all that is over, and waits for it, whatever the limit: it lies on this machine."""
        self._outbox.put(self._path.name, self._write)
        self._outbox.wait(_PATIENCE_S)

    def _tell(self, error: Exception) -> None:
        self._note(
            f"{self._path} cannot be written ({error}): the search goes on, and a later resume writes it"
        )

    def _write(self) -> None:
        over = dict(self._over)
        written = _intact(self._path) if self._written is None else self._written
        self._written = None
        if not over:
            return
        if not written or not written <= over.keys():
            self._make_anew(list(over.values()))
        elif over.keys() - written:
            self._add_to(
                self._path, [trial for number, trial in over.items() if number not in written]
            )
        self._written = set(over)

    def _make_anew(self, trials: Sequence[Trial]) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.unfinished")
        # A journal is taken for that of whatever database lies beside it.
        for left in (unfinished, _journal(unfinished), _journal(self._path)):
            left.unlink(missing_ok=True)
        self._add_to(unfinished, trials)
        os.replace(unfinished, self._path)

    def _add_to(self, path: Path, trials: Sequence[Trial]) -> None:
        storage = RDBStorage(f"sqlite:///{path}")
        with storage.engine.connect() as connection:  # the pool hands it out again and again
            # It can be made anew from the ledger, and need not outlive a loss of power.
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
        several = len(self._sweep.goals) > 1
        state = optuna_terms.trial_state(trial.state, trial.cause)
        frozen = create_trial(
            state=state,
            values=(trial.values or trial.goals(self._sweep.objective))
            if state == TrialState.COMPLETE
            else None,
            params=optuna_terms.parameters(point),
            distributions={name: self._distributions[name] for name in point},
            intermediate_values={}
            if several
            else {rung.images: rung.metrics[OBJECTIVE] for rung in trial.rungs},
            user_attrs={"trial": trial.number, "kind": trial.kind, "reason": trial.reason},
        )
        frozen.datetime_start = datetime.fromtimestamp(trial.started)
        frozen.datetime_complete = datetime.fromtimestamp(trial.ended or trial.started)
        return frozen


def _intact(path: Path) -> set[int]:
    """The trials that an earlier attempt has written; none where it left no database, or a broken
    one.
    """
    if not path.exists():
        return set()
    try:
        with closing(sqlite3.connect(path)) as database:
            if database.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
                return set()
            found = database.execute(
                "SELECT value_json FROM trial_user_attributes WHERE key = 'trial'"
            ).fetchall()
    except sqlite3.Error:
        return set()
    return {json.loads(value) for (value,) in found}


def _journal(path: Path) -> Path:
    """What sqlite notes beside a database, so that a write that was cut short can be undone."""
    return path.with_name(f"{path.name}-journal")
