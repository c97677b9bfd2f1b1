"""Storage: folders on this machine or on S3.

An address is a path, or s3://bucket/prefix. Credentials come from the environment or the machine's
role, never from an address: Ray pickles file systems, and a key inside one would get into the run
folder. AWS_ENDPOINT_URL, or Arrow's own ?endpoint_override=host:port&scheme=http in the address,
leads to other stores that speak S3.
"""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import fs

from syndet_ray.data.outage import is_outage, outlast
from syndet_ray.errors import MachineError, StoreUnavailable
from syndet_ray.files import temporary_folder

# Inode, bytes and time in nanoseconds of a local file. They change when the file is written, and
# when another file replaces it.
Version = tuple[int, int, int]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_PATIENCE_S = 5.0  # to connect, and again to wait for an answer
_PROBE = ".syndet-ray-was-here"
_DO_CREATE_BUCKET = "Create the bucket, or correct the address."
_DO_PERMIT = "Let this machine's role or key read, write and delete objects under this address."
_DO_PERMIT_READING = "Let this machine's role or key list and read the objects under this address."
_DO_CORRECT_BUCKET = "Correct the address, or the region and endpoint in the environment."
_DO_GIVE_KEY = "Give this machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
_DO_CHECK_NETWORK = "Check the network, the address and AWS_ENDPOINT_URL."
# botocore's exceptions for a store that does not answer
_NETWORK_ERRORS = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
)
# advice by the code that S3 answers, or by the name of botocore's exception
_ADVICE = {
    "NoSuchBucket": _DO_CREATE_BUCKET,
    "InvalidBucketName": _DO_CREATE_BUCKET,
    "ParamValidationError": _DO_CREATE_BUCKET,
    "404": _DO_CREATE_BUCKET,
    "AccessDenied": _DO_PERMIT,
    "403": _DO_PERMIT,
    "AllAccessDisabled": _DO_PERMIT,
    "NoCredentialsError": _DO_GIVE_KEY,
    "PartialCredentialsError": _DO_GIVE_KEY,
    "ProfileNotFound": _DO_GIVE_KEY,
    "InvalidAccessKeyId": "Correct AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "Correct AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "Renew the credentials.",
    "NoRegionError": "Set AWS_DEFAULT_REGION to the bucket's region.",
    "PermanentRedirect": "Set AWS_DEFAULT_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set AWS_DEFAULT_REGION to the bucket's region.",
    "InvalidEndpointURL": "Correct AWS_ENDPOINT_URL, or the address.",
    **dict.fromkeys(_NETWORK_ERRORS, _DO_CHECK_NETWORK),
}
# in the place of advice for those who write
_ADVICE_TO_READ = {_DO_PERMIT: _DO_PERMIT_READING, _DO_CREATE_BUCKET: _DO_CORRECT_BUCKET}


def check_bucket(address: str) -> None:
    """Writes, reads and deletes a small object under an s3:// address.

    Its name is random: several machines may check one address at once. The check waits at most a
    few seconds for an answer. Raises MachineError, with advice, where the store refuses or does not
    answer.
    """
    check_address(address)
    try:
        client, probe = s3(inside(address, f"{_PROBE}-{uuid.uuid4().hex}"))
        client.put_object(**probe, Body=b"")
        try:
            client.get_object(**probe)
        finally:  # no later check has this name
            client.delete_object(**probe)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise write_error(address, error) from None


def check_address(address: str) -> None:
    """Raises MachineError unless an address reads like one of S3."""
    place = urlsplit(address)
    if place.scheme != "s3" or not place.netloc:
        rule = "must be s3://bucket or s3://bucket/prefix"
        raise MachineError(address, rule, do="Correct the address.")


def s3(address: str, config: Config | None = None) -> tuple[Any, dict[str, str]]:
    """A client of boto3 that gives up soon, and bucket and key of an s3:// address.

    Bucket and key are keyword arguments of the client's calls. The endpoint is that of the address,
    else that of the environment.

    config  how the client waits and retries, instead
    """
    place = urlsplit(address)
    query = dict(parse_qsl(place.query))
    host = query.get("endpoint_override")
    impatient = Config(
        connect_timeout=_PATIENCE_S, read_timeout=_PATIENCE_S, retries={"total_max_attempts": 1}
    )
    url = None if host is None else f"{query.get('scheme', 'https')}://{host}"
    client = boto3.Session().client(
        "s3", config=config or impatient, endpoint_url=url, region_name=query.get("region")
    )
    return client, {"Bucket": place.netloc, "Key": place.path.strip("/")}


def store_error(address: str, code: str, message: str) -> MachineError:
    """An error with advice for an answer of S3, or for botocore's exception of that name.

    A StoreUnavailable unless there is something to change.
    """
    is_refusal = code in _ADVICE and code not in _NETWORK_ERRORS
    kind = MachineError if is_refusal else StoreUnavailable
    return kind(address, f"cannot be written ({code})", do=_ADVICE.get(code, message))


def write_error(address: str, error: Exception) -> MachineError:
    """An error with advice for an exception of boto3, which wanted to write too."""
    return store_error(address, error_code(error), str(error))


def read_error(address: str, error: Exception) -> MachineError:
    """An error with advice for an exception of boto3, which wanted to read only."""
    return MachineError(address, f"cannot be read ({error_code(error)})", do=read_advice(error))


def error_code(error: Exception) -> str:
    """The code with which a service of AWS refused, or the name of another exception of boto3."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    if isinstance(error, ValueError):  # of botocore, for an endpoint that is no URL
        return "InvalidEndpointURL"
    return type(error).__name__


def read_advice(error: Exception) -> str:
    """Advice for an exception of boto3, which wanted to read only."""
    do = _ADVICE.get(error_code(error), str(error))
    return _ADVICE_TO_READ.get(do, do)


def inside(address: str, name: str) -> str:
    """The address of the object `name` under an address, whose ?query stays at the end.

    For the name "" it is the address itself.
    """
    if "://" not in address:
        return str(Path(address) / name)
    place = urlsplit(address)
    path = f"{place.path.rstrip('/')}/{name}".rstrip("/")
    return urlunsplit(place._replace(path=path))


def _interruptible(
    call: Callable[Concatenate[str, Arguments], Answer],
) -> Callable[Concatenate[str, Arguments], Answer]:
    """Runs a call to a store in a thread of its own if it comes from the main thread.

    Inside Arrow, the main thread does not notice Ctrl-C until the store answers.
    """

    @wraps(call)
    def ask(address: str, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        if "://" not in address or threading.current_thread() is not threading.main_thread():
            return call(address, *args, **kwargs)
        answer: Future[Answer] = Future()
        asking = partial(_answer_with, answer, partial(call, address, *args, **kwargs))
        threading.Thread(target=asking, name="storage", daemon=True).start()
        return answer.result()

    return ask


def _answer_with(answer: "Future[Answer]", call: Callable[[], Answer]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)


@_interruptible
def holds(address: str, name: str) -> bool:
    """True if there is a file `name` under an address; the address itself may be missing.

    Raises MachineError where the store does not answer.
    """
    store, path = filesystem(inside(address, name))
    with _as_machine_error(address, "cannot be read"):
        return store.get_file_info(path).type == fs.FileType.File


@_interruptible
def content(address: str) -> bytes:
    """The bytes of a file. Raises MachineError."""
    store, path = filesystem(address)
    with _as_machine_error(address, "cannot be read"), store.open_input_file(path) as file:
        return file.read()


@_interruptible
def is_folder(address: str) -> bool:
    """True if there are files under an address.

    Raises MachineError where the store does not answer.
    """
    store, path = filesystem(address)
    with _as_machine_error(address, "cannot be read"):
        return store.get_file_info(path).type == fs.FileType.Directory


def filesystem(address: str) -> tuple[fs.FileSystem, str]:
    """The Arrow file system of an address, and the path in it.

    Raises MachineError for an address that Arrow cannot use.
    """
    if "://" not in address:
        return fs.LocalFileSystem(), str(Path(address).absolute())
    with _as_machine_error(address, "cannot be used"):
        return fs.FileSystem.from_uri(_with_endpoint(address))


def copy_whole(
    source: str, destination: str, source_store: fs.FileSystem, store: fs.FileSystem
) -> None:
    """Copies a file, or all files of a folder, and checks that each has arrived.

    Arrow's own copy ends without an error when a connection is cut during an upload, and the file
    is missing (Arrow 25.0, measured). Raises OSError.
    """
    fs.copy_files(
        source,
        destination,
        source_filesystem=source_store,
        destination_filesystem=store,
        use_threads=isinstance(store, fs.LocalFileSystem),  # uploads may hang with threads
    )
    arrived = _sizes(store, destination)
    for name, size in _sizes(source_store, source).items():
        if arrived.get(name) != size:
            raise OSError(f"{destination}/{name} has not arrived whole: the connection was cut")


def _sizes(store: fs.FileSystem, path: str) -> dict[str, int]:
    """The bytes of each file in a folder, by its path there; of a single file, by ""."""
    info = store.get_file_info(path)
    if info.type == fs.FileType.File:
        return {"": info.size}
    entries = store.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    files = [entry for entry in entries if entry.type == fs.FileType.File]
    return {file.path.removeprefix(info.path).lstrip("/"): file.size for file in files}


def upload(
    folder: Path,
    address: str,
    skip: Path | None = None,
    uploaded: dict[Path, Version] | None = None,
    may_write: Callable[[], bool] = lambda: True,
) -> None:
    """Copies the files of a folder to an address, except those under `skip`.

    uploaded   the versions of the files that were copied there before: unchanged files are left
               out, and files that are copied now are added
    may_write  called before each file, because another process may get the address in the
               meantime; once it returns False, the remaining files are left out

    Raises MachineError.
    """
    store, root = filesystem(address)
    versions = {} if uploaded is None else uploaded
    with _as_machine_error(address, "cannot be written"):
        for file in sorted(folder.rglob("*")):
            is_skipped = skip is not None and file.is_relative_to(skip)
            if is_skipped or not file.is_file():
                continue
            # taken before the copy: a file that is written meanwhile is copied again next time
            version = _version(file)
            if versions.get(file) == version:
                continue
            if not may_write():
                return
            target = f"{root}/{file.relative_to(folder).as_posix()}"
            _make_parent(store, target)
            copy_whole(str(file), target, fs.LocalFileSystem(), store)
            versions[file] = version


@_interruptible
def download(address: str, folder: Path) -> None:
    """Copies all files under an address into a folder, which is made if it is missing.

    Raises MachineError.
    """
    if not is_folder(address):
        raise MachineError(address, "holds no files", do="Correct the address.")
    store, root = filesystem(address)
    with _as_machine_error(address, "cannot be read"):
        folder.mkdir(parents=True, exist_ok=True)
        copy_whole(root, str(folder), store, fs.LocalFileSystem())


def _with_endpoint(address: str) -> str:
    """The address with the environment's endpoint in the form that Arrow takes.

    Arrow reads AWS_ENDPOINT_URL itself, but then puts the bucket into the host name, which fails
    for 127.0.0.1 and for most stores that are not Amazon's.
    """
    place = urlsplit(address)
    url = endpoint()
    query = dict(parse_qsl(place.query))
    if place.scheme != "s3" or not url or "endpoint_override" in query:
        return address
    server = urlsplit(url)
    if not server.scheme or not server.netloc:
        raise MachineError("AWS_ENDPOINT_URL", "must read like http://host:port", got=url)
    query |= {"endpoint_override": server.netloc, "scheme": server.scheme}
    return urlunsplit(place._replace(query=urlencode(query)))


def endpoint() -> str:
    """The store that the environment names in place of Amazon's; "" if it names none."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _version(file: Path) -> Version:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _make_parent(store: fs.FileSystem, path: str) -> None:
    """Makes the folder of a local file; S3 has no folders."""
    if isinstance(store, fs.LocalFileSystem):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _as_machine_error(address: str, rule: str) -> Iterator[None]:
    """Raises Arrow's errors as MachineError: it raises OSError for any answer of S3."""
    try:
        yield
    except (OSError, ValueError) as error:
        kind = StoreUnavailable if is_outage(error) else MachineError
        raise kind(address, f"{rule} ({error})") from None


@contextmanager
def local_copy(address: str) -> Iterator[Path]:
    """Gives a local copy of a checkpoint, which is deleted afterwards."""
    with temporary_folder() as folder:
        download(address, folder)
        yield folder


@contextmanager
def outlasted_copy(address: str) -> Iterator[Path]:
    """Gives a local copy as `local_copy` does, and waits for a store that has an outage."""
    with temporary_folder() as folder:
        outlast(partial(download, address, folder))
        yield folder
