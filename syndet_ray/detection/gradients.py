"""Gradients: those of whole batches, in parts if the memory of a GPU is small, and by a team."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from syndet_ray import seeds
from syndet_ray.detection.architectures import loss_count
from syndet_ray.detection.feed import Batch
from syndet_ray.detection.memory import image_out_of_memory
from syndet_ray.detection.norms import training_norms
from syndet_ray.detection.team import Team, Total
from syndet_ray.errors import NeedsParts, first_line


class Gradients:
    """Sets the gradients of a model to those of batches.

    device  where the model is
    seed    of the training
    team    the processes that train it together

    parts   number of parts in which each process computes its share of a batch; see `set_parts`
    """

    def __init__(self, model: nn.Module, *, device: torch.device, seed: int, team: Team) -> None:
        self._model, self._device, self._seed, self._team = model, device, seed, team
        self.parts = 1

    def of_batch(self, batch: Batch, *, number: int, least: int) -> dict[str, Tensor]:
        """Sets the gradients to those of a batch, and returns its losses.

        If the memory of the GPU is not enough, this and all later batches are computed in twice as
        many parts. A process of a team cannot do that on its own: the team must begin again, see
        NeedsParts.

        number  of the batch in the training
        least   images in the smallest share of the batch: all processes compute as many parts
        """
        while True:
            statistics = _statistics(self._model)
            try:
                return self._accumulate(batch.divide(min(self.parts, least)), number)
            except torch.OutOfMemoryError as error:
                reason = first_line(error)
            # Not in the block above: until it ends, the error holds the tensors of the step.
            self._model.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            if self.parts >= least:  # its parts are single images
                raise image_out_of_memory("training", reason)
            if self._team.size > 1:
                raise NeedsParts(2 * self.parts, reason)
            for buffer, value in statistics:
                buffer.copy_(value)
            self.set_parts(2 * self.parts)

    def _accumulate(self, parts: Sequence[Batch], number: int) -> dict[str, Tensor]:
        """Sets the gradients to those of all parts of a batch together; returns its losses.

        Each part, and each process, counts by what its losses are means over, so that both are
        those of the whole batch.
        """
        self._model.zero_grad(set_to_none=True)
        sums, total = dict[str, Tensor](), 0
        is_whole = len(parts) == 1 and self._team.size == 1
        gpus = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            # a layer of the model may draw random numbers, such as a dropout
            torch.manual_seed(seeds.integer(self._seed, "step", number))
            for part in parts:
                losses = self._model(part.images, part.targets)
                count = 1 if is_whole else loss_count(self._model, len(part.images))
                factor = max(1, count)  # without an object there is one loss, of the background
                (torch.stack(list(losses.values())).sum() * factor).backward()
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0) + loss.detach() * factor
                total += count
        if is_whole:
            return sums
        if self._team.size > 1:
            return self._divide_sums(self._team.add_gradients(self._model, sums, total))
        return self._divide_sums(Total(sums, total))

    def _divide_sums(self, total: Total) -> dict[str, Tensor]:
        """Divides gradients that are sums, and the sums of losses, by the count of their terms."""
        count = max(1, total.count)
        parameters = self._model.parameters()
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        torch._foreach_div_(gradients, count)
        return {name: value / count for name, value in total.sums.items()}

    def set_parts(self, parts: int) -> None:
        """Sets the number of parts of a batch.

        Each of them updates the statistics of batch norms, so that it must count for less.
        """
        for norm in training_norms(self._model):
            if norm.momentum is not None:
                norm.momentum *= self.parts / parts
        self.parts = parts


def _statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The buffers that a step changes, each with a copy of its value."""
    buffers = [buffer for norm in training_norms(model) for buffer in norm.buffers()]
    return [(buffer, buffer.clone()) for buffer in buffers]
