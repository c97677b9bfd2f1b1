"""What does `--storage s3://` cost in wall time? The same sweep with it and without, in pairs.

    python benchmarks/storage_cost.py [--pairs 3] [--images 256] [--work /tmp/storage]

A tiny sweep (5 trials, 4 rungs, so 20 checkpoints; the test set is scored) runs on one worker of
this machine, first with its checkpoints in a local folder, then on an S3 server of moto, in turn.
The server is a process of its own: its CPU time is printed, because on a machine with few cores it
takes that from the trials, which a real store does not. The last ratio is that of the wall times
less that CPU time. Trials here take seconds: the seconds a checkpoint tell what longer ones pay.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3
from kills import (
    ENDS_S,
    STORE_KEYS,
    SWEEP,
    child_environment,
    free_port,
    last_words,
    only_run,
    write_photos,
)

from syndet_ray.tracking.store import local_store

CHECKPOINTS = 20  # of 5 trials, at 4 rungs each
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def store(folder: Path) -> Iterator[tuple[str, int]]:
    """An S3 server with the bucket `runs`; yields its address and the number of its process."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "store.txt").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port}"
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="runs")
        yield address, process.pid
    finally:
        process.kill()
        process.wait()


def cpu_s(pid: int) -> float:
    """The CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def search_s(work: Path, name: str, images: int, endpoint: str | None) -> tuple[float, float]:
    """Runs the sweep; returns the seconds of its process, and those from its first event to its
    last.
    """
    home = work / name
    (home / "sweeps").mkdir(parents=True)
    text = SWEEP.replace("images=32", f"images={images}").replace("trials=6", "trials=3")
    text = text.replace("seeds=1", "seeds=0")
    text = text.replace(
        'Pruning(name="percentile", percentile=60, startup_trials=2)', "Pruning(name='none')"
    )
    (home / "sweeps" / "tiny.py").write_text(text, encoding="utf-8")
    local_store(home / "runs")  # MLflow takes seconds to create an empty store
    arguments = ["sweep", "tiny", "--real", str(work / "photos"), "--seed", "5", "--parallel", "1"]
    environment = dict(os.environ)
    if endpoint is not None:
        arguments += ["--storage", "s3://runs/sweeps"]
        environment["AWS_ENDPOINT_URL"] = endpoint
    began = time.monotonic()
    with (home / "output.txt").open("ab") as output:
        command = [sys.executable, "-m", "syndet_ray", *arguments]
        process = subprocess.Popen(command, cwd=home, stdout=output, stderr=output, env=environment)
        assert process.wait(ENDS_S) == 0, last_words(home)
    wall_s = time.monotonic() - began
    folder = only_run(home)
    assert folder is not None
    return wall_s, folder.ledger.elapsed_s()


def measure(work: Path, place: str, pair: int, images: int) -> tuple[float, float, float]:
    """As search_s, and the CPU seconds of the store."""
    name = f"{place}_{pair}"  # MLflow keeps stores open: none may lie where another was
    if place == "local":
        return (*search_s(work, name, images, None), 0.0)
    with store(work) as (endpoint, pid):
        before_s = cpu_s(pid)
        wall, search = search_s(work, name, images, endpoint)
        return wall, search, cpu_s(pid) - before_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--work", type=Path, default=Path("/tmp/storage"))
    given = parser.parse_args()
    work = given.work.resolve()
    os.environ |= child_environment(**STORE_KEYS)
    shutil.rmtree(work, ignore_errors=True)
    write_photos(work)
    ratios, without_store = [], []
    for pair in range(given.pairs):
        # in turn, as the first of two pays for what the machine has not yet in its caches
        places = ("local", "s3") if pair % 2 == 0 else ("s3", "local")
        times = {place: measure(work, place, pair, given.images) for place in places}
        local_wall, local_search, _ = times["local"]
        s3_wall, s3_search, store_s = times["s3"]
        ratios.append(s3_wall / local_wall)
        without_store.append((s3_wall - store_s) / local_wall)
        each_s = (s3_search - local_search) / CHECKPOINTS
        print(
            f"pair {pair}: local {local_wall:.1f} s ({local_search:.1f} s in trials), "
            f"s3 {s3_wall:.1f} s ({s3_search:.1f} s), store {store_s:.1f} s of CPU: "
            f"{ratios[-1]:.3f}, without the store {without_store[-1]:.3f}; "
            f"{each_s:.2f} s a checkpoint",
            flush=True,
        )
    middle, rest = statistics.median(ratios), statistics.median(without_store)
    print(f"median: {middle:.3f} of the local wall time, without the store's CPU {rest:.3f}")


if __name__ == "__main__":
    main()
