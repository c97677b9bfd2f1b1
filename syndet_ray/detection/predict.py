"""Predict: detections of a model in every image of a pool."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from syndet_ray.data.pool import Pool
from syndet_ray.detection.heads import padded_side
from syndet_ray.detection.memory import image_out_of_memory
from syndet_ray.detection.score import Predictions, in_order
from syndet_ray.detection.team import ALONE, Team
from syndet_ray.errors import first_line
from syndet_ray.progress import Progress

# Images in one call of the model. A CPU core gains nothing from several; a GPU waits for the host
# between single ones.
_BATCH_SIZE_ON_GPU = 8


def predict(
    model: torch.nn.Module,
    pool: Pool,
    *,
    device: torch.device,
    progress: Progress | None = None,
    batch_size: int | None = None,
) -> list[Predictions]:
    """The model's detections in every image of the pool, in its pixels; best first in each.

    Raises SyndetError if the memory of the GPU is not enough for one image.

    batch_size  images in one call of the model; None takes what suits the device
    """
    by_index = _detections(model, pool, device, ALONE, progress=progress, batch_size=batch_size)
    return [by_index[i] for i in range(len(pool))]


def predict_together(
    model: torch.nn.Module, pool: Pool, *, device: torch.device, team: Team
) -> list[Predictions] | None:
    """As `predict`, by all processes of a team, each for its share of the images.

    Returns None in all but the first.
    """
    gathered = team.gather(_detections(model, pool, device, team))
    if gathered is None:
        return None
    by_index: dict[int, Predictions] = {}
    for detections in gathered:
        by_index |= detections
    return [by_index[i] for i in range(len(pool))]


def _detections(
    model: torch.nn.Module,
    pool: Pool,
    device: torch.device,
    team: Team,
    *,
    progress: Progress | None = None,
    batch_size: int | None = None,
) -> dict[int, Predictions]:
    """The detections in this process's share of a pool, by the index of the image."""
    model = model.to(device).eval()
    if batch_size is None:
        batch_size = 1 if device.type == "cpu" else _BATCH_SIZE_ON_GPU
    by_index: dict[int, Predictions] = {}
    with torch.inference_mode():
        for indices in team.share(list(_batches(pool, batch_size))):
            outputs = _outputs(model, pool, indices, device)
            for i, output in zip(indices, outputs, strict=True):
                by_index[i] = _predictions(output)
            if progress is not None:
                progress(len(by_index), len(pool))
    return by_index


def _batches(pool: Pool, batch_size: int) -> Iterator[list[int]]:
    """Yields indices of images that are padded to the same size, at most `batch_size` at once.

    So no image gets more padding than alone.
    """
    groups = defaultdict[tuple[int, int], list[int]](list)
    for i, (width, height) in enumerate(pool.sizes_wh.tolist()):
        group = groups[padded_side(width), padded_side(height)]
        group.append(i)
        if len(group) == batch_size:
            yield group.copy()
            group.clear()
    yield from (group for group in groups.values() if group)


def _outputs(
    model: torch.nn.Module, pool: Pool, indices: Sequence[int], device: torch.device
) -> list[dict[str, Tensor]]:
    """The outputs of the model for images: in halves if the memory of the GPU is not enough.

    It may lack for the images themselves, before the model is called.
    """
    try:
        return model([_image(pool, i, device) for i in indices])
    except torch.OutOfMemoryError as error:
        reason = first_line(error)
    # Not in the block above: until it ends, the error holds tensors.
    torch.cuda.empty_cache()
    if len(indices) == 1:
        raise image_out_of_memory("prediction", reason)
    middle = len(indices) // 2
    first, second = indices[:middle], indices[middle:]
    return _outputs(model, pool, first, device) + _outputs(model, pool, second, device)


def _image(pool: Pool, i: int, device: torch.device) -> Tensor:
    """(3, h, w) float32, 0 to 1."""
    pixels = torch.from_numpy(pool.image(i).copy()).to(device)
    return pixels.permute(2, 0, 1).float() / 255


def _predictions(output: dict[str, Tensor]) -> Predictions:
    arrays = {name: value.cpu().numpy() for name, value in output.items()}
    labels = arrays["labels"].astype(np.int64) - 1  # 1-based inside the model
    return in_order(Predictions(xyxy=arrays["boxes"], labels=labels, scores=arrays["scores"]))
