"""A world for faults: a cluster of three nodes, a store and an MLflow server on this machine.

`fault_matrix.py` runs sweeps in it and damages its parts. The store is behind a proxy that may
make it sick, and a folder may lie on a small disk, which is mounted for this (needs root).
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from kills import ENDS_S, descendants, free_port, trial_workers

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from fault_proxy import Proxy

NEXT_TRIAL_S = 8.0  # from a trial to the next one on a busy machine
DISK = "2200m"  # a sweep refuses to start with less than 2 GB
# the folder that lies on a small disk, by the fault that fills it
DISKS = {"disk-runs": "runs", "disk-temp": "temp", "disk-cache": "runs/cache"}


class World:
    """A cluster, a store behind a proxy and an MLflow server, for one run."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        from moto.server import ThreadedMotoServer

        self.folder = folder
        self._stack = ExitStack()
        self.disk = self._small_disk(fault) if fault in DISKS else None
        store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        store.start()
        self._stack.callback(store.stop)
        host, port = store.get_host_and_port()
        self.proxy = self._stack.enter_context(Proxy(f"{host}:{port}"))
        os.environ["AWS_ENDPOINT_URL"] = f"http://{self.proxy.address}"
        self._make_bucket()
        self.mlflow = MlflowServer(folder / "mlflow")
        self._stack.callback(self.mlflow.kill)
        self.cluster: Any = None
        self._stack.callback(self.end_cluster)

    def __enter__(self) -> "World":
        self.mlflow.start()
        self.start_cluster()
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.fault = ""
        self._stack.close()

    def _small_disk(self, fault: str) -> Path:
        """Mounts a small disk at the folder that a fault fills."""
        place = self.folder / DISKS[fault]
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place], check=True)
        self._stack.callback(partial(subprocess.run, ["umount", "--lazy", place], check=True))
        if fault == "disk-temp":
            os.environ["TMPDIR"] = str(place)
            self._stack.callback(os.environ.pop, "TMPDIR")
        return place

    def resize_disk(self, size: str) -> None:
        assert self.disk is not None
        subprocess.run(["mount", "-o", f"remount,size={size}", self.disk], check=True)

    def _make_bucket(self) -> None:
        import boto3

        boto3.client("s3").create_bucket(Bucket="runs-bucket")

    def start_cluster(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.workers = [self.cluster.add_node(num_cpus=1) for _ in range(2)]

    def end_cluster(self) -> None:
        if self.cluster is not None:
            with suppress(Exception):  # of a cluster whose parts were killed
                self.cluster.shutdown()
            self.cluster = None

    def training_node(self) -> Any:
        """The worker node that trains, once one does; another one if no trial trains any more."""
        end = time.monotonic() + NEXT_TRIAL_S
        while time.monotonic() < end:
            for node in self.workers:
                if training_processes(node):
                    return node
            time.sleep(0.05)
        return self.workers[0]


class MlflowServer:
    """An MLflow server that may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
        end = time.monotonic() + ENDS_S
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return
            time.sleep(0.2)
        raise TimeoutError(self.uri)

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def training_processes(node: Any) -> list[int]:
    """The processes of a node that train."""
    return trial_workers(descendants(raylet_pid(node)))


def raylet_pid(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid
