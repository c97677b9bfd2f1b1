"""Public: fetches a dataset of the catalogue into a folder, and keeps the sums of its files.

The sums lie beside the folder, in <folder>.lock.json. Where a publisher states none, the first one
that comes is trusted, and another one is refused from then on.
"""

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from syndet_ray.data.memory import memory_words
from syndet_ray.data.remote.address import is_archive
from syndet_ray.data.remote.catalogue import CatalogueEntry, CatalogueFile
from syndet_ray.data.remote.download import fetch
from syndet_ray.data.remote.local import dataset_root
from syndet_ray.data.remote.unpack import unpack
from syndet_ray.errors import DataError, MachineError
from syndet_ray.files import check_writable, file_hash, make_folder, write_whole, writing
from syndet_ray.locks import hold_lock
from syndet_ray.progress import NamedProgress

_SPARE_BYTES = 10**9  # of the disk, for others that write meanwhile
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A dataset that lies in its folder.

    is_new     False if it was there already
    unchecked  the SHA-256 of files that nothing was compared with, by name
    """

    folder: Path
    lock: Path
    is_new: bool
    unchecked: Mapping[str, str]


def lock_file(out: Path) -> Path:
    """The file beside a dataset that keeps the sums of its files."""
    return out.with_name(f"{out.name}.lock.json")


def fetch_public(entry: CatalogueEntry, out: Path, progress: NamedProgress) -> Fetched:
    """Fetches a dataset into a folder, which is there once all its files are right.

    An interrupted fetch goes on where it stopped. Raises DataError for a file with another sum than
    stated or kept, and for a folder that holds something else; MachineError for a server that
    refuses, or too little room.
    """
    out = out.absolute()
    sums = _kept_sums(entry, lock_file(out))
    if out.is_dir() and sums and any(out.iterdir()):
        return Fetched(folder=out, lock=lock_file(out), is_new=False, unchecked={})
    _check_out(entry, out)
    with _work_folder(out) as work:
        actual = _fetch_files(entry, out, sums, work, progress)
        content = _put_together(entry, work, progress)
        _keep_sums(entry, lock_file(out), actual)
        with writing(out):
            content.rename(out)
    unchecked = {
        file.name: actual[file.name]
        for file in entry.files
        if file.sha256 is None and file.name not in sums
    }
    return Fetched(folder=out, lock=lock_file(out), is_new=True, unchecked=unchecked)


def _kept_sums(entry: CatalogueEntry, lock: Path) -> dict[str, str]:
    """The sums of an earlier fetch, by file; none if there was none."""
    if not lock.exists():
        return {}
    try:
        kept = json.loads(lock.read_text(encoding="utf-8"))
        name, sums = kept["dataset"], dict(kept["sha256"])
    except (ValueError, KeyError, TypeError):
        do = "Delete it, or fetch into another folder."
        raise DataError(lock, "is no file that `data fetch` wrote", do=do) from None
    if name != entry.name:
        raise DataError(
            lock, "belongs to another dataset", got=name, do="Fetch into another folder."
        )
    return sums


def _keep_sums(entry: CatalogueEntry, lock: Path, sums: Mapping[str, str]) -> None:
    kept = {
        "dataset": entry.name,
        "sha256": dict(sums),
        "url": {file.name: file.url for file in entry.files},
        "stated": [file.name for file in entry.files if file.sha256 is not None],
    }
    write_whole(lock, (json.dumps(kept, indent=1) + "\n").encode())


def _check_out(entry: CatalogueEntry, out: Path) -> None:
    """Raises DataError for a folder that holds something, and MachineError without room."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(out, "is there already", do="Give a new folder, or an empty one.")
    check_writable(out)
    make_folder(out.parent)
    copies = 2 if any(is_archive(file.name) for file in entry.files) else 1
    needed, free = copies * (entry.size or 0), _free(out.parent)
    if needed > free:
        rule = f"needs {memory_words(needed)}, and {memory_words(free)} are free"
        raise MachineError(out, rule, do="Make room, or give a folder on another disk.")


def _free(folder: Path) -> int:
    return max(0, shutil.disk_usage(folder).free - _SPARE_BYTES)


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """The folder beside `out` in which a fetch works; it stays if that is interrupted in a file."""
    work = make_folder(out.with_name(f".{out.name}.fetching"))
    try:
        with hold_lock(work / ".lock", wait=False):
            try:
                yield work
                shutil.rmtree(work / "files", ignore_errors=True)
            finally:
                if not any((work / "files").glob("*")):
                    shutil.rmtree(work, ignore_errors=True)
    except BlockingIOError:
        rule = "is being fetched by another process"
        raise MachineError(out, rule, do="Wait until that ends.") from None


def _fetch_files(
    entry: CatalogueEntry,
    out: Path,
    kept: Mapping[str, str],
    work: Path,
    progress: NamedProgress,
) -> dict[str, str]:
    """Fetches the files that are not there yet; returns the SHA-256 of all."""
    sums = {}
    for file in entry.files:
        wanted = file.sha256 or kept.get(file.name)
        target = work / "files" / file.name
        if target.exists() and wanted not in (None, file_hash(target)):  # damaged meanwhile
            target.unlink()
        if not target.exists():
            showing = partial(progress, f"fetching {file.name} (MB)")
            most_bytes = _free(work)
            with _naming_kept_sum(file, kept, lock_file(out)):
                fetch(file.url, target, wanted, most_bytes=most_bytes, progress=showing)
        _check_crc32(file, target)  # also of a file that an interrupted fetch left unchecked
        sums[file.name] = file_hash(target)
    return sums


@contextmanager
def _naming_kept_sum(file: CatalogueFile, kept: Mapping[str, str], lock: Path) -> Iterator[None]:
    """Says of a sum that is refused that it was kept, if no publisher states it."""
    try:
        yield
    except DataError as error:
        if file.sha256 is not None or file.name not in kept:
            raise
        do = f"{lock} keeps the sum of the first fetch: delete that file to trust the new one."
        raise DataError(error.place, error.rule, got=error.got, do=do) from None


def _check_crc32(file: CatalogueFile, path: Path) -> None:
    """Raises DataError for a file with another CRC-32 than its publisher states."""
    if file.crc32 is None:
        return
    actual = 0
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            actual = zlib.crc32(chunk, actual)
    if actual != file.crc32:
        path.unlink()
        rule = f"must have the CRC-32 {file.crc32}, as its publisher states"
        raise DataError(file.url, rule, got=actual, do="It was changed or damaged on the way.")


def _put_together(entry: CatalogueEntry, work: Path, progress: NamedProgress) -> Path:
    """The folder of the dataset, made of the files that were fetched."""
    content = work / "content"
    shutil.rmtree(content, ignore_errors=True)  # what a kill left
    content.mkdir()
    for file in entry.files:
        path = work / "files" / file.name
        if is_archive(file.name):
            showing = partial(progress, f"unpacking {file.name} (MB)")
            unpack(path, content, most_bytes=_free(work), progress=showing)
        else:
            shutil.copyfile(path, content / file.name)
    return dataset_root(content)
