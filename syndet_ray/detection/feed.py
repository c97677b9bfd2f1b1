"""Feed: batches prepared by other threads while the last one trains."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.detection.augment import Augmenter, Example

# Batches that are prepared while another one trains: two, so that a slow one does not stop the
# training.
_AHEAD = 2
_STAGES = ("anchors", "proposals")  # of a detector, each of which draws samples

# an image of a batch: its number in the training, its source, and its index there
Place = tuple[int, str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Images with their targets, on the device.

    images   each (3, side, side) float32, 0 to 1
    targets  each with "boxes", "labels" (1-based), "ignored", and the "seeds" of its samples
    """

    images: list[Tensor]
    targets: list[dict[str, Any]]

    def divide(self, parts: int) -> "list[Batch]":
        """So many parts, at most as many as images, with the images of each source in all."""
        divided = []
        for first in range(min(parts, len(self.images))):
            images, targets = self.images[first::parts], self.targets[first::parts]
            divided.append(Batch(images=images, targets=targets))
        return divided


class Feed:
    """Makes batches of augmented images.

    Each image has a generator of its own, named by the seed and its number in the training. So a
    batch does not depend on the number of threads, or on interruptions of the training.
    """

    def __init__(
        self, pools: Mapping[str, Pool], augmenter: Augmenter, seed: int, device: torch.device
    ) -> None:
        self.augmenter = augmenter
        self._pools, self._seed, self._device = pools, seed, device

    def batches(self, draws: Iterator[Sequence[Place]]) -> Iterator[Batch]:
        """A batch of the images of each of `draws`."""
        queue = deque[list[Future[_Numbered]]]()
        workers = torch.get_num_threads()
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="augment") as threads:
            try:
                for draw in draws:
                    queue.append([threads.submit(self._example, *place) for place in draw])
                    if len(queue) > _AHEAD:
                        yield self._batch(queue.popleft())
                while queue:
                    yield self._batch(queue.popleft())
            finally:
                threads.shutdown(cancel_futures=True)

    def _example(self, number: int, source: str, index: int) -> "_Numbered":
        pool = self._pools[source]
        rng = seeds.generator(self._seed, "augment", number)
        return _Numbered(number, self.augmenter(pool.image(index), pool.boxes(index), rng))

    def _batch(self, futures: Sequence[Future["_Numbered"]]) -> Batch:
        """Waits until all examples are ready, and joins them."""
        examples = [future.result() for future in futures]
        pixels = np.stack([numbered.example.image for numbered in examples])
        images = self._to_device(pixels).permute(0, 3, 1, 2).float() / 255
        return Batch(images=list(images), targets=[self._target(numbered) for numbered in examples])

    def _target(self, numbered: "_Numbered") -> dict[str, Any]:
        example, number = numbered.example, numbered.number
        return {
            "boxes": self._to_device(example.boxes.xyxy.astype(np.float32)),
            "labels": self._to_device(example.boxes.labels + 1),
            "ignored": self._to_device(example.ignored.astype(np.float32)),
            "seeds": [seeds.integer(self._seed, stage, number) for stage in _STAGES],
        }

    def _to_device(self, array: np.ndarray) -> Tensor:
        """The array on the device.

        A GPU takes it from pinned memory, so that the host does not wait for the copy.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


@dataclass(frozen=True)
class _Numbered:
    """An example and its number in the training."""

    number: int
    example: Example
