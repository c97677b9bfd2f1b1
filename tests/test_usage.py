"""What a trial takes of its machine: read of real processes, and of a driver that is made up, since
tests have no GPU.
"""

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from syndet_ray.metrics import (
    CPU_CORES,
    GPU_DEVICE_MEMORY,
    GPU_PERCENT,
    RSS,
    RSS_PEAK,
    USAGE,
)
from syndet_ray.workers.usage import Meter, usage_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)
BURN = "import time\nwhile time.process_time() < 0.3: pass"


def burn(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_cores_are_those_that_this_process_and_its_children_kept_busy():
    usage, began = Meter(CPU), time.monotonic()
    burn(0.1)
    subprocess.run([sys.executable, "-c", BURN], check=True)
    cores = usage.metrics()[CPU_CORES]
    busy_s = cores * (time.monotonic() - began)
    assert busy_s > 0.35, "0.1 s here, 0.3 s in a child that has ended"
    assert cores < 2


def test_memory_includes_that_of_children():
    usage = Meter(CPU)
    alone = usage.metrics()[RSS_PEAK]
    command = [sys.executable, "-c", "x = bytearray(2**27); print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        both = usage.metrics()
        child.communicate(b"\n")
    assert both[RSS_PEAK] > alone + 0.1
    assert both[RSS_PEAK] >= both[RSS] > 0
    assert alone == pytest.approx(psutil.Process().memory_info().rss / 2**30, rel=0.5)


def test_a_machine_without_a_gpu_has_no_metrics_of_one():
    with usage_of(CPU) as usage:
        assert usage.metrics().keys() == {CPU_CORES, RSS, RSS_PEAK}


class Driver:
    """Stands for the module pynvml. `asked` holds the names under which GPUs were asked for."""

    class NVMLError(Exception):
        """As the real one."""

    def __init__(self, loads=(), is_there=True):
        self.asked, self._loads, self._is_there = [], list(loads), is_there

    def nvmlInit(self):  # noqa: N802
        if not self._is_there:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        self.asked.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, name):  # noqa: N802
        self.asked.append(name)
        return "handle"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(used=3 * 2**30)

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        if not self._loads:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=self._loads.pop(0))


@pytest.mark.parametrize(
    ("visible", "asked"), [(None, 1), ("4,6", 6), ("GPU-a, GPU-b", "GPU-b"), ("0,MIG-c", "MIG-c")]
)
def test_the_gpu_is_the_one_that_the_process_trains_on(monkeypatch, visible, asked):
    driver = Driver(loads=[20, 100, 7])
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    usage = Meter(CUDA)
    usage.sample()
    metrics = usage.metrics()
    assert driver.asked == [asked]
    assert metrics[GPU_PERCENT] == 60.0 and metrics[GPU_DEVICE_MEMORY] == 3.0
    assert metrics.keys() <= set(USAGE)
    assert usage.metrics()[GPU_PERCENT] == 7.0, "a report begins anew"


def test_a_part_of_a_gpu_has_memory_but_no_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Driver(loads=[]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    metrics = Meter(CUDA).metrics()
    assert metrics[GPU_DEVICE_MEMORY] == 3.0 and GPU_PERCENT not in metrics


@pytest.mark.parametrize(
    ("module", "visible"), [(None, "0,1"), (Driver(is_there=False), "0,1"), (Driver(), "0")]
)
def test_no_module_no_driver_and_no_such_gpu_end_nothing(monkeypatch, module, visible):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert Meter(CUDA).metrics().keys() == {CPU_CORES, RSS, RSS_PEAK}
