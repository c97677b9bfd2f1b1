"""How much time does the driver spend on a trial besides waiting for it, and how does that grow?
Runs 2 000 trials that train nothing.

    python benchmarks/scheduling.py [--trials 2000] [--slots 2]

ours   a whole search without the training: Tune, study and pruner, ledger, study.db, MLflow in
       sqlite
plain  Tune with OptunaSearch, first in, first out: no ledger, no MLflow, no pruner

Both run the same trainable on a worker for each slot, each in a separate driver: 4 reports at once,
each with 12 scores, a checkpoint of a few bytes and, with ours, the effective settings, over three
parameters that TPE proposes. Times are wall clock inside the functions that Tune calls (scheduler,
searcher and callbacks); proposals, one for each trial, are shown apart. Memory is the driver's
resident set. The first tenth includes imports and first calls, and does not count for growth.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from statistics import fmean, median
from typing import Any
from unittest import mock

from syndet_ray import Float, Pruning, Recipe, SearchSpace, Training
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.search.task import Resources, RunSettings, Task

RUNGS, SCORES, BLOCKS = 4, 12, 10
SWEEP = LoadedSweep(
    question="What does a trial cost the driver?",
    recipe=Recipe(training=Training(images=100)),
    space=(
        SearchSpace(
            {
                "mix.synthetic": Float(low=0, high=1),
                "training.learning_rate": Float(low=1e-4, high=1e-2, log=True),
                "scene.blur": Float(low=0, high=1),
            }
        ),
    ),
    rungs=RUNGS,
    pruning=Pruning(name="percentile", percentile=99),
    controls=(),
)
_STEPS = "SYNDET_BENCHMARK_STEPS"  # the folder in which workers say when they begin a trial
REPORT, PROPOSAL, END = "report", "proposal", "end"
_SPENT: dict[str, list[float]] = defaultdict(list)  # ms a call, by what it was for
_MEMORY: list[int] = []  # KB after each trial
_HANDED: list[float] = []  # when each trial was handed to Tune, seconds since 1970
_CONNECTED: list[float] = []  # when the nodes were up


def _report_all(number: int, recipe: dict[str, Any], report: Callable[..., None]) -> None:
    """Does the work of a worker: all reports of a made-up trial at once."""
    rng = random.Random(number)
    _note_step()
    for rung in range(1, RUNGS + 1):
        metrics = {f"val/score {k}": rng.random() for k in range(SCORES - 1)}
        metrics[OBJECTIVE] = rng.random() * rung
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.json").write_text("{}", encoding="utf-8")
            report(100 * rung // RUNGS, metrics, {**recipe, "drawn": {"real": rung}}, Path(folder))


def _note_step() -> None:
    """Appends the time and the process of a first step to a file of this process."""
    file = Path(os.environ[_STEPS]) / str(os.getpid())
    with file.open("a", encoding="utf-8") as steps:
        steps.write(f"{time.time()}\n")


def ours(trials: int, slots: int, home: Path) -> None:
    from syndet_ray.runs.folder import RunFolder
    from syndet_ray.search.search import Search
    from syndet_ray.tracking.mlflow import Tracking
    from syndet_ray.tracking.store import local_store
    from syndet_ray.workers import hooks, tune
    from syndet_ray.workers.cluster import connection

    sweep = SWEEP.model_copy(update={"trials": trials})
    folder = RunFolder.create(home / "run", sweep, {})
    tracking = Tracking(local_store(home), home / "artifacts", "scheduling", sweep)
    _time(hooks.Proposals, "suggest", PROPOSAL)
    _time(hooks.Decisions, "on_trial_result", REPORT)
    _time(hooks.Events, "on_trial_save", REPORT, counts=False)
    _time(hooks.Events, "on_trial_complete", END)
    with connection(None):
        _CONNECTED.append(time.time())
        search = Search(folder, sweep, _NoDisplay(), [tracking])
        tune.run_trials(
            _as_ours,
            search,
            RunSettings(rungs=RUNGS, seed=sweep.seed, cache=str(home)),
            str(home),
            Resources(cpus=1, gpus=0, parallel=slots),
        )
        began = time.perf_counter()
        search.close()
        tracking.end("FINISHED")
        _SPENT["afterwards"].append(1000 * (time.perf_counter() - began))


def _as_ours(config: dict[str, Any]) -> None:
    from syndet_ray.workers.trainable import Reports

    task: Task = config["task"]
    _report_all(task.trial.number, task.trial.recipe.flat(), Reports(has_begun=False).report)


def plain(trials: int, slots: int, home: Path) -> None:
    from optuna.distributions import FloatDistribution
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from syndet_ray.workers.cluster import connection

    axes = {name: axis for name, axis in SWEEP.parameters.axes().items() if isinstance(axis, Float)}
    space = {
        name: FloatDistribution(axis.low, axis.high, log=axis.log) for name, axis in axes.items()
    }
    _time(OptunaSearch, "suggest", PROPOSAL)
    _time(OptunaSearch, "on_trial_result", REPORT)
    _time(OptunaSearch, "on_trial_complete", END)
    with connection(None):
        _CONNECTED.append(time.time())
        tune.Tuner(
            tune.with_resources(_as_plain, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(space, metric=OBJECTIVE, mode="max", seed=0),
                num_samples=trials,
                max_concurrent_trials=slots,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="plain",
                storage_path=str(home),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
                verbose=0,
            ),
        ).fit()


def _as_plain(config: dict[str, Any]) -> None:
    from ray import tune

    def report(
        images: int, metrics: dict[str, float], effective: dict[str, Any], folder: Path
    ) -> None:
        tune.report(
            {"images": images, **metrics}, checkpoint=tune.Checkpoint.from_directory(folder)
        )

    _report_all(hash(config["mix.synthetic"]), Recipe().flat(), report)


class _NoDisplay:
    """A display that shows nothing."""

    def note(self, text: str) -> None: ...
    def begin(self, trials: int, images: int) -> None: ...
    def trial(self, trial: Any) -> None: ...
    def progress(self, what: str, done: int, total: int) -> None: ...
    def step(self, what: str) -> AbstractContextManager[None]:
        return nullcontext()

    def end(self) -> None: ...


def _time(owner: type, name: str, what: str, counts: bool = True) -> None:
    """Notes how long each call of a method takes; what does not count is added to the call before
    it.
    """
    method: Callable[..., Any] = getattr(owner, name)

    @wraps(method)
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        result = method(*arguments, **named)
        spent = 1000 * (time.perf_counter() - began)
        if what == PROPOSAL and not isinstance(result, dict):
            return result  # Tune asks again and again while no worker is free
        if what == PROPOSAL:
            _HANDED.append(time.time())
        if counts:
            _SPENT[what].append(spent)
        else:
            _SPENT[what][-1] += spent
        if what == END:
            _MEMORY.append(_resident_kb())
        return result

    setattr(owner, name, timed)


def _resident_kb() -> int:
    return (
        int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        * resource.getpagesize()
        // 1024
    )


def measure(arm: str, trials: int, slots: int) -> None:
    """Runs one arm in this process, and prints its figures as JSON."""
    from syndet_ray.workers import cluster

    # Ray gets a core for each slot, however many there are
    claim = mock.patch.object(cluster, "usable_cores", return_value=slots)
    with claim, tempfile.TemporaryDirectory() as home:
        steps_folder = Path(home) / "steps"
        steps_folder.mkdir()
        os.environ[_STEPS] = str(steps_folder)
        began, cpu = time.perf_counter(), time.process_time()
        {"ours": ours, "plain": plain}[arm](trials, slots, Path(home))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        steps = [_times_in(file) for file in steps_folder.iterdir()]
    figures = {"spent": _SPENT, "memory": _MEMORY, "wall": wall, "cpu": cpu}
    print(json.dumps(figures | {"handed": _HANDED, "steps": steps, "connected": _CONNECTED[0]}))


def _times_in(file: Path) -> list[float]:
    return [float(line) for line in file.read_text(encoding="utf-8").splitlines()]


def show(arm: str, figures: dict[str, Any], trials: int) -> None:
    wall_ms, cpu_ms = (1000 * figures[clock] / trials for clock in ("wall", "cpu"))
    print(f"\n{arm}: {wall_ms:.0f} ms wall and {cpu_ms:.0f} ms CPU a trial")
    for event, calls in figures["spent"].items():
        blocks = _blocks(calls)
        medians = " ".join(f"{median(block):.2f}" for block in blocks)
        times = f"mean {fmean(calls):6.2f}, longest {max(calls):7.1f}"
        print(f"  ms a {event:9} {times}; medians of {len(blocks)} blocks: {medians}")
    every_kb = figures["memory"]
    memory = [block[-1] for block in _blocks(every_kb)]
    grown = (memory[-1] - memory[0]) / max(1, len(every_kb) - len(every_kb) // len(memory))
    print(f"  memory {memory[0] / 1024:.0f} to {memory[-1] / 1024:.0f} MB: {grown:.1f} KB a trial")


def _blocks(values: Sequence[float]) -> list[Sequence[float]]:
    size = max(1, -(-len(values) // BLOCKS))
    return [values[i : i + size] for i in range(0, len(values), size)]


def run_arm(arm: str, trials: int, slots: int) -> dict[str, Any]:
    """Returns the figures of an arm, which runs in a driver of its own."""
    options = ["--trials", str(trials), "--slots", str(slots), "--arm", arm]
    output = subprocess.run(
        [sys.executable, __file__, *options], stdout=subprocess.PIPE, encoding="utf-8", check=True
    ).stdout
    figures: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--arm", choices=("ours", "plain"))
    given = parser.parse_args()
    if given.arm:
        measure(given.arm, given.trials, given.slots)
        return
    for arm in ("ours", "plain"):
        show(arm, run_arm(arm, given.trials, given.slots), given.trials)


if __name__ == "__main__":
    main()
