"""Backup: a copy of a run's own files on S3, beside its checkpoints, so that the run outlives the head node."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syndet_ray.data.storage import download, inside, upload
from syndet_ray.errors import DataError, MachineError
from syndet_ray.run_folder import RunFolder

KEPT = "run"  # under a run's address: the copy of its own files
_EVERY_S = 30


@contextmanager
def backed_up(folder: RunFolder, storage: str | None) -> Iterator[None]:
    """Renews the copy every half minute, and at the end; keeps none where there is no storage.

    Raises MachineError where the last copy cannot be written.
    """
    if storage is None:
        yield
        return
    address, over = inside(home(folder, storage), KEPT), threading.Event()

    def keep() -> None:
        while not over.wait(_EVERY_S):
            with suppress(MachineError):  # the next copy holds all that this one missed; the last one must succeed
                upload(folder.path, address, skip=folder.checkpoints)

    keeper = threading.Thread(target=keep, name="backup", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        upload(folder.path, address, skip=folder.checkpoints)


def fetch(address: str, runs: Path) -> RunFolder:
    """The run that was kept at an s3:// address, in a folder of its name under `runs`, which is there whole or not at all.

    A run of which only a part had come would go on from that part, and be kept in the place of the whole.
    """
    path = runs / address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
    if path.exists():
        raise DataError(path, f"is here already: {address} may be older", do=f"Resume {path}, or move it away.")
    runs.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=runs))
    try:
        download(inside(address, KEPT), unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return RunFolder.open(path)


def home(folder: RunFolder, storage: str | None) -> str:
    """The folder or s3:// address under which the run's checkpoints lie."""
    return inside(storage, folder.path.name) if storage else str(folder.path.resolve())
