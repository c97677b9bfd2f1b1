"""Samples: anchors and proposals that each image of a batch is learned from, and their losses.

The samples of an image depend on its own seeds, and the loss of a batch is the mean of the losses
of its images. So nothing depends on which images a device trains together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

_BETA = 1 / 9  # of the smooth L1 loss of boxes, as in torchvision's two stages


class ImageSampler(BalancedPositiveNegativeSampler):
    """Samples as torchvision does, but in each image by random numbers of its own.

    seeds  of the images of the next call, which its stage sets
    """

    seeds: Sequence[int] = ()

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks (n,) uint8 of the sampled objects, and of the sampled background, of each image.

        matched_idxs  (n,) of each image: 1 or more is an object, 0 background, -1 neither
        """
        objects, background = [], []
        for labels, seed in zip(matched_idxs, self.seeds, strict=True):
            generator = torch.Generator(labels.device).manual_seed(seed)
            most = int(self.batch_size_per_image * self.positive_fraction)
            chosen = _choose(labels >= 1, most, generator)
            rest = _choose(labels == 0, self.batch_size_per_image - len(chosen), generator)
            objects.append(_mask(labels, chosen))
            background.append(_mask(labels, rest))
        return objects, background


def mean_weights(counts: Sequence[int], like: Tensor) -> Tensor:
    """(sum of counts,) the weight of each sample in the mean over images of their samples' means.

    counts  samples of each image; an image without samples has a loss of 0
    like    a tensor of the device and type of the weights
    """
    weights = [like.new_full((count,), 1 / max(1, count) / len(counts)) for count in counts]
    return torch.cat(weights)


def box_loss(deltas: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """The sum of the weighted losses of boxes: torchvision's smooth L1 loss of (n, 4) deltas."""
    losses = functional.smooth_l1_loss(deltas, expected, beta=_BETA, reduction="none")
    return losses.sum(dim=1) @ weights


def _choose(candidates: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Indices of at most so many of the candidates, a mask (n,), at random."""
    indices = torch.where(candidates)[0]
    order = torch.randperm(len(indices), generator=generator, device=indices.device)
    return indices[order[:most]]


def _mask(labels: Tensor, chosen: Tensor) -> Tensor:
    mask = torch.zeros_like(labels, dtype=torch.uint8)
    mask[chosen] = 1
    return mask
