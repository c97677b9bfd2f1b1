"""Members: a trial in two processes on a real Ray trains as in one, also after one of them was
killed, and nothing is left of it when it stops.
"""

import os
import pickle
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import ray
import torch
from conftest import ray_cluster
from made_detections import TINY
from ray import tune as ray_tune
from test_search import Silent

from syndet_ray import Float, Mix, Recipe, SearchSpace, Training
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import NeedsParts
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.listener import Listener
from syndet_ray.search.search import Search
from syndet_ray.search.task import RETRIES, Resources, RunSettings, Task, worth_another_try
from syndet_ray.workers import tune
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.hooks import Decisions
from syndet_ray.workers.report_keys import PARTS
from syndet_ray.workers.trainable import train_together
from syndet_ray.workers.trial import run_trial

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
    ),
]

TRAINING = Training(images=12, batch_size=3, crop_px=96, optimizer="sgd", learning_rate=1e-3)
SWEEP = LoadedSweep(
    question="What becomes of two processes?",
    recipe=Recipe(mix=Mix(synthetic=0), detector=TINY, training=TRAINING),
    space=(SearchSpace({"training.weight_decay": Float(low=1e-5, high=1e-4)}),),
    trials=1,
    controls=(),
    rungs=3,
)


@pytest.fixture(scope="module")
def cluster():
    """A Ray on which a trial of two processes fits once."""
    with ray_cluster(cores=2) as started, connection(started.address):
        yield started


def members():
    """Processes of a trial besides its first."""
    processes = psutil.process_iter(["cmdline"])
    return [one for one in processes if "ray::_Member" in " ".join(one.info["cmdline"] or ())]


def gone():
    """True once no process of a trial is left, within the time that Ray takes to end one."""
    end = time.monotonic() + 5
    while members() and time.monotonic() < end:
        time.sleep(0.1)
    return not members()


def losses_alone(trial, pools, settings):
    """(images, training loss) of each rung of a trial that trains in this process."""
    found = []

    def report(images, metrics, *_):
        found.append((images, metrics["train/loss"]))

    task = Task(trial=trial, run=settings, threads=1)
    run_trial(task, *pools, device=torch.device("cpu"), restore=None, report=report)
    return found


def test_two_processes_train_as_one_also_after_a_kill_and_leave_nothing(
    cluster, squares, tmp_path, monkeypatch
):
    killed = []

    class Kill(Listener):
        def update(self, trial):
            if trial.images == 4 and not killed:
                killed.extend(members())
                for process in killed:
                    os.kill(process.pid, signal.SIGKILL)

    folder = RunFolder.create(tmp_path / "run", SWEEP, {})
    search = Search(folder, SWEEP, Silent(), listeners=[Kill()])
    monkeypatch.setattr(search._study, "report", lambda number, images, value: images == 8)
    settings = RunSettings(rungs=SWEEP.rungs, seed=1, cache=str(tmp_path / "cache"))
    pools = squares(8), squares(4, seed=2)
    stored = ray.put((*pools, {}))
    trainable = ray_tune.with_parameters(train_together, pools=[stored])
    use = Resources(cpus=1, gpus=0, parallel=1, processes=2)
    tune.run_trials(trainable, search, settings, str(folder.path), use)

    assert len(killed) == 1
    reasons = [event["reason"] for event in folder.ledger.events() if event["event"] == "retry"]
    assert len(reasons) == 1
    assert "a process of the trial was lost" in reasons[0]
    (trial,) = folder.trials()
    assert (trial.state, trial.images, trial.effective["processes"]) == ("PRUNED", 8, 2)
    expected = losses_alone(replace(trial, checkpoint=None), pools, settings)
    for rung, (images, loss) in zip(trial.rungs, expected, strict=False):
        assert rung.images == images
        # convolutions compute in bfloat16 where the machine has it
        assert rung.metrics["train/loss"] == pytest.approx(loss, rel=0.03)
    assert gone()


def test_a_trial_with_too_little_memory_begins_again_in_parts():
    error = pickle.loads(pickle.dumps(NeedsParts(4, "CUDA out of memory")))
    assert (error.parts, str(error)) == (4, str(NeedsParts(4, "CUDA out of memory")))
    assert worth_another_try(error, begun=False)
    task = Task(trial=SimpleNamespace(number=0), run=None, threads=1, processes=2)
    trial = SimpleNamespace(config={"task": task}, max_failures=RETRIES)
    decisions = Decisions(None, None, print)
    assert decisions.on_trial_result(None, trial, {PARTS: 4}) == "CONTINUE"
    assert trial.config["task"].parts == 4
    assert trial.max_failures == RETRIES + 1
