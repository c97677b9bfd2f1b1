"""Bucket: the objects under a prefix on S3, copied into a folder, each once.

Beside the folder lies objects.jsonl, a line for each file: name, size in bytes, ETag, and the time
of its last change here. What is missing there, or differs from the bucket, is copied again.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from syndet_ray.data.remote import node_cache
from syndet_ray.data.remote.names import is_junk, safe_name
from syndet_ray.data.storage import read_error, s3
from syndet_ray.errors import DataError
from syndet_ray.files import make_folder, writing
from syndet_ray.progress import Progress

MOST_OBJECTS = 2_000_000  # more are a whole bucket rather than a dataset
_AT_ONCE = 8  # small objects take longer to ask for than to send
_SILENCE_S = 30.0
_CHUNK_BYTES = 1 << 20
_PAUSES_S = (1.0, 4.0)  # before an object that broke off is continued
_CHANGED = "changed while it was copied"
_MD5 = re.compile('"?([0-9a-f]{32})"?')


@dataclass(frozen=True, kw_only=True)
class _Object:
    """An object on S3. name: its path under the prefix; size in bytes."""

    key: str
    name: str
    size: int
    etag: str


def copy(address: str, folder: Path, progress: Progress) -> None:
    """Makes a folder hold what lies under an s3:// address, and nothing else.

    Objects that are there already are not fetched again. The caller holds the lock of the folder.
    Raises MachineError for a store that does not answer or has no room here, and DataError for
    objects that cannot be files.
    """
    with _as_machine_error(address):
        client, place = s3(address, _patient())
        objects = _objects(client, place, address)
    journal = folder.with_name("objects.jsonl")
    present = _present(folder, journal)
    missing = [wanted for wanted in objects.values() if present.get(wanted.name) != wanted.etag]
    surplus = _surplus(folder, objects)
    if not missing and not surplus:
        return
    present_count = len(objects) - len(missing)
    node_cache.make_room(folder, sum(wanted.size for wanted in missing), address)
    with node_cache.changing(folder, address):
        _delete(folder, surplus)
        progress(present_count, len(objects))
        lines = _fetch_all(client, place["Bucket"], folder, missing)
        with _as_machine_error(address):
            for done, _ in enumerate(lines, start=present_count + 1):
                progress(done, len(objects))


def _patient() -> Config:
    """Settings of a client that copies much: it waits for an answer, and asks again."""
    return Config(
        connect_timeout=_SILENCE_S,
        read_timeout=_SILENCE_S,
        retries={"total_max_attempts": 3, "mode": "standard"},
        max_pool_connections=_AT_ONCE,
    )


def _objects(client: Any, place: Mapping[str, str], address: str) -> dict[str, _Object]:
    """The objects under a prefix that are files of a dataset, by name."""
    prefix = f"{place['Key']}/" if place["Key"] else ""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=place["Bucket"], Prefix=prefix)
    objects: dict[str, _Object] = {}
    for page in pages:
        for entry in page.get("Contents", ()):
            key, size = entry["Key"], entry["Size"]
            name = key.removeprefix(prefix)
            if name.endswith("/") or not name or is_junk(name):  # the mark of a folder, or junk
                continue
            name = str(safe_name(name, f"s3://{place['Bucket']}/{key}"))
            if name in objects:  # such as a//b.jpg and a/b.jpg
                rule = f"holds two objects that would be one file, {objects[name].key} and {key}"
                raise DataError(address, rule, do="Rename or delete one of them.")
            objects[name] = _Object(key=key, name=name, size=size, etag=entry["ETag"])
        if len(objects) > MOST_OBJECTS:
            rule = f"holds more than {MOST_OBJECTS:,} objects"
            raise DataError(address, rule, do="Give the prefix of one dataset.")
    if not objects:
        do = "Correct the bucket or the prefix. An archive on S3 is not unpacked: unpack it there."
        raise DataError(address, "holds no objects", do=do)
    _check_no_file_is_folder(objects, address)
    return objects


def _check_no_file_is_folder(objects: Mapping[str, _Object], address: str) -> None:
    for name in objects:
        for parent in PurePosixPath(name).parents:
            if str(parent) in objects:
                rule = f"holds {parent} and {name}: here, one name is no file and folder at once"
                raise DataError(address, rule, do="Rename or delete one of them.")


def _present(folder: Path, journal: Path) -> dict[str, str]:
    """The ETag of each file that was copied whole and has not been changed since."""
    present: dict[str, str] = {}
    for entry in _entries(journal):
        path = folder / entry["name"]
        try:
            status = path.lstat()
        except OSError:
            present.pop(entry["name"], None)
            continue
        if (status.st_size, status.st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
            present[entry["name"]] = entry["etag"]
        else:
            present.pop(entry["name"], None)
    return present


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; one that a kill cut is left out."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"name", "size", "etag", "mtime_ns"} <= entry.keys():
            yield entry


def _surplus(folder: Path, objects: Mapping[str, _Object]) -> list[Path]:
    """Files that are no longer in the bucket, and halves of earlier versions."""
    parts = {_part(folder / wanted.name, wanted.etag) for wanted in objects.values()}
    surplus = []
    for path in folder.rglob("*"):
        is_wanted = path.relative_to(folder).as_posix() in objects or path in parts
        if not path.is_dir() and not is_wanted:
            surplus.append(path)
    return surplus


def _delete(folder: Path, surplus: list[Path]) -> None:
    """Deletes files, and folders that hold nothing then."""
    for path in surplus:
        path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _fetch_all(
    client: Any, bucket: str, folder: Path, missing: Sequence[_Object]
) -> Iterator[dict[str, Any]]:
    """Copies objects, several at once; notes and yields each that is whole.

    After an error no further one begins.
    """
    make_folder(folder)
    journal = folder.with_name("objects.jsonl")
    stop = threading.Event()
    fetch = partial(_fetch, client, bucket, folder, stop=stop)
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copying")
    try:
        with writing(journal), journal.open("a", encoding="utf-8") as lines:
            _end_line(lines)
            jobs = [pool.submit(fetch, wanted) for wanted in missing]
            for job in as_completed(jobs):
                line = job.result()
                lines.write(json.dumps(line) + "\n")
                lines.flush()
                yield line
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _end_line(lines: Any) -> None:
    """Begins a new line: a kill may have cut the last one."""
    if lines.tell():
        lines.write("\n")


def _fetch(
    client: Any, bucket: str, folder: Path, wanted: _Object, *, stop: threading.Event
) -> dict[str, Any]:
    """Copies an object to its file; returns its line of the journal.

    Where the connection breaks off, it goes on from there.
    """
    path = folder / wanted.name
    make_folder(path.parent)
    part = _part(path, wanted.etag)
    is_resumed = part.exists()
    with writing(path):
        _complete(client, bucket, wanted, part, stop)
        if is_resumed and not _is_of_etag(part, wanted.etag):  # such as zeros after a power cut
            part.unlink()
            _complete(client, bucket, wanted, part, stop)
        os.replace(part, path)
        status = path.stat()
    return {
        "name": wanted.name,
        "size": wanted.size,
        "etag": wanted.etag,
        "mtime_ns": status.st_mtime_ns,
    }


def _complete(client: Any, bucket: str, wanted: _Object, part: Path, stop: threading.Event) -> None:
    """Adds to a half file what it lacks, in several attempts. Raises what boto3 raises."""
    for pause_s in (*_PAUSES_S, None):
        try:
            _continue(client, bucket, wanted, part, stop)
            return
        except (BotoCoreError, HTTPError):
            if pause_s is None or stop.is_set():
                raise
            stop.wait(pause_s)


def _is_of_etag(part: Path, etag: str) -> bool:
    """False if an ETag that looks like an MD5 is not that of a file.

    Of an object that was uploaded in parts it looks otherwise, and tells nothing here. Of one that
    is encrypted by KMS it is another sum: then a half file is of no use.
    """
    digest = _MD5.fullmatch(etag)
    if digest is None:
        return True
    with part.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == digest[1]


def _continue(client: Any, bucket: str, wanted: _Object, part: Path, stop: threading.Event) -> None:
    """Adds to a half file what it lacks. Raises what boto3 raises."""
    present = part.stat().st_size if part.exists() else 0
    if present > wanted.size:
        part.unlink()
        present = 0
    if present == wanted.size > 0:
        return
    ranges = {"Range": f"bytes={present}-"} if present else {}
    answer = client.get_object(Bucket=bucket, Key=wanted.key, IfMatch=wanted.etag, **ranges)
    with part.open("ab") as file:
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            if stop.is_set():
                raise KeyboardInterrupt
            file.write(chunk)
    size = part.stat().st_size
    if size != wanted.size:
        part.unlink()
        rule = f"{_CHANGED}: it was {wanted.size} bytes long and {size} came"
        raise DataError(f"s3://{bucket}/{wanted.key}", rule, do="Try again.")


def _part(path: Path, etag: str) -> Path:
    """The file in which a version of an object lies until it is whole."""
    version = hashlib.sha256(etag.encode()).hexdigest()[:12]
    # not the name itself: a long one leaves no room for more
    name = hashlib.sha256(path.name.encode()).hexdigest()[:12]
    return path.with_name(f".{name}-{version}.part")


@contextmanager
def _as_machine_error(address: str) -> Iterator[None]:
    """Raises errors of boto3 as MachineError; an object that changed meanwhile as DataError."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            raise DataError(address, f"has an object that {_CHANGED}", do="Try again.") from None
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            raise DataError(address, "lost an object meanwhile", do="Try again.") from None
        raise read_error(address, error) from None
    except (BotoCoreError, ValueError, HTTPError) as error:
        raise read_error(address, error) from None
