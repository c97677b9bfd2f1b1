"""The smoke sweep on a cluster of two nodes, with storage on S3, losing a node on the way."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import boto3
import pytest
import ray
from conftest import ray_cluster
from moto.server import ThreadedMotoServer

from syndet_ray.definitions.loader import load
from syndet_ray.errors import MachineError
from syndet_ray.tracking import backup
from syndet_ray.tuning.checkpoints import needed_trials
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.run import start
from syndet_ray.workers import cluster


class Quiet:
    """A display that keeps its trials."""

    def __init__(self):
        self.trials = {}

    def note(self, text): ...
    def begin(self, trials, images): ...
    def progress(self, what, done, total): ...

    def step(self, what):
        return nullcontext()

    def end(self): ...

    def trial(self, trial):
        self.trials[trial.number] = trial


@pytest.fixture
def bucket(monkeypatch):
    """An S3 bucket on 127.0.0.1."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="runs-bucket")
    yield client
    server.stop()


@pytest.fixture
def two_nodes(bucket):
    """A head without trials and two worker nodes."""
    with ray_cluster(cores=0) as started:
        started.worker = started.add_node(num_cpus=1)
        started.second = started.add_node(num_cpus=1)
        yield started


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_a_sweep_on_two_nodes_survives_the_loss_of_one(
    two_nodes, bucket, tmp_path, dice, home, empty_store
):
    path = home(images=24, rungs=3, trials=1)
    display = Quiet()
    # another folder for every process that has another working folder
    here = Path("/proc/self/cwd/runs")
    with pytest.raises(
        MachineError, match=rf"{here}: is not seen from here, .* Give `storage` s3://"
    ):
        start(
            Origin(name="tiny"),
            load(str(path)),
            Options(runs=here, real=dice, address=two_nodes.address),
            display,
        )
    assert list(here.iterdir()) == [], "it is refused before anything begins"
    shutil.copy(empty_store, tmp_path / "runs")
    options = Options(
        runs=tmp_path / "runs",
        real=dice,
        address=two_nodes.address,
        storage="s3://runs-bucket/sweeps",
        parallel=2,
    )
    lost = threading.Event()

    def lose_a_node():
        while not any(trial.checkpoint for trial in list(display.trials.values())):
            time.sleep(0.1)
        two_nodes.remove_node(two_nodes.worker, allow_graceful=False)
        lost.set()

    threading.Thread(target=lose_a_node, daemon=True).start()
    outcome = start(Origin(name="tiny"), load(str(path)), options, display)
    assert lost.is_set(), [trial.reason for trial in outcome.folder.trials()]
    assert outcome.status == "finished"
    trials = outcome.folder.trials()
    assert [trial.state for trial in trials] and all(
        trial.state in ("COMPLETE", "PRUNED") for trial in trials
    )
    assert sum(trial.retries for trial in trials) >= 1, "the node that went was running a trial"
    for trial in trials:
        images = [rung.images for rung in trial.rungs]
        assert images == sorted(set(images))
        assert trial.checkpoint.startswith(
            f"s3://runs-bucket/sweeps/{outcome.folder.path.name}/checkpoints/trial-"
        )
    keys = [
        item["Key"]
        for item in bucket.list_objects_v2(Bucket="runs-bucket", Prefix="sweeps/")["Contents"]
    ]
    home_key = f"sweeps/{outcome.folder.path.name}"
    left = {
        key.rpartition("/")[0]
        for key in keys
        if key.endswith("/model.safetensors") and "/checkpoints/" in key
    }
    wanted = needed_trials(trials, outcome.folder.sweep)
    assert left == {
        t.checkpoint.removeprefix("s3://runs-bucket/") for t in trials if t.number in wanted
    }
    assert {
        f"{home_key}/run/{name}"
        for name in ("sweep.json", "ledger.jsonl", "test.json", "report.html")
    } <= set(keys)
    assert ray.is_initialized() is False
    fetched = backup.fetch(f"s3://runs-bucket/{home_key}", tmp_path / "elsewhere")
    assert fetched.trials() == trials
    assert fetched.test() == outcome.folder.test()
    assert Path(outcome.folder.champion / "model.safetensors").exists()


SOCKET = "session_2026-11-26_15-20-01_720605_1234567/sockets/plasma_store"
LONGEST_SOCKET = 107  # bytes, of which Linux leaves room for in an address


def test_ray_gets_a_short_way_to_a_temporary_folder_that_is_too_long_for_its_sockets(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    short = "/tmp/".ljust(cluster._LONGEST_TMPDIR, "x")
    assert len(f"{short}/ray/{SOCKET}") <= LONGEST_SOCKET
    monkeypatch.setenv("TMPDIR", short)
    with cluster._folder_for_sockets() as folder:
        assert folder is None

    scratch = tmp_path / "scratch-of-a-project-with-a-long-name" / "job-1"
    monkeypatch.setenv("TMPDIR", str(scratch))
    with cluster._folder_for_sockets() as folder:
        assert len(f"{folder}/{SOCKET}") <= LONGEST_SOCKET
        (Path(folder) / "session").write_text("")
    assert [path.name for path in scratch.iterdir()] == ["session"], (
        "what Ray leaves lies where it was asked to"
    )
    assert not Path(folder).parent.exists()

    monkeypatch.setattr(cluster, "_SHORT_FOLDERS", (str(tmp_path / "none"),))
    for variable in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.setenv(variable, str(scratch))
        folder = cluster._folder_for_sockets()
        rule = rf"^\${variable}: is too long for the sockets of Ray.*Set RAY_TMPDIR"
        with pytest.raises(MachineError, match=rule), folder:
            pass


def test_a_temporary_folder_that_ray_cannot_write_is_reported(read_only, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for folder in (read_only, file, file / "job"):
        monkeypatch.setenv("TMPDIR", str(folder))
        message = rf"^{folder}: cannot be written \(.*\)\. Set RAY_TMPDIR to a folder that you may"
        with pytest.raises(MachineError, match=message), cluster._folder_for_sockets():
            pass


@pytest.mark.parametrize(("address", "expected"), [(None, 3), ("127.0.0.1:6379", None)])
def test_a_new_ray_has_the_cores_that_this_process_may_use(monkeypatch, address, expected):
    given = {}
    monkeypatch.setattr(cluster, "usable_cores", lambda: 3)
    monkeypatch.setattr(cluster, "check_head", lambda address: None)
    monkeypatch.setattr(ray, "init", lambda **named: given.update(named))
    cluster._connect(address, None)
    assert given.get("num_cpus") == expected


def test_a_node_that_starts_too_slowly_is_reported(monkeypatch):
    def init(**_):
        raise Exception("The current node timed out during startup. This could happen\nbecause")

    monkeypatch.setattr(ray, "init", init)
    reason = r"cannot be reached \(The current node timed out during startup"
    with pytest.raises(MachineError, match=reason):
        cluster._connect(None, None)


def test_what_starts_with_ray_outlives_the_terminal_and_we_do_not():
    blocked = {signal.SIGHUP} & signal.pthread_sigmask(signal.SIG_BLOCK, ())
    code = "import signal; print(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    command = [sys.executable, "-c", code]
    with cluster._hangup_blocked():
        child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert child.stdout == "True\n"
    assert {signal.SIGHUP} & signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
