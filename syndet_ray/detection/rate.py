"""Rate: the schedule of the learning rate."""

import math
from dataclasses import dataclass

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.schedule import switch_at

# in images: a share of a training times its length is a whole number only up to rounding
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class RateSchedule:
    """The learning rate as a share of its peak.

    Rises linearly over the warm-up, to the peak at its end, then falls by half a cosine (Loshchilov
    & Hutter 2017) to final_rate at the last image. Without a warm-up it starts at the peak. From
    the first step that begins after the switch of a staged training, the rate is multiplied by
    rate_after_switch.

    images             length of the training
    batch_size         images of a step
    warmup             share of the images
    final_rate         share of the peak at the end
    rate_after_switch  factor, may exceed 1
    switch             share of the images before the switch, 0 to 1; 1 is no switch
    """

    images: int
    batch_size: int
    warmup: float
    final_rate: float
    rate_after_switch: float = 1.0
    switch: float = 1.0

    @staticmethod
    def of(recipe: Recipe) -> "RateSchedule":
        """The schedule that a recipe asks for."""
        training = recipe.training
        return RateSchedule(
            images=training.images,
            batch_size=training.batch_size,
            warmup=training.warmup,
            final_rate=training.final_rate,
            rate_after_switch=training.rate_after_switch,
            switch=switch_at(recipe.mix),
        )

    def factor(self, images_seen: int) -> float:
        """The share of the peak in the step that begins after images_seen images.

        0 to max(1, rate_after_switch).
        """
        before_switch = self.switch * self.images - _ROUNDING
        is_after_switch = self.switch < 1 and images_seen > before_switch
        factor = self.rate_after_switch if is_after_switch else 1.0
        warmup = round(self.warmup * self.images)
        if images_seen < warmup:
            return factor * min(1.0, (images_seen + self.batch_size) / warmup)
        progress = (images_seen - warmup) / max(1, self.images - warmup)
        cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        return factor * (self.final_rate + (1 - self.final_rate) * cosine)
