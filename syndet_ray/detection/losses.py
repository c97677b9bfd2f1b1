"""Losses: their means, plain numbers and check, of several steps at once.

The losses of a step are tensors on the device: each part by its name.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from syndet_ray.errors import NonFiniteLoss


def check_finite(losses: Sequence[Mapping[str, Tensor]], images_seen: int) -> None:
    """Raises NonFiniteLoss, with the parts of the first loss that is NaN or infinite."""
    totals = [parts.sum() for parts in _table(losses).detach()]
    is_finite = torch.isfinite(torch.stack(totals))
    if bool(is_finite.all()):  # one transfer from the device for all
        return
    first = int(is_finite.int().argmin())
    raise NonFiniteLoss(
        f"training after {images_seen} images",
        "the loss must be finite",
        got={name: float(value.detach()) for name, value in losses[first].items()},
        do="Lower training.learning_rate.",
    )


def mean_losses(losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each loss over the steps, and of their sum, "loss".

    One transfer from the device for all.
    """
    means = _table(losses).double().mean(dim=0).cpu()
    by_name = dict(zip(losses[0], means.tolist(), strict=True))
    return {"loss": float(means.sum())} | by_name


def loss_values(losses: Sequence[Mapping[str, Tensor]]) -> list[dict[str, float]]:
    """The losses as plain numbers. One transfer from the device for all."""
    if not losses:
        return []
    return [dict(zip(losses[0], parts, strict=True)) for parts in _table(losses).tolist()]


def _table(losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """(steps, parts) the parts of each step's loss."""
    return torch.stack([torch.stack(list(parts.values())) for parts in losses])
