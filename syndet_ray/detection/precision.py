"""Precision: the parts of a model that compute in bfloat16, and those that never do.

Convolutions do, if the device has instructions for it. Logits, box deltas, anchors and boxes stay
float32: bfloat16 has 8 bits of precision, so above 256 it has even numbers only, and classes that
are separated by an offset would suppress one another.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


def fast_bf16(device: torch.device) -> bool:
    """True if convolutions run faster in bfloat16: the device has instructions for it.

    A CPU is then nearly twice as fast. GPUs before Ampere, such as T4 and V100, emulate it.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported()


def reduced_precision(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which convolutions and matrix products use bfloat16 if that is faster."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bf16(device))


def full(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which everything computes in float32, also within `reduced_precision`."""
    return torch.autocast(device.type, enabled=False)


class ReducedSequential(nn.Sequential):
    """A sequence of layers that computes in bfloat16 if that is faster, and returns float32.

    It replaces an nn.Sequential of torchvision, whose parameters keep their names.
    """

    def forward(self, x: Tensor) -> Tensor:
        with reduced_precision(x.device):
            return super().forward(x).float()
