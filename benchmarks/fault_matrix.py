"""Does a sweep on a cluster give the same results when a part of the cluster fails?

    python benchmarks/fault_matrix.py [--fault node] [--moments 3] [--seed 0] [--work /tmp/faults]

A tiny sweep runs on a cluster of three nodes (a head without trials, two workers), with
`--address`, `--storage s3://` on a server behind a proxy, and an MLflow server; one trial at
a time, so that trials end in one order and training is bit-identical. It runs undisturbed first,
then again for each fault at each moment. Moments are random in the first, second and last third of
the run, and counted in lines of the ledger, as those of `kills.py`.

worker      SIGKILL of the process that trains
raylet      SIGKILL of the raylet of the node that trains
node        the node that trains vanishes
driver      SIGKILL of the driver; then `resume`
head        SIGKILL of the head's server: the driver must end by itself, with a message; then
            `resume s3://...` in another folder, on another cluster
mlflow      SIGKILL of the MLflow server, which is started again 15 s later
mlflow-gone the same, but it is started again only after the run; then `resume`
s3-errors   the store answers 503 SlowDown for 30 s; s3-failures: 500
s3-silence  it accepts connections, and answers nothing for 30 s
s3-cuts     it cuts connections in the middle of a body for 30 s
s3-throttle it passes 50 kB/s for 30 s
s3-refused  nothing listens for 30 s
disk-runs   the disk with the run's folder is full: a small one, mounted for this (needs root);
            the driver must end by itself, with a message; then there is room, and `resume`
disk-temp   the same with the temporary files of all nodes; disk-cache: with the rendered scenes

The tables are compared as in `kills.py`. After the faults that need no `resume`, the first driver
must end with status 0. For a trial that lost its node, the seconds from the kill to its first step
elsewhere are printed, with those that a new process takes to start and to import.
"""

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_world import DISK, DISKS, World, raylet_pid, training_processes
from kills import (
    ENDS_S,
    STORE_KEYS,
    SWEEP,
    Undisturbed,
    accept_interrupts,
    child_environment,
    descendants,
    differences,
    end_leftovers,
    faults,
    last_event,
    last_words,
    only_run,
    table,
    wait_for_lines,
    write_photos,
)

from syndet_ray.metrics import FIRST_STEP
from syndet_ray.runs.folder import RunFolder

STORAGE = "s3://runs-bucket/sweeps"
THIRDS = 3  # of a run: moments come from each in turn
FAULT_S = 30.0  # how long a store is sick
MLFLOW_AWAY_S = 15.0
RESUMES = 3  # a run must be finished after so many
# fewer trials than in kills.py: a cluster takes longer to start
TRIALS = SWEEP.replace("trials=6", "trials=3")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fault at one moment."""

    fault: str
    number: int
    lines: int
    later_s: float

    @property
    def name(self) -> str:
        return f"{self.fault.replace('-', '_')}_{self.number}"


@dataclass(kw_only=True)
class Outcome:
    """The end of a run that was disturbed.

    struck_at  time of the fault; None if the run was over
    """

    folder: RunFolder | None
    hit: str = ""
    struck_at: float | None = None
    statuses: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class ClusterSweeps:
    """Runs the tiny sweep in a cluster, each time in a separate folder."""

    def __init__(self, work: Path) -> None:
        self._work = work
        if not (work / "photos").exists():
            write_photos(work)

    def undisturbed(self) -> Undisturbed:
        """The results of a run without faults, which is kept for later calls."""
        home = self._work / "undisturbed"
        if not (home / "ended").exists():
            shutil.rmtree(home, ignore_errors=True)
            with World(home) as world:
                process = self._sweep(home, "undisturbed", world)
                assert process.wait(ENDS_S) == 0, last_words(home)
                ended, folder = time.time(), only_run(home)
                assert folder is not None
                texts = faults(folder, retries=False)
            assert not texts, texts
            (home / "ended").write_text(str(ended), encoding="utf-8")
        ended = float((home / "ended").read_text(encoding="utf-8"))
        folder = only_run(home)
        assert folder is not None
        times = (event["time"] for event in folder.ledger.events())
        return Undisturbed(table(folder), (*times, ended))

    def disturbed(self, cell: Cell, whole: Undisturbed) -> Outcome:
        """A run that a fault hits, resumed until it is finished."""
        home = self._work / cell.name
        shutil.rmtree(home, ignore_errors=True)
        with World(home, cell.fault) as world:
            process = self._sweep(home, cell.name, world)
            outcome = Outcome(folder=None)
            wait_for_lines(process, home, cell.lines, cell.later_s)
            if process.poll() is None:
                moment = last_event(home)
                outcome.struck_at = time.time()
                outcome.hit = f"{STRIKES[cell.fault](world, process)} after {moment}"
            self._end(process, home, outcome)
            if cell.fault in ENDS_THE_RUN or process.returncode != 0:
                home = self._finish(cell, home, world, outcome)
            outcome.folder = only_run(home)
            if outcome.folder is not None:
                rows = table(outcome.folder)
                outcome.wrong += differences(rows, whole.table)
                outcome.wrong += faults(outcome.folder, retries=cell.fault in MAY_RETRY)
        return outcome

    def _finish(self, cell: Cell, home: Path, world: World, outcome: Outcome) -> Path:
        """Resumes a run until it is finished; returns the folder where it was."""
        folder = only_run(home)
        if folder is None:
            outcome.wrong.append("nothing to resume")
            return home
        world.proxy.fault = ""
        if world.disk is not None:
            world.resize_disk(DISK)
        if cell.fault == "mlflow-gone":
            world.mlflow.start()
        run = str(folder.path)
        if cell.fault == "head":
            world.end_cluster()
            world.start_cluster()
            run = f"{STORAGE}/{folder.path.name}"
            home = home / "elsewhere"
            (home / "runs").mkdir(parents=True)
        for _ in range(RESUMES):
            arguments = ["resume", run, "--address", world.cluster.address]
            process = self._start(home, *arguments)
            self._end(process, home, outcome)
            if process.returncode == 0:
                return home
            there = only_run(home)
            run = run if there is None else str(there.path)
        outcome.wrong.append(f"not finished: {last_words(home)}")
        return home

    def _sweep(self, home: Path, name: str, world: World) -> subprocess.Popen[bytes]:
        (home / "sweeps").mkdir(parents=True, exist_ok=True)
        (home / "sweeps" / f"{name}.py").write_text(TRIALS, encoding="utf-8")
        arguments = ["sweep", name, "--real", str(self._work / "photos"), "--seed", "5"]
        arguments += ["--parallel", "1", "--address", world.cluster.address]
        arguments += ["--storage", STORAGE, "--tracking", world.mlflow.uri]
        return self._start(home, *arguments)

    def _start(self, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with (home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "syndet_ray", *arguments],
                cwd=home, stdout=output, stderr=output, preexec_fn=accept_interrupts,
            )  # fmt: skip

    def _end(self, process: subprocess.Popen[bytes], home: Path, outcome: Outcome) -> None:
        """Waits for the end of a process, and notes its status."""
        try:
            outcome.statuses.append(process.wait(ENDS_S))
        except subprocess.TimeoutExpired:
            left = descendants(process.pid)
            process.kill()
            outcome.statuses.append(process.wait())
            end_leftovers(left)
            outcome.wrong.append(f"hung for {ENDS_S} s: {last_words(home)}")


# Each strikes, and returns in words what it hit.
Strike = Callable[[World, "subprocess.Popen[bytes]"], str]


def _kill_worker(world: World, process: "subprocess.Popen[bytes]") -> str:
    targets = training_processes(world.training_node())
    for pid in targets:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return "the worker" if targets else ""


def _kill_raylet(world: World, process: "subprocess.Popen[bytes]") -> str:
    os.kill(raylet_pid(world.training_node()), signal.SIGKILL)
    return "the raylet"


def _remove_node(world: World, process: "subprocess.Popen[bytes]") -> str:
    node = world.training_node()
    world.cluster.remove_node(node, allow_graceful=False)
    world.workers.remove(node)
    return "the node"


def _kill_driver(world: World, process: "subprocess.Popen[bytes]") -> str:
    process.kill()
    return "the driver"


def _kill_head(world: World, process: "subprocess.Popen[bytes]") -> str:
    server = world.cluster.head_node.all_processes["gcs_server"][0].process
    os.kill(server.pid, signal.SIGKILL)
    return "the head"


def _restart_mlflow(world: World, process: "subprocess.Popen[bytes]") -> str:
    world.mlflow.kill()
    threading.Timer(MLFLOW_AWAY_S, world.mlflow.start).start()
    return f"MLflow for {MLFLOW_AWAY_S:.0f} s"


def _kill_mlflow(world: World, process: "subprocess.Popen[bytes]") -> str:
    world.mlflow.kill()
    return "MLflow"


def _sicken(fault: str) -> Strike:
    def strike(world: World, process: "subprocess.Popen[bytes]") -> str:
        world.proxy.struck = 0
        world.proxy.fault = fault
        end = time.monotonic() + FAULT_S
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
        world.proxy.fault = ""
        return f"{world.proxy.struck} requests of S3"

    return strike


def _fill_disk(world: World, process: "subprocess.Popen[bytes]") -> str:
    assert world.disk is not None
    used = shutil.disk_usage(world.disk).used
    world.resize_disk(str(used))
    return f"the disk with {used >> 10} kB"


STRIKES: dict[str, Strike] = {
    "worker": _kill_worker,
    "raylet": _kill_raylet,
    "node": _remove_node,
    "driver": _kill_driver,
    "head": _kill_head,
    "mlflow": _restart_mlflow,
    "mlflow-gone": _kill_mlflow,
    "s3-errors": _sicken("errors"),
    "s3-failures": _sicken("failures"),
    "s3-silence": _sicken("silence"),
    "s3-cuts": _sicken("cuts"),
    "s3-throttle": _sicken("throttle"),
    "s3-refused": _sicken("refused"),
    "disk-runs": _fill_disk,
    "disk-temp": _fill_disk,
    "disk-cache": _fill_disk,
}
ENDS_THE_RUN = ("driver", "head", "mlflow-gone", *DISKS)
MAY_RETRY = ("worker", "raylet", "node")


def seconds_elsewhere(outcome: Outcome) -> list[float]:
    """The seconds from the fault to the first step of each trial that lost its worker."""
    if outcome.folder is None or outcome.struck_at is None:
        return []
    retried, seconds = set(), []
    for event in outcome.folder.ledger.events():
        if event["event"] == "retry":
            retried.add(event["trial"])
        elif event["event"] == "report" and event["trial"] in retried:
            retried.remove(event["trial"])
            seconds.append(event["effective"][FIRST_STEP] - outcome.struck_at)
    return seconds


def moment(whole: Undisturbed, number: int, rng: random.Random) -> tuple[int, float]:
    """A random moment in one third of a run, between its first line and its end."""
    first, end = whole.moments[0], whole.moments[-1]
    share = (number % THIRDS + rng.random()) / THIRDS
    return whole.line_before(first + share * (end - first))


def judge(sweeps: ClusterSweeps, cell: Cell, whole: Undisturbed) -> bool:
    """Carries out a cell and prints a line; True if the fault hit and the tables are equal."""
    began = time.monotonic()
    outcome = sweeps.disturbed(cell, whole)
    first = outcome.statuses[0]
    if cell.fault not in ENDS_THE_RUN and first != 0:
        outcome.wrong.append(f"the driver ended with {first}")
    verdict = "equal" if not outcome.wrong else "WRONG: " + "; ".join(outcome.wrong[:6])
    facts = [outcome.hit or "hit nothing: too late", f"ended with {outcome.statuses}"]
    elsewhere = seconds_elsewhere(outcome)
    if elsewhere:
        facts.append("elsewhere after " + ", ".join(f"{s:.1f} s" for s in elsewhere))
    facts.append(f"{time.monotonic() - began:.0f} s")
    print(f"{cell.name:14} {'; '.join(facts)}: {verdict}", flush=True)
    return bool(outcome.hit) and not outcome.wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", choices=STRIKES, action="append")
    parser.add_argument("--moments", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="number of the first moment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("/tmp/faults"))
    given = parser.parse_args()
    # the settings of a user's environment must reach neither the nodes nor the driver
    os.environ |= child_environment(**STORE_KEYS, RAY_AUTH_MODE="disabled", COLUMNS="100")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a line for each request
    sweeps = ClusterSweeps(given.work.resolve())
    whole = sweeps.undisturbed()
    length_s = whole.moments[-1] - whole.moments[0]
    print(f"seed {given.seed}, undisturbed: {length_s:.0f} s", flush=True)
    equal = 0
    chosen = given.fault or list(STRIKES)
    for fault in chosen:
        for number in range(given.first, given.first + given.moments):
            # a cell has the same moment whichever other cells are asked for
            rng = random.Random(f"{given.seed}/{fault}/{number}")
            lines, later_s = moment(whole, number, rng)
            cell = Cell(fault=fault, number=number, lines=lines, later_s=later_s)
            equal += judge(sweeps, cell, whole)
    count = len(chosen) * given.moments
    print(f"{equal} of {count} cells were hit and have the table of the undisturbed sweep")


if __name__ == "__main__":
    main()
