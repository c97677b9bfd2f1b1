"""Store: opens MLflow's own database, one process at a time; errors say what to do."""

import logging
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import mlflow
import requests
import sqlalchemy
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_REGISTRY_URI
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from syndet_ray.errors import MachineError, first_line
from syndet_ray.files import check_writable, make_folder, temporary_folder, writing
from syndet_ray.locks import hold_lock
from syndet_ray.progress import Note, silent
from syndet_ray.tracking.address import is_server, mask
from syndet_ray.tracking.server import check_server
from syndet_ray.tracking.sqlite_files import copy_database, is_read_only

# The exceptions of MLflow and the packages under it if a store fails. ImportError: the driver of
# that database is not installed.
_FAILURES = (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, ImportError, OSError)
# in the error about tables of an older MLflow, and of a newer one
_OTHER_SCHEMA = ("out-of-date database schema", "Can't locate revision")
_DO_ELSEWHERE = "Name a store of your own with `tracking`, or another folder with `runs`."

# MLflow's variable for a registry of models that is apart from the store of runs
REGISTRY_VARIABLE = MLFLOW_REGISTRY_URI.name


def store_address(runs: Path) -> str:
    """Returns the address of the sqlite store under `runs`; the store need not exist."""
    return sqlite_address(runs.resolve() / "mlflow.db")


def sqlite_address(file: Path) -> str:
    """Returns the address of a sqlite file, whose path may have any character.

    Characters such as %, ? and # have a meaning in addresses, so they are encoded.
    """
    plain = f"sqlite:///{file}"
    url = sqlalchemy.URL.create("sqlite", database=str(file))
    if url.render_as_string() == plain:
        return plain
    # For an encoded address, MLflow makes a folder of its encoded path, unless it names the driver.
    return url.set(drivername="sqlite+pysqlite").render_as_string()


def store_file(uri: str) -> Path | None:
    """Returns the file of a sqlite store; None for other stores and for invalid addresses."""
    try:
        url = sqlalchemy.make_url(uri)
    except SQLAlchemyError:
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database is not None
    return Path(str(url.database)) if is_file else None


def store_client(uri: str) -> MlflowClient:
    """Returns a client of a store, whose registry of models is in the same store.

    Otherwise MLFLOW_REGISTRY_URI of the environment could name another one.
    """
    return MlflowClient(uri, registry_uri=uri)


@contextmanager
def global_store(uri: str) -> Iterator[None]:
    """Makes a store the one that MLflow itself uses for runs and models, until the block ends.

    MLflow looks up a models:/ address there, even if its client was given another store.
    """
    tracking, registry = mlflow.get_tracking_uri(), MLFLOW_REGISTRY_URI.get()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)
        mlflow.set_registry_uri(registry or "")
        if registry is None:
            MLFLOW_REGISTRY_URI.unset()


def local_store(runs: Path) -> str:
    """Makes the sqlite store under `runs` if it is missing, and returns its address.

    It is made here, once, because processes that open a missing store at the same moment race to
    create it. WAL mode makes a write about three times cheaper. Raises MachineError.
    """
    uri = open_store(store_address(runs))
    with (
        named_failures(uri),
        _exclusive(uri),
        closing(sqlite3.connect(runs / "mlflow.db")) as database,
    ):
        database.execute("PRAGMA journal_mode=WAL")
    return uri


def open_store(uri: str) -> str:
    """Makes the tables of the database at an address if needed, and returns the address.

    A server does this for its own database. Raises MachineError.
    """
    if not is_server(uri):
        check_writable_store(uri)
        with named_failures(uri), _exclusive(uri):
            _open(uri)
    return uri


def check_store(uri: str) -> None:
    """Raises MachineError unless the store can be written, or a new one can be made.

    Makes no store.
    """
    check_server(uri)
    if is_server(uri):
        return
    check_writable_store(uri)
    file = store_file(uri)
    if file is not None and not file.exists():
        check_writable(file, _DO_ELSEWHERE)
        return
    with named_failures(uri):
        exists = has_tables(uri)
    if exists:
        open_store(uri)


def check_writable_store(uri: str) -> None:
    """Raises MachineError if a store is a file that we may only read, such as a colleague's."""
    file = store_file(uri)
    if file is not None and is_read_only(file):
        rule = "cannot be written: it belongs to another user, or its disk is read-only"
        raise MachineError(f"MLflow's store {mask(uri)}", rule, do=_DO_ELSEWHERE)


@contextmanager
def readable_store(uri: str, note: Note = silent, *, make: bool = False) -> Iterator[str]:
    """Gives the address of a store to read from: of a copy, if we may only read it.

    note  called with a sentence that a copy is read
    make  makes the store if it is missing

    Raises MachineError as `check_store` does.
    """
    file = store_file(uri)
    if file is None or not is_read_only(file):
        check = open_store if make else check_store
        check(uri)
        yield uri
        return
    with temporary_folder() as folder:
        with named_failures(uri):
            copy_database(file, folder)
            copy = sqlite_address(folder / file.name)
            _open(copy)
        consequence = "what follows is a copy of it as it is now"
        note(f"MLflow's store {mask(uri)} is read-only for you: {consequence}")
        yield copy


@contextmanager
def named_failures(uri: str) -> Iterator[None]:
    """Turns the exceptions of a store into a MachineError that says what to do."""
    try:
        yield
    except _FAILURES as error:
        raise _refusal(uri, error) from None


def reason(error: Exception) -> str:
    """Returns the first line of an exception's message, with passwords masked.

    Returns the exception's type if the message is empty, or if a server does not answer: MLflow's
    message is then three hundred characters about its libraries, and the type says as much.
    """
    if isinstance(error.__context__, requests.RequestException):
        return type(error.__context__).__name__
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    if not str(cause).strip():
        return type(error).__name__
    # MLflow repeats errors of SQLAlchemy: "(sqlite3.OperationalError) database or disk is full"
    without_type = re.sub(r"^\(\w+(\.\w+)+\) ", "", first_line(cause))
    return mask(without_type)


def _refusal(uri: str, error: Exception) -> MachineError:
    place = f"MLflow's store {mask(uri)}"
    if any(words in str(error) for words in _OTHER_SCHEMA):
        rule = "has the tables of another version of MLflow"
        command = f"mlflow db upgrade {shlex.quote(mask(uri))}"
        upgrade = f"Keep a copy of it, then bring it up to date: {command}"
        do = f"{upgrade} (or install the newer MLflow that made it)."
        return MachineError(place, rule, do=do)
    rule = f"cannot be used ({reason(error)})"
    if store_file(uri) is None:
        return MachineError(place, rule, do="Correct `tracking`, or repair the store.")
    do = (
        "Repair it, or move it away: a new one is made in its place, "
        "and resume writes a run to it again."
    )
    return MachineError(place, rule, do=do)


def _open(uri: str) -> None:
    """Lets MLflow open a database, and make its tables if there are none."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # it says how long it might wait, and does not
    logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)
    # it logs each error with SQL and a traceback, before it raises what becomes our message
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    has_tables(uri)  # MLflow would try for two minutes to reach a database that is away
    store_client(uri).search_experiments(max_results=1)


def has_tables(uri: str) -> bool:
    """True if a database exists and is not empty.

    Raises without delay if it cannot be reached or read.
    """
    file = store_file(uri)
    if file is not None and not file.exists():
        return False
    engine = sqlalchemy.create_engine(uri)
    try:
        return bool(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


@contextmanager
def _exclusive(uri: str) -> Iterator[None]:
    """Holds the lock of a store that is a file, so that one process at a time opens it.

    MLflow makes its tables in many steps, and two processes would collide.
    """
    file = store_file(uri)
    if file is None:
        yield
        return
    make_folder(file.parent)
    with ExitStack() as stack:
        with writing(file, _DO_ELSEWHERE):
            stack.enter_context(hold_lock(file.with_name(f".{file.stem}.lock")))
        yield
