"""A node that joins during a sweep without what trials need gets none of them."""

import json
import os
import re
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from conftest import ray_cluster
from test_search import Silent

from syndet_ray import Float, Recipe, SearchSpace, Training
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.search import Search
from syndet_ray.search.task import Resources, RunSettings
from syndet_ray.workers import tune
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.hooks import Decisions
from syndet_ray.workers.moves import Moves
from syndet_ray.workers.nodes import admission
from syndet_ray.workers.nodes.conditions import Findings
from syndet_ray.workers.nodes.here import this_node
from syndet_ray.workers.nodes.node import Node
from syndet_ray.workers.nodes.notice import drain_notice
from syndet_ray.workers.nodes.unfit import nodes_except, unfit_nodes
from syndet_ray.workers.render import _placement
from syndet_ray.workers.report_keys import NODE
from syndet_ray.workers.tasks import run_tasks

RUNGS = (50, 100)
SWEEP = LoadedSweep(
    question="What becomes of trials on a bad node?",
    recipe=Recipe(training=Training(images=100)),
    space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),),
    trials=4,
    controls=(),
    rungs=len(RUNGS),
)
LACKS = "SYNDET_TEST_LACKS"  # set on nodes that lack a file
PROBLEM = "/data/own.safetensors: does not exist."

USE = Resources(cpus=1, gpus=0, parallel=2)


@pytest.fixture
def cluster():
    """A head without trials and a worker node."""
    with ray_cluster(cores=0) as started:
        started.good = started.add_node(num_cpus=1)
        yield started


class Joining(Silent):
    """A display that lets a bad node join when the first trial reports.

    It lets that trial go on once it is said that the node gets no trials: until then, others have
    no other node.
    """

    def __init__(self, cluster, go):
        super().__init__()
        self._cluster, self._go, self.bad = cluster, go, None

    def trial(self, trial):
        if trial.rungs and self.bad is None:
            self.bad = self._cluster.add_node(num_cpus=2, env_vars={LACKS: "1"}).node_id

    def note(self, text):
        super().note(text)
        if text.startswith("trials go to other nodes"):
            self._go.touch()


def check_that(lacks):
    """A check of nodes. Made in a function: workers cannot import this file."""

    class FileCheck:
        def findings(self, trains):
            return Findings(problems=(PROBLEM,) if lacks() else (), notes=("odd",))

    return FileCheck()


def training():
    """A trial that says where it runs; the first one waits for a file between its reports."""

    def train(config, train, val, others):
        from syndet_ray.workers.trainable import Reports

        number, go = config["task"].trial.number, Path(config["task"].run.cache) / "go"
        reports = Reports(has_begun=False)
        for images in RUNGS:
            while number == 0 and images == RUNGS[-1] and not go.exists():
                time.sleep(0.02)
            with tempfile.TemporaryDirectory() as folder:
                metrics = {"val/mAP": number / 10 + images / 1000}
                effective = {"on": ray.get_runtime_context().get_node_id()}
                reports.report(images, metrics, effective, Path(folder))

    def train_alone(config):
        from syndet_ray.workers import trainable

        real, trainable.train_task = trainable.train_task, train
        try:
            trainable.train_alone(config, None, None, {})
        finally:
            trainable.train_task = real

    return train_alone


def searching(path, display):
    folder = RunFolder.create(path / "run", SWEEP, {})
    return Search(folder, SWEEP, display), folder


def draining():
    """A task that has its node drained, as by `ray drain-node`, and returns the notice of it."""

    def drain(*_):
        from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

        end_s = time.time() + 60
        here = ray.get_runtime_context()
        client, reason = ray._raylet.GcsClient(address=here.gcs_address), "a test"
        end_ms = int(end_s * 1000)
        client.drain_node(here.get_node_id(), DRAIN_NODE_REASON_PREEMPTION, reason, end_ms)
        while (notice := drain_notice()) is None and time.time() < end_s:
            time.sleep(0.01)
        return notice

    return drain  # Ray brings it to the node by value


def run(search, path, note):
    settings = RunSettings(rungs=len(RUNGS), seed=SWEEP.seed, cache=str(path))
    tune.run_trials(training(), search, settings, str(path), USE, note=note)


@pytest.mark.cluster
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_trials_move_away_from_a_node_that_joins_without_their_files(cluster, tmp_path):
    display = Joining(cluster, tmp_path / "go")
    search, folder = searching(tmp_path, display)
    with connection(cluster.address):
        admission.require(check_that(lambda: LACKS in os.environ))
        run(search, tmp_path, display.note)
        good = cluster.good.node_id
        assert unfit_nodes() == [display.bad]
        assert _placement()["label_selector"] == nodes_except([display.bad]), "nor scenes"
        assert run_tasks(lambda *_: this_node(), None, [{}] * 3, USE) == [good] * 3
        (notice,) = run_tasks(draining(), None, [{}], USE)
    assert notice.startswith("Ray drains it until 20"), "trials save a checkpoint then"
    trials = folder.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * SWEEP.trials
    assert [trial.retries for trial in trials] == [0] * SWEEP.trials, "no trial is at fault"
    assert [trial.value for trial in trials] == [pytest.approx(n / 10 + 0.1) for n in range(4)]
    assert {trial.effective["on"] for trial in trials} == {good}
    passed, refused = display.notes
    note = rf"node \S+ \({good[:6]}\): odd"
    assert re.fullmatch(note, passed), "the notes of a check are shown once for each node"
    assert refused.startswith("trials go to other nodes: node ")
    assert refused.endswith(f") lacks what trials need. {PROBLEM}".rstrip("."))


def test_a_search_halts_if_no_node_has_what_trials_need(tmp_path, monkeypatch):
    display = Silent()
    search, folder = searching(tmp_path, display)
    number = search.propose().number
    task = SimpleNamespace(trial=SimpleNamespace(number=number))
    trial = SimpleNamespace(trial_id="a", max_failures=3, config={"task": task})
    monkeypatch.setattr("syndet_ray.workers.moves.unfit_nodes", lambda: ["1"])
    nodes = [Node(cpus=1, gpus=0)]
    monkeypatch.setattr("syndet_ray.workers.moves.alive_nodes", lambda: nodes)
    moves = Moves(USE, display.note)
    decisions = Decisions(search, moves, display.note)
    lack = f"node 10.0.0.7 (1): lacks what trials need. {PROBLEM}".rstrip(".")
    result = {NODE: json.dumps({"unfit": lack})}

    assert decisions.on_trial_result(None, trial, result) == "CONTINUE"
    decisions.on_trial_result(None, trial, result)
    assert display.notes == [f"trials go to other nodes: {lack}"]
    assert trial.max_failures == 5, "the trial is not at fault"
    assert (moves.is_moved(trial), moves.is_moved(trial)) == (True, False)

    nodes.clear()
    decisions.on_trial_result(None, trial, result)
    with pytest.raises(KeyboardInterrupt):
        search.check()
    assert [trial.state for trial in folder.trials()] == ["RUNNING"]
    assert display.notes[1] == (
        f"stopping: trials fit on no other node, and {lack}; trials keep their last checkpoint, "
        "and resume continues once that is repaired"
    )
