"""How often is each streamed photo on S3 fetched by two nodes, and what if one of them is lost?

    python benchmarks/streamed_nodes.py [DATASET] [--images 32]

Puts a dataset (default: the stand-in set, as a user's photos) on an S3 server in this process,
which counts the requests. The same small sweep then trains from streamed photos three times:

one node     the driver's
two nodes    the driver's, and one with a cache of its own
one is lost  as before, but the second node is killed after its trial's first checkpoint; another
             one with an empty cache takes its place

Its trials are drawn at random, so that all three must give equal tables. A second node is a raylet
on this machine which sees another folder in place of the cache: it needs `unshare`, Linux, and root
or user namespaces. Needs the extra `test`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from kills import differences, table
from remote_reads import BUCKET, PREFIX, Requests, put, start_server

import syndet_ray
from syndet_ray.data.stand_in import FOLDER
from syndet_ray.runs.folder import RunFolder

ROOT = Path(syndet_ray.__file__).parents[1]
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1"]
PORT = 6397  # of the head; not Ray's usual one, at which a cluster of the user may answer
START_S, ENDS_S = 120, 900  # many times what it takes
SWEEP = """
from syndet_ray import *

SWEEP = Sweep(
    question="Do two nodes train as one?",
    recipe=Recipe(
        mix=Mix(schedule="real_only"),
        detector=Detector(backbone="test_efficientnet", weights="none", working_px=256),
        training=Training(images={images}, batch_size=4, crop_px=128),
    ),
    space=(SearchSpace({{"training.learning_rate": Float(low=1e-3, high=1e-2, log=True)}}),),
    trials=2,
    controls=(),
    sampler="random",
    rungs=4,
    pruning=Pruning(name="none"),
    confirm=Confirmation(top=1, seeds=1),
)
"""


# Shows a folder of its own ($0) in place of another ($1) to the command that follows.
WITH_OWN_FOLDER = 'mount --bind "$0" "$1" && shift && exec "$@"'


def main() -> None:
    given = arguments()
    server, requests = start_server()
    print(f"{put(given.data)} objects", flush=True)
    os.environ |= {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp") as folder:  # short, for sockets
        sweep = Path(folder, "nodes.py")
        sweep.write_text(SWEEP.format(images=given.images), encoding="utf-8")
        expected: dict[str, Any] = {}
        for name in ("one node", "two nodes", "one is lost"):
            requests.objects.clear()
            requests.lists = 0
            began = time.monotonic()
            home = Path(folder, name.replace(" ", "-"))
            rows = run(sweep, home, has_second=name != "one node", is_lost=name == "one is lost")
            seconds = time.monotonic() - began
            expected = expected or rows
            report(name, requests, seconds, differences(rows, expected))
    server.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--images", type=int, default=32, help="that a trial trains on")
    return parser.parse_args()


def report(name: str, requests: Requests, seconds: float, texts: list[str]) -> None:
    counts = Counter(requests.objects.values())
    words = ", ".join(f"{number} fetched {often} x" for often, number in sorted(counts.items()))
    print(f"{name}: {words}; {requests.lists} listings; {seconds:.0f} s", flush=True)
    for text in texts or ["results as on one node"]:
        print(f"  {text.partition(' is ')[0]}", flush=True)


def run(sweep: Path, home: Path, *, has_second: bool, is_lost: bool) -> dict[str, Any]:
    """The table of the sweep, on one node or two."""
    cache = home / "runs" / "cache" / "data"
    cache.mkdir(parents=True)
    head = ["--head", "--port", str(PORT), "--include-dashboard", "false"]
    with ExitStack() as stack:
        stack.enter_context(node([*head, "--temp-dir", str(home / "ray")]))
        if has_second:
            second = stack.enter_context(other_node(home / "second", cache))
        driver = stack.enter_context(driving(sweep, home, parallel=2 if has_second else 1))
        if is_lost:
            wait_for_reports(driver, home, trials=2)
            end(second)
            stack.enter_context(other_node(home / "third", cache))
        if driver.wait(ENDS_S) != 0:
            sys.exit((home / "output.txt").read_text(encoding="utf-8"))
    rows = table(run_folder(home))
    shutil.rmtree(home / "ray", ignore_errors=True)
    return rows


def run_folder(home: Path) -> RunFolder:
    (sweep_file,) = home.glob("runs/*/sweep.json")
    return RunFolder.open(sweep_file.parent)


@contextmanager
def node(arguments: list[str], before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A raylet, and on a head the rest of Ray, which end with the block."""
    process = subprocess.Popen([*before, *RAY, *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_for_head()
        yield process
    finally:
        end(process)


@contextmanager
def other_node(cache: Path, shared: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node that sees a cache of its own in place of that of the driver's node."""
    cache.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-r"]
    before = (*unshare, "sh", "-c", WITH_OWN_FOLDER, str(cache), str(shared))
    with node(["--address", f"127.0.0.1:{PORT}"], before) as process:
        yield process
    copies = [path for path in cache.rglob("*") if path.is_file()]
    print(f"  {cache.name} node: {len(copies)} files in its cache", flush=True)


def wait_for_head() -> None:
    """Waits until Ray answers."""
    end_s = time.monotonic() + START_S
    while True:
        try:
            ray.init(address=f"127.0.0.1:{PORT}", logging_level="ERROR")
        except (ConnectionError, RuntimeError):
            if time.monotonic() > end_s:
                raise
            time.sleep(0.5)
        else:
            ray.shutdown()
            return


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it has started, at once: as if the machine was gone."""
    try:
        family = psutil.Process(process.pid)
        started = family.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for member in (family, *started):
        member.kill()
    process.wait()


@contextmanager
def driving(sweep: Path, home: Path, *, parallel: int) -> Iterator[subprocess.Popen[bytes]]:
    """The sweep, which ends with the block at the latest."""
    command = [sys.executable, "-m", "syndet_ray", "sweep", str(sweep), "--stream", "--seed", "0"]
    command += ["--real", f"s3://{BUCKET}/{PREFIX}", "--address", f"127.0.0.1:{PORT}"]
    command += ["--parallel", str(parallel), "--runs", str(home / "runs")]
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        end(process)


def wait_for_reports(driver: subprocess.Popen[bytes], home: Path, *, trials: int) -> None:
    """Waits until that many trials have reported, so that each node has a checkpoint to lose."""
    while driver.poll() is None:
        if list(home.glob("runs/*/sweep.json")):
            events = run_folder(home).ledger.events()
            reported = {event["trial"] for event in events if event["event"] == "report"}
            if len(reported) >= trials:
                return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
