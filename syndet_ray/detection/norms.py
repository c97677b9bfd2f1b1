"""Norms: batch norms that use the statistics of their batch, also of one that a team shares."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from syndet_ray.detection.folding import after_norm
from syndet_ray.detection.ignoring import IgnoringRoIHeads
from syndet_ray.detection.team import Team


class TeamNorm(_BatchNorm):
    """A batch norm that uses the statistics of the images of all processes of a team.

    torch's SyncBatchNorm does the same, but on GPUs only.

    plain  the class of the norm for a process alone
    """

    team: Team
    plain: type[_BatchNorm]

    def forward(self, x: Tensor) -> Tensor:
        """x (n, channels, ...); n may be 0."""
        if not self.training:
            return self.plain.forward(self, x)
        dims = [dim for dim in range(x.dim()) if dim != 1]
        values = x.float()
        count_here = values.new_full((1,), values.numel() / values.shape[1])  # of a channel
        sums = _add(torch.cat([values.sum(dims), count_here]), self.team)
        count = sums[-1:].clamp(min=1)
        mean = sums[:-1] / count
        shape = [1, -1] + [1] * (x.dim() - 2)
        centred = values - mean.view(shape)
        variance = _add(centred.square().sum(dims), self.team) / count
        self._keep(mean.detach(), variance.detach(), count.detach())
        scale = (variance + self.eps).rsqrt() * self.weight
        features = centred * scale.view(shape) + self.bias.view(shape)
        return after_norm(self)(features.to(x.dtype))

    def _keep(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Moves the running statistics, as torch does, towards those of a batch.

        Not after a batch without values.
        """
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        weight = self.momentum * (count > 1)
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), weight)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accepts any number of dimensions."""


class _Sum(torch.autograd.Function):
    """The sum of a tensor over a team; each process gets the gradients of all."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, team: Team) -> Tensor:
        context.team = team
        return team.add(tensor.clone())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return context.team.add(gradients[0].clone()), None


def _add(tensor: Tensor, team: Team) -> Tensor:
    total: Tensor = _Sum.apply(tensor, team)
    return total


def training_norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms that use the statistics of their batch, and keep a mean of them."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.training]


def share_norms(model: nn.Module, team: Team) -> None:
    """Makes a model, in training mode, train as if each process had the images of all."""
    norm: Any
    for norm in training_norms(model):
        norm.team, norm.plain = team, type(norm)
        norm.__class__ = TeamNorm
    for module in model.modules():
        if isinstance(module, IgnoringRoIHeads):
            module.always_computes = True
