"""How many trials should share one GPU? Measures their total throughput, for 1, 2, 4 and 8 of them,
each in a separate process.

    python benchmarks/trials_per_gpu.py --device cuda     # the default detector, 384 px
    python benchmarks/trials_per_gpu.py --device cuda --backbone resnet50_fpn_v2 --weights none
    --crop 640 --batch 16

The cores of the machine are divided among them. Every trial trains on the same scenes for the same
time, once all are ready.
"""

import argparse
import multiprocessing
import os
import time
from typing import Any

import torch
from train_speed import arguments, ours_on, scenes

SECONDS, WARM_UP_STEPS, STEPS_AT_ONCE = 12.0, 5, 5


def main() -> None:
    given = arguments()
    alone = None
    for trials in (1, 2, 4, 8):
        rate = throughput(given, trials)
        if alone is None:
            alone = rate
        print(
            f"{trials} at once: {rate:7.1f} images/s together, {rate / alone:.2f} times one",
            flush=True,
        )


def throughput(given: argparse.Namespace, trials: int) -> float:
    """Images a second of so many trainings at once, all together."""
    context = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(trials), context.Queue()
    # Half of a trial's cores for torch, half for the threads that augment its images.
    threads = max(1, (os.cpu_count() or 1) // trials // 2)
    processes = [
        context.Process(target=train, args=(given, threads, ready, rates)) for _ in range(trials)
    ]
    for process in processes:
        process.start()
    total = sum(rates.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    return total


def train(given: argparse.Namespace, threads: int, ready: Any, rates: Any) -> None:
    torch.set_num_threads(threads)
    run = ours_on(scenes(given.crop), given)
    run(WARM_UP_STEPS)
    ready.wait()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        run(STEPS_AT_ONCE)
        steps += STEPS_AT_ONCE
    rates.put(steps * given.batch / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
