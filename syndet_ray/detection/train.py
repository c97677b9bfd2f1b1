"""Train: one detector on batches of an exact mix, counted in images seen."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from syndet_ray import seeds
from syndet_ray.data.mix import BatchMixer
from syndet_ray.data.pool import Pool
from syndet_ray.detection.augment import augment
from syndet_ray.detection.models import build, save_model
from syndet_ray.errors import NonFiniteLoss, SyndetError
from syndet_ray.recipe import REAL, Mix, Recipe, Training
from syndet_ray.schedule import images_until, shares_between, switch_at

# Gradients of a detector trained from scratch jump in its first steps; this is far above what they are later.
_GRADIENT_NORM = 5.0
_ROUNDING = 1e-6  # images
# The optimizer's groups, in their order, and what is told of each: not every optimizer has all of it.
_GROUPS = ("weights", "biases_and_norms")
_GROUP_FACTS = ("lr", "initial_lr", "weight_decay", "momentum", "betas")


@dataclass(frozen=True)
class TrainingStats:
    """Of the images since the last call. metrics: train/loss and its parts, learning rate, images per second.

    realised/synthetic is the share, of all images so far, that was not real. Where several sources are synthetic there is
    also realised/<source> for each; of one that is itself called "synthetic" only the share of all of them is told.
    """

    metrics: dict[str, float]


class Trainer:
    """Trains the recipe's detector on `pools`: "real" and the sources of its mix by name, in the shares of its schedule.

    A source that never has a share needs no pool, and is not touched where it has one. Counts are exact: after any number
    of images a source was drawn less than one image more often than planned; where there are n sources, less than
    max(1, n - 1) more seldom. For the mixer draws what it owes, and the shares of our schedules change so that a source
    is owed something whenever it is drawn; what others lack is then what one has had too early.
    All randomness follows from the seed and the number of the batch, so that a trainer restored from `save` goes on
    bit-equal on a CPU, and trials that share a process do not touch one another.
    """

    def __init__(self, recipe: Recipe, pools: Mapping[str, Pool], *, device: torch.device, seed: int) -> None:
        self.recipe, self._device, self._seed = recipe, device, seed
        self._pools = _drawn_from(recipe.mix, pools)
        self.classes = next(iter(self._pools.values())).classes
        assert all(pool.classes == self.classes for pool in self._pools.values()), "align the pools first"
        model, self.weights = build(recipe.detector, self.classes, seeds.integer(seed, "weights"))
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self._optimizer = _optimizer(self.model, recipe.training)
        self._switch = switch_at(recipe.mix)
        sizes = {source: len(pool) for source, pool in self._pools.items()}
        # A curriculum is a set whose order is its point: it is shown from near to far.
        ordered = [source for source, (scene, _) in recipe.scenes().items() if scene.poses == "curriculum"]
        self._mixer = BatchMixer(sizes, recipe.training.batch_size, seeds.integer(seed, "mix"), in_order=ordered)
        self.images_seen, self._rate_set_at = 0, 0
        self._batches = 0

    def train_until(self, images: int, on_step: Callable[[int], None] | None = None) -> TrainingStats:
        """Trains until exactly `images` have been seen, at most training.images; the last batch may be shorter.

        Raises NonFiniteLoss, with the losses, when training diverges.
        """
        assert self.images_seen < images <= self.recipe.training.images, (self.images_seen, images)
        self.model.train()
        began, first, losses = time.perf_counter(), self.images_seen, []
        while self.images_seen < images:
            count = min(self.recipe.training.batch_size, images - self.images_seen)
            losses.append(self._step(count))
            if on_step is not None:
                on_step(self.images_seen)
        taken = time.perf_counter() - began
        metrics = {f"train/{name}": float(np.mean([loss[name] for loss in losses])) for name in losses[0]}
        metrics["train/learning_rate"] = self._rate()
        metrics["images_per_second"] = (self.images_seen - first) / taken
        return TrainingStats(metrics | self._realised())

    @property
    def effective(self) -> dict[str, Any]:
        """The settings in force, read off the objects that train rather than off the recipe, and facts beside them.

        Plain JSON values. By dotted path where they are settings of a recipe; else:

        switch_at            share of the training after which a staged one turns to real images; None for others
        drawn, planned       images of each source, so far
        real_images          number of distinct real images that are drawn from
        optimizer            of each group: number of parameters, the rate of the last step, and what else it was told
        rate_set_at          images seen before the last step
        pools                of each source: number of distinct images, and a hash of them
        """
        mix, training = self.recipe.mix, self.recipe.training
        groups = dict(zip(_GROUPS, self._optimizer.param_groups, strict=True))
        return {
            "mix.synthetic": 1 - shares_between(mix, 0, 1)[REAL],
            "mix.schedule": mix.schedule,
            "switch_at": self._switch if mix.schedule == "staged" else None,
            "detector.name": self.recipe.detector.name,
            "training.batch_size": self._mixer.batch_size,
            "training.optimizer": type(self._optimizer).__name__.lower(),
            "training.learning_rate": groups["weights"]["initial_lr"],
            "training.weight_decay": groups["weights"]["weight_decay"],
            "training.crop_px": training.crop_px,
            "images_seen": self.images_seen,
            "drawn": dict(self._mixer.drawn),
            "planned": self._planned(),
            "real_images": len(self._pools[REAL]) if REAL in self._pools else 0,
            "optimizer": {name: _facts(group) for name, group in groups.items()},
            "rate_set_at": self._rate_set_at,
            "trainable_parameters": sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            "weights": str(self.weights),
            "device": str(self._device),
            "seed": self._seed,
            "pools": {name: {"images": len(pool), "hash": pool.hash[:16]} for name, pool in self._pools.items()},
        }

    def save(self, folder: Path) -> None:
        """Writes the model (see `save_model`) and all that `load` needs to go on from here."""
        save_model(folder, self.model, self.recipe.detector, self.classes, images_seen=self.images_seen)
        torch.save(self._optimizer.state_dict(), folder / "optimizer.pt")
        state = {"images_seen": self.images_seen, "batches": self._batches, "mixer": self._mixer.state_dict()}
        (folder / "trainer.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        """Goes on from what `save` wrote, for the same recipe, pools and seed."""
        from safetensors.torch import load_file

        self.model.load_state_dict(load_file(folder / "model.safetensors", device=str(self._device)))
        self._optimizer.load_state_dict(
            torch.load(folder / "optimizer.pt", weights_only=True, map_location=self._device)
        )
        state = json.loads((folder / "trainer.json").read_text())
        self.images_seen, self._batches = state["images_seen"], state["batches"]
        self._mixer.load_state_dict(state["mixer"])

    def _step(self, count: int) -> dict[str, float]:
        images, targets = self._batch(count)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._rate_set_at = self.images_seen
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):  # proposals and boxes are sampled at random inside the model
            torch.manual_seed(seeds.integer(self._seed, "step", self._batches))
            with torch.autocast(self._device.type, torch.bfloat16, enabled=bool(cuda)):
                losses = self.model(images, targets)
        total = torch.stack(list(losses.values())).sum()
        found = {"loss": float(total.detach())} | {name: float(loss.detach()) for name, loss in losses.items()}
        if not math.isfinite(found["loss"]):
            at = f"training after {self.images_seen} images"
            raise NonFiniteLoss(at, "the loss must be finite", got=found, do="Lower training.learning_rate.")
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self.images_seen, self._batches = self.images_seen + count, self._batches + 1
        return found

    def _rate(self) -> float:
        training = self.recipe.training
        return training.learning_rate * rate_factor(self.images_seen, training, self._switch)

    def _shares(self, count: int) -> dict[str, float]:
        """The share of each source in the next `count` images."""
        total = self.recipe.training.images
        return shares_between(self.recipe.mix, self.images_seen / total, (self.images_seen + count) / total)

    def _planned(self) -> dict[str, float]:
        """How many images of each source were to be drawn so far, rounded for the reader."""
        if self.images_seen == 0:
            return dict.fromkeys(self._pools, 0.0)
        planned = images_until(self.recipe.mix, self.images_seen, self.recipe.training.images)
        return {source: round(planned[source], 6) for source in self._pools}

    def _realised(self) -> dict[str, float]:
        """The shares of all images so far, as metrics (see TrainingStats)."""
        synthetic = {source: number for source, number in self._mixer.drawn.items() if source != REAL}
        each = {f"realised/{source}": number / self.images_seen for source, number in synthetic.items()}
        all_of_them = {"realised/synthetic": sum(synthetic.values()) / self.images_seen}
        return all_of_them if len(self.recipe.mix.sources) == 1 else each | all_of_them

    def _batch(self, count: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        rng = seeds.generator(self._seed, "augment", self._batches)
        images, targets = [], []
        for source, index in self._mixer.draw(self._shares(count), count):
            pool = self._pools[source]
            image, boxes = augment(pool.image(index), pool.boxes(index), self.recipe.training, rng)
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device, non_blocking=True)
            images.append(pixels.permute(2, 0, 1).float() / 255)
            target = {"boxes": boxes.xyxy.astype(np.float32), "labels": boxes.labels + 1}
            targets.append(
                {name: torch.from_numpy(np.ascontiguousarray(value)).to(self._device) for name, value in target.items()}
            )
        return images, targets


def rate_factor(images_seen: int, training: Training, switch: float = 1.0) -> float:
    """The learning rate as a share of its peak, before the next step.

    Rises linearly over the warm-up, to the peak at its end, then falls by half a cosine (Loshchilov & Hutter 2017) to
    final_rate at the last image. Without a warm-up it starts at the peak. From the first step that begins after `switch`,
    a moment of a staged training from 0 to 1, all of it is rate_after_switch times as much; 1 is no switch.
    """
    switched = switch < 1 and images_seen > switch * training.images - _ROUNDING
    factor = training.rate_after_switch if switched else 1.0
    warmup = round(training.warmup * training.images)
    if images_seen < warmup:
        return factor * min(1.0, (images_seen + training.batch_size) / warmup)
    passed = (images_seen - warmup) / max(1, training.images - warmup)
    cosine = (1 + math.cos(math.pi * min(1.0, passed))) / 2
    return factor * (training.final_rate + (1 - training.final_rate) * cosine)


def _drawn_from(mix: Mix, pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """The pools of the sources that have a share. Raises SyndetError, naming it, where one is missing or empty."""
    needed = [source for source, share in mix.shares.items() if share > 0]
    for source in needed:
        if not len(pools.get(source, ())):
            raise SyndetError("mix", f"{source} has a share but no images", got=mix.shares[source], do="Set it to 0.")
    return {source: pools[source] for source in needed}


def _facts(group: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: group[name] for name in _GROUP_FACTS if name in group}
    if "betas" in told:
        told["betas"] = list(told["betas"])
    return {"parameters": sum(p.numel() for p in group["params"])} | told


def _optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Weight decay on weights alone: biases and norms have one dimension."""
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    rate = training.learning_rate
    if training.optimizer == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=rate)
    else:
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=training.momentum, nesterov=training.momentum > 0)
    for group in optimizer.param_groups:
        group["initial_lr"] = rate
    return optimizer
