"""Memory: of a GPU that several trials share, or that is too small for a batch."""

import torch

from syndet_ray.errors import SyndetError


def limit_memory(device: torch.device | str, share: float) -> None:
    """Limits the memory that this process may have of a GPU to a share of it, 0 to 1.

    Trials that share a GPU then run out of memory each on its own, and not because of others. A
    process that runs several trials limits it for each.
    """
    fraction = memory_fraction(torch.device(device).type, share)
    if fraction is not None:
        torch.cuda.set_per_process_memory_fraction(fraction, 0)


def memory_fraction(device_type: str, share: float) -> float | None:
    """The fraction of a GPU's memory for a process that has a share of the GPU; None for a CPU.

    A share of 0, or of whole GPUs, limits nothing.
    """
    if device_type != "cuda":
        return None
    return share if 0 < share < 1 else 1.0


def limited_fraction(device: torch.device | str) -> float | None:
    """The fraction of its GPU's memory that `limit_memory` left to this process.

    None if it has whole GPUs or none.
    """
    if torch.device(device).type != "cuda":
        return None
    fraction = torch.cuda.get_per_process_memory_fraction(0)
    # torch keeps the limit in bytes, and returns 0.24999 for a quarter
    return round(fraction, 4) if fraction < 1 else None


def optimizer_out_of_memory(reason: str) -> SyndetError:
    """The error of a step of the optimizer for which the memory of the GPU is not enough.

    reason  what torch said, without a full stop
    """
    rule = "weights, gradients and the optimizer's own numbers need more memory than the GPU has, "
    rule += f"however small the batch is ({reason})"
    do = "Take a smaller detector.backbone, or give each trial more of a GPU: `gpus_per_trial`."
    return SyndetError("training", rule, do=do)


def image_out_of_memory(place: str, reason: str) -> SyndetError:
    """The error of one image for which the memory of the GPU is not enough.

    reason  what torch said, without a full stop
    """
    rule = f"one image at a time needs more memory than the GPU has ({reason})"
    do = "Lower detector.working_px or training.crop_px, take a smaller detector.backbone, "
    do += "or give each trial more of a GPU: `gpus_per_trial`."
    return SyndetError(place, rule, do=do)
