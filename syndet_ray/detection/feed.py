"""Feed: batches prepared by other threads while the last one trains."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from syndet_ray import seeds
from syndet_ray.data.pool import Pool
from syndet_ray.detection.augment import Augmenter, Example

# Batches that are prepared beside the one that trains: two, so that a slow one does not stop the
# training.
_AHEAD = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """images: each (3, side, side) float32, 0 to 1; targets: each with "boxes", "labels" (1-based)
    and "ignored".
    """

    images: list[Tensor]
    targets: list[dict[str, Tensor]]


class Feed:
    """Makes batches of augmented images.

    Each image has a generator of its own, named by the seed and its number in the training: what a
    batch holds does not depend on how many threads make it, or on how often a training was
    interrupted.
    """

    def __init__(
        self, pools: Mapping[str, Pool], augmenter: Augmenter, seed: int, device: torch.device
    ) -> None:
        self.augmenter = augmenter
        self._pools, self._seed, self._device = pools, seed, device

    def batches(self, draws: Iterator[tuple[int, list[tuple[str, int]]]]) -> Iterator[Batch]:
        """A batch for each of `draws`: images seen before it, and (source, index) of each image."""
        queue = deque[list[Future[Example]]]()
        with ThreadPoolExecutor(
            max_workers=torch.get_num_threads(), thread_name_prefix="augment"
        ) as threads:
            try:
                for seen, draw in draws:
                    numbered = enumerate(draw, start=seen)
                    queue.append(
                        [
                            threads.submit(self._example, number, *image)
                            for number, image in numbered
                        ]
                    )
                    if len(queue) > _AHEAD:
                        yield self._batch(queue.popleft())
                while queue:
                    yield self._batch(queue.popleft())
            finally:
                threads.shutdown(cancel_futures=True)

    def _example(self, number: int, source: str, index: int) -> Example:
        pool = self._pools[source]
        rng = seeds.generator(self._seed, "augment", number)
        return self.augmenter(pool.image(index), pool.boxes(index), rng)

    def _batch(self, futures: Sequence[Future[Example]]) -> Batch:
        """Waits until all examples are there."""
        examples = [future.result() for future in futures]
        pixels = self._moved(np.stack([example.image for example in examples])).permute(0, 3, 1, 2)
        return Batch(
            images=list(pixels.float() / 255),
            targets=[self._target(example) for example in examples],
        )

    def _target(self, example: Example) -> dict[str, Tensor]:
        return {
            "boxes": self._moved(example.boxes.xyxy.astype(np.float32)),
            "labels": self._moved(example.boxes.labels + 1),
            "ignored": self._moved(example.ignored.astype(np.float32)),
        }

    def _moved(self, array: np.ndarray) -> Tensor:
        """The array on the device; on a GPU by way of pinned memory, so that the host does not wait
        for the copy.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
