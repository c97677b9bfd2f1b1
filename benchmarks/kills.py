"""Is a sweep that was killed and resumed the sweep that it would have been? Kills at random
moments, and the tables compared.

    python benchmarks/kills.py [--kills 20] [--local 10] [--seed 0] [--work /tmp/kills]

A tiny sweep (8 trials and 3 confirmations, 4 rungs, pruner on) runs undisturbed, then again for
each kill, on one worker, so that trials end in one order and training is bit-equal. Three of four
moments are uniform between the ledger's first line and its last, the others from there to the end
of the process, while the test set is scored and the report is written. They are found again by the
ledger's lines: a busy machine does not move them.

driver   SIGKILL; then the run's own leftovers of Ray are ended, and `resume` is called. In turn,
         files of the run are damaged before that: Ray's state files emptied, or gone; study.db cut
         in half; half a line left in the ledger.
worker   SIGKILL for the process that trains, waits or scores; the driver has to go on by itself.
node     SIGKILL for the raylet; whatever happens to the driver, the run or its `resume` has to end.
local    SIGKILL, SIGTERM or SIGINT for `--local`, which has one process; "again" sends a second one
         during the resume.

A table holds every trial with its parameters, state, reason and rungs, and every row of the test
set, but no clocks. It is also checked that nothing is left RUNNING in the ledger, in study.db or in
MLflow, which has one run a trial; that no rung was reported twice; and that only lost workers count
as retries.
"""

import argparse
import os
import random
import shutil
import signal
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

import syndet_ray
from syndet_ray import SceneParameters
from syndet_ray.data.write import write_dataset
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.scenes.generate import rendered
from syndet_ray.tracking.store import local_store

ROOT = Path(syndet_ray.__file__).parents[1]
CLOCKS = {"images_per_second"}
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
ENDS_S = 400
DRIVER, WORKER, NODE = "driver", "worker", "node"


@dataclass(frozen=True)
class Undisturbed:
    """What a sweep comes to when nobody disturbs it. moments: of its ledger's lines and of its end,
    in seconds.
    """

    table: dict[str, Any]
    moments: tuple[float, ...]

    def moment(self, rng: random.Random) -> tuple[int, float]:
        """A random one: so many lines in the ledger, and so many seconds after the last of them."""
        first, *_, last, end = self.moments
        at = rng.uniform(first, last) if rng.random() < 0.75 else rng.uniform(last, end)
        lines = bisect_right(self.moments, at)
        return lines, at - self.moments[lines - 1]


@dataclass(frozen=True)
class Kill:
    """One kill. sent: the signals, one each time the run goes on; lines, later_s: the moment of the
    first.
    """

    victim: str
    sent: tuple[signal.Signals, ...]
    lines: int
    later_s: float
    damage: str = ""


def table(folder: RunFolder) -> dict[str, Any]:
    """All that must not depend on what happened to the processes."""
    found: dict[str, Any] = {f"trial {trial.number}": _row(trial) for trial in folder.trials()}
    test = folder.test()
    if test is not None:
        found |= {f"test row {row.role}": asdict(row) for row in test.rows}
        # Not how often it was opened: an opening that a kill cut short counts too.
        found["test set"] = {"hash": test.hash, "simplest": test.simplest}
    return found


def _row(trial: Trial) -> dict[str, Any]:
    rungs = {
        rung.images: {name: value for name, value in rung.metrics.items() if name not in CLOCKS}
        for rung in trial.rungs
    }
    facts = ("kind", "of", "replica", "seed_number", "params", "recipe", "state", "cause", "reason")
    return {name: getattr(trial, name) for name in facts} | {"rungs": rungs}


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Where two tables differ, in words."""
    told = [f"no {name}" for name in expected.keys() - found.keys()]
    told += [f"an additional {name}" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        for key, value in expected[name].items():
            if found[name][key] != value:
                told.append(f"{name}: {key} is {found[name][key]}, undisturbed {value}")
    return sorted(told)


def faults(folder: RunFolder, retries: bool) -> list[str]:
    """What is wrong with a finished run, whatever its figures are."""
    trials = folder.trials()
    told = [f"trial {t.number} is RUNNING in the ledger" for t in trials if t.state == "RUNNING"]
    for trial in trials:
        images = [rung.images for rung in trial.rungs]
        told += [f"trial {trial.number} reported {images}"] * (images != sorted(set(images)))
        told += [f"trial {trial.number} counts {trial.retries} retries"] * bool(
            trial.retries and not retries
        )
    with sqlite3.connect(folder.path / "study.db") as database:
        mirrored = [state for (state,) in database.execute("select state from trials")]
    told += [f"study.db holds {len(mirrored)} of {len(trials)} trials"] * (
        len(mirrored) != len(trials)
    )
    told += ["study.db holds a trial that is RUNNING"] * ("RUNNING" in mirrored)
    return told + _faults_of_mlflow(folder, trials)


def _faults_of_mlflow(folder: RunFolder, trials: Sequence[Trial]) -> list[str]:
    client = MlflowClient(folder.about["mlflow_uri"])
    parent = client.get_run(folder.about["mlflow_run"])
    runs = client.search_runs([parent.info.experiment_id], max_results=1000)
    told = [
        f"{run.info.run_name} is {run.info.status} in MLflow"
        for run in runs
        if run.info.status != "FINISHED"
    ]
    by_trial = {int(run.data.tags["trial"]): run for run in runs if "trial" in run.data.tags}
    told += [f"MLflow has {len(runs)} runs of {len(trials)} trials"] * (
        len(runs) != len(trials) + 1
    )
    for trial in trials:
        run = by_trial[trial.number]
        settings = [
            path for path, value in trial.settings.items() if value not in (None, {})
        ]  # the others have no parameter
        told += [f"trial {trial.number} lacks parameters in MLflow"] * (
            len(run.data.params) != len(settings)
        )
        told += [f"trial {trial.number} is {run.data.tags['state']} in MLflow"] * (
            run.data.tags["state"] != trial.state
        )
        history = client.get_metric_history(run.info.run_id, "val/mAP")
        steps = sorted(metric.step for metric in history)
        told += [f"trial {trial.number} has steps {steps} in MLflow"] * (
            steps != [r.images for r in trial.rungs]
        )
    versions = client.search_model_versions(f"name='syndet_ray-{folder.about['name']}'")
    return told + [f"{len(versions)} versions of the champion"] * (len(versions) != 1)


class Sweeps:
    """Runs the tiny sweep, each time in a folder of its own."""

    def __init__(self, work: Path, local: bool) -> None:
        self._work, self._local = work, local
        self._blank = work / "blank"
        if not self._blank.exists():  # MLflow takes seconds to make an empty store
            (self._blank / "sweeps").mkdir(parents=True)
            (self._blank / "sweeps" / "tiny.py").write_text(SWEEP)
            local_store(self._blank / "runs")
            for seed, (split, count) in enumerate({"train": 6, "val": 3, "test": 4}.items()):
                write_dataset(rendered(SCENE, count, seed, range(count)), work / "made" / split)
                shutil.copytree(work / "made" / split / "images", work / "photos" / split)
                annotations = work / "photos" / split / "_annotations.coco.json"
                shutil.copyfile(work / "made" / split / "annotations.json", annotations)

    def undisturbed(self) -> Undisturbed:
        home = self._home("undisturbed-local" if self._local else "undisturbed")
        process = self._begin(home)
        assert process.wait(ENDS_S) == 0, _last_words(home)
        ended, folder = time.time(), _only_run(home)
        assert folder is not None
        wrong = faults(folder, retries=False)
        assert not wrong, wrong
        return Undisturbed(
            table(folder), (*(event["time"] for event in folder.ledger.events()), ended)
        )

    def killed(self, name: str, kill: Kill) -> tuple[RunFolder | None, str, list[str]]:
        """A run that was killed, and resumed until it was finished; what was going on, and what
        went wrong on the way.
        """
        home, told, went = self._home(name), list[str](), ""
        process = self._begin(home)
        for k, sent in enumerate(kill.sent):
            if k == 0:
                _wait_for_lines(process, home, kill.lines, kill.later_s)
            else:  # during the resume, which takes seconds to begin
                _wait_for_lines(process, home, _lines(home) + 1, kill.later_s)
            if process.poll() is not None:
                break
            when = _last_event(home)
            left, struck = _strike(process, kill.victim, sent)
            if struck:
                went += f"{' and ' if went else ''}{struck} after {when}"
            told += self._end(process, home, kill.victim, sent)
            if process.returncode != 0:
                _end_leftovers(left)
                folder = _only_run(home)
                if folder is None:  # killed before there was anything to go on with
                    return None, went, told
                _damage(folder, kill.damage)
                process = self._resume(home, folder)
        told += self._end(process, home, kill.victim, None)
        return _only_run(home), went, told

    def _home(self, name: str) -> Path:
        home = self._work / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self._blank, home)
        return home

    def _begin(self, home: Path) -> subprocess.Popen[bytes]:
        how = ["--local"] if self._local else ["--parallel", "1"]
        return self._start(
            home, "sweep", "tiny", "--real", str(self._work / "photos"), "--seed", "5", *how
        )

    def _resume(self, home: Path, folder: RunFolder) -> subprocess.Popen[bytes]:
        return self._start(home, "resume", str(folder.path))

    def _start(self, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        # Workers are otherwise so nice, and wait for each other so busily, that whatever else runs
        # here starves them.
        alone = {"RAY_worker_niceness": "0", "OMP_WAIT_POLICY": "passive"}
        environment = os.environ | alone | {"PYTHONPATH": paths, "COLUMNS": "100"}
        with (home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "syndet_ray", *arguments],
                cwd=home, env=environment, stdout=output, stderr=output, preexec_fn=_heed_interrupts,
            )  # fmt: skip

    def _end(
        self, process: subprocess.Popen[bytes], home: Path, victim: str, sent: signal.Signals | None
    ) -> list[str]:
        """Waits for the end of a process; what was wrong with it. Ray ends a driver whose node is
        gone as it likes.
        """
        try:
            status = process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            left = _descendants(process.pid)
            process.kill()
            process.wait()
            _end_leftovers(left)
            return [f"the driver hung for {ENDS_S} s"]
        # another than 130 where nothing is left to be done
        by_signal = (0, 130, -sent, signal.SIGTERM) if sent else ()
        expected = {None: (0,), signal.SIGKILL: (0, -signal.SIGKILL)}.get(sent, by_signal)
        if status in expected or (sent and victim == NODE):
            return []
        return [f"the driver ended with {status}: {_last_words(home)}"]


def _strike(
    process: subprocess.Popen[bytes], victim: str, sent: signal.Signals
) -> tuple[list[tuple[int, str]], str]:
    """Sends the signal. Returns the processes that the driver had started, and what was struck; ""
    where nobody was there.
    """
    children, struck = _descendants(process.pid), list[str]()
    if victim == WORKER:
        while (
            not (workers := [pid for pid, _ in children if _works(pid)]) and process.poll() is None
        ):
            time.sleep(0.05)
            children = _descendants(process.pid)
        targets = workers
    elif victim == NODE:
        targets = [pid for pid, _ in children if "/raylet/raylet" in _title(pid)]
    else:
        targets = [process.pid]
    for pid in targets:
        title = "the driver" if pid == process.pid else _title(pid).split("/")[-1].split(" ")[0]
        with suppress(ProcessLookupError):
            os.kill(pid, sent)
            struck.append(title)
    return children, ", ".join(struck)


def _end_leftovers(started: Sequence[tuple[int, str]]) -> None:
    """What a killed driver could not end: the processes of its own Ray cluster, and no others."""
    for pid, began in started:
        if _began(pid) == began:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _damage(folder: RunFolder, damage: str) -> None:
    """Leaves the run's files as a kill in the middle of a write might, or a loss of power."""
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
        with (folder.path / "ledger.jsonl").open("a") as ledger:
            ledger.write('{"event": "report", "trial": 1, "ti')


def _wait_for_lines(
    process: subprocess.Popen[bytes], home: Path, lines: int, later_s: float
) -> None:
    end = time.monotonic() + ENDS_S
    while _lines(home) < lines and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(later_s)


def _lines(home: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in home.glob("runs/*/ledger.jsonl"))


def _last_event(home: Path) -> str:
    folder = _only_run(home)
    events = [] if folder is None else list(folder.ledger.events())
    if not events:
        return "nothing"
    last = events[-1]
    subject = "" if last["trial"] is None else f" of trial {last['trial']}"
    return f"line {len(events)} ({last['event']}{subject}, {time.time() - last['time']:.1f} s ago)"


def _only_run(home: Path) -> RunFolder | None:
    found = [path.parent for path in home.glob("runs/*/sweep.json")]
    return RunFolder.open(found[0]) if found else None


def _last_words(home: Path) -> str:
    return " | ".join((home / "output.txt").read_text().strip().splitlines()[-3:])


def _descendants(pid: int) -> list[tuple[int, str]]:
    """All processes under one, each with the time it began, by which it is known from a later one
    of the same number.
    """
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [(child, _began(child)), *_descendants(child)]
    return found


def _began(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return "gone"


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _works(pid: int) -> bool:
    """One of Ray's processes that run our code."""
    title = _title(pid)
    return title.startswith("ray::") and "Agent" not in title and "IDLE" not in title


def _heed_interrupts() -> None:
    """What runs in the background ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kills_on_ray(count: int, whole: Undisturbed, rng: random.Random) -> list[Kill]:
    victims = [(DRIVER, WORKER, DRIVER, NODE)[k % 4] for k in range(count)]
    damages = iter(DAMAGES * count)
    return [
        Kill(
            victim, (signal.SIGKILL,), *whole.moment(rng), next(damages) if victim == DRIVER else ""
        )
        for victim in victims
    ]


def kills_of_local(count: int, whole: Undisturbed, rng: random.Random) -> list[Kill]:
    every = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    damages = iter(DAMAGES * count)
    return [
        Kill("local", (every[k % 3],) * (1 + (k % 2)), *whole.moment(rng), next(damages))
        for k in range(count)
    ]


def judge(sweeps: Sweeps, whole: Undisturbed, kills: Sequence[Kill], kind: str) -> tuple[int, int]:
    """Carries the kills out, one line each; returns how many struck, and after how many of those
    all was equal.
    """
    struck, equal = 0, 0
    for k, kill in enumerate(kills):
        began, name = time.monotonic(), f"{kind}-{k:02d}"
        folder, went, wrong = sweeps.killed(name, kill)
        if folder is not None:
            wrong += differences(table(folder), whole.table) + faults(
                folder, kill.victim in (WORKER, NODE)
            )
        struck += bool(went)
        equal += bool(went) and not wrong
        how = f"{'+'.join(sent.name for sent in kill.sent)} {went or 'struck nobody: too late'}"
        how += f"; {kill.damage}" if kill.damage else ""
        retries = sum(trial.retries for trial in folder.trials()) if folder else 0
        verdict = "equal" if not wrong else f"WRONG ({name}): " + "; ".join(wrong[:6])
        print(
            f"{k:3} {kill.victim:7} {how}; {retries} retries, {time.monotonic() - began:.0f} s: {verdict}",
            flush=True,
        )
    return struck, equal


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--local", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("/tmp/kills"))
    given = parser.parse_args()
    for local, count, choose in (
        (False, given.kills, kills_on_ray),
        (True, given.local, kills_of_local),
    ):
        if not count:
            continue
        sweeps, kind = Sweeps(given.work.resolve(), local), "local" if local else "ray"
        whole = sweeps.undisturbed()
        trials, length = (
            sum(name.startswith("trial") for name in whole.table),
            whole.moments[-1] - whole.moments[0],
        )
        print(f"{kind}, seed {given.seed}: {trials} trials, {length:.0f} s undisturbed", flush=True)
        kills = choose(count, whole, random.Random(given.seed))
        struck, equal = judge(sweeps, whole, kills, kind)
        print(
            f"{kind}: {struck} of {count} kills struck; after {equal} of those the table is the undisturbed one's"
        )


if __name__ == "__main__":
    main()
