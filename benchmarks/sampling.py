"""What does it cost a training that its machine's use is sampled once a second?

    python benchmarks/sampling.py

Blocks of training steps with and without sampling take turns, in pairs, on one core. One sample a
second costs less than can be measured, so 200 a second are taken, and the difference is divided by
200. Processor time is compared besides wall time: other programs may share the machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import cv2
import torch
from train_speed import ours_on, scenes

from syndet_ray.timer import timer
from syndet_ray.workers.usage import Meter

PAIRS, STEPS, OFTEN = 10, 10, 200  # pairs of blocks, steps of a block, samples a second


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given = argparse.Namespace(
        device="cpu", backbone="auto", weights="auto", frozen="auto", crop=384, batch=4
    )
    train = ours_on(scenes(given.crop), given)
    train(2 * STEPS)  # warm up
    usage = Meter(torch.device(given.device))
    pairs = [pair(train, usage, with_first=bool(number % 2)) for number in range(PAIRS)]
    for name, place in (("processor time", 0), ("wall time", 1)):
        shares = sorted(with_it[place] / without[place] - 1 for with_it, without in pairs)
        middle = f"{shares[2]:.2%} to {shares[-3]:.2%}"
        print(f"{name}, {OFTEN} samples a second: {statistics.median(shares):.2%} more ({middle})")
        print(f"{name}, one a second: {statistics.median(shares) / OFTEN:.4%} more")
    print(f"a sample: {1e3 * seconds_of(usage.sample):.3f} ms of processor time")
    print(f"metrics of a rung: {1e3 * seconds_of(usage.metrics):.3f} ms")


def pair(
    train: Callable[[int], float], usage: Meter, *, with_first: bool
) -> tuple[tuple[float, float], ...]:
    """Processor and wall seconds of a block with sampling, and of one without."""
    seconds = {}
    for sampling in (with_first, not with_first):
        block = timer("usage", 1 / OFTEN, usage.sample) if sampling else nullcontext()
        busy, began = time.process_time(), time.perf_counter()
        with block:
            train(STEPS)
        seconds[sampling] = (time.process_time() - busy, time.perf_counter() - began)
    return seconds[True], seconds[False]


def seconds_of(call: Callable[[], object], times: int = 300) -> float:
    """Processor seconds of one call, mean of many."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


if __name__ == "__main__":
    main()
