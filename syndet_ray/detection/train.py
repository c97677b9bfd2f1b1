"""Train: one detector on batches of an exact mix, counted in images seen."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.mix import REAL
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.detection.augment import Augmenter
from syndet_ray.detection.average import moving_average
from syndet_ray.detection.draws import (
    draw_batches,
    drawn_from,
    mixer_of,
    planned_images,
    pool_facts,
    realised_shares,
)
from syndet_ray.detection.effective import effective_detector, effective_mix, effective_training
from syndet_ray.detection.feed import Batch, Feed, Place
from syndet_ray.detection.gradients import Gradients
from syndet_ray.detection.losses import check_finite, loss_values, mean_losses
from syndet_ray.detection.memory import optimizer_out_of_memory
from syndet_ray.detection.models import save_model
from syndet_ray.detection.norms import share_norms
from syndet_ray.detection.optimizer import BODY, group_facts, optimizer_of
from syndet_ray.detection.rate import RateSchedule
from syndet_ray.detection.team import ALONE, Team
from syndet_ray.detection.trained_photos import write_trained_photos
from syndet_ray.detection.trainer_files import (
    TrainerState,
    load_training,
    read_state,
    starting_model,
    write_training,
)
from syndet_ray.errors import first_line
from syndet_ray.metrics import (
    BACKBONE_STAGES,
    BATCH_PARTS,
    DRAWN,
    IMAGES_PER_SECOND,
    IMAGES_SEEN,
    OPTIMIZER,
    PLANNED,
    POOLS,
    RATE_SET_AT,
    REAL_IMAGES,
    TRAINABLE_BACKBONE,
)

# Gradients of a detector trained from scratch jump in its first steps; later they are far below
# this.
_GRADIENT_NORM = 5.0
# Steps between checks of the loss on a GPU, each of which makes the host wait for it.
_CHECK_EVERY = 50


@dataclass(frozen=True)
class TrainingStats:
    """Metrics of the images since the last call: loss and its parts, learning rate, speed.

    Of all images so far there are the shares, see `realised_shares`.
    """

    metrics: dict[str, float]


class Trainer:
    """Trains the recipe's detector on `pools`, in the shares of its schedule.

    A source that never has a share needs no pool; if it has one, the pool is not used. Counts are
    exact: after any number of images, a source was drawn less than one image more often than
    planned, and with n sources less than max(1, n - 1) less often. For the mixer draws from the
    source whose next image is due, and our schedules change so that a source is due whenever it is
    drawn; the images that others lack were then drawn too early from one. All randomness follows
    from the seed and the number of the batch, so that a trainer restored from `save` continues
    bit-identically on a CPU, and trials that share a process do not affect one another.

    pools    "real" and the sources of the mix, by name
    restore  a folder that `save` wrote for the same recipe, pools and seed, to continue from: the
             files of the starting weights are then no longer needed. Raises DataError if another
             version wrote it, whose detector has other parameters
    team     the processes that train it together, with the same arguments; alone by default
    parts    the least number of parts in which a process computes its share of a batch
    """

    def __init__(
        self,
        recipe: Recipe,
        pools: Mapping[str, Pool],
        *,
        device: torch.device,
        seed: int,
        restore: Path | None = None,
        team: Team = ALONE,
        parts: int = 1,
    ) -> None:
        self.team = team
        self.recipe, self.device, self._seed = recipe, device, seed
        self._pools = drawn_from(recipe.mix, pools)
        self.classes = next(iter(self._pools.values())).classes
        aligned = all(pool.classes == self.classes for pool in self._pools.values())
        assert aligned, "align the pools first"
        model_seed = seeds.integer(seed, "weights")
        model, self.weights = starting_model(recipe.detector, self.classes, model_seed, restore)
        self._model = model.to(device).to(memory_format=torch.channels_last)
        self._average = moving_average(self._model, recipe.training)
        self._optimizer = optimizer_of(self._model, recipe)
        self._rate, self._mix = RateSchedule.of(recipe), recipe.mix
        self._mixer = mixer_of(recipe, self._pools, seed)
        self._feed = Feed(self._pools, Augmenter.of(recipe.training), seed, device)
        self.images_seen, self._rate_set_at = 0, 0
        self._batches = 0
        self._gradients = Gradients(self._model, device=device, seed=seed, team=team)
        self._losses: list[Mapping[str, Tensor]] = []  # of the steps since the last stats
        # The feed draws ahead of the training: the mixer's state after the last trained batch, and
        # after each batch that is drawn and not trained.
        self._mixed = self._mixer.state_dict()
        self._mixed_ahead: deque[dict[str, Any]] = deque()
        if restore is not None:
            self._restore(restore)
        self._gradients.set_parts(max(parts, self._gradients.parts))
        if team.size > 1:
            share_norms(self._model.train(), team)

    @property
    def model(self) -> nn.Module:
        """The model that is scored and saved: with averaged weights, if the recipe has them."""
        return self._model if self._average is None else self._average.module

    def train_until(
        self, images: int, on_step: Callable[[int], None] | None = None
    ) -> TrainingStats:
        """Trains until exactly `images` images have been seen; the last batch may be shorter.

        Raises NonFiniteLoss, with the losses, when training diverges.

        images   at most training.images
        on_step  called with the images seen after each step; it may `save`
        """
        assert self.images_seen < images <= self._rate.images, (self.images_seen, images)
        self._model.train()
        start, first = time.perf_counter(), self.images_seen
        for batch in self._feed.batches(self._draws(images)):
            count = min(self._mixer.batch_size, images - self.images_seen)
            self._losses.append(self._step(batch, count))
            is_check_due = len(self._losses) % _CHECK_EVERY == 0 or self.images_seen == images
            if is_check_due and self.device.type != "cpu":  # on a CPU every step is checked
                check_finite(self._losses[-_CHECK_EVERY:], self.images_seen)
            if on_step is not None:
                on_step(self.images_seen)
        seconds = time.perf_counter() - start
        metrics = {}
        for name, value in mean_losses(self._losses).items():
            metrics[f"train/{name}"] = value
        self._losses = []
        peak = self._optimizer.param_groups[0]["initial_lr"]  # of "weights"
        metrics["train/learning_rate"] = peak * self._rate.factor(self.images_seen)
        metrics[IMAGES_PER_SECOND] = (self.images_seen - first) / seconds
        shares = realised_shares(self._mix, self._mixer.drawn, self.images_seen)
        return TrainingStats(metrics | shares)

    @property
    def effective(self) -> dict[str, Any]:
        """Effective settings, read from the objects that train instead of the recipe, and facts.

        Plain JSON values. Settings of a recipe stand by dotted path, see `effective.py`; facts are:

        switch_at        share of the training before a staged one switches to real images; None
                         for others
        backbone_stages  number of stages of the backbone
        images_seen      so far
        drawn, planned   images of each source, so far
        real_images      number of distinct real images in the training
        optimizer        of each group: number of parameters, the rate of the last step, and its
                         other settings
        rate_set_at      images seen before the last step
        batch_parts      number of parts in which each batch is computed: more than 1 if the memory
                         of the GPU was not enough for a whole one
        processes        number of processes that train it together
        weights          counts of starting weights: loaded, skipped, random
        device, seed     of the training
        pools            of each source: number of distinct images, and a hash of them
        trainable_parameters, trainable_backbone_parameters
                         number of parameters that train, in the model and in its backbone
        """
        body: Any = self._model.get_submodule(BODY)
        groups = self._optimizer.param_groups
        return {
            **effective_mix(self._mix, self._pools),
            **effective_detector(self._model, self.weights, self._optimizer),
            **effective_training(
                optimizer=self._optimizer,
                rate=self._rate,
                average=self._average,
                augmenter=self._feed.augmenter,
                mixer=self._mixer,
            ),
            "switch_at": self._rate.switch if self._mix.schedule == "staged" else None,
            BACKBONE_STAGES: body.stages,
            IMAGES_SEEN: self.images_seen,
            DRAWN: dict(self._mixer.drawn),
            PLANNED: planned_images(self.recipe, self._pools, self.images_seen),
            REAL_IMAGES: len(self._pools[REAL]) if REAL in self._pools else 0,
            OPTIMIZER: {group["name"]: group_facts(group) for group in groups},
            RATE_SET_AT: self._rate_set_at,
            BATCH_PARTS: self._gradients.parts,
            "processes": self.team.size,
            "trainable_parameters": _trainable(self._model),
            TRAINABLE_BACKBONE: _trainable(body),
            "weights": str(self.weights),
            "device": str(self.device),
            "seed": self._seed,
            POOLS: {name: pool_facts(pool) for name, pool in self._pools.items()},
        }

    def save(self, folder: Path) -> None:
        """Writes the model (see `save_model`) and all state that a restored trainer needs."""
        save_model(
            folder, self.model, self.recipe.detector, self.classes, images_seen=self.images_seen
        )
        write_trained_photos(folder, self._pools.values())
        state = TrainerState(
            images_seen=self.images_seen,
            batches=self._batches,
            parts=self._gradients.parts,
            mixer=self._mixed,
            weights=self.weights,
            losses=loss_values(self._losses),
        )
        write_training(folder, state, self._optimizer, self._trained)

    @property
    def _trained(self) -> nn.Module | None:
        """The model that trains, if another one, with averaged weights, is scored."""
        return None if self._average is None else self._model

    def _restore(self, folder: Path) -> None:
        """Loads the files of `save`.

        Raises DataError, before anything is loaded, if they do not fit.
        """
        state = read_state(folder)
        load_training(folder, self.model, self._optimizer, self._trained)
        self.images_seen, self._batches = state.images_seen, state.batches
        self._gradients.set_parts(state.parts)
        if self._average is not None:
            self._average.n_averaged.fill_(self._batches)
        self._mixer.load_state_dict(state.mixer)
        self._mixed = state.mixer
        for values in state.losses:
            self._losses.append({name: self._scalar(value) for name, value in values.items()})

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self.device)

    def _draws(self, images: int) -> Iterator[Sequence[Place]]:
        """Yields this process's images of each of the next batches, see `draw_batches`.

        The feed draws them some batches before they train.
        """
        batches = draw_batches(self._mixer, self.recipe, self.images_seen, images)
        for first, batch in batches:
            self._mixed_ahead.append(self._mixer.state_dict())
            places = [(number, *place) for number, place in enumerate(batch, start=first)]
            yield self.team.share(places)

    def _step(self, batch: Batch, count: int) -> dict[str, Tensor]:
        """One step; returns the losses, still on the device.

        count  images of the batch in all processes
        """
        factor = self._rate.factor(self.images_seen)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._rate_set_at = self.images_seen
        losses = self._gradients.of_batch(batch, number=self._batches, least=self.team.least(count))
        if self.device.type == "cpu":  # where the check costs nothing
            check_finite([losses], self.images_seen)
        self._move_weights()
        self.images_seen += count
        self._batches += 1
        self._mixed = self._mixed_ahead.popleft()
        return losses

    def _move_weights(self) -> None:
        """Moves the weights, and their averages, by the gradients.

        Raises SyndetError if the memory of the GPU is not enough. Smaller parts of the batch would
        not help: what its images took is free by now, and the weights may have moved in part.
        """
        try:
            nn.utils.clip_grad_norm_(self._model.parameters(), _GRADIENT_NORM)
            self._optimizer.step()  # the first one allocates the optimizer's own numbers
            if self._average is not None:
                self._average.update_parameters(self._model)
            return
        except torch.OutOfMemoryError as error:
            reason = first_line(error)
        # Not in the block above: until it ends, the error holds the tensors of the step.
        raise optimizer_out_of_memory(reason)


def _trainable(module: nn.Module) -> int:
    """The number of parameters of a module that train."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
