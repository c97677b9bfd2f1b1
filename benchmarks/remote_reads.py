"""How often is each photo of a dataset on S3 fetched, by sweeps on one machine?

    python benchmarks/remote_reads.py [DATASET] [TRIALS]

Puts a dataset (default: the stand-in set, as a user's photos) on an S3 server in this process,
which counts the requests. Two runs of the sweep `smoke` follow one another. Then the second one's
folder is copied as if to another machine, without its cache, and extended there by one trial.
Needs the extra `test`.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from syndet_ray.data.stand_in import FOLDER

BUCKET, PREFIX = "photos", "set"
# As werkzeug logs it; colours may stand around the quoted words.
REQUEST = re.compile(rf"(GET|HEAD) /{BUCKET}(/[^ ?]*)?(\?[^ ]*)? HTTP")


class Requests(logging.Handler):
    """Counts the requests that a server logs.

    objects  how often each object was fetched, by key
    lists    how often the bucket was listed
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects: Counter[str] = Counter()
        self.lists = 0

    def emit(self, record: logging.LogRecord) -> None:
        match = REQUEST.search(record.getMessage())
        if match is not None and match[2] not in (None, "/"):
            self.objects[match[2]] += 1
        elif match is not None:
            self.lists += 1


def start_server() -> tuple[ThreadedMotoServer, Requests]:
    """A server that counts; the environment of this process and its children leads there."""
    requests = Requests()
    logger = logging.getLogger("werkzeug")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(requests)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=True)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return server, requests


def put(dataset: Path) -> int:
    """Puts the files of a dataset into the bucket; returns how many."""
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    files = [path for path in sorted(dataset.rglob("*")) if path.is_file()]
    for path in files:
        key = f"{PREFIX}/{path.relative_to(dataset).as_posix()}"
        client.upload_file(str(path), BUCKET, key)
    return len(files)


def carry_out(*arguments: str) -> None:
    command = [sys.executable, "-m", "syndet_ray", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def copy_to(runs: Path, run: Path) -> Path:
    """A copy of a run's folder under other runs."""
    return shutil.copytree(run, runs / run.name)


def newest(runs: Path) -> Path:
    return max(runs.glob("smoke-*"), key=lambda path: path.stat().st_mtime)


def main() -> None:
    dataset = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    trials = sys.argv[2] if len(sys.argv) > 2 else "4"
    server, requests = start_server()
    files = put(dataset)
    print(f"{files} objects")
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder, "here"), Path(folder, "there")
        sweep = ("sweep", "smoke", "--local", "--trials", trials, "--runs", str(here))
        more = ("--trials", str(int(trials) + 1))
        steps = {
            "first run": lambda: carry_out(*sweep, "--real", f"s3://{BUCKET}/{PREFIX}"),
            "second run": lambda: carry_out(*sweep, "--real", f"s3://{BUCKET}/{PREFIX}"),
            "resumed on another machine": lambda: carry_out(
                "resume", str(copy_to(there, newest(here))), *more
            ),
        }
        for name, step in steps.items():
            requests.objects.clear()
            requests.lists = 0
            step()
            counts = Counter(requests.objects.values())
            words = ", ".join(f"{number} fetched {often} x" for often, number in counts.items())
            print(f"{name}: {words or 'no object fetched'}; {requests.lists} listings", flush=True)
    server.stop()


if __name__ == "__main__":
    main()
