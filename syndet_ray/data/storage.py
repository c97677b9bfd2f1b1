"""Storage: folders on this machine or on S3."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import fs

from syndet_ray.errors import MachineError

_PATIENCE_S = 5
_WHAT_TO_DO = {
    "NoSuchBucket": "Create the bucket, or correct --storage.",
    "404": "Create the bucket, or correct --storage.",
    "NoCredentialsError": "Give this machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "AccessDenied": "Let this machine's role read, write and delete objects in the bucket.",
    "403": "Let this machine's role read, write and delete objects in the bucket.",
    "EndpointConnectionError": "Check the network and AWS_ENDPOINT_URL.",
    "ConnectTimeoutError": "Check the network and AWS_ENDPOINT_URL.",
}


def check_bucket(address: str) -> None:
    """Writes and deletes a small object under an s3:// address. Raises MachineError where that cannot be done."""
    place = urlparse(address)
    if place.scheme != "s3" or not place.netloc:
        raise MachineError("--storage", "must be s3://bucket or s3://bucket/prefix", got=address)
    key = f"{place.path.strip('/')}/.syndet-ray-was-here".lstrip("/")
    patience = Config(connect_timeout=_PATIENCE_S, read_timeout=_PATIENCE_S, retries={"max_attempts": 1})
    try:
        client = boto3.client("s3", config=patience)
        client.put_object(Bucket=place.netloc, Key=key, Body=b"")
        client.delete_object(Bucket=place.netloc, Key=key)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise MachineError(address, f"cannot be written ({code})", do=_WHAT_TO_DO.get(code, "")) from None
    except BotoCoreError as error:
        kind = type(error).__name__
        raise MachineError(address, f"cannot be written ({kind})", do=_WHAT_TO_DO.get(kind, "")) from None


def download(address: str, folder: Path) -> None:
    """Copies all files under a path or s3:// address into a folder."""
    if "://" not in address:
        shutil.copytree(address, folder, dirs_exist_ok=True)
        return
    source, path = fs.FileSystem.from_uri(address)
    fs.copy_files(path, str(folder), source_filesystem=source, destination_filesystem=fs.LocalFileSystem())


def upload(folder: Path, address: str, skip: Path | None = None) -> None:
    """Copies the files of a folder under an s3:// address, all but those under `skip`."""
    target, path = fs.FileSystem.from_uri(address)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not (skip is not None and file.is_relative_to(skip)):
            there = f"{path}/{file.relative_to(folder).as_posix()}"
            fs.copy_files(str(file), there, source_filesystem=fs.LocalFileSystem(), destination_filesystem=target)
