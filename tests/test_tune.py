"""Trials on a real Ray and a made-up training: what is retried, what fails alone, and how many run
at once.
"""

import copy
import hashlib
import json
import os
import re
import resource
import signal
import socket
import tempfile
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
import ray
from conftest import ray_cluster
from moto.server import ThreadedMotoServer
from ray.train._internal.session import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint, report
from ray.tune.experiment import Trial
from test_search import Silent

from syndet_ray import (
    Choice,
    Float,
    Mix,
    Recipe,
    SceneParameters,
    Scenes,
    SearchSpace,
    Training,
)
from syndet_ray.data.storage import local_copy
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import MachineError
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.search import Search
from syndet_ray.search.task import RETRIES, Resources, RunSettings, Task
from syndet_ray.workers import tune
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.hooks import Decisions, Events, Proposals
from syndet_ray.workers.moves import Moves
from syndet_ray.workers.nodes.autoscaler import NO_GROWTH, Growth, growth_at
from syndet_ray.workers.nodes.capacity import Capacity, nodes_once_gpus_join, resources
from syndet_ray.workers.nodes.census import Census
from syndet_ray.workers.nodes.check import check_nodes
from syndet_ray.workers.nodes.here import this_node
from syndet_ray.workers.nodes.needs import Needs
from syndet_ray.workers.nodes.node import Node
from syndet_ray.workers.nodes.notice import EarlySaves
from syndet_ray.workers.report_keys import CAUSE, FAILURE, TRACEBACK, WAITING
from syndet_ray.workers.tasks import run_tasks
from syndet_ray.workers.trainable import Reports, train_task
from syndet_ray.workers.trial_scenes import TrialScenes

RUNGS = (25, 50, 75, 100)
SWEEP = LoadedSweep(
    question="What becomes of a trial?",
    recipe=Recipe(training=Training(images=100)),
    space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),),
    trials=2,
    controls=(),
    rungs=len(RUNGS),
)
USE = Resources(cpus=1, gpus=0, parallel=2)
UNKNOWN = Growth(is_known=False)


@pytest.fixture(scope="module")
def cluster():
    """A head that two trials fit on, with this process connected to it; S3 keys are in the
    environment of its workers.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with ray_cluster(cores=2) as started, connection(started.address):
            yield started


@pytest.fixture
def endpoint():
    """The host and port of an S3 on 127.0.0.1 that nothing but an address leads to.

    It has one bucket, `runs`.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    place = "{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{place}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="runs")
    yield place
    server.stop()


def searching(path, **changes):
    """A search in a new folder."""
    sweep = SWEEP.replace(changes)
    folder = RunFolder.create(path / "run", sweep, {})
    return Search(folder, sweep, Silent()), folder


def settings(path):
    return RunSettings(rungs=len(RUNGS), seed=SWEEP.seed, cache=str(path / "cache"))


def do_nothing(*_):
    """What the hooks of Tune call, for tests that look at something else."""


@pytest.fixture
def trial(cluster, tmp_path):
    """A trial as Tune keeps it, and a way to let it report and save."""
    search, run = searching(tmp_path, trials=1)
    events = Events(
        search,
        str(tmp_path),
        Moves(USE, print),
        check_interrupt=do_nothing,
        on_step=do_nothing,
        take_back=do_nothing,
    )
    task = Task(trial=search.propose(), run=settings(tmp_path), threads=1)
    trial = Trial("ours", config={"task": task}, max_failures=RETRIES, stub=True)
    # Ray puts it into a folder of its own, which other tests of the same second use too
    trial.set_storage(StorageContext(str(tmp_path), "checkpoints", trial_dir_name=tmp_path.name))
    Path(trial.local_path).mkdir(parents=True)

    def save(images):
        search.report(0, images, {OBJECTIVE: 0.5}, {})
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        result = _TrainingResult(Checkpoint.from_directory(folder), {})
        trial.run_metadata.checkpoint_manager.register_checkpoint(result)
        events.on_trial_save(0, [trial], trial)

    def fail(error=None):
        trial.handle_error(error)
        return trial.should_recover()

    return SimpleNamespace(
        save=save, fail=fail, over=lambda: events.on_trial_error(0, [trial], trial), run=run
    )


def test_failures_are_counted_since_the_last_progress(trial):
    assert [trial.fail() for _ in range(RETRIES)] == [True] * RETRIES
    trial.save(25)
    assert [trial.fail() for _ in range(RETRIES)] == [True] * RETRIES, (
        "it came further: it has all its retries again"
    )
    trial.save(50)
    assert trial.fail()
    trial.save(50)  # the report was known, and its checkpoint had been lost: no progress
    assert [trial.fail() for _ in range(RETRIES)] == [True] * (RETRIES - 1) + [False]
    trial.over()
    (ended,) = trial.run.trials()
    assert ended.reason.startswith("its worker failed 4 times without progress, at last with: ")


def test_the_last_error_of_a_lost_trial_is_kept_whole(trial):
    """Ray appends every error of a trial to one file."""
    for error in ("Traceback of an earlier one", "Traceback\n  worker.py\nOSError: gone"):
        trial.fail(Exception(error))
    trial.over()
    (ended,) = trial.run.trials()
    assert ended.reason.endswith(", at last with: OSError: gone")
    log = trial.run.error_log.read_text()
    assert log.endswith(", trial 0\nTraceback\n  worker.py\nOSError: gone\n\n")
    assert "earlier" not in log


def test_tune_keeps_no_copies_of_a_task(trial):
    task = Task(trial=trial.run.trials()[0], run=settings(Path()), threads=1)
    assert copy.deepcopy(task) is task
    assert str(task) == "trial 0"


def failing(places):
    """A trial that fails once, where `places` has its number: before it reports, or after it.

    Its training is made up; what becomes of the error is not.
    """

    def train(config):
        from syndet_ray.workers import trainable

        def odd(task, reports, *_, **__):
            place = places.get(task.trial.number)
            if place == "before":
                raise ValueError("odd\nlines")
            images = 100 if reports.has_begun or place is None else 50
            with tempfile.TemporaryDirectory() as folder:
                reports.report(images, {"val/mAP": 0.5}, {}, Path(folder))
            if images == 50:
                raise ValueError("odd\nlines")

        real, trainable._train = trainable._train, odd
        try:
            train_task(config, None, None, {})
        finally:
            trainable._train = real

    return train


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_an_unexpected_error_on_a_worker_is_named_in_a_line_and_its_traceback_kept(
    cluster, tmp_path
):
    search, folder = searching(tmp_path)
    places = {0: "before", 1: "after"}
    tune.run_trials(failing(places), search, settings(tmp_path), str(tmp_path), USE)
    assert [trial.state for trial in folder.trials()] == ["FAILED", "COMPLETE"]
    reasons = [event["reason"] for event in folder.ledger.events() if event["event"] == "retry"]
    reasons.append(folder.trials()[0].reason)
    assert len(reasons) == 2
    expected = r"ValueError in syndet_ray/workers/trainable\.py:\d+: odd"
    assert all(re.fullmatch(expected, reason) for reason in reasons)
    log = folder.error_log.read_text()
    assert set(re.findall(r", trial (\d)\n", log)) == {"0", "1"}
    assert log.count("in odd\n") == log.count("ValueError: odd\nlines\n") == 2


def reporting(rungs):
    """A trial that reports at every rung and learns nothing. Made in a function: workers cannot
    import this file.
    """

    def train(config):
        reports = Reports(has_begun=False)
        for scenes in (1, 2, 3):
            reports.scenes(scenes, 3)
        for images in rungs:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "images").write_text(str(images))
                reports.report(images, {"val/mAP": 0.5}, {}, Path(folder))

    return train


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_checkpoints_keep_the_endpoint_of_their_store(cluster, endpoint, tmp_path):
    search, folder = searching(tmp_path, trials=1)
    home = f"s3://runs/sweeps/a?endpoint_override={endpoint}&scheme=http"
    tune.run_trials(reporting(RUNGS), search, settings(tmp_path), home, USE)
    (trial,) = folder.trials()
    assert trial.state == "COMPLETE"
    assert search._display.counts == [("scenes of trial 0", 1, 3), ("scenes of trial 0", 3, 3)], (
        "at most every 2 s"
    )
    assert trial.checkpoint.startswith("s3://runs/sweeps/a/checkpoints/trial-000-")
    assert trial.checkpoint.endswith(f"?endpoint_override={endpoint}&scheme=http")
    with local_copy(trial.checkpoint) as copy:
        assert (copy / "images").read_text() == "100"


def test_trials_that_wait_for_a_store_are_noted_once_a_minute(tmp_path):
    search, _ = searching(tmp_path)
    notes = []
    decisions = Decisions(search, Moves(USE, notes.append), notes.append)
    for host in ("a", "b"):
        task = Task(trial=search.propose(), run=settings(tmp_path), threads=1)
        waiting = json.dumps({"host": host, "error": "AWS Error SLOW_DOWN"})
        decision = decisions.on_trial_result(
            None, SimpleNamespace(config={"task": task}), {WAITING: waiting}
        )
        assert decision == "CONTINUE"
    assert notes == ["trial 0 on a waits for a store: AWS Error SLOW_DOWN"]


def lingering(begun):
    """A trial that goes on after it was stopped, until another one has begun or three seconds have
    passed.
    """
    report_all = reporting(RUNGS)

    def train(config):
        from syndet_ray.workers import trainable  # which sets how long Tune waits

        number = config["task"].trial.number
        (begun / str(number)).touch()
        os.environ[trainable.END_LIMIT_VARIABLE] = "0"
        try:
            report_all(config)
        finally:
            end = time.monotonic() + 3
            while number == 0 and not (begun / "1").exists() and time.monotonic() < end:
                time.sleep(0.05)

    return train


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_a_trial_starts_elsewhere_if_the_one_before_it_does_not_end(
    cluster, tmp_path, caplog, monkeypatch
):
    given_up = []

    class Noting(Proposals):
        def take_back(self, trial_id, task):
            given_up.append(task.trial.number)
            super().take_back(trial_id, task)

    monkeypatch.setattr(tune, "Proposals", Noting)
    search, folder = searching(tmp_path, trials=2)
    begun = tmp_path / "begun"
    begun.mkdir()
    one = replace(USE, parallel=1)
    tune.run_trials(lingering(begun), search, settings(tmp_path), str(tmp_path), one)
    assert given_up == [1]
    assert "trial-001" not in caplog.text, "a user need not know"
    assert [trial.state for trial in folder.trials()] == ["COMPLETE", "COMPLETE"]
    assert {trial.retries for trial in folder.trials()} == {0}


def on_a_spot_machine():
    """A trial whose machine gets a notice after the first rung, and is gone before the second."""

    def train(config):
        notices = SimpleNamespace(announced=None)
        reports = Reports(has_begun=False, early=EarlySaves(notices))

        def report_rung(images):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "images").write_text(str(images))
                reports.report(images, {"val/mAP": 0.5}, {}, Path(folder))

        checkpoint = ray.tune.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                assert (Path(folder) / "images").read_text() == "40"
            for images in RUNGS[1:]:
                report_rung(images)
            return
        report_rung(RUNGS[0])
        trainer = SimpleNamespace(save=lambda folder: (folder / "images").write_text("40"))
        reports.save_early(trainer)
        notices.announced = "AWS will terminate it at noon"
        reports.save_early(trainer)
        reports.save_early(trainer)
        os.kill(os.getpid(), signal.SIGKILL)

    return train


@pytest.mark.cluster
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_a_trial_on_a_machine_with_a_notice_continues_from_between_two_rungs(cluster, tmp_path):
    search, folder = searching(tmp_path, trials=1)
    notes = []
    run = settings(tmp_path)
    tune.run_trials(on_a_spot_machine(), search, run, str(tmp_path), USE, note=notes.append)
    (trial,) = folder.trials()
    assert (trial.state, trial.retries) == ("COMPLETE", 1)
    events = [event["event"] for event in folder.ledger.events()]
    events = [event for event in events if event not in ("ended", "cluster")]
    assert events[2:7] == ["report", "checkpoint", "training", "checkpoint", "retry"]
    assert notes == [
        f"{socket.gethostname()} is about to be taken away (AWS will terminate it at noon): its "
        "trials save a checkpoint now, and continue from there on another machine"
    ]


def losing(numbers):
    """A trial whose machine is lost, where it has one of these numbers; any other reports once."""

    def train(config):
        if config["task"].trial.number in numbers:
            report({FAILURE: "its worker is gone", CAUSE: "lost", TRACEBACK: ""})
            return
        with tempfile.TemporaryDirectory() as folder:
            Reports(has_begun=False).report(100, {"val/mAP": 0.5}, {}, Path(folder))

    return train


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_what_is_lost_twice_is_trained_from_another_seed_in_the_same_run(cluster, tmp_path):
    search, folder = searching(
        tmp_path, trials=0, space=(), variants={"crisp": {"scene.blur": 0.0}}, rungs=1
    )
    tune.run_trials(losing({0, 1}), search, settings(tmp_path), str(tmp_path), USE)
    assert [trial.state for trial in folder.trials()] == ["FAILED", "FAILED", "COMPLETE"]
    assert search.is_over


def failing_with_its_disk():
    """A trial that fails, as without data it must, on a worker to which the system refuses every
    byte of a file.
    """

    def train(config):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            train_task(config, None, None, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return train


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_a_worker_whose_disk_is_full_halts_the_search_and_fails_no_trial(cluster, tmp_path):
    search, folder = searching(tmp_path, trials=1)
    with pytest.raises(KeyboardInterrupt):
        tune.run_trials(
            failing_with_its_disk(),
            search,
            settings(tmp_path),
            str(tmp_path),
            Resources(cpus=1, gpus=0, parallel=1),
        )
    assert {(trial.state, trial.retries, trial.images) for trial in folder.trials()} == {
        ("RUNNING", 0, 0)
    }
    (note,) = search._display.notes
    assert note.startswith(
        f"stopping: on {socket.gethostname()}, {tmp_path} cannot be written (File too large); trials keep"
    )


def proposing(search, run, node=None, note=print, **given):
    """Proposals of up to two trials at once."""
    scenes = TrialScenes(search, run, node=node, note=note, **given)
    return Proposals(
        search, run, USE, scenes=scenes, most_at_once=lambda: 2, check_interrupt=do_nothing
    )


def proposed(proposals):
    """What Tune gets when it asks often enough."""
    while (answer := proposals.suggest("ours")) is None:
        ray.wait(list(proposals._scenes._ahead._sets.values()), timeout=10)
    return answer


def test_a_trial_that_lost_a_worker_and_was_given_up_continues_from_its_checkpoint(tmp_path):
    search, folder = searching(tmp_path, trials=1)
    proposals = proposing(search, settings(tmp_path))
    first = proposals.suggest("a")["task"]
    search.report(0, 50, {OBJECTIVE: 0.5}, {})
    search.checkpoint(0, f"{tmp_path}/c")
    search.retry(0, "its node died")
    for _ in range(2):
        proposals.take_back("a", replace(first, parts=4))
    again = proposals.suggest("b")["task"]
    assert (again.trial.images, again.trial.checkpoint, again.parts) == (50, f"{tmp_path}/c", 4)
    assert proposals.suggest("c") is None, "it was taken back once"


def test_a_control_that_is_lost_while_the_last_trial_runs_is_asked_for_again(tmp_path):
    search, folder = searching(tmp_path, trials=1, controls=("real_only",))
    proposals = proposing(search, settings(tmp_path))
    begun = [proposals.suggest(name)["task"] for name in ("a", "b")]
    assert [task.waited_s for task in begun] == [0, 0], "they render their scenes themselves"
    assert [task.trial.number for task in begun] == [0, 1]
    assert proposals.suggest("c") is None
    search.end(0, "its worker failed 4 times without progress", "lost")
    proposals.on_trial_complete("a", error=True)
    again = proposals.suggest("c")["task"]
    assert (again.trial.number, again.trial.recipe, again.trial.seed_number) == (
        2,
        begun[0].trial.recipe,
        begun[0].trial.seed_number,
    )
    search.end(1, "wrong", "mistake")
    search.end(2, "its worker failed 4 times without progress", "lost")
    for name in ("b", "c"):
        proposals.on_trial_complete(name, error=True)
    other = proposals.suggest("d")["task"]
    assert (other.trial.number, other.trial.recipe) == (3, begun[0].trial.recipe)
    assert other.trial.seed_number == search._sweep.spare_seed
    search.end(3, "its worker failed 4 times without progress", "lost")
    proposals.on_trial_complete("d", error=True)
    assert proposals.suggest("e") == "FINISHED"
    assert [trial.kind for trial in folder.trials()] == [
        "real_only",
        "search",
        "real_only",
        "real_only",
    ]


SMALL = Recipe(
    mix=Mix(synthetic_images=1),
    scene=SceneParameters(objects=1, image_px=64, size_px=(8, 16)),
    training=Training(images=100),
)


def test_scenes_that_cannot_be_rendered_ahead_do_not_end_the_search(cluster, tmp_path):
    """The cache lies under a file: that is tried again, and then the trial finds out itself."""
    (tmp_path / "file").write_text("")
    search, folder = searching(tmp_path, trials=1, recipe=SMALL)
    notes = []
    under_a_file = RunSettings(
        rungs=len(RUNGS), seed=SWEEP.seed, cache=str(tmp_path / "file" / "cache")
    )
    proposals = proposing(search, under_a_file, node=this_node(), note=notes.append)
    assert proposed(proposals)["task"].node is None
    *retries, note = notes
    assert note.startswith(
        "trial 0 renders its scenes itself: they could not be rendered ahead of it "
        f"({tmp_path}/file/cache: cannot be written (Not a directory)"
    )
    assert all(
        note.startswith("scenes that trials wait for are rendered once more") for note in retries
    )
    assert folder.trials()[0].state == "RUNNING"
    assert proposals.suggest("another") is None, "the first still runs"
    proposals.on_trial_complete("ours")
    assert proposals.suggest("another") == "FINISHED"


def scoring(folder):
    """A task that fails so often before it returns, where `dies` by losing its worker.

    `folder` has a file for each call.
    """

    def score(shared, device, threads, name, failures=0, dies=False):
        calls = len(list(folder.glob(f"{name}-*")))
        (folder / f"{name}-{calls}").touch()
        if calls < failures and dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if calls < failures:
            raise MachineError("s3://runs/x", "cannot be read (timeout)", do="See the network.")
        return f"{shared} {name} on {device}"

    return score


def test_a_task_is_tried_again_where_a_store_or_its_worker_is_away(cluster, tmp_path):
    notes, done = [], []
    every = [
        {"name": "a"},
        {"name": "b", "failures": RETRIES},
        {"name": "c", "failures": 1, "dies": True},
    ]
    on_ray = tune.OnRay(
        use=USE, capacity=Capacity(USE, NO_GROWTH, fixed=True), growth=NO_GROWTH, note=notes.append
    )
    results = on_ray.tasks(scoring(tmp_path), "score", every, lambda *counts: done.append(counts))
    assert results == [f"score {name} on cpu" for name in "abc"]
    assert (done[0], done[-1]) == ((0, 3), (3, 3))
    away = "tried once more: s3://runs/x: cannot be read (timeout). See the network."
    assert notes.count(away) == RETRIES
    (lost,) = [note for note in notes if note != away]
    assert lost.startswith("tried once more: a task on the cluster: lost its worker once (")


@pytest.mark.parametrize(
    ("dies", "message"),
    [
        (False, r"^s3://runs/x: cannot be read \(timeout\)\. See the network\.$"),
        (True, r"^a task on the cluster: lost its worker twice \(.+\)\. See `ray status`[^\n]+$"),
    ],
)
def test_a_task_that_always_fails_is_reported_in_a_sentence(
    cluster, tmp_path, monkeypatch, dies, message
):
    monkeypatch.setattr("syndet_ray.workers.tasks.RETRIES", 1)
    every = [{"name": "a", "failures": 99, "dies": dies}]
    with pytest.raises(MachineError, match=message) as caught:
        run_tasks(scoring(tmp_path), "score", every, USE)
    assert not isinstance(caught.value, ray.exceptions.RayError), "whose words are a traceback"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_generator_that_fails_ends_no_trial_before_it_has_begun(cluster, tmp_path):
    """It may work where, or when, the trial renders its scenes itself; where it does not, the trial
    is lost, and no mistake.
    """
    recipe = SMALL.replace({"scene.generator": "command:false"})
    search, folder = searching(tmp_path, trials=2, recipe=recipe)
    notes = []
    proposals = proposing(search, settings(tmp_path), node=this_node(), note=notes.append)
    tasks = [proposed(proposals)["task"] for _ in range(2)]
    assert [(task.trial.number, task.node) for task in tasks] == [(0, None), (1, None)]
    assert [trial.state for trial in folder.trials()] == ["RUNNING", "RUNNING"]
    reason = "generator false: must end with exit code 0, got 1. "
    alone = [
        f"trial {n} renders its scenes itself: they could not be rendered ahead of it ({reason}"
        for n in (0, 1)
    ]
    again = [f"scenes that trials wait for are rendered once more: {reason}"] * RETRIES
    assert [note.partition("It printed")[0] for note in notes] == [*again, *alone]


def test_scenes_that_no_core_is_left_for_are_rendered_by_their_trial(cluster, tmp_path):
    """As after the loss of a node: the last cores are those of a worker that waits for a trial."""
    search, _ = searching(tmp_path, trials=1, recipe=SMALL)
    notes = []
    proposals = proposing(
        search,
        settings(tmp_path),
        node=this_node(),
        note=notes.append,
        has_spare_cores=lambda: False,
    )
    assert proposed(proposals)["task"].node is None
    assert notes == [
        "trial 0 renders its scenes itself: "
        "they could not be rendered ahead of it (no node has cores left for that)"
    ]
    assert proposals._scenes._ahead._sets == {}, (
        "else their task would hold the lock of their folder"
    )


def test_scenes_that_a_trial_waits_for_are_shown_until_they_are_there(cluster, tmp_path):
    search, _ = searching(tmp_path, trials=1, recipe=SMALL)
    proposals = proposing(search, settings(tmp_path), node=this_node())
    task = proposed(proposals)["task"]
    assert task.node == this_node() and task.waited_s > 0, "it could have trained meanwhile"
    first, *_, last = search._display.counts
    assert (first, last) == (("scenes of trial 0", 0, 1), ("scenes of trial 0", 1, 1))


def test_scenes_that_cannot_be_asked_for_fail_their_trial_alone(cluster, tmp_path):
    """A source's own sizes do not fit the side that the search proposes."""
    sources = {"large": Scenes(changes={"scene.size_px": (70, 80)})}
    recipe = SMALL.replace({"mix.sources": sources, "scene.image_px": 128})
    space = (SearchSpace({"scene.image_px": Choice(values=(64, 65))}),)
    search, folder = searching(tmp_path, trials=1, recipe=recipe, space=space)
    proposals = proposing(search, settings(tmp_path), node=this_node())
    assert proposed(proposals) == "FINISHED"
    (trial,) = folder.trials()
    assert trial.state == "FAILED"
    assert "size_px must be at most image_px" in trial.reason


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_nodes_that_join_are_counted_and_asked_for_what_trials_need(cluster, tmp_path, monkeypatch):
    """/proc/self/cwd is another folder for the driver than for the workers: what lies in it, only
    the driver has.
    """
    growth = growth_at(ray.get_runtime_context().gcs_address)
    assert growth == NO_GROWTH, "this cluster has a monitor, which watches and starts nothing"
    use = resources(None, None, growth)
    assert use == USE
    monkeypatch.setattr("syndet_ray.workers.nodes.capacity._RECOUNT_S", 0.0)
    capacity = Capacity(use, growth, fixed=False)
    search, folder = searching(tmp_path, trials=1)
    census = Census(search, use, capacity)
    census.update()
    census.update()
    cluster.add_node(num_cpus=1)
    assert capacity.trials() == 3
    census.update()
    noted = [event for event in folder.ledger.events() if event["event"] == "cluster"]
    assert [(event["nodes"], event["trials"]) for event in noted] == [
        ([[2, 0, 1]], 2),
        ([[2, 0, 1], [1, 0, 1]], 3),
    ]

    monkeypatch.chdir(tmp_path)
    own = Path("/proc/self/cwd/own.safetensors")
    own.write_text("weights")
    files = {str(own): hashlib.sha256(b"weights").hexdigest()}
    needs = Needs(libraries={}, files=files, detectors=(), classes=(), runs=Path("/proc/self/cwd"))
    with pytest.raises(MachineError, match=r"^cluster: some nodes lack what trials need") as caught:
        check_nodes(needs, use, growth)
    message = str(caught.value)
    assert re.search(rf"node [\d.]+ \(\w{{6}}\): {own}: does not exist", message)
    assert re.search(r"node [\d.]+ \(\w{6}\): /proc/self/cwd: is not seen from here", message)
    assert len(re.findall(r"node [\d.]+ \(", message)) == 2, "the driver's own node has it all"
    check_nodes(replace(needs, files={}, runs=None), use, growth)
    with monkeypatch.context() as patch:
        patch.setattr("syndet_ray.workers.nodes.check._PATIENCE_S", 0.0)
        notes = []
        check_nodes(replace(needs, runs=None), use, growth, notes.append)
        assert len(notes) == 1
        assert notes[0].startswith("no answer within 0 s from 1 node (node ")
        assert notes[0].endswith("): checked before the first trial there")

    def join(text):
        assert text.startswith("waiting for the first node, to check that it has the files")
        with chdir("/"):
            cluster.add_node(num_cpus=4, num_gpus=1)

    with pytest.raises(MachineError, match=rf"the first node that joins: {own}: does not exist"):
        check_nodes(replace(needs, runs=None), Resources(cpus=4, gpus=1, parallel=1), UNKNOWN, join)
    assert Node(cpus=4, gpus=1) in nodes_once_gpus_join(0.5)
    assert resources(None, 0.5, UNKNOWN) == Resources(cpus=2, gpus=0.5, parallel=3)


def test_a_folder_is_no_store_for_nodes_that_may_join(cluster, tmp_path):
    needs = Needs(libraries={}, files={}, detectors=(), classes=(), runs=tmp_path)
    growth = Growth(nodes=(Node(cpus=8, gpus=1),), most=1)
    with pytest.raises(MachineError, match=r"^`storage`: is needed if nodes may join"):
        check_nodes(needs, Resources(cpus=8, gpus=1, parallel=1), growth)
    check_nodes(replace(needs, runs=None), Resources(cpus=8, gpus=1, parallel=1), growth)


def test_the_limits_are_those_that_an_autoscaler_elsewhere_has_told_the_cluster(cluster):
    from ray.core.generated.autoscaler_pb2 import ClusterConfig
    from ray.experimental import internal_kv

    def told(*groups):
        config = ClusterConfig()
        for most, least, amounts in groups:
            group = config.node_group_configs.add(max_count=most, min_count=least)
            group.resources.update(amounts)
        key = ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode()
        namespace = ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode()
        internal_kv._internal_kv_put(key, config.SerializeToString(), namespace=namespace)
        return growth_at(ray.get_runtime_context().gcs_address)

    trains, renders = {"CPU": 8, "GPU": 1}, {"CPU": 16}
    on_gpu = Resources(cpus=8, gpus=1, parallel=1)
    on_cpu = Resources(cpus=16, gpus=0, parallel=1)
    limited = told((3, 0, trains), (2, 1, renders), (0, 0, renders))
    assert (limited.trials(on_gpu), limited.trials(on_cpu), limited.most) == (3, 2, 5)
    assert [node.cpus for node in limited.always] == [16]
    unlimited = told((-1, 0, trains), (2**31 - 1, 0, renders))
    assert unlimited.trials(on_gpu) == 1000
    assert unlimited.is_possible
    assert not told().is_possible, "this cluster has no autoscaler"
