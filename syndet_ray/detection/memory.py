"""Memory: of a GPU that several trials share, or that is too small for a batch."""

from typing import Any

import torch

from syndet_ray.errors import MachineError, SyndetError


class NeedsParts(MachineError):
    """Too little memory of a GPU for the share of a batch that one process of a team computes.

    All processes must begin again, in so many parts: the others wait for this one.
    """

    def __init__(self, parts: int, reason: str) -> None:
        rule = f"a GPU of the trial has too little memory for its share of a batch ({reason})"
        super().__init__("training", rule, do=f"It goes on with each share in {parts} parts.")
        self.parts, self.reason = parts, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return NeedsParts, (self.parts, self.reason)


def limit_memory(device: torch.device, share: float) -> None:
    """Limits the memory that this process may have of a GPU to a share of it, 0 to 1.

    Trials that share a GPU then run out of memory each on its own, and not because of others. A
    process that runs several trials limits it for each.
    """
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share, device)


def out_of_memory(place: str, reason: str) -> SyndetError:
    """The error of one image for which the memory of the GPU is not enough.

    reason  what torch said, without a full stop
    """
    rule = f"one image at a time needs more memory than the GPU has ({reason})"
    do = "Lower detector.working_px or training.crop_px, take a smaller detector.backbone, "
    do += "or give each trial more of a GPU: `gpus_per_trial`."
    return SyndetError(place, rule, do=do)
