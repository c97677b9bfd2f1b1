"""What several test files share."""

import ctypes
import errno
import fcntl
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

# Ray's workers are otherwise so nice, and wait for each other so busily, that whatever else runs on
# this machine starves them.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Ray otherwise looks every 3 s whether a node is there, and misses one after five times.
os.environ.setdefault("RAY_health_check_initial_delay_ms", "500")
os.environ.setdefault("RAY_health_check_period_ms", "500")
# Ray otherwise ends idle workers beyond the number of cores after a second, and the next task imports
# PyTorch again.
os.environ.setdefault("RAY_num_workers_soft_limit", "4")
# Tests of the live display need a terminal that can move its cursor.
os.environ["TERM"] = "xterm"
# Processes that share the cores must not each take all of them for a matrix; set before numpy and
# torch are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

import syndet_ray.workers  # noqa: F401  makes the settings that Ray reads when it is first imported
from syndet_ray import SceneParameters, cli
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, render
from syndet_ray.tracking.store import local_store

# Python otherwise looks all the time for garbage among the objects of PyTorch, MLflow and others.
gc.set_threshold(50_000, 20, 50)

# A shell ignores Ctrl-C for what it runs in the background, and nohup a closed terminal: processes
# that tests start and end by these signals would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """Puts a long file first: as one of the last, it would keep one process busy alone."""
    items.sort(key=lambda item: item.path.name != "test_tune.py")


def pytest_collection_finish():
    """Keeps what all test files have imported out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    """Lets Python end all objects: libraries complain of those that are left."""
    gc.unfreeze()


@pytest.fixture
def shared():
    """Finds sample data next to the checkout; skips, with the path, if there is none."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"sample data not found: {path}")
        return path

    return find


@pytest.fixture(scope="session")
def squares():
    """Makes a pool of pictures with bright squares on dark ground: class "big" or "small"."""

    def make(count, seed=0, side=96, name="real"):
        rng = np.random.default_rng(seed)
        images, boxes = [], []
        for _ in range(count):
            image = rng.integers(0, 60, (side, side, 3), np.uint8)
            size = rng.choice([20, 40])
            x, y = rng.integers(0, side - size, 2)
            image[y : y + size, x : x + size] = rng.integers(150, 255, 3)
            images.append(image)
            boxes.append(Boxes.of([[x, y, x + size, y + size]], [int(size == 40)], [1.0]))
        return Pool.of(name, ("small", "big"), images, boxes, [str(i) for i in range(count)])

    return make


@pytest.fixture(scope="session")
def dice(tmp_path_factory):
    """A COCO dataset of a few small rendered pictures of dice, as a user would bring it: train, val
    and test.
    """
    folder = tmp_path_factory.mktemp("dice")
    parameters = SceneParameters(objects=5, image_px=128, size_px=(26, 34))
    for seed, (split, count) in enumerate({"train": 6, "val": 3, "test": 4}.items()):
        (folder / split).mkdir()
        images, annotations = [], []
        for i in range(count):
            pixels, boxes = render(draw_scene(parameters, seed, i))
            Image.fromarray(pixels).save(folder / split / f"{i}.png")
            images.append({"id": i, "file_name": f"{i}.png"})
            for (x1, y1, x2, y2), label in zip(
                boxes.xyxy.tolist(), boxes.labels.tolist(), strict=True
            ):
                box = [x1, y1, x2 - x1, y2 - y1]
                annotations.append(
                    {"id": len(annotations), "image_id": i, "category_id": label, "bbox": box}
                )
        categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


TINY_SWEEP = """
from syndet_ray import *

SWEEP = Sweep(
    question="Does it run?",
    recipe=Recipe(
        mix=Mix(synthetic_images=4),
        scene=SceneParameters(objects=5, image_px=128, size_px=(26, 34)),
        detector=Detector(backbone="test_efficientnet", weights="none"),
        training=Training(images=IMAGES, batch_size=4, crop_px=128),
    ),
    space=(SPACE,),
    trials=TRIALS,
    rungs=RUNGS,
    pruning=Pruning(startup_trials=1),
    confirm=Confirmation(seeds=SEEDS),
)
"""


# A generator that draws two images, as a check asks for, and no more than that.
DRAWS_TWO = """
import json, pathlib, runpy, sys
if json.loads(pathlib.Path(sys.argv[-1]).read_text())["count"] <= 2:
    runpy.run_path("EXAMPLE", run_name="__main__")
"""


def write_generator_of_two(folder):
    """Writes a generator that fails when a trial asks it for scenes; returns its setting."""
    example = Path(__file__).parents[1] / "benchmarks" / "command_generator.py"
    script = folder / "draws_two.py"
    script.write_text(DRAWS_TWO.replace("EXAMPLE", str(example)))
    return f"command:{sys.executable} {script}"


VARIES_THE_SHARE = 'SearchSpace({"mix.synthetic": Float(low=0.0, high=1.0)})'


def write_tiny_sweep(folder, images=16, trials=2, rungs=2, seeds=0, space=VARIES_THE_SHARE):
    """Writes sweeps/tiny.py under a folder; returns its path."""
    text = TINY_SWEEP
    numbers = {"IMAGES": images, "TRIALS": trials, "RUNGS": rungs, "SEEDS": seeds}
    for name, value in numbers.items():
        text = text.replace(name, str(value))
    path = folder / "sweeps" / "tiny.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace("SPACE,", f"{space},"))
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a tiny sweep in it; returns a function that rewrites the sweep and
    gives its path.
    """
    monkeypatch.chdir(tmp_path)
    return partial(write_tiny_sweep, tmp_path)


@pytest.fixture
def syndet_here(capsys, monkeypatch):
    """Runs the command line in this process, which need not start and import first; returns a
    finished process.
    """
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["syndet_ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.run()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(
            arguments, done.value.code or 0, printed.out, printed.err
        )

    return run


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """MLflow's store as the first run in a folder makes it: its migrations take a second, and a
    copy takes none.
    """
    runs = tmp_path_factory.mktemp("store")
    local_store(runs)
    return runs / "mlflow.db"


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """The address of an MLflow store for all tests of a file."""
    runs = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, runs)
    return local_store(runs)


@contextmanager
def ray_cluster(cores):
    """A Ray cluster whose head has so many cores for work; it asks for no token."""
    from ray.cluster_utils import Cluster

    from syndet_ray.workers.cluster import without_dashboard

    head = {"num_cpus": cores, "include_dashboard": False, "include_log_monitor": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with without_dashboard():
            cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            cluster.shutdown()  # else whatever runs next on this machine would wait for it


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    """Figures are rendered with few pixels: tests look at their contents, and rendering is what takes
    time.
    """
    monkeypatch.setattr("syndet_ray.report.figures.plot._SCALE", 0.5)
    monkeypatch.setattr("syndet_ray.report.figures.sheets._DPI", 50)


@pytest.fixture(scope="module")
def server():
    """HOST:PORT of an S3 of moto's, for all tests of a file."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """A client of an S3 that has one bucket, `photos`; the environment leads there."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "DEFAULT_REGION": "us-east-1",
        "EC2_METADATA_DISABLED": "true",
        "ENDPOINT_URL": f"http://{server}",
        "CONFIG_FILE": f"{tmp_path}/none",
        "SHARED_CREDENTIALS_FILE": f"{tmp_path}/none",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    yield client
    client.delete_bucket_policy(Bucket="photos")
    for key in keys(client):
        client.delete_object(Bucket="photos", Key=key)
    client.delete_bucket(Bucket="photos")


def keys(client):
    """All that lies in the bucket `photos`."""
    answer = client.list_objects_v2(Bucket="photos")
    return [entry["Key"] for entry in answer.get("Contents", [])]


class _CapabilityHeader(ctypes.Structure):
    """cap_user_header_t of Linux."""

    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    """cap_user_data_t of Linux: a bit for each capability."""

    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@pytest.fixture
def bound_by_permissions():
    """Permissions of files hold for this thread, even if the tests run as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _CapabilityHeader(0x20080522, 0)  # version 3, this thread
    before, bound = (_Capabilities * 2)(), (_Capabilities * 2)()
    for capabilities in (before, bound):
        assert libc.capget(ctypes.byref(header), capabilities) == 0
    bound[0].effective &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(header), bound) == 0
    yield
    assert libc.capset(ctypes.byref(header), before) == 0


@pytest.fixture
def read_only(tmp_path, bound_by_permissions):
    """An empty folder that cannot be written."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def hide(bound_by_permissions):
    """Returns a function that takes all permissions from a file or folder until the test ends."""
    modes = {}

    def hide_path(path):
        modes[path] = Path(path).stat().st_mode
        Path(path).chmod(0)

    yield hide_path
    for path, mode in modes.items():
        Path(path).chmod(mode)


@pytest.fixture
def no_locks(monkeypatch):
    """File systems that cannot lock, as Lustre is mounted on many clusters."""

    def refuse(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def one_thread():
    """PyTorch computes in one thread: small models are faster so, and their results are equal."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def float32(monkeypatch):
    """No bfloat16, whatever this machine is fast at, so that results may be compared."""
    for module in ("backbones", "precision"):
        monkeypatch.setattr(f"syndet_ray.detection.{module}.fast_bf16", lambda device: False)


@pytest.fixture
def python_handles_interrupts():
    """Where the tests run in the background, SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
