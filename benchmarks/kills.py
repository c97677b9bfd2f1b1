"""Does a sweep that was killed and resumed give the same results as an undisturbed one? Kills it at
random moments, and compares the tables.

    python benchmarks/kills.py [--kills 20] [--local 10] [--seed 0] [--work /tmp/kills]

A tiny sweep (8 trials and 3 confirmations, 4 rungs, pruner on) runs undisturbed, then again for
each kill, on one worker, so that trials end in one order and training is bit-identical. Three of
four moments are uniform between the ledger's first line and its last, the others from there to the
end of the process, while the test set is scored and the report is written. A moment is counted in
lines of the ledger, so that a busy machine does not move it.

driver   SIGKILL; then the processes that the run's Ray left are ended, and `resume` is called. In
         turn, files of the run are damaged before that: Ray's state files emptied, or gone;
         study.db cut in half; half a line left in the ledger.
worker   SIGKILL for the process that trains, waits or scores; the driver must continue by itself.
node     SIGKILL for the raylet; the driver may fail, but the run or its `resume` must finish.
local    SIGKILL, SIGTERM or SIGINT for `--local`, which has one process; every other time a second
         one during the resume.

A table has every trial with its parameters, state, reason and rungs, and every row of the test set,
but no clocks. The benchmark also checks that nothing is left RUNNING in the ledger, in study.db or
in MLflow, which has one run for each trial; that no rung was reported twice; and that only lost
workers count as retries.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

import syndet_ray
from syndet_ray import SceneParameters
from syndet_ray.data.write import write_dataset
from syndet_ray.metrics import CLOCKS, OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.scenes.generate import render_part
from syndet_ray.tracking.store import local_store

ROOT = Path(syndet_ray.__file__).parents[1]
SCENE = SceneParameters(objects=5, image_px=128, size_px=(26, 34))
SWEEP = """
from syndet_ray import *

SWEEP = Sweep(
    question="Is it the same sweep?",
    recipe=Recipe(
        mix=Mix(synthetic_images=4),
        scene=SceneParameters(objects=5, image_px=128, size_px=(26, 34)),
        detector=Detector(backbone="test_efficientnet", weights="none"),
        training=Training(images=32, batch_size=4, crop_px=128),
    ),
    space=(SearchSpace({
        "mix.synthetic": Float(low=0.0, high=1.0),
        "training.learning_rate": Float(low=1e-3, high=1e-2, log=True),
        "scene.objects": Int(low=4, high=5),
    }),),
    trials=6,
    rungs=4,
    pruning=Pruning(name="percentile", percentile=60, startup_trials=2),
    confirm=Confirmation(top=1, seeds=1),
)
"""
DAMAGES = (
    "",
    "Ray's state files emptied",
    "",
    "study.db cut in half",
    "half a line in the ledger",
    "Ray's state files gone",
)
# of a store that takes any keys: none of a user may reach it, or be used elsewhere
STORE_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
ENDS_S = 400  # many times what the sweep takes: a process that runs longer hangs
DRIVER, WORKER, NODE = "driver", "worker", "node"


@dataclass(frozen=True)
class Undisturbed:
    """The results of a sweep that is not disturbed.

    moments  times of its ledger's lines and of its end, in seconds
    """

    table: dict[str, Any]
    moments: tuple[float, ...]

    def moment(self, rng: random.Random) -> tuple[int, float]:
        """A random moment: a number of lines in the ledger, and seconds after the last of them."""
        first, *_, last, end = self.moments
        at = rng.uniform(first, last) if rng.random() < 0.75 else rng.uniform(last, end)
        return self.line_before(at)

    def line_before(self, at: float) -> tuple[int, float]:
        """A time as a number of lines in the ledger, and seconds after the last of them."""
        lines = bisect_right(self.moments, at)
        return lines, at - self.moments[lines - 1]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill.

    signals         one for each time that the run is started or resumed
    lines, later_s  moment of the first
    """

    victim: str
    signals: tuple[signal.Signals, ...]
    lines: int
    later_s: float
    damage: str = ""


def table(folder: RunFolder) -> dict[str, Any]:
    """All results that must not depend on what happened to the processes."""
    rows: dict[str, Any] = {f"trial {trial.number}": _row(trial) for trial in folder.trials()}
    test = folder.test()
    if test is not None:
        rows |= {f"test row {row.key}": asdict(row) for row in test.rows}
        # Without the number of openings: an opening that a kill interrupted counts too.
        rows["test set"] = {"hash": test.hash, "simplest": test.simplest}
    return rows


def _row(trial: Trial) -> dict[str, Any]:
    rungs = {}
    for rung in trial.rungs:
        metrics = {name: value for name, value in rung.metrics.items() if name not in CLOCKS}
        rungs[rung.images] = metrics
    facts = ("kind", "of", "replica", "seed_number", "params", "recipe", "state", "cause", "reason")
    return {name: getattr(trial, name) for name in facts} | {"rungs": rungs}


def differences(rows: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The differences of a table from the undisturbed one, in words."""
    texts = [f"no {name}" for name in expected.keys() - rows.keys()]
    texts += [f"an additional {name}" for name in rows.keys() - expected.keys()]
    for name in expected.keys() & rows.keys():
        for key, value in expected[name].items():
            if rows[name][key] != value:
                texts.append(f"{name}: {key} is {rows[name][key]}, undisturbed {value}")
    return sorted(texts)


def faults(folder: RunFolder, *, retries: bool) -> list[str]:
    """The faults of a finished run that do not depend on its scores, in words.

    retries  True if trials may have been retried
    """
    trials = folder.trials()
    texts = []
    for trial in trials:
        images = [rung.images for rung in trial.rungs]
        if trial.state == "RUNNING":
            texts.append(f"trial {trial.number} is RUNNING in the ledger")
        if images != sorted(set(images)):
            texts.append(f"trial {trial.number} reported {images}")
        if trial.retries and not retries:
            texts.append(f"trial {trial.number} counts {trial.retries} retries")
    with sqlite3.connect(folder.path / "study.db") as database:
        mirrored = [state for (state,) in database.execute("select state from trials")]
    if len(mirrored) != len(trials):
        texts.append(f"study.db has {len(mirrored)} of {len(trials)} trials")
    if "RUNNING" in mirrored:
        texts.append("study.db has a trial that is RUNNING")
    return texts + _faults_of_mlflow(folder, trials)


def _faults_of_mlflow(folder: RunFolder, trials: Sequence[Trial]) -> list[str]:
    client = MlflowClient(folder.about["mlflow_uri"])
    parent = client.get_run(folder.about["mlflow_run"])
    runs = client.search_runs([parent.info.experiment_id], max_results=1000)
    texts = []
    for run in runs:
        if run.info.status != "FINISHED":
            texts.append(f"{run.info.run_name} is {run.info.status} in MLflow")
    by_trial = {int(run.data.tags["trial"]): run for run in runs if "trial" in run.data.tags}
    if len(runs) != len(trials) + 1:
        texts.append(f"MLflow has {len(runs)} runs of {len(trials)} trials")
    for trial in trials:
        history = client.get_metric_history(by_trial[trial.number].info.run_id, OBJECTIVE)
        steps = sorted(metric.step for metric in history)
        texts += _faults_of_trial(trial, by_trial[trial.number], steps)
    versions = client.search_model_versions(f"name='syndet_ray-{folder.about['name']}'")
    if len(versions) != 1:
        texts.append(f"{len(versions)} versions of the champion")
    return texts


def _faults_of_trial(trial: Trial, run: Run, steps: Sequence[int]) -> list[str]:
    """The differences of a trial in MLflow from the ledger, in words."""
    texts = []
    # a setting without a value has no parameter
    settings = [path for path, value in trial.settings.items() if value not in (None, {})]
    if len(run.data.params) != len(settings):
        texts.append(f"trial {trial.number} lacks parameters in MLflow")
    if run.data.tags["state"] != trial.state:
        texts.append(f"trial {trial.number} is {run.data.tags['state']} in MLflow")
    if steps != [rung.images for rung in trial.rungs]:
        texts.append(f"trial {trial.number} has steps {steps} in MLflow")
    return texts


def write_photos(work: Path) -> Path:
    """Renders the photos of the tiny sweep, in all splits; returns their folder."""
    for seed, (split, count) in enumerate({"train": 6, "val": 3, "test": 4}.items()):
        write_dataset(render_part(SCENE, count, seed, range(count)), work / "made" / split)
        shutil.copytree(work / "made" / split / "images", work / "photos" / split)
        annotations = work / "photos" / split / "_annotations.coco.json"
        shutil.copyfile(work / "made" / split / "annotations.json", annotations)
    return work / "photos"


def child_environment(**others: str) -> dict[str, str]:
    """The environment of processes that run this checkout, with other variables."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # Otherwise workers have so low a priority, and wait so busily for each other, that other
    # processes starve them.
    alone = {"RAY_worker_niceness": "0", "OMP_WAIT_POLICY": "passive"}
    return os.environ | alone | {"PYTHONPATH": paths} | others


def free_port() -> int:
    """A port of 127.0.0.1 at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sweeps:
    """Runs the tiny sweep, each time in a separate folder."""

    def __init__(self, work: Path, local: bool) -> None:
        self._work, self._local = work, local
        self._blank = work / "blank"
        if not self._blank.exists():  # MLflow takes seconds to create an empty store
            (self._blank / "sweeps").mkdir(parents=True)
            (self._blank / "sweeps" / "tiny.py").write_text(SWEEP, encoding="utf-8")
            local_store(self._blank / "runs")
            write_photos(work)

    def undisturbed(self) -> Undisturbed:
        home = self._home("undisturbed-local" if self._local else "undisturbed")
        process = self._begin(home)
        assert process.wait(ENDS_S) == 0, last_words(home)
        ended, folder = time.time(), only_run(home)
        assert folder is not None
        texts = faults(folder, retries=False)
        assert not texts, texts
        return Undisturbed(
            table(folder), (*(event["time"] for event in folder.ledger.events()), ended)
        )

    def killed(self, name: str, kill: Kill) -> tuple[RunFolder | None, str, list[str]]:
        """A run that was killed, and resumed until it finished; then the hits with their moments,
        and all that went wrong, in words.
        """
        home, wrong, hits = self._home(name), list[str](), list[str]()
        process = self._begin(home)
        for k, sent in enumerate(kill.signals):
            if k == 0:
                wait_for_lines(process, home, kill.lines, kill.later_s)
            else:  # during the resume, which takes seconds to start
                wait_for_lines(process, home, line_count(home) + 1, kill.later_s)
            if process.poll() is not None:
                break
            when = last_event(home)
            left, struck = _strike(process, kill.victim, sent)
            if struck:
                hits.append(f"{struck} after {when}")
            wrong += self._end(process, home, kill.victim, sent)
            if process.returncode != 0:
                end_leftovers(left)
                folder = only_run(home)
                if folder is None:  # killed before there was anything to resume
                    return None, " and ".join(hits), wrong
                _damage(folder, kill.damage)
                process = self._resume(home, folder)
        wrong += self._end(process, home, kill.victim, None)
        return only_run(home), " and ".join(hits), wrong

    def _home(self, name: str) -> Path:
        home = self._work / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self._blank, home)
        return home

    def _begin(self, home: Path) -> subprocess.Popen[bytes]:
        arguments = ["sweep", "tiny", "--real", str(self._work / "photos"), "--seed", "5"]
        arguments += ["--local"] if self._local else ["--parallel", "1"]
        return self._start(home, *arguments)

    def _resume(self, home: Path, folder: RunFolder) -> subprocess.Popen[bytes]:
        return self._start(home, "resume", str(folder.path))

    def _start(self, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
        environment = child_environment(COLUMNS="100")
        with (home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "syndet_ray", *arguments],
                cwd=home, env=environment, stdout=output, stderr=output,
                preexec_fn=accept_interrupts,
            )  # fmt: skip

    def _end(
        self, process: subprocess.Popen[bytes], home: Path, victim: str, sent: signal.Signals | None
    ) -> list[str]:
        """Waits for the end of a process; returns what was wrong with it, in words. A driver whose
        node is gone may end with any status.
        """
        try:
            status = process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            left = descendants(process.pid)
            process.kill()
            process.wait()
            end_leftovers(left)
            return [f"the driver hung for {ENDS_S} s"]
        # not always 130: a process may have finished its work
        by_signal = (0, 130, -sent, signal.SIGTERM) if sent else ()
        expected = {None: (0,), signal.SIGKILL: (0, -signal.SIGKILL)}.get(sent, by_signal)
        if status in expected or (sent and victim == NODE):
            return []
        return [f"the driver ended with {status}: {last_words(home)}"]


def _strike(
    process: subprocess.Popen[bytes], victim: str, sent: signal.Signals
) -> tuple[list[tuple[int, str]], str]:
    """Sends the signal. Returns the processes that the driver had started, and the names of those
    that were hit; "" if there were none.
    """
    children, struck = descendants(process.pid), list[str]()
    if victim == WORKER:
        targets = trial_workers(children)
        while not targets and process.poll() is None:
            time.sleep(0.05)
            children = descendants(process.pid)
            targets = trial_workers(children)
    elif victim == NODE:
        targets = [pid for pid, _ in children if "/raylet/raylet" in title_of(pid)]
    else:
        targets = [process.pid]
    for pid in targets:
        title = "the driver" if pid == process.pid else title_of(pid).split("/")[-1].split(" ")[0]
        with suppress(ProcessLookupError):
            os.kill(pid, sent)
            struck.append(title)
    return children, ", ".join(struck)


def trial_workers(children: Sequence[tuple[int, str]]) -> list[int]:
    return [pid for pid, _ in children if runs_our_code(pid)]


def end_leftovers(started: Sequence[tuple[int, str]]) -> None:
    """Ends the processes of the Ray cluster that a killed driver left, and no others."""
    for pid, began in started:
        if start_time(pid) == began:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _damage(folder: RunFolder, damage: str) -> None:
    """Damages the run's files as a kill during a write, or a loss of power, might."""
    states = [path for path in folder.checkpoints.glob("*") if path.is_file()]
    if damage == "Ray's state files emptied":
        for path in states:
            path.write_bytes(b"")
    elif damage == "Ray's state files gone":
        for path in states:
            path.unlink()
    elif damage == "study.db cut in half":
        path = folder.path / "study.db"
        content = path.read_bytes() if path.exists() else b"SQLite format 3\0" * 2
        path.write_bytes(content[: len(content) // 2])
    elif damage == "half a line in the ledger":
        with (folder.path / "ledger.jsonl").open("a", encoding="utf-8") as ledger:
            ledger.write('{"event": "report", "trial": 1, "ti')


def wait_for_lines(
    process: subprocess.Popen[bytes], home: Path, lines: int, later_s: float
) -> None:
    end = time.monotonic() + ENDS_S
    while line_count(home) < lines and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(later_s)


def line_count(home: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in home.glob("runs/*/ledger.jsonl"))


def last_event(home: Path) -> str:
    folder = only_run(home)
    events = [] if folder is None else list(folder.ledger.events())
    if not events:
        return "nothing"
    last = events[-1]
    subject = "" if last["trial"] is None else f" of trial {last['trial']}"
    return f"line {len(events)} ({last['event']}{subject}, {time.time() - last['time']:.1f} s ago)"


def only_run(home: Path) -> RunFolder | None:
    files = list(home.glob("runs/*/sweep.json"))
    return RunFolder.open(files[0].parent) if files else None


def last_words(home: Path) -> str:
    return " | ".join((home / "output.txt").read_text(encoding="utf-8").strip().splitlines()[-3:])


def descendants(pid: int) -> list[tuple[int, str]]:
    """All processes below one, each with its start time, which distinguishes it from a later one
    with the same number.
    """
    processes = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text(encoding="utf-8").split()):
                processes += [(child, start_time(child)), *descendants(child)]
    return processes


def start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19]
    except OSError:
        return "gone"


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
    except OSError:
        return ""


def runs_our_code(pid: int) -> bool:
    """True for a process of Ray that runs our code."""
    title = title_of(pid)
    return title.startswith("ray::") and "Agent" not in title and "IDLE" not in title


def accept_interrupts() -> None:
    """Accepts SIGINT: a process in the background ignores it, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kills_on_ray(count: int, whole: Undisturbed, rng: random.Random) -> list[Kill]:
    victims = [(DRIVER, WORKER, DRIVER, NODE)[k % 4] for k in range(count)]
    damages = iter(DAMAGES * count)
    kills = []
    for victim in victims:
        lines, later_s = whole.moment(rng)
        damage = next(damages) if victim == DRIVER else ""
        kill = Kill(
            victim=victim, signals=(signal.SIGKILL,), lines=lines, later_s=later_s, damage=damage
        )
        kills.append(kill)
    return kills


def kills_of_local(count: int, whole: Undisturbed, rng: random.Random) -> list[Kill]:
    kinds = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    damages = iter(DAMAGES * count)
    kills = []
    for k in range(count):
        signals = (kinds[k % 3],) * (1 + (k % 2))
        lines, later_s = whole.moment(rng)
        kill = Kill(
            victim="local", signals=signals, lines=lines, later_s=later_s, damage=next(damages)
        )
        kills.append(kill)
    return kills


def judge(sweeps: Sweeps, whole: Undisturbed, kills: Sequence[Kill], kind: str) -> tuple[int, int]:
    """Carries out the kills and prints a line for each; returns the number that hit a process, and
    after how many of those all results were equal.
    """
    struck, equal = 0, 0
    for k, kill in enumerate(kills):
        began, name = time.monotonic(), f"{kind}-{k:02d}"
        folder, hits, wrong = sweeps.killed(name, kill)
        retries = 0
        if folder is not None:
            retries = sum(trial.retries for trial in folder.trials())
            wrong += differences(table(folder), whole.table)
            wrong += faults(folder, retries=kill.victim in (WORKER, NODE))
        struck += bool(hits)
        equal += bool(hits) and not wrong
        signals = "+".join(sent.name for sent in kill.signals)
        event = f"{signals} {hits or 'hit no process: too late'}"
        event += f"; {kill.damage}" if kill.damage else ""
        verdict = "equal" if not wrong else f"WRONG ({name}): " + "; ".join(wrong[:6])
        seconds = f"{time.monotonic() - began:.0f} s"
        print(f"{k:3} {kill.victim:7} {event}; {retries} retries, {seconds}: {verdict}", flush=True)
    return struck, equal


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--local", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("/tmp/kills"))
    given = parser.parse_args()
    parts = ((False, given.kills, kills_on_ray), (True, given.local, kills_of_local))
    for local, count, choose in parts:
        if not count:
            continue
        sweeps, kind = Sweeps(given.work.resolve(), local), "local" if local else "ray"
        whole = sweeps.undisturbed()
        trials = sum(name.startswith("trial") for name in whole.table)
        length = whole.moments[-1] - whole.moments[0]
        print(f"{kind}, seed {given.seed}: {trials} trials, {length:.0f} s undisturbed", flush=True)
        kills = choose(count, whole, random.Random(given.seed))
        struck, equal = judge(sweeps, whole, kills, kind)
        same = f"after {equal} of those the table is that of the undisturbed sweep"
        print(f"{kind}: {struck} of {count} kills hit a process; {same}")


if __name__ == "__main__":
    main()
