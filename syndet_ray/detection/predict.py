"""Predict: what a model finds in every image of a pool."""

from collections.abc import Callable

import numpy as np
import torch

from syndet_ray.data.pool import Pool
from syndet_ray.detection.score import Predictions, in_order


def predict(
    model: torch.nn.Module,
    pool: Pool,
    *,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> list[Predictions]:
    """The model's detections in every image of the pool, each at its own resolution."""
    model = model.to(device).eval()
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        for i in range(len(pool)):
            image = torch.from_numpy(pool.image(i).copy()).to(device).permute(2, 0, 1).float() / 255
            (output,) = model([image])
            arrays = {name: value.float().cpu().numpy() for name, value in output.items()}
            found.append(
                in_order(Predictions(arrays["boxes"], arrays["labels"].astype(np.int64) - 1, arrays["scores"]))
            )
            if progress is not None:
                progress(i + 1, len(pool))
    return found
