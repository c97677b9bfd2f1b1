"""Store: MLflow's own database, opened by one process at a time, or refused with what to do about
it.
"""

import fcntl
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import requests
import sqlalchemy
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from syndet_ray.errors import MachineError
from syndet_ray.tracking.server import check_server, is_server, mask

# What MLflow and the packages under it raise over a store. ImportError: there is no driver for that
# database here.
_FAILURES = (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, ImportError, OSError)
# of an older MLflow, and of a newer one
_OTHER_SCHEMA = ("out-of-date database schema", "Can't locate revision")


def store_address(runs: Path) -> str:
    """The address of the sqlite store under `runs`, whether it is there or not."""
    return f"sqlite:///{runs.resolve() / 'mlflow.db'}"


def local_store(runs: Path) -> str:
    """The address of the sqlite store under `runs`, made if it is not there yet. Raises
    MachineError.

    Made here, once, because processes that open a missing store at the same moment race to create
    it, and in WAL mode because that makes a write about three times cheaper.
    """
    uri = store_address(runs)
    with named_failures(uri), _alone(uri):
        _open(uri)
        with closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("PRAGMA journal_mode=WAL")
    return uri


def open_store(uri: str) -> str:
    """Makes sure of the database at an address, and returns that; a server has seen to its own.
    Raises MachineError.
    """
    if not is_server(uri):
        with named_failures(uri), _alone(uri):
            _open(uri)
    return uri


def check_store(uri: str) -> None:
    """Raises MachineError unless a store is there that lets us in, or there is room for a new one.

    Makes no store.
    """
    check_server(uri)
    if is_server(uri):
        return
    with named_failures(uri):
        is_there = _has_tables(uri)
    if is_there:
        open_store(uri)


@contextmanager
def named_failures(uri: str) -> Iterator[None]:
    """Has what goes wrong with a store raised as a MachineError that says what can be done."""
    try:
        yield
    except _FAILURES as error:
        raise _refusal(uri, error) from None


def reason(error: Exception) -> str:
    """What an exception says first, without the passwords in it; the name of its kind where it says
    nothing.

    Of a server that does not answer MLflow tells three hundred characters of its libraries; the
    kind says as much.
    """
    if isinstance(error.__context__, requests.RequestException):
        return type(error.__context__).__name__
    said = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    return mask(lines[0]).rstrip(".") if lines else type(error).__name__


def _refusal(uri: str, error: Exception) -> MachineError:
    place = f"MLflow's store {mask(uri)}"
    if any(words in str(error) for words in _OTHER_SCHEMA):
        rule = "has the tables of another version of MLflow"
        upgrade = f"Keep a copy of it, then bring it up to date: mlflow db upgrade {mask(uri)}"
        return MachineError(
            place, rule, do=f"{upgrade} (or install the newer MLflow that made it)."
        )
    rule = f"cannot be used ({reason(error)})"
    if _file(uri) is None:
        return MachineError(place, rule, do="Correct `tracking`, or mend the store.")
    do = "Mend it, or move it away: a new one is made in its place, and resume writes a run there anew."
    return MachineError(place, rule, do=do)


def _open(uri: str) -> None:
    """Has MLflow open a database, which makes its tables where there are none."""
    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    _has_tables(uri)  # MLflow would try for two minutes to reach a database that is away
    MlflowClient(uri).search_experiments(max_results=1)


def _has_tables(uri: str) -> bool:
    """Whether there is anything in a database.

    Raises at once what keeps it from being reached or read.
    """
    file = _file(uri)
    if file is not None and not file.exists():
        return False
    engine = sqlalchemy.create_engine(uri)
    try:
        return bool(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One process at a time opens a store that is a file: MLflow makes its tables in many steps,
    and two would collide.
    """
    file = _file(uri)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.stem}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _file(uri: str) -> Path | None:
    """Where a store of sqlite lies; None for any other, and for what is no address at all."""
    try:
        url = sqlalchemy.make_url(uri)
    except SQLAlchemyError:
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database is not None
    return Path(str(url.database)) if is_file else None
