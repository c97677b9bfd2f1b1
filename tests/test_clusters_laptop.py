"""One command from a laptop: a cluster started by `ray up` on this machine, through a real sshd.

The sshd speaks on its standard input and output, so no port is opened, and its home folder is a
temporary one.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import boto3
import psutil
import pytest
import yaml
from conftest import write_tiny_sweep
from mlflow import MlflowClient
from moto.server import ThreadedMotoServer
from PIL import Image

from syndet_ray import cli
from syndet_ray.cli import on_cluster, submit
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking.store import store_address

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
SEPARATION = Path("/run/sshd")  # that sshd insists on if root starts it
CONFIG = """
HostKey {home}/host_key
AuthorizedKeysFile {home}/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PidFile none
SetEnv HOME={home}
"""


@pytest.fixture(scope="module")
def home():
    """The home folder of the head, with an sshd for it. Ray's sockets need a short path."""
    missing = [name for name in ("ssh", "ssh-keygen", "rsync") if shutil.which(name) is None]
    missing += ["sshd"] if SSHD is None else []
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    is_made = not SEPARATION.exists() and os.access(SEPARATION.parent, os.W_OK)
    if is_made:
        SEPARATION.mkdir()
    folder = Path(tempfile.mkdtemp(prefix="syndet-head-", dir="/tmp"))
    try:
        for name in ("host_key", "key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        (folder / "sshd_config").write_text(CONFIG.format(home=folder))
        done = subprocess.run(
            [SSHD, "-t", "-f", str(folder / "sshd_config")], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"sshd does not start: {done.stderr.strip()}")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_made:
            SEPARATION.rmdir()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def description(home, port, start):
    """A cluster file of one node: this machine."""
    return {
        "cluster_name": home.name,
        "max_workers": 0,
        "provider": {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []},
        "auth": {
            "ssh_user": getpass.getuser(),
            "ssh_private_key": str(home / "key"),
            "ssh_proxy_command": f"{SSHD} -i -f {home}/sshd_config",
        },
        "file_mounts": {},
        "setup_commands": [],
        "head_start_ray_commands": start,
        "worker_start_ray_commands": [],
    }


@pytest.fixture(scope="module")
def store():
    """The variables of an S3 store on 127.0.0.1 that has the bucket "runs-bucket"."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="runs-bucket")
        yield variables
    server.stop()


@pytest.fixture(scope="module")
def cluster(home, store):
    """The file of a cluster that is up. It is ended by the ids of its processes."""
    port = free_port()
    variables = {
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",
        **store,
    }
    profile = [f"export PATH={Path(sys.executable).parent}:$PATH"]
    profile += [f"export {name}={value}" for name, value in variables.items()]
    (home / ".bashrc").write_text("\n".join(profile) + "\n")
    start = (
        f"unset RAY_ADDRESS; ray start --head --port={port} --num-cpus=2 --disable-usage-stats "
        f"--include-dashboard=false --temp-dir={home}/ray"
    )
    file = home / "cluster.yaml"
    file.write_text(yaml.safe_dump(description(home, port, [start])))
    command = [sys.executable, "-m", "ray.scripts.scripts", "up", "-y", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if (
            "Deadline Exceeded" in done.stdout
        ):  # Ray waits 30 s for itself: too little if others run
            end_processes_of(home)
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        yield file
    finally:
        end_processes_of(home)
        for suffix in ("lock", "state"):
            Path(f"/tmp/ray/cluster-{home.name}.{suffix}").unlink(missing_ok=True)
        for cache in Path(tempfile.gettempdir()).glob("ray-config-*"):
            if home.name in cache.read_text():
                cache.unlink()


def end_processes_of(home):
    """Ends all processes that the head has started: they have its home folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


@pytest.fixture
def laptop(tmp_path, monkeypatch, dice, capfd):
    """A folder of a laptop with a sweep and photos, and floors elsewhere; runs commands in it and
    returns their exit status, output and errors.
    """
    project = tmp_path / "dice"
    project.mkdir()
    monkeypatch.chdir(project)
    write_tiny_sweep(project, images=8, trials=1, rungs=1)
    shutil.copytree(dice, project / "photos")
    floors = tmp_path / "elsewhere" / "floors"
    floors.mkdir(parents=True)
    Image.new("RGB", (64, 64), (90, 60, 30)).save(floors / "wood.png")
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["syndet_ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.run()
        printed = capfd.readouterr()
        return done.value.code or 0, printed.out, printed.err

    return run


def kill_first_follower(home, output):
    """Kills the ssh that shows the run, once it has shown a trial, as a closed laptop does."""
    while not list(home.glob("syndet_projects/*/runs/tiny-*/ledger.jsonl")):
        time.sleep(0.05)
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if words[:1] == ["ssh"] and "on_head follow" in words[-1] and str(home) in words[-1]:
            process.kill()
            output.append(process.pid)


def lose_disk(home):
    """Deletes what the head has of runs, as with its machine."""
    shutil.rmtree(home / "syndet_projects")


def trials_here(folder):
    """Checks that the store of this machine has every trial of a run once, and its test scores."""
    client = MlflowClient(store_address(folder.path.parent))
    parent = client.get_run(folder.about["mlflow_run"])
    assert "test/mAP" in parent.data.metrics
    runs = client.search_runs([parent.info.experiment_id])
    assert len(runs) == 1 + len(folder.trials())


@pytest.mark.cluster
def test_a_sweep_goes_there_survives_a_lost_connection_and_comes_back(
    cluster, home, laptop, monkeypatch
):
    monkeypatch.setattr(on_cluster, "_PAUSES_S", (0.01, None))
    killed = []
    thread = threading.Thread(target=kill_first_follower, args=(home, killed), daemon=True)
    thread.start()
    status, output, errors = laptop(
        *("sweep", "tiny", "--cluster", cluster, "--real", "photos"),
        *("--backgrounds", "../elsewhere/floors", "--storage", "s3://runs-bucket/there"),
    )
    assert status == 0, output + errors
    assert len(killed) == 1
    (sent,) = [line for line in output.splitlines() if line.startswith("sends    ")]
    assert sent.startswith("sends    this code, sweeps, ")
    assert ", photos (" in sent and ", floors (1 file, 1 kB)" in sent
    assert "the connection is lost; trying again in 0 s" in output
    assert output.count("trial 0 starts: real only") == 1, "no line is shown again"
    assert output.count(" in all, of 8 images") == 1
    (run,) = Path("runs").glob("tiny-*")
    assert f"report   {run}/report.html\n" in output
    assert f"trials   python -m syndet_ray ui {run} --open\n" in output
    folder = RunFolder(run)
    trials_here(folder)
    assert folder.report.exists() and (run / "champion" / "model.safetensors").exists()
    assert not folder.checkpoints.exists(), "only resume needs them"
    (origins,) = home.glob("syndet_projects/*/submitted/*/files/origins.json")
    assert str(Path.cwd() / "photos") in origins.read_text()
    assert folder.about["options"]["real"].startswith(f"{home}/syndet_projects/dice-")
    assert Path(folder.sweep.recipe.scene.backgrounds).match("*/files/given/*/floors")
    assert {path.name for path in Path.cwd().iterdir()} == {"sweeps", "photos", "runs"}

    shutil.rmtree(run)
    status, output, errors = laptop("attach", run.name, "--cluster", cluster)
    assert status == 0, output + errors
    assert f"report   {run}/report.html\n" in output
    assert folder.report.exists()
    trials_here(folder)
    status, _, errors = laptop("attach", "other", "--cluster", cluster)
    assert (status, errors) == (
        1,
        f"syndet_ray: the head of {cluster}: has no run other. The newest are {run.name}. "
        "A run of a lost head is resumed from its address.\n",
    )

    lose_disk(home)
    address = f"s3://runs-bucket/there/{run.name}"
    floors = Path("../elsewhere/floors").resolve()
    floors.rename(floors.with_name("gone"))
    status, _, errors = laptop("resume", address, "--cluster", cluster, "--trials", "2")
    needed = "is needed by the run, was sent from this path, and is not here"
    assert status == 1 and f"/elsewhere/floors: {needed}" in errors
    floors.with_name("gone").rename(floors)
    status, output, errors = laptop("resume", address, "--cluster", cluster, "--trials", "2")
    assert status == 0, output + errors
    assert "trial 3 starts" in output, "a new trial finds all files where the run names them"
    assert f"report   {run}/report.html\n" in output
    assert len(folder.trials()) == 4


@pytest.mark.cluster
def test_a_run_there_is_stopped_in_order_and_continued(cluster, home, laptop, monkeypatch):
    write_tiny_sweep(Path.cwd(), images=512, trials=1, rungs=16)
    before = set(home.glob("syndet_projects/*/runs/tiny-*"))
    with monkeypatch.context() as leaving:
        leaving.setattr(submit, "follow", lambda *_, **__: sys.exit(130))
        status, output, errors = laptop("sweep", "tiny", "--cluster", cluster, "--real", "photos")
    assert status == 130, output + errors
    while not (begun := set(home.glob("syndet_projects/*/runs/tiny-*")) - before):
        time.sleep(0.05)
    name = begun.pop().name
    status, output, errors = laptop("stop", name, "--cluster", cluster)
    assert status == 0, output + errors
    go_on = f"python -m syndet_ray resume {name} --cluster {cluster}"
    assert f"{name} is stopped; continue with: {go_on}\n" in output
    status, output, errors = laptop("attach", name, "--cluster", cluster)
    assert status == 130, output + errors
    assert f"interrupted; continue with: python -m syndet_ray resume runs/{name} --cl" in output
    status, output, errors = laptop("stop", name, "--cluster", cluster)
    assert (status, "is over, so there is nothing to stop" in errors) == (1, True)
    status, output, errors = laptop(
        "resume", name, "--cluster", cluster, "--images", "32", "--force"
    )
    assert status == 3, output + errors
