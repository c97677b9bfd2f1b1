"""Sqlite files: databases that we may read and not write, and folders where sqlite works."""

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from syndet_ray.errors import MachineError
from syndet_ray.files import may_write, reading

_PATIENCE_S = 10.0  # with a process that writes to the database meanwhile
_JOURNALS = ("-wal", "-shm")  # sqlite's files next to a database in WAL mode


def works_in(folder: Path) -> bool:
    """True if sqlite can write a database in a folder; it cannot on a file system without locks."""
    with tempfile.TemporaryDirectory(prefix=".sqlite-", dir=folder) as place:
        database = sqlite3.connect(Path(place) / "test.db", timeout=1.0)
        try:
            database.execute("CREATE TABLE test (number INTEGER)")
        except sqlite3.OperationalError:
            return False
        finally:
            database.close()
    return True


def is_read_only(database: Path) -> bool:
    """True if a database exists that cannot be written.

    sqlite writes three files: the database, and two next to it while it is open.
    """
    if not database.exists():
        return False
    journals = [database.with_name(database.name + suffix) for suffix in _JOURNALS]
    places = [database, database.parent, *filter(Path.exists, journals)]
    return not all(map(may_write, places))


def copy_database(database: Path, folder: Path) -> Path:
    """Copies a database into a folder as it is now; returns the copy.

    MLflow and sqlite write to a database even to read it, so that they read the copy instead.
    Raises MachineError if it cannot be read, and sqlite3.Error if it is no database.
    """
    copy = folder / database.name
    source = f"{database.absolute().as_uri()}?mode=ro"
    with reading(database):
        database.open("rb").close()
        try:
            with closing(sqlite3.connect(source, uri=True)) as original:
                _back_up(original, copy)
        except sqlite3.OperationalError:
            # In WAL mode sqlite cannot even read if it cannot make its files next to the database.
            # Then they do not exist, so no process writes to it, and a plain copy is whole.
            _copy_files(database, copy)
    return copy


def _back_up(original: sqlite3.Connection, copy: Path) -> None:
    """Copies a database that other processes may write to meanwhile."""
    deadline = time.monotonic() + _PATIENCE_S

    def give_up(status: int, remaining: int, total: int) -> None:
        if remaining and time.monotonic() > deadline:
            rule = f"has been written by another process for {_PATIENCE_S:.0f} s"
            raise MachineError(copy.name, rule, do="Try again when that has ended.")

    with closing(sqlite3.connect(copy)) as target:
        original.backup(target, progress=give_up)


def _copy_files(database: Path, copy: Path) -> None:
    shutil.copyfile(database, copy)
    # A process that was killed may have left the one or the other; sqlite needs it to undo or to
    # complete the last write.
    for suffix in ("-wal", "-journal"):
        journal = database.with_name(f"{database.name}{suffix}")
        if journal.exists():
            shutil.copyfile(journal, copy.with_name(f"{copy.name}{suffix}"))
