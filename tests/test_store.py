"""MLflow's own database: one process at a time opens it, and the error for one that cannot be
opened says what to do.
"""

import fcntl
import logging
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from test_disk import no_file_may_grow
from test_search import Silent

from syndet_ray import cli
from syndet_ray.definitions.loader import load
from syndet_ray.errors import MachineError
from syndet_ray.files import whole_folder
from syndet_ray.tracking import champions, sqlite_files
from syndet_ray.tracking.sqlite_files import works_in
from syndet_ray.tracking.store import (
    check_store,
    local_store,
    open_store,
    readable_store,
    reason,
    sqlite_address,
    store_address,
    store_file,
)
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.run import _folder_name, check, start


def at(revision):
    """Makes of a store one that an MLflow of another revision left."""

    def change(path):
        with sqlite3.connect(path) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
        database.close()

    return change


def newer_still(path):
    """A store of a revision that is not known here, and without a table that is."""
    at("f" * 12)(path)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE metrics")
    database.close()


def no_database(path):
    path.write_bytes(b"a text that somebody saved here " * 64)


OTHER_VERSION = (
    "MLflow's store sqlite:///{path}: has the tables of another version of MLflow. Keep a copy of it, then bring it up to "
    "date: mlflow db upgrade sqlite:///{path} (or install the newer MLflow that made it)."
)
NO_DATABASE = (
    "MLflow's store sqlite:///{path}: cannot be used (file is not a database). Repair it, or move it away: "
    "a new one is made in its place, and resume writes a run to it again."
)
BROKEN = [
    (at("451aebb31d03"), OTHER_VERSION),
    (newer_still, OTHER_VERSION),
    (no_database, NO_DATABASE),
]


@pytest.fixture
def runs(tmp_path, empty_store):
    """A folder of runs with a store in it."""
    folder = tmp_path.resolve() / "runs"
    folder.mkdir()
    shutil.copy(empty_store, folder)
    return folder


@pytest.mark.parametrize(("damage", "told"), BROKEN)
def test_a_store_that_cannot_be_opened_is_reported_wherever_it_is_opened(
    runs, damage, told, monkeypatch, capsys
):
    path = runs / "mlflow.db"
    damage(path)
    uri = f"sqlite:///{path}"
    monkeypatch.setattr(sys, "argv", ["syndet_ray", "ui", "--runs", str(runs)])
    with pytest.raises(SystemExit, match="1"):
        cli.run()
    assert capsys.readouterr().err.strip().endswith(f"syndet_ray: {told.format(path=path)}")
    for use in (check_store, open_store, lambda _: local_store(runs), registered):
        with pytest.raises(MachineError) as refusal:
            use(uri)
        assert str(refusal.value) == told.format(path=path)


def registered(uri):
    with champions.model_folder("models:/any@champion", Path("runs"), uri):
        pass


def sweep(definition, options, display):
    start(Origin(name="tiny"), definition, options, display)


BEGINNINGS = (check, sweep)


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_it_is_reported_before_data_are_read(home, runs, dice, begin):
    home()
    no_database(runs / "mlflow.db")
    display, options = Silent(), Options(runs=runs, real=dice, local=True)
    with pytest.raises(MachineError, match="file is not a database"):
        begin(load("tiny"), options, display)
    assert display.counts == [], "nothing was decoded"


def test_the_folder_of_a_sweep_with_a_long_name_can_be_made(tmp_path):
    name = _folder_name("名" * 100)
    assert name.startswith("名" * 66 + "-2")
    with whole_folder(tmp_path / f"{name}-2"):
        pass


@pytest.mark.parametrize("name", ["feature%2Fx", "a?b#c", "50 %", "q'uo\"te;[x]", "ü&=+@:"])
def test_the_folder_of_a_store_may_have_any_name(tmp_path, name, empty_store):
    runs = tmp_path / name
    runs.mkdir()
    shutil.copy(empty_store, runs)
    uri = local_store(runs)
    check_store(uri)
    MlflowClient(uri).create_experiment("there")
    assert store_file(uri) == runs / "mlflow.db"
    assert [path.name for path in tmp_path.iterdir()] == [name], "no store lies elsewhere"
    with closing(sqlite3.connect(runs / "mlflow.db")) as database:
        names = database.execute("select name from experiments").fetchall()
    assert ("there",) in names


def test_looking_for_a_store_makes_none(tmp_path):
    check_store(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").touch()
    check_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert (tmp_path / "mlflow.db").stat().st_size == 0


def test_a_database_without_its_driver_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    rule = r"postgresql\+psycopg2://me:\*\*\*@127.0.0.1:9/runs: cannot be used \(.*psycopg2"
    with pytest.raises(MachineError, match=rule) as told:
        check_store("postgresql+psycopg2://me:secret@127.0.0.1:9/runs")
    assert str(told.value).endswith("Correct `tracking`, or repair the store.")


def test_one_process_at_a_time_opens_a_store(runs, monkeypatch):
    """MLflow makes its tables in some forty steps, of which two processes would both do each."""
    held = []

    def opened(client, **_):
        with (runs / ".mlflow.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(client.tracking_uri)

    monkeypatch.setattr(MlflowClient, "search_experiments", opened)
    uri = local_store(runs)
    assert open_store(uri) == uri
    assert held == [uri, uri]
    with (runs / ".mlflow.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def leave_as_a_kill_does(database):
    """Its last pages are in the files next to it."""


def lose_shared_memory(database):
    database.with_name("mlflow.db-shm").unlink()


def close(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture
def colleagues(runs, bound_by_permissions):
    """Returns a function that makes the store of `runs`, with one experiment, one that we may only
    read.
    """
    database = runs / "mlflow.db"
    copy = runs.with_name("copy")

    def leave(as_it_is):
        MlflowClient(local_store(runs)).create_experiment("theirs")
        shutil.copytree(runs, copy)  # while it is open: as a kill leaves it
        as_it_is(copy / database.name)
        for path in (*copy.iterdir(), copy):
            path.chmod(0o555)
        return copy

    yield leave
    copy.chmod(0o755)


@pytest.mark.parametrize("place", ["sqlite:///:memory:", "sqlite://"])
def test_a_store_in_memory_is_refused(place):
    with pytest.raises(MachineError, match="keeps nothing: it is in the memory of one process"):
        check_store(place)


def test_a_new_store_that_cannot_be_made_is_refused(read_only):
    with pytest.raises(MachineError, match=r"new\.db: cannot be written .* Name a store of your"):
        check_store(sqlite_address(read_only / "folder" / "new.db"))


def test_a_write_that_a_kill_has_left_is_undone_in_the_copy(tmp_path):
    """As servers write it: with a rollback journal next to the database."""
    database, snapshot = tmp_path / "mlflow.db", tmp_path / "snapshot"
    snapshot.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA cache_size=1")  # so that pages of the transaction are written
        connection.execute("CREATE TABLE runs (status TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?)", [("FINISHED" * 99,)] * 99)
        connection.commit()
        connection.execute("UPDATE runs SET status = ?", ["HALF" * 99])
        for path in (database, tmp_path / "mlflow.db-journal"):
            shutil.copy(path, snapshot)
        connection.rollback()
    (tmp_path / "copy").mkdir()
    sqlite_files._copy_files(snapshot / "mlflow.db", tmp_path / "copy" / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "copy" / "mlflow.db")) as connection:
        assert connection.execute("SELECT DISTINCT status FROM runs").fetchall() == [
            ("FINISHED" * 99,)
        ]


@pytest.mark.parametrize("as_it_is", [leave_as_a_kill_does, lose_shared_memory, close])
def test_a_store_that_can_only_be_read_is_read_from_a_copy(colleagues, as_it_is):
    folder = colleagues(as_it_is)
    before, notes = sorted(path.name for path in folder.iterdir()), []
    with readable_store(store_address(folder), notes.append) as copy:
        names = {entry.name for entry in MlflowClient(copy).search_experiments()}
    assert "theirs" in names
    assert [note.partition(" is read-only for you: ")[2] for note in notes] == [
        "what follows is a copy of it as it is now"
    ]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_store_that_can_only_be_read_is_refused_before_data_are_read(home, colleagues, dice):
    home()
    folder = colleagues(close)
    database = folder / "mlflow.db"
    message = (
        rf"^MLflow's store sqlite:///{database}: cannot be written: it belongs to another user, "
        r"or its disk is read-only\. Name a store of your own with `tracking`"
    )
    for use in (check_store, open_store, lambda _: local_store(folder)):
        with pytest.raises(MachineError, match=message):
            use(store_address(folder))
    folder.chmod(0o755)
    display, options = Silent(), Options(runs=folder, real=dice, local=True)
    for begin in BEGINNINGS:
        with pytest.raises(MachineError, match=message):
            begin(load("tiny"), options, display)
    assert display.counts == [], "nothing was decoded"
    assert list(folder.glob("*/sweep.json")) == []


def test_a_new_store_in_a_folder_that_cannot_be_written_is_reported(read_only):
    message = rf"^{read_only}/mlflow.db: cannot be written \(Permission denied\)\. Name a store"
    with pytest.raises(MachineError, match=message):
        local_store(read_only)


def test_a_store_that_cannot_even_be_read_is_reported(runs, bound_by_permissions):
    database = runs / "mlflow.db"
    database.chmod(0o000)
    message = rf"^{database}: cannot be read \(Permission denied\)\. Ask its owner"
    with pytest.raises(MachineError, match=message), readable_store(store_address(runs)):
        pass


def test_an_error_of_sqlite_is_logged_once_by_us_alone(runs):
    local_store(runs)
    assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.ERROR)


def test_a_reason_has_no_type_in_front():
    error = MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE]")
    assert reason(error) == "database or disk is full"


def test_a_folder_where_sqlite_cannot_write_is_known(tmp_path):
    assert works_in(tmp_path)
    with no_file_may_grow():
        assert not works_in(tmp_path)
    assert not any(tmp_path.iterdir())
