"""Usage: what a trial takes of its machine: cores, memory, and the GPU that it trains on."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from statistics import fmean
from typing import Any

import psutil
import torch

from syndet_ray.metrics import (
    CPU_CORES,
    GPU_DEVICE_MEMORY,
    GPU_MEMORY,
    GPU_PERCENT,
    RSS,
    RSS_PEAK,
)
from syndet_ray.timer import timer

_EVERY_S = 1.0  # NVIDIA's driver gives the utilization of the last second, or of a part of it
_CHILDREN_EVERY_S = 10.0  # to find them, all processes of the machine are read, which takes 1 ms
_GIB = 2**30
_DIGITS = 3  # decimals: the ledger keeps every number of every rung
# by metric: what is sampled for it, and how its samples become one number
_SUMMARIES: Mapping[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    RSS: (RSS, fmean),
    RSS_PEAK: (RSS, max),
    GPU_PERCENT: (GPU_PERCENT, fmean),
    GPU_MEMORY: (GPU_MEMORY, max),
    GPU_DEVICE_MEMORY: (GPU_DEVICE_MEMORY, max),
}


@contextmanager
def usage_of(device: torch.device) -> Iterator["Meter"]:
    """Yields the meter of this process, which takes samples until the block ends."""
    meter = Meter(device)
    with timer("usage", _EVERY_S, meter.sample):
        yield meter


class Meter:
    """Measures the usage of this process and its children since the last `metrics`.

    No error of the system or of the GPU's driver is raised: what cannot be read is left out.

    device  on which this process trains: other GPUs of the machine do not count
    """

    def __init__(self, device: torch.device) -> None:
        self._processes = _Processes()
        self._gpu = _Gpu(device.index or 0) if device.type == "cuda" else None
        self._lock = threading.Lock()  # the samples come from another thread
        self._begin()

    def sample(self) -> None:
        """Takes a sample."""
        with self._lock:
            self._add_sample()

    def metrics(self) -> dict[str, float]:
        """Returns means and peaks since the last call, by the name of the metric."""
        with self._lock:
            values = {CPU_CORES: self._cpu_cores()}
            self._add_sample()  # a rung may be shorter than the time between two samples
            for metric, (source, summary) in _SUMMARIES.items():
                if self._samples[source]:
                    values[metric] = summary(self._samples[source])
            self._begin()
        return {name: round(value, _DIGITS) for name, value in values.items()}

    def _begin(self) -> None:
        self._samples: dict[str, list[float]] = defaultdict(list)
        self._cpu_s, self._began = self._processes.cpu_s(), time.monotonic()

    def _add_sample(self) -> None:
        values = {RSS: self._processes.rss() / _GIB}
        if self._gpu is not None:
            values |= self._gpu.read()
        for name, value in values.items():
            self._samples[name].append(value)

    def _cpu_cores(self) -> float:
        """Returns the mean number of cores that were busy: exact, not from samples."""
        seconds = time.monotonic() - self._began
        # a child that ends takes the time of those of its own children with it that outlive it
        cpu_s = max(0.0, self._processes.cpu_s() - self._cpu_s)
        return cpu_s / seconds if seconds > 0 else 0.0


class _Processes:
    """This process and its children, with theirs: a generator or a training program."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._children: list[psutil.Process] = []
        self._listed_at = -_CHILDREN_EVERY_S

    def rss(self) -> int:
        """Returns the bytes of memory that all of them have. What they share counts for each."""
        if time.monotonic() - self._listed_at >= _CHILDREN_EVERY_S:
            self._list_children()
        total = 0
        for process in [self._own, *self._children]:
            with suppress(psutil.Error, OSError):  # it may have ended
                total += process.memory_info().rss
        return total

    def cpu_s(self) -> float:
        """Returns the seconds that all of them computed, with their children that have ended."""
        self._list_children()
        total = 0.0
        for process in [self._own, *self._children]:
            with suppress(psutil.Error, OSError):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        return total

    def _list_children(self) -> None:
        with suppress(psutil.Error, OSError):
            self._children = self._own.children(recursive=True)
        self._listed_at = time.monotonic()


class _Gpu:
    """One GPU, by its number among those that this process may use."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._nvml, self._handle = _driver(index)

    def read(self) -> dict[str, float]:
        """Returns its load in percent, and memory in GiB: PyTorch's in this process, and all."""
        values: dict[str, float] = {}
        if torch.cuda.is_initialized():
            values[GPU_MEMORY] = torch.cuda.memory_reserved(self._index) / _GIB
        if self._nvml is None:
            return values
        # one at a time: a part of a GPU has memory, but no load
        with suppress(self._nvml.NVMLError):
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
            values[GPU_DEVICE_MEMORY] = memory.used / _GIB
        with suppress(self._nvml.NVMLError):
            values[GPU_PERCENT] = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        return values


def _driver(index: int) -> tuple[Any, Any]:
    """Returns the module that asks NVIDIA's driver, and its handle of a GPU; (None, None) without
    one of them.

    index  of the GPU among those that CUDA shows to this process
    """
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, _handle(pynvml, index)
    except (pynvml.NVMLError, IndexError):
        return None, None


def _handle(nvml: Any, index: int) -> Any:
    """Returns the driver's handle of a GPU. The driver does not know CUDA_VISIBLE_DEVICES, which
    holds numbers or names.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    name = str(index) if visible is None else visible.split(",")[index].strip()
    if name.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    return nvml.nvmlDeviceGetHandleByUUID(name)
