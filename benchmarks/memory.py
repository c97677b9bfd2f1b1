"""Do trials share images? Proportional memory (PSS) of one reader of a pool and of two at once, on
one node.

    python benchmarks/memory.py

Half of the images come through Ray's object store (as real photos do), half from a memory-mapped
file (as rendered sets do). Proportional memory counts a page that k processes share as 1/k for
each, so that the sum shows what is shared.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray

from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool

IMAGES, SIDE = 400, 512


class Reader:
    """A stand-in for a trial: it has both pools and has read every pixel."""

    def __init__(self, shared: Pool, folder: str) -> None:
        self.pools = [shared, Pool.load(Path(folder) / "pool")]
        self.sums = []
        for pool in self.pools:
            self.sums += [int(pool.image(i).sum()) for i in range(len(pool))]

    def memory(self) -> float:
        """MiB of image pages that this process accounts for."""
        return sum(_proportional_mib(pool.pixels) for pool in self.pools)


def main() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8) for _ in range(IMAGES)]
    pool = Pool.of("real", ("a",), images, [Boxes.none()] * IMAGES, [str(i) for i in range(IMAGES)])
    with tempfile.TemporaryDirectory() as folder:
        pool.save(Path(folder) / "pool")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        shared = ray.put(pool)
        reader = ray.remote(num_cpus=1)(Reader)
        one = reader.remote(shared, folder)
        alone = ray.get(one.memory.remote())
        two = reader.remote(shared, folder)
        ray.get(two.memory.remote())
        together = sum(ray.get([one.memory.remote(), two.memory.remote()]))
        ray.shutdown()
    size = 2 * pool.image_bytes / 2**20
    two_at_once = f"two at once {together:.0f} MiB: {together / alone:.2f} times"
    print(f"{size:.0f} MiB of images; one trial {alone:.0f} MiB, {two_at_once}")


def _proportional_mib(array: Any) -> float:
    """PSS of the memory mapping that holds an array, from /proc/self/smaps."""
    address = array.__array_interface__["data"][0]
    total_mib, inside = 0.0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(part, 16) for part in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Pss:":
            total_mib += int(line.split()[1]) / 1024
    return total_mib


if __name__ == "__main__":
    main()
