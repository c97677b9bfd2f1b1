"""Train: one detector on batches of an exact mix, counted in images seen."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from syndet_ray import seeds
from syndet_ray.data.mix import BatchMixer
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL, Mix
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.schedule import images_until, shares_between
from syndet_ray.detection.augment import Augmenter
from syndet_ray.detection.average import moving_average
from syndet_ray.detection.feed import Batch, Feed
from syndet_ray.detection.in_force import detector_in_force, mix_in_force, training_in_force
from syndet_ray.detection.models import SAVED_MODEL, build, save_model, without_weights
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.detection.weights_file import WeightsReport
from syndet_ray.errors import DataError, NonFiniteLoss, SyndetError

# Gradients of a detector trained from scratch jump in its first steps; this is far above what they
# are later.
_GRADIENT_NORM = 5.0
# Steps between looks at the loss on a GPU, each of which makes the host wait for it.
_LOOK_EVERY = 50
# What is recorded of each of the optimizer's groups: not every optimizer has all of it.
_GROUP_FACTS = ("lr", "initial_lr", "weight_decay", "momentum", "betas")

_BODY = "backbone.body."
# Files of a checkpoint, beside those of its model: the weights that are averaged, the optimizer,
# and all other state.
_TRAINED, _OPTIMIZER, _STATE = "trained.safetensors", "optimizer.pt", "trainer.json"


@dataclass(frozen=True)
class TrainingStats:
    """Of the images since the last call. metrics: train/loss and its parts, learning rate, images
    per second.

    realised/synthetic is the share, of all images so far, that was not real. Where several sources
    are synthetic there is also realised/<source> for each; of one that is itself called "synthetic"
    only the share of all of them is told.
    """

    metrics: dict[str, float]


class Trainer:
    """Trains the recipe's detector on `pools`: "real" and the sources of its mix by name, in the
    shares of its schedule.

    A source that never has a share needs no pool, and is not touched where it has one. Counts are
    exact: after any number of images a source was drawn less than one image more often than
    planned; where there are n sources, less than max(1, n - 1) more seldom. For the mixer draws
    what it owes, and the shares of our schedules change so that a source is owed something whenever
    it is drawn; what others lack is then what one has had too early. All randomness follows from
    the seed and the number of the batch, so that a trainer restored from `save` goes on bit-equal
    on a CPU, and trials that share a process do not touch one another.

    restore  a folder that `save` wrote for the same recipe, pools and seed, to go on from: the
             files of the starting weights are then no longer needed. Raises DataError where another
             version wrote it, whose detector has other parameters
    """

    def __init__(
        self,
        recipe: Recipe,
        pools: Mapping[str, Pool],
        *,
        device: torch.device,
        seed: int,
        restore: Path | None = None,
    ) -> None:
        self.recipe, self._device, self._seed = recipe, device, seed
        self._pools = _drawn_from(recipe.mix, pools)
        self.classes = next(iter(self._pools.values())).classes
        assert all(pool.classes == self.classes for pool in self._pools.values()), (
            "align the pools first"
        )
        model, self.weights = self._new_model(restore)
        self._model = model.to(device).to(memory_format=torch.channels_last)
        self._average = moving_average(self._model, recipe.training)
        self._optimizer = _optimizer(self._model, recipe)
        self._rate, self._plan = RateSchedule.of(recipe), recipe.mix
        sizes = {source: len(pool) for source, pool in self._pools.items()}
        # A curriculum is a set whose order is its point: it is shown from near to far.
        ordered = [
            source for source, (scene, _) in recipe.scenes().items() if scene.poses == "curriculum"
        ]
        self._mixer = BatchMixer(
            sizes, recipe.training.batch_size, seeds.integer(seed, "mix"), in_order=ordered
        )
        self._feed = Feed(self._pools, Augmenter.of(recipe.training), seed, device)
        self.images_seen, self._rate_set_at = 0, 0
        self._batches = 0
        if restore is not None:
            self._go_on_from(restore)

    @property
    def model(self) -> nn.Module:
        """What is scored and saved: the averaged weights, where the recipe asks for an average."""
        return self._model if self._average is None else self._average.module

    def train_until(
        self, images: int, on_step: Callable[[int], None] | None = None
    ) -> TrainingStats:
        """Trains until exactly `images` have been seen, at most training.images; the last batch may
        be shorter.

        Raises NonFiniteLoss, with the losses, when training diverges.
        """
        assert self.images_seen < images <= self._rate.images, (self.images_seen, images)
        self._model.train()
        began, first, losses = time.perf_counter(), self.images_seen, []
        for batch in self._feed.batches(self._draws(images)):
            losses.append(self._step(batch))
            if self._device.type != "cpu" and (
                len(losses) % _LOOK_EVERY == 0 or self.images_seen == images
            ):
                self._check_finite(losses[-_LOOK_EVERY:])
            if on_step is not None:
                on_step(self.images_seen)
        taken = time.perf_counter() - began
        metrics = {f"train/{name}": value for name, value in _means(losses).items()}
        peak = self._optimizer.param_groups[0]["initial_lr"]  # of "weights"
        metrics["train/learning_rate"] = peak * self._rate.factor(self.images_seen)
        metrics["images_per_second"] = (self.images_seen - first) / taken
        return TrainingStats(metrics | self._realised())

    @property
    def effective(self) -> dict[str, Any]:
        """The settings in force, read off the objects that train rather than off the recipe, and
        facts beside them.

        Plain JSON values. By dotted path where they are settings of a recipe, see `in_force`; else:

        switch_at            share of the training after which a staged one turns to real images;
                             None for others
        backbone_stages      number of stages of the backbone
        drawn, planned       images of each source, so far
        real_images          number of distinct real images that are drawn from
        optimizer            of each group: number of parameters, the rate of the last step, and its
                             other settings
        rate_set_at          images seen before the last step
        pools                of each source: number of distinct images, and a hash of them
        """
        body: Any = self._model.get_submodule(_BODY.rstrip("."))
        return {
            **mix_in_force(self._plan, self._pools),
            **detector_in_force(self._model, self.weights, self._optimizer),
            **training_in_force(
                optimizer=self._optimizer,
                rate=self._rate,
                average=self._average,
                augmenter=self._feed.augmenter,
                mixer=self._mixer,
            ),
            "switch_at": self._rate.switch if self._plan.schedule == "staged" else None,
            "backbone_stages": body.stages,
            "images_seen": self.images_seen,
            "drawn": dict(self._mixer.drawn),
            "planned": self._planned(),
            "real_images": len(self._pools[REAL]) if REAL in self._pools else 0,
            "optimizer": {group["name"]: _facts(group) for group in self._optimizer.param_groups},
            "rate_set_at": self._rate_set_at,
            "trainable_parameters": _trainable(self._model),
            "trainable_backbone_parameters": _trainable(body),
            "weights": str(self.weights),
            "device": str(self._device),
            "seed": self._seed,
            "pools": {
                name: {"images": len(pool), "hash": pool.hash[:16]}
                for name, pool in self._pools.items()
            },
        }

    def save(self, folder: Path) -> None:
        """Writes the model (see `save_model`) and all that is needed to go on from here."""
        save_model(
            folder, self.model, self.recipe.detector, self.classes, images_seen=self.images_seen
        )
        if self._average is not None:
            save_file(
                {name: value.contiguous() for name, value in self._model.state_dict().items()},
                folder / _TRAINED,
            )
        torch.save(self._optimizer.state_dict(), folder / _OPTIMIZER)
        state = {
            "images_seen": self.images_seen,
            "batches": self._batches,
            "mixer": self._mixer.state_dict(),
            "weights": asdict(self.weights),
        }
        (folder / _STATE).write_text(json.dumps(state))

    def _new_model(self, restore: Path | None) -> tuple[nn.Module, WeightsReport]:
        """The model with its starting weights, or without them for a checkpoint to be loaded into;
        and what became of them.
        """
        detector = self.recipe.detector
        report = None if restore is None else _state(restore).get("weights")
        # at the start; and checkpoints of an earlier version do not say what theirs loaded
        if report is None:
            return build(detector, self.classes, seeds.integer(self._seed, "weights"))
        return without_weights(detector, self.classes), WeightsReport.of(report)

    def _go_on_from(self, folder: Path) -> None:
        """Loads what `save` wrote.

        Raises DataError, before anything is loaded, where it does not fit.
        """
        # Read into the host's memory: a GPU need not hold two copies, and AdamW wants its counts of
        # steps on the CPU.
        saved = load_file(folder / SAVED_MODEL)
        trained = None if self._average is None else load_file(folder / _TRAINED)
        optimizer = torch.load(folder / _OPTIMIZER, weights_only=True, map_location="cpu")
        expected = _shapes(self._model.state_dict())
        _check_fits(folder, _shapes(saved), expected)
        if trained is not None:
            _check_fits(folder, _shapes(trained), expected)
        _check_fits(folder, _group_sizes(optimizer), _group_sizes(self._optimizer.state_dict()))
        self.model.load_state_dict(saved)
        if trained is not None:
            self._model.load_state_dict(trained)
        self._optimizer.load_state_dict(optimizer)
        state = _state(folder)
        self.images_seen, self._batches = state["images_seen"], state["batches"]
        if self._average is not None:
            self._average.n_averaged.fill_(self._batches)
        self._mixer.load_state_dict(state["mixer"])

    def _draws(self, images: int) -> Iterator[tuple[int, list[tuple[str, int]]]]:
        """For each of the next batches: images seen before it, and what it is made of. Drawn ahead
        of their training.
        """
        seen = self.images_seen
        while seen < images:
            count = min(self._mixer.batch_size, images - seen)
            yield seen, self._mixer.draw(self._shares(seen, count), count)
            seen += count

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """One step; returns the losses, still on the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self._rate.factor(self.images_seen)
        self._rate_set_at = self.images_seen
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            # Proposals and boxes are sampled at random inside the model.
            torch.manual_seed(seeds.integer(self._seed, "step", self._batches))
            losses = self._model(batch.images, batch.targets)
        if self._device.type == "cpu":  # to look costs nothing there
            self._check_finite([losses])
        total = torch.stack(list(losses.values())).sum()
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._model)
        self.images_seen, self._batches = self.images_seen + len(batch.images), self._batches + 1
        return {name: loss.detach() for name, loss in losses.items()}

    def _check_finite(self, losses: Sequence[Mapping[str, Tensor]]) -> None:
        """Raises NonFiniteLoss, with the first losses of which one is not a number or infinite."""
        totals = torch.stack([torch.stack(list(parts.values())).detach().sum() for parts in losses])
        if bool(torch.isfinite(totals).all()):
            return
        place = f"training after {self.images_seen} images"
        for parts, total in zip(losses, totals, strict=True):
            if not math.isfinite(total):
                got = {name: float(value.detach()) for name, value in parts.items()}
                raise NonFiniteLoss(
                    place, "the loss must be finite", got=got, do="Lower training.learning_rate."
                )

    def _shares(self, seen: int, count: int) -> dict[str, float]:
        """The share of each source in the `count` images after the first `seen`."""
        total = self._rate.images
        return shares_between(self._plan, seen / total, (seen + count) / total)

    def _planned(self) -> dict[str, float]:
        """How many images of each source were to be drawn so far, rounded for the reader."""
        if self.images_seen == 0:
            return dict.fromkeys(self._pools, 0.0)
        planned = images_until(self._plan, self.images_seen, self._rate.images)
        return {source: round(planned[source], 6) for source in self._pools}

    def _realised(self) -> dict[str, float]:
        """The shares of all images so far, as metrics (see TrainingStats)."""
        synthetic = {
            source: number for source, number in self._mixer.drawn.items() if source != REAL
        }
        by_source = {
            f"realised/{source}": number / self.images_seen for source, number in synthetic.items()
        }
        overall = {"realised/synthetic": sum(synthetic.values()) / self.images_seen}
        return overall if len(self._plan.sources) == 1 else by_source | overall


def _drawn_from(mix: Mix, pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """The pools of the sources that have a share.

    Raises SyndetError, naming it, where one is missing or empty.
    """
    needed = [source for source, share in mix.shares.items() if share > 0]
    for source in needed:
        if not len(pools.get(source, ())):
            raise SyndetError(
                "mix",
                f"{source} has a share but no images",
                got=mix.shares[source],
                do="Set it to 0.",
            )
    return {source: pools[source] for source in needed}


def _state(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its trainer beside tensors."""
    return json.loads((folder / _STATE).read_text())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _group_sizes(optimizer: Mapping[str, Any]) -> dict[str, int]:
    """Number of parameters of each group in the state of an optimizer."""
    return {
        f"the optimizer's group {group.get('name')}": len(group["params"])
        for group in optimizer["param_groups"]
    }


def _check_fits(folder: Path, saved: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises DataError, naming the first that differs, unless a checkpoint holds what is expected,
    each of its size.
    """
    for name in [*expected, *saved]:
        size, there = expected.get(name, "missing"), saved.get(name, "missing")
        if size != there:
            rule = f"does not fit this detector, whose parameters are others ({name} is {size} here, {there} there): "
            rule += "another version or another recipe wrote it"
            raise DataError(
                folder, rule, do="Start a new sweep, or go on with the version that began it."
            )


def _trainable(module: nn.Module) -> int:
    """How many parameters of a module train."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _facts(group: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: group[name] for name in _GROUP_FACTS if name in group}
    if "betas" in settings:
        settings["betas"] = list(settings["betas"])
    return {"parameters": sum(p.numel() for p in group["params"])} | settings


def _means(losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each loss over the steps, and of their sum, "loss"; one transfer from the device
    for all.
    """
    table = torch.stack([torch.stack(list(parts.values())) for parts in losses])
    means = table.double().mean(dim=0).cpu()
    return {"loss": float(means.sum())} | dict(zip(losses[0], means.tolist(), strict=True))


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of all that trains, in named groups.

    The backbone has a learning rate of its own; weight decay is on weights alone: biases and norms
    have one dimension.
    """
    training = recipe.training
    trained = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    body = [parameter for name, parameter in trained.items() if name.startswith(_BODY)]
    rest = [parameter for name, parameter in trained.items() if not name.startswith(_BODY)]
    groups = []
    for prefix, parameters, factor in (
        ("", rest, 1.0),
        ("backbone_", body, recipe.detector.backbone_rate),
    ):
        rate = training.learning_rate * factor
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups += [
            {
                "name": f"{prefix}weights",
                "params": weights,
                "lr": rate,
                "weight_decay": training.weight_decay,
            },
            {
                "name": f"{prefix}biases_and_norms",
                "params": others,
                "lr": rate,
                "weight_decay": 0.0,
            },
        ]
    groups = [group for group in groups if group["params"]]
    if training.optimizer == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups)
    else:
        optimizer = torch.optim.SGD(
            groups, momentum=training.momentum, nesterov=training.momentum > 0
        )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
