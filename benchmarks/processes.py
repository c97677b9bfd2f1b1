"""Does a trial in several processes train as in one, and how much faster?

    python benchmarks/processes.py --float32
    python benchmarks/processes.py --device cuda --processes 2 --backbone resnet50_fpn_v2
    --weights none --crop 640 --batch 16 --steps 40

Trains the same recipe alone and in a team, and prints how much their losses and weights differ
after each step, as shares, and the images a second of both. Each process has a GPU of its own, or
one thread. On a CPU, --float32 computes without bfloat16.
"""

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from train_speed import print_row, scenes

from syndet_ray.definitions.mix import Mix
from syndet_ray.definitions.recipe import Detector, Recipe, Training
from syndet_ray.detection import backbones, precision
from syndet_ray.detection.settle import settled_detector
from syndet_ray.detection.team import ALONE, Team, connection
from syndet_ray.detection.train import Trainer
from syndet_ray.metrics import IMAGES_PER_SECOND


def main() -> None:
    given = arguments()
    alone = outcomes([ALONE], given)
    together = outcomes([Team(rank=k, size=given.processes) for k in range(given.processes)], given)
    for step, (losses, team_losses) in enumerate(
        zip(alone["losses"], together["losses"], strict=True)
    ):
        print(f"loss of step {step}, difference: {abs(team_losses / losses - 1):.1e}")
    print(f"weights at the end, difference: {distance(alone['state'], together['state']):.1e}")
    print_row("one process", alone["rate"], "images/s")
    print_row(f"{given.processes} processes", together["rate"], "images/s")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backbone", default="auto")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--float32", action="store_true")
    return parser.parse_args()


def outcomes(seats: Sequence[Team], given: argparse.Namespace) -> dict[str, Any]:
    """The losses, weights and speed of the first process of a team."""
    # forked before any of them uses a GPU
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = []
        for seat in seats:
            ours, theirs = context.Pipe()
            context.Process(target=train, args=(seat, Path(folder), given, theirs)).start()
            pipes.append(ours)
        results = [pipe.recv() for pipe in pipes]
    return results[0]


def train(seat: Team, folder: Path, given: argparse.Namespace, pipe: Connection) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if given.float32:
        for module in (precision, backbones):
            module.fast_bf16 = lambda device: False  # type: ignore[attr-defined]
    os.environ["CUDA_VISIBLE_DEVICES"] = str(seat.rank)
    if seat.size == 1:
        pipe.send(outcome(seat, given))
        return
    with connection(folder / "meeting", seat, torch.device(given.device)):
        pipe.send(outcome(seat, given))


def outcome(seat: Team, given: argparse.Namespace) -> dict[str, Any]:
    trainer = trainer_of(seat, given)
    losses, rates = [], []
    for step in range(1, given.steps + 1):
        metrics = trainer.train_until(step * given.batch).metrics
        losses.append(metrics["train/loss"])
        rates.append(metrics[IMAGES_PER_SECOND])
    state = {name: value.cpu().numpy() for name, value in trainer.model.state_dict().items()}
    return {"losses": losses, "state": state, "rate": float(np.median(rates[1:]))}


def trainer_of(seat: Team, given: argparse.Namespace) -> Trainer:
    named = Detector(backbone=given.backbone, weights=given.weights, working_px=2 * given.crop)
    detector, _ = settled_detector(named, gpu=given.device == "cuda")
    sizes = {"anchor_px": (24.0, 34.0, 48.0), "aspect_ratios": (1.0,)}
    open_sizes = {name: value for name, value in sizes.items() if getattr(detector, name) == "auto"}
    training = Training(
        images=10**4, batch_size=given.batch, crop_px=given.crop, optimizer=given.optimizer
    )
    detector = detector.model_copy(update=open_sizes)
    recipe = Recipe(mix=Mix(synthetic=0), detector=detector, training=training)
    device = torch.device(given.device)
    return Trainer(recipe, {"real": scenes(given.crop)}, device=device, seed=0, team=seat)


def distance(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """The norm of the difference of all weights, as a share of their norm."""
    difference = sum(float(((values - other[name]) ** 2).sum()) for name, values in one.items())
    norm = sum(float((values**2).sum()) for values in one.values())
    return (difference / norm) ** 0.5


if __name__ == "__main__":
    main()
