"""Average: an exponential moving average of the weights of a model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from syndet_ray.definitions.recipe import Training


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """The part of a training that the average looks back over.

    share       of the training that it looks back over, 0 to 1
    images      length of the training
    batch_size  images of a step
    """

    share: float
    images: int
    batch_size: int

    def __call__(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        """The next average, of the shape of both. count: steps in the average so far."""
        steps = max(1.0, self.share * self.images / self.batch_size)
        # In the first steps the average is a plain mean of all weights so far.
        weight = max(1 / steps, 1 / (float(count) + 1))
        return torch.lerp(average, current, weight)


class MovingAverage(AveragedModel):
    """A model whose weights are the average of another's. Its `module` predicts."""

    def __init__(self, model: nn.Module, horizon: Horizon) -> None:
        super().__init__(model, avg_fn=horizon, use_buffers=False)

    @property
    def horizon(self) -> Horizon:
        """The horizon of the average."""
        assert isinstance(self.avg_fn, Horizon), self.avg_fn
        return self.avg_fn


def moving_average(model: nn.Module, training: Training) -> MovingAverage | None:
    """The average of the model's weights that a recipe asks for; None for a share of 0."""
    if training.average == 0:
        return None
    horizon = Horizon(
        share=training.average, images=training.images, batch_size=training.batch_size
    )
    return MovingAverage(model, horizon)
